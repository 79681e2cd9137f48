"""Comparisons: several mechanisms on the same homes, forecasts and seeds."""
