"""Building blocks that several mechanisms share: prices, merit orders, pairs, payments."""
