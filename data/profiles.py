"""A neighbourhood as elements on shared profiles, which is how SimBench describes it, and its meter data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from data.readings import BatterySpec, MeterData, Source, carry_round
from market.units import PPM, IntArray

Kind = Literal["load", "heat_pump", "ev", "pv"]
KINDS: tuple[Kind, ...] = ("load", "heat_pump", "ev", "pv")

MINUTES_PER_HOUR = 60


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

    def meter_data(self, source: Source) -> MeterData:
        """Compute what the meters show: import and export are load - pv, interval by interval.

        The batteries are listed but not operated. Each kind of element is rounded to Wh with its remainders
        carried on, so energies of any stretch of time are right within 1 Wh per kind.
        """
        shape = (len(next(iter(self.profiles.values()))), len(self.households))
        energy: dict[str, IntArray] = {}
        unit = PPM * MINUTES_PER_HOUR // self.minutes
        for kind in KINDS:
            members = [element for element in self.elements if element.kind == kind]
            if not members:
                continue
            amount = np.zeros(shape, dtype=np.int64)
            for element in members:
                amount[:, element.household] += self.profiles[element.profile] * element.power_w
            energy[kind] = carry_round(amount, unit)
        load = energy.get("load", np.zeros(shape, dtype=np.int64))
        for kind in ("heat_pump", "ev"):
            if kind in energy:
                load += energy[kind]
        energy["load"] = load
        net = load - energy["pv"] if "pv" in energy else load
        return MeterData(
            households=self.households,
            start_s=self.start_s,
            minutes=self.minutes,
            import_wh=np.maximum(net, 0),
            export_wh=np.maximum(-net, 0),
            quality=np.zeros(shape, dtype=np.uint8),
            sub_meters=energy,
            batteries=self.batteries,
            source=source,
        )
