"""Convolution of signs with weights of one bit."""
