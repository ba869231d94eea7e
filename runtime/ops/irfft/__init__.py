"""Real signals from their spectra."""
