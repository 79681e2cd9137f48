"""Figures of a market: welfare, prices, energy, fairness, the grid, concentration."""
