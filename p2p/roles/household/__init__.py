"""A home's side of the network: it gives its messages to a collector and to validators, and checks every answer."""
