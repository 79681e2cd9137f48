"""Agents: no look-ahead, batteries that obey physics, a home alone equals the home among others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import bidding, forecast
from agents.community import AgentRules, Community
from agents.control.self_consumption import Batteries, step
from agents.errors import BatteryOutOfRange, UnknownChoice
from data.readings import BatterySpec
from market.random import lots_of, whole_between
from market.settlement.tariff import IntervalPrices
from market.units import IntArray

PRICES = IntervalPrices(300_000, 80_000, 10_000, 30_000)
NO_LOTS = np.zeros(3, dtype=np.uint64)
DAY = 96
BATTERY = BatterySpec(5_000, 3_000, 2_500, 950_000, 920_000)


def registers(seed: int, days: int, homes: int) -> tuple[IntArray, IntArray]:
    """Random homes, some of them in surplus at noon."""
    draw = np.random.default_rng(seed)
    net = draw.integers(-900, 900, (days * DAY, homes))
    return np.maximum(net, 0), np.maximum(-net, 0)


def community(seed: int, homes: int, rules: AgentRules, batteries: bool = True) -> Community:
    imported, exported = registers(seed, 5, homes)
    specs = [BATTERY if batteries and i % 2 else None for i in range(homes)]
    return Community(imported, exported, specs, np.full(homes, 1_000), 2 * DAY, rules)


def walk(homes: Community, steps: int) -> list[list[int]]:
    seen = []
    for _ in range(steps):
        bids = homes.bids(PRICES)
        imported, exported = homes.live()
        seen.append(
            [
                *(bids.side * bids.energy_wh).tolist(),
                *imported.tolist(),
                *exported.tolist(),
                *homes.stored_wh.tolist(),
            ]
        )
    return seen


@given(
    st.lists(st.integers(-4_000, 4_000), min_size=1, max_size=50),
    st.integers(1, 20_000),
    st.integers(1, 12_000),
    st.integers(1, 12_000),
    st.integers(500_000, 1_000_000),
    st.integers(500_000, 1_000_000),
)
def test_a_battery_keeps_its_limits_and_creates_no_energy(
    net: list[int], capacity: int, charge: int, discharge: int, charge_ppm: int, discharge_ppm: int
) -> None:
    spec = BatterySpec(capacity, charge, discharge, charge_ppm, discharge_ppm)
    battery = Batteries.from_specs([spec], 15)
    stored = np.zeros(1, dtype=np.int64)
    given_wh = taken_wh = 0
    for value in net:
        moved, stored = step(np.array([value]), stored, battery)
        energy = int(moved[0])
        assert 0 <= int(stored[0]) <= capacity * 1_000_000
        assert -(discharge // 4) <= energy <= charge // 4
        assert energy * value <= 0, "it charges only from surplus and discharges only into a deficit"
        assert abs(energy) <= abs(value), "it never sells or buys for the battery's own sake"
        taken_wh, given_wh = taken_wh + max(energy, 0), given_wh + max(-energy, 0)
    assert given_wh * 10**12 <= taken_wh * charge_ppm * discharge_ppm


def test_a_full_cycle_loses_exactly_the_efficiencies() -> None:
    battery = Batteries.from_specs([BatterySpec(10_000, 40_000, 40_000, 900_000, 800_000)], 15)
    moved, stored = step(np.array([-1_000]), np.zeros(1, dtype=np.int64), battery)
    assert (moved.tolist(), stored.tolist()) == ([1_000], [900_000_000])
    moved, stored = step(np.array([5_000]), stored, battery)
    assert (moved.tolist(), stored.tolist()) == ([-720], [0])


@pytest.mark.parametrize(
    "spec",
    [BatterySpec(2_000_000, 1, 1, 1, 1), BatterySpec(1, 1, 1, 1_000_000, 1_000_000)],
    ids=["too large", "fine"],
)
def test_only_a_battery_beyond_household_size_is_refused(spec: BatterySpec) -> None:
    if spec.capacity_wh > 1_000_000:
        with pytest.raises(BatteryOutOfRange, match="2000000 Wh"):
            Batteries.from_specs([None, spec], 15)
    else:
        assert Batteries.from_specs([spec], 15).any


@pytest.mark.parametrize("name", sorted(forecast.registered()))
def test_a_forecast_has_the_asked_shape_and_knows_when_it_knows_nothing(name: str) -> None:
    predict = forecast.get(name).forecast
    history = registers(1, 3, 4)[0]
    result = predict(history, 3, DAY, 7)
    assert result is not None
    assert result.shape == (3, 4)
    assert predict(history[:0], 3, DAY, 7) is None


def test_the_same_hour_mean_is_the_mean_by_hand() -> None:
    history = np.arange(3 * DAY, dtype=np.int64)[:, None]
    result = forecast.get("same_hour_mean").forecast(history, 2, DAY, 2)
    assert result is not None
    assert result[:, 0].tolist() == [DAY + DAY // 2, DAY + DAY // 2 + 1]


@pytest.mark.parametrize("gate_closure_minutes", [0, 15, 45])
@pytest.mark.parametrize("name", sorted(forecast.registered()))
def test_orders_do_not_change_when_the_future_does(name: str, gate_closure_minutes: int) -> None:
    """Walk-forward: whatever happens after gate closure, the orders of the interval are the same."""
    rules = AgentRules(forecaster=name, gate_closure_minutes=gate_closure_minutes)
    imported, exported = registers(3, 5, 3)
    row = 3 * DAY + 17
    known = row - rules.lead
    other_imported, other_exported = imported.copy(), exported.copy()
    other_imported[known:] += 777
    specs = [None, BATTERY, BATTERY]
    orders = []
    for a, b in ((imported, exported), (other_imported, other_exported)):
        homes = Community(a, b, specs, np.zeros(3, dtype=np.int64), 2 * DAY, rules)
        for _ in range(row - 2 * DAY):
            homes.live()
        bids = homes.bids(PRICES)
        orders.append((bids.side * bids.energy_wh).tolist())
    assert orders[0] == orders[1]


def test_perfect_foresight_orders_exactly_what_the_meter_will_say() -> None:
    rules = AgentRules(forecaster=forecast.PERFECT_FORESIGHT)
    homes = community(5, 6, rules)
    for _ in range(DAY):
        bids = homes.bids(PRICES)
        imported, exported = homes.live()
        assert (bids.side * bids.energy_wh).tolist() == (imported - exported).tolist()


def test_a_home_alone_gives_the_same_numbers_as_among_others() -> None:
    rules = AgentRules()
    together = community(7, 5, rules)
    expected = walk(together, 40)
    imported, exported = registers(7, 5, 5)
    for h in range(5):
        spec = BATTERY if h % 2 else None
        alone = Community(
            imported[:, h : h + 1], exported[:, h : h + 1], [spec], np.full(1, 1_000), 2 * DAY, rules
        )
        assert walk(alone, 40) == [[row[h], row[5 + h], row[10 + h], row[15 + h]] for row in expected]


both_registers = st.lists(st.tuples(st.integers(0, 3_000), st.integers(0, 3_000)), min_size=1, max_size=30)


@given(both_registers, st.integers(1, 9_000), st.integers(1, 12_000))
def test_a_battery_changes_the_registers_by_what_it_charged_or_discharged_and_nothing_else(
    readings: list[tuple[int, int]], capacity_wh: int, power_w: int
) -> None:
    """Where a meter ran both ways in one interval, the part that the battery did not move stays on both registers."""
    imported, exported = (np.array(column, dtype=np.int64)[:, None] for column in zip(*readings, strict=True))
    spec = BatterySpec(capacity_wh, power_w, power_w, 1_000_000, 1_000_000)
    homes = Community(imported, exported, [spec], np.array([capacity_wh // 2]), 0, AgentRules())
    stored = capacity_wh // 2
    for wh_in, wh_out in readings:
        now_in, now_out = (int(register[0]) for register in homes.live())
        discharged, charged = wh_in - now_in, wh_out - now_out
        assert min(discharged, charged) == 0, "never both in one interval"
        assert max(discharged, charged) <= min(abs(wh_in - wh_out), power_w // 4)
        assert int(homes.stored_wh[0]) - stored == charged - discharged, (
            "without losses the content says it all"
        )
        assert min(now_in, now_out) >= 0
        stored = int(homes.stored_wh[0])


def test_a_battery_of_one_wh_changes_at_most_one_wh() -> None:
    imported, exported = np.array([[900], [200]]), np.array([[400], [700]])
    spec = BatterySpec(1, 10_000, 10_000, 1_000_000, 1_000_000)
    homes = Community(imported, exported, [spec], np.array([1]), 0, AgentRules())
    assert [[int(x[0]) for x in homes.live()] for _ in range(2)] == [[899, 400], [200, 699]]


@pytest.mark.parametrize("gate_closure_minutes", [15, 720, 1_440])
def test_homes_trade_however_early_the_gate_closes(gate_closure_minutes: int) -> None:
    """A gate that closes a day ahead asks for a day and an interval; the forecast repeats after its day."""
    rules = AgentRules(forecast_days=1, gate_closure_minutes=gate_closure_minutes)
    imported, exported = registers(2, 3, 4)
    homes = Community(imported, exported, [None] * 4, np.zeros(4, dtype=np.int64), 2 * DAY, rules)
    net = (imported - exported)[:, 0]
    known = 2 * DAY - rules.lead
    expected = homes.expected_net_wh()
    assert expected is not None
    # The same time of day, in the newest day of which every reading is known: two days ago for the last case.
    assert int(expected[0]) == int(net[known - DAY + rules.lead % DAY])
    assert homes.bids(PRICES).energy_wh.all()


def test_a_restored_community_goes_on_as_if_never_stopped() -> None:
    rules = AgentRules(gate_closure_minutes=30)
    straight = community(9, 4, rules)
    walk(straight, 30)
    saved, row = straight.snapshot(), straight.next_row
    resumed = community(9, 4, rules)
    resumed.restore(row, saved)
    assert walk(resumed, 20) == walk(straight, 20)


def test_without_a_day_of_history_nobody_bids() -> None:
    imported, exported = registers(1, 2, 3)
    homes = Community(imported, exported, [None] * 3, np.zeros(3, dtype=np.int64), 0, AgentRules())
    assert not homes.bids(PRICES).energy_wh.any()


def test_lots_belong_to_seed_interval_and_home_and_to_nothing_else() -> None:
    imported, exported = registers(3, 5, 5)
    nothing = np.zeros(5, dtype=np.int64)

    def limits(columns: list[int], seed: int = 4, start_s: int = 900) -> IntArray:
        rules = AgentRules(strategy="zi_c", seed=seed)
        members = np.array(columns)
        specs = [None] * len(columns)
        homes = Community(
            imported[:, columns],
            exported[:, columns],
            specs,
            nothing[columns],
            2 * DAY,
            rules,
            members,
            start_s,
        )
        drawn = []
        for _ in range(20):
            drawn.append(homes.bids(PRICES).limit_micro_per_kwh)
            homes.live()
        return np.array(drawn)

    together = limits([0, 1, 2, 3, 4])
    assert (limits([3]) == together[:, [3]]).all()
    assert (limits([4, 1]) == together[:, [4, 1]]).all()
    assert (limits([0, 1, 2, 3, 4], start_s=900 * 3)[:18] == together[2:]).all()
    assert len(np.unique(together)) > 90
    assert (limits([0, 1, 2, 3, 4], seed=5) != together).mean() > 0.9


def test_limits_by_lot_cover_the_gap_evenly_and_never_lose() -> None:
    many = np.full(20_000, 100)
    lots = lots_of(1, 900, np.arange(20_000))
    limit = bidding.get("zi_c").bid(many, PRICES, lots).limit_micro_per_kwh
    assert limit.min() >= 80_000
    assert limit.max() <= 320_000
    counts = np.histogram(limit, bins=12, range=(80_000, 320_000))[0]
    # 1,667 expected a bin, with a standard deviation of 39: five of them.
    assert np.abs(counts - 20_000 / 12).max() < 200
    narrow = IntervalPrices(100_000, 200_000)
    assert bidding.get("zi_c").bid(np.array([5, -5]), narrow, lots[:2]).limit_micro_per_kwh.tolist() == [
        100_000,
        200_000,
    ]


@given(st.integers(-50, 50), st.integers(0, 100), st.integers(0, 2**64 - 1))
def test_a_whole_number_by_lot_lies_between_its_bounds(low: int, more: int, word: int) -> None:
    words = np.array([word, 0, 2**64 - 1], dtype=np.uint64)
    drawn = whole_between(words, np.full(3, low), np.full(3, low + more)).tolist()
    assert low <= drawn[0] <= low + more
    assert drawn[1:] == [low, low + more]


def test_truthful_limits_are_the_outside_prices() -> None:
    bids = bidding.get("truthful").bid(np.array([500, -300, 0]), PRICES, NO_LOTS)
    assert bids.side.tolist()[:2] == [1, -1]
    assert bids.energy_wh.tolist() == [500, 300, 0]
    # A buyer compares 0.30 + 0.03 outside with the local price + 0.01.
    assert bids.limit_micro_per_kwh.tolist()[:2] == [320_000, 80_000]


@pytest.mark.parametrize(
    ("get", "typo", "right"),
    [
        (forecast.get, "same_hour_men", "same_hour_mean"),
        (forecast.get, "perfect_forsight", "perfect_foresight"),
        (bidding.get, "truthfull", "truthful"),
    ],
)
def test_a_misspelt_choice_names_the_nearest(get, typo: str, right: str) -> None:
    with pytest.raises(UnknownChoice, match=f"Did you mean '{right}'"):
        get(typo)
