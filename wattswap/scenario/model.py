"""A validated scenario: its tables, where each key was written, and what the engine reads from it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Self
from zoneinfo import ZoneInfo

import numpy as np
from pydantic import Field, PrivateAttr, ValidationInfo, create_model, field_validator, model_validator

from agents.bidding import STRATEGIES
from agents.devices import DEVICES, Device
from market.errors import InvalidTariff
from market.rounds import MAX_ROUNDS
from market.settlement.charges import Surcharges
from market.settlement.tariff import OutsidePrices, flat, series, time_of_use
from market.units import IntArray, price
from wattswap.canonical_json import canonical_json
from wattswap.errors import InvalidScenario, Problem, suggest
from wattswap.plugins import modules_used
from wattswap.scenario.basis import zone_of
from wattswap.scenario.community import Common
from wattswap.scenario.cures import quoted_part
from wattswap.scenario.fields import Wrong, iso
from wattswap.scenario.grid import StreetGrid, faults_of_grid
from wattswap.scenario.layers import Source, related
from wattswap.scenario.lines import KeyPath
from wattswap.scenario.membership import Term, terms_of
from wattswap.scenario.tables import Chain, Data, Homes, Market, homes_table
from wattswap.scenario.tariff import Retail, Tariff
from wattswap.scenario.time import Faults, Table, Time, finish
from wattswap.scenario.zones import FeeZones, faults_of_zones

SCHEMA = 1
STRONG_CURRENCIES = ("EUR", "USD", "GBP", "CHF", "AUD", "CAD", "NZD")
LARGEST_USUAL_MICRO = 2_000_000
"""In these currencies no series costs this much half of the time; one per MWh does. [micro-currency/kWh]"""
ONE_PERCENT_PPM = 10_000
_NAME_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


@dataclass(frozen=True, slots=True)
class Span:
    """The intervals that run: `intervals` of `minutes` from `start_s`."""

    start_s: int
    minutes: int
    intervals: int

    @property
    def end_s(self) -> int:
        """First instant after the run. [s since 1970 UTC]"""
        return self.start_s + self.intervals * self.minutes * 60


class Scenario(Table):
    """Everything that influences a run; made by `wattswap.scenario.load`."""

    version: int = Field(
        alias="schema", json_schema_extra={"const": 1}, description="Version of this file format; 1."
    )
    name: str = Field(description="Short name, used for the run folder.")
    title: str | None = Field(default=None, description="What people read above results; left out: the name.")
    currency: str = Field(description='ISO 4217 code of every price and amount, such as "EUR".')
    seed: int = Field(default=1, ge=0, lt=2**63, description="Seed of every random draw and key of the run.")
    time: Time = Field(default=Time(), description="Which part of the data runs.")
    data: Data = Field(description="Where the meter readings come from.")
    homes: Homes = Field(description="What the homes own and how they behave.")
    tariff: Tariff = Field(description="What energy costs outside the market.")
    market: Market = Field(default=Market(), description="How the local market clears.")
    community: Common = Field(default=Common(), description="What the homes have in common.")
    grid: StreetGrid | None = Field(default=None, description="Lines and transformers between the homes.")
    zones: FeeZones | None = Field(default=None, description="Zones between which trades cost a grid fee.")
    chain: Chain = Field(default=Chain(), description="Who writes the record.")
    _source: Source = PrivateAttr(default_factory=lambda: Source("", Path()))

    @field_validator("version")
    @classmethod
    def _version(cls, value: int) -> int:
        if value != SCHEMA:
            raise Wrong(f"{value} is not known", f"this wattswap reads schema {SCHEMA}")
        return value

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if not 1 <= len(value) <= 64 or not set(value) <= _NAME_LETTERS:
            raise Wrong(f"{value[:64]!r} is not a name", "use 1 to 64 letters, digits, - and _")
        return value

    @field_validator("title")
    @classmethod
    def _title(cls, value: str | None) -> str | None:
        if value is not None and not (1 <= len(value) <= 80 and value.isprintable() and value.strip()):
            raise Wrong(f"{value[:80]!r} is not a title", "use one line of 1 to 80 letters")
        return value

    @field_validator("currency")
    @classmethod
    def _currency(cls, value: str) -> str:
        if len(value) != 3 or not value.isascii() or not value.isalpha() or not value.isupper():
            raise Wrong(
                f"{value[:64]!r} is not a currency code", 'write three capital letters, such as "EUR"'
            )
        return value

    @model_validator(mode="after")
    def _check(self, info: ValidationInfo) -> Self:
        faults: Faults = []
        for key, retail in self.retailers.items():
            if retail.time_of_use and self.tariff.zone is None and self.time.zone is None:
                cure = 'add tariff.zone = "Europe/Berlin" (your zone)'
                faults.append((f"{key}.time_of_use", "windows on the local clock need a time zone", cure))
        unknown = [name for name in self.homes.tariffs if name not in self.tariff.other]
        for name in unknown:
            what, near = f"no tariff {name!r} in [tariff.other]", suggest(name, self.tariff.other)
            cure = f"write its prices in [tariff.other.{quoted_part(name)}]"
            faults.append((("homes", "tariffs", name), what, f"{near}; or {cure}" if near else cure))
        # With a name that is unknown, one that nobody has is what was meant.
        for name in () if unknown else self.tariff.other:
            if name not in self.homes.tariffs:
                cure = f"give it to homes, as in homes.tariffs.{quoted_part(name)} = 0.3, or remove it"
                faults.append((("tariff", "other", name), "is the tariff of no home", cure))
        known = STRATEGIES.all()
        for name in sorted({self.homes.strategy, *self.homes.strategies} & known.keys()):
            if known[name].needs_rounds and self.market.rounds == 1:
                cure = f"give market.rounds = 2 to {MAX_ROUNDS}, or choose another strategy"
                faults.append(("market.rounds", f"{name!r} reacts between rounds, and there is one", cure))
        faults += faults_of_grid(
            self.grid, self.market.mechanism, self.market.rounds, bool(self.homes.tariffs)
        )
        faults += faults_of_zones(self.zones, self.market.mechanism, self.market.rounds)
        finish(faults)
        terms_of(self.homes.members, self.named_zone)
        return self

    @property
    def retailers(self) -> dict[str, Retail]:
        """The prices of every retailer, by the key of its table; first those of all homes without another."""
        return {
            "tariff": self.tariff,
            **{f"tariff.other.{name}": one for name, one in self.tariff.other.items()},
        }

    @property
    def named_zone(self) -> str | None:
        """The time zone that the scenario names, if it does."""
        return self.tariff.zone or self.time.zone or self.data.zone

    @property
    def terms(self) -> dict[str, Term]:
        """When each home is a member that is not always one."""
        return terms_of(self.homes.members, self.named_zone)

    @property
    def zone(self) -> str:
        """Time zone of the homes' calendar, and of the times that people read; UTC if none is given."""
        return zone_of(self.model_dump(include={name: {"zone"} for name in ("tariff", "time", "data")}))

    @property
    def source(self) -> Source:
        """The file, case and overrides this scenario was made from."""
        return self._source

    def with_source(self, source: Source) -> Self:
        """The same scenario with another source."""
        copy = self.model_copy()
        copy._source = source
        return copy

    def without_common_battery(self) -> Self:
        """The same scenario where the homes have no battery in common."""
        copy = self.model_copy(update={"community": Common()})
        copy._source = self._source
        return copy

    @property
    def data_path(self) -> Path | None:
        """Absolute path of the meter data; None for a bundled sample."""
        return None if self.data.path is None else (self._source.base / self.data.path).resolve()

    @property
    def modules(self) -> dict[str, str]:
        """SHA-256 by name of the files of plug-ins that the result depends on."""
        return modules_used(self._source.modules, self.market.mechanism)

    def invalid(self, key: str | KeyPath, message: str, cure: str = "") -> InvalidScenario:
        """Build the error, with its line, for a key that only the data can check, such as `time.start`.

        A key with dots in its own name is given as a tuple. Without any problem, where the key, or one inside of it,
        was left out because it is faulty.
        """
        path = tuple(key.split(".")) if isinstance(key, str) else key
        if related(path, self._source.left_out):
            return InvalidScenario()
        return InvalidScenario(self._source.problem(path, message, cure))

    def refuse(self, faults: Faults) -> None:
        """Raise what `invalid` builds for each key, what is wrong with it, and what to do; nothing without any.

        Raises:
            InvalidScenario: All of it.
        """
        problems = [problem for fault in faults for problem in self.invalid(*fault).problems]
        if problems:
            raise InvalidScenario(*problems)

    def lacks(self, *path: str) -> bool:
        """Whether this key, or one of this table, was left out because it is faulty."""
        return related(path, self._source.left_out)

    def resolved(self) -> dict[str, Any]:
        """Everything that influences the result as JSON values: instants in UTC, exact decimals as text.

        Files beside the scenario, and files of plug-ins that it depends on, are named by their content; meter data are
        hashed by who reads them.
        """
        resolved: dict[str, Any] = self.model_dump(
            mode="json", by_alias=True, exclude_none=True, exclude={"time": True, "homes": {"members"}}
        )
        resolved["time"] = self.time.resolved()
        if self.homes.members:
            resolved["homes"]["members"] = {
                name: {key: iso(at) for key, at in zip(("from", "to"), term, strict=True) if at is not None}
                for name, term in self.terms.items()
            }
        if self.market.quantities == "metered":
            del resolved["market"]["imbalance"]
        # Keys that came later do not change the digest of older scenarios.
        for table, key, default in (
            ("market", "params", {}),
            ("market", "quantities", "ordered"),
            ("market", "rounds", 1),
            ("market", "horizon_hours", 24),
            ("homes", "strategies", {}),
            ("chain", "modules", []),
            ("chain", "sealed_bytes", 0),
            ("homes", "control", "self_consumption"),
            ("homes", "controls", {}),
            ("homes", "forecasters", {}),
            ("homes", "preferences", {}),
            ("homes", "tariffs", {}),
            ("tariff", "other", {}),
            ("homes", "population", {}),
            ("homes", "sample_with_replacement", False),
            ("homes", "forecast_pv", "scaled_median"),
            *(("tariff", Tariff.model_fields[field.name].alias, "0") for field in fields(Surcharges)),
            *(("homes", name, {}) for name, device in DEVICES.all().items() if device.in_data is None),
        ):
            if resolved[table].get(key) == default:
                del resolved[table][key]
        if self.community.battery is None:
            del resolved["community"]
        if self.grid is not None:
            if not self.grid.homes:
                del resolved["grid"]["homes"]
            key = "sample" if self.grid.sample else "file"
            whole = self.grid.path(self._source.base).read_bytes()
            resolved["grid"][f"{key}_sha256"] = hashlib.sha256(whole).hexdigest()
        if self.modules:
            resolved["modules"] = self.modules
        files = [(resolved["data"], "weather", self.data.weather)]
        for key, retail in self.retailers.items():
            _, *other = key.split(".", 2)
            table = resolved["tariff"]["other"][other[1]] if other else resolved["tariff"]
            table["time_of_use"].sort(key=lambda window: sorted(window.items()))
            files += [(table, name, getattr(retail, name)) for name in ("import_series", "feed_in_series")]
        for table, key, path in files:
            if path is not None:
                content = (self._source.base / path).read_bytes()
                table[f"{key}_sha256"] = hashlib.sha256(content).hexdigest()
        if self.chain.secret_file is not None:
            # The hash of 32 random bytes reveals nothing about them.
            resolved["chain"]["secret_file_sha256"] = hashlib.sha256(self.secret).hexdigest()
        return resolved

    @property
    def secret(self) -> bytes:
        """The secret behind the keys and salts of a run; empty without a secret file.

        Raises:
            KeyFileError: The file cannot be read, is readable by others, or holds something else.
        """
        if self.chain.secret_file is None:
            return b""
        from p2p.wire.identity import load_key_file

        return load_key_file(self._source.base / self.chain.secret_file).seed

    def digest(self) -> str:
        """SHA-256 of the canonical JSON of `resolved()`, in hexadecimal."""
        return hashlib.sha256(canonical_json(self.resolved()).encode("utf-8")).hexdigest()

    def span(self, data_start_s: int, data_minutes: int, data_intervals: int) -> Span:
        """Fit the run into the data, whose first interval, step and length are given.

        Raises:
            InvalidScenario: The run leaves the data, or its interval is not a multiple of the data's step.
        """
        time = self.time
        minutes = time.interval_minutes or data_minutes
        if minutes % data_minutes:
            cure = f"use {data_minutes} or a multiple of it; finer readings are not invented"
            raise self.invalid(
                "time.interval_minutes", f"{minutes}, but the data step is {data_minutes}", cure
            )
        step_s, data_end_s = minutes * 60, data_start_s + data_intervals * data_minutes * 60
        phase_s = self._phase_s(data_start_s, data_minutes * 60, step_s)
        start_s = data_start_s + (phase_s - data_start_s) % step_s if time.start_s is None else time.start_s
        end_s = time.end_s
        if end_s is None and time.intervals is not None:
            end_s = start_s + time.intervals * step_s
        elif end_s is None and time.days is not None:
            end_s = start_s + time.days * 86_400
        elif end_s is None:
            end_s = start_s + (data_end_s - start_s) // step_s * step_s
        length_key = next((k for k in ("days", "intervals", "end") if getattr(time, k) is not None), "start")
        held = f"the data hold {iso(data_start_s)} to {iso(data_end_s)}"
        parts = (("start", start_s - data_start_s, data_minutes * 60), (length_key, end_s - start_s, step_s))
        for (key, length_s, whole_s), second in zip(parts, (start_s, end_s), strict=True):
            if length_s % whole_s:
                cure = f"the data begin at {iso(data_start_s)}; use whole intervals of {minutes} minutes after it"
                raise self.invalid(
                    f"time.{key}", f"{iso(second)} is not on a {minutes}-minute boundary", cure
                )
        if not data_start_s <= start_s < data_end_s:
            raise self.invalid("time.start", f"{iso(start_s)} has no data", held)
        if not start_s < end_s <= data_end_s:
            raise self.invalid(f"time.{length_key}", f"the run would end at {iso(end_s)}", held)
        return Span(start_s, minutes, (end_s - start_s) // step_s)

    def _phase_s(self, data_start_s: int, data_step_s: int, step_s: int) -> int:
        """How long after a multiple of the interval in UTC one begins: on the local clock if the data can. [s]"""
        zone = self.named_zone or "UTC"
        offset = datetime.fromtimestamp(data_start_s, ZoneInfo(zone)).utcoffset() or timedelta()
        phase_s = -int(offset.total_seconds()) % step_s
        return data_start_s % data_step_s if (phase_s - data_start_s) % data_step_s else phase_s

    def outside_prices(self, span: Span, retailer: str = "tariff") -> OutsidePrices:
        """What a home pays and saves per kWh in the intervals of a run: the tariff with its levies and VAT.

        Args:
            retailer: The key of the table with its prices.

        Raises:
            InvalidScenario: A window or series that does not fit the intervals.
            data.errors.DataError: A price series that cannot be read.
        """
        return self.tariff.surcharges.gross(self.net_prices(span, retailer))

    def net_prices(self, span: Span, retailer: str = "tariff") -> OutsidePrices:
        """Lay the tariff over the intervals of a run, without levies and VAT.

        Raises:
            InvalidScenario: A window or series that does not fit the intervals.
            data.errors.DataError: A price series that cannot be read.
        """
        tariff, retail = self.tariff, self.retailers[retailer]
        try:
            key = "import_series" if retail.import_series is not None else "time_of_use"
            if retail.import_series is not None:
                bought = self._series(retail.import_series, span)
            elif retail.time_of_use:
                zone = tariff.zone or self.time.zone or "UTC"
                windows = [window.window() for window in retail.time_of_use]
                bought = time_of_use(
                    windows, retail.import_micro_per_kwh, span.start_s, span.minutes, span.intervals, zone
                )
            else:
                bought = flat(retail.import_micro_per_kwh or 0, span.intervals)
            key = "feed_in_series"
            if retail.feed_in_series is not None:
                sold = self._series(retail.feed_in_series, span)
            else:
                sold = flat(retail.feed_in_micro_per_kwh or 0, span.intervals)
        except InvalidTariff as error:
            raise self.invalid((*retailer.split(".", 2), key), str(error)) from None
        return OutsidePrices(
            bought, sold, tariff.grid_fee_local_micro_per_kwh, tariff.grid_fee_remote_micro_per_kwh
        )

    def _series(self, path: str, span: Span) -> IntArray:
        from data.prices import load_price_series

        zone = self.named_zone
        start_s, minutes, values = load_price_series(self._source.base / path, zone=zone)
        usual = int(np.median(np.abs(values)))
        if usual > LARGEST_USUAL_MICRO and self.currency in STRONG_CURRENCIES:
            cure = "if they are per MWh, name the column price_per_mwh, and they are divided by 1000"
            found = f"half of the prices of {path} are above {price(usual):g} {self.currency} per kWh"
            raise InvalidTariff(f"{found}; {cure}")
        return series(start_s, minutes, values, span.start_s, span.minutes, span.intervals)

    def _caps_micro_per_kwh(self, imports: list[int]) -> list[int]:
        """The most that a neighbour can pay, at each of some import prices. [micro/kWh]"""
        bought, tariff = np.array(imports, dtype=np.int64), self.tariff
        fees = tariff.grid_fee_local_micro_per_kwh, tariff.grid_fee_remote_micro_per_kwh
        caps = tariff.surcharges.gross(OutsidePrices(bought, bought, *fees)).buy_cap_micro_per_kwh
        return [int(cap) for cap in caps]

    def warnings(self) -> list[Problem]:
        """Warnings: what is allowed but probably not intended."""
        tariff = self.tariff
        found: list[tuple[KeyPath, str, str]] = []
        feed_in = tariff.feed_in_micro_per_kwh
        imports = [window.import_micro_per_kwh for window in tariff.time_of_use]
        imports += [] if tariff.import_micro_per_kwh is None else [tariff.import_micro_per_kwh]
        cap = min(self._caps_micro_per_kwh(imports), default=0)
        if feed_in is not None and imports and feed_in > cap:
            added = ", levies" * tariff.surcharges.levied + ", VAT" * bool(tariff.vat_ppm)
            message = (
                f"{price(feed_in):g} is above what a neighbour can pay ({price(cap):g}"
                f" per kWh, import price and grid fees{added})"
            )
            found.append(
                (("tariff", "feed_in_per_kwh"), message, "homes will sell to the retailer, not to each other")
            )
        if 0 < tariff.vat_ppm < ONE_PERCENT_PPM:
            percent = tariff.vat_ppm / ONE_PERCENT_PPM
            found.append(
                (("tariff", "vat_percent"), f"is {percent:g} %", "VAT is in percent: write 19 for 19 percent")
            )
        big = max([abs(value) for value in (*imports, feed_in or 0)])
        if big > 5_000_000 and self.currency in STRONG_CURRENCIES:
            message = f"holds a price of {price(big):g} {self.currency} per kWh"
            found.append(
                (("tariff",), message, "prices are in currency units, not cents: write 0.32 for 32 cents")
            )
        return [self._source.problem(path, message, cure) for path, message, cure in found]


def scenario_model() -> type[Scenario]:
    """The scenario with the tables of every registered device."""
    return _with_devices(tuple(DEVICES.all().values()))


@lru_cache(maxsize=4)
def _with_devices(devices: tuple[Device, ...]) -> type[Scenario]:
    homes = homes_table(devices)
    field = Field(default=homes(), description=Scenario.model_fields["homes"].description)
    made: type[Scenario] = create_model(
        "Scenario", __base__=Scenario, __doc__=Scenario.__doc__, homes=(homes, field)
    )
    return made
