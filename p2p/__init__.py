"""Peers: identities, signed messages, transports, roles and the chain."""
