"""Agents of the homes: forecasts, device control and bids."""
