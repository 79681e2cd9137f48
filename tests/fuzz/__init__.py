"""Hostile bytes against everything that reads what a peer or a disk gives."""
