"""Strategies that react: between rounds, to own results, and to nothing but their own row and what is public."""

from __future__ import annotations

import json

import numpy as np
import pytest

from agents.bidders import Bidders, Round, grouped
from agents.bidding import STRATEGIES, Orders, Outcome, OwnResults, Quotes, View
from agents.bidding.gd import _best
from agents.bidding.modified_roth_erev import learn_own as modified
from agents.bidding.roth_erev import learn_own as plain
from agents.reinforcement import BUY, SELL
from agents.rules import AgentRules
from agents.state import from_json, to_json
from market.clearing import PriceInterval
from market.random import random_words
from market.rounds import Tape
from market.settlement.tariff import IntervalPrices
from market.units import IntArray
from tests.kits.community_kit import view_of

PRICES = IntervalPrices(300_000, 100_000)
HOMES = np.arange(7)
REACTING = [name for name, one in STRATEGIES.all().items() if one.learns and one.learn is None]
ROUNDS = 3


def rules(name: str, rounds: int = ROUNDS) -> AgentRules:
    return AgentRules(strategy=name, rounds=rounds, seed=5)


def bidders(name: str, homes: IntArray = HOMES) -> Bidders:
    (one,) = grouped([name] * len(homes), homes, rules(name))
    return one


def view(homes: IntArray, day: int) -> View:
    """What these homes see at the start of a day; every second sells."""
    plan = np.where(HOMES % 2, -1, 1) * (100 + 10 * HOMES)
    made = view_of(plan[homes], PRICES, random_words(5, day, homes), rounds=ROUNDS, start_s=day * 3_600)
    return View(
        **{name: getattr(made, name) for name in made.__slots__ if name != "homes"} | {"homes": homes}
    )


def tape(number: int, seed: int) -> Tape:
    """A public record of so many rounds; made up, and the same for all."""
    draw, n = np.random.default_rng(seed), 6 * number
    side = np.where(draw.random(n) < 0.5, 1, -1).astype(np.int8)
    limit, taken = draw.integers(100_000, 300_000, n), draw.random(n) < 0.6
    return Tape(
        np.repeat(np.arange(number), 6),
        side,
        np.full(n, 100),
        limit,
        np.where(taken, 100, 0),
        np.where(taken, limit, 0),
        taken & (draw.random(n) < 0.5),
    )


def walk(name: str, homes: IntArray, days: int = 3, *, saved: bool = False) -> list[list[int]]:
    """Limits and energies of homes over some days of three rounds, by day and round."""
    group, found = bidders(name, homes), []
    for day in range(days):
        if saved:
            group.state = from_json(json.loads(json.dumps(to_json(group.state))), len(homes))
        ordered = [group.order(view(homes, day))]
        for number in range(1, ROUNDS + 1):
            bought = (np.where(HOMES % 2, -1, 1) * 10 * number)[homes]
            opened = Round(number, tape(number, 100 + day), bought)
            if number < ROUNDS:
                ordered.append(group.order_again(opened))
        group.see_the_end(opened)
        if group.strategy.learn_own is not None:
            group.keep(group.strategy.learn_own(group.state, results(homes, day)))
        for orders in ordered:
            found.append([*orders.limit_micro_per_kwh.tolist(), *orders.energy_wh.tolist()])
    return found


def results(homes: IntArray, day: int) -> OwnResults:
    sells = homes % 2 == 1
    got, price = np.full(len(homes), 30), 150_000 + 10_000 * day
    return OwnResults(
        start_s=day * 3_600,
        bought_wh=np.where(sells, 0, got),
        sold_wh=np.where(sells, got, 0),
        payment_nano=np.where(sells, -1, 1) * got * price,
        price=PriceInterval(price, price, price),
    )


@pytest.mark.parametrize("name", REACTING)
def test_a_home_reacts_alone_as_among_others(name: str) -> None:
    together = walk(name, HOMES)
    for home in HOMES.tolist():
        alone = walk(name, HOMES[home : home + 1])
        for mine, all_of_them in zip(alone, together, strict=True):
            assert mine == [all_of_them[home], all_of_them[len(HOMES) + home]]


@pytest.mark.parametrize("name", REACTING)
def test_a_checkpoint_keeps_all_that_was_learned(name: str) -> None:
    assert walk(name, HOMES, saved=True) == walk(name, HOMES)


@pytest.mark.parametrize("name", REACTING)
def test_no_home_bids_beyond_its_worth(name: str) -> None:
    for limits in walk(name, HOMES, days=6):
        assert all(100_000 <= limit <= 300_000 for limit in limits[: len(HOMES)])


@pytest.mark.parametrize("name", sorted(set(REACTING) - {"newsvendor", "steered"}))
def test_what_happened_changes_what_is_ordered(name: str) -> None:
    """Were `look` and `learn_own` without effect, the second day's limits would be those of a fresh start.

    `steered` remembers prices for who decides for it, and decides nothing itself.
    """
    fresh = bidders(name).order(view(HOMES, 1)).limit_micro_per_kwh.tolist()
    later = [walk(name, HOMES, days=8)[ROUNDS * day][: len(HOMES)] for day in range(1, 8)]
    assert any(limits != fresh for limits in later)


def test_of_a_round_the_rest_of_the_plan_is_ordered() -> None:
    group = bidders("zi_c")
    plan = group.order(view(HOMES, 0)).energy_wh
    bought = np.where(HOMES % 2, -1, 1) * np.arange(7)
    again = group.order_again(Round(1, tape(1, 1), bought))
    assert (plan - again.energy_wh).tolist() == np.arange(7).tolist()
    third = group.order_again(Round(2, tape(2, 1), 2 * bought))
    assert (plan - third.energy_wh).tolist() == (2 * np.arange(7)).tolist()
    assert again.limit_micro_per_kwh.tolist() != third.limit_micro_per_kwh.tolist()  # drawn anew


def test_the_ramp_ends_at_the_worth_of_energy() -> None:
    ramp = STRATEGIES.get("linear_ramp")
    limits = [
        ramp.bid({}, view_of(np.array([1, -1]), PRICES, round=r, rounds=5)).limit_micro_per_kwh.tolist()
        for r in range(5)
    ]
    assert limits[0] == [100_000, 300_000]
    assert limits[2] == [200_000, 200_000]
    assert limits[4] == [300_000, 100_000]


def shouted(side: int, price: int, *, took: bool) -> Tape:
    """One shout."""
    one = np.array([price])
    return Tape(
        np.array([0]),
        np.array([side], dtype=np.int8),
        np.array([100]),
        one,
        np.array([100 * took]),
        one * took,
        np.array([took]),
    )


@pytest.mark.parametrize(
    ("side", "price", "took", "buyer", "seller"),
    [
        (1, 150_000, True, -1, -1),  # a cheap bid traded: the buyer pays less, the seller must ask less
        (-1, 250_000, True, 1, 1),  # an offer traded: the buyer must pay more, the seller gets more
        (1, 250_000, True, 0, 1),  # a bid traded above what the buyer would pay: bids of its side are no news
        (1, 150_000, False, 0, 0),  # a bid that is worse than the buyer's own failed
        (1, 250_000, False, 1, 0),  # a better bid failed: the buyer must do better
        (-1, 150_000, False, 0, -1),  # a better offer failed: so must the seller
    ],
)
def test_zip_moves_its_price_as_its_source_says(
    side: int, price: int, took: bool, buyer: int, seller: int
) -> None:
    group = bidders("zip", np.arange(2))
    margins = {"buy_margin": np.full(2, 0.5), "sell_margin": np.full(2, 0.4)}  # they bid 200,000, ask 180,000
    group.keep({**group.state, **margins})
    seen = view_of(np.array([100, -100]), PRICES, random_words(5, 1, np.arange(2)), rounds=2)
    before = group.order(seen).limit_micro_per_kwh
    assert before.tolist() == [200_000, 180_000]
    opened = Round(1, shouted(side, price, took=took), np.zeros(2, dtype=np.int64))
    after = group.order_again(opened).limit_micro_per_kwh
    assert np.sign(after - before).tolist() == [buyer, seller]


def test_zip_goes_towards_the_price_of_a_market_of_one_round() -> None:
    (group,) = grouped(["zip"] * 2, np.arange(2), rules("zip", rounds=1))
    words = random_words(5, 1, np.arange(2))
    gaps = []
    for _ in range(30):
        limits = group.order(view_of(np.array([100, -100]), PRICES, words)).limit_micro_per_kwh
        gaps.append(int(limits[1] - limits[0]))
        got = np.full(2, 100 * (gaps[-1] <= 0))
        payment = got * 200_000 * np.array([1, -1])
        price = PriceInterval(200_000, 200_000, 200_000)
        own = OwnResults(
            start_s=0, bought_wh=got * [1, 0], sold_wh=got * [0, 1], payment_nano=payment, price=price
        )
        learn = group.strategy.learn_own
        assert learn is not None
        group.keep(learn(group.state, own))
    assert abs(gaps[-1]) < 12_000
    assert limits.tolist() == pytest.approx([200_000, 200_000], abs=10_000)


def test_gd_weighs_gain_against_how_often_such_limits_were_taken() -> None:
    """Bids of 150 were always taken, bids of 140 never: a buyer bids 150, whatever it could afford."""
    limit, taken = np.array([150_000] * 5 + [140_000] * 5), np.arange(10) < 5
    worth = np.array([300_000, 200_000, 140_000])
    best = _best(worth, 1, limit, np.ones(10, dtype=np.int64), taken, 100_000, 300_000)
    assert best[:2].tolist() == [150_000, 150_000]
    assert best[2] <= 140_000
    # Turned round: offers of 250 were taken, those of 260 not.
    sells = _best(
        np.array([100_000]), -1, 400_000 - limit, -np.ones(10, dtype=np.int64), taken, 100_000, 300_000
    )
    assert sells.tolist() == [250_000]


def scored(first: float, step: int) -> dict[str, np.ndarray]:
    """Two homes that chose the same step for 100 Wh worth 200,000, one bought and one sold."""
    one = np.full((2, 30), first)
    return {
        BUY: one,
        SELL: one,
        "step": np.full(2, step),
        "plan_wh": np.array([100, -100]),
        "worth": np.array([300_000, 100_000]),
        "span": np.full(2, 200_000),
    }


def test_roth_erev_by_hand() -> None:
    """Both gain half of the most: 100 Wh at 200,000 against 300,000 and 100,000."""
    got = OwnResults(
        start_s=0,
        bought_wh=np.array([100, 0]),
        sold_wh=np.array([0, 100]),
        payment_nano=np.array([1, -1]) * 100 * 200_000,
        price=None,
    )
    for learn, chosen, other in (
        (plain, 0.9 * 0.3 + 0.8 * 0.5, 0.9 * 0.3 + 0.2 / 29 * 0.5),
        (modified, 0.9 * 0.3 + 0.8 * 0.5, 0.9 * 0.3 + 0.2 / 29 * 0.3),
    ):
        state = learn(scored(0.3, 7), got)
        for home, name in ((0, BUY), (1, SELL)):
            assert state[name][home, 7] == pytest.approx(chosen)
            assert state[name][home, 8] == pytest.approx(other)
        assert state[SELL][0].tolist() == [0.3] * 30  # buying and selling are learned apart


def test_the_shader_learns_what_pays() -> None:
    """All it orders at half way is accepted, nothing beyond: half way pays most."""
    (group,) = grouped(["shader"] * 50, np.arange(50), rules("shader", rounds=1))
    learn = group.strategy.learn_own
    assert learn is not None
    for day in range(150):
        words = random_words(5, day, np.arange(50))
        limit = group.order(view_of(np.full(50, 100), PRICES, words)).limit_micro_per_kwh
        got = np.where(limit >= 200_000, 100, 0)
        nothing = np.zeros(50, dtype=np.int64)
        group.keep(
            learn(
                group.state,
                OwnResults(start_s=0, bought_wh=got, sold_wh=nothing, payment_nano=got * limit, price=None),
            )
        )
    assert (limit == 200_000).mean() > 0.7


def test_a_best_response_takes_all_that_the_others_leave() -> None:
    """One seller asks 120, one buyer bids up to 300: at the middle price the buyer does best just above 120."""
    strategy = STRATEGIES.get("best_response")
    (group,) = grouped(["best_response"], np.arange(1), rules("best_response", rounds=1))
    order = group.order(view_of(np.array([100]), PRICES, random_words(5, 1, np.arange(1))))
    assert order.limit_micro_per_kwh.tolist() == [300_000]
    both = (np.array([1, -1], dtype=np.int8), np.full(2, 100), np.array([300_000, 120_000]))
    outcome = Outcome(
        start_s=0,
        orders=Orders(np.array([0]), *(column[:1] for column in both)),
        accepted_wh=np.array([100]),
        payment_nano=np.array([100 * 210_000]),
        price=None,
        quotes=Quotes(*both, np.full(2, 100)),
    )
    assert strategy.learn is not None
    group.keep(strategy.learn(group.state, outcome))
    again = group.order(view_of(np.array([100]), PRICES, random_words(5, 2, np.arange(1))))
    assert again.limit_micro_per_kwh.tolist() == [125_000]  # the lowest of its nine limits that still trades


def test_the_newsvendor_orders_the_quantile_of_the_expected_price() -> None:
    strategy = STRATEGIES.get("newsvendor")
    state = strategy.start(np.arange(2), rules("newsvendor"))
    levels = np.arange(1, 16)[:, None] * np.array([100, 10])
    seen = view_of(np.array([800, 80]), PRICES, quantiles_wh=levels, has_quantiles=np.array([True, False]))
    assert strategy.bid(state, seen).energy_wh.tolist() == [800, 80]  # nothing known: the median
    assert strategy.learn_own is not None
    cheap = OwnResults(
        start_s=0,
        bought_wh=np.zeros(2, dtype=np.int64),
        sold_wh=np.zeros(2, dtype=np.int64),
        payment_nano=np.zeros(2, dtype=np.int64),
        price=PriceInterval(125_000, 125_000, 125_000),
    )
    learned = strategy.learn_own(state, cheap)
    assert strategy.bid(learned, seen).energy_wh.tolist() == [1_400, 80]  # 7/8 of all outcomes lie below
