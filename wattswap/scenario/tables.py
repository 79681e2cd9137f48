"""The tables of a scenario file as frozen models: names of the file outside, integers with their unit inside.

A field's alias is the key in the file; its description is the sentence that editors show.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)

from agents.devices import DEVICES, Device
from agents.forecast import PERFECT_FORESIGHT
from data.readings import home_id
from market.errors import BrokenPlugin
from market.mechanism import MECHANISMS
from market.rounds import MAX_ROUNDS
from market.rules import Rationing, Solver
from market.units import PPM
from wattswap.errors import suggest
from wattswap.inputs.no_run import NO_RUN
from wattswap.scenario.fields import (
    Angle,
    ByHour,
    Clock,
    Efficiency,
    Energy,
    HomeId,
    Names,
    Portion,
    Power,
    Price,
    Ratio,
    Share,
    Temperature,
    Weekdays,
    Wrong,
    Zone,
    is_resolved,
)
from wattswap.scenario.membership import Member
from wattswap.scenario.params import Params
from wattswap.scenario.population import Neighbourhood, population_field
from wattswap.scenario.preferences import Preference, faults_of_portions
from wattswap.scenario.time import Faults, Table, finish, missing_file, only_one

_HOME_ID = re.compile(r"\S(.*\S)?")


def _known(value: str, where: str, what: str, info: ValidationInfo) -> str:
    """Check a plug-in's name against the names in the validation context, where the caller gave some."""
    names = (info.context or {}).get("known", {}).get(where)
    if names is not None and value not in names:
        raise Wrong(f"no {what} {value!r}", suggest(value, names))
    return value


def _name_of(where: str, what: str) -> AfterValidator:
    """Check the name of a plug-in; see `_known`."""
    return AfterValidator(lambda value, info: _known(value, where, what, info))


class Data(Table):
    """[data]: where the meter readings come from."""

    sample: Literal["street", "village"] | None = Field(default=None, description="A bundled neighbourhood.")
    path: str | None = Field(default=None, description="Meter file or folder, relative to the scenario file.")
    format: Annotated[str, _name_of("data.format", "meter format")] | None = Field(
        default=None, description="Format of the file; left out: recognised."
    )
    zone: Zone | None = Field(default=None, description="Time zone of stamps in the file that name none.")
    households: Names | None = Field(default=None, description="Which homes take part; left out: all.")
    fuse_w: Power = Field(
        43_000,
        alias="fuse_kw",
        description="Power of a home's connection: a reading above it is impossible, in kW.",
    )
    kind: Literal["energy", "power", "counter"] | None = Field(
        default=None, description="What the numbers are, where they do not look like it."
    )
    on_missing: Literal["refuse", "drop_home"] = Field(
        "refuse", description="What to do about missing readings."
    )
    weather: str | None = Field(
        default=None, description="CSV of measured weather, or the weather.csv of a CityLearn set."
    )

    @field_validator("households")
    @classmethod
    def _households(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value is not None and not value:
            raise Wrong("is empty", "name at least one home, or leave the key out to take all")
        if value is not None and len(set(value)) < len(value):
            twice = next(name for name in value if value.count(name) > 1)
            raise Wrong(f"names {twice!r} twice", "name each home once")
        return value

    @model_validator(mode="after")
    def _check(self, info: ValidationInfo) -> Self:
        faults: Faults = []
        if self.sample is None and self.path is None:
            faults.append(("", "names no meter data", 'give sample = "street" or path = "your file"'))
        only_one(self, ("sample", "path"), faults)
        if self.sample is not None:
            faults.extend(
                (key, "has no effect on a bundled sample", "remove it")
                for key, field in (("format", "format"), ("zone", "zone"), ("kind", "kind"))
                if field in self.model_fields_set
            )
        for key in ("path", "weather"):
            if getattr(self, key) is not None:
                faults.extend(missing_file(key, getattr(self, key), info))
        finish(faults)
        return self


def _one_each(value: Any) -> Any:
    """Refuse two tables of one home, whose name Unicode spells in two ways."""
    if isinstance(value, dict):
        names = [home_id(name) for name in value]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise Wrong(f"names home {twice!r} twice", "give one table for each home")
    return value


_OF_ALL = {
    "strategies": ("homes.strategy", "homes.strategy", "bidding strategy"),
    "controls": ("homes.control", "homes.control", "controller"),
    "forecasters": ("homes.forecast", "homes.forecast_pv", "forecast of single homes"),
}
"""By key that assigns names to homes: the key of all other homes, that whose names are meant, and what is named."""


class Homes(Neighbourhood):
    """[homes]: what the homes own and how they behave."""

    forecast: Annotated[str, _name_of("homes.forecast", "forecast")] = Field(
        default="ridge",
        description="How a home expects its next consumption; without a meter of production, its net energy.",
    )
    forecast_pv: Annotated[str, _name_of("homes.forecast_pv", "forecast")] = Field(
        default="scaled_median",
        description="How a home expects its next production, where it has a meter of it.",
    )
    forecasters: dict[str, Portion] = Field(
        default={},
        description="Homes that forecast consumption otherwise: by forecaster, a share of the homes or their ids.",
    )
    forecast_days: int = Field(
        default=7, ge=1, le=60, description="Number of past days of a mean or median of the same time of day."
    )
    strategy: Annotated[str, _name_of("homes.strategy", "bidding strategy")] = Field(
        default="staircase", description="How a home bids."
    )
    strategies: dict[str, Portion] = Field(
        default={}, description="Homes that bid otherwise: by strategy, a share of the homes or their ids."
    )
    control: Annotated[str, _name_of("homes.control", "controller")] = Field(
        default="self_consumption", description="How a home runs its devices."
    )
    controls: dict[str, Portion] = Field(
        default={},
        description="Homes that run their devices otherwise: by controller, a share of the homes or their ids.",
    )
    tariffs: dict[str, Portion] = Field(
        default={},
        description="Homes with another retailer: by its name in [tariff.other], a share of the homes or their ids.",
    )
    preferences: dict[str, Preference] = Field(
        default={}, description="What some homes pay or ask beyond the outside prices, by a name."
    )
    members: Annotated[dict[HomeId, Member], BeforeValidator(_one_each)] = Field(
        default={}, description="When homes are part of the community that join or leave, by home."
    )

    @field_validator("strategies", "controls", "forecasters")
    @classmethod
    def _portions(cls, value: dict[str, Portion], info: ValidationInfo) -> dict[str, Portion]:
        key, names, kind = _OF_ALL[info.field_name or ""]
        faults: Faults = []
        for name in value:
            try:
                _known(name, names, kind, info)
            except Wrong as wrong:
                faults += [(name, message, cure) for _, message, cure in wrong.faults]
        faults += faults_of_portions(value.values(), key)
        finish(faults)
        return value

    @field_validator("tariffs")
    @classmethod
    def _tariffs(cls, value: dict[str, Portion]) -> dict[str, Portion]:
        finish(faults_of_portions(value.values(), "that of [tariff]"))
        return value

    @field_validator("preferences")
    @classmethod
    def _preferences(cls, value: dict[str, Preference]) -> dict[str, Preference]:
        finish(faults_of_portions((one.homes for one in value.values()), "none"))
        return value

    def tables(self, device: str) -> dict[str, Table]:
        """The tables of one kind of device, by home."""
        return getattr(self, device, {})

    def uses_data(self, device: Device) -> bool:
        """Whether the homes have the devices that the meter data name."""
        return device.in_data is not None and getattr(self, device.switch) == "data"

    @model_validator(mode="after")
    def _check(self) -> Self:
        faults: Faults = []
        if self.forecasters and self.forecast == PERFECT_FORESIGHT.name:
            what = "is no forecast of real homes, and forecasters gives some homes one"
            faults.append(("forecast", what, "choose another, or remove forecasters"))
        for device in DEVICES.all().values():
            full = [] if self.uses_data(device) else [key for key in device.keys if key.required]
            for name, table in self.tables(device.name).items():
                where = f"{device.name}.{name}"
                if not _HOME_ID.fullmatch(name):
                    cure = "write the id as in the data"
                    faults.append((where, "a home's id has no blanks at its ends", cure))
                why = f'{device.switch} = "none" leaves nothing to start from: ' if device.switch else ""
                cure = f"{why}give it in full"
                missing = [key.name for key in full if getattr(table, key.field) is None]
                faults += [(where, f"has no {key}", cure) for key in missing]
        finish(faults)
        return self


_KINDS: dict[str, Any] = {
    "energy": Energy,
    "power": Power,
    "share": Share,
    "efficiency": Efficiency,
    "price": Price,
    "whole": Annotated[int, Field(ge=0)],
    "temperature": Temperature,
    "angle": Angle,
    "ratio": Ratio,
    "clock": Clock,
    "weekdays": Weekdays,
    "by_hour": ByHour,
}


@lru_cache(maxsize=4)
def homes_table(devices: tuple[Device, ...]) -> type[Homes]:
    """[homes] with a table [homes.DEVICE.HOME] for each kind of device, made from the keys that its file declares."""
    fields: dict[str, Any] = {}
    shares: dict[str, Any] = {}
    for device in devices:
        if device.name in Homes.model_fields:
            reason = f"[homes] has a key {device.name!r} of its own; give the device another name"
            raise BrokenPlugin("device", device.name, DEVICES.origin(device.name), reason)
        if device.in_data is not None:
            choices = Literal["data", "none"]
            about = f"Which {device.switch} exist."
            fields[device.switch] = (choices, Field(default="data", description=about))
        keys: dict[str, Any] = {
            key.field: (_KINDS[key.kind] | None, Field(default=None, alias=key.name, description=key.summary))
            for key in device.keys
        }
        rest = "keeps what the data say" if device.in_data is not None else "has its default"
        about = f"[homes.{device.name}.NAME]: one home's {device.name}; a key left out {rest}."
        table = create_model(device.name.title(), __base__=Table, __doc__=about, **keys)
        several = f"{device.switch or device.name} by home".capitalize()
        several += ", over the data's." if device.in_data else "."
        by_home = Annotated[dict[HomeId, table], BeforeValidator(_one_each)]  # type: ignore[valid-type]
        fields[device.name] = (by_home, Field(default_factory=dict, description=several))
        shares[device.name] = keys
    owned: Any = create_model("Owned", __base__=Table, **fields)
    population: Any = population_field(shares)
    made: type[Homes] = create_model(
        "Homes", __base__=(Homes, owned), __doc__=Homes.__doc__, population=population
    )
    return made


class Market(Table):
    """[market]: how the local market clears."""

    mechanism: str = Field(default="uniform_price", description="The mechanism.")
    k_ppm: Share = Field(default=PPM // 2, alias="k", description="Place in the price interval, 0 to 1.")
    rationing: Rationing = Field(default="pro_rata", description="How marginal orders are rationed.")
    solver: Solver = Field(default="highs", description="Solver; all give the same clearing.")
    gate_closure_minutes: int = Field(
        default=15, ge=0, le=1_440, description="Lead of gate closure before the interval."
    )
    rounds: int = Field(
        default=1,
        ge=1,
        le=MAX_ROUNDS,
        description="Rounds in which an interval's market is open; homes order again for what is left.",
    )
    horizon_hours: int = Field(
        default=24,
        ge=1,
        le=24,
        description="How far ahead a mechanism clears that clears several intervals at once, in hours.",
    )
    quantities: Literal["ordered", "metered"] = Field(
        default="ordered",
        description="Quantities of orders: what homes order ahead, or what their meters show.",
    )
    imbalance: Literal["pooled", "retailer", "middle", "clearing_price"] = Field(
        default="pooled",
        description="Settlement of what was ordered and not metered: netted among homes with the gain shared"
        " (pooled), at the middle price (middle), at the clearing price, or with the retailer.",
    )
    imbalance_shares: Literal["throughput", "equal", "leave_one_out", "delivered"] | None = Field(
        default=None,
        description="Shares of the gain of pooled imbalances: by metered throughput of 28 days (the default),"
        " equal, leave_one_out, or by delivered trade, which orders for energy that nobody needs can raise.",
    )
    params: Params = Field(default={}, description="Parameters of the mechanism: docs/reference/mechanisms.")

    @field_validator("mechanism")
    @classmethod
    def _mechanism(cls, value: str, info: ValidationInfo) -> str:
        if value in NO_RUN:
            what, cure = NO_RUN[value]
            raise Wrong(f"{value} {what}", cure)
        return _known(value, "market.mechanism", "mechanism", info)

    @field_validator("imbalance", mode="before")
    @classmethod
    def _imbalance(cls, value: Any) -> Any:
        if value == "shared":
            cure = 'write "middle" for the same rule, or leave it out for "pooled"'
            raise Wrong("'shared' is now called 'middle'", cure)
        return value

    @model_validator(mode="after")
    def _check(self, info: ValidationInfo) -> Self:
        faults: Faults = []
        if self.quantities == "metered" and not is_resolved(info):
            # What flowed is what is cleared: there is no deviation to settle.
            faults += [
                (key, 'is not used with quantities = "metered", which leave no imbalance', "remove it")
                for key in ("imbalance", "imbalance_shares")
                if key in self.model_fields_set
            ]
        elif self.imbalance_shares is not None and self.imbalance != "pooled":
            cure = f'remove it, or write imbalance = "pooled" instead of "{self.imbalance}"'
            faults.append(("imbalance_shares", "are the shares of pooled imbalances", cure))
        mechanism = MECHANISMS.all().get(self.mechanism)
        if self.rounds > 1 and self.quantities == "metered":
            cure = "remove it: what the meters show is cleared once"
            faults.append(("rounds", 'is not used with quantities = "metered"', cure))
        if self.rounds > 1 and mechanism is not None and mechanism.scope == "horizon":
            cure = "remove it, or choose a mechanism of one interval"
            faults.append(("rounds", f"{self.mechanism} clears a horizon of intervals at once", cure))
        finish(faults)
        return self


MAX_SEALED_BYTES, MIN_SEALED_BYTES = 2_048, 32


class Chain(Table):
    """[chain]: validators, signatures and keys of the chain."""

    authorities: int = Field(default=4, ge=1, le=25, description="Number of validators: 4 to 25, or 1.")
    sign_orders: bool = Field(default=False, description="Whether an in-process run signs every order.")
    sealed_bytes: int = Field(
        default=0,
        ge=0,
        le=MAX_SEALED_BYTES,
        description="Size to which homes pad the orders that they seal until their gate is closed; 0: in the open.",
    )
    secret_file: str | None = Field(
        default=None, description="File of `wattswap secret`, from which all keys and salts follow."
    )
    modules: tuple[str, ...] = Field(
        default=(), strict=False, description="Chain modules beside those of every chain."
    )

    @field_validator("modules")
    @classmethod
    def _modules(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        for name in value:
            _known(name, "chain.modules", "chain module to add", info)
        return tuple(sorted(set(value)))

    @model_validator(mode="after")
    def _check(self, info: ValidationInfo) -> Self:
        small = (
            "authorities",
            f"{self.authorities} validators tolerate no fault",
            "use 4 to 25, or 1 for tests",
        )
        faults: Faults = [small] if self.authorities in (2, 3) else []
        if 0 < self.sealed_bytes < MIN_SEALED_BYTES:
            what = f"{self.sealed_bytes} bytes have no room for an order"
            faults.append(
                ("sealed_bytes", what, f"use 224 for 16 simple orders, {MIN_SEALED_BYTES} at least, or 0")
            )
        if self.secret_file is not None:
            faults += missing_file("secret_file", self.secret_file, info)
        finish(faults)
        return self
