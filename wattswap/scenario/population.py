"""The keys of [homes] that change a whole neighbourhood: which homes take part, and what shares of them own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, create_model, model_validator

from agents.devices import DEVICES, Device
from agents.devices.battery import BATTERY
from market.units import PPM
from wattswap.scenario.fields import Energy, Power, Scale, Share
from wattswap.scenario.time import Faults, Table, finish

HOURS_TO_FILL = 2
"""The power of a battery of `battery_kwh` fills it in this time, unless `battery_kw` says otherwise."""
ONE_WAY_PPM = 950_000
"""Its efficiency in each direction, about 90 % there and back. [parts per million]"""


class Population(Table):
    """[homes.population]: devices that a share of the homes own; `population_field` adds a table for each kind."""


class Neighbourhood(Table):
    """The keys themselves; `wattswap.scenario.tables.Homes` has them beside those of how homes behave."""

    population: Population = Field(
        default=Population(), description="Devices that a share of the homes own, by device."
    )

    population_seed: int | None = Field(
        default=None,
        ge=0,
        lt=2**63,
        description="Draws the homes of a sample and those that shares of devices fall on; left out: 1.",
    )
    sample_homes: int | None = Field(
        default=None, ge=1, description="Number of homes that take part, drawn from those of the data."
    )
    sample_with_replacement: bool = Field(
        default=False,
        description="Whether the sample may hold a home several times, as a home of its own each.",
    )
    pv_share: Share | None = Field(
        default=None, description="Share of the homes that produce; left out: as the data say."
    )
    pv_scale_ppm: Scale | None = Field(
        default=None, alias="pv_scale", description="Factor of all production; the consumption stays."
    )
    battery_scale_ppm: Scale | None = Field(
        default=None,
        alias="battery_scale",
        description="Factor of capacity and power of the data's batteries.",
    )
    battery_wh: Energy | None = Field(
        default=None, alias="battery_kwh", description="Battery of every home that has none, in kWh."
    )
    battery_w: Power | None = Field(
        default=None, alias="battery_kw", description="Its power; left out: half its capacity an hour."
    )

    @model_validator(mode="after")
    def _check_neighbourhood(self) -> Self:
        faults: Faults = []
        for key, needed in (("battery_kw", "battery_kwh"), ("sample_with_replacement", "sample_homes")):
            if key in self._given() and needed not in self._given():
                faults.append((key, f"has no effect without {needed}", f"give {needed} too"))
        for device in DEVICES.all().values():
            shared = getattr(self.population, device.name, None)
            if shared is None:
                continue
            missing = [key.name for key in device.keys if key.required and getattr(shared, key.field) is None]
            faults += [(f"population.{device.name}", f"has no {key}", "give it in full") for key in missing]
            if device is BATTERY and self.battery_wh is not None:
                what = "excludes population.battery, which is given too"
                faults.append(("battery_kwh", what, "keep one of the two"))
        if self.sample_with_replacement:
            cure = "give shares, or sample without replacement"
            what = "names single homes, and sample_with_replacement may draw a home several times"
            faults += [(key, what, cure) for key in self._by_name()]
        finish(faults)
        return self

    def _given(self) -> set[str]:
        """The keys of this table that say something."""
        fields = type(self).model_fields.items()
        return {field.alias or name for name, field in fields if getattr(self, name) not in (None, False)}

    def _by_name(self) -> list[str]:
        """The keys that name single homes: by a table of each, or in a list."""
        tables = {"members", *DEVICES.all()}
        named = {
            name: value for name in type(self).model_fields if isinstance(value := getattr(self, name), dict)
        }
        return [
            name
            for name, by in named.items()
            if (by and name in tables)
            or any(isinstance(getattr(portion, "homes", portion), tuple) for portion in by.values())
        ]

    @property
    def drawn_from(self) -> int:
        """The seed of the draws."""
        return 1 if self.population_seed is None else self.population_seed

    def share_of(self, device: Device) -> tuple[int, dict[str, Any]] | None:
        """The share of homes that own a kind of device, and what is given of it by field; None to change nothing."""
        shared = getattr(self.population, device.name, None)
        if shared is not None:
            return shared.share, given_of(device, shared)
        if device is not BATTERY or self.battery_wh is None:
            return None
        power_w = self.battery_wh // HOURS_TO_FILL if self.battery_w is None else self.battery_w
        return PPM, {
            "capacity_wh": self.battery_wh,
            "charge_w": power_w,
            "discharge_w": power_w,
            "charge_efficiency_ppm": ONE_WAY_PPM,
            "discharge_efficiency_ppm": ONE_WAY_PPM,
        }


def given_of(device: Device, table: Table) -> dict[str, Any]:
    """What a table of a device gives, by the field of its spec."""
    return {key.field: value for key in device.keys if (value := getattr(table, key.field)) is not None}


def population_field(keys: Mapping[str, Mapping[str, Any]]) -> tuple[type[Population], Any]:
    """The field of [homes.population] with a table for each kind of device.

    Args:
        keys: By device, the fields of its tables.
    """
    tables: dict[str, Any] = {}
    for device, fields in keys.items():
        share = (Share, Field(description="Share of the homes that own one."))
        about = f"[homes.population.{device}]: the {device} of a share of the homes."
        table: Any = create_model(
            f"{device.title()}Share", __base__=Table, __doc__=about, share=share, **fields
        )
        tables[device] = (table | None, Field(default=None, description=about))
    made = create_model("Population", __base__=Population, __doc__=Population.__doc__, **tables)
    return made, Field(default=made(), description=Neighbourhood.model_fields["population"].description)
