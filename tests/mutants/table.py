"""All mutants of validation. Those of the consensus core are in `tests/sim`, those of whole nodes in `tests/wattswap`."""

from __future__ import annotations

from tests.mutants import batches, chain, light, nodes, votes
from tests.mutants.mutant import Equivalent, Mutant

MUTANTS: tuple[Mutant, ...] = (
    *batches.MUTANTS,
    *light.MUTANTS,
    *chain.MUTANTS,
    *nodes.MUTANTS,
    *votes.MUTANTS,
)

EQUIVALENT: tuple[Equivalent, ...] = ()
