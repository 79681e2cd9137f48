"""The shape of a day that its owner states for totals of days: flat, or weights by local time of day in a file."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

DAY_MINUTES = 1440
LONGEST_MINUTES = 60
LARGEST_BYTES = 1 << 20

FLAT = "flat"


@dataclass(frozen=True, slots=True)
class Profile:
    """Weights of the steps of a day, from 00:00 on the local clock on; their sum is of no importance.

    Args:
        weights: As decimal texts, one a step, none below 0; they are kept as they were given.
    """

    weights: tuple[str, ...] = ("1",)

    @property
    def step_minutes(self) -> int:
        """Length of a step. [min]"""
        return DAY_MINUTES // len(self.weights)

    @property
    def minutes(self) -> int:
        """Length of the intervals that totals are spread into: that of a step, and an hour at most. [min]"""
        return min(self.step_minutes, LONGEST_MINUTES)

    def __str__(self) -> str:
        return FLAT if len(self.weights) == 1 else " ".join(self.weights)

    @classmethod
    def of(cls, weights: tuple[str, ...]) -> Profile:
        """A profile of weights.

        Raises:
            ValueError: They do not divide a day into allowed steps, or one is no weight.
        """
        steps = len(weights)
        step = DAY_MINUTES // steps if steps and DAY_MINUTES % steps == 0 else 0
        if not step or (step % LONGEST_MINUTES and step not in (5, 10, 15, 20, 30)):
            raise ValueError(
                f"{steps} steps make no day of whole hours or of 30, 20, 15, 10 or 5 minutes; give 24, 48 or 96"
            )
        for at, text in enumerate(weights, start=1):
            if not _is_weight(text):
                raise ValueError(f"the weight {text!r} of step {at} is no number of 0 or more; write 0.5")
        if not any(Decimal(text) for text in weights):
            raise ValueError("all weights are 0; give at least one above it")
        return cls(weights if steps > 1 else ("1",))

    @classmethod
    def from_text(cls, text: str) -> Profile:
        """The profile that `str` wrote: "flat", or weights.

        Raises:
            ValueError: As in `of`.
        """
        return cls() if text == FLAT else cls.of(tuple(text.split()))


def _is_weight(text: str) -> bool:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return False
    return number.is_finite() and 0 <= number <= 10**9


def profile_of(said: str) -> Profile:
    """The profile that is called "flat", or that a CSV of local time of day and weight holds.

    Raises:
        ValueError: There is no such file, or a line of it is wrong.
    """
    if said == FLAT:
        return Profile()
    path = Path(said)
    if not path.is_file():
        raise ValueError("is neither the word flat nor a file; write flat or the name of a CSV")
    if path.stat().st_size > LARGEST_BYTES:
        raise ValueError("is larger than 1 MiB; give one row a step of the day")
    try:
        with path.open(encoding="utf-8-sig", newline="") as source:
            rows = [(line, row) for line, row in enumerate(csv.reader(source), start=1) if any(row)]
    except (UnicodeDecodeError, csv.Error):
        raise ValueError("is no CSV in UTF-8; write lines as in 00:00,0.5") from None
    if rows and _minute(rows[0][1][0]) is None:
        rows = rows[1:]  # a header
    return Profile.of(_weights(rows))


def _weights(rows: list[tuple[int, list[str]]]) -> tuple[str, ...]:
    """Weights of rows of time and weight, whose times must be those of equal steps from 00:00 on."""
    step = DAY_MINUTES / len(rows) if rows else 0
    for at, (line, row) in enumerate(rows):
        if len(row) != 2:
            raise ValueError(f"line {line} has {len(row)} cells; write a time and a weight, as in 00:00,0.5")
        if _minute(row[0]) != at * step:
            wanted = f"{int(at * step) // 60:02}:{int(at * step) % 60:02}"
            raise ValueError(
                f"line {line} says {row[0].strip()!r}, where {len(rows)} equal steps of a day have {wanted};"
                " give each step once, from 00:00 on"
            )
    return tuple(row[1].strip() for _, row in rows)


def _minute(text: str) -> int | None:
    """Minutes of a time of day such as 06:30 or 06:30:00; None for any other text."""
    parts = text.strip().split(":")
    if len(parts) not in (2, 3) or not all(part.isdecimal() and len(part) <= 2 for part in parts):
        return None
    hour, minute, second = (*map(int, parts), 0)[:3]
    return hour * 60 + minute if hour < 24 and minute < 60 and not second else None
