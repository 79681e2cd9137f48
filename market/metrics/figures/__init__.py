"""Metrics, one function each; every file here registers its own and is found by itself."""
