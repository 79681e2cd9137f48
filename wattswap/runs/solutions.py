"""What a solver found for the clearings of an interval: kept as they are made, or given so that none is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from market.book import OrderBook
from market.clearing import Clearing
from market.errors import InfeasibleClearing, MarketError
from market.mechanism import MECHANISMS, Mechanism
from market.rules import MarketRules
from optimizer.errors import OptimizerError

LEFT_OUT: Final = b"without orders that are taken whole or not at all"
"""Stands for a clearing that was not proven, and was made again without such orders; the next solution is of that."""


class Solutions:
    """The solutions of an interval's clearings, one after the other; most intervals have one clearing.

    Args:
        given: Of all its clearings, in the order in which they are made: they are derived from these without a solver.
            None to compute them, and keep what the solver found.
    """

    def __init__(self, given: Sequence[bytes] | None = None) -> None:
        self._given = given
        self._found: list[bytes | None] = []

    @property
    def are_given(self) -> bool:
        """Whether clearings are derived from given solutions, checked and proven, and no solver is asked."""
        return self._given is not None

    def of(self, mechanism: Mechanism) -> Mechanism:
        """The mechanism, which clears from the given solutions or keeps those that it finds.

        The mechanism itself where it needs none.
        """
        witness, given = mechanism.witness, self._given
        if witness is None:
            return mechanism

        def keep(book: OrderBook, rules: MarketRules) -> Clearing:
            with MECHANISMS.held(mechanism):
                clearing = mechanism.clear(book, rules)
                self._found.append(witness.to_bytes(clearing))
                return clearing

        def take(book: OrderBook, rules: MarketRules) -> Clearing:
            assert given is not None
            number = len(self._found)
            if number >= len(given):
                raise InfeasibleClearing(
                    f"{len(given)} solutions are given, and the interval has more clearings"
                )
            self._found.append(given[number])
            with MECHANISMS.held(mechanism):
                try:
                    return witness.derive(book, rules, given[number])
                except (MarketError, OptimizerError):
                    raise
                except (ArithmeticError, ValueError, LookupError) as error:
                    # What somebody else wrote must not end the process that reads it.
                    raise InfeasibleClearing(f"a solution from which no clearing follows: {error}") from error

        return replace(mechanism, clear=keep if given is None else take)

    @property
    def count(self) -> int:
        """Of how many clearings they are so far."""
        return len(self._found)

    def says_left_out(self) -> bool:
        """Whether the next one given is `LEFT_OUT`; it then counts as read."""
        given = self._given or ()
        said = self.count < len(given) and given[self.count] == LEFT_OUT
        if said:
            self._found.append(LEFT_OUT)
        return said

    def leave_out(self, count: int) -> None:
        """Keep `LEFT_OUT` instead of what has been found beyond the first ones."""
        self._found[count:] = [LEFT_OUT]

    @property
    def found(self) -> tuple[bytes, ...] | None:
        """Those of all clearings so far; None where the mechanism needs none, or one of them cannot be written down."""
        written = tuple(one for one in self._found if one is not None)
        return written if written and len(written) == len(self._found) else None

    def refuse_more(self) -> None:
        """Raise `InfeasibleClearing` where more are given than the interval has clearings."""
        if self._given is not None and len(self._given) > len(self._found):
            raise InfeasibleClearing(
                f"{len(self._given)} solutions are given for {len(self._found)} clearings"
            )
