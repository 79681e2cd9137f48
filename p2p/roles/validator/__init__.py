"""The validator: proposals, checks of batches, votes, transactions in waiting."""
