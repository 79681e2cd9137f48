"""The validator: proposals, checks of batches, votes, the mempool."""
