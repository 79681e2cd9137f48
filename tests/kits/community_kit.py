"""Random homes with meters and batteries, and a walk through their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from agents.bidding import Orders, View
from agents.community import Community
from agents.devices.battery import Battery
from agents.forecast import Horizon
from agents.rules import AgentRules, Known, local_minutes
from market.random import WordArray
from market.settlement.tariff import IntervalPrices, OutsidePrices, flat
from market.units import IntArray

PRICES = IntervalPrices(300_000, 80_000, 10_000, 30_000)
TARIFF = OutsidePrices(flat(300_000, 2_000), flat(80_000, 2_000), 10_000, 30_000)
DAY = 96
RULES = AgentRules(strategy="truthful", forecaster="same_hour_mean")
BATTERY = Battery(5_000, 3_000, 2_500, 950_000, 920_000, initial_share_ppm=200_000)


def registers(seed: int, days: int, homes: int) -> tuple[IntArray, IntArray]:
    """Random homes, some of them in surplus at noon."""
    draw = np.random.default_rng(seed)
    net = draw.integers(-900, 900, (days * DAY, homes))
    return np.maximum(net, 0), np.maximum(-net, 0)


def homes_of(
    imported: IntArray,
    exported: IntArray,
    batteries: Sequence[Battery | None] | None = None,
    rules: AgentRules = RULES,
    first: int = 2 * DAY,
    **more: Any,
) -> Community:
    """Homes with these registers; without batteries when none are given."""
    specs = batteries if batteries is not None else [None] * imported.shape[1]
    return Community(imported, exported, {"battery": specs}, first, rules, TARIFF, **more)


def community(seed: int, homes: int, rules: AgentRules) -> Community:
    """Random homes, every second with a battery."""
    return homes_of(*registers(seed, 5, homes), [BATTERY if i % 2 else None for i in range(homes)], rules)


def walk(homes: Community, steps: int) -> list[list[int]]:
    """Signed orders of one order a home, registers and contents, interval by interval."""
    seen = []
    for _ in range(steps):
        orders = homes.bids(PRICES)
        meters = homes.live()
        seen.append(
            [
                *(orders.side * orders.energy_wh).tolist(),
                *meters.import_wh.tolist(),
                *meters.export_wh.tolist(),
                *meters.columns["stored_wh"].tolist(),
            ]
        )
    return seen


def known_of(net_wh: IntArray, days: int = 7, minutes: int = 15) -> Known:
    """What homes know that have these readings and nothing else. [Wh]"""
    return Known(
        knowledge_s=len(net_wh) * minutes * 60,
        start_s=0,
        minutes=minutes,
        days=days,
        net_wh=net_wh,
        zone="UTC",
        local_minute=local_minutes(0, minutes, len(net_wh) + DAY, "UTC"),
        tariff=TARIFF,
        tariff_row=0,
    )


def view_of(
    net_wh: IntArray, prices: IntervalPrices = PRICES, words: WordArray | None = None, **more: Any
) -> View:
    """The view of homes that plan this net energy. [Wh]"""
    size = len(net_wh)
    return View(
        known=known_of(np.zeros((0, size), dtype=np.int64)),
        prices=prices,
        net_wh=net_wh,
        forecast=None,
        traded=0,
        plan={},
        words=np.zeros(size, dtype=np.uint64) if words is None else words,
        homes=np.arange(size, dtype=np.int64),
        **more,
    )


def signed(orders: Orders) -> list[int]:
    """Energy of each order, negative where it is sold. [Wh]"""
    energy: list[int] = (orders.side * orders.energy_wh).tolist()
    return energy


def horizon(net_wh: IntArray, steps: int, days: int = 7) -> Horizon:
    """The intervals after these readings. [Wh]"""
    return Horizon(known_of(net_wh, days), steps)
