"""Hundreds to thousands of batteries in one horizon: each answers prices exactly, and prices coordinate them."""
