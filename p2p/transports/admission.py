"""Who may connect to a node: places by rank, by key and by address, and room for those that are not authenticated yet.

Nothing here knows sockets: `p2p.transports.guard` calls it for those of libp2p. A node that is full of strangers and
members has places left for collectors, and one under a flood of silent connections lets a newcomer in.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from p2p.errors import RemoteError
from p2p.transports.counters import Refusals

SILENCE_S: Final = 0.2
"""After how long a connection that has said nothing is the first to go. [s]"""
HANDSHAKE_S: Final = 3.0
"""How long a connection may take to prove a key, silent or not. [s]"""


class NoPlace(RemoteError):
    """A connection of a peer for whose rank all places are taken."""

    code = "no_place"


class AddressFull(RemoteError):
    """A connection of an address that has as many as one may have."""

    code = "address_full"


class TooManyConnections(RemoteError):
    """A connection that a newer one of the same key took the place of."""

    code = "too_many_connections"


class HandshakeDisplaced(RemoteError):
    """A connection that had proven no key when its place was needed for a newer one."""

    code = "handshake_displaced"


class HandshakeTimeout(RemoteError):
    """A connection that proved no key in time."""

    code = "handshake_timeout"


class HandshakeFailed(RemoteError):
    """A connection that ended, or was ended, before it proved a key."""

    code = "handshake_failed"


class Rank(IntEnum):
    """What a peer is to a node."""

    STRANGER = 0
    """Nobody of the chain: whoever asks for status, blocks, snapshots and roots."""
    MEMBER = 1
    """A home, or a node that the configuration names."""
    COLLECTOR = 2
    """An operator or validator of the chain."""


RankOf = Callable[[str], Rank]
"""The rank of a peer id."""


def everybody_is_known(_peer: str) -> Rank:
    """The rank of everybody for a node that belongs to no chain."""
    return Rank.MEMBER


@dataclass(frozen=True, slots=True)
class Places:
    """How many connections from others a node accepts.

    Args:
        total: In all.
        kept: Of these, how many only collectors may take.
        strangers: How many strangers may take.
        per_key: Of one key; a newer one takes the place of the oldest.
        per_address: Of one IP address, unless by collectors.
        waiting: Beside the total, how many may be without a proven key; a newer one takes the place of an older one.
    """

    total: int = 512
    kept: int = 64
    strangers: int = 32
    per_key: int = 3
    per_address: int = 512
    waiting: int = 256


@dataclass(slots=True, eq=False)
class Inbound:
    """A connection from outside.

    Args:
        address: Its IP address.
        close: Ends it.
        since: When it began, by the clock of its `Admission`. [s]

    Attributes:
        spoke: Whether it has sent anything.
        peer: Its peer id, once proven.
        refusal: Why it was ended, if it was.
    """

    address: str
    close: Callable[[], None]
    since: float
    spoke: bool = False
    peer: str | None = None
    refusal: RemoteError | None = None


@dataclass(slots=True)
class Admission:
    """The connections from outside that a node has, and for which of them it has a place.

    Args:
        refused: Counts whom it refuses.
        places: How many it lets in.
        rank_of: Who is who; asked when a connection has proven its key.
        clock: Seconds.
    """

    refused: Refusals
    places: Places = Places()
    rank_of: RankOf = everybody_is_known
    clock: Callable[[], float] = time.monotonic
    _waiting: dict[Inbound, None] = field(default_factory=dict)
    _inside: dict[Inbound, Rank] = field(default_factory=dict)

    @property
    def waiting(self) -> int:
        """Connections without a proven key."""
        return len(self._waiting)

    @property
    def inside(self) -> int:
        """Connections with one."""
        return len(self._inside)

    def register(self, address: str, close: Callable[[], None]) -> Inbound:
        """Let a new connection try to prove its key; where too many do, an older one is ended."""
        inbound = Inbound(address, close, self.clock())
        if len(self._waiting) >= self.places.waiting:
            self.end(self._dispensable(), HandshakeDisplaced("its place was needed for a newer connection"))
        self._waiting[inbound] = None
        return inbound

    def _dispensable(self) -> Inbound:
        """The oldest waiting connection: of those that said nothing, if any, and of the address that has most.

        Where most have spoken, one that has not is only just there, unless it has been for a while.
        """
        silent = [inbound for inbound in self._waiting if not inbound.spoke]
        if 2 * len(silent) <= len(self._waiting):
            silent = [inbound for inbound in silent if self.clock() - inbound.since > SILENCE_S]
        found = silent or list(self._waiting)
        crowd = Counter(inbound.address for inbound in found).most_common(1)[0][0]
        return next(inbound for inbound in found if inbound.address == crowd)

    def enter(self, inbound: Inbound, peer: str) -> None:
        """Give a connection that has proven its key a place.

        Raises:
            RemoteError: There is none for it; it is counted and must be ended.
        """
        if inbound.refusal is not None:
            raise inbound.refusal
        self._waiting.pop(inbound, None)
        inbound.peer, rank = peer, self.rank_of(peer)
        try:
            self._check_places(inbound, rank)
        except RemoteError as error:
            inbound.refusal = error
            self.refused.add(peer, error.code, error.detail)
            raise
        self._inside[inbound] = rank
        own = [other for other in self._inside if other.peer == peer]
        for older in own[: -self.places.per_key]:
            self.end(older, TooManyConnections(f"more than {self.places.per_key} connections of its key"))

    def _check_places(self, inbound: Inbound, rank: Rank) -> None:
        places, inside = self.places, self._inside
        own = sum(other.peer == inbound.peer for other in inside)
        if own >= places.per_key:
            return  # it takes the place of an older one
        if rank == Rank.COLLECTOR:
            if len(inside) >= places.total:
                raise NoPlace(f"all {places.total} places are taken")
            return
        at_address = sum(other.address == inbound.address for other in inside)
        if at_address >= places.per_address:
            raise AddressFull(f"{at_address} connections of {inbound.address} already")
        strangers = sum(other == Rank.STRANGER for other in inside.values())
        if rank == Rank.STRANGER and strangers >= places.strangers:
            raise NoPlace(f"all {places.strangers} places for strangers are taken")
        others = sum(other != Rank.COLLECTOR for other in inside.values())
        if others >= places.total - places.kept:
            raise NoPlace(
                f"all {places.total - places.kept} places that are not kept for collectors are taken"
            )

    def end(self, inbound: Inbound, reason: RemoteError) -> None:
        """End a connection and count why, unless it has ended already."""
        if inbound.refusal is None and self._forget(inbound):
            inbound.refusal = reason
            self.refused.add(inbound.peer or inbound.address, reason.code, reason.detail)
            inbound.close()

    def gone(self, inbound: Inbound) -> None:
        """Note that a connection has ended by itself; one that proved no key is counted."""
        self._forget(inbound)
        if inbound.peer is None and inbound.refusal is None:
            inbound.refusal = HandshakeFailed("it ended before it proved a key")
            self.refused.add(inbound.address, inbound.refusal.code, inbound.refusal.detail)

    def _forget(self, inbound: Inbound) -> bool:
        """Give its place up; False where it had none any more."""
        had = inbound in self._waiting or inbound in self._inside
        self._waiting.pop(inbound, None)
        self._inside.pop(inbound, None)
        return had
