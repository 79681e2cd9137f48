"""Keys of homes that nobody has rotated."""

from __future__ import annotations

from collections.abc import Mapping

from p2p.blocks.members import Members
from p2p.roles.collector.home_keys import HomeKeys


class _NothingRotated:
    def home_key(self, household: int, interval_start: int) -> bytes | None:
        return None

    def home_of(self, key: bytes) -> int | None:
        return None


def home_keys(keys: Mapping[str, bytes]) -> HomeKeys:
    """The keys of a chain whose homes have those of its genesis."""
    return HomeKeys(Members(tuple(keys), tuple(keys.values())), _NothingRotated)
