"""Clear a book of a run: the mechanism takes what it may use, the time is taken, and failures name the interval."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter_ns
from typing import TYPE_CHECKING

from market.book import OrderBook
from market.clearing import Clearing, check_feasible
from market.mechanism import MECHANISMS, refuse_unused
from optimizer.errors import OptimizerError
from wattswap.errors import Infeasible
from wattswap.runs.solutions import Solutions

if TYPE_CHECKING:
    from wattswap.runs.prepare import Setup


@contextmanager
def in_interval(setup: Setup, i: int) -> Iterator[None]:
    """Name the mechanism and the i-th interval where the solver has no answer inside.

    Raises:
        Infeasible: In a sentence.
    """
    try:
        yield
    except OptimizerError as error:
        where = f"{setup.mechanism.name}, interval {setup.local_start_of(i):%Y-%m-%dT%H:%M%z}"
        raise Infeasible.of(where, str(error)) from error


def cleared(
    setup: Setup, i: int, book: OrderBook, solutions: Solutions | None = None
) -> tuple[Clearing, int]:
    """What the mechanism makes of a book of the i-th interval, not yet checked, and the time that it took. [ns]

    Args:
        solutions: Where they are given or kept; None for neither.

    Raises:
        NotTaken: The book or the rules hold what the mechanism does not use.
        Infeasible: The solver has no answer.
    """
    rules = setup.rules_at(i)
    mechanism = setup.mechanism if solutions is None else solutions.of(setup.mechanism)
    refuse_unused(mechanism, book, rules)
    with in_interval(setup, i), MECHANISMS.held(mechanism):
        begun = perf_counter_ns()
        clearing = mechanism.clear(book, rules)
        return clearing, perf_counter_ns() - begun


def check_cleared(setup: Setup, book: OrderBook, clearing: Clearing) -> None:
    """Raise `InfeasibleClearing` unless a clearing belongs to the book and keeps the promises of its mechanism."""
    with MECHANISMS.held(setup.mechanism):
        check_feasible(book, clearing, limits=setup.mechanism.promises.individually_rational)
