"""`MeterData`: two registers per home and interval, as a meter has them, on one regular UTC grid.

Energy is stored as int64, or as int32 where every value fits, which may be mapped from files. What is computed from it
is int64: a sum of two columns as they are stored can wrap, so `net_wh`, `load_of` and `whole` widen rows first.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from data.clock import iso_utc
from data.errors import InvalidBattery, InvalidMeterData, InvalidResampling, InvalidWindow, UnknownHousehold
from market.interval import ALLOWED_MINUTES, begins_interval
from market.units import PPM, IntArray

QualityArray = npt.NDArray[np.uint8]

MEASURED, ESTIMATED, MISSING = 0, 1, 2
"""Quality of an interval, the worse the higher. Missing energy is stored as 0 in the registers."""


def home_id(name: str) -> str:
    """The id of a home: its name in Unicode form NFC, so that two ways to write one name are one home."""
    return unicodedata.normalize("NFC", name)


@dataclass(frozen=True, slots=True)
class BatterySpec:
    """What is needed to operate a battery.

    Args:
        capacity_wh: Usable energy. [Wh]
        charge_w: Largest power into the battery, at its terminals. [W]
        discharge_w: Largest power out of it, at its terminals. [W]
        charge_efficiency_ppm: Energy stored per energy taken in. [parts per million]
        discharge_efficiency_ppm: Energy given out per energy taken from the store. [parts per million]
    """

    capacity_wh: int
    charge_w: int
    discharge_w: int
    charge_efficiency_ppm: int
    discharge_efficiency_ppm: int

    def __post_init__(self) -> None:
        if min(self.capacity_wh, self.charge_w, self.discharge_w) <= 0:
            raise InvalidBattery(f"a battery needs a positive capacity and positive powers; got {self}")
        for efficiency in (self.charge_efficiency_ppm, self.discharge_efficiency_ppm):
            if not 0 < efficiency <= PPM:
                raise InvalidBattery(f"a battery efficiency of {efficiency} ppm; it must be in 1..{PPM}")


@dataclass(frozen=True, slots=True)
class Known:
    """Energy of a channel of a home that is known over a stretch of intervals, and not of each of them.

    Args:
        home: Name of the home.
        channel: Such as "import".
        start_s: Start of the first interval. [s since 1970]
        end_s: End of the last interval. [s since 1970]
        wh: What went through. [Wh]
    """

    home: str
    channel: str
    start_s: int
    end_s: int
    wh: int


@dataclass(frozen=True, slots=True)
class Source:
    """Where data come from.

    Args:
        format: Name of the meter format.
        sha256: Of the file; of the sorted lines `sha256 name` where the source is a folder.
        answers: What the user (or a stated default) added that the file does not state, e.g. the zone.
        notes: Traps found, one sentence each.
    """

    format: str
    sha256: str
    answers: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class MeterData:
    """Readings of H homes over T intervals; every array has shape (T, H) and is read-only.

    Arrays passed in are made read-only in place, not copied (a view of a writable array is copied). Those of energy are
    int64 or int32, and may be mapped from files.

    Args:
        households: Ids of the homes, one per column; in the form of `home_id`.
        start_s: Start of the first interval, UTC; on a local clock a multiple of the interval. [s since 1970]
        minutes: Length of an interval: 5, 15, 30 or 60. [min]
        import_wh: Energy taken from the grid, at least 0. [Wh]
        export_wh: Energy given to the grid, at least 0. [Wh]
        quality: MEASURED, ESTIMATED or MISSING.
        sub_meters: Meters behind the two registers, all at least 0: "pv" gross production, "load" gross
            consumption of everything in the home, of which "heat_pump", "ev" and others are parts. [Wh]
        batteries: What the source says each home owns. Their operation is NOT in the registers of simulated
            sources, where import - export is load - pv.
        source: Where the data come from.
    """

    households: tuple[str, ...]
    start_s: int
    minutes: int
    import_wh: IntArray
    export_wh: IntArray
    quality: QualityArray
    sub_meters: Mapping[str, IntArray]
    batteries: tuple[BatterySpec | None, ...]
    source: Source

    def __post_init__(self) -> None:
        object.__setattr__(self, "households", tuple(map(home_id, self.households)))
        problems = _problems(self)
        if problems:
            raise InvalidMeterData(problems)
        object.__setattr__(self, "import_wh", _frozen(self.import_wh))
        object.__setattr__(self, "export_wh", _frozen(self.export_wh))
        quality = self.quality
        if quality.flags.writeable and quality.base is not None:
            quality = quality.copy()
        quality.flags.writeable = False
        object.__setattr__(self, "quality", quality)
        object.__setattr__(self, "sub_meters", {k: _frozen(v) for k, v in self.sub_meters.items()})

    @property
    def intervals(self) -> int:
        """Number of intervals, T."""
        return len(self.import_wh)

    @property
    def end_s(self) -> int:
        """The first second after the last interval, UTC. [s since 1970]"""
        return self.start_s + self.intervals * self.minutes * 60

    @property
    def load_wh(self) -> IntArray:
        """Gross consumption: the sub-meter "load" if there is one, else import - export + pv. [Wh]

        Without a "pv" meter this is the net energy, which is negative where a home exports.
        """
        return self.load_of(slice(None))

    def load_of(self, rows: int | slice) -> IntArray:
        """The same of one or some intervals. [Wh]"""
        if "load" in self.sub_meters:
            return whole(self.sub_meters["load"][rows])
        net = self.net_wh(rows)
        return net + self.sub_meters["pv"][rows] if "pv" in self.sub_meters else net

    def net_wh(self, rows: int | slice = slice(None)) -> IntArray:
        """Import minus export of one or some intervals. [Wh]"""
        return np.subtract(self.import_wh[rows], self.export_wh[rows], dtype=np.int64)

    def window(self, start_s: int, end_s: int) -> MeterData:
        """Return the intervals in [start_s, end_s), sharing memory.

        Raises:
            InvalidWindow: It is empty, reaches beyond the data or cuts an interval.
        """
        step = self.minutes * 60
        if (start_s - self.start_s) % step or (end_s - self.start_s) % step:
            raise InvalidWindow(
                f"the window {iso_utc(start_s)} to {iso_utc(end_s)} cuts an interval of {self.minutes} minutes;"
                " choose times on an interval boundary"
            )
        if not self.start_s <= start_s < end_s <= self.end_s:
            raise InvalidWindow(
                f"the window {iso_utc(start_s)} to {iso_utc(end_s)} is not inside the data,"
                f" which run from {iso_utc(self.start_s)} to {iso_utc(self.end_s)}"
            )
        rows = slice((start_s - self.start_s) // step, (end_s - self.start_s) // step)
        return _part_of(
            self,
            start_s=start_s,
            import_wh=self.import_wh[rows],
            export_wh=self.export_wh[rows],
            quality=self.quality[rows],
            sub_meters={name: energy[rows] for name, energy in self.sub_meters.items()},
        )

    def select(self, households: Sequence[str]) -> MeterData:
        """Return these homes, in this order.

        Raises:
            UnknownHousehold: One of them is not in the data.
        """
        place = {name: i for i, name in enumerate(self.households)}
        households = [home_id(name) for name in households]
        for name in households:
            if name not in place:
                raise UnknownHousehold(name, self.households)
        columns = [place[name] for name in households]
        return replace(
            self,
            households=tuple(households),
            import_wh=self.import_wh[:, columns],
            export_wh=self.export_wh[:, columns],
            quality=self.quality[:, columns],
            sub_meters={name: energy[:, columns] for name, energy in self.sub_meters.items()},
            batteries=tuple(self.batteries[i] for i in columns),
        )

    def resample(self, minutes: int, phase_s: int = 0) -> MeterData:
        """Sum to longer intervals; energy is conserved to the Wh, quality is the worst of the parts.

        Args:
            minutes: The new length. [min]
            phase_s: How long after a multiple of it, in UTC, the intervals of the local clock begin. [s]

        Raises:
            InvalidResampling: The new length is not a multiple of the old, or the data do not start and end on
                it.
        """
        if minutes == self.minutes:
            return self
        if minutes not in ALLOWED_MINUTES or minutes % self.minutes:
            raise InvalidResampling(
                f"cannot turn intervals of {self.minutes} minutes into {minutes};"
                f" choose a multiple out of {ALLOWED_MINUTES}"
            )
        if (self.start_s - phase_s) % (minutes * 60) or (self.end_s - phase_s) % (minutes * 60):
            raise InvalidResampling(
                f"the data from {iso_utc(self.start_s)} to {iso_utc(self.end_s)} do not start and end on a"
                f" {minutes}-minute boundary; cut them with window() first"
            )
        parts = (self.intervals * self.minutes // minutes, minutes // self.minutes, len(self.households))
        return replace(
            self,
            minutes=minutes,
            import_wh=self.import_wh.reshape(parts).sum(axis=1),
            export_wh=self.export_wh.reshape(parts).sum(axis=1),
            quality=self.quality.reshape(parts).max(axis=1),
            sub_meters={k: v.reshape(parts).sum(axis=1) for k, v in self.sub_meters.items()},
        )


def carry_round(amount: IntArray, unit: int) -> IntArray:
    """Turn amounts into whole units without losing the remainders; the array is used as working memory.

    The running sum of each column is rounded, half up, and the result is its differences. So any stretch of
    rows sums to the true amount within 1 unit, and amounts that are whole units come out unchanged.

    Args:
        amount: Non-negative, shape (T, ...), in `1/unit` of the wanted unit. Overwritten.
        unit: How many make one, e.g. 1_000_000 for micro-Wh to Wh.
    """
    if unit == 1:
        return amount
    units = amount // unit
    if np.array_equal(units * unit, amount):  # there are no remainders, and nothing to carry
        return units
    np.cumsum(amount, axis=0, out=amount)
    amount += unit // 2
    amount //= unit
    amount[1:] -= amount[:-1].copy()
    return amount


def whole(energy: IntArray) -> IntArray:
    """Energy as int64; not copied where it is. [Wh]"""
    return energy.astype(np.int64, copy=False)


def of_checked(
    households: tuple[str, ...],
    start_s: int,
    minutes: int,
    import_wh: IntArray,
    export_wh: IntArray,
    quality: QualityArray,
    sub_meters: Mapping[str, IntArray],
    batteries: tuple[BatterySpec | None, ...],
    source: Source,
) -> MeterData:
    """Data whose values have been checked before, so that none of them is read now; all arrays must be read-only."""
    data: MeterData = object.__new__(MeterData)
    for name, value in zip(
        MeterData.__slots__,
        (households, start_s, minutes, import_wh, export_wh, quality, dict(sub_meters), batteries, source),
        strict=True,
    ):
        object.__setattr__(data, name, value)
    return data


def _part_of(data: MeterData, **changed: Any) -> MeterData:
    """The same homes with some of their rows."""
    return of_checked(**{name: getattr(data, name) for name in MeterData.__slots__} | changed)


def _frozen(energy: IntArray) -> IntArray:
    if energy.flags.writeable and energy.base is not None:
        energy = energy.copy()
    energy.flags.writeable = False
    return energy


def _problems(data: MeterData) -> list[str]:
    problems: list[str] = []
    homes = len(data.households)
    shape = data.import_wh.shape
    if data.minutes not in ALLOWED_MINUTES:
        return [f"an interval of {data.minutes} minutes; choose one of {ALLOWED_MINUTES}"]
    if not begins_interval(data.start_s, data.minutes):
        problems.append(f"the start {data.start_s} is not on a boundary of {data.minutes} minutes")
    if homes == 0 or len(set(data.households)) != homes or not all(data.households):
        problems.append("home ids must be unique, not empty, and at least one")
    if len(shape) != 2 or shape[0] == 0 or shape[1] != homes:
        problems.append(f"import_wh has shape {shape}; expected (intervals, {homes})")
    if len(data.batteries) != homes:
        problems.append(
            f"{len(data.batteries)} batteries for {homes} homes; give one entry each, None where none"
        )
    for name, energy in {"import_wh": data.import_wh, "export_wh": data.export_wh, **data.sub_meters}.items():
        if energy.shape != shape or energy.dtype not in (np.int64, np.int32):
            expected = f"int64 or int32 of {shape}"
            problems.append(f"{name} is {energy.dtype} of shape {energy.shape}; expected {expected}")
        elif energy.size and int(energy.min()) < 0:
            problems.append(f"{name} holds negative energy; a register never runs backwards")
    if data.quality.shape != shape or data.quality.dtype != np.uint8:
        problems.append(
            f"quality is {data.quality.dtype} of shape {data.quality.shape}; expected uint8 of {shape}"
        )
    elif data.quality.size and int(data.quality.max()) > MISSING:
        problems.append("quality holds a flag other than 0 measured, 1 estimated, 2 missing")
    return problems
