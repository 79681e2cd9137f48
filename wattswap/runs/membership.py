"""Homes that join or leave: in which intervals of a run each home is part of the community."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np

from data.readings import MISSING, MeterData
from market.units import BoolArray, IntArray
from p2p.blocks.members import ALWAYS
from wattswap.errors import InvalidScenario, Problem, suggest
from wattswap.scenario.cures import quoted_part
from wattswap.scenario.fields import iso

if TYPE_CHECKING:
    from wattswap.scenario.load import Scenario
    from wattswap.scenario.model import Span


@dataclass(frozen=True, slots=True, eq=False)
class Membership:
    """The term of each home, in roster order; one that starts or ends nowhere has the bounds of `ALWAYS`.

    Args:
        from_s: A home's first interval starts then or later. [s since 1970 UTC]
        to_s: Its last interval starts before. [s since 1970 UTC]
    """

    from_s: IntArray
    to_s: IntArray

    @classmethod
    def of(cls, terms: tuple[tuple[int, int], ...]) -> Membership:
        """The terms of a roster as columns. [s since 1970 UTC]"""
        from_s, to_s = np.array(terms, dtype=np.int64).T
        return cls(from_s, to_s)

    @property
    def terms(self) -> tuple[tuple[int, int], ...]:
        """The terms as the list of a chain's members has them; empty where all homes are always members."""
        found = tuple(zip(self.from_s.tolist(), self.to_s.tolist(), strict=True))
        return () if all(term == ALWAYS for term in found) else found

    def of_homes(self, homes: Sequence[int]) -> Membership:
        """The membership of some homes, by their places in the roster."""
        return Membership(self.from_s[list(homes)], self.to_s[list(homes)])

    def at(self, start_s: int) -> BoolArray:
        """Which homes are members in the interval that starts then."""
        found: BoolArray = self.in_rows(start_s, 1, 1)[0]
        return found

    def in_rows(self, start_s: int, step_s: int, rows: int) -> BoolArray:
        """Which homes are members in some intervals one after the other, shape (rows, homes)."""
        start = (start_s + step_s * np.arange(rows, dtype=np.int64))[:, np.newaxis]
        found: BoolArray = (self.from_s <= start) & (start < self.to_s)
        return found


def membership_of(
    scenario: Scenario, roster: tuple[str, ...], span: Span, absent: tuple[str, ...] = ()
) -> Membership:
    """The membership of the homes of a run.

    Args:
        absent: Homes of the data that do not take part; their terms say nothing.

    Raises:
        InvalidScenario: All terms of homes that the data do not have, that cut an interval or lie outside of the run.
    """
    problems = _strangers(scenario, roster, absent)
    terms = dict.fromkeys(roster, ALWAYS)
    for name, (joins, leaves) in scenario.terms.items():
        if name not in terms:
            continue
        at = ("homes", "members", name)
        for key, second in (("from", joins), ("to", leaves)):
            if second is not None and (second - span.start_s) % (span.minutes * 60):
                what = f"{iso(second)} cuts an interval of {span.minutes} minutes"
                cure = f"intervals begin every {span.minutes} minutes, one at {iso(span.start_s)}"
                problems += scenario.invalid((*at, key), what, cure).problems
        from_s, to_s = terms[name] = (
            ALWAYS[0] if joins is None else joins,
            ALWAYS[1] if leaves is None else leaves,
        )
        if from_s >= span.end_s or to_s <= span.start_s:
            key = "from" if from_s >= span.end_s else "to"
            what = f"the home is a member in no interval of the run from {iso(span.start_s)} to {iso(span.end_s)}"
            cure = "correct it, or run without this home"
            problems += scenario.invalid((*at, key), what, cure).problems
    if problems:
        raise InvalidScenario(*problems)
    return Membership.of(tuple(terms.values()))


def _strangers(scenario: Scenario, roster: tuple[str, ...], absent: tuple[str, ...]) -> list[Problem]:
    """Terms of homes that the data do not have.

    Args:
        absent: Homes of the data that do not take part.
    """
    problems: list[Problem] = []
    for name in scenario.homes.members:
        if name not in roster and name not in absent:
            what, cure = f"the data have no home {name!r}", suggest(name, roster)
            problems += scenario.invalid(("homes", "members", name), what, cure).problems
    return problems


def refuse_strangers(scenario: Scenario, roster: tuple[str, ...], absent: tuple[str, ...]) -> None:
    """Refuse terms of homes that the data do not have, where it is not known which intervals run.

    Raises:
        InvalidScenario: All of them.
    """
    problems = _strangers(scenario, roster, absent)
    if problems:
        raise InvalidScenario(*problems)


def cure_by_term(meter: MeterData, first_row: int, home: int, zone: str) -> str:
    """What to write where a home only joins or leaves within the run; empty where readings lack between others.

    Args:
        first_row: Row of the first interval of the run.
        home: Its column.
        zone: Time zone of the dates.
    """
    there = np.flatnonzero(meter.quality[first_row:, home] != MISSING) + first_row
    if not len(there) or len(there) <= there[-1] - there[0]:
        return ""
    ends = (("from", there[0], first_row), ("to", there[-1] + 1, meter.intervals))
    said = [f"{key} = {_date(meter, int(row), zone)}" for key, row, end in ends if row != end]
    table = f"[homes.members.{quoted_part(meter.households[home])}]"
    return f"if it joined or left then, write {table} {' and '.join(said)}"


def _date(meter: MeterData, row: int, zone: str) -> str:
    """The start of a row as a scenario has it: a date at local midnight, else an instant with its offset."""
    local = datetime.fromtimestamp(meter.start_s + row * meter.minutes * 60, ZoneInfo(zone))
    midnight = local.replace(tzinfo=None) == datetime(local.year, local.month, local.day)
    return f"{local:%Y-%m-%d}" if midnight else local.isoformat()
