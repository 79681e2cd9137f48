"""Counters of meters: how values look that are readings of one, and what a counter that falls means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from data.findings import FindingLog
from data.intake import tall
from data.intake.raw import UNITS, Channel, FloatArray, RawReadings, SaidKind
from market.units import BoolArray, IntArray

LEAST_RISES = 24
"""Values that rise this often and hardly ever fall are readings of a counter, not energy per interval."""

LEAST_STEPS = 4
"""A counter that begins at 0 again holds at least this many of its largest steps; a load that jumps holds one."""

RISES_PER_CHANGE, RISES_PER_RESET = 50, 10
"""A counter falls this rarely: to any value where the meter was changed, or to about zero where it begins again. The
energy of intervals falls about as often as it rises."""

ONE_FALL = RISES_PER_CHANGE - LEAST_RISES // 2
"""A counter that falls once and holds several of its steps is one where it rises this much less often."""

SMALLEST_FALL = 1_000
"""A fall by less than this part of the largest step is one of rounding."""

NAMED = 3
"""Homes that a finding about many names."""


def look_like_counters(values: IntArray | FloatArray) -> BoolArray:
    """Find which columns look like a counter; a reset leads to no more than one step has added before.

    Args:
        values: Readings in the order of time, shape (T, H).
    """
    with np.errstate(over="ignore", invalid="ignore"):  # what no meter reads is refused as impossible, later
        return _look_like_counters(values)


def _look_like_counters(values: IntArray | FloatArray) -> BoolArray:
    step = np.diff(values, axis=0)
    largest = tall.largest(step)
    rises, falls = tall.count(step > 0), tall.count(step * SMALLEST_FALL < -largest)
    possible = (falls * RISES_PER_CHANGE <= rises + ONE_FALL) | (falls * RISES_PER_RESET <= rises)
    if not (possible & (rises >= LEAST_RISES)).any():
        return np.zeros(values.shape[1], dtype=np.bool_)
    resets = tall.count(falls_to_zero(values))
    sums = values.max(axis=0) >= LEAST_STEPS * largest
    begins_again = sums & (falls == resets) & (falls * RISES_PER_RESET <= rises)
    seldom = (falls * RISES_PER_CHANGE <= rises + ONE_FALL * (sums & (falls == 1))) | begins_again
    return np.asarray((rises >= LEAST_RISES) & seldom, dtype=np.bool_)


def falls_to_zero(values: IntArray | FloatArray) -> BoolArray:
    """Find after which rows a column falls to what one step can have added since it was 0, shape (T - 1, H)."""
    step = np.diff(values, axis=0)
    largest = step.max(axis=0) if len(step) else np.zeros(values.shape[1])
    return np.asarray((step < 0) & (values[1:] <= largest), dtype=np.bool_)


def report_counters(channel: Channel, homes: Sequence[str], log: FindingLog) -> None:
    """Report once that a column holds counters, with what to do."""
    rest = f" and {len(homes) - NAMED} more" if len(homes) > NAMED else ""
    whose = f" of {', '.join(homes[:NAMED])}{rest}" if len(homes) > 1 else ""
    log.add(
        "error",
        "cumulative",
        f"{channel}{whose} rises from row to row and falls hardly ever: this is a meter's counter (cumulative), not"
        ' the energy of each interval; say kind = "counter", and the differences are taken, or'
        ' kind = "energy" if it is energy all the same',
        household=homes[0] if len(homes) == 1 else None,
    )


POWER_OF = {"Wh": "W", "kWh": "kW", "MWh": "MW"}
"""Mean power whose number is energy when it lasts an hour."""


def as_said(chunk: RawReadings, kind: SaidKind, log: FindingLog) -> RawReadings:
    """The same rows, read as the counters, the energy or the mean power that the user says they are."""
    powers = [channel for channel in chunk.values if UNITS[channel.unit][1]]
    if kind == "counter":
        for channel in powers:
            message = f"{channel} is power, which no counter shows; leave `kind` out"
            log.add("error", "not_a_counter", message, line=1)
        return replace(
            chunk, values={replace(c, kind="counter"): column for c, column in chunk.values.items()}
        )
    said = {c: c for c in chunk.values} | {
        c: replace(c, kind="interval", unit=POWER_OF[c.unit] if kind == "power" else c.unit)
        for c in chunk.values
        if c not in powers
    }
    return replace(chunk, values={said[channel]: column for channel, column in chunk.values.items()})
