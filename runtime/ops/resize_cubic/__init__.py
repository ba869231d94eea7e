"""Resizing images by cubic convolution."""
