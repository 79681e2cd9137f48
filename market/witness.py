"""What a solver found, in bytes from which anybody derives its clearing again and proves it with numpy alone.

The bytes hold no lengths where the book says them, and each number has one form only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn

import numpy as np

from market.book import OrderBook
from market.clearing import Clearing
from market.errors import InfeasibleClearing
from market.rules import MarketRules
from market.units import FloatArray

LARGEST: Final = 1e18
"""Largest number of a witness: what is computed from it then still fits into floats and 64 bits."""
COUNT_BYTES: Final = 4
NUMBER_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Witness:
    """How a mechanism's clearing is proven to whoever has no solver.

    Args:
        to_bytes: What the solver found for a clearing that the mechanism made; None where nobody could check it, so
            that it has to be computed again.
        derive: The clearing of a book to which such bytes lead, by the same rules as in `clear`, checked and proven. It
            raises `InfeasibleClearing` where they do not prove it, whatever the bytes are, and takes no solver.
    """

    to_bytes: Callable[[Clearing], bytes | None]
    derive: Callable[[OrderBook, MarketRules, bytes], Clearing]


def counted(number: int) -> bytes:
    """The bytes of a count or an index."""
    return number.to_bytes(COUNT_BYTES, "little")


def numbers(values: FloatArray) -> bytes:
    """The bytes of floats, in which 0 has no sign."""
    return (np.asarray(values, dtype=np.float64) + 0.0).astype("<f8").tobytes()


class Reader:
    """Reads a witness from the front; every method raises `InfeasibleClearing` where it holds something else."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def count(self, most: int, of: str) -> int:
        """A count up to a most."""
        found = int.from_bytes(self._take(COUNT_BYTES), "little")
        if found > most:
            refuse(f"holds {found} {of}; at most {most} are read")
        return found

    def index(self) -> int:
        """Any number of 32 bits without a sign."""
        return int.from_bytes(self._take(COUNT_BYTES), "little")

    def byte(self, most: int) -> int:
        """A byte up to a most."""
        found = self._take(1)[0]
        if found > most:
            refuse(f"holds a byte {found} where {most} is the most")
        return found

    def numbers(self, count: int) -> FloatArray:
        """So many floats."""
        found: FloatArray = np.frombuffer(self._take(NUMBER_BYTES * count), "<f8").astype(np.float64)
        if not (np.abs(found) <= LARGEST).all():
            refuse(f"holds something that is no number, or one beyond {LARGEST:g}")
        if np.signbit(found[found == 0]).any():
            refuse("holds a 0 with a sign, which has another form")
        return found

    def end(self) -> None:
        """Nothing more."""
        if self._at < len(self._data):
            refuse(f"goes on for {len(self._data) - self._at} bytes behind its end")

    def _take(self, count: int) -> bytes:
        if self._at + count > len(self._data):
            refuse(f"ends after {len(self._data)} bytes; this book needs more")
        self._at += count
        return self._data[self._at - count : self._at]


def refuse(what: str) -> NoReturn:
    """Raise `InfeasibleClearing` about a witness."""
    raise InfeasibleClearing(f"the solution {what}")
