"""Every operator in a folder of its own: schema and Torch reference, kernel, cases."""
