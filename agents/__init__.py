"""Household agents: what they forecast, how they run their devices and what they bid."""
