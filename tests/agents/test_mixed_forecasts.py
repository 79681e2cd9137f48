"""Homes with forecasters of their own: each has what it would have where all homes forecast like it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

import wattswap as ws
from agents.bidding import Orders
from agents.community import Community
from agents.forecast import FORECASTERS
from tests.kits.community_kit import DAY, PRICES, RULES, homes_of, registers
from wattswap.errors import InvalidScenario
from wattswap.runs.prepare import prepare

NAMES = ["persistence", "same_hour_mean", "same_hour_median", "same_hour_mean", "persistence", "ridge"]


def homes(forecasters: list[str] | None, forecaster: str = "same_hour_mean") -> Community:
    imported, exported = registers(5, 34, len(NAMES))
    rules = replace(RULES, strategy="staircase", forecaster=forecaster)
    return homes_of(imported, exported, rules=rules, first=31 * DAY, forecasters=forecasters)


def lines(orders: Orders, home: int) -> list[tuple[int, ...]]:
    own = orders.home == home
    columns = (orders.side, orders.energy_wh, orders.limit_micro_per_kwh)
    return list(zip(*(column[own].tolist() for column in columns), strict=True))


def test_a_home_orders_as_it_would_among_homes_that_all_forecast_like_it() -> None:
    mixed = homes(NAMES)
    alike = {name: homes(None, name) for name in set(NAMES)}
    seen = 0
    for _ in range(6):
        orders = mixed.bids(PRICES)
        others = {name: one.bids(PRICES) for name, one in alike.items()}
        for home, name in enumerate(NAMES):
            assert lines(orders, home) == lines(others[name], home)
            seen += len(lines(orders, home))
        for one in (mixed, *alike.values()):
            one.live()
    assert seen > 20
    assert mixed.notes() == ()


def test_a_checkpoint_goes_on_with_the_same_orders() -> None:
    first, second = homes(NAMES), homes(NAMES)
    for _ in range(3):
        first.bids(PRICES)
        first.live()
    second.restore(json.loads(json.dumps(first.snapshot())))
    orders, again = first.bids(PRICES), second.bids(PRICES)
    assert [lines(orders, home) for home in range(len(NAMES))] == [
        lines(again, home) for home in range(len(NAMES))
    ]


@pytest.fixture
def never() -> Iterator[str]:
    """A forecaster that never has learned enough."""
    FORECASTERS.register(replace(FORECASTERS.get("persistence"), name="never", fit=lambda known: None))
    yield "never"
    FORECASTERS.forget("never")


def test_homes_of_a_group_without_a_history_order_nothing_and_the_others_do(never: str) -> None:
    imported, exported = registers(5, 5, 3)
    orders = homes_of(imported, exported, forecasters=["same_hour_mean", never, "same_hour_mean"]).bids(
        PRICES
    )
    assert set(np.unique(orders.home[orders.energy_wh > 0])) == {0, 2}
    nobody = homes_of(imported, exported, forecasters=[never] * 3).bids(PRICES)
    assert not nobody.energy_wh.any()


def test_a_scenario_gives_forecasters_by_share_and_list() -> None:
    given = 'homes.forecasters={persistence=0.5, same_hour_mean=["home-01"]}'
    names = prepare(ws.demo(["time.days=1", given])).forecasters
    assert names[0] == "same_hour_mean"
    assert names.count("persistence") == 6
    assert names.count("ridge") == 6
    assert prepare(ws.demo(["time.days=1", given])).forecasters == names


@pytest.mark.parametrize(
    ("settings", "phrase"),
    [
        (["homes.forecasters={ridg=0.5}"], "did you mean 'ridge'"),
        (["homes.forecasters={ridge=0.5, persistence=0.6}"], "gives shares of 1.1 of the homes"),
        (["homes.forecasters={perfect_foresight=0.5}"], "no forecast of single homes 'perfect_foresight'"),
        (
            ["homes.forecasters={ridge=0.5}", "homes.forecast=perfect_foresight"],
            "is no forecast of real homes",
        ),
    ],
)
def test_wrong_forecasters_are_refused(settings: list[str], phrase: str) -> None:
    with pytest.raises(InvalidScenario) as caught:
        ws.demo(settings)
    assert phrase in str(caught.value)
