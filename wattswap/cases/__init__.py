"""Single cases of `wattswap clear`: the contract of docs, one file for each kind of case."""
