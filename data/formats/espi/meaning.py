"""What the series of a Green Button feed mean: channel, unit, kind; which hold no energy, which hold it twice."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data.formats.espi.join import Series
from data.intake.claims import Question, quoted
from data.intake.raw import UNITS, Channel, FloatArray, Hints, IntakeLog, Kind
from data.intake.steps import SPREAD
from data.recipes.model import held_as_it_is

SHORTEST_DAY_S = 86_400 - 3_600
"""Readings this long are totals of a day, also of the day on which the clock goes forward. [s]"""

DIRECTIONS = {"1": "import", "19": "export", "4": "net"}
COUNTERS, INTERVALS, INSTANTS = ("1", "3"), ("", "0", "4", "6", "12"), ("6", "12")
UNIT_CODES = {"72": "Wh", "38": "W"}
_KINDS: dict[str, Kind] = {"energy": "interval", "power": "interval", "counter": "counter"}
SERVICES, COMMODITIES = {"1": "gas", "2": "water"}, {"7": "gas", "9": "water"}
GAS_CODES = ("42", "119", "132", "169")
"""Codes of m3, cubic feet, BTU and therms."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A series and what it means.

    Args:
        series: The readings.
        channel: Where their energy goes; in Wh.
        power: Whether the feed holds mean power.
        wh: Energy of each interval, or readings of a counter.
        duration: Length of each interval; NaN where it is not said. [s]
    """

    series: Series
    channel: Channel
    power: bool
    wh: FloatArray
    duration: FloatArray

    @property
    def usual_s(self) -> float:
        """Usual length of its intervals. [s]"""
        return _usual(self.duration)


def part_of(series: Series, hints: Hints, log: IntakeLog) -> Part | None:
    """Find the meaning of a series; None where it is no energy, or where its meaning has to be asked."""
    label = f"ReadingType {series.number}"
    duration = _durations(series)
    reason = no_energy(series, hints)
    if reason is not None:
        note = f"{label} is left out: {reason[1]}"
        _note(log, note)
        return None
    unit = UNIT_CODES.get(series.type.get("uom", "")) or hints.unit
    said = hints.channels.get(label) or DIRECTIONS.get(series.type.get("flowDirection", ""))
    stored = series.type.get("accumulationBehaviour", "")
    kind: Kind | None = _KINDS.get(hints.kind or "") or (
        "counter" if stored in COUNTERS else "interval" if stored in INTERVALS else None
    )
    if unit is None:
        log.ask(Question("--unit", f"{label} does not say its unit (uom)", ("Wh", "kWh", "W", "kW")))
    if said is None:
        log.ask(_direction(series, label))
    if kind is None:
        asks = f"{label} has values of accumulationBehaviour {stored}: energy of each interval, or a counter"
        log.ask(Question("--kind", asks, ("energy", "counter")))
    if unit is None or said is None or kind is None or said == "ignore":
        return None
    held = held_as_it_is(said, label, log)
    if held is None:
        return None
    per_unit, power = UNITS[unit]
    wh = _scaled(series, label, log) * (per_unit / 10**6)
    if kind == "interval":
        message = (
            "this reading is the total of a day or more among readings of intervals; export intervals only"
        )
        long = np.flatnonzero((duration >= SHORTEST_DAY_S) & (_usual(duration) < SHORTEST_DAY_S))
        log.add_rows("error", "too_coarse", long, lambda row: (int(series.line[row]), None, message))
    if power:
        note = f"{label}: mean power, times the length of each interval"
        _note(log, note)
        wh = wh * duration / 3600
        if np.isnan(duration).any():
            log.add(
                "error", "interval_length", f"{label} is power, and for how long is not said; export energy"
            )
    # A part of its own, as one home may have a counter and another one energy of intervals.
    part = " ".join(filter(None, (held.part, "counter" if kind == "counter" else "")))
    channel = Channel(held.name, "Wh", kind, part=part)
    return Part(series, channel, power, wh, duration)


def no_energy(series: Series, hints: Hints) -> tuple[str, str] | None:
    """Why a series holds no energy of intervals: a code, and words; None where it does, or where it may be spread."""
    fields = series.type
    uom, commodity, flow = (fields.get(name, "") for name in ("uom", "commodity", "flowDirection"))
    stored = fields.get("accumulationBehaviour", "")
    what = SERVICES.get(series.service) or COMMODITIES.get(commodity) or ("gas" if uom in GAS_CODES else "")
    if what:
        return "gas" if what == "gas" else "no_energy", f"it holds {what}"
    if uom and uom not in UNIT_CODES:
        return "no_energy", f"its unit (uom {uom}) is neither energy nor active power"
    if fields.get("dataQualifier") in ("8", "9"):
        return "no_energy", "it holds the highest or lowest value of each interval"
    if uom == "38" and stored in INSTANTS:
        return "no_energy", "it holds power at an instant, from which no energy follows"
    if flow not in (*DIRECTIONS, "", "0"):
        return "no_energy", f"its direction (flowDirection {flow}) is none of import, export and net"
    coarse = stored not in COUNTERS and _usual(_durations(series)) >= SHORTEST_DAY_S
    if coarse and hints.profile is None:
        return (
            "too_coarse",
            f"it holds totals of days or months; export the readings of intervals, or {SPREAD}",
        )
    return None


def without_doubles(parts: Sequence[Part], log: IntakeLog) -> list[Part]:
    """Leave out of each home what another series of it holds already, with a note."""
    kept: list[Part] = []
    for home in dict.fromkeys(part.series.home for part in parts):
        own = _without_totals([part for part in parts if part.series.home == home], log)
        names = {part.channel.name for part in own}
        if {"import", "export"} <= names:
            twice, why = {"net"}, "import and export hold the same energy, and are taken"
        elif "net" in names:
            twice, why = (
                {"import", "export"},
                "net holds the same energy, and is taken, as one of both is missing",
            )
        else:
            twice, why = set(), ""
        left = names & twice
        if left:
            _note(log, f"{', '.join(sorted(left))} is left out: {why}")
        for name in sorted(names - left):
            kept += _of_one_kind([part for part in own if part.channel.name == name], log)
    return kept


def _without_totals(parts: list[Part], log: IntakeLog) -> list[Part]:
    """Leave out totals of days of import and export where their net was measured in intervals, and the other way."""
    fine = {part.channel.name for part in parts if part.usual_s < SHORTEST_DAY_S}
    whole = "net" in fine or {"import", "export"} <= fine
    kept = [part for part in parts if part.channel.name in fine or not whole]
    if left := sorted({part.channel.name for part in parts} - {part.channel.name for part in kept}):
        _note(log, f"{', '.join(left)} is left out: the readings of intervals hold the same energy")
    return kept


def _of_one_kind(parts: Sequence[Part], log: IntakeLog) -> list[Part]:
    """Of several series of one channel the best: intervals before totals, then energy, then the shortest.

    Totals of days are there only where a profile spreads them; what was measured is better than an estimate.
    """
    order = [
        (part.usual_s >= SHORTEST_DAY_S, part.channel.kind == "counter", part.power, part.usual_s)
        for part in parts
    ]
    best = min(order)
    if max(order) > best:
        name = parts[0].channel.name
        _note(log, f"{name} is given more than once; the energy of the shortest intervals is taken")
    return [part for part, rank in zip(parts, order, strict=True) if rank == best]


def _note(log: IntakeLog, note: str) -> None:
    if note not in log.notes:
        log.notes.append(note)


def _durations(series: Series) -> FloatArray:
    length = series.type.get("intervalLength", "")
    known = float(length) if re.fullmatch(r"[0-9]{1,9}", length) and int(length) else np.nan
    return np.where(np.isnan(series.duration), known, series.duration)


def _usual(duration: FloatArray) -> float:
    known = duration[~np.isnan(duration)]
    return float(np.median(known)) if len(known) else 0.0


def _scaled(series: Series, label: str, log: IntakeLog) -> FloatArray:
    text = series.type.get("powerOfTenMultiplier", "0") or "0"
    try:
        power = int(text)
    except ValueError:
        power = 100
    if not -12 <= power <= 12:
        message = f"{label} has the powerOfTenMultiplier {text[:20]!r}, not a whole number from -12 to 12"
        log.add("error", "no_reading_type", f"{message}; export the feed again")
        return series.value
    # A division by a power of ten rounds once, a multiplication with its inverse twice.
    return series.value * 10.0**power if power >= 0 else series.value / 10.0**-power


def _direction(series: Series, label: str) -> Question:
    asks = f"{label} does not say which way its energy flows (flowDirection)"
    choices = ("import", "export", "net", "pv", "load", "ignore")
    positive = not bool(np.any(series.value < 0))
    proposal, why = ("import", "no value is negative") if positive else ("net", "some values are negative")
    return Question(f"--channel {quoted(label)}", asks, choices, proposal, 0.7, why)
