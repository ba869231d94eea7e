"""Features of points from grids of several resolutions."""
