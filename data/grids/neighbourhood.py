"""A neighbourhood as elements on shared profiles, which is how SimBench describes it, and its meter data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from data.intake.assemble import meter_data
from data.intake.raw import OTHER_LOAD, Channel, GridReadings
from data.readings import BatterySpec, MeterData, Source
from market.units import IntArray

Kind = Literal["load", "heat_pump", "ev", "pv"]
KINDS: tuple[Kind, ...] = ("load", "heat_pump", "ev", "pv")


@dataclass(frozen=True, slots=True)
class Element:
    """One device or connection: its power follows a profile.

    Args:
        household: Index of the home.
        kind: What it is.
        profile: Name of its profile.
        power_w: Power at a profile value of 1. [W]
    """

    household: int
    kind: Kind
    profile: str
    power_w: int


@dataclass(frozen=True, slots=True, eq=False)
class Neighbourhood:
    """Homes, their elements and the profiles these follow.

    Args:
        households: Ids of the homes.
        labels: What the source calls each home, and its kind of consumer.
        start_s: Start of the first interval, UTC. [s since 1970]
        minutes: Interval length. [min]
        elements: All elements but batteries.
        batteries: The battery of each home.
        profiles: Profile values by name, shape (T,). [parts per million of the element's power]
    """

    households: tuple[str, ...]
    labels: tuple[str, ...]
    start_s: int
    minutes: int
    elements: tuple[Element, ...]
    batteries: tuple[BatterySpec | None, ...]
    profiles: Mapping[str, IntArray]

    def sha256(self) -> str:
        """Hash everything that the meter data depend on."""
        described = {
            "households": self.households,
            "start_s": self.start_s,
            "minutes": self.minutes,
            "elements": [asdict(element) for element in self.elements],
            "batteries": [asdict(spec) if spec else None for spec in self.batteries],
        }
        digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
        for name in sorted(self.profiles):
            digest.update(name.encode() + b"\n" + self.profiles[name].astype("<i8").tobytes())
        return digest.hexdigest()

    def readings(self) -> GridReadings:
        """Return the mean power of each kind of element, by home and interval; batteries are not operated."""
        shape = (len(next(iter(self.profiles.values()))), len(self.households))
        power: dict[Channel, IntArray] = {}
        for kind in KINDS:
            members = [element for element in self.elements if element.kind == kind]
            if not members and kind != "load":
                continue
            # Profiles are parts per million of the power in W, so their product is in micro-W.
            amount = power[Channel(OTHER_LOAD if kind == "load" else kind, "uW")] = np.zeros(
                shape, dtype=np.int64
            )
            for element in members:
                amount[:, element.household] += self.profiles[element.profile] * element.power_w
        quality = np.zeros(shape, dtype=np.uint8)
        return GridReadings(self.households, self.start_s, self.minutes, power, quality)

    def meter_data(self, source: Source) -> MeterData:
        """Compute what the meters show: import and export are load - pv, interval by interval."""
        return meter_data(self.readings(), source, dict(zip(self.households, self.batteries, strict=True)))
