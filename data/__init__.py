"""Meter data: readers, checks, price series and the bundled neighbourhoods."""
