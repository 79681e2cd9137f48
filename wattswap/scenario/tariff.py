"""[tariff]: what energy costs outside the market, and [tariff.other.NAME]: the prices of other retailers."""

from __future__ import annotations

from dataclasses import fields
from typing import Self

from pydantic import Field, ValidationInfo, model_validator

from market.errors import InvalidTariff
from market.settlement.charges import Surcharges
from market.settlement.tariff import Window, week_table
from wattswap.scenario.fields import Clock, Fee, Percent, Price, Weekdays, Wrong, Zone
from wattswap.scenario.time import Faults, Table, finish, missing_file


class TimeOfUse(Table):
    """[[tariff.time_of_use]]: a time of the week with an import price of its own, on the local clock."""

    days: Weekdays = Field(default=(0, 1, 2, 3, 4, 5, 6), description="Weekdays on which the window starts.")
    from_minute: Clock = Field(alias="from", description="Start on the local clock.")
    to_minute: Clock = Field(
        alias="to", description="End on the local clock; before `from` it is the next day."
    )
    import_micro_per_kwh: Price = Field(alias="import_per_kwh", description="Import price inside the window.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        try:
            self.window()
        except InvalidTariff as error:
            raise Wrong(str(error), key="to") from None
        return self

    def window(self) -> Window:
        """The window as `market.settlement.tariff` takes it."""
        return Window(self.days, self.from_minute, self.to_minute, self.import_micro_per_kwh)


class Retail(Table):
    """[tariff.other.NAME]: the prices of another retailer, by a name; fees, levies and VAT are those of [tariff]."""

    import_micro_per_kwh: Price | None = Field(
        default=None,
        alias="import_per_kwh",
        description="Import price; with windows, the price outside them.",
    )
    import_series: str | None = Field(default=None, description="CSV of import prices.")
    time_of_use: tuple[TimeOfUse, ...] = Field(
        default=(), strict=False, description="Import prices by time of the week."
    )
    feed_in_micro_per_kwh: Price | None = Field(
        default=None, alias="feed_in_per_kwh", description="What the retailer pays for energy."
    )
    feed_in_series: str | None = Field(default=None, description="CSV of feed-in prices.")

    @model_validator(mode="after")
    def _check(self, info: ValidationInfo) -> Self:
        faults: Faults = []
        if self.import_micro_per_kwh is None and self.import_series is None and not self.time_of_use:
            cure = "give import_per_kwh, import_series or [[tariff.time_of_use]] windows"
            faults.append(("", "has no import price", cure))
        if self.feed_in_micro_per_kwh is None and self.feed_in_series is None:
            cure = "give feed_in_per_kwh (0 where the retailer pays nothing) or feed_in_series"
            faults.append(("", "has no feed-in price", cure))
        if self.import_series is not None:
            for key, given in (
                ("import_per_kwh", self.import_micro_per_kwh),
                ("time_of_use", self.time_of_use),
            ):
                if given not in (None, ()):
                    faults.append(
                        ("import_series", f"excludes {key}, which is given too", "keep one of the two")
                    )
            faults.extend(missing_file("import_series", self.import_series, info))
        if self.feed_in_series is not None:
            if self.feed_in_micro_per_kwh is not None:
                cure = "keep one of the two"
                faults.append(("feed_in_series", "excludes feed_in_per_kwh, which is given too", cure))
            faults.extend(missing_file("feed_in_series", self.feed_in_series, info))
        if self.time_of_use:
            try:
                week_table([window.window() for window in self.time_of_use], self.import_micro_per_kwh)
            except InvalidTariff as error:
                faults.append(("time_of_use", str(error), ""))
        finish(faults)
        return self


class Tariff(Retail):
    """[tariff]: what energy costs outside the market."""

    grid_fee_local_micro_per_kwh: Fee = Field(
        default=0,
        alias="grid_fee_local_per_kwh",
        description="Grid fee on energy traded inside the community.",
    )
    grid_fee_remote_micro_per_kwh: Fee = Field(
        default=0, alias="grid_fee_remote_per_kwh", description="Grid fee on energy from outside."
    )
    levy_local_micro_per_kwh: Fee = Field(
        default=0,
        alias="levy_local_per_kwh",
        description="Levies on energy traded inside the community, on top of the grid fee.",
    )
    levy_remote_micro_per_kwh: Fee = Field(
        default=0, alias="levy_remote_per_kwh", description="Levies on energy from outside."
    )
    vat_ppm: Percent = Field(
        default=0,
        alias="vat_percent",
        description="VAT on import price, grid fees, levies, standing and peak charge, none of which contain it.",
    )
    standing_micro_per_day: Fee = Field(
        default=0, alias="standing_per_day", description="Charge of a home's metering point, per local day."
    )
    peak_micro_per_kw_month: Fee = Field(
        default=0,
        alias="peak_per_kw_month",
        description="Charge per kW of a home's highest metered import in a local month.",
    )
    emission_g_per_kwh: int | None = Field(
        default=None, ge=0, le=10_000, description="Emissions of the outside."
    )
    zone: Zone | None = Field(default=None, description="Time zone of windows and series, else time.zone.")
    other: dict[str, Retail] = Field(
        default={}, description="Prices of other retailers, by a name that homes.tariffs gives to homes."
    )

    @property
    def surcharges(self) -> Surcharges:
        """What the tariff adds to the retailer's price and the grid fees."""
        return Surcharges(**{field.name: getattr(self, field.name) for field in fields(Surcharges)})
