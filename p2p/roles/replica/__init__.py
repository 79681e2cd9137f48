"""Roles that follow the chain: a copy of the ledger, synchronization, status, blobs, the observer."""
