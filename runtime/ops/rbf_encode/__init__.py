"""Features of the radial basis functions nearest to a point."""
