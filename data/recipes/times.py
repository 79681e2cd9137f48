"""The times of a chunk: columns joined, positions and columns of times resolved, fixed clocks made exact."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from zoneinfo import ZoneInfo

import numpy as np

from data import clock
from data.intake.claims import Question
from data.intake.raw import Hints, IntakeLog, Labels, StampEnd, Stamps
from data.intake.values import shown
from data.recipes.header import Header
from data.recipes.model import Recipe, Role
from data.recipes.plan import Facts
from data.recipes.stamps import DAY_S, StampReader, offset_s, time_of_day_s
from market.units import BoolArray, Int8Array, IntArray

HOUR_S = 3_600

NEAR_S = 6 * HOUR_S
"""So far from a change of the clock a row may have a length that its stamps do not show. [s]"""

LASTS_S = {"end": 0, "last_day": DAY_S, "last_minute": 60, "last_second": 1}
"""How long the interval lasts after what names its other end. [s]"""

LOCAL = ("local", "asked")
"""Rules of a clock that is that of the zone; of the second, the zone that is answered says whether it changes."""

UTC_NAMES = ("utc", "gmt", "z")

_POSITION = re.compile(r"[0-9]{1,9}")


class Times:
    """Reads the times of one file.

    Args:
        recipe: Its layout.
        header: Its header.
        facts: What the lines above the header say.
        hints: What the user says.
        reader: Reads texts of times.
        log: Where findings and questions go.
    """

    def __init__(
        self, recipe: Recipe, header: Header, facts: Facts, hints: Hints, reader: StampReader, log: IntakeLog
    ) -> None:
        self.recipe, self.header, self.facts, self.hints, self.log = recipe, header, facts, hints, log
        self._reader = reader
        rule = recipe.stamp
        self.places = self._places(rule.column)
        self._until = self._places(rule.until) if all(role in header.columns for role in rule.until) else ()
        self._pattern = re.compile(rule.pattern) if rule.pattern else None
        self._position = header.at(rule.position)
        self._minutes = facts.minutes or rule.minutes
        self._wide = [header.groups.get(at, {}) for at in header.times]
        name = hints.zone or recipe.zone
        self._zone = clock.zone_named(name) if name else None
        self._offset_s = self._fixed_offset()

    @property
    def stamp_is(self) -> StampEnd:
        """Which end of its interval a stamp names."""
        if self._position is not None or any("position" in groups for groups in self._wide):
            return "start"
        return self.recipe.stamp.ends or self.hints.stamp or "start"

    def read(self, texts: Mapping[int, Labels]) -> tuple[Stamps, IntArray | None, BoolArray]:
        """Times, the length of each interval where it is known [min], and which times their day has."""
        whole = _joined([texts[at] for at in self.places])
        column = self._parts(whole, "time") if self._pattern else whole
        seconds, kind = self._parse(column)
        text = column.texts
        stamp = Stamps(seconds[column.code], kind[column.code], lambda row: text[column.code[row]])
        there = np.ones(len(column.code), dtype=np.bool_)
        if self._position is not None:
            stamp = self._at_positions(stamp, texts[self._position])
        elif self._wide:
            stamp, there = self._across(stamp)
        if (at := self.header.at(self.recipe.stamp.minutes_column)) is not None:
            minutes: IntArray | None = self._stated_lengths(texts[at])
        else:
            minutes = self._lengths(stamp, self._other_end(whole, texts))
        return self._exact(stamp), minutes, there

    def _places(self, roles: tuple[Role, ...]) -> tuple[int, ...]:
        return tuple(at for role in roles if (at := self.header.at(role)) is not None)

    def _parse(self, column: Labels) -> tuple[IntArray, Int8Array]:
        seconds, kind = self._reader.read(column.texts)
        if self._reader.question is not None:
            self.log.ask(self._reader.question)
        return seconds, kind

    def _at_positions(self, day: Stamps, position: Labels) -> Stamps:
        """Days and numbers of their intervals as instants."""
        counted = [int(text) if _POSITION.fullmatch(text) else 0 for text in position.texts]
        number = np.array(counted, dtype=np.int64)[position.code]
        return self._instants(
            day, number, lambda row: f"{day.text(row)} {position.texts[position.code[row]]}"
        )

    def _instants(self, day: Stamps, number: IntArray, text: Callable[[int], str]) -> Stamps:
        assert self._minutes is not None, "toml.py refuses positions without it"
        if self._zone is None:
            asks = "the intervals of each local day are counted; name the time zone, e.g. Europe/Berlin"
            self.log.ask(Question("--zone", asks), "zone_needed")
            return Stamps(day.seconds, np.full(len(day.seconds), clock.UNREADABLE, dtype=np.int8), text)
        utc, exists = clock.instants_of_positions(day.seconds, number, self._minutes, self._zone)
        good = exists & (day.kind != clock.UNREADABLE) & (day.seconds % DAY_S == 0)
        return Stamps(utc, np.where(good, clock.WITH_OFFSET, clock.UNREADABLE).astype(np.int8), text)

    def _across(self, day: Stamps) -> tuple[Stamps, BoolArray]:
        """The times of a wide file, row by row, and which of them their day has."""
        rows, width = len(day.seconds), len(self._wide)
        names = [self.header.name(at) for at in self.header.times]

        def text(cell: int) -> str:
            return f"{day.text(cell // width)} {names[cell % width]}"

        days = Stamps(np.repeat(day.seconds, width), np.repeat(day.kind, width), text)
        if "position" in self._wide[0]:
            number = np.tile([int(groups["position"]) for groups in self._wide], rows)
            stamp = self._instants(days, number, text)
            return stamp, np.repeat(day.kind == clock.UNREADABLE, width) | (stamp.kind != clock.UNREADABLE)
        found = [time_of_day_s(groups["time"]) for groups in self._wide]
        unread = [name for name, second in zip(names, found, strict=True) if second is None]
        if unread:
            self.log.add(
                "error", "wrong_header", f"{unread[0]!r} names no time of day", line=self.header.line.row + 1
            )
        ends = self.stamp_is == "end"
        second = np.array([DAY_S if s == 0 and ends else s or 0 for s in found], dtype=np.int64)
        local = days.seconds + np.tile(second, rows)
        stamp = Stamps(local, days.kind, text)
        return stamp, self.exists(stamp)

    def exists(self, stamp: Stamps) -> BoolArray:
        """Which local times their day has; the others are of an hour that the clock jumps over."""
        there = np.ones(len(stamp.seconds), dtype=np.bool_)
        if self._zone is None or self._offset_s is not None or self.recipe.stamp.clock not in LOCAL:
            return there
        unique, of = np.unique(stamp.seconds, return_inverse=True)
        jumped = ~clock.local_clock(unique, self._zone).exists
        there[jumped[of] & (stamp.kind == clock.LOCAL)] = False
        return there

    def _parts(self, column: Labels, group: str) -> Labels:
        """The part of each text that a group of the pattern finds; of a text that it does not fit all of it."""
        assert self._pattern is not None
        found = [self._pattern.search(text) for text in column.texts]
        return Labels(column.code, [m[group] if m else t for m, t in zip(found, column.texts, strict=True)])

    def _other_end(self, whole: Labels, texts: Mapping[int, Labels]) -> Labels | None:
        if self._pattern and "until" in self._pattern.groupindex:
            return self._parts(whole, "until")
        return _joined([texts[at] for at in self._until]) if self._until else None

    def _lengths(self, stamp: Stamps, column: Labels | None) -> IntArray | None:
        """Length of each interval: the layout's, or from the other end; an hour of the clock's change is left out."""
        if column is None or self._wide:
            return np.full(len(stamp.seconds), self._minutes, dtype=np.int64) if self._minutes else None
        seconds, kind = self._parse(column)
        other = seconds[column.code] + LASTS_S[self.recipe.stamp.until_is]
        known = (kind[column.code] != clock.UNREADABLE) & (stamp.kind != clock.UNREADABLE)
        length = np.where(known, other - stamp.seconds, 0) * (1 if self.stamp_is == "start" else -1)
        if not known.any():
            return None
        values, count = np.unique(length[known], return_counts=True)
        usual = int(values[np.argmax(count)])
        local = stamp.kind == clock.LOCAL
        changed = local & ((length == usual - HOUR_S) | (length == usual + HOUR_S)) & (usual <= HOUR_S)
        changed[changed] = self._clock_changes(stamp.seconds[changed])
        length = np.where(changed | ~known, usual, length)
        return np.asarray(length // 60, dtype=np.int64)

    def _stated_lengths(self, column: Labels) -> IntArray:
        """Length of each interval as a column states it; an error where a text is no number of minutes. [min]"""
        odd = [text for text in column.texts if not _POSITION.fullmatch(text.strip())]
        if odd:
            says = f"the length {shown(odd[0])} is no whole number of minutes"
            self.log.add(
                "error", "interval_length", f"{says}; correct the file", line=self.header.line.row + 1
            )
        known = [0 if text in odd else int(text) for text in column.texts]
        return np.array(known, dtype=np.int64)[column.code]

    def _clock_changes(self, local_s: IntArray) -> BoolArray:
        """Whether the clock of the file changes near local times; where its zone is not known yet, it may."""
        rule = self.recipe.stamp.clock
        if self._zone is None or self._offset_s is not None or rule not in LOCAL:
            return np.full(len(local_s), self._zone is None and rule in LOCAL, dtype=np.bool_)
        unique, of = np.unique(local_s, return_inverse=True)
        before, after = unique - NEAR_S, unique + NEAR_S
        utc = [clock.local_clock(at, self._zone).first_utc_s for at in (before, after)]
        return np.asarray((utc[1] - utc[0] != after - before)[of], dtype=np.bool_)

    def _fixed_offset(self) -> int | None:
        """Offset of all stamps that have none, where recipe or file fixes it. [s]"""
        said = (self.facts.zone or "").strip()
        if said.casefold() in UTC_NAMES:
            return 0
        rule = self.recipe.stamp.clock
        return offset_s(rule) if rule[0] in "+-" else None

    def _exact(self, stamp: Stamps) -> Stamps:
        """Stamps on a clock that never changes as instants."""
        local = stamp.kind == clock.LOCAL
        if not local.any():
            return stamp
        offset = self._offset_s
        if offset is None and self.recipe.stamp.clock == "standard":
            if self._zone is None:
                asks = "the stamps are in standard time all year; name the time zone, e.g. Europe/Berlin"
                self.log.ask(Question("--zone", asks), "zone_needed")
                return stamp
            return Stamps(_of_standard_time(stamp, self._zone), _as_exact(stamp.kind), stamp.text)
        if offset is None:
            return stamp
        return Stamps(
            np.where(local, stamp.seconds - offset, stamp.seconds), _as_exact(stamp.kind), stamp.text
        )


def _as_exact(kind: Int8Array) -> Int8Array:
    return np.where(kind == clock.LOCAL, clock.WITH_OFFSET, kind).astype(np.int8)


def _of_standard_time(stamp: Stamps, zone: ZoneInfo) -> IntArray:
    """UTC of stamps on a clock that stays at the zone's winter time. [s since 1970]"""
    years, of = np.unique(stamp.seconds.astype("datetime64[s]").astype("datetime64[Y]"), return_inverse=True)
    offsets = []
    for year in years:
        winter_summer = np.array([np.datetime64(f"{year}-01-15"), np.datetime64(f"{year}-07-15")])
        noon = winter_summer.astype("datetime64[s]").astype(np.int64) + DAY_S // 2
        offsets.append(int((clock.local_of_utc(noon, zone) - noon).min()))
    return np.asarray(stamp.seconds - np.array(offsets, dtype=np.int64)[of], dtype=np.int64)


def _joined(columns: list[Labels]) -> Labels:
    """Several columns as one, with a space between their texts; each pair of texts is made once."""
    whole = columns[0]
    for column in columns[1:]:
        pair, code = np.unique(whole.code * len(column.texts) + column.code, return_inverse=True)
        first, second = np.divmod(pair, max(len(column.texts), 1))
        texts = [
            f"{whole.texts[i]} {column.texts[j]}".strip()
            for i, j in zip(first.tolist(), second.tolist(), strict=True)
        ]
        whole = Labels(code.astype(np.int64), texts)
    return whole
