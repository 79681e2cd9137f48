"""How large a battery that a community has in common should be, and who gains how much by it."""
