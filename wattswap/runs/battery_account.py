"""The account of the battery in common: what it gained over a run, and how much of it belongs to each home."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from agents.state import whole_from_json
from market.cooperative.shapley import shapley
from market.settlement.accounts import IMBALANCE, LOCAL, MONEY_COLUMNS, TRADE
from market.settlement.tariff import AnyPrices
from market.units import BoolArray, IntArray, largest_remainder
from optimizer.cooperative import nucleolus
from optimizer.errors import OptimizerError
from wattswap.errors import Infeasible
from wattswap.runs.interval import IntervalRecord
from wattswap.runs.prepare import Setup

GAINED, COST = "battery_nano", "battery_cost_nano"
"""Columns of bills: what a home is credited of what the battery gained, and its part of what the battery costs."""
YEAR_MINUTES: Final = 365 * 1_440
SUMS: Final = ("gained_nano", "netting_nano", "taken_wh", "given_wh", "stored_wh")


class BatteryAccount:
    """What the battery of a run was credited, moved and holds, and what groups are worth if it is shared by that.

    A group is worth what it saves against each of its homes alone, if its homes net with each other and with their
    part of what the battery did, which is equal for all who are members in an interval.

    Args:
        setup: The prepared scenario.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup, self._battery = setup, setup.scenario.community.battery
        self._sums = dict.fromkeys(SUMS, 0)
        homes = len(setup.roster)
        by_group = setup.store is not None and self._battery is not None and self._battery.shares != "price"
        masks = np.arange(1 << homes if by_group else 0, dtype=np.int64)
        self._member: IntArray = masks >> np.arange(homes, dtype=np.int64)[:, None] & 1
        self._value = np.zeros(len(masks), dtype=np.int64)  # times the number of homes, so that it is whole

    def add(self, record: IntervalRecord) -> None:
        """Add the next interval."""
        if record.battery is None:
            return
        homes, taken_wh = len(record.roster), record.battery.taken_wh
        self._sums["gained_nano"] += account_nano(record)
        self._sums["netting_nano"] += battery_netting_nano(record)
        self._sums["taken_wh"] += max(taken_wh, 0)
        self._sums["given_wh"] += max(-taken_wh, 0)
        self._sums["stored_wh"] = record.battery.stored_wh
        if len(self._value):
            net_wh, part = record.import_wh - record.export_wh, self._setup.membership.at(record.start_s)
            owners = part if part.any() else np.ones_like(part)
            value = _values(net_wh, taken_wh, self._member, owners, record.prices)
            self._value += homes * value // int(owners.sum())

    @property
    def facts(self) -> dict[str, int]:
        """Single numbers that metrics need; empty without a battery."""
        store = self._setup.store
        if store is None:
            return {}
        facts = {f"battery_{name}": value for name, value in self._sums.items()}
        facts |= {
            "battery_capacity_wh": store.capacity_wh,
            "battery_yields_ppm": store.discharge_efficiency_ppm,
        }
        cost = self._cost_nano()
        return facts if cost is None else facts | {"battery_paid_nano": cost}

    def columns(self, bills: Mapping[str, IntArray]) -> dict[str, IntArray]:
        """The columns of the bills, of which `bills` has the others; empty without a battery.

        Raises:
            Infeasible: The nucleolus of these homes is not found.
        """
        if self._setup.store is None or self._battery is None:
            return {}
        gained = self._sums["gained_nano"]
        by_group = len(self._value) > 0
        columns = {GAINED: self._as_valued(bills, gained) if by_group else self._in_parts(gained)}
        cost = self._cost_nano()
        return columns if cost is None else columns | {COST: self._in_parts(cost)}

    def _in_parts(self, nano: int) -> IntArray:
        """Equal parts for each interval of membership. [nano-currency]"""
        setup = self._setup
        terms = setup.membership.in_rows(setup.start_s, setup.minutes * 60, setup.intervals).sum(axis=0)
        weight = terms if terms.any() else np.ones_like(terms)
        parts: IntArray = largest_remainder(weight, abs(nano), None)
        return parts if nano >= 0 else -parts

    def _as_valued(self, bills: Mapping[str, IntArray], gained: int) -> IntArray:
        """What makes each home save its share of all that is saved, and a part of what the game does not explain."""
        value = self._value // self._member.shape[0]
        try:
            share = (
                shapley(value) if self._battery and self._battery.shares == "shapley" else nucleolus(value)
            )
        except OptimizerError as error:
            cure = 'write "price" or "shapley"'
            raise Infeasible.of("community.battery.shares", f"no nucleolus: {error}", cure) from error
        posted = np.sum([bills[name] for name in MONEY_COLUMNS], axis=0, dtype=np.int64)
        before = posted - bills["baseline_nano"]
        left = gained + int(before.sum()) - int(share.sum())
        found: IntArray = share + self._in_parts(left) - before
        return found

    def _cost_nano(self) -> int | None:
        """What of the purchase falls on the run; None where nothing says what it costs. [nano-currency]"""
        battery, setup = self._battery, self._setup
        whole = None if battery is None else battery.purchase_nano(battery.capacity_wh or 0)
        if battery is None or whole is None:
            return None
        return whole * setup.minutes * setup.intervals // (battery.life_years * YEAR_MINUTES)

    def saved(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"sums": self._sums, "value": self._value.tolist()}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go on from a checkpoint.

        Raises:
            KeyError, TypeError, ValueError: It is not of this run.
        """
        sums = saved["sums"]
        if set(sums) != set(SUMS) or any(type(one) is not int for one in sums.values()):
            raise ValueError(f"battery has sums {sums!r}")
        self._value[:] = whole_from_json("battery", saved["value"], self._value.shape)
        self._sums = dict(sums)


def account_nano(record: IntervalRecord) -> int:
    """What the battery is credited in an interval, over all postings. [nano-currency]"""
    return int(record.settled.postings.lines[len(record.roster), TRADE:].sum())


def battery_netting_nano(record: IntervalRecord) -> int:
    """What of it netting its imbalance brought instead of settling it with the retailer. [nano-currency]"""
    line, prices = record.settled.postings.lines[len(record.roster)], record.prices.main
    local = int(line[LOCAL])
    alone = max(local, 0) * prices.buy_cap_micro_per_kwh - max(-local, 0) * prices.feed_in_micro_per_kwh
    return int(line[IMBALANCE]) + alone


def _values(
    net_wh: IntArray, taken_wh: int, member: IntArray, owners: BoolArray, prices: AnyPrices
) -> IntArray:
    """What every group of homes saves in an interval, times the number of owners. [nano-currency]"""
    one, count = prices.main, int(owners.sum())
    bought, sold, fee = (
        one.buy_cap_micro_per_kwh,
        one.feed_in_micro_per_kwh,
        one.grid_fee_local_micro_per_kwh,
    )
    part, need_wh = owners @ member, np.maximum(net_wh, 0)
    alone_nano = need_wh * (bought + fee) - np.maximum(-net_wh, 0) * sold
    together_wh = count * (net_wh @ member) + part * taken_wh
    cost = np.where(together_wh > 0, bought, sold) * together_wh
    cost += fee * (count * (need_wh @ member) + part * max(taken_wh, 0))
    found: IntArray = count * (alone_nano @ member) - cost
    return found
