"""The non-negative half of real signals' spectra."""
