"""Stand-alone nodes: folders, configuration, keys, roles."""
