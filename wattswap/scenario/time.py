"""What the tables of a scenario share, and the table of its time span."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, model_validator

from market.interval import begins_interval
from wattswap.scenario.fields import Fault, Stamp, Wrong, Zone, instant_s, is_resolved, iso, local_offset_s

Faults = list[Fault]

MAX_DAYS = 3_660
MAX_INTERVALS = MAX_DAYS * 288
DAY_S = 86_400


class Table(BaseModel):
    """A table of the file: unknown keys are refused, nothing is coerced, nothing can be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def missing_file(key: str, path: str, info: ValidationInfo) -> Faults:
    """Report a path that does not exist below the folder in the validation context, which may know it as absent."""
    context = info.context or {}
    base = None if key in context.get("absent", ()) else context.get("base")
    if base is None or (path and (Path(base) / path).exists()):
        return []
    looked = f"looked in {Path(base).resolve()}"
    return [
        (key, f"no file or folder {path!r} ({looked})", "paths count from the folder of the scenario file")
    ]


def finish(faults: Faults) -> None:
    """Raise all faults of a table at once, if there are any."""
    if faults:
        raise Wrong.all_of(faults)


def only_one(table: Table, keys: tuple[str, ...], faults: Faults) -> None:
    """Add a fault for every key that is given beside another one which excludes it."""
    given = [key for key in keys if key in table.model_fields_set]
    faults.extend(
        (key, f"excludes {given[0]}, which is given too", "keep one of the two") for key in given[1:]
    )


class Time(Table):
    """[time]: which part of the data runs."""

    start: Stamp | None = Field(
        default=None, description="First instant of the run; left out: the start of the data."
    )
    days: int | None = Field(default=None, ge=1, le=MAX_DAYS, description="Length of the run in days.")
    intervals: int | None = Field(
        default=None, ge=1, le=MAX_INTERVALS, description="Length of the run in intervals."
    )
    end: Stamp | None = Field(default=None, description="First instant after the run.")
    interval_minutes: Literal[5, 15, 30, 60] | None = Field(
        default=None, description="Length of a market interval; left out: the step of the data."
    )
    zone: Zone | None = Field(default=None, description="Time zone of a start or end that is a local time.")

    @model_validator(mode="after")
    def _check(self, info: ValidationInfo) -> Self:
        faults: Faults = []
        only_one(self, ("days", "intervals", "end"), faults)
        start_s = self._instant("start", self.start, 0, faults, info)
        end_s = self._instant("end", self.end, 0, faults, info)
        if start_s is not None and self.days:
            self._instant("days", self.start, self.days, faults, info)
        if start_s is not None and end_s is not None:
            if end_s <= start_s:
                faults.append(("end", "lies at or before the start", "move it after time.start"))
            elif end_s - start_s > MAX_DAYS * DAY_S:
                faults.append(
                    ("end", f"lies more than {MAX_DAYS} days after the start", "run a shorter time")
                )
        finish(faults)
        return self

    def _instant(
        self, key: str, stamp: date | None, add_days: int, faults: Faults, info: ValidationInfo
    ) -> int | None:
        """Convert and check one instant; what is wrong with it goes to `faults`."""
        if stamp is None:
            return None
        try:
            second = instant_s(stamp, self.zone, add_days)
        except Wrong as wrong:
            faults.extend((key, message, cure) for _, message, cure in wrong.faults)
            return None
        minutes = self.interval_minutes or 5
        clocks = (second, second + local_offset_s(stamp, self.zone, second))
        whole = (
            begins_interval(second, minutes)
            if is_resolved(info)
            else not all(s % (minutes * 60) for s in clocks)
        )
        if not whole:
            cure = f"use a multiple of {minutes} minutes, on the local clock or in UTC"
            faults.append((key, f"{iso(second)} is not on a {minutes}-minute boundary", cure))
        return second

    @property
    def start_s(self) -> int | None:
        """First instant; None is the start of the data. [s since 1970 UTC]"""
        return None if self.start is None else instant_s(self.start, self.zone)

    @property
    def end_s(self) -> int | None:
        """First instant after the run, if the file alone gives it. [s since 1970 UTC]"""
        if self.end is not None:
            return instant_s(self.end, self.zone)
        if self.start is not None and self.days is not None:
            return instant_s(self.start, self.zone, self.days)
        return None

    def resolved(self) -> dict[str, Any]:
        """The same span with its instants in UTC."""
        start_s, end_s = self.start_s, self.end_s
        values = {
            "start": None if start_s is None else iso(start_s),
            "end": None if end_s is None else iso(end_s),
            "days": self.days if end_s is None else None,
            "intervals": self.intervals,
            "interval_minutes": self.interval_minutes,
            "zone": self.zone,
        }
        return {key: value for key, value in values.items() if value is not None}
