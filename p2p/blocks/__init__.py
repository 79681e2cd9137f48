"""The bytes everybody agrees on: domains of hashes, Merkle and state trees, blocks, genesis."""
