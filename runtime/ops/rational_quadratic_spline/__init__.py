"""Monotone rational-quadratic splines, both ways."""
