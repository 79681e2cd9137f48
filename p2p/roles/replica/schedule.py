"""When each slot of an interval is open, and whose turn it is to settle it, by the chain and the node's own clock.

The line of collectors follows from the state: first whom the last batch named, then the operators, then the validators,
beginning with another one in each interval. The first collects as soon as an interval has opened; each next one may
settle what the ones before it have not settled when its time has come. A batch that holds the messages of all homes
leaves nobody out, so it needs no turn; one that lacks messages needs the turn of its sender, and closings of a quorum.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from p2p.batches.batch import BatchArgs, Step
from p2p.batches.closings import check_closers
from p2p.roles.exchange.turns import GateOpen, NotDue, NotInTurn, Timing, line_of
from p2p.roles.replica.ledger import Ledger
from p2p.wire.messages import ReceiptCode

TOLERANCE_MS: Final = 250
"""How far ahead of the own clock others may be about the opening of an interval, or about their turn. [ms]"""
AHEAD: Final = 2
"""Intervals after the one that is settled next for which messages are taken: a node may be a few blocks behind."""


class Schedule:
    """Gates and turns as one node sees them.

    Args:
        ledger: Its copy of the chain.
        timing: Of the chain's intervals.
        following: Start of the interval after the one that starts here; of the first one, for -1. [s]
        opens_ms: When an interval opens: from its start [s], and when the one before it was settled, None where it is
            not. [ms]
        now_ms: The clock. [ms since 1970, UTC]
    """

    def __init__(
        self,
        ledger: Ledger,
        timing: Timing,
        following: Callable[[int], int],
        opens_ms: Callable[[int, int | None], int],
        now_ms: Callable[[], int],
    ) -> None:
        self.ledger, self.timing = ledger, timing
        self._following, self._opens_ms, self.now_ms = following, opens_ms, now_ms
        # Who was down while an interval was open could take no reading of it: its gate is open for a while after that.
        self._began_ms = now_ms()

    @property
    def _ready_ms(self) -> int:
        """Since when the interval that is settled next can be: the one before is settled, and this node is up."""
        return max(self.ledger.settled_ms, self._began_ms)

    @property
    def due_start(self) -> int:
        """Start of the interval that is settled next. [s since 1970, UTC]"""
        return self._following(self.ledger.tip.state.settled.last_interval_start)

    def opens_ms(self, interval_start: int) -> int:
        """When an interval opens. [ms since 1970, UTC]"""
        is_due = interval_start == self.due_start
        return self._opens_ms(interval_start, self.ledger.settled_ms if is_due else None)

    def closes_ms(self, interval_start: int, slot: int) -> int:
        """When the gate of a slot ends. [ms since 1970, UTC]"""
        return self.timing.closes_ms(slot, self.opens_ms(interval_start), self._ready_ms)

    def line(self) -> tuple[bytes, ...]:
        """The collectors of the interval that is settled next, in the order of their turns."""
        state, step_s = self.ledger.tip.state, self.ledger.genesis.params.minutes * 60
        return line_of(state.settled.collector, state.operators, state.validators, self.due_start // step_s)

    def turn_ms(self, place: int) -> int:
        """When the collector at a place may settle the next interval though messages are missing."""
        return self.timing.turn_ms(place, self.opens_ms(self.due_start), self._ready_ms)

    def takes_over_ms(self, place: int) -> int:
        """When the collector at a place may take over the next interval if it has all messages."""
        return self.timing.takes_over_ms(place, self.opens_ms(self.due_start), self.ledger.settled_ms)

    def refusal(self, interval_start: int, slot: int) -> ReceiptCode | None:
        """Why a message of a slot is not taken now; None where it is."""
        start = self.due_start
        if interval_start < start:
            return ReceiptCode.LATE
        within = [start]
        while len(within) <= AHEAD:
            within.append(self._following(within[-1]))
        if interval_start not in within or self.now_ms() + TOLERANCE_MS < self.opens_ms(interval_start):
            return ReceiptCode.EARLY
        if slot < self.timing.rounds and self.now_ms() > self.closes_ms(interval_start, slot):
            return ReceiptCode.LATE
        return None

    def check_closed(self, interval_start: int, slot: int) -> None:
        """Raise unless the gate of a slot has ended by the own clock.

        Raises:
            NotInTurn: Another interval is settled next.
            GateOpen: It has not; says when it has.
        """
        if interval_start != self.due_start:
            raise NotInTurn(f"interval {interval_start}; the next is {self.due_start}")
        left_ms = self.closes_ms(interval_start, slot) - self.now_ms()
        if left_ms > 0:
            raise GateOpen(f"slot {slot} of interval {interval_start} is open for {left_ms} ms")

    def check_batch(self, args: Step, sender: bytes) -> None:
        """Raise unless a batch may settle the next interval now, or close its orders, if it lacks nothing.

        Raises:
            NotInTurn: Another interval is next, or the sender is none that may settle it.
            NotDue: It has not opened, or it names a collector whose turn has not come.
        """
        if args.interval_start != self.due_start:
            raise NotInTurn(f"a batch of interval {args.interval_start}; the next is {self.due_start}")
        line = self.line()
        if sender not in line:
            raise NotInTurn("the sender of the batch is no collector")
        now_ms = self.now_ms() + TOLERANCE_MS
        if now_ms < self.opens_ms(args.interval_start):
            raise NotDue(f"interval {args.interval_start} has not opened")
        state = self.ledger.tip.state
        takes_it = (
            isinstance(args, BatchArgs)
            and args.next_collector == sender
            and sender not in (*state.operators, line[0])
        )
        if takes_it and now_ms < self.takes_over_ms(line.index(sender)):
            raise NotDue(f"the sender takes the next turn before that of interval {args.interval_start}")

    def check_lacking(self, args: Step, sender: bytes, closed: Sequence[frozenset[bytes]]) -> None:
        """Raise unless a batch may settle the next interval though it lacks messages, where it does.

        Args:
            closed: Who has closed each slot that lacks a message.

        Raises:
            NotClosed: A quorum of the validators of now has not closed a slot.
            NotDue: The turn of the sender has not come.
        """
        if not closed:
            return
        check_closers(closed, self.ledger.tip.state.validators)
        line = self.line()
        place = line.index(sender) if sender in line else len(line)
        if self.now_ms() + TOLERANCE_MS < self.turn_ms(place):
            raise NotDue(f"interval {args.interval_start}: the turn of the sender has not come")
