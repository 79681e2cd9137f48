"""What plug-ins return is refused where it would be taken for something else, and each is named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agents.bidding import STRATEGIES, Orders, Strategy, View
from agents.community import Community
from agents.control import CONTROLLERS, Controller, Planning, Present
from agents.devices import DEVICES, Fleet, Moment
from agents.devices.battery import Batteries
from agents.errors import InvalidEnergy, InvalidForecast, InvalidOrders
from agents.forecast import FORECASTERS, Forecast, Forecaster, Horizon, Points
from agents.forecast.shared_ridge import SHARED_RIDGE
from agents.forecasts import Forecasts
from agents.readings import Readings
from agents.rules import AgentRules, Known
from agents.state import State
from market.errors import PluginFailed
from market.units import IntArray
from tests.agents.test_ridge import habits, known_of
from tests.kits.community_kit import BATTERY, DAY, PRICES, TARIFF, homes_of, registers

RULES = AgentRules(strategy="truthful", forecaster="same_hour_mean")


@contextmanager
def registered(registry: Any, item: Any) -> Iterator[None]:
    registry.register(item, contract=2) if registry in (STRATEGIES, FORECASTERS) else registry.register(item)
    try:
        yield
    finally:
        registry.forget(item.name)


def last(known: Known, steps: int) -> IntArray:
    """The last reading, for all steps."""
    return np.repeat(known.net_wh[-1:], steps, axis=0)


def forecaster(points: Any = None, predict: Any = None) -> Forecaster:
    honest = predict or (lambda model, h: Forecast.point(last(h.known, h.steps)))
    return Forecaster("mine", lambda known: 0, honest, "a test", points=points)


def staircase_bids(item: Forecaster) -> None:
    """Order by the quantiles of a forecaster."""
    with registered(FORECASTERS, item):
        imported, exported = registers(3, 40, 2)
        rules = replace(RULES, forecaster="mine", strategy="staircase")
        homes_of(imported, exported, rules=rules, first=39 * DAY).bids(PRICES)


def test_points_that_use_later_readings_are_refused() -> None:
    """They are given all rows of a day; at its gate the forecast is another."""

    def peek(model: Any, known: Known, rows: IntArray, gates: IntArray) -> Points:
        return known.net_wh[np.minimum(rows, len(known.net_wh) - 1)], None

    def fair(model: Any, known: Known, rows: IntArray, gates: IntArray) -> Points:
        return known.net_wh[np.maximum(gates - 1, 0)], None

    staircase_bids(forecaster(fair))
    with pytest.raises((InvalidForecast, PluginFailed), match="uses later readings"):
        staircase_bids(forecaster(peek))


def test_points_of_one_row_are_taken_without_a_second_forecast() -> None:
    """There are no later readings in what they are given; a run asks so at every gate."""

    def never(model: Any, horizon: Horizon) -> Forecast:
        raise AssertionError("predicts")

    def fair(model: Any, known: Known, rows: IntArray, gates: IntArray) -> Points:
        return known.net_wh[gates - 1], None

    imported, exported = registers(3, 4, 2)
    rules = replace(RULES, forecaster="mine")
    with registered(FORECASTERS, forecaster(fair, never)):
        readings = Readings(imported - exported, None, None, 0, rules, TARIFF, 0, "UTC", {}, 2)
        found = Forecasts(rules, 0, readings.known_at)
        count, points = found.points(range(DAY, DAY + 1))
        assert count == 1
        assert points is not None
        with pytest.raises(PluginFailed, match="predicts"):
            found.points(range(DAY, DAY + 2))


@pytest.mark.parametrize(
    "levels", [(900_000, 500_000), (500_000, 500_000), (500_000.0,), [500_000], (500_000, 1_000_000)]
)
def test_levels_are_ascending_shares(levels: Any) -> None:
    def predict(model: Any, h: Horizon) -> Forecast:
        return Forecast(levels, np.repeat(last(h.known, h.steps)[None], len(levels), axis=0))

    with pytest.raises((InvalidForecast, PluginFailed), match="ascending"):
        staircase_bids(forecaster(predict=predict))


@pytest.mark.parametrize(("wh", "words"), [(np.int16(5), "int64"), (np.int64(2**62), "expects more than")])
def test_a_forecast_is_of_64_bits_and_of_this_world(wh: Any, words: str) -> None:
    def predict(model: Any, h: Horizon) -> Forecast:
        return Forecast.point(np.full((h.steps, h.known.net_wh.shape[1]), wh))

    with pytest.raises((InvalidForecast, PluginFailed), match=words):
        staircase_bids(forecaster(predict=predict))


def test_a_side_that_would_wrap_to_another_is_refused() -> None:
    def bid(state: State, view: View) -> Orders:
        one = np.ones(1, dtype=np.int64)
        return Orders(one * 0, one * 257, one * 100, one * 200_000)  # type: ignore[arg-type]

    with registered(STRATEGIES, Strategy("wraps", bid, "a test")):
        homes = homes_of(*registers(3, 4, 2), rules=replace(RULES, strategy="wraps"))
        with pytest.raises((InvalidOrders, PluginFailed), match="neither 1"):
            homes.bids(PRICES)


def test_a_controller_cannot_write_into_a_device() -> None:
    def command(plan: State, present: Present, fleet: Fleet, state: Any, net_wh: IntArray) -> IntArray:
        state["stored_uwh"] = state["stored_uwh"] + 10**9
        return np.zeros_like(net_wh)

    with registered(CONTROLLERS, Controller("fills", command, "a test")):
        homes = homes_of(*registers(3, 4, 2), [None, BATTERY], replace(RULES, control="fills"))
        with pytest.raises(PluginFailed, match="fills"):
            homes.live()


@pytest.mark.parametrize("name", ["fleets", "owns", "states"])
def test_a_controller_that_plans_cannot_change_the_devices_of_a_run(name: str) -> None:
    def plan(state: State, planning: Planning) -> State:
        del getattr(planning, name)["battery"]
        return state

    def command(plan: State, present: Present, fleet: Fleet, state: State, net_wh: IntArray) -> IntArray:
        return np.zeros_like(net_wh)

    with registered(CONTROLLERS, Controller("removes", command, "a test", plan=plan)):
        homes = homes_of(*registers(3, 4, 2), [None, BATTERY], replace(RULES, control="removes"))
        with pytest.raises(PluginFailed, match=r"'removes'.*does not support item deletion"):
            homes.live()


class Everywhere(Batteries):
    """Batteries that move energy in every home."""

    @property
    def columns(self) -> tuple[str, ...]:
        return ("everywhere_wh",)

    def read(self, state: State) -> Mapping[str, IntArray]:
        return {"everywhere_wh": state["stored_uwh"] * 0}

    def step(self, state: State, command_wh: IntArray, moment: Moment) -> tuple[IntArray, State]:
        return np.full_like(command_wh, 5), state


def test_a_device_moves_energy_only_in_homes_that_have_it() -> None:
    kind = replace(DEVICES.get("battery"), name="everywhere", in_data=None, fleet=Everywhere.from_specs)
    with registered(DEVICES, kind):
        imported, exported = registers(3, 4, 2)
        own = Community(imported, exported, {"everywhere": [None, BATTERY]}, 2 * DAY, RULES, TARIFF)
        with pytest.raises((InvalidEnergy, PluginFailed), match="homes that have none"):
            own.live()


def test_notes_are_sentences_and_of_several_controllers_each_is_named() -> None:
    def command(plan: State, present: Present, fleet: Fleet, state: State, net_wh: IntArray) -> IntArray:
        return np.zeros_like(net_wh)

    notes: Any = lambda state: (3,)  # noqa: E731
    with registered(CONTROLLERS, Controller("numbers", command, "a test", notes=notes)):
        homes = homes_of(*registers(3, 4, 2), [None, BATTERY], replace(RULES, control="numbers"))
        with pytest.raises(PluginFailed, match="no sentences"):
            homes.control_notes()


def test_an_empty_home_with_one_large_reading_does_not_spoil_what_all_learn() -> None:
    """In its mean as unit that reading is thousands; it changed the forecasts of new homes tenfold."""
    net_wh = habits(5, 47, 8)
    cut = 40 * 24

    def error(empty: bool) -> float:
        spoiled = net_wh.copy()
        spoiled[:cut, -1] = 0
        if empty:
            spoiled[cut - 5 : cut, -1] = (1, 10, 100, 1_000, 16_000)
        model = SHARED_RIDGE.fit(known_of(spoiled[:cut]))
        rows = np.arange(cut, len(net_wh))
        assert SHARED_RIDGE.points is not None
        wh, _ = SHARED_RIDGE.points(model, known_of(spoiled), rows, rows - 1)
        return float(np.abs(wh - net_wh[rows])[:, :-1].mean())

    assert error(empty=True) < 1.05 * error(empty=False)
