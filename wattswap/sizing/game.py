"""What groups of homes are worth, each computed once."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from market.units import IntArray


class Game(ABC):
    """A game whose players are homes.

    Args:
        count: Number of homes.
        at_once: Groups that are computed together, which bounds the memory.
    """

    def __init__(self, count: int, at_once: int) -> None:
        self.count, self._at_once = count, at_once
        self._known: dict[int, int] = {}

    def values(self, groups: IntArray) -> IntArray:
        """Value of each of an array of bit masks. [nano-currency]"""
        new = [mask for mask in np.unique(groups).tolist() if mask not in self._known]
        for first in range(0, len(new), self._at_once):
            part = np.array(new[first : first + self._at_once], dtype=np.int64)
            self._known |= dict(zip(part.tolist(), self._worth(part).tolist(), strict=True))
        found: IntArray = np.vectorize(self._known.__getitem__, otypes=[np.int64])(groups)
        return found

    def whole(self) -> int:
        """Value of all homes together. [nano-currency]"""
        return int(self.values(np.array([(1 << self.count) - 1]))[0])

    def _member(self, masks: IntArray) -> IntArray:
        """1 where a home is in a group, shape (homes, groups)."""
        found: IntArray = masks >> np.arange(self.count, dtype=np.int64)[:, None] & 1
        return found

    @abstractmethod
    def _worth(self, masks: IntArray) -> IntArray:
        """Value of some groups. [nano-currency]"""
