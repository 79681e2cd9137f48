"""Clearing mechanisms that may use a solver, one file each; each registers itself."""
