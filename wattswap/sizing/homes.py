"""What the homes of a scenario draw and give without a market: the community that a battery is sized for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agents.meters import ALONE
from data.readings import whole
from market.settlement.tariff import OutsidePrices
from market.units import IntArray
from optimizer.storage.store import Demand
from wattswap.errors import InvalidScenario, Problem
from wattswap.runs.prepare import Setup, prepare
from wattswap.scenario.load import Scenario

DAYS_PER_YEAR = 365


@dataclass(frozen=True, slots=True, eq=False)
class Homes:
    """The homes of a community over a window.

    Args:
        setup: The prepared scenario, without a common battery.
        import_wh: Register of each home with its own devices, run as the scenario says without a market, shape
            (intervals, homes); 0 while it is no member. [Wh]
        export_wh: The same for exports. [Wh]
        generation_wh: Production of all homes in each interval; None where the data do not have it. [Wh]
    """

    setup: Setup
    import_wh: IntArray
    export_wh: IntArray
    generation_wh: IntArray | None

    @property
    def prices(self) -> OutsidePrices:
        """What energy costs outside in each interval, levies and VAT included."""
        return self.setup.prices

    @property
    def demand(self) -> Demand:
        """All homes, each netted in each interval, then among themselves."""
        return Demand.of_homes(self.import_wh, self.export_wh, self.prices)

    @property
    def days(self) -> float:
        """Length of the window."""
        return len(self.import_wh) * self.setup.minutes / 1_440

    @property
    def per_year(self) -> float:
        """By what figures of the window are multiplied for a year."""
        return DAYS_PER_YEAR / self.days

    def kw(self, energy_wh: int) -> float:
        """Mean power of an interval with an energy. [Wh -> kW]"""
        return energy_wh * 60 / self.setup.minutes / 1_000


def homes_of(scenario: Scenario) -> Homes:
    """The homes of a scenario, with their own devices, without a market.

    Raises:
        WattswapError: All errors of scenario and data; or homes that do not net at one price.
    """
    setup = prepare(scenario.without_common_battery())
    problems = _what_does_not_net(setup)
    if problems:
        raise InvalidScenario(*problems)
    rows = slice(setup.first_row, setup.first_row + setup.intervals)
    meter = setup.meter
    imported, exported = whole(meter.import_wh[rows]), whole(meter.export_wh[rows])
    generation = None
    if any(any(specs) for specs in setup.devices.values()):
        imported, exported, generation = _with_devices(setup)
    elif setup.has_load:
        generation = (
            whole(meter.sub_meters["pv"][rows]) if "pv" in meter.sub_meters else np.zeros_like(imported)
        )
    if setup.scenario.terms:
        part = np.stack([setup.takes_part(i) for i in range(setup.intervals)])
        imported, exported = imported * part, exported * part
        generation = None if generation is None else generation * part
    return Homes(setup, imported, exported, None if generation is None else generation.sum(axis=1))


def _with_devices(setup: Setup) -> tuple[IntArray, IntArray, IntArray | None]:
    """Both registers with the devices of the homes, and production, shape (intervals, homes)."""
    community, registers, made = setup.community(), [], []
    for i in range(setup.intervals):
        meters = community.live()
        registers.append(
            (
                meters.columns.get(f"{ALONE}import_wh", meters.import_wh),
                meters.columns.get(f"{ALONE}export_wh", meters.export_wh),
            )
        )
        behind = setup.behind_meter(i, meters.columns)
        made += [behind["pv_wh"]] if behind else []
    imported, exported = (np.stack(columns) for columns in zip(*registers, strict=True))
    return imported, exported, np.stack(made) if made else None


def _what_does_not_net(setup: Setup) -> list[Problem]:
    """Why homes would not share a battery at one price."""
    scenario, problems = setup.scenario, []
    if len(setup.tariffs.gross) > 1:
        cure = "size it for the homes of one retailer, or remove homes.tariffs"
        found = scenario.invalid(
            "homes.tariffs", "gives homes several retailers, and a battery needs one price", cure
        )
        problems += found.problems
    beyond = int((setup.prices.feed_in_micro_per_kwh > setup.prices.buy_cap_micro_per_kwh).sum())
    if beyond:
        what = f"is above what a neighbour can pay in {beyond} of {setup.intervals} intervals"
        key = "feed_in_per_kwh" if scenario.tariff.feed_in_series is None else "feed_in_series"
        cure = "homes would give nothing to each other or to a battery; size it for prices at which they do"
        problems += scenario.invalid(f"tariff.{key}", what, cure).problems
    return problems
