"""The ledger: state, execution of blocks, store, verification and offline proofs; `store.py` alone touches a disk."""
