"""Comparisons: the same homes, forecasts and seeds through several clearing rules, side by side."""
