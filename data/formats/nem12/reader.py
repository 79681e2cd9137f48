"""The records of NEM12 taken one by one, checked against each other, and given out as chunks of days."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np

from data import clock
from data.formats.nem12.records import FLOWS, LENGTHS, Day, Series, day_of, open_questions, update_of
from data.intake.raw import (
    Channel,
    FloatArray,
    Hints,
    IntakeLog,
    Labels,
    Numbers,
    RawReadings,
    exact_stamps,
    numbers,
)
from data.readings import ESTIMATED, MEASURED, MISSING
from data.recipes.model import held_as_it_is
from market.units import IntArray

AEST_S = 36_000

UNITS = {"kwh": (1.0, 1.0), "wh": (1.0, 1000.0), "mwh": (1000.0, 1.0)}
"""Factor and divisor to kWh; a division by 1000 is exact to the last digit where a factor of 0.001 is not."""

LEFT_OUT = {
    **dict.fromkeys("KQLRXJPkq", "reactive energy"),
    **dict.fromkeys("TUSM", "apparent energy or power"),
    **dict.fromkeys("GHYVWZI", "power factor, volts or amperes"),
    **dict.fromkeys("ADCFN", "average, check or net values of energy that other channels hold"),
}

QUALITY_FLAG = re.compile(r"[AEFNSV]\d{0,2}")
FLAGS = {"A": MEASURED, "E": ESTIMATED, "F": ESTIMATED, "S": ESTIMATED, "N": MISSING, "V": MISSING}


class Reader:
    """Takes records one by one and keeps the days that are not yet given out."""

    def __init__(self, hints: Hints, log: IntakeLog) -> None:
        self._hints, self._log = hints, log
        self._series: Series | None = None
        self._day: Day | None = None
        self._open = self._refused = False
        self._line = 0
        self._sender = ""
        self._seen: dict[tuple[str, str], dict[int, tuple[int | None, int, int]]] = {}
        self._units: dict[tuple[str, str], tuple[str, int]] = {}
        self._left_out: dict[str, str] = {}
        self._kept: dict[tuple[Channel, int], list[Day]] = {}
        self.rows = 0

    def take(self, line: int, cells: list[str]) -> None:
        """Take one record."""
        self._line = line
        kind = cells[0]
        if kind == "300":
            self._close()
            self._take_day(cells)
        elif kind == "400":
            self._take_quality(cells)
        elif kind == "500":
            return
        elif kind == "200":
            self._close()
            self._open = True
            self._series = self._take_series(cells)
            self._refused = self._series is None
        elif kind in ("100", "900"):
            self._close()
            self._series, self._open, self._refused = None, kind == "100", False
            if kind == "100":
                self._sender = cells[3] if len(cells) > 3 else ""
                if "".join(cells[1:2]).upper() != "NEM12":
                    self._error(
                        "wrong_header",
                        f"the header names {''.join(cells[1:2])!r}, not NEM12; give each its file",
                    )
        else:
            message = f"a line that begins with {kind[:20]!r} is no record of NEM12; is a row broken over two lines?"
            self._error("unknown_record", message)

    def finish(self) -> None:
        """Close the last day; say what is missing and what was left out."""
        self._close()
        if self._open:
            message = "the file has no 900 record at its end; check that it was not cut off"
            self._log.add("warning", "no_end", message, line=self._line)
        if not self._seen and not self._log.has_errors:
            message = "the file has no day of energy: no 300 record of an E or B channel; choose the export that has"
            self._log.add("error", "no_register", message)
        refused = self._log.has_errors
        for (nmi, suffix), (_, line) in self._units.items():
            if self._seen and not refused and (nmi, suffix) not in self._seen:
                told = f"{suffix} has a 200 record but no day, so its energy is not in the file"
                cure = f"export the file again, or say --channel {suffix}=ignore"
                self._log.add("error", "empty_register", f"{told}; {cure}", line=line)
        for suffix, what in sorted(self._left_out.items()):
            self._log.notes.append(f"{suffix} is left out: {what}")

    def _error(self, code: str, message: str) -> None:
        self._log.add("error", code, message, line=self._line)

    def _take_series(self, cells: list[str]) -> Series | None:
        if len(cells) < 9:
            self._error(
                "wrong_cells", f"a 200 record has {len(cells)} cells, not 9 or 10; export the file again"
            )
            return None
        nmi, suffix, unit, length = cells[1], cells[4].upper(), cells[7], cells[8]
        if re.fullmatch(r"\d(\.\d+)?E\+\d+", nmi, re.IGNORECASE):
            self._error(
                "wrong_cells", "a spreadsheet rewrote the NMI as a rounded number; give the file as it came"
            )
            return None
        if not nmi or not re.fullmatch(r"[A-Z][A-Z0-9]", suffix):
            self._error("wrong_cells", f"the suffix {cells[4]!r} names no channel; it is like E1 or B1")
            return None
        if length not in map(str, LENGTHS):
            self._error("interval_length", f"an interval length of {length!r} minutes; known are {LENGTHS}")
            return None
        for question in open_questions(cells, self._sender, self._hints):
            self._log.ask(question, line=self._line)
        channel = self._channel(suffix)
        unit = (unit or self._hints.unit or "kWh").lower()
        series = Series(nmi, suffix, int(length), unit, channel, self._offset_s(cells))
        if channel is None:
            return series
        before = self._units.setdefault((nmi, suffix), (unit, self._line))
        if unit not in UNITS:
            self._error(
                "wrong_unit", f"{suffix} is energy, but its unit is {cells[7]!r}; known are kWh, Wh and MWh"
            )
        elif before[0] != unit:
            self._error(
                "wrong_unit", f"{suffix} is in {cells[7]} here and in another unit in line {before[1]}"
            )
        else:
            return series
        return replace(series, channel=None)

    def _channel(self, suffix: str) -> Channel | None:
        said = self._hints.channels.get(suffix)
        if said == "ignore":
            self._left_out[suffix] = "said so"
            return None
        name, part = FLOWS.get(suffix[0], ""), suffix
        if said is not None:
            held = held_as_it_is(said, suffix, self._log, self._line)
            if held is None:
                return None
            name, part = held.name, held.part
            self._log.answers[f"channel {suffix}"] = said
        if not name:
            self._left_out[suffix] = LEFT_OUT.get(suffix[0], "not a channel of energy")
            return None
        return Channel(name, "kWh", "interval", suffix, part or suffix)

    def _offset_s(self, cells: list[str]) -> int:
        if self._hints.zone is None or not list(
            open_questions(cells, self._sender, replace(self._hints, zone=None))
        ):
            return AEST_S
        offset = datetime(2026, 7, 1, tzinfo=clock.zone_named(self._hints.zone)).utcoffset()
        self._log.zone = f"standard time of {self._hints.zone} all year"
        self._log.answers["zone"] = self._hints.zone
        return (offset or timedelta()) // timedelta(seconds=1)

    def _take_day(self, cells: list[str]) -> None:
        series = self._series
        if series is None or series.channel is None:
            if series is None and not self._refused:
                self._error(
                    "unknown_record", "a 300 record without a 200 record before it; export the file again"
                )
            return
        begin_s = day_of(cells[1].strip()) if len(cells) > 1 else None
        if begin_s is None:
            self._error("bad_timestamp", f"the date {''.join(cells[1:2])!r} is not like 20260131")
            return
        texts, rest = self._values(cells, series)
        if texts is None:
            return
        flag = rest[0].strip().upper() if rest else ""
        update = update_of(rest[3].strip()) if len(rest) > 3 else None
        revision = self._revision(series, begin_s, update)
        if revision is None:
            return
        quality = np.full(series.count, FLAGS[flag[0]] if flag else ESTIMATED, dtype=np.uint8)
        values = self._numbers(texts, series)
        covered = 0 if texts else series.count  # 400 records cannot speak of values that are not there
        self._day = Day(
            series, self._line, begin_s - series.offset_s, values, quality, flag[:1] == "V", revision, covered
        )

    def _values(self, cells: list[str], series: Series) -> tuple[list[str] | None, list[str]]:
        """Split a day into its values and what follows them; None after an error, no values for a day without any."""
        last = 2 + series.count
        flag = cells[last].strip().upper() if len(cells) > last else ""
        if QUALITY_FLAG.fullmatch(flag):
            return cells[2:last], cells[last:]
        at = next((i for i in range(2, len(cells)) if QUALITY_FLAG.fullmatch(cells[i].strip().upper())), None)
        if at == 2:
            message = f"{series.suffix} of {cells[1]} has no values; the day counts as missing"
            self._log.add("warning", "empty", message, line=self._line)
            return [], ["N", *cells[3:]]
        if at is None and len(cells) > last + 1 and not flag:
            message = "the day has no quality flag; it counts as estimated"
            self._log.add("warning", "no_quality", message, line=self._line)
            return cells[2:last], ["", *cells[last + 1 :]]
        if at is None:
            told = f"the day has no quality flag after its {series.count} values; is the file cut off?"
        else:
            told = f"the day has {at - 2} values, but {series.minutes} minutes make {series.count}"
        self._error("wrong_cells", f"{told}; export the file again")
        return None, []

    def _numbers(self, texts: list[str], series: Series) -> Numbers:
        factor, divisor = UNITS[series.unit]
        if not texts:
            empty = np.zeros(series.count, dtype=np.bool_)
            return Numbers(np.zeros(series.count), empty)
        try:
            values: FloatArray = np.array(list(map(float, texts)))
            plain = bool(np.isfinite(values).all()) and "_" not in "".join(texts)
        except ValueError:
            plain = False
        if plain:
            return Numbers(values * factor / divisor, np.zeros(len(values), dtype=np.bool_))
        found = numbers(texts)
        return replace(found, values=found.values * factor / divisor)

    def _revision(self, series: Series, begin_s: int, update: int | None) -> int | None:
        """Seconds between the update times of this issue of a day and of the first one in the file."""
        days = self._seen.setdefault((series.nmi, series.suffix), {})
        first, minutes, line = days.setdefault(begin_s, (update, series.minutes, self._line))
        if minutes != series.minutes:
            self._error(
                "conflict", f"{series.suffix} has this day in line {line} in intervals of {minutes} minutes"
            )
            return None
        return update - first if update is not None and first is not None else 0

    def _take_quality(self, cells: list[str]) -> None:
        day = self._day
        if day is None:
            if self._series is None and not self._refused:
                self._error(
                    "unknown_record", "a 400 record without a 300 record before it; export the file again"
                )
            return
        numbers_ = [int(cell) if cell.isdecimal() and len(cell) < 5 else 0 for cell in cells[1:3]]
        flag = cells[3].upper() if len(cells) > 3 else ""
        if len(numbers_) < 2 or not QUALITY_FLAG.fullmatch(flag) or flag.startswith("V"):
            self._error(
                "unknown_quality", f"the quality {flag!r} of a range is not like A, S14, F52, E52 or N"
            )
            return
        first, last = numbers_
        count = day.series.count
        if not day.covered < first <= last <= count or (day.varies and first != day.covered + 1):
            told = f"a quality of intervals {cells[1]} to {cells[2]} after interval {day.covered}, of {count} a day"
            self._error(
                "unknown_quality",
                f"{told}; the ranges have gaps, overlap or do not fit; export the file again",
            )
            self._day = None
            return
        day.quality[first - 1 : last] = FLAGS[flag[0]]
        day.covered = last

    def _close(self) -> None:
        day, self._day = self._day, None
        if day is None:
            return
        if day.varies and day.covered != day.series.count:
            message = (
                f"the quality varies (V), but 400 records cover {day.covered} of {day.series.count} intervals"
            )
            self._log.add("error", "unknown_quality", f"{message}; is the file cut off?", line=day.line)
            return
        assert day.series.channel is not None
        day.values.values[day.quality == MISSING] = 0  # what stands there for no reading is a place holder
        self._kept.setdefault((day.series.channel, day.revision), []).append(day)
        self.rows += day.series.count

    def chunks(self) -> Iterator[RawReadings]:
        """Give out the days that are complete."""
        for (channel, revision), days in self._kept.items():
            yield chunk_of(channel, revision, days)
        self._kept, self.rows = {}, 0


def chunk_of(channel: Channel, revision: int, days: Sequence[Day]) -> RawReadings:
    """The intervals of days of one channel and issue as a chunk, by home and time."""
    count = np.array([day.series.count for day in days], dtype=np.int64)
    first = np.concatenate([[0], np.cumsum(count)[:-1]])
    within = np.arange(count.sum()) - np.repeat(first, count)
    minutes: IntArray = np.repeat(np.array([day.series.minutes for day in days], dtype=np.int64), count)
    start_s = (
        np.repeat(np.array([day.begin_s for day in days], dtype=np.int64), count) + within * minutes * 60
    )
    place: dict[str, int] = {}
    home = np.repeat([place.setdefault(day.series.nmi, len(place)) for day in days], count)
    line = np.repeat(np.array([day.line for day in days], dtype=np.int64), count)
    order = np.lexsort((line, start_s, home))  # portals write the days of a channel in any order
    place_of = np.argsort(order)
    bad = {
        int(at) + row: text
        for at, day in zip(first, days, strict=True)
        for row, text in day.values.bad.items()
    }
    values = np.concatenate([day.values.values for day in days])
    empty = np.concatenate([day.values.empty for day in days])
    return RawReadings(
        line=line[order],
        meter=Labels(home[order], list(place)),
        stamp=exact_stamps(start_s[order]),
        values={
            channel: Numbers(
                values[order],
                empty[order],
                {int(place_of[row]): text for row, text in bad.items()},
            )
        },
        quality=np.concatenate([day.quality for day in days])[order],
        revision=revision,
        minutes=minutes[order],
    )
