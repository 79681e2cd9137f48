"""How households run their devices."""
