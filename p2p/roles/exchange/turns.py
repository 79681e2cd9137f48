"""When each slot of an interval is open, and whose turn it is to settle it: functions of the state and of times."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from p2p.errors import RemoteError


class NotInTurn(RemoteError):
    """A batch of another interval than the one that follows the last settled one, or by one whose turn it is not."""

    code = "not_in_turn"


class NotDue(RemoteError):
    """A batch of an interval that has not opened yet, or before the turn of its sender has come."""

    code = "not_due"


class GateOpen(RemoteError):
    """A closing that is asked for while the gate of its slot is open."""

    code = "gate_open"


@dataclass(frozen=True, slots=True)
class Timing:
    """How long each step of an interval takes.

    Args:
        rounds: Of its market.
        gate_ms: How long the gate of a slot is open. [ms]
        takeover_ms: How long each collector waits for the one before it. [ms]
    """

    rounds: int
    gate_ms: int
    takeover_ms: int

    def closes_ms(self, slot: int, opens_ms: int, ready_ms: int) -> int:
        """When the gate of a slot ends: each has its time after the one before it.

        That of the readings is open for as long after the interval could be settled, where that was late: orders of
        an interval whose time has passed are not taken any more, and its readings are.

        Args:
            ready_ms: Since when the interval before is settled, and the node is up.
        """
        ends_ms = opens_ms + (slot + 1) * self.gate_ms
        return max(ends_ms, ready_ms + self.gate_ms) if slot == self.rounds else ends_ms

    def turn_ms(self, place: int, opens_ms: int, ready_ms: int) -> int:
        """When the collector at a place of the line may settle what lacks messages."""
        if not place:
            return opens_ms
        return self.closes_ms(self.rounds, opens_ms, ready_ms) + place * self.takeover_ms

    def takes_over_ms(self, place: int, opens_ms: int, settled_ms: int) -> int:
        """When the collector at a place of the line may take over from those before it, if it has all messages."""
        return max(opens_ms, settled_ms) + place * self.takeover_ms


def line_of(
    first: bytes, operators: Iterable[bytes], validators: Sequence[bytes], number: int
) -> tuple[bytes, ...]:
    """Return the collectors in the order of their turns.

    Args:
        first: Whom the last batch named; it comes first where it is an operator or a validator.
        operators: In their order.
        validators: In their order.
        number: Of the interval since 1970, so that another validator is next in each.
    """
    turn = number % len(validators) if validators else 0
    others = dict.fromkeys((*operators, *validators[turn:], *validators[:turn]))
    return tuple(dict.fromkeys((first, *others))) if first in others else tuple(others)
