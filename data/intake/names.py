"""What homes are called: by names that may be kept, or home-1, home-2, .. in the place of ids that identify people."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from data.findings import Finding
from data.intake.raw import RawReadings
from data.readings import home_id
from market.units import IntArray

MeterNames = Literal["name", "id", "none"]
"""What names a home in a file: a name, an id that identifies people, or nothing, the file being of one home."""

FIRST_ROWS = 4_096
"""Rows that mostly show all homes of a chunk: all rows are used only where they do not."""

SHORTEST_ID = 4
"""An id is looked for in messages if it has this many characters; a shorter one could be any number."""


def first_rows(code: IntArray, texts: int) -> IntArray:
    """The first row of each code; the number of rows where none has it."""
    rows = len(code)
    first = np.full(texts, rows, dtype=np.int64)
    looked = min(FIRST_ROWS, rows)
    first[code[:looked][::-1]] = np.arange(looked - 1, -1, -1)  # of rows with one code the first stays
    if looked < rows and (first == rows).any():
        first[code[::-1]] = np.arange(rows - 1, -1, -1)
    return first


@dataclass(slots=True)
class Names:
    """The names of the homes of one file, given in the order in which its rows first show them.

    Args:
        meters: What names a home in the file.
        said: Names that the user gives, by id or by the name that a home would have without.
        homes: Home of each id, in order of first appearance.
    """

    meters: MeterNames
    said: Mapping[str, str] = field(default_factory=dict)
    homes: dict[str, str] = field(default_factory=dict)

    def of(self, chunk: RawReadings) -> RawReadings:
        """The same rows with the names of their homes."""
        rows = len(chunk.meter.code)
        first = first_rows(chunk.meter.code, len(chunk.meter.texts))
        order = np.argsort(first, kind="stable")
        for code in order[first[order] < rows].tolist():
            self._add(chunk.meter.texts[code])
        # A text that no row has is not named: it would count as a home, and could be an id.
        texts = [self.homes.get(home_id(text), "") for text in chunk.meter.texts]
        return replace(chunk, meter=replace(chunk.meter, texts=texts))

    def _add(self, text: str) -> None:
        id_ = home_id(text)
        if id_ in self.homes:
            return
        numbered = self.meters == "none" or (self.meters == "id" and bool(id_))
        number = len(self.homes) + 1
        said = self.said.get(id_) or (self.said.get(f"home-{number}") if numbered else None)
        if said is None and numbered:
            taken = {*self.homes.values(), *self.said.values()}
            while f"home-{number}" in taken:
                number += 1
        self.homes[id_] = home_id(said or (f"home-{number}" if numbered else id_))

    def ids_of(self, homes: tuple[str, ...]) -> tuple[str, ...]:
        """Ids of homes as the file has them; of a home that has several, the first."""
        ids: dict[str, str] = {}
        for id_, home in self.homes.items():
            ids.setdefault(home, id_)
        return tuple(ids.get(home, home) for home in homes)

    def hide_in(self, text: str) -> str:
        """A sentence in which homes stand for the ids of a file that identify people."""
        if self.meters != "id":
            return text
        for id_, home in sorted(self.homes.items(), key=lambda pair: -len(pair[0])):
            if len(id_) >= SHORTEST_ID and id_ in text:
                text = re.sub(rf"(?<!\w){re.escape(id_)}(?!\w)", home.replace("\\", r"\\"), text)
        return text

    def hide(self, finding: Finding) -> Finding:
        """The same finding without an id."""
        if self.meters != "id":
            return finding
        household = finding.household
        if household is not None:
            household = self.homes.get(home_id(household), household)
        return replace(finding, household=household, message=self.hide_in(finding.message))
