"""Clearing on a grid in parts: the program of a book, canonical prices, canonical quantities, and why there is none."""
