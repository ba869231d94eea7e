"""Functions of int8 values, as tables."""
