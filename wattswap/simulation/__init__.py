"""A seeded simulation of whole neighbourhoods: worlds for the nodes' own programs; for tests, not in the wheel."""
