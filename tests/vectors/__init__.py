"""The wire as data, for peers in other languages."""
