"""Load that a home moves within its local day by price, with a constant elasticity of substitution.

It takes the same energy every local day, also on days of 23 and 25 hours. With energy R left of the day, an interval in
which a kWh costs p takes R p^-s / sum of q^-s, with the elasticity s, over the prices q of it and of all later
intervals of the day; none takes more than its power, and the others share what such intervals leave. Those are the
home's import prices, with the fee for energy from outside; the smallest price above 0 stands for lower ones. So an
elasticity of 0 spreads the energy evenly, and a large one moves it to the cheapest hours. A run that begins within a
day has the part of its energy that the rest of the day is of it.

A controller may have it take more than that, up to what it would take were a kWh in the interval worth the feed-in
price only: its own surplus, or what it has agreed to buy in the market. A plan counts with the energy at import prices,
which it cannot change, because this utility is not linear; it orders at each local price what the same formula gives
with that price in the interval. Where a home has a battery too, that comes after this load.

Homes in experiments with two prices a day had elasticities of .07 to .21, on average .14 (Caves and others).

Source: Arrow, Chenery, Minhas, Solow, Review of Economics and Statistics 43 (1961), 225-250; Caves, Christensen,
Herriges, Journal of Econometrics 26 (1984), 179-203.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from functools import lru_cache
from typing import Final

import numpy as np

from agents.clock import day_of, intervals_of_day, local_minute
from agents.devices import DEVICES, Device, Key, Moment, column
from agents.errors import Fault, ImpossibleDevice
from agents.rules import DAY_MINUTES, tariff_rows
from agents.state import State
from market.units import FloatArray, IntArray
from optimizer.solver.builder import Columns, ModelBuilder

MILLI: Final = 1_000
MOST_ENERGY_WH: Final = 1_000_000
MOST_ELASTICITY: Final = 20
SHORTEST_DAY_HOURS: Final = 23
_EXACT: Final = Context(prec=20)
"""Powers in decimal arithmetic are the same on every machine; those of floating point are not."""


@dataclass(frozen=True, slots=True)
class FlexibleLoad:
    """The parameters of one home's flexible load.

    Args:
        daily_wh: Energy of a local day. [Wh]
        power_w: Most power; an interval's energy at it is rounded up to whole Wh. [W]
        elasticity_milli: Elasticity of substitution between the intervals of a day, in thousandths.
    """

    daily_wh: int
    power_w: int
    elasticity_milli: int

    def __post_init__(self) -> None:
        faults: list[Fault] = []
        most_wh = min(self.power_w * SHORTEST_DAY_HOURS, MOST_ENERGY_WH)
        if not 0 < self.daily_wh <= MOST_ENERGY_WH:
            cure = f"give an energy above 0 and at most {MOST_ENERGY_WH // MILLI}"
            faults.append(("daily_kwh", f"is {self.daily_wh / MILLI:g}", cure))
        elif self.daily_wh > most_wh:
            wrong = f"is {self.daily_wh / MILLI:g}, more than the power gives in a day of {SHORTEST_DAY_HOURS} hours"
            faults.append(("daily_kwh", wrong, f"give at most {most_wh / MILLI:g}, or a higher power_kw"))
        if not 0 <= self.elasticity_milli <= MOST_ELASTICITY * MILLI:
            cure = f"give 0 (price plays no part) to {MOST_ELASTICITY}; homes in experiments had .07 to .21"
            faults.append(("elasticity", f"is {self.elasticity_milli / MILLI:g}", cure))
        if faults:
            raise ImpossibleDevice(faults)


class FlexibleLoads:
    """The flexible loads of all homes; a home without one has one of no energy."""

    columns = ("flexible_wh", "flexible_left_wh")

    def __init__(self, specs: Sequence[FlexibleLoad | None], minutes: int) -> None:
        self._specs, self._minutes = specs, minutes
        self._daily_wh = column(specs, "daily_wh")
        self._most_wh = -(-column(specs, "power_w") * minutes // 60)
        self._elasticities, self._which = np.unique(column(specs, "elasticity_milli"), return_inverse=True)

    def start(self) -> State:
        """No day has begun."""
        nothing = np.zeros_like(self._daily_wh)
        return {"day": nothing - 1, "left_wh": nothing, "moved_wh": nothing}

    def limits(self) -> Mapping[str, tuple[IntArray, IntArray]]:
        """What is left of a day. [Wh]"""
        return {"left_wh": (np.zeros_like(self._daily_wh), self._daily_wh)}

    def demand_wh(self, state: State, moment: Moment, price: int) -> IntArray:
        """What it takes where a kWh costs so much in the interval, and as much as outside later. [Wh]

        Args:
            state: At the start of the interval.
            moment: The interval.
            price: [micro-currency/kWh]
        """
        left, prices = self._left_wh(state, moment), _bought(moment)
        prices[0] = price
        split_wh, place = self._split_wh(left, prices)
        wanted = np.rint(split_wh[place[0]]).astype(np.int64)
        # What later intervals could not take; in the last one that is all.
        least_wh = np.maximum(left - (len(prices) - 1) * self._most_wh, 0)
        taken: IntArray = np.clip(wanted, least_wh, np.minimum(left, self._most_wh))
        return taken

    def _split_wh(self, left_wh: IntArray, prices: IntArray) -> tuple[FloatArray, IntArray]:
        """What is left of a day on intervals of these prices.

        Returns:
            For each distinct price, rising, what each home takes in an interval [Wh], and the place of each interval's
            price among them.
        """
        distinct, place, many = np.unique(prices, return_inverse=True, return_counts=True)
        weight, count, index = self._weights(distinct), many[:, None], np.arange(len(distinct))[:, None]
        # From the cheapest on: what is left with all cheaper ones at full power, and whether the next are so too.
        from_here = np.cumsum((weight * count)[::-1], axis=0)[::-1]
        remaining = left_wh - (np.cumsum(count, axis=0) - count) * self._most_wh
        full = np.logical_and.accumulate(remaining * weight >= self._most_wh * from_here).sum(axis=0)
        first, home = np.minimum(full, len(distinct) - 1), np.arange(len(left_wh))
        shared = weight * (remaining[first, home] / from_here[first, home])
        return np.where(index < full, self._most_wh, shared), place

    def _left_wh(self, state: State, moment: Moment) -> IntArray:
        """Energy left of the day at the start of an interval. [Wh]"""
        before, rest = intervals_of_day(moment.zone, moment.start_s, moment.minutes)
        return np.where(
            state["day"] == _day(moment), state["left_wh"], self._daily_wh * rest // (before + rest)
        )

    def _weights(self, prices: IntArray) -> FloatArray:
        """Rising prices to the power of minus each elasticity, relative to the first, shape (prices, homes)."""
        by_elasticity = [
            [
                float(_EXACT.divide(_power(price, milli), _power(int(prices[0]), milli)))
                for price in prices.tolist()
            ]
            for milli in self._elasticities.tolist()
        ]
        return np.array(by_elasticity).T[:, self._which]

    def step(self, state: State, command_wh: IntArray, moment: Moment) -> tuple[IntArray, State]:
        """Take what is commanded, between what it takes at the import price and at the feed-in price."""
        bought, sold = int(_bought(moment)[0]), _sold(moment)
        least_wh = self.demand_wh(state, moment, max(bought, sold))
        moved = np.clip(command_wh, least_wh, self.demand_wh(state, moment, sold))
        return moved, {
            "day": np.full_like(moved, _day(moment)),
            "left_wh": self._left_wh(state, moment) - moved,
            "moved_wh": moved,
        }

    def read(self, state: State) -> Mapping[str, IntArray]:
        """Energy, and what is left of the day."""
        return {"flexible_wh": state["moved_wh"], "flexible_left_wh": state["left_wh"]}

    def block(self, model: ModelBuilder, home: int, state: State, moments: Sequence[Moment]) -> list[Columns]:
        """What it takes at import prices, fixed."""
        alone = FlexibleLoads([self._specs[home]], self._minutes)
        own: State = {name: values[home : home + 1] for name, values in state.items()}
        path: list[float] = []
        while len(path) < len(moments):  # a local day after the other
            moment = moments[len(path)]
            split_wh, place = alone._split_wh(alone._left_wh(own, moment), _bought(moment))
            path += split_wh[place, 0].tolist()
        name, fixed = f"flexible_load{home}", np.array(path[: len(moments)])
        takes = model.variables(f"{name}.takes_wh", len(moments), lower=fixed, upper=fixed)
        return [takes, model.variables(f"{name}.gives_wh", len(moments), upper=0.0)]


def _day(moment: Moment) -> int:
    """The local day in which an interval begins."""
    return day_of(local_minute(moment.zone, moment.start_s))


def _bought(moment: Moment) -> IntArray:
    """What a kWh from outside costs in an interval and the later ones of its local day. [micro-currency/kWh]"""
    _, rest = intervals_of_day(moment.zone, moment.start_s, moment.minutes)
    if moment.tariff is None:
        return np.zeros(rest, dtype=np.int64)
    rows = tariff_rows(moment.tariff, moment.tariff_row + np.arange(rest), DAY_MINUTES // moment.minutes)
    bought: IntArray = moment.tariff.import_micro_per_kwh[rows] + moment.tariff.grid_fee_remote_micro_per_kwh
    return bought


def _sold(moment: Moment) -> int:
    """What a kWh brings outside in an interval. [micro-currency/kWh]"""
    if moment.tariff is None:
        return 0
    (row,) = tariff_rows(moment.tariff, np.array([moment.tariff_row]), DAY_MINUTES // moment.minutes)
    return int(moment.tariff.feed_in_micro_per_kwh[row])


@lru_cache(maxsize=65_536)
def _power(price: int, elasticity_milli: int) -> Decimal:
    """A price to the power of minus an elasticity."""
    return _EXACT.power(Decimal(max(price, 1)), _EXACT.divide(-elasticity_milli, MILLI))


FLEXIBLE_LOAD = DEVICES.register(
    Device(
        name="flexible_load",
        keys=(
            Key("daily_kwh", "daily_wh", "energy", "Energy of a local day, in kWh."),
            Key("power_kw", "power_w", "power", "The most it takes, in kW."),
            Key(
                "elasticity",
                "elasticity_milli",
                "ratio",
                "Elasticity of substitution within the day, 0 to 20.",
            ),
        ),
        spec=FlexibleLoad,
        fleet=FlexibleLoads,
        summary="load that moves within its day by price, with a constant elasticity of substitution",
        used="flexible_wh",
        most_w=lambda spec: (spec.power_w, 0),
    )
)
