"""Layers of Kolmogorov-Arnold networks: a spline on every edge."""
