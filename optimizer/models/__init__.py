"""Optimization models, one readable Pyomo function a file."""
