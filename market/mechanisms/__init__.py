"""Clearing mechanisms without a solver, one file each; each registers itself."""
