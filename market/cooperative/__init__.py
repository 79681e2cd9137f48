"""Cooperative games: what a coalition is worth and how to share it."""
