"""The modules of the chain, one file each: methods and their roles, state transitions, invariants."""
