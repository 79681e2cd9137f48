"""From what a file says to meter data: placed on one grid, assembled, checked; shared by all formats."""
