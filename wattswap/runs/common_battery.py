"""The battery that homes have in common, in a run: what it orders before an interval, and what it does in it.

All it knows is public: what the meters of all homes together showed before the gate, prices, and, when the interval is
lived, what they show. So whoever has the scenario and the readings computes its orders and its flows again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import numpy as np

from agents.bidding import Orders
from agents.community import Community
from agents.devices.battery import Battery
from agents.errors import reading_snapshot
from agents.neighbourhood import Neighbourhood
from agents.one_meter import OneMeter
from market.settlement.tariff import IntervalPrices, OutsidePrices
from market.units import PPM, IntArray
from optimizer.storage.peak import Peak
from optimizer.storage.store import Store
from wattswap.scenario.community import CommonBattery

if TYPE_CHECKING:
    from agents.rules import AgentRules
    from wattswap.runs.checked import Checked
    from wattswap.scenario.load import Scenario

BATTERY: Final = "community battery"
"""Name of its account."""
CONTROLLERS_OF: Final = {"welfare": "plan", "peak": "plan", "self_consumption": "self_consumption"}
"""Controller that runs it, by what it is run for; for the peak it only says how far forecasts reach."""


class BatteryMoved(NamedTuple):
    """What the battery did in an interval.

    Args:
        taken_wh: At its terminals, negative where it gave. [Wh]
        stored_wh: Content at the end, from its reserve on, rounded down. [Wh]
    """

    taken_wh: int
    stored_wh: int


class BatteryRule(Protocol):
    """Decides what a battery does, an interval after the other, by nothing but what is known then."""

    @property
    def lived(self) -> int: ...

    def planned_wh(self) -> int: ...

    def live(self, net_wh: int) -> BatteryMoved: ...

    def snapshot(self) -> dict[str, Any]: ...

    def restore(self, saved: Mapping[str, Any]) -> None: ...


class Controlled:
    """A battery that is run by a controller, as if all homes were one.

    Args:
        meter: All homes as one, which owns the battery.
        store: The battery.
    """

    def __init__(self, meter: OneMeter, store: Store) -> None:
        self._meter, self._store, self._stored_uwh = meter, store, store.initial_wh * PPM

    @property
    def lived(self) -> int:
        """Number of intervals that have been simulated."""
        return self._meter.lived

    def planned_wh(self) -> int:
        """What it will take in the next interval by forecast, negative where it gives. [Wh]"""
        return self._meter.planned_wh()

    def live(self, net_wh: int) -> BatteryMoved:
        """Run it in the next interval, in which all homes together need some energy. [Wh]"""
        self._meter.see(net_wh)
        meters = self._meter.live()
        taken = int(meters.import_wh[0] - meters.export_wh[0]) - net_wh
        self._stored_uwh = self._store.after(self._stored_uwh, taken)
        return BatteryMoved(taken, self._stored_uwh // PPM)

    def snapshot(self) -> dict[str, Any]:
        """Everything that a checkpoint needs to continue, as JSON values."""
        return {"meter": self._meter.snapshot(), "stored_uwh": self._stored_uwh}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Continue from a snapshot.

        Raises:
            InvalidSnapshot: It is not of this battery.
        """
        with reading_snapshot():
            stored = _whole("stored_uwh", saved["stored_uwh"], self._store.capacity_wh * PPM)
            self._meter.restore(saved["meter"])
        self._stored_uwh = stored


class PeakKeeping:
    """A battery that keeps the highest import low, by what forecasts of a day ahead show.

    Args:
        meter: All homes as one, without the battery: who forecasts.
        store: The battery.
    """

    def __init__(self, meter: OneMeter, store: Store) -> None:
        self._meter, self._peak = meter, Peak(store)

    @property
    def lived(self) -> int:
        """Number of intervals that have been simulated."""
        return self._meter.lived

    def planned_wh(self) -> int:
        """What it will take in the next interval by forecast, negative where it gives. [Wh]"""
        ahead = self._meter.expected_net_wh_ahead()
        return self._peak.wanted_wh(ahead[0], ahead[1:]) if ahead else 0

    def live(self, net_wh: int) -> BatteryMoved:
        """Run it in the next interval, in which all homes together need some energy. [Wh]"""
        taken = self._peak.wanted_wh(net_wh, self._meter.expected_net_wh_ahead()[1:])
        self._peak = self._peak.after(net_wh, taken)
        self._meter.see(net_wh)
        self._meter.live()
        return BatteryMoved(taken, self._peak.stored_uwh // PPM)

    def snapshot(self) -> dict[str, Any]:
        """Everything that a checkpoint needs to continue, as JSON values."""
        peak = self._peak
        return {
            "meter": self._meter.snapshot(),
            "stored_uwh": peak.stored_uwh,
            "highest_wh": peak.highest_wh,
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Continue from a snapshot.

        Raises:
            InvalidSnapshot: It is not of this battery.
        """
        with reading_snapshot():
            stored = _whole("stored_uwh", saved["stored_uwh"], self._peak.store.capacity_wh * PPM)
            highest = _whole("highest_wh", saved["highest_wh"], 2**62)
            self._meter.restore(saved["meter"])
        self._peak = replace(self._peak, stored_uwh=stored, highest_wh=highest)


class Owners(Neighbourhood):
    """The homes of a run with what they have in common.

    Args:
        homes: The homes.
        battery: Decides what the battery does.
    """

    def __init__(self, homes: Community, battery: BatteryRule) -> None:
        super().__init__([homes])
        self.battery = battery

    @property
    def learns(self) -> bool:
        """Always: what the battery does depends on the intervals before, so none can be left out."""
        return True

    def snapshot(self) -> dict[str, Any]:
        """Everything that a checkpoint needs to continue, as JSON values."""
        return {**super().snapshot(), "battery": self.battery.snapshot()}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Continue from a snapshot of the same homes under the same rules.

        Raises:
            InvalidSnapshot: It is not of these homes and their battery.
        """
        super().restore(saved)
        with reading_snapshot():
            self.battery.restore(saved["battery"])
            if self.battery.lived != self.lived:
                raise ValueError("the battery has not lived the same intervals")

    def _said(self, notes: Any) -> tuple[str, ...]:
        return tuple(note for own in notes for note in own)


def _whole(name: str, saved: Any, most: int) -> int:
    if type(saved) is not int or not 0 <= saved <= most:
        raise ValueError(f"{name} is {saved!r}, and can be 0 to {most}")
    return saved


def store_of(battery: CommonBattery, capacity_wh: int, power_w: int, minutes: int) -> Store:
    """A battery as plans see it: from its reserve on, and empty at the start."""
    return Store(
        capacity_wh * (PPM - battery.reserve_share_ppm) // PPM,
        power_w * minutes // 60,
        battery.charge_efficiency_ppm,
        battery.discharge_efficiency_ppm,
    )


def common_store(scenario: Scenario, minutes: int) -> Store | None:
    """The battery that the homes of a scenario have in common; None where they have none that could do anything."""
    battery = scenario.community.battery
    if battery is None or not battery.capacity_wh:
        return None
    store = store_of(battery, battery.capacity_wh, battery.power_of(battery.capacity_wh), minutes)
    return store if store.capacity_wh and store.power_wh else None


def owners(
    found: Checked,
    scenario: Scenario,
    agents: AgentRules,
    prices: OutsidePrices,
    homes: Community,
    store: Store,
) -> Owners:
    """Homes with their battery, before the first interval.

    Args:
        found: What the run has of the scenario and its data.
        scenario: Which says what the battery is run for.
        agents: Under which the homes forecast.
        prices: What energy costs outside in each interval of the window, fees included.
        homes: The homes.
        store: Their battery.
    """
    run_for = scenario.community.battery.run_for  # type: ignore[union-attr]
    rows = slice(found.first_row, found.first_row + found.intervals)
    net_wh = found.meter.net_wh(rows).sum(axis=1)
    stores = [store] if run_for != "peak" else []
    meter = one_meter(found, scenario.zone, agents, net_wh, prices, stores, run_for)
    return Owners(homes, Controlled(meter, store) if run_for != "peak" else PeakKeeping(meter, store))


def one_meter(
    found: Checked,
    zone: str,
    agents: AgentRules,
    net_wh: IntArray,
    prices: OutsidePrices,
    stores: list[Store],
    run_for: str,
) -> OneMeter:
    """All homes as one, once for each of some batteries, or once without one.

    The scenario's forecaster sees what the meters of all members together showed before the gate, the days before the
    window included. Batteries differ in size only, so that one forecast serves all of them.

    Args:
        found: What a run or a study has of a scenario and its data.
        zone: Time zone of the homes' calendar.
        agents: Under which the scenario's homes forecast.
        net_wh: What all homes together need in each interval of the window, as far as it is known. [Wh]
        prices: What energy costs outside, the fees within the community not included.
        stores: The batteries.
        run_for: What they are run for.
    """
    count = max(len(stores), 1)
    before = found.meter.net_wh(slice(found.first_row))
    member = found.membership.in_rows(found.meter.start_s, found.minutes * 60, found.first_row)
    together = np.where(member, before, 0).sum(axis=1)
    net_wh = np.repeat(np.concatenate((together, net_wh))[:, None], count, axis=1)
    outside = OutsidePrices(prices.buy_cap_micro_per_kwh, prices.feed_in_micro_per_kwh, 0, 0)
    return OneMeter(
        np.maximum(net_wh, 0),
        np.maximum(-net_wh, 0),
        {"battery": [_device(store, found.minutes) for store in stores]} if stores else {},
        found.first_row,
        replace(agents, control=CONTROLLERS_OF[run_for]),
        outside,
        members=np.zeros(count, dtype=np.int64),  # the same draws for each, whatever the other sizes are
        start_s=found.meter.start_s,
        zone=zone,
        weather=found.weather,
    )


def _device(store: Store, minutes: int) -> Battery:
    power_w = -(-store.power_wh * 60 // minutes)
    return Battery(
        capacity_wh=store.capacity_wh,
        charge_w=power_w,
        discharge_w=power_w,
        charge_efficiency_ppm=store.charge_efficiency_ppm,
        discharge_efficiency_ppm=store.discharge_efficiency_ppm,
    )


def with_battery(orders: Orders, taken_wh: int, homes: int, prices: IntervalPrices) -> Orders:
    """The orders of the homes and, behind them, that of the battery: at the price at which the retailer serves it."""
    if not taken_wh:
        return orders
    side = 1 if taken_wh > 0 else -1
    limit = prices.buy_cap_micro_per_kwh if side > 0 else prices.feed_in_micro_per_kwh
    return Orders(
        np.append(orders.home, homes),
        np.append(orders.side, np.int8(side)),
        np.append(orders.energy_wh, abs(taken_wh)),
        np.append(orders.limit_micro_per_kwh, limit),
    )
