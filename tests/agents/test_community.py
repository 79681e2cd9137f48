"""Communities: no look-ahead, a home alone equals the home among others, states that go on after a checkpoint."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import pytest

from agents.bidding import STRATEGIES, Orders, Outcome, OwnResults, Strategy, View
from agents.community import Community
from agents.control import CONTROLLERS, Controller, Planning
from agents.devices import DEVICES, Fleet, Moment
from agents.devices.battery import Batteries
from agents.errors import InvalidOrders, InvalidSnapshot
from agents.forecast import FORECASTERS, PERFECT_FORESIGHT, Forecast, Forecaster
from agents.neighbourhood import Neighbourhood
from agents.rules import AgentRules, Known
from agents.state import State, from_json, kept, to_json
from market.book import OrderBook
from market.clearing import Clearing, PriceInterval
from market.orders import MAX_ORDERS
from market.units import IntArray
from tests.kits.community_kit import (
    BATTERY,
    DAY,
    PRICES,
    TARIFF,
    community,
    homes_of,
    registers,
    signed,
    walk,
)


@pytest.mark.parametrize("gate_closure_minutes", [0, 15, 45])
@pytest.mark.parametrize("name", sorted(set(FORECASTERS.all()) - {PERFECT_FORESIGHT.name}))
def test_orders_do_not_change_when_the_future_does(name: str, gate_closure_minutes: int) -> None:
    """Walk-forward: whatever happens after gate closure, the orders of the interval are the same."""
    rules = AgentRules(strategy="truthful", forecaster=name, gate_closure_minutes=gate_closure_minutes)
    imported, exported = registers(3, 5, 3)
    row = 3 * DAY + 17
    known = row - rules.lead
    other_imported, other_exported = imported.copy(), exported.copy()
    other_imported[known:] += 777
    specs = [None, BATTERY, BATTERY]
    orders = []
    for a, b in ((imported, exported), (other_imported, other_exported)):
        homes = homes_of(a, b, specs, rules)
        for _ in range(row - 2 * DAY):
            homes.live()
        orders.append(signed(homes.bids(PRICES)))
    assert orders[0] == orders[1]


def test_perfect_foresight_orders_exactly_what_the_meter_will_say() -> None:
    rules = AgentRules(strategy="truthful", forecaster=PERFECT_FORESIGHT.name)
    homes = community(5, 6, rules)
    for _ in range(DAY):
        orders, meters = homes.bids(PRICES), homes.live()
        assert signed(orders) == (meters.import_wh - meters.export_wh).tolist()


def test_a_home_alone_gives_the_same_numbers_as_among_others() -> None:
    rules = AgentRules(strategy="truthful", forecaster="same_hour_mean")
    together = community(7, 5, rules)
    expected = walk(together, 40)
    imported, exported = registers(7, 5, 5)
    for h in range(5):
        spec = BATTERY if h % 2 else None
        alone = homes_of(imported[:, h : h + 1], exported[:, h : h + 1], [spec], rules)
        assert walk(alone, 40) == [[row[h], row[5 + h], row[10 + h], row[15 + h]] for row in expected]


@pytest.mark.parametrize("gate_closure_minutes", [15, 720, 1_440])
def test_homes_trade_however_early_the_gate_closes(gate_closure_minutes: int) -> None:
    """A gate that closes a day ahead asks for a day and an interval; the forecast repeats after its day."""
    rules = AgentRules(
        strategy="truthful",
        forecast_days=1,
        gate_closure_minutes=gate_closure_minutes,
        forecaster="same_hour_mean",
    )
    imported, exported = registers(2, 3, 4)
    homes = homes_of(imported, exported, rules=rules)
    net = (imported - exported)[:, 0]
    known = 2 * DAY - rules.lead
    expected = homes.expected_net_wh()
    assert expected is not None
    # The same time of day, in the newest day of which every reading is known: two days ago for the last case.
    assert int(expected[0]) == int(net[known - DAY + rules.lead % DAY])
    assert homes.bids(PRICES).energy_wh.all()


def test_a_restored_community_goes_on_as_if_never_stopped() -> None:
    rules = AgentRules(strategy="truthful", gate_closure_minutes=30, forecaster="same_hour_mean")
    straight = community(9, 4, rules)
    walk(straight, 30)
    saved = json.loads(json.dumps(straight.snapshot()))
    resumed = community(9, 4, rules)
    resumed.restore(saved)
    assert walk(resumed, 20) == walk(straight, 20)


def test_without_a_day_of_history_nobody_bids() -> None:
    imported, exported = registers(1, 2, 3)
    homes = homes_of(imported, exported, first=0)
    assert not homes.bids(PRICES).energy_wh.any()


def test_lots_belong_to_seed_interval_and_home_and_to_nothing_else() -> None:
    imported, exported = registers(3, 5, 5)

    def limits(columns: list[int], seed: int = 4, start_s: int = 900) -> IntArray:
        rules = AgentRules(strategy="zi_c", seed=seed, forecaster="same_hour_mean")
        mine = imported[:, columns], exported[:, columns]
        homes = homes_of(*mine, rules=rules, members=np.array(columns), start_s=start_s)
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


def test_states_go_to_json_and_back_exactly() -> None:
    state = {
        "whole": np.array([[2**62, -1], [0, 7]]),
        "part": np.array([[0.1, 1e-300], [-2.5e17, 0.0]]),
        "yes": np.array([True, False]),
        "none": np.zeros((2, 0)),
    }
    back = from_json(json.loads(json.dumps(to_json(state))), 2)
    assert back.keys() == state.keys()
    for name, column in state.items():
        assert back[name].dtype == column.dtype
        assert back[name].shape == column.shape
        assert back[name].tolist() == column.tolist()


@pytest.mark.parametrize(
    ("state", "phrase"),
    [
        (
            {"a": np.zeros(2), "b": np.zeros(3)},
            "column 'b' of a state has the shape (3,), and there are 2 homes",
        ),
        ({"a": np.zeros(())}, "column 'a' of a state has the shape (), and there are 2 homes"),
        ({"a": [1, 2]}, "column 'a' of a state must be an array of 64-bit numbers, not list"),
        ({"a": np.array(["x", "y"])}, "must be an array of 64-bit numbers, not <U1"),
        ({"a": np.array([None, 1])}, "must be an array of 64-bit numbers, not object"),
        ({"a": np.zeros(2, dtype=np.longdouble)}, f"not {np.dtype(np.longdouble)}"),
        ({7: np.zeros(2)}, "column 7 of a state"),
        (None, "a state must be a mapping of names to columns, not NoneType"),
    ],
)
def test_a_state_that_no_checkpoint_can_keep_is_refused(state: object, phrase: str) -> None:
    with pytest.raises(TypeError, match=re.escape(phrase)):
        kept(state, 2)


def test_a_state_cannot_be_changed_in_place_neither_before_nor_after_a_checkpoint() -> None:
    state = kept({"a": np.zeros(2)}, 2)
    for kept_one in (state, from_json(to_json(state), 2)):
        with pytest.raises(ValueError, match="read-only"):
            kept_one["a"] += 1


def counts(homes: IntArray, rules: AgentRules) -> dict[str, IntArray]:
    return {"received": np.zeros(len(homes), dtype=np.int64)}


def bid_more(state: State, view: View) -> Orders:
    """Two orders for each home in an even interval, none in an odd one; the second grows with what was accepted."""
    even = view.known.knowledge_s // 900 % 2 == 0
    home = np.repeat(np.arange(len(view.net_wh)), 2 if even else 0)
    more = state["received"][home] * (np.arange(len(home)) % 2)
    return Orders(home, np.where(view.homes[home] % 2, 1, -1).astype(np.int8), 100 + more, 100_000 + more)


def remember(state: State, outcome: Outcome) -> State:
    mine = np.bincount(outcome.orders.home, outcome.accepted_wh, len(state["received"])).astype(np.int64)
    return {"received": state["received"] + mine}


@pytest.fixture
def learner() -> Iterator[str]:
    """A strategy with two orders a home that learns from what is accepted."""
    STRATEGIES.register(
        Strategy("learner", bid_more, "a test", start=counts, learn=remember, several_orders=True)
    )
    yield "learner"
    STRATEGIES.forget("learner")


def market_day(homes: Community, steps: int, clear: Callable[[OrderBook], Clearing]) -> list[list[list[int]]]:
    """Orders of every interval as (home, signed energy, limit), with the market's answer received."""
    seen = []
    for _ in range(steps):
        orders = homes.bids(PRICES)
        homes.live()
        book = OrderBook.from_columns(
            orders.home,
            orders.side,
            orders.energy_wh,
            orders.limit_micro_per_kwh,
            sequence=np.arange(len(orders.home)),
        )
        homes.learn(book, clear(book))
        columns = orders.home.tolist(), signed(orders), orders.limit_micro_per_kwh.tolist()
        seen.append([list(row) for row in zip(*columns, strict=True)])
    return seen


def half_of_each(book: OrderBook) -> Clearing:
    """A market that accepts half of every order, whoever else is there."""
    return Clearing(book.energy_wh // 2, book.limit_micro_per_kwh, (None,), 0, 0)


def test_strategies_of_their_own_give_every_home_what_it_has_alone(learner: str) -> None:
    strategies = ["truthful", learner, "zi_c", learner, "truthful"]
    columns = registers(7, 5, 5)
    together = market_day(homes_of(*columns, strategies=strategies), 12, half_of_each)
    assert all(rows == sorted(rows, key=lambda row: row[0]) for rows in together)
    assert len({len(rows) for rows in together}) == 2
    for i, strategy in enumerate(strategies):
        mine = [column[:, i : i + 1] for column in columns]
        alone = market_day(homes_of(*mine, strategies=[strategy], members=np.array([i])), 12, half_of_each)
        assert alone == [[row for row in rows if row[0] == i] for rows in together]
    assert together[-2] != together[0], "it has learned"


@pytest.fixture
def self_taught() -> Iterator[str]:
    """A strategy that learns from its homes' own results; it bids as `learner` does."""

    def add(state: State, results: OwnResults) -> State:
        price = 0 if results.price is None else results.price.price
        own = (
            results.bought_wh + 2 * results.sold_wh + 3 * results.payment_nano + price + results.start_s % 11
        )
        return {"received": state["received"] + own}

    several = Strategy("self_taught", bid_more, "a test", start=counts, learn_own=add, several_orders=True)
    STRATEGIES.register(several)
    yield "self_taught"
    STRATEGIES.forget("self_taught")


def test_homes_learn_each_from_its_own_results_and_from_no_others(self_taught: str) -> None:
    strategies = [self_taught, "truthful", self_taught, "zi_c"]
    columns = registers(7, 5, 4)

    def learnt(homes: Community, rows: list[int]) -> list[int]:
        results = np.array([[10, 20, 30, 40], [1, 2, 3, 4], [-7, 8, -9, 10]])[:, rows]
        for i in range(2):
            bought, sold, paid = results * (i + 1)
            homes.learn_own(
                OwnResults(
                    start_s=900 * i,
                    bought_wh=bought,
                    sold_wh=sold,
                    payment_nano=paid,
                    price=PriceInterval(1, 3, 2) if i else None,
                )
            )
        values: list[int] = homes.snapshot()["strategies"][self_taught]["received"]["values"]
        return values

    together = homes_of(*columns, strategies=strategies)
    assert together.learns
    expected = [3 * (10 + 2 * 1 - 3 * 7) + 2 + 900 % 11, 3 * (30 + 2 * 3 - 3 * 9) + 2 + 900 % 11]
    assert learnt(together, [0, 1, 2, 3]) == expected
    for i, own in zip((0, 2), expected, strict=True):
        alone = homes_of(
            *[column[:, i : i + 1] for column in columns], strategies=[self_taught], members=np.array([i])
        )
        assert learnt(alone, [i]) == [own]


def test_what_was_learned_survives_a_checkpoint(learner: str) -> None:
    columns, strategies = registers(7, 5, 4), ["zi_c", learner, learner, "truthful"]
    straight = homes_of(*columns, strategies=strategies)
    market_day(straight, 9, half_of_each)
    saved = json.loads(json.dumps(straight.snapshot()))
    resumed = homes_of(*columns, strategies=strategies)
    resumed.restore(saved)
    assert market_day(resumed, 9, half_of_each) == market_day(straight, 9, half_of_each)


@pytest.mark.parametrize("where", ["strategies", "devices"])
def test_a_snapshot_whose_columns_do_not_fit_the_homes_is_refused(learner: str, where: str) -> None:
    columns = registers(7, 5, 2)
    homes = homes_of(*columns, strategies=[learner] * 2)
    saved = json.loads(json.dumps(homes.snapshot()))
    three = {"odd": {"type": "int64", "shape": [3], "values": [1, 2, 3]}}
    if where == "strategies":
        saved["strategies"][learner] |= three
    else:
        saved["devices"][0]["battery"] |= three
    with pytest.raises(
        InvalidSnapshot, match=r"column 'odd' of a state has the shape \(3,\), and there are 2 homes"
    ):
        homes.restore(saved)


def test_a_snapshot_of_communities_that_have_not_lived_together_is_refused() -> None:
    parts = [homes_of(*registers(7, 5, 2), members=np.array(members)) for members in ((0, 2), (1, 3))]
    homes = Neighbourhood(parts)
    saved = json.loads(json.dumps(homes.snapshot()))
    homes.restore(saved)
    parts[0].live()
    with pytest.raises(InvalidSnapshot, match="have not lived the same intervals"):
        homes.restore({"parts": [part.snapshot() for part in parts]})
    with pytest.raises(InvalidSnapshot, match="shorter"):
        homes.restore({"parts": saved["parts"][:1]})


def test_restored_columns_are_read_only(learner: str) -> None:
    homes = homes_of(*registers(7, 5, 2), strategies=[learner] * 2)
    homes.restore(json.loads(json.dumps(homes.snapshot())))
    (group,) = homes._groups
    assert group.state
    assert not any(column.flags.writeable for column in group.state.values())


def many(count: int) -> Orders:
    """So many orders of home 1, and two of 0 Wh, which are none."""
    energy_wh = np.array([5] * count + [0, 0])
    ones = np.ones(len(energy_wh), dtype=np.int64)
    return Orders(ones, ones.astype(np.int8), energy_wh, ones)


@pytest.mark.parametrize(
    ("orders", "phrase"),
    [
        (
            Orders(np.array([0, 0]), np.array([1, 1], dtype=np.int8), np.array([5, 5]), np.array([1, 2])),
            "several",
        ),
        (Orders(np.array([9]), np.array([1], dtype=np.int8), np.array([5]), np.array([1])), "not 0 to 2"),
        (
            Orders(np.array([0]), np.array([1], dtype=np.int8), np.array([5, 5]), np.array([1])),
            "1, 1, 2, 1 rows",
        ),
        (many(MAX_ORDERS + 1), "places 65 orders for one home; an interval takes at most 64"),
    ],
    ids=["undeclared", "no such home", "ragged", "too many"],
)
def test_orders_that_are_none_are_refused_with_the_name_of_the_strategy(orders: Orders, phrase: str) -> None:
    several = len(orders.home) > 2
    STRATEGIES.register(Strategy("broken", lambda state, view: orders, "a test", several_orders=several))
    try:
        with pytest.raises(InvalidOrders, match=f"'broken'.*{phrase}"):
            homes_of(*registers(1, 3, 3), strategies=["broken"] * 3).bids(PRICES)
    finally:
        STRATEGIES.forget("broken")


def test_a_home_may_place_as_many_orders_as_a_message_takes() -> None:
    STRATEGIES.register(Strategy("many", lambda state, view: many(MAX_ORDERS), "a test", several_orders=True))
    try:
        orders = homes_of(*registers(1, 3, 3), strategies=["many"] * 3).bids(PRICES)
    finally:
        STRATEGIES.forget("many")
    assert int((orders.energy_wh > 0).sum()) == MAX_ORDERS


def test_a_model_is_fitted_when_it_is_due_and_a_resumed_run_fits_it_from_the_same_readings() -> None:
    fitted: list[int] = []

    def fit(known: Known) -> IntArray:
        fitted.append(len(known.net_wh))
        return known.net_wh[-1:]

    forecaster = Forecaster(
        "last_value",
        fit,
        lambda model, horizon: Forecast.point(np.repeat(model, horizon.steps, axis=0)),
        "a test",
        fit_every_hours=1,
    )
    FORECASTERS.register(forecaster)
    try:
        rules = AgentRules(strategy="truthful", forecaster="last_value")
        straight = homes_of(*registers(5, 4, 2), rules=rules)
        walk(straight, 6)
        assert fitted == [2 * DAY - 1, 2 * DAY + 3]
        resumed = homes_of(*registers(5, 4, 2), rules=rules)
        resumed.restore(straight.snapshot())
        assert walk(resumed, 1) == walk(straight, 1)
        assert fitted[2:] == [2 * DAY + 3], "the straight run needs no new model, the resumed one the same"
    finally:
        FORECASTERS.forget("last_value")


def test_a_controller_plans_once_an_interval_whether_homes_bid_or_only_live() -> None:
    """It charges at full power by night, whatever the meter says; it plans for two hours ahead."""
    planned: list[int] = []

    def plan(state: State, planning: Planning) -> State:
        planned.append(planning.known.knowledge_s)
        assert planning.forecast is not None
        assert len(planning.forecast.median_wh) == planning.traded + 1 + 8
        assert list(planning.fleets) == ["battery"]
        return {"charge_wh": np.full(len(planning.homes), 300)}

    CONTROLLERS.register(
        Controller("always_charge", lambda state, *_: state["charge_wh"], "a test", plan=plan, hours_ahead=2)
    )
    try:
        rules = AgentRules(strategy="truthful", control="always_charge", forecaster="same_hour_mean")
        bidding, living = (homes_of(*registers(3, 4, 2), [None, BATTERY], rules) for _ in range(2))
        for _ in range(5):
            bidding.bids(PRICES)
            before = living.live()
            after = bidding.live()
            assert before.import_wh.tolist() == after.import_wh.tolist()
        assert len(planned) == 10
        assert int(after.columns["stored_wh"][1]) == 1_000 + 5 * 285
    finally:
        CONTROLLERS.forget("always_charge")


class SecondBatteries(Batteries):
    """Batteries whose column has another name."""

    @property
    def columns(self) -> tuple[str, ...]:
        return ("second_wh",)

    def read(self, state: State) -> Mapping[str, IntArray]:
        return {"second_wh": super().read(state)["stored_wh"]}


def test_no_controller_can_change_the_energy_that_it_is_given() -> None:
    """Neither when orders are planned nor when the interval is simulated, nor as the controller of a second device."""
    given: list[tuple[str, bool]] = []

    def command(plan: State, moment: Moment, fleet: Fleet, state: State, net_wh: IntArray) -> IntArray:
        given.append((fleet.columns[0], net_wh.flags.writeable))
        return np.zeros_like(net_wh)

    second = replace(DEVICES.get("battery"), name="second", in_data=None, fleet=SecondBatteries.from_specs)
    CONTROLLERS.register(Controller("looks", command, "a test"))
    DEVICES.register(second)
    try:
        imported, exported = registers(3, 4, 2)
        devices = {"battery": [None, BATTERY], "second": [BATTERY, BATTERY]}
        homes = Community(
            imported,
            exported,
            devices,
            2 * DAY,
            AgentRules(control="looks", forecaster="same_hour_mean"),
            TARIFF,
        )
        homes.bids(PRICES)
        homes.live()
    finally:
        CONTROLLERS.forget("looks")
        DEVICES.forget("second")
    assert {name for name, _ in given} == {"stored_wh", "second_wh"}
    assert len(given) > 4
    assert not any(writeable for _, writeable in given)
