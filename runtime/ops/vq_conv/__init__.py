"""Packed convolution."""
