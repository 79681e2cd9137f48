"""How messages travel: the interface, a network in memory, and libp2p."""
