"""Sampling an image at points of a grid."""
