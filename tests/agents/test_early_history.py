"""A history shorter than the time between two models: one model a day until the first is due, resumed or not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from agents.forecast import FORECASTERS
from agents.forecast.ridge import RIDGE
from agents.rules import AgentRules, Known
from tests.kits.community_kit import DAY, PRICES, homes_of, registers, walk

DAYS, FIRST = 20, 16 * DAY + 5
"""Days of readings, and the row at which the run begins: the first model is due two days and five rows after them."""
RULES = AgentRules(strategy="staircase", forecaster="counted")


@pytest.fixture
def fitted() -> Iterator[list[int]]:
    """The rows that were known to each model that a forecaster has made."""
    rows: list[int] = []

    def noted(known: Known, model: Any) -> Any:
        if model is not None:
            rows.append(len(known.net_wh))
        return model

    FORECASTERS.register(
        replace(
            RIDGE,
            name="counted",
            fit=lambda known: noted(known, RIDGE.fit(known)),
            update=lambda model, known: noted(known, RIDGE.update(model, known)),  # type: ignore[misc]
        )
    )
    try:
        yield rows
    finally:
        FORECASTERS.forget("counted")


def test_residuals_of_a_short_history_take_one_model_a_day(fitted: list[int]) -> None:
    homes = homes_of(*registers(2, DAYS, 2), rules=RULES, first=FIRST)
    walk(homes, 3)
    due = [FIRST - 1 - 14 * DAY, FIRST - 1 - 7 * DAY, FIRST - 1]
    assert sorted(set(fitted)) == [DAY, 2 * DAY, *due], "two days before the first is due, then every week"
    assert len(fitted) == len(set(fitted)), "none is made twice"


def test_a_resumed_run_and_a_home_alone_order_the_same(fitted: list[int]) -> None:
    imported, exported = registers(3, DAYS, 3)
    straight = homes_of(imported, exported, rules=RULES, first=FIRST)
    alone = homes_of(
        imported[:, 1:2], exported[:, 1:2], rules=RULES, first=FIRST, members=straight.members[1:2]
    )
    limits: set[int] = set()
    for step in range(6):
        if step == 2:
            before, straight = straight, homes_of(imported, exported, rules=RULES, first=FIRST)
            straight.restore(before.snapshot())
        orders, own = straight.bids(PRICES), alone.bids(PRICES)
        mine = orders.home == 1
        limits |= set(orders.limit_micro_per_kwh.tolist())
        assert orders.energy_wh[mine].tolist() == own.energy_wh.tolist()
        assert orders.limit_micro_per_kwh[mine].tolist() == own.limit_micro_per_kwh.tolist()
        straight.live()
        alone.live()
    assert straight.notes() == before.notes() == ()
    assert len(limits) > 1, "a staircase, so there are quantiles"
    assert fitted


def test_the_note_on_homes_without_quantiles_is_the_same_at_any_time(fitted: list[int]) -> None:
    early = homes_of(*registers(4, 8, 2), rules=RULES, first=6 * DAY)
    walk(early, 2)
    resumed = homes_of(*registers(4, 8, 2), rules=RULES, first=6 * DAY)
    resumed.restore(early.snapshot())
    (note,) = early.notes()
    assert note.startswith("2 of 2 homes that bid by 'staircase' have forecasts of less than two weeks")
    assert resumed.notes() == homes_of(*registers(4, 8, 2), rules=RULES, first=6 * DAY).notes() == (note,)
    assert fitted
