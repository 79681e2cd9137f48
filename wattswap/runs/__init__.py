"""Runs: a scenario prepared, stepped interval by interval, and recorded in a folder."""
