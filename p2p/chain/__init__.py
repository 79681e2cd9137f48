"""The proof-of-authority chain: blocks, certificates, state, store and offline proofs.

No file here reads a clock, a socket or a random source; `store.py` and `genesis.py` are the ones that touch a
disk. Times, secrets and keys are handed in.
"""
