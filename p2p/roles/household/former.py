"""Keys of homes before they were rotated, which still sign the messages of earlier intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from p2p.wire.identity import Identity


@dataclass(frozen=True, slots=True)
class Former:
    """The keys that homes had before they rotated them.

    Args:
        identities: By home.
        until_s: Start of the first interval whose messages the new keys sign. [s since 1970, UTC]
    """

    identities: Mapping[str, Identity]
    until_s: int


NO_FORMER: Final = Former({}, 0)
