"""Readings that come after their interval was settled: a collector keeps them until it can be settled again.

They have no receipt: nobody promises anything about them. A home gives them to all collectors, again and again, until a
later version of the interval shows them or the time for that is over; so they need not survive a restart of this node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import trio

from p2p.errors import RemoteError
from p2p.roles.collector.hand_in import coded, read_each
from p2p.roles.exchange.wire import LATE_PROTOCOL, HandInReply, TooEarly
from p2p.transports.base import Transport
from p2p.wire.codec import encode
from p2p.wire.messages import ReadingMessage

LATE_MAX: Final = 96
"""Late readings of a home that are kept: those of a day of 15 minutes. It gives others when these are settled."""


class TooLate(RemoteError):
    """A reading of an interval that is not settled again any more."""

    code = "too_late"


class TooMany(RemoteError):
    """A reading of a home that has as many others waiting here as it may."""

    code = "too_many"


class LateReadings:
    """Takes late readings of the homes of a roster.

    Args:
        transport: An open endpoint; its handler is set at once.
        chain_id: 32 bytes of the chain.
        read: Checks the signed bytes of a reading as one that this market can settle; raises a RemoteError.
        age_of: How many intervals were settled after one; below 0 where it is not settled itself.
        most_age: From this age on no interval is settled again.
    """

    def __init__(
        self,
        transport: Transport,
        chain_id: bytes,
        read: Callable[[bytes], ReadingMessage],
        age_of: Callable[[int], int],
        most_age: int,
    ) -> None:
        self._chain_id, self._read, self._age_of, self._most_age = chain_id, read, age_of, most_age
        self._refused = transport.stats.refused
        self._waiting: dict[int, dict[str, bytes]] = {}
        self._news = trio.Event()
        transport.serve(LATE_PROTOCOL, self._take_all)

    @property
    def waiting(self) -> Mapping[int, Mapping[str, bytes]]:
        """Signed bytes of the readings, by interval and home."""
        return MappingProxyType(self._waiting)

    async def news(self) -> None:
        """Wait until there is another reading."""
        await self._news.wait()

    def drop(self, interval_start: int, households: frozenset[str]) -> None:
        """Keep the readings of some homes no longer: a version of the interval has readings of them."""
        left = {
            household: data
            for household, data in self._waiting.get(interval_start, {}).items()
            if household not in households
        }
        if left:
            self._waiting[interval_start] = left
        else:
            self._waiting.pop(interval_start, None)

    def drop_old(self) -> None:
        """Drop what cannot be settled any more."""
        for start in [start for start in self._waiting if self._age_of(start) >= self._most_age]:
            del self._waiting[start]

    async def _take_all(self, peer: str, frame: bytes) -> bytes:
        found = await read_each(peer, frame, self._chain_id, self._take, self._refused)
        entries = (coded(one) if isinstance(one, RemoteError) else b"" for _, one in found)
        return encode(HandInReply(tuple(entries)))

    def _take(self, data: bytes) -> None:
        reading = self._read(data)
        start, household = reading.interval_start, reading.household
        age = self._age_of(start)
        if age < 0:
            raise TooEarly(f"interval {start} is not settled")
        if age >= self._most_age:
            raise TooLate(f"interval {start} was settled {age} intervals ago")
        known = self._waiting.setdefault(start, {})
        if household in known:
            return
        if sum(household in others for others in self._waiting.values()) >= LATE_MAX:
            self.drop(start, frozenset())
            raise TooMany(f"{LATE_MAX} late readings of {household} wait here")
        known[household] = data
        news, self._news = self._news, trio.Event()
        news.set()
