"""Products of activations with low-bit matrices, beside other engines."""
