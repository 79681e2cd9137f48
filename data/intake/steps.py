"""How long the interval of each row is: as the file states it, or as the stamps of each home show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data.intake.raw import UNITS, IntakeLog
from data.intake.times import Timed
from market.interval import ALLOWED_MINUTES
from market.units import BoolArray, IntArray

SAMPLED_HOMES = 20
"""The usual step of a file is that of its first homes."""

LEAST_STEPS, LEAST_SHARE = 8, 0.9
"""A home has a step of its own if it has this many readings, and this share of them are that far apart."""

LEAST_RUN = 4
"""A step that changes within a home holds for this many readings in a row, each time."""

HOUR_S, DAY_S = 3600, 86_400

SPREAD = "spread totals of energy over their days: --profile flat or --profile FILE"
"""What can be done with totals of days, weeks or months."""


@dataclass(frozen=True, slots=True, eq=False)
class Lengths:
    """The lengths of the intervals of rows, which are sorted by home and time.

    Args:
        of_home: Length for each home, 0 where it is not known; of a home with several the longest. [min]
        of_row: Length of each row, where homes have several; else None. [min]
        changing: Homes with several, as the stamps show.
    """

    of_home: IntArray
    of_row: IntArray | None
    changing: tuple[int, ...] = ()

    def rows(self, home: IntArray) -> IntArray:
        """The length of each row, whose homes are given. [min]"""
        return self.of_home[home] if self.of_row is None else self.of_row


def divides_hour(seconds: int) -> bool:
    """Whether intervals of this length make whole hours of whole minutes."""
    return seconds > 0 and seconds % 60 == 0 and HOUR_S % seconds == 0


def shortest_allowed(minutes: Sequence[int]) -> int:
    """The shortest interval of a market that holds whole intervals of each of these lengths, which divide an hour."""
    return next(m for m in ALLOWED_MINUTES if all(m % one == 0 for one in minutes))


def lengths_of(table: Timed, log: IntakeLog) -> Lengths | None:
    """Find the lengths of all intervals; None after an error."""
    homes, home = len(table.rows.homes), table.home
    if table.rows.minutes is not None:
        return _stated(table, log)
    step = np.diff(table.utc)
    own = np.diff(home) == 0
    of_home = np.zeros(homes, dtype=np.int64)
    if not own.any():
        return Lengths(of_home, None)
    owner, step = home[1:][own], step[own]
    sampled = owner <= np.unique(owner)[:SAMPLED_HOMES][-1]
    usual = _most_frequent(step[sampled])[0]
    if not divides_hour(usual):
        if table.rows.omitted:  # where most rows are left out, the other channels show the length
            return Lengths(of_home, None)
        _refuse(usual, None, table, log)
        return None
    total = np.bincount(owner, minlength=homes)
    of_home[total > 0] = usual // 60
    match = np.bincount(owner[step == usual], minlength=homes)
    odd = (total > 0) & (match < LEAST_SHARE * total)
    odd[owner[:-1][_runs_of_another(owner, step, usual)]] = True
    of_row = None
    changing = []
    for h in np.flatnonzero(odd).tolist():
        first, last = np.searchsorted(owner, [h, h + 1]).tolist()
        found = _own_lengths(step[first:last], table.rows.ends, usual)
        if found is None:
            continue
        if isinstance(found, int):
            if not divides_hour(found):
                _refuse(found, table.rows.homes[h], table, log)
                return None
            of_home[h] = found // 60
            continue
        if of_row is None:
            of_row = np.zeros(len(home), dtype=np.int64)
        at = int(np.searchsorted(home, h))
        of_row[at : at + len(found)] = found // 60
        of_home[h] = int(found.max()) // 60
        changing.append(h)
    if of_row is not None:
        of_row = np.where(of_row > 0, of_row, of_home[home])
    return Lengths(of_home, of_row, tuple(changing))


def _most_frequent(steps: IntArray) -> tuple[int, float]:
    """The most frequent value, and its share of all."""
    lengths, count = np.unique(steps, return_counts=True)
    return int(lengths[np.argmax(count)]), float(count.max() / len(steps))


def _runs_of_another(owner: IntArray, step: IntArray, usual: int) -> BoolArray:
    """Where a step other than the usual one holds for a while; one shorter than its argument."""
    same = (step[1:] == step[:-1]) & (owner[1:] == owner[:-1]) & (step[1:] != usual)
    run = same.copy()
    for ahead in range(1, LEAST_RUN - 1):
        run[:-ahead] &= same[ahead:]
        run[-ahead:] = False
    return np.asarray(run, dtype=np.bool_)


def _own_lengths(step: IntArray, ends: bool, usual: int) -> int | IntArray | None:
    """Lengths of a home's rows, one more than its steps: one of its own, or several; None for the usual one. [s]"""
    most, share = _most_frequent(step)
    if ends:  # an interval reaches back to the row before
        step = step[::-1]
    change = np.flatnonzero(np.diff(step) != 0) + 1
    begin, end = np.concatenate([[0], change]), np.concatenate([change, [len(step)]])
    runs = [(b, e) for b, e in zip(begin.tolist(), end.tolist(), strict=True) if e - b >= LEAST_RUN]
    runs = [(b, e) for b, e in runs if divides_hour(int(step[b]))]
    kinds = {int(step[b]) for b, _ in runs}
    explained = sum(e - b for b, e in runs)
    if len(kinds) < 2 or explained < LEAST_SHARE * len(step):
        return most if most != usual and len(step) >= LEAST_STEPS and share >= LEAST_SHARE else None
    lengths = np.zeros(len(step) + 1, dtype=np.int64)
    for b, _ in runs:
        lengths[b:] = step[b]
    lengths[: runs[0][0]] = step[runs[0][0]]
    return lengths[::-1] if ends else lengths


def _stated(table: Timed, log: IntakeLog) -> Lengths | None:
    """The lengths that the file states, checked against its stamps."""
    rows, home = table.rows, table.home
    assert rows.minutes is not None
    stated = rows.minutes[table.row]
    wrong = ~np.isin(stated, [m for m in range(1, 61) if 60 % m == 0])
    if wrong.any():
        _refuse(int(stated[np.argmax(wrong)]) * 60, None, table, log)
        return None
    step, own = np.diff(table.utc), np.diff(home) == 0
    length = (stated[1:] if rows.ends else stated[:-1]) * 60
    later = table.row[1:]
    overlaps = np.zeros(rows.count, dtype=np.bool_)
    overlaps[later[own & (step < length)]] = True
    minutes = np.zeros(rows.count, dtype=np.int64)
    minutes[later] = length // 60
    before = dict(zip(later.tolist(), rows.line[table.row[:-1]].tolist(), strict=True))

    def describe(row: int) -> str:
        return f"the file says {minutes[row]} minutes, but the row of line {before[row]} is closer; correct the lengths"

    log.add_rows("error", "interval_length", np.flatnonzero(overlaps), rows.describe(describe))
    usual = _most_frequent(step[own])[0] if own.any() else 0
    if own.any() and not (step[own] == length[own]).any() and (own.sum() > 1 or usual < 2 * length.min()):
        message = f"the file says {int(length[own][0]) // 60} minutes, but its rows are {usual / 60:g} minutes apart"
        log.add("error", "interval_length", f"{message}; correct the lengths, or give a file without gaps")
    if log.has_errors:
        return None
    of_home = np.zeros(len(rows.homes), dtype=np.int64)
    np.maximum.at(of_home, home, stated)
    uniform = (of_home[home] == stated).all()
    return Lengths(of_home, None if uniform else stated)


def _refuse(seconds: int, home: str | None, table: Timed, log: IntakeLog) -> None:
    """Say that intervals of this length cannot be read, and what to do."""
    whole = {23 * HOUR_S: "daily", 24 * HOUR_S: "daily", 25 * HOUR_S: "daily", 7 * DAY_S: "weekly"}
    kind = whole.get(seconds) or ("monthly" if 28 * DAY_S <= seconds <= 31 * DAY_S + HOUR_S else None)
    if kind is None and seconds >= DAY_S and (seconds % DAY_S) in (0, HOUR_S, DAY_S - HOUR_S):
        kind = f"{round(seconds / DAY_S)}-day"
    if seconds > HOUR_S:
        what = f"{kind} totals" if kind else f"one value in {seconds / HOUR_S:g} hours"
        message = f"{what}: a market needs intervals of an hour or less; give the export with intervals"
        energy = all(c.kind == "interval" and not UNITS[c.unit][1] for c in table.rows.values)
        message += f", or {SPREAD}" if kind and energy else ""
        log.add("error", "too_coarse", message, household=home)
        return
    message = (
        f"the intervals are {seconds / 60:g} minutes, which make no whole hour; convert the file to one of"
    )
    log.add("error", "interval_length", f"{message} {ALLOWED_MINUTES}", household=home)
