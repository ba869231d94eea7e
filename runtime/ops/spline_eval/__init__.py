"""Piecewise polynomials."""
