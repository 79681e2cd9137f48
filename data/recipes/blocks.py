"""Titles between the rows of a text table: the word of each is that of the rows below it."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from data.recipes.model import BlockRule
from market.units import IntArray


class Blocks:
    """Finds the titles of one file, line by line from its header on.

    Args:
        rule: How a title is known.
    """

    def __init__(self, rule: BlockRule) -> None:
        self._find = re.compile(rule.find, re.M)
        self._lines: list[int] = []
        self._words: list[str] = []

    def take(self, text: str, line: int) -> str:
        """Remember the titles in whole lines of a text, and blank their lines.

        Args:
            text: Some lines, as the file has them.
            line: Line of the first of them in the file.
        """
        kept: list[str] = []
        done = 0
        while found := self._find.search(text, done):
            start = text.rfind("\n", 0, found.start()) + 1
            end = text.find("\n", found.end())
            end = len(text) if end < 0 else end
            line += text.count("\n", done, start)
            self._lines.append(line)
            self._words.append(found["word"])
            kept.append(text[done:start])
            done = end
        return "".join([*kept, text[done:]])

    def words(self, lines: IntArray) -> Any:
        """The word of the title above each line, an Arrow dictionary; "" above the first title."""
        import pyarrow as pa

        above = np.searchsorted(np.array(self._lines, dtype=np.int64), lines, side="right")
        known = list(dict.fromkeys(["", *self._words]))
        of_title = np.array([0, *(known.index(word) for word in self._words)], dtype=np.int32)
        return pa.DictionaryArray.from_arrays(pa.array(of_title[above]), pa.array(known, pa.string()))
