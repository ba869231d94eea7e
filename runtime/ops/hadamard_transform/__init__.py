"""The rotation of activations."""
