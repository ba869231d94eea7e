"""Which codes stand for a weight: the nearest ones, or by feedback of errors."""
