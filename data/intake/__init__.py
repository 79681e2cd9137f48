"""From what a file says to meter data: placed on one grid, assembled, checked; for all formats alike."""
