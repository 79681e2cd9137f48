"""Linear forecasts that are learnt from exact sums: their features, and the sums with their solution."""
