"""Quantizers of others, weight in, dequantized weight out: what smalti is held against."""
