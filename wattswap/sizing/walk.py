"""A common battery that is run from forecasts, interval by interval: what a plan keeps of the bound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from agents.community import Community
from agents.devices.battery import Battery
from market.settlement.tariff import OutsidePrices
from optimizer.storage.store import Demand, Lived, Store, lived
from wattswap.sizing.homes import Homes

PLAN = "plan"

OnStep = Callable[[int, int], None]
"""Called with how many of how many intervals are done."""


def walked(
    homes: Homes, demand: Demand, stores: Sequence[Store], on_step: OnStep | None = None
) -> list[Lived]:
    """What each of some batteries does that the controller "plan" runs for all homes as one.

    The scenario's forecaster sees what the meters of all homes together showed before the gate, the days before the
    window included. The batteries differ in size only, so that one forecast serves all of them.
    """
    setup, count = homes.setup, len(stores)
    before = setup.meter.import_wh[: setup.first_row] - setup.meter.export_wh[: setup.first_row]
    net_wh = np.repeat(np.concatenate((before.sum(axis=1), demand.net_wh))[:, None], count, axis=1)
    one = Community(
        np.maximum(net_wh, 0),
        np.maximum(-net_wh, 0),
        {"battery": [_battery(store, setup.minutes) for store in stores]},
        setup.first_row,
        replace(setup.agents, control=PLAN),
        OutsidePrices(demand.bought, demand.sold, 0, 0),
        members=np.zeros(count, dtype=np.int64),  # the same draws for each, whatever the other sizes are
        start_s=setup.meter.start_s,
        zone=setup.zone,
        weather=setup.weather,
    )
    taken = []
    for step, net in enumerate(demand.net_wh.tolist(), 1):
        meters = one.live()
        taken.append(meters.import_wh - meters.export_wh - net)
        if on_step is not None:
            on_step(step, len(demand.net_wh))
    return [lived(store, row.tolist()) for store, row in zip(stores, np.stack(taken, axis=1), strict=True)]


def _battery(store: Store, minutes: int) -> Battery:
    power_w = -(-store.power_wh * 60 // minutes)
    return Battery(
        capacity_wh=store.capacity_wh,
        charge_w=power_w,
        discharge_w=power_w,
        charge_efficiency_ppm=store.charge_efficiency_ppm,
        discharge_efficiency_ppm=store.discharge_efficiency_ppm,
    )
