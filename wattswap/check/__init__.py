"""`wattswap check`: a mechanism tested against its declared properties."""
