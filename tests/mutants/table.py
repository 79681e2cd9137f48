"""All mutants of validation; those of the consensus core and of whole nodes are beside their simulators."""

from __future__ import annotations

from tests.mutants import (
    batches,
    certificates,
    chain,
    deemed,
    light,
    meters,
    modules,
    nodes,
    promises,
    rights,
    sealing,
    settlement,
    standing,
    votes,
)
from tests.mutants.mutant import Equivalent, Mutant

MUTANTS: tuple[Mutant, ...] = (
    *batches.MUTANTS,
    *promises.MUTANTS,
    *standing.MUTANTS,
    *deemed.MUTANTS,
    *light.MUTANTS,
    *certificates.MUTANTS,
    *chain.MUTANTS,
    *modules.MUTANTS,
    *meters.MUTANTS,
    *settlement.MUTANTS,
    *sealing.MUTANTS,
    *nodes.MUTANTS,
    *rights.MUTANTS,
    *votes.MUTANTS,
)

EQUIVALENT: tuple[Equivalent, ...] = (
    Equivalent(
        nodes.VALIDATOR.without(
            "two_batches_in_a_block",
            "if len(found) > 1:",
            "if False:",
            "A block with two batches reaches the checks of each of them.",
        ),
        "Of two batches one at most is of the interval that is settled next: `Schedule.check_batch` refuses another"
        " interval with the same code, and a block that settles one interval twice has not been executed.",
    ),
    Equivalent(
        light.ENTRY.without(
            "line_with_any_salt",
            "if len(salt) != SALT_BYTES:",
            "if False:",
            "A salt of another length reaches the hash.",
        ),
        "An entry has one of two lengths, so only the bytes of a wide leaf could be split otherwise, as a narrow entry;"
        " that is of a member, at whose place in the tree the leaf is not.",
    ),
    Equivalent(
        light.SNAPSHOT.without(
            "snapshot_of_another_chain",
            "if above.chain_id != genesis.chain_id:",
            "if False:",
            "A header of another chain reaches the check of its signatures.",
        ),
        "The function `_check_signed` refuses the same header with the same code.",
    ),
)
