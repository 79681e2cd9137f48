"""Grids as neighbourhoods with profiles: what SimBench knows, and the meter data that follow from it."""
