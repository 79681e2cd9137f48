"""Roles of a node on the network: home, collector, validator, observer.

Roles move signed messages; nothing here clears.
"""
