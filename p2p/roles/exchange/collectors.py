"""The collectors in order: the operators, and when they fail the validators in the order of their turns.

All nodes follow the same list, so those that lost their collector agree on the next one: operators in the
order of the genesis, then the validators in the order in which they would propose the next block.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import trio

from p2p.transports.base import RequestRefused, Transport
from p2p.wire.frames import LinkError, NoReply

FAILOVER_S: Final = 3.0
"""How long a collector may fail to answer before the next one is asked. [s]"""


class Collector(NamedTuple):
    """One that may collect: its public key and where it listens."""

    key: bytes
    address: str


class Collectors:
    """The collectors as one node sees them.

    Args:
        operators: In the order of the genesis; the first collects at the beginning.
        authorities: In the order of the genesis.
        failover_s: How long the current one may fail before the next is asked. [s]
        keys: Public keys of those whose receipts and results count now; those of all of them where not given.
    """

    def __init__(
        self,
        transport: Transport,
        operators: Sequence[Collector],
        authorities: Sequence[Collector] = (),
        *,
        failover_s: float = FAILOVER_S,
        keys: Callable[[], frozenset[bytes]] | None = None,
    ) -> None:
        self._transport = transport
        self._operators, self._authorities = tuple(operators), tuple(authorities)
        self._failover_s = failover_s
        self._height = 0
        self._followed = -1
        self._peers: dict[bytes, str] = {}
        self._failing_since: float | None = None
        self.current = self._operators[0]
        everybody = frozenset(one.key for one in (*operators, *authorities))
        self._keys = keys or (lambda: everybody)

    @property
    def keys(self) -> frozenset[bytes]:
        """Public keys of those whose receipts and results count now."""
        return self._keys()

    def name(self, key: bytes, height: int, interval_start: int, current_start: int) -> None:
        """Follow the collector that the first result of the current interval names next.

        A home that catches up asks for old results, and they name one that may have failed since. One that is dated
        ahead is not followed: it would make all true ones count as old.

        Args:
            height: Of the block that settled the interval.
            interval_start: Of the result. [s since 1970, UTC]
            current_start: Of the newest interval for which this node has sent anything. [s since 1970, UTC]
        """
        if interval_start != current_start or interval_start <= self._followed:
            return
        self._followed, self._height = interval_start, height
        for one in (*self._operators, *self._authorities):
            if one.key == key and one != self.current:
                self.current, self._failing_since = one, None

    async def request(self, protocol: str, frame: bytes) -> bytes:
        """Ask the current collector.

        Raises:
            LinkError: It does not answer; if that continues, the next call asks the next one.
            RequestRefused: It refused, with a code.
        """
        one = self.current
        try:
            with trio.move_on_after(self._failover_s):
                peer = self._peers.get(one.key)
                if peer is None:
                    peer = self._peers[one.key] = await self._transport.connect(one.address)
                reply = await self._transport.request(peer, protocol, frame)
                self._note_answer(one)
                return reply
            raise NoReply(f"no reply of the collector at {one.address} within {self._failover_s:g} s")
        except LinkError:
            self._note_failure(one)
            raise
        except RequestRefused:
            self._note_answer(one)
            raise

    async def reach(self) -> str:
        """Connect to the current collector and return its peer id.

        Raises:
            LinkError: It does not answer.
        """
        one = self.current
        try:
            self._peers[one.key] = await self._transport.connect(one.address)
        except LinkError:
            self._note_failure(one)
            raise
        return self._peers[one.key]

    def _note_answer(self, one: Collector) -> None:
        if one == self.current:  # a late answer of one before it is none of the current one
            self._failing_since = None

    def _note_failure(self, one: Collector) -> None:
        now = trio.current_time()
        if one != self.current:
            return
        if self._failing_since is None:
            self._failing_since = now
        if now - self._failing_since >= self._failover_s:
            self.current, self._failing_since = self._next_after(one), None

    def _next_after(self, one: Collector) -> Collector:
        turn = (self._height + 1) % len(self._authorities) if self._authorities else 0
        in_turn = (*self._operators, *self._authorities[turn:], *self._authorities[:turn])
        line = tuple(dict.fromkeys(in_turn))  # an operator may be a validator: it is listed once
        return line[(line.index(one) + 1) % len(line)]
