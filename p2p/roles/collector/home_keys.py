"""Which key signs for which home, by the list of homes and a copy of the chain, in which homes have rotated keys."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from p2p.blocks.members import Members
from p2p.errors import UnknownHousehold
from p2p.transports.base import public_key_of
from p2p.wire.messages import Kind


class KeyState(Protocol):
    """What the state of a chain knows of the keys of homes."""

    def home_key(self, household: int, interval_start: int) -> bytes | None: ...

    def home_of(self, key: bytes) -> int | None: ...

    def is_barred(self, household: int, interval_start: int) -> bool: ...


class HomeKeys:
    """The keys of the homes of a chain.

    A key that has lost its home signs the messages of the intervals before, see `p2p.ledger.modules.accounts`, and asks
    for what belongs to them; the new key asks for everything of its home.

    Args:
        members: The homes that the genesis commits to.
        state: The state of now.
    """

    def __init__(self, members: Members, state: Callable[[], KeyState]) -> None:
        self._members, self._state = members, state
        self._first = {key: place for place, key in enumerate(members.keys)}
        self._signs = members.keys_with(self.rotated)

    def rotated(self, household: int, interval_start: int) -> bytes | None:
        """See `p2p.blocks.members.Rotated`."""
        return self._state().home_key(household, interval_start)

    def is_barred(self, household: int, interval_start: int) -> bool:
        """Whether a home may not order in an interval; arguments as in `Rotated`."""
        return self._state().is_barred(household, interval_start)

    def key_of(self, household: str, interval_start: int, kind: Kind) -> bytes | None:
        """See `p2p.wire.messages.KeyOf`."""
        return self._signs(household, interval_start, kind)

    def home_of(self, peer: str, interval_start: int) -> str:
        """The home whose figures of an interval a peer may know: its own.

        Raises:
            UnknownHousehold: The key of the peer is that of no home, or has lost it by then.
        """
        return self._home_with(public_key_of(peer), interval_start)

    def asks_with(self, key: bytes, household: str, interval_start: int, kind: Kind) -> bytes | None:
        """The key that signs a home's questions about an interval: this one, if it may, else that of the interval."""
        with suppress(UnknownHousehold):
            if self._home_with(key, interval_start) == household:
                return key
        return self.key_of(household, interval_start, kind)

    def _home_with(self, key: bytes, interval_start: int) -> str:
        place = self._state().home_of(key)
        if place is not None:
            return self._members.ids[place]
        first = self._first.get(key)
        if first is None:
            raise UnknownHousehold("the key belongs to no home of the roster")
        household = self._members.ids[first]
        if self.key_of(household, interval_start, Kind.LINE_QUERY) != key:
            raise UnknownHousehold(f"the key has lost its home by {interval_start}")
        return household
