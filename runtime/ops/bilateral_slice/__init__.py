"""A grid of colour transforms, looked up and applied in one pass over an image."""
