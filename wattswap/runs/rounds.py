"""The market of one interval, round after round: shared by runs, collectors and all who check a batch."""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING

from agents.bidders import Round
from market.book import OrderBook
from market.clearing import Clearing
from market.mechanism import refuse_unused
from market.rounds import Session, Tape
from market.units import IntArray
from wattswap.runs.clearing import check_cleared, in_interval
from wattswap.runs.solutions import Solutions

if TYPE_CHECKING:
    from wattswap.runs.prepare import Setup


class Rounds:
    """The rounds of an interval as they are cleared; the same orders give the same result everywhere.

    Args:
        i: Number of the interval.
        solutions: Where they are given or kept; None for neither.
    """

    def __init__(self, setup: Setup, i: int, solutions: Solutions | None = None) -> None:
        self._setup, self._i, self._clear_ns = setup, i, 0
        mechanism = setup.mechanism if solutions is None else solutions.of(setup.mechanism)
        self._session = Session(mechanism, setup.rules_at(i))

    def clear(self, new: OrderBook) -> None:
        """Clear the next round.

        Args:
            new: Its orders, with sequences of that round.

        Raises:
            NotTaken: The book or the rules hold what the mechanism does not use.
            InfeasibleClearing: The mechanism broke a rule of the market.
            Infeasible: The solver has no answer.
        """
        session = self._session
        refuse_unused(self._setup.mechanism, new, session.rules)
        begun = perf_counter_ns()
        with in_interval(self._setup, self._i):
            session.clear(new)
        self._clear_ns += perf_counter_ns() - begun

    @property
    def done(self) -> int:
        """How many rounds have been cleared."""
        return self._session.rounds

    def bought_wh(self) -> IntArray:
        """What each home of the roster has bought so far less what it has sold. [Wh]"""
        return self._session.bought_wh(len(self._setup.roster))

    def tape(self) -> Tape:
        """The public record of the rounds so far."""
        return self._session.tape()

    def opened(self, members: IntArray) -> Round:
        """What homes know when the next round opens, or after the last.

        Args:
            members: Their indices in the roster.
        """
        return Round(self.done, self.tape(), self.bought_wh()[members])

    def result(self) -> tuple[OrderBook, Clearing, int]:
        """The book of all rounds, its clearing, and the time that clearing took. [ns]

        Raises:
            InfeasibleClearing: All rounds together break a rule of the market.
        """
        book, clearing = self._session.book, self._session.clearing()
        check_cleared(self._setup, book, clearing)
        return book, clearing, self._clear_ns
