"""The bytes that all nodes agree on: domains of hashes, Merkle and state trees, blocks, genesis."""
