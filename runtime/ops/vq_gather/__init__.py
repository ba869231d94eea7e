"""Packed embedding table."""
