"""What energy is worth in each interval under a plan, the same whatever solver found the plan, and the bound it
proves.

The value of stored energy changes only where the battery is full or empty; in between it is one number, which the
intervals in which the battery idles or runs at full power leave an interval for. Those intervals are narrowed along
time, as rows of the battery's content couple them, and the middle of each is taken: a supporting price for any plan
that is optimal.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from market.units import BoolArray, FloatArray
from optimizer.storage.plan import Plan
from optimizer.storage.store import Demand, Store, floats

_NOTHING_WH = 1e-4
"""Less than this is nothing, and less than this off a limit is at it. [Wh]"""


class Values(NamedTuple):
    """Prices that support a plan.

    Args:
        price: Of energy inside the community in each interval. [micro-currency/kWh]
        stored: Of energy in the battery at the end of each interval. [micro-currency/kWh]
    """

    price: FloatArray
    stored: FloatArray


class _Range(NamedTuple):
    low: FloatArray
    high: FloatArray


def values_of(demand: Demand, store: Store, plan: Plan) -> Values:
    """The prices that support a plan of least cost, the middle of each range.

    Where energy earns more outside than it costs, or a price is below 0, no price need support a plan; the prices
    are then only the multipliers of `lower_bound_nano`.
    """
    price = _prices_outside(demand, plan)
    if not store.power_wh:  # nothing can be stored, and every interval has prices of its own
        return Values((price.low + price.high) / 2, np.zeros_like(price.low))
    fee, gain, yields = float(demand.fee), store.gain, store.yields
    low, high = _without_price(price, plan, store, fee)
    every = np.concatenate(((price.low + fee) / gain, (price.high + fee) / gain, price.low * yields))
    low, high = np.maximum(low, min(0.0, every.min())), np.minimum(high, max(0.0, every.max()))
    stored = _middle_along(low, high, plan.stored_wh, store.capacity_wh)
    return Values(_price_given(price, stored, plan, store, fee), stored)


def _prices_outside(demand: Demand, plan: Plan) -> _Range:
    """What energy of an interval may be worth by what the community draws from outside."""
    bought, sold, net = floats(demand.bought), floats(demand.sold), plan.net_wh
    return _Range(np.where(net > _NOTHING_WH, bought, sold), np.where(net < -_NOTHING_WH, sold, bought))


def _modes(plan: Plan, store: Store) -> tuple[BoolArray, BoolArray, BoolArray, BoolArray]:
    """Where the battery charges at all, at full power, discharges at all, at full power."""
    taken, power = plan.taken_wh, store.power_wh
    return (
        taken > _NOTHING_WH,
        taken > power - _NOTHING_WH,
        taken < -_NOTHING_WH,
        taken < _NOTHING_WH - power,
    )


def _without_price(price: _Range, plan: Plan, store: Store, fee: float) -> _Range:
    """Range of the value of stored energy that each interval by itself leaves, whatever its price in its range."""
    charges, full_in, gives, full_out = _modes(plan, store)
    into, out = _Range((price.low + fee) / store.gain, (price.high + fee) / store.gain), store.yields
    low = np.where(charges, into.low, price.low * out)
    high = np.where(gives, price.high * out, into.high)
    low[full_out], high[full_in] = -np.inf, np.inf
    return _Range(low, high)


def _middle_along(low: FloatArray, high: FloatArray, stored_wh: FloatArray, capacity_wh: int) -> FloatArray:
    """The middle of each range after all have been narrowed by their neighbours in time.

    The value stays while the battery is neither full nor empty; it may rise where it is full and fall where it is
    empty, and after the last interval it is 0.
    """
    low, high = np.append(low, 0.0), np.append(high, 0.0)
    empty, full = stored_wh < _NOTHING_WH, stored_wh > capacity_wh - _NOTHING_WH
    for t in range(len(stored_wh)):  # from an interval to the next
        if not empty[t]:
            low[t + 1] = max(low[t + 1], low[t])
        if not full[t]:
            high[t + 1] = min(high[t + 1], high[t])
    for t in range(len(stored_wh) - 1, -1, -1):
        if not full[t]:
            low[t] = max(low[t], low[t + 1])
        if not empty[t]:
            high[t] = min(high[t], high[t + 1])
    middle: FloatArray = (low[:-1] + high[:-1]) / 2
    return middle


def _price_given(price: _Range, stored: FloatArray, plan: Plan, store: Store, fee: float) -> FloatArray:
    """The middle of what the price of each interval may be at a value of stored energy."""
    charges, full_in, gives, full_out = _modes(plan, store)
    into, out = store.gain * stored - fee, stored / store.yields
    # It pays to charge up to the price `into` and to discharge from the price `out` on.
    low = np.where(full_in, price.low, np.where(gives, np.where(full_out, out, out), into))
    high = np.where(full_out, price.high, np.where(charges, into, out))
    low, high = np.maximum(low, price.low), np.minimum(high, price.high)
    return np.clip((low + high) / 2, price.low, price.high)


def lower_bound_nano(demand: Demand, store: Store, values: Values) -> float:
    """No plan costs less than this, whatever the prices are; numpy alone checks it.

    The Lagrangian of the rows of balance and content, minimised interval by interval over what comes from outside
    and over charging or discharging, never both. It is the cost of a plan of least cost at prices that support it.
    [nano-currency]
    """
    net, bought, sold = floats(demand.net_wh), floats(demand.bought), floats(demand.sold)
    price, stored, power = values.price, values.stored, float(store.power_wh)
    ends = np.stack((net - power, net + power, np.clip(np.zeros_like(net), net - power, net + power)))
    outside = (np.where(ends > 0, bought, sold) * ends - price * ends).min(axis=0)
    charged = (price + demand.fee - store.gain * stored) * power
    given = (stored / store.yields - price) * power
    battery = np.minimum(np.minimum(charged, given), 0.0)
    later = np.append(stored[1:], 0.0)
    content = np.minimum((stored - later) * store.capacity_wh, 0.0)
    first = stored[0] * store.initial_wh if len(stored) else 0.0
    return float((price * net + outside + battery + content).sum() - first)
