"""Plan and rule on paper: what a home would have paid by either, without a market, over its own last weeks."""

from __future__ import annotations

from typing import Final

import numpy as np

from agents.devices import Moment
from agents.devices.battery import Batteries
from agents.rules import DAY_MINUTES
from agents.state import State
from agents.storage import Value
from market.units import BoolArray, FloatArray, IntArray

DAYS: Final = 28
"""Days that are compared."""
LEAST_DAYS: Final = 14
"""Days below which nothing is compared."""
_PLAN, _RULE = 0, 1


def blank(homes: int) -> State:
    """Nothing on paper yet: contents, costs by day of plan and rule, the present day, and how many days there are."""
    return {
        "paper_uwh": np.zeros((homes, 2), dtype=np.int64),
        "paper_nano": np.zeros((homes, 2, DAYS), dtype=np.int64),
        "paper_day": np.full(homes, -1),
        "paper_days": np.zeros(homes, dtype=np.int64),
    }


def written(
    state: State,
    batteries: Batteries,
    moment: Moment,
    local_minute: int,
    net_wh: IntArray,
    planned_wh: IntArray,
    bought_micro: int,
    sold_micro: int,
) -> State:
    """The paper after one more interval.

    Args:
        state: Columns of `blank`.
        batteries: Of all homes.
        moment: The interval.
        local_minute: What the clock shows at its start. [min since 1970]
        net_wh: Metered import minus export of each home, and what its other devices take. [Wh]
        planned_wh: What its battery takes by the plan, from the content on paper. [Wh]
        bought_micro: Outside price of an imported kWh, with its grid fee. [micro-currency/kWh]
        sold_micro: Feed-in price. [micro-currency/kWh]
    """
    day = local_minute // DAY_MINUTES
    content_uwh, cost_nano = state["paper_uwh"].copy(), state["paper_nano"].copy()
    new = state["paper_day"] != day
    cost_nano[new, :, day % DAYS] = 0
    for way, wanted_wh in ((_PLAN, planned_wh), (_RULE, -net_wh)):
        moved_wh, after = batteries.step({"stored_uwh": content_uwh[:, way]}, wanted_wh, moment)
        metered_wh = net_wh + moved_wh
        cost_nano[:, way, day % DAYS] += np.where(metered_wh > 0, bought_micro, sold_micro) * metered_wh
        content_uwh[:, way] = after["stored_uwh"]
    return {
        "paper_uwh": content_uwh,
        "paper_nano": cost_nano,
        "paper_day": np.full(len(new), day),
        "paper_days": np.minimum(state["paper_days"] + new, DAYS),
    }


def rule_was_better(state: State, value: Value) -> BoolArray:
    """Which homes had lower costs by the rule, what the batteries hold counted by its value."""
    total: FloatArray = state["paper_nano"].sum(axis=2) + np.stack(
        [value.at(state["paper_uwh"][:, way]) for way in (_PLAN, _RULE)], axis=1
    )
    better: BoolArray = (total[:, _RULE] < total[:, _PLAN]) & (state["paper_days"] >= LEAST_DAYS)
    return better
