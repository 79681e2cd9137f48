"""A common battery that is run from forecasts, interval by interval: what a plan keeps of the bound."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from market.settlement.tariff import OutsidePrices
from optimizer.storage.store import Demand, Lived, Store, lived
from wattswap.runs.common_battery import PeakKeeping, one_meter
from wattswap.sizing.homes import Homes

OnStep = Callable[[int, int], None]
"""Called with how many of how many intervals are done."""


def walked(
    homes: Homes,
    demand: Demand,
    stores: Sequence[Store],
    on_step: OnStep | None = None,
    goal: str = "welfare",
) -> list[Lived]:
    """What each of some batteries does behind one meter of all homes, run by forecasts as in a run.

    The batteries differ in size only. For the least cost, and for self-consumption, each is run by the controller
    "plan"; for the peak as `optimizer.storage.peak` says.
    """
    prices = OutsidePrices(demand.bought, demand.sold, 0, 0)
    if goal == "peak":
        return [_keeping(homes, demand, prices, store, on_step) for store in stores]
    setup = homes.setup
    one = one_meter(setup, setup.zone, setup.agents, demand.net_wh, prices, list(stores), "welfare")
    taken = []
    for step, net in enumerate(demand.net_wh.tolist(), 1):
        meters = one.live()
        taken.append(meters.import_wh - meters.export_wh - net)
        if on_step is not None:
            on_step(step, len(demand.net_wh))
    return [lived(store, row.tolist()) for store, row in zip(stores, np.stack(taken, axis=1), strict=True)]


def _keeping(
    homes: Homes, demand: Demand, prices: OutsidePrices, store: Store, on_step: OnStep | None
) -> Lived:
    """What a battery does that keeps the peak low."""
    setup = homes.setup
    meter = one_meter(setup, setup.zone, setup.agents, demand.net_wh, prices, [], "peak")
    battery = PeakKeeping(meter, store)
    taken = []
    for step, net in enumerate(demand.net_wh.tolist(), 1):
        taken.append(battery.live(net).taken_wh)
        if on_step is not None:
            on_step(step, len(demand.net_wh))
    return lived(store, taken)
