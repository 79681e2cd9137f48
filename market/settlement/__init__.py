"""Settlement: outside prices, accounts and postings."""
