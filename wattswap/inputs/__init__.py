"""Readers of what people give: every problem is collected and raised once."""
