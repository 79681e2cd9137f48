"""The outside prices of each home, where homes have several retailers; and what then cannot be done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from agents.forecast import FORECASTERS
from market.mechanism import MECHANISMS
from market.parameters import FEED_IN, RETAIL
from market.settlement.tariff import AnyPrices, HomePrices, OutsidePrices
from market.units import IntArray
from wattswap.scenario.time import Faults

if TYPE_CHECKING:
    from wattswap.scenario.load import Scenario
    from wattswap.scenario.model import Span


@dataclass(frozen=True, eq=False)
class Tariffs:
    """Outside prices by home.

    Args:
        gross: Of each retailer, levies and VAT included; the first is that of homes without another.
        net_import_micro_per_kwh: Import prices of each without VAT. [micro/kWh]
        of_home: Which retailer each home has.
    """

    gross: tuple[OutsidePrices, ...]
    net_import_micro_per_kwh: tuple[IntArray, ...]
    of_home: IntArray

    @cached_property
    def several(self) -> bool:
        """Whether homes differ."""
        return len(np.unique(self.of_home)) > 1

    def of(self, homes: IntArray) -> list[tuple[IntArray, OutsidePrices]]:
        """The homes of each retailer that some of these homes have, and its prices."""
        own = self.of_home[homes]
        return [(homes[own == one], self.gross[one]) for one in np.unique(own).tolist()]

    def at(self, i: int) -> AnyPrices:
        """The prices of the i-th interval: the same for all homes, or of each."""
        if not self.several:
            return self.gross[int(self.of_home[0])].at(i)
        prices = [one.at(i) for one in self.gross]
        bought = np.array([one.import_micro_per_kwh for one in prices], dtype=np.int64)
        sold = np.array([one.feed_in_micro_per_kwh for one in prices], dtype=np.int64)
        return HomePrices(prices[0], bought[self.of_home], sold[self.of_home])

    def vat_micro_per_kwh(self, i: int) -> IntArray:
        """VAT in a kWh that each home buys from its retailer in the i-th interval. [micro/kWh]"""
        pairs = zip(self.gross, self.net_import_micro_per_kwh, strict=True)
        vat = np.array([one.import_micro_per_kwh[i] - net[i] for one, net in pairs], dtype=np.int64)
        return vat[self.of_home]


def tariffs_of(scenario: Scenario, span: Span, names: Sequence[str]) -> Tariffs:
    """Lay the prices of all retailers over the intervals of a run.

    Args:
        names: The retailer of each home; empty for that of [tariff].

    Raises:
        InvalidScenario: A window or series that does not fit the intervals.
        data.errors.DataError: A price series that cannot be read.
    """
    keys = list(scenario.retailers)
    place = {key.removeprefix("tariff").removeprefix(".other."): i for i, key in enumerate(keys)}
    return Tariffs(
        tuple(scenario.outside_prices(span, key) for key in keys),
        tuple(scenario.net_prices(span, key).import_micro_per_kwh for key in keys),
        np.array([place[name] for name in names], dtype=np.int64),
    )


def refuse_with_several_tariffs(scenario: Scenario, netted: bool) -> None:
    """Refuse what takes its prices from one retailer, where homes have several.

    Args:
        netted: Whether imbalances are netted among homes.

    Raises:
        InvalidScenario: Each of them, with what to do.
    """
    market, homes = scenario.market, scenario.homes
    if not homes.tariffs:
        return
    faults: Faults = []

    def refuse(key: str | tuple[str, ...], what: str, cure: str) -> None:
        faults.append((key, f"{what}, and homes.tariffs gives homes several", cure))

    if netted:
        what = f"{market.imbalance!r} nets what orders missed at the prices of one retailer"
        cure = 'write market.imbalance = "retailer", or market.quantities = "metered"'
        refuse("market.imbalance", what, cure)
    mechanism = MECHANISMS.get(market.mechanism)
    if {RETAIL.name, FEED_IN.name} & {parameter.name for parameter in mechanism.parameters}:
        what = f"{mechanism.name!r} takes its price from those of one retailer"
        refuse("market.mechanism", what, "choose one that goes by limits, such as uniform_price")
    single = (("forecast", homes.forecast), ("forecast_pv", homes.forecast_pv))
    for key, name in (*single, *(("forecasters", name) for name in homes.forecasters)):
        if FORECASTERS.get(name).shares:
            what = f"{name!r} learns from homes that share one retailer"
            refuse(("homes", key), what, "choose a forecaster of own readings, such as ridge")
    scenario.refuse(faults)
