"""Rows of short intervals summed to longer ones, energy kept; an interval of which a part is not there is MISSING."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from data.intake.raw import UNITS, Channel, FloatArray, IntakeLog, Numbers
from data.intake.rows import Rows
from data.intake.times import Timed
from data.readings import MEASURED, MISSING, QualityArray
from market.units import BoolArray, IntArray


def summed(
    table: Timed, start: IntArray, length: IntArray, minutes: int, phase_s: int, log: IntakeLog
) -> Timed:
    """Sum rows to intervals of one length.

    Args:
        table: Rows by home and time.
        start: Start of the interval of each. [s since 1970]
        length: Its length. [min]
        minutes: The length of all intervals then. [min]
        phase_s: How long after a multiple of it in UTC they begin. [s]
        log: Where findings go.
    """
    rows = _net_split(table.rows)
    whole = minutes * 60
    cell = (start - phase_s) // whole
    crosses = (start - phase_s) % whole + length * 60 > whole
    if crosses.any():
        _report_crossing(rows, table.row[crosses], minutes, log)
    home = table.home
    begin = np.flatnonzero(np.concatenate([[True], (np.diff(cell) != 0) | (np.diff(home) != 0)]))
    covered = np.add.reduceat(length, begin)
    short = (covered < minutes) & (not rows.omitted)
    at = table.row[begin]
    flags = np.full(len(home), MEASURED, dtype=np.uint8) if rows.quality is None else rows.quality[table.row]
    quality: QualityArray = np.maximum.reduceat(flags, begin)
    quality[short] = MISSING
    values = {
        channel: _sum(channel, column, table.row, begin, length, minutes, short)
        for channel, column in rows.values.items()
    }
    _report_short(table, begin, short & (np.maximum.reduceat(flags, begin) != MISSING), values, minutes, log)
    whole_rows = _whole_rows(rows, at, values, quality, short)
    return Timed(whole_rows, np.arange(len(begin)), cell[begin] * whole + phase_s, table.unknown)


def _report_crossing(rows: Rows, crossing: IntArray, minutes: int, log: IntakeLog) -> None:
    """Report rows whose interval ends beyond the long one in which it begins."""
    says = f"begins an interval that no whole one of {minutes} minutes holds; correct the stamp"
    described = rows.describe(lambda row: f"{rows.stamp.text(row)} {says}")
    log.add_rows("error", "off_grid", np.unique(crossing), described)


def _whole_rows(
    rows: Rows, at: IntArray, values: dict[Channel, Numbers], quality: QualityArray, short: BoolArray
) -> Rows:
    """Rows of the long intervals, each with line, stamp and home of its first part; of one that lacks a part 0."""
    text = rows.stamp.text
    stamp = replace(
        rows.stamp,
        seconds=rows.stamp.seconds[at],
        kind=rows.stamp.kind[at],
        text=lambda row: text(int(at[row])),
    )
    return replace(
        rows,
        line=rows.line[at],
        stamp=stamp,
        home=rows.home[at],
        values={c: replace(one, values=np.where(short, 0.0, one.values)) for c, one in values.items()},
        quality=quality,
        ends=False,
        revision=None,
        minutes=None,
    )


def _sum(
    channel: Channel,
    column: Numbers,
    row: IntArray,
    begin: IntArray,
    length: IntArray,
    minutes: int,
    short: BoolArray,
) -> Numbers:
    """Energy of the parts, or their mean power; empty where a part is empty. Sums are of whole micro-Wh, so exact."""
    factor, is_power = UNITS[channel.unit]
    micro = np.rint(np.nan_to_num(column.values[row], nan=0.0) * factor).astype(np.int64)
    empty = np.logical_or.reduceat(column.empty[row], begin) & ~short
    amount: FloatArray
    if is_power:
        amount = np.add.reduceat(micro * length, begin) / minutes / factor
    else:
        amount = np.add.reduceat(micro, begin) / factor
    return Numbers(amount, empty)


def _net_split(rows: Rows) -> Rows:
    """The same rows with a net as import and export, for a sum of both signs would hide what went each way."""
    nets = [channel for channel in rows.values if channel.name == "net"]
    if len(nets) != 1 or {"import", "export"} & {channel.name for channel in rows.values}:
        return rows
    (net,) = nets
    column = rows.values[net]
    values = {channel: numbers for channel, numbers in rows.values.items() if channel is not net}
    for name, amount in (("import", column.values), ("export", -column.values)):
        channel = replace(net, name=name, part="", label=str(net))
        values[channel] = replace(column, values=np.maximum(amount, 0))
    return replace(rows, values=values)


def _report_short(
    table: Timed,
    begin: IntArray,
    short: BoolArray,
    values: dict[Channel, Numbers],
    minutes: int,
    log: IntakeLog,
) -> None:
    """Report once the intervals that lack a part, with the energy that they leave out."""
    which = np.flatnonzero(short)
    if not len(which):
        return
    rows = table.rows
    energy = {c: column for c, column in values.items() if not UNITS[c.unit][1]}
    kwh = sum(float(column.values[which].sum()) * UNITS[c.unit][0] / 1e9 for c, column in energy.items())
    left_out = f", and the {kwh:.3f} kWh of the parts that are there nowhere" if energy else ""
    row = int(table.row[begin[which[0]]])
    homes = np.unique(rows.home[table.row[begin[which]]])
    log.add(
        "warning",
        "part_missing",
        f"{len(which)} intervals of {minutes} minutes, to which shorter ones are summed, lack a part, the first from"
        f" {rows.stamp.text(row)}; they count as missing{left_out}",
        line=int(rows.line[row]),
        household=rows.homes[homes[0]] if len(homes) == 1 else None,
        count=len(which),
    )
