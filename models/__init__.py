"""Recipes: real models to quantize, and the demo."""
