"""A battery that keeps the peak low by a forecast: what it keeps to if that is right, and its limits."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from market.units import PPM
from optimizer.storage.peak import Peak
from optimizer.storage.rules import least_peak_wh
from optimizer.storage.store import Demand, Store, lived

SEEDS = range(40)


def case(seed: int) -> tuple[list[int], Store]:
    """A day of needs of both signs, and a battery that starts empty."""
    random = Random(seed)
    net = [random.randrange(-3_000, 5_000) for _ in range(24)]
    efficiency = random.choice([PPM, 950_000, 700_000])
    return net, Store(random.randrange(9_000), random.randrange(1, 3_000), efficiency, efficiency)


def kept(net: list[int], store: Store, ahead: list[list[int]]) -> tuple[int, list[int]]:
    """The highest import of a battery that sees some needs ahead of each interval, and what it took."""
    battery, taken = Peak(store), []
    for need, expected in zip(net, ahead, strict=True):
        taken.append(battery.wanted_wh(need, expected))
        battery = battery.after(need, taken[-1])
    assert lived(store, taken).broken(store) == ""
    assert battery.highest_wh == max(0, *(need + wh for need, wh in zip(net, taken, strict=True)))
    return battery.highest_wh, taken


def demand_of(net: list[int]) -> Demand:
    array = np.array(net, dtype=np.int64)
    return Demand(np.maximum(array, 0), np.maximum(-array, 0), 0 * array, 0 * array)


@pytest.mark.parametrize("seed", SEEDS)
def test_who_foresees_all_keeps_to_the_least_peak(seed: int) -> None:
    net, store = case(seed)
    highest, _ = kept(net, store, [net[i + 1 :] for i in range(len(net))])
    least = least_peak_wh(demand_of(net), store)
    assert (
        least <= highest <= least + 1
    )  # a store of a fraction of a Wh can be short of what a whole Wh draws


def test_it_charges_from_outside_only_what_later_needs_lack() -> None:
    """By hand: 4 kWh are needed in the third hour, 1 kWh in each before; 2 kWh in all, and no peak above it."""
    store = Store(4_000, 2_000)
    net = [1_000, 1_000, 4_000]
    highest, taken = kept(net, store, [net[1:], net[2:], []])
    assert (highest, taken) == (2_000, [1_000, 1_000, -2_000])


@pytest.mark.parametrize("seed", SEEDS)
def test_a_forecast_of_nothing_or_of_noise_breaks_no_limit(seed: int) -> None:
    net, store = case(seed)
    random = Random(seed + 1)
    noise = [[random.randrange(-9_000, 9_000) for _ in range(5)] for _ in net]
    for ahead in ([[]] * len(net), noise):
        highest, _ = kept(net, store, ahead)
        assert highest >= least_peak_wh(demand_of(net), store)


def test_without_needs_ahead_it_follows_the_rule_of_self_consumption() -> None:
    battery = Peak(Store(3_000, 2_000), stored_uwh=1_000 * PPM, highest_wh=5_000)
    assert battery.wanted_wh(-2_500, []) == 2_000
    assert battery.wanted_wh(700, []) == -700
    assert battery.wanted_wh(1_500, []) == -1_000
