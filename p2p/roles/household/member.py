"""The client of one home: its gateway carries what it says and asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from market.rounds import Tape
from p2p.batches.closings import Closing
from p2p.ledger.light import SettledInterval
from p2p.roles.exchange.wire import INCLUSIONS_PROTOCOL, LINES_PROTOCOL, POSITIONS_PROTOCOL
from p2p.roles.household.gateway import Gateway
from p2p.roles.household.witnesses import Promise
from p2p.wire.messages import HandedIn, ReadingMessage, ReceiptMessage, Said, SealedMessage

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Member:
    """The client of one home."""

    gateway: Gateway
    id: str

    def public_key(self, interval_start: int) -> bytes:
        """The key that signs its own messages of an interval."""
        return self.gateway.identity_of(self.id, interval_start).public_key

    def sealed(self, message: Said) -> Said | SealedMessage:
        """See `Gateway.sealed`."""
        return self.gateway.sealed(message)

    async def submit(self, message: HandedIn) -> ReceiptMessage:
        """Submit an order, "nothing" or a meter reading."""
        return await self.gateway.submit(message)

    async def give_late(self, readings: Sequence[ReadingMessage]) -> None:
        """Give readings of settled intervals to all collectors."""
        await self.gateway.give_late(readings)

    async def result(self, interval_start: int) -> SettledInterval:
        """Ask for the proof of a settled interval."""
        return await self.gateway.result(interval_start)

    async def line(self, interval_start: int, read: Callable[[bytes], T]) -> T:
        """Ask for the own settlement line."""
        return await self.gateway.ask(LINES_PROTOCOL, self.id, interval_start, 0, read)

    async def inclusion(self, interval_start: int, slot: int, read: Callable[[bytes], T]) -> T:
        """Ask for the opening of the own leaf of a slot in the batch's inclusion root."""
        return await self.gateway.ask(INCLUSIONS_PROTOCOL, self.id, interval_start, slot, read)

    async def position(
        self, interval_start: int, number: int, read: Callable[[bytes], T], due_s: float | None = None
    ) -> T:
        """Ask for what was bought and sold up to a round, before it is settled; see `Gateway.ask`."""
        return await self.gateway.ask(POSITIONS_PROTOCOL, self.id, interval_start, number, read, due_s)

    async def tape(self, interval_start: int, number: int, due_s: float | None = None) -> Tape:
        """Ask for the orders of the rounds up to one, without names; see `Gateway.ask`."""
        return await self.gateway.tape(interval_start, number, due_s)

    async def closings(
        self, interval_start: int, slot: int, check: Callable[[tuple[Closing, ...]], None]
    ) -> tuple[Closing, ...]:
        """Ask for the closings in the batch of an interval; see `Gateway.closings`."""
        return await self.gateway.closings(interval_start, slot, check)

    async def accuse(self, method: str, proof: bytes, culprit: bytes) -> None:
        """Give a proof to validators."""
        await self.gateway.accuse(method, proof, culprit)

    def promises(self, interval_start: int, slot: int) -> dict[bytes, Promise]:
        """What was promised about the newest message in a slot."""
        return self.gateway.promises(self.id, interval_start, slot)
