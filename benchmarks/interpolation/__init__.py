"""Interpolation operators beside other implementations of the same thing."""
