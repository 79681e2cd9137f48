"""The staircase: against one home in plain Python, its promises, resumed, alone, and without enough history."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from agents.bidding import STRATEGIES, Orders, Strategy
from agents.community import Community
from agents.errors import InvalidLevels
from agents.forecast import FORECASTERS, Forecast, Forecaster
from agents.rules import AgentRules
from market.settlement.tariff import IntervalPrices
from market.units import BoolArray, IntArray
from tests.kits.community_kit import BATTERY, PRICES, homes_of, view_of
from tests.oracles.homes import Home, Order

CAP, FLOOR = PRICES.buy_cap_micro_per_kwh, PRICES.feed_in_micro_per_kwh
STAIRCASE = STRATEGIES.get("staircase")
LEVELS = len(STAIRCASE.quantiles_ppm)


def utc(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp())  # type: ignore[misc, arg-type]


def by_home(orders: Orders, homes: int) -> list[list[Order]]:
    """The orders of more than 0 Wh of each home, in their order."""
    columns = orders.home, orders.side, orders.energy_wh, orders.limit_micro_per_kwh
    rows = [row for row in zip(*(column.tolist() for column in columns), strict=True) if row[2]]
    return [[(side, energy, limit) for h, side, energy, limit in rows if h == home] for home in range(homes)]


def habits(seed: int, rows: int, homes: int, per_day: int) -> tuple[IntArray, IntArray]:
    """Registers of homes with a habit by the time of day, so that forecasts are on one side, and with noise."""
    draw = np.random.default_rng(seed)
    habit = draw.integers(-400, 400, (per_day, homes))
    net = habit[np.arange(rows) % per_day] + draw.integers(-150, 150, (rows, homes))
    return np.maximum(net, 0), np.maximum(-net, 0)


def gaps(seed: int, shape: tuple[int, int]) -> BoolArray:
    """Readings that exist: all of home 0, most of home 1, home 2 after two weeks, home 3 with a hole of days."""
    draw = np.random.default_rng(seed)
    valid = np.ones(shape, dtype=np.bool_)
    valid[:, 1] = draw.random(shape[0]) > 0.04
    valid[: shape[0] // 2, 2] = False
    valid[shape[0] // 3 : shape[0] // 2, 3] = False
    return valid


@pytest.mark.parametrize(
    ("start_s", "zone", "minutes", "lead"),
    [
        (utc(2026, 3, 3), "Europe/Berlin", 60, 1),  # 29 March is in it
        (utc(2026, 10, 1), "Europe/Berlin", 60, 2),  # 25 October is in it
        (utc(2026, 3, 12), "Australia/Lord_Howe", 60, 1),  # half an hour back on 5 April
        (utc(2026, 6, 1), "Asia/Kathmandu", 60, 0),
        (utc(2026, 6, 1), "Asia/Kolkata", 30, 1),
        (utc(2026, 3, 5), "America/New_York", 15, 1),  # 8 March is in it
    ],
    ids=["spring", "autumn", "half an hour", "quarter", "half", "quarter hours"],
)
@pytest.mark.parametrize("holes", [False, True], ids=["whole", "gaps"])
def test_the_staircase_equals_that_of_one_home_in_plain_python(
    start_s: int, zone: str, minutes: int, lead: int, holes: bool
) -> None:
    homes, per_day = 4, 24 * 60 // minutes
    days = 34 if minutes == 60 else 19
    imported, exported = habits(start_s % 97, days * per_day, homes, per_day)
    valid = gaps(5, imported.shape) if holes else None
    if valid is not None:
        valid[-per_day:] = True  # a run has no missing reading
    first = (days - 1) * per_day
    rules = AgentRules(
        forecast_days=3,
        strategy="staircase",
        minutes=minutes,
        gate_closure_minutes=lead * minutes,
        forecaster="same_hour_mean",
    )
    community = homes_of(
        imported, exported, rules=rules, first=first, start_s=start_s, zone=zone, valid=valid
    )
    net = imported - exported
    alone = []
    for h in range(homes):
        exists = [True] * len(net) if valid is None else valid[:, h].tolist()
        column = [wh if is_there else None for wh, is_there in zip(net[:, h].tolist(), exists, strict=True)]
        alone.append(Home(column, start_s, minutes, zone, 3, lead))
    seen = 0
    for row in range(first, first + per_day):
        # Every third of the hour is compared, all of them are walked through.
        orders = community.bids(PRICES) if row % 3 == 0 else None
        if orders is not None:
            expected = [home.orders(row, CAP, FLOOR) for home in alone]
            assert by_home(orders, homes) == expected
            seen += sum(len(mine) for mine in expected)
        community.live()
    assert seen > 40


quantiles = arrays(np.int64, (LEVELS, 3), elements=st.integers(-500, 500)).map(lambda q: np.sort(q, axis=0))
nets = arrays(np.int64, (3,), elements=st.integers(-300, 300))


@given(quantiles, nets, st.integers(-50, 400_000), st.integers(-9, 400_000))
def test_the_promises_of_the_staircase(quantile_wh: IntArray, net_wh: IntArray, floor: int, gap: int) -> None:
    told = np.array([True, True, False])
    view = view_of(net_wh, IntervalPrices(floor + gap, floor), quantiles_wh=quantile_wh, has_quantiles=told)
    orders = STAIRCASE.bid({}, view)
    for home, mine in enumerate(by_home(orders, 3)):
        net, stairs = int(net_wh[home]), bool(told[home]) and gap >= 8
        assert {side for side, _, _ in mine} <= {1 if net > 0 else -1}
        assert sum(energy for _, energy, _ in mine) <= abs(net)
        if not stairs:
            end = floor + gap if net > 0 else floor
            assert mine == ([(1 if net > 0 else -1, abs(net), end)] if net else [])
            continue
        limits = [limit for _, _, limit in mine]
        assert all(floor < limit < floor + gap for limit in limits), "nothing at the two ends"
        assert len(set(limits)) == len(limits), "one order a price level"
        assert sorted(limits, reverse=net > 0) == limits
        for level in range(LEVELS):
            # What is bought at a price or above is the quantile there, on the forecast's side and at most it.
            price = floor + gap * (level + 1) // 8
            side = 1 if net > 0 else -1
            ordered = sum(energy for _, energy, limit in mine if side * (limit - price) >= 0)
            assert ordered == min(max(side * int(quantile_wh[LEVELS - 1 - level, home]), 0), abs(net))


def street(columns: slice, **more: object) -> Community:
    """Four homes, two of them with a battery, with 31 days of history by the hour."""
    imported, exported = habits(3, 33 * 24, 4, 24)
    rules = AgentRules(
        minutes=60,
        gate_closure_minutes=60,
        strategy="staircase",
        forecast_days=2,
        forecaster="same_hour_mean",
    )
    members = np.arange(4)[columns]
    batteries = [BATTERY if home % 2 else None for home in range(4)][columns]
    return homes_of(
        imported[:, columns],
        exported[:, columns],
        batteries,
        rules,
        31 * 24,
        members=members,
        zone="Europe/Berlin",
        **more,
    )


def day_of(community: Community, steps: int) -> list[list[tuple[int, ...]]]:
    seen = []
    for _ in range(steps):
        orders = community.bids(PRICES)
        community.live()
        columns = orders.home, orders.side, orders.energy_wh, orders.limit_micro_per_kwh
        seen.append(list(zip(*(column.tolist() for column in columns), strict=True)))
    return seen


def test_a_home_alone_orders_the_same_stairs_as_among_others() -> None:
    together = day_of(street(slice(None)), 24)
    for home in range(4):
        alone = day_of(street(slice(home, home + 1)), 24)
        assert alone == [[row for row in rows if row[0] == home] for rows in together]
    assert max(len(list(mine)) for rows in together for _, mine in groupby(rows, lambda row: row[0])) > 4


def test_a_resumed_run_orders_the_same_stairs_without_a_word_in_its_checkpoint() -> None:
    straight = street(slice(None))
    day_of(straight, 17)
    saved = json.loads(json.dumps(straight.snapshot()))
    assert saved["strategies"] == {"staircase": {}}
    resumed = street(slice(None))
    resumed.restore(saved)
    assert day_of(resumed, 20) == day_of(straight, 20)


def test_what_is_metered_after_gate_closure_moves_no_stair() -> None:
    imported, exported = habits(3, 33 * 24, 4, 24)
    rules = AgentRules(
        minutes=60,
        gate_closure_minutes=120,
        strategy="staircase",
        forecast_days=2,
        forecaster="same_hour_mean",
    )
    later = imported.copy()
    later[31 * 24 + 10 - rules.lead :] += 555
    seen = [day_of(homes_of(a, exported, None, rules, 31 * 24), 11) for a in (imported, later)]
    assert seen[0] == seen[1]


def test_homes_without_two_weeks_order_their_mean_once_and_that_is_said() -> None:
    imported, exported = habits(3, 20 * 24, 2, 24)
    valid = np.ones(imported.shape, dtype=np.bool_)
    valid[: 4 * 24, 1] = False  # the forecast needs a day, the run begins on the 17th
    rules = AgentRules(minutes=60, gate_closure_minutes=0, strategy="staircase", forecaster="same_hour_mean")
    homes = homes_of(imported, exported, rules=rules, first=16 * 24, valid=valid)
    orders = by_home(homes.bids(PRICES), 2)
    assert len(orders[0]) > 1
    assert [limit for _, _, limit in orders[1]] in ([CAP], [FLOOR])
    (note,) = homes.notes()
    assert note.startswith("1 of 2 homes that bid by 'staircase' have forecasts of less than two weeks")
    day_of(homes, 3 * 24)
    assert homes.notes() == (note,), "it tells of the start, whenever it is asked"
    assert len(by_home(homes.bids(PRICES), 2)[1]) > 1, "two weeks are full now"
    assert (
        homes_of(
            imported,
            exported,
            rules=AgentRules(strategy="truthful", minutes=60, forecaster="same_hour_mean"),
            first=0,
        ).notes()
        == ()
    )


def test_with_the_true_future_a_home_orders_all_on_the_best_step_for_others() -> None:
    imported, exported = habits(3, 3 * 24, 3, 24)
    rules = AgentRules(minutes=60, strategy="staircase", forecaster="perfect_foresight")
    homes = homes_of(imported, exported, rules=rules, first=0)
    net = (imported - exported)[0].tolist()
    step = (CAP - FLOOR) // 8
    assert by_home(homes.bids(PRICES), 3) == [
        [(1, wh, CAP - step)] if wh > 0 else [(-1, -wh, FLOOR + step)] for wh in net
    ]
    assert homes.notes() == ()


def test_quantiles_that_a_forecaster_states_are_used_as_they_are() -> None:
    def predict(model: object, horizon: object) -> Forecast:
        wh = np.array([[[60, -300]], [[100, -200]], [[260, -120]]])
        return Forecast((200_000, 500_000, 900_000), np.repeat(wh, 2, axis=1))

    FORECASTERS.register(Forecaster("told", lambda known: 1, predict, "a test"))
    try:
        rules = AgentRules(strategy="staircase", forecaster="told")
        homes = homes_of(*habits(1, 200, 2, 96), rules=rules, first=5)
        buys, sells = by_home(homes.bids(PRICES), 2)
        assert homes.notes() == ()
    finally:
        FORECASTERS.forget("told")
    step = (CAP - FLOOR) // 8
    # 60 up to the level of .2, then 40 Wh more over .3; all of it at .5, which the forecast caps.
    assert buys == [
        (1, 60, CAP - step),
        (1, 6, CAP - 2 * step),
        (1, 17, CAP - 3 * step),
        (1, 17, CAP - 4 * step),
    ]
    # 80 Wh over .4 above the median; 120 at the level of .9, so 125 at .875.
    assert sells == [
        (-1, 125, FLOOR + step),
        (-1, 25, FLOOR + 2 * step),
        (-1, 25, FLOOR + 3 * step),
        (-1, 25, FLOOR + 4 * step),
    ]


@pytest.mark.parametrize("levels", [(0.1, 0.5), (500_000, 500_000), (900_000, 100_000), (0,), (1_000_000,)])
def test_levels_that_are_no_parts_per_million_are_refused(levels: tuple[int, ...]) -> None:
    with pytest.raises(
        InvalidLevels, match=r"'odd' has the levels .* whole parts per million between 0 and 1000000"
    ):
        Strategy("odd", STAIRCASE.bid, "a test", quantiles_ppm=levels)


def test_limits_for_metered_quantities_are_the_outside_prices() -> None:
    buy, sell = street(slice(None)).limits(PRICES)
    assert (buy.tolist(), sell.tolist()) == ([CAP] * 4, [FLOOR] * 4)
