"""What the market puts on the chain: the batch of an interval, its messages, its roots, and receipts for orders."""
