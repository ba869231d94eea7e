"""What `smalti models` does: finds the recipes, quantizes and runs them, writes their page."""
