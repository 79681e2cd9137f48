"""What is compared: mechanisms with their parameters between two bookends."""

from __future__ import annotations

from collections.abc import Sequence

from market.errors import UnknownName
from market.mechanism import MECHANISMS
from wattswap.errors import Problem, UsageError
from wattswap.inputs.collector import CaseReader
from wattswap.selection import Choice, read_choice

REFERENCE, BOUND = "retailer_only", "welfare_optimum"
"""The bookends of every comparison: no market, and the most welfare that the orders allow."""


def read_choices(texts: Sequence[str]) -> tuple[Choice, ...]:
    """Read what is to be compared and put the bookends around it; without a text, every registered mechanism.

    Raises:
        UsageError: Lists every unknown mechanism and every wrong parameter.
    """
    middle = list(dict.fromkeys(texts)) or [
        name for name, m in MECHANISMS.all().items() if not m.promises.needs_grid
    ]
    read, choices = CaseReader(), []
    for text in (REFERENCE, *(text for text in middle if text not in (REFERENCE, BOUND)), BOUND):
        where = f"-m {text}"
        try:
            choice = read_choice(read, text, where)
        except UnknownName as unknown:
            read.problems.append(Problem(where, str(unknown).rstrip(".")))
            continue
        if choice.mechanism.promises.needs_grid:
            read.note(where, "needs a grid, which a comparison of homes does not have")
        choices.append(choice)
    if read.problems:
        raise UsageError(*read.problems)
    return tuple(choices)
