"""Settlement data on the chain: the batch of an interval, its messages, its roots, and receipts for orders."""
