"""The modules of the chain, one file each: who may call what, what it does to the state, what always holds."""
