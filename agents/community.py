"""The homes of a neighbourhood, vectorised: forecast, plan, bid, then live the interval and read the meter.

A community of one home gives the same numbers as that home inside a community of a thousand; the live household node
is exactly that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agents import bidding, forecast
from agents.bidding import Bids
from agents.control.self_consumption import Batteries, step
from data.readings import BatterySpec
from market.random import lots_of
from market.settlement.tariff import IntervalPrices
from market.units import IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRules:
    """How the agents of a run behave.

    Args:
        forecaster: Name of a registered forecaster, or "perfect_foresight".
        forecast_days: Days that the forecaster may look back.
        strategy: Name of a registered bidding strategy.
        gate_closure_minutes: Lead of gate closure before the interval starts. [min]
        minutes: Length of an interval. [min]
        seed: From which the strategy's lots follow.
    """

    forecaster: str = "same_hour_mean"
    forecast_days: int = 7
    strategy: str = "truthful"
    gate_closure_minutes: int = 15
    minutes: int = 15
    seed: int = 0

    @property
    def lead(self) -> int:
        """Intervals before the traded one whose readings are not yet known at gate closure."""
        return -(-self.gate_closure_minutes // self.minutes)


class Community:
    """Homes with meters and batteries, walking forward through time.

    Args:
        import_wh: Register without the simulated battery, shape (intervals, homes), history included. [Wh]
        export_wh: Likewise. [Wh]
        batteries: One spec per home, or None.
        initial_stored_wh: Content of each battery at the first simulated interval. [Wh]
        first: Row of the first simulated interval; earlier rows are history.
        rules: How the agents behave.
        members: Index of each home in the roster; 0, 1, .. when left out.
        start_s: Start of row 0 [s]; it tells the lots of one interval from those of another.
    """

    def __init__(
        self,
        import_wh: IntArray,
        export_wh: IntArray,
        batteries: Sequence[BatterySpec | None],
        initial_stored_wh: IntArray,
        first: int,
        rules: AgentRules,
        members: IntArray | None = None,
        start_s: int = 0,
    ) -> None:
        self._import_wh, self._export_wh = import_wh, export_wh
        self._net_wh = import_wh - export_wh
        self._battery = Batteries.from_specs(batteries, rules.minutes)
        self._rules = rules
        self._members = np.arange(self.homes, dtype=np.int64) if members is None else members
        self._start_s = start_s
        self._bid = bidding.get(rules.strategy).bid
        self._perfect = rules.forecaster == forecast.PERFECT_FORESIGHT
        self._forecast = None if self._perfect else forecast.get(rules.forecaster).forecast
        self._steps_per_day = 24 * 60 // rules.minutes
        self._next = first
        # Contents after each of the last intervals, oldest first: the oldest is what is known at gate closure.
        start = np.minimum(initial_stored_wh * 1_000_000, self._battery.capacity_uwh)
        self._stored_uwh: deque[IntArray] = deque([start] * (rules.lead + 1), maxlen=rules.lead + 1)

    @property
    def homes(self) -> int:
        """Number of homes."""
        return int(self._net_wh.shape[1])

    @property
    def next_row(self) -> int:
        """Row of the next interval to live."""
        return self._next

    @property
    def stored_wh(self) -> IntArray:
        """Battery contents after the last interval, rounded down. [Wh]"""
        return self._stored_uwh[-1] // 1_000_000

    def snapshot(self) -> list[list[int]]:
        """The state that a checkpoint needs: battery contents of the last intervals. [uWh]"""
        return [stored.tolist() for stored in self._stored_uwh]

    def restore(self, row: int, stored_uwh: list[list[int]]) -> None:
        """Continue from a checkpoint taken before interval `row`."""
        self._next = row
        self._stored_uwh.clear()
        self._stored_uwh.extend(np.array(stored, dtype=np.int64) for stored in stored_uwh)

    def expected_net_wh(self) -> IntArray | None:
        """Net energy that each home expects for the next interval, battery included; None without history. [Wh]"""
        lead, row = self._rules.lead, self._next
        expected: IntArray | None
        if self._perfect:
            expected = self._net_wh[row - min(lead, row) : row + 1]
        else:
            assert self._forecast is not None
            known = self._net_wh[: max(row - lead, 0)]
            expected = self._forecast(known, lead + 1, self._steps_per_day, self._rules.forecast_days)
        if expected is None or not self._battery.any:
            return None if expected is None else expected[-1]
        # Without the readings of the last `lead` intervals the content must be projected through their forecast;
        # with perfect foresight the projection starts from the true content, so that it stays perfect.
        if self._perfect:
            stored, expected = self._stored_uwh[-1], expected[-1:]
        else:
            stored = self._stored_uwh[0]
        for net in expected:
            moved, stored = step(net, stored, self._battery)
        planned: IntArray = net + moved
        return planned

    def bids(self, prices: IntervalPrices) -> Bids:
        """Orders of all homes for the next interval, decided with what is known at gate closure."""
        expected = self.expected_net_wh()
        if expected is None:  # no day of history yet: stay out, and settle with the retailer
            expected = np.zeros(self.homes, dtype=np.int64)
        start_s = self._start_s + self._next * self._rules.minutes * 60
        return self._bid(expected, prices, lots_of(self._rules.seed, start_s, self._members))

    def live(self) -> tuple[IntArray, IntArray]:
        """Live the next interval and read the meters.

        Returns:
            Import and export registers with the battery's effect. [Wh]
        """
        row = self._next
        imported, exported = self._import_wh[row], self._export_wh[row]
        stored = self._stored_uwh[-1]
        if self._battery.any:
            # A charge is at most what the home exported beyond its import, a discharge at most the reverse, so both
            # registers stay at or above 0, and where both moved the battery touches only the difference.
            moved, stored = step(self._net_wh[row], stored, self._battery)
            imported = imported - np.maximum(-moved, 0)
            exported = exported - np.maximum(moved, 0)
        self._stored_uwh.append(stored)
        self._next = row + 1
        return imported, exported
