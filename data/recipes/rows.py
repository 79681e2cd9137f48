"""From the texts and numbers of a table to raw readings, chunk by chunk."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from data.intake.claims import Question, quoted
from data.intake.raw import (
    UNITS,
    Channel,
    Hints,
    IntakeLog,
    Labels,
    Numbers,
    RawReadings,
    Stamps,
    labels,
    numbers,
)
from data.intake.values import shown
from data.readings import ESTIMATED, MEASURED, MISSING, QualityArray
from data.recipes.header import Header, normal
from data.recipes.model import CHANNELS, IGNORE, Holds, Recipe
from data.recipes.plan import Column, Facts, Plan, unit_named
from data.recipes.stamps import CellTimes, StampReader, texts_of_times
from data.recipes.text import Chunk, Wanted
from data.recipes.times import Times
from market.units import BoolArray, IntArray

QUALITY = {"measured": MEASURED, "estimated": ESTIMATED, "missing": MISSING}

_QUOTED = re.compile(r'^="?|^"|"$')
_NUMBER = {
    ".": r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$",
    ",": r"^[+-]?(\d+,?\d*|,\d+)([eE][+-]?\d+)?$",
}
_GROUPED = {
    ",": r"^[+-]?([1-9]\d{{0,2}}({0}\d{{3}})+|\d+)(,\d*)?$",
    ".": r"^[+-]?([1-9]\d{{0,2}}({0}\d{{3}})+|\d+)(\.\d*)?$",
}


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """The columns of a chunk that say what its numbers are; one entry for each row of the table.

    Args:
        line: Line in the file.
        texts: Columns of texts by position.
        stamp: Times; of a wide file one for each column of times, row by row.
        minutes: Interval length of each time, where it is known. [min]
        there: False for times that no clock of the day shows.
    """

    line: IntArray
    texts: Mapping[int, Labels]
    stamp: Stamps
    minutes: IntArray | None
    there: BoolArray


class RowReader:
    """Reads the chunks of one file.

    Args:
        recipe: Its layout.
        header: Its header.
        plan: What its columns hold.
        facts: What the lines above the header say.
        hints: What the user says.
        log: Where findings and questions go.
        cells: Whether the table comes from a workbook.

    Attributes:
        refused: Whether a row shows that the file is not of energy; no more of it is read.
    """

    def __init__(
        self,
        recipe: Recipe,
        header: Header,
        plan: Plan,
        facts: Facts,
        hints: Hints,
        log: IntakeLog,
        cells: bool,
    ) -> None:
        self.recipe, self.header, self.plan, self.hints, self.log = recipe, header, plan, hints, log
        self.times = Times(recipe, header, facts, hints, StampReader(recipe.stamp, hints, cells), log)
        self._left_out: set[str] = set()
        self.refused = False

    @property
    def wanted(self) -> Wanted:
        """The columns that are read."""
        recipe, rules = self.recipe, [column.rule for column in self.plan.columns]
        roles = [
            *recipe.stamp.column,
            *recipe.stamp.until,
            recipe.stamp.position,
            recipe.stamp.minutes_column,
            recipe.meter,
            *recipe.rows.only,
        ]
        roles += [refusal.column for refusal in recipe.rows.refuse]
        roles += [recipe.quality.column] if recipe.quality else []
        roles += [role for rule in rules for role in (rule.by, rule.unit_column, rule.factor_column)]
        texts = dict.fromkeys(at for role in roles if (at := self.header.at(role)) is not None)
        values = dict.fromkeys(at for column in self.plan.columns for at in column.places)
        empty = dict.fromkeys(word for rule in rules for word in rule.missing)
        return Wanted(tuple(texts), tuple(at for at in values if at not in texts), tuple(empty))

    def read(self, chunk: Chunk) -> Iterator[RawReadings]:
        """The readings of a chunk: those that share their channels together."""
        texts = {at: _labels(chunk.columns[at]) for at in self.wanted.texts}
        values = {at: self._numbers(chunk.columns[at]) for at in _places(self.plan.columns)}
        kept = self._kept(texts, values, chunk.line)
        if self.refused:
            return
        if not kept.all():
            rows = np.flatnonzero(kept)
            chunk = Chunk(chunk.line[rows])
            texts = {at: Labels(column.code[rows], column.texts) for at, column in texts.items()}
            values = {at: _taken(column, rows) for at, column in values.items()}
        if not len(chunk.line):
            return
        stamp, minutes, there = self.times.read(texts)
        frame = Frame(chunk.line, texts, stamp, minutes, there)
        columns = self._read_values(frame, values)
        # A row without a value, of an hour that the clock jumps over, is nothing.
        if columns and (blank := np.logical_and.reduce([found.empty for _, found in columns])).any():
            there &= self.times.exists(stamp) | ~blank
        # Energy in an hour that the clock jumps over is an error, and is not left out.
        for _, found in columns if not there.all() else ():
            there |= ~found.empty & (found.values != 0)
        quality = self._quality(frame)
        yield from self._together(frame, columns, quality)
        yield from self._by_word(frame, columns, quality)

    def _kept(self, texts: Mapping[int, Labels], values: Mapping[int, Numbers], line: IntArray) -> BoolArray:
        """Rows that are read: no others of the recipe's `only`, no blank ones; a refused one is reported."""
        kept = np.ones(len(line), dtype=np.bool_)
        for role, words in self.recipe.rows.only.items():
            if (at := self.header.at(role)) is not None:
                fits = _is_one_of(texts[at], words)
                self._note_left_out(texts[at], ~fits)
                kept &= fits
        blank = np.ones(len(line), dtype=np.bool_)
        for column in values.values():
            blank &= column.empty
        for at in self.times.places if blank.any() else ():
            blank &= _is_empty(texts[at])
        kept &= ~blank
        for refusal in self.recipe.rows.refuse:
            if (at := self.header.at(refusal.column)) is not None:
                rows = np.flatnonzero(_is_one_of(texts[at], refusal.words))
                if len(rows):
                    says = f"the file is not read: {refusal.says}"
                    word = texts[at].texts[texts[at].code[rows[0]]]
                    self.refused = True
                    self.log.add("error", refusal.code, f"{word!r}: {says}", line=int(line[rows[0]]))
        return kept

    def _note_left_out(self, column: Labels, which: BoolArray) -> None:
        for code in np.unique(column.code[which]).tolist():
            word = column.texts[code]
            if word not in self._left_out:
                self._left_out.add(word)
                self.log.notes.append(f"rows of {word!r} are not read")

    def _numbers(self, column: Any) -> Numbers:
        """A column of numbers as the file writes them."""
        import pyarrow as pa
        import pyarrow.compute as pc

        rule = self.recipe.file
        if pa.types.is_dictionary(column.type):
            column = pc.cast(column, pa.string())
        if pa.types.is_timestamp(column.type):
            column = texts_of_times(column)
        if not pa.types.is_string(column.type):
            return numbers(column)
        trimmed = pc.replace_substring_regex(
            pc.utf8_trim_whitespace(pc.fill_null(column, "")), '^="?|^"|"$', ""
        )
        words = [word for source in self.plan.columns for word in source.rule.missing if word]
        if words:
            trimmed = pc.if_else(pc.is_in(trimmed, pa.array(words)), "", trimmed)
        pattern = _NUMBER[rule.decimal]
        if rule.thousands:
            pattern = _GROUPED[rule.decimal].format(re.escape(rule.thousands))
        fine = pc.match_substring_regex(trimmed, pattern)
        plain = pc.replace_substring(trimmed, rule.thousands, "") if rule.thousands else trimmed
        plain = pc.replace_substring(plain, ",", ".") if rule.decimal == "," else plain
        read = numbers(pc.if_else(fine, plain, ""))
        wrong = np.flatnonzero(~(fine.to_numpy(zero_copy_only=False)) & ~_equal(trimmed, ""))
        empty = read.empty.copy()
        empty[wrong] = False
        return Numbers(read.values, empty, {row: str(trimmed[row].as_py()) for row in wrong.tolist()})

    def _quality(self, frame: Frame) -> QualityArray | None:
        rule = self.recipe.quality
        at = self.header.at(rule.column) if rule else None
        if rule is None or at is None:
            return None
        flags = {"measured": rule.measured, "estimated": rule.estimated, "missing": rule.missing}
        flag_of = {normal(word): QUALITY[flag] for flag, words in flags.items() for word in words}
        column = frame.texts[at]
        other = QUALITY[rule.other] if rule.other else None
        codes = np.array([flag_of.get(normal(text), -1) for text in column.texts])[column.code]
        unknown = np.flatnonzero(codes == -1)
        if other is not None:
            codes[unknown] = other
        else:
            known = ", ".join(map(repr, [*rule.measured, *rule.estimated, *rule.missing]))

            def describe(row: int) -> tuple[int, None, str]:
                word = column.texts[column.code[row]]
                return (
                    int(frame.line[row]),
                    None,
                    f"the state {word!r} is none of {known}; add it to the recipe",
                )

            self.log.add_rows("error", "unknown_quality", unknown, describe)
            codes[unknown] = MISSING
        return codes.astype(np.uint8)

    def _read_values(self, frame: Frame, values: Mapping[int, Numbers]) -> list[tuple[Column, Numbers]]:
        """Numbers of each column, multiplied by their factors; an idle part of a channel is 0."""
        read = []
        for column in self.plan.columns:
            numbers_of = _side_by_side([values[at] for at in column.places])
            read.append((column, self._scaled(frame, column, numbers_of)))
        for name in {column.holds.name for column, _ in read if column.holds and column.rule.empty == "zero"}:
            of_channel = [n for column, n in read if column.holds and column.holds.name == name]
            idle = ~np.logical_and.reduce([n.empty for n in of_channel])
            for i, (column, n) in enumerate(read):
                if n in of_channel and column.rule.empty == "zero":
                    filled = n.empty & idle
                    read[i] = column, Numbers(np.where(filled, 0.0, n.values), n.empty & ~idle, n.bad)
        any_read = ~np.logical_and.reduce([n.empty for _, n in read])
        for i, (column, n) in enumerate(read):
            if column.rule.empty == "absent":
                filled = n.empty & any_read
                read[i] = column, Numbers(np.where(filled, 0.0, n.values), n.empty & ~filled, n.bad)
        return read

    def _scaled(self, frame: Frame, column: Column, found: Numbers) -> Numbers:
        rule = column.rule
        values = found.values
        factor = rule.factor * rule.sign * (column.holds.sign if column.holds else 1)
        if factor != 1:
            values = values * factor
        if (at := self.header.at(rule.factor_column)) is not None:
            given = frame.texts[at]
            factors = np.array([_float(text) for text in given.texts])
            unknown = np.flatnonzero(np.isnan(factors[given.code]))
            self.log.add_rows(
                "error",
                "not_a_number",
                unknown,
                lambda row: (
                    int(frame.line[row]),
                    None,
                    f"the factor {shown(given.texts[given.code[row]])} is no number",
                ),
            )
            values = values * factors[given.code]
        if column.rule.empty == "zero" and column.holds is None:
            return Numbers(
                np.where(found.empty, 0.0, values), np.zeros(len(values), dtype=np.bool_), found.bad
            )
        return Numbers(values, found.empty, found.bad)

    def _together(
        self, frame: Frame, columns: Sequence[tuple[Column, Numbers]], quality: QualityArray | None
    ) -> Iterator[RawReadings]:
        """Columns that hold one thing in all rows: in one table where the rows are of one home."""
        plain: dict[Channel, Numbers] = {}
        for column, found in columns:
            if column.holds is None:
                continue
            channel, found = self._channel(frame, column, column.holds, found, None)
            if column.meter is None:
                plain[channel] = found
            else:
                yield self._raw(frame, {channel: found}, quality, None, column.meter)
        if plain:
            yield self._raw(frame, plain, quality, None, None)

    def _by_word(
        self, frame: Frame, columns: Sequence[tuple[Column, Numbers]], quality: QualityArray | None
    ) -> Iterator[RawReadings]:
        """Columns of which a word of each row says what they hold: one table for each thing."""
        for column, found in columns:
            at = self.header.at(column.rule.by)
            if column.holds is not None or at is None:
                continue
            word = frame.texts[at]
            there = [column.words.get(normal(text)) for text in word.texts]
            used = np.unique(word.code).tolist()
            for code in used:
                if there[code] is None:
                    self._ask_about(word.texts[code], frame.line[np.argmax(word.code == code)])
            for what in dict.fromkeys(h for code in used if (h := there[code]) is not None):
                chosen = np.array([h == what for h in there])[word.code]
                if what.name == IGNORE:
                    self._note_left_out(word, chosen)
                    continue
                rows = np.flatnonzero(chosen)
                channel, scaled = self._channel(frame, column, what, found, rows)
                if what.sign < 0:
                    scaled = replace(scaled, values=-scaled.values)
                yield self._raw(frame, {channel: scaled}, quality, rows, None)

    def _ask_about(self, word: str, line: int) -> None:
        asks = f"the recipe does not know what rows of {word!r} hold"
        self.log.ask(Question(f"--channel {quoted(word)}", asks, CHANNELS), line=int(line))

    def _channel(
        self, frame: Frame, column: Column, what: Holds, found: Numbers, rows: IntArray | None
    ) -> tuple[Channel, Numbers]:
        """The channel of a column, and its numbers in the channel's unit."""
        label = column.label if column.holds is not None and column.meter is None else ""
        unit = column.unit
        if unit is None:
            unit, found = self._in_one_unit(frame, column, found, rows)
        read_after = column.rule.read_after if column.kind == "counter" else 0
        return Channel(what.name, unit, column.kind, label, what.part, read_after), found

    def _in_one_unit(
        self, frame: Frame, column: Column, found: Numbers, rows: IntArray | None
    ) -> tuple[str, Numbers]:
        """Numbers in kWh or kW, out of the unit that each row names; a row without a unit that is known is refused."""
        at = self.header.at(column.rule.unit_column)
        assert at is not None, "a header without the column of units is not read"
        given = frame.texts[at]
        units = [unit_named(text) for text in given.texts]
        used = np.arange(len(given.code)) if rows is None else rows
        unknown = used[np.array([unit is None for unit in units])[given.code[used]]]
        unread = ", ".join(UNITS)
        self.log.add_rows(
            "error",
            "unit",
            unknown,
            lambda row: (
                int(frame.line[row]),
                None,
                f"the unit {given.texts[given.code[row]]!r} is none of {unread}",
            ),
        )
        powers = {UNITS[unit][1] for code in np.unique(given.code[used]).tolist() if (unit := units[code])}
        if len(powers) > 1:
            self.log.add(
                "error", "unit", "some rows hold energy and some mean power; split the file by its unit"
            )
        unit = "kW" if powers == {True} else "kWh"
        if column.kind == "counter" and unit == "kW":
            self.log.add("error", "unit", "the rows hold power, which no counter shows")
        scale = np.array([UNITS[u][0] / UNITS[unit][0] if u else 1.0 for u in units])[given.code]
        width = len(found.values) // len(given.code)
        return unit, replace(found, values=found.values * np.repeat(scale, width))

    def _raw(
        self,
        frame: Frame,
        values: Mapping[Channel, Numbers],
        quality: QualityArray | None,
        rows: IntArray | None,
        meter: str | None,
    ) -> RawReadings:
        """One table of readings; `rows` are those of the frame that it has, all where left out."""
        height = len(frame.line)
        width = len(frame.stamp.seconds) // height
        at = self.header.at(self.recipe.meter)
        named = frame.texts[at] if at is not None else Labels(np.zeros(height, dtype=np.int64), [meter or ""])
        row = np.arange(height) if rows is None else rows
        cell = (row[:, np.newaxis] * width + np.arange(width)).ravel()
        cell = cell[frame.there[cell]]
        whole = rows is None and len(cell) == height * width
        stamp = frame.stamp if whole else _stamps_at(frame.stamp, cell)
        of_cell = cell // width
        flags = None if quality is None else quality[of_cell]
        return RawReadings(
            line=frame.line[of_cell],
            meter=Labels(named.code[of_cell], named.texts),
            stamp=stamp,
            values=values if whole else {channel: _taken(column, cell) for channel, column in values.items()},
            quality=flags,
            stamp_is=self.times.stamp_is,
            minutes=None if frame.minutes is None else frame.minutes[cell],
            omitted=self.recipe.rows.omitted,
        )


def _labels(column: Any) -> Labels:
    import pyarrow as pa

    if pa.types.is_timestamp(column.type):
        seconds, code = np.unique(column.cast(pa.int64()).to_numpy(), return_inverse=True)
        return Labels(code, CellTimes(seconds))
    found = labels(column)
    plain = [_QUOTED.sub("", text).strip() if '"' in text else text for text in found.texts]
    return Labels(found.code, plain)


def _is_empty(column: Labels) -> BoolArray:
    if isinstance(column.texts, CellTimes):
        return np.zeros(len(column.code), dtype=np.bool_)
    empty: BoolArray = np.array([not text for text in column.texts], dtype=np.bool_)[column.code]
    return empty


def _is_one_of(column: Labels, words: Sequence[str]) -> BoolArray:
    known = {normal(word) for word in words}
    fits: BoolArray = np.array([normal(text) in known for text in column.texts], dtype=np.bool_)[column.code]
    return fits


def _equal(column: Any, text: str) -> BoolArray:
    import pyarrow.compute as pc

    same: BoolArray = pc.equal(column, text).to_numpy(zero_copy_only=False)
    return same


def _float(text: str) -> float:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return float("nan")


def _places(columns: Sequence[Column]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(at for column in columns for at in column.places))


def _taken(column: Numbers, rows: IntArray) -> Numbers:
    place = {row: i for i, row in enumerate(rows.tolist())} if column.bad else {}
    bad = {place[row]: text for row, text in column.bad.items() if row in place}
    return Numbers(column.values[rows], column.empty[rows], bad)


def _stamps_at(stamp: Stamps, cells: IntArray) -> Stamps:
    text: Callable[[int], str] = lambda row: stamp.text(int(cells[row]))  # noqa: E731
    return Stamps(stamp.seconds[cells], stamp.kind[cells], text)


def _side_by_side(columns: Sequence[Numbers]) -> Numbers:
    """The columns of times of a wide file, row by row."""
    if len(columns) == 1:
        return columns[0]
    width = len(columns)
    bad = {row * width + i: text for i, column in enumerate(columns) for row, text in column.bad.items()}
    return Numbers(
        np.stack([column.values for column in columns], axis=1).ravel(),
        np.stack([column.empty for column in columns], axis=1).ravel(),
        bad,
    )
