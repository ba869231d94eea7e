"""Packed matrix product."""
