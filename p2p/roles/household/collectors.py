"""The collectors as a home sees them: whom it asks now, whom next, and whom it does not trust."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import trio

from p2p.roles.exchange.turns import line_of
from p2p.transports.base import RequestRefused, Transport
from p2p.wire.frames import LinkError, NoReply

FAILOVER_S: Final = 3.0
"""How long a collector may fail to answer before the next one is asked. [s]"""


class Collector(NamedTuple):
    """One that may collect: its public key and where it listens."""

    key: bytes
    address: str


class Sets(NamedTuple):
    """Public keys of those who may collect, as far as a home knows, each kind in its order.

    Args:
        operators: Of the market.
        validators: Of the chain.
    """

    operators: tuple[bytes, ...]
    validators: tuple[bytes, ...]


class Collectors:
    """The collectors as one node sees them.

    Args:
        addresses: Where each one listens, by its public key; one without an address is never asked.
        sets: Who may collect now.
        failover_s: How long the current one may fail before the next is asked. [s]
    """

    def __init__(
        self,
        transport: Transport,
        addresses: Mapping[bytes, str],
        sets: Callable[[], Sets],
        *,
        failover_s: float = FAILOVER_S,
    ) -> None:
        self._transport = transport
        self._addresses, self._sets = dict(addresses), sets
        self.failover_s = failover_s
        self._height = self._number = 0
        self._named = b""
        self._current = b""
        self._peers: dict[bytes, str] = {}
        self._failing_since: float | None = None
        self._distrusted: set[bytes] = set()
        self._convicted: set[bytes] = set()

    @property
    def keys(self) -> frozenset[bytes]:
        """Public keys of those whose receipts count now."""
        return frozenset(key for keys in self._sets() for key in keys)

    @property
    def current(self) -> Collector:
        """Whom the node asks now."""
        line = self.line
        if self._current not in line:
            self._current = next((key for key in line if key not in self._distrusted), line[0])
            self._failing_since = None
        return Collector(self._current, self._addresses[self._current])

    @property
    def line(self) -> tuple[bytes, ...]:
        """Those that can be asked, in the order of their turns; the convicted ones only where there is nobody else."""
        operators, validators = self._sets()
        line = [
            key for key in line_of(self._named, operators, validators, self._number) if key in self._addresses
        ]
        return tuple(key for key in line if key not in self._convicted) or tuple(line)

    @property
    def all(self) -> tuple[Collector, ...]:
        """All that can be asked, in the order of their turns."""
        return tuple(Collector(key, self._addresses[key]) for key in self.line)

    @property
    def validators(self) -> tuple[Collector, ...]:
        """The validators that can be asked; the convicted ones only where there is nobody else."""
        keys = [key for key in self._sets().validators if key in self._addresses]
        free = [key for key in keys if key not in self._convicted] or keys
        return tuple(Collector(key, self._addresses[key]) for key in free)

    @property
    def validator_set(self) -> tuple[bytes, ...]:
        """The keys of all validators, in the order of the chain."""
        return self._sets().validators

    @property
    def witnesses(self) -> int:
        """How many validators must have promised a message, so that it binds the chain: f + 1 of 3 f + 1."""
        return (len(self._sets().validators) - 1) // 3 + 1

    def name(self, key: bytes, height: int, number: int) -> None:
        """Follow the collector that the newest settled interval names.

        Args:
            height: Of the block that settled it, which was checked.
            number: Of the interval after it since 1970.
        """
        if height <= self._height:
            return
        self._height, self._named, self._number = height, key, number
        self._distrusted.clear()
        if key in self.line and key != self._current:
            self._current, self._failing_since = key, None

    def distrust(self, one: Collector) -> None:
        """Ask others from now on, until the next interval is settled: its answer was wrong."""
        self._distrusted.add(one.key)
        if one.key == self._current:
            self._move_on()

    def convict(self, key: bytes) -> None:
        """Never ask one again that has broken a promise."""
        self._convicted.add(key)
        if key == self._current:
            self._move_on()

    async def request(self, protocol: str, frame: bytes) -> bytes:
        """Ask the current collector.

        Raises:
            LinkError: It does not answer; if that continues, the next call asks the next one.
            RequestRefused: It refused, with a code.
        """
        one = self.current
        try:
            reply = await self.request_of(one, protocol, frame)
        except LinkError:
            self._note_failure(one)
            raise
        except RequestRefused:
            self._note_answer(one)
            raise
        self._note_answer(one)
        return reply

    async def request_of(
        self, one: Collector, protocol: str, frame: bytes, patience_s: float | None = None
    ) -> bytes:
        """Ask one of them, whoever is asked otherwise; as `request`.

        Args:
            patience_s: How long it may take to answer, where it is another time than until the next is asked. [s]
        """
        patience_s = self.failover_s if patience_s is None else patience_s
        with trio.move_on_after(patience_s):
            peer = self._peers.get(one.key)
            if peer is None:
                peer = self._peers[one.key] = await self._transport.connect(one.address)
            return await self._transport.request(peer, protocol, frame)
        raise NoReply(f"no reply of the collector at {one.address} within {patience_s:g} s")

    async def reach(self) -> None:
        """Connect to the current collector.

        Raises:
            LinkError: It does not answer.
        """
        one = self.current
        try:
            self._peers[one.key] = await self._transport.connect(one.address)
        except LinkError:
            self._note_failure(one)
            raise

    def _note_answer(self, one: Collector) -> None:
        if one.key == self._current:  # a late answer of one before it is none of the current one
            self._failing_since = None

    def _note_failure(self, one: Collector) -> None:
        now = trio.current_time()
        if one.key != self._current:
            return
        if self._failing_since is None:
            self._failing_since = now
        if now - self._failing_since >= self.failover_s:
            self._move_on()

    def _move_on(self) -> None:
        """Ask the next one that is trusted; where none but the current one is left, any."""
        line = self.line
        at = line.index(self._current) + 1 if self._current in line else 0
        others = (*line[at:], *line[:at])
        if self._distrusted.issuperset(key for key in others if key != self._current):
            self._distrusted.clear()
        self._current = next(key for key in others if key not in self._distrusted)
        self._failing_since = None
