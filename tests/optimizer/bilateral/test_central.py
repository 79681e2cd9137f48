"""The central optimum: by hand, against a second formulation, and under changes that must not matter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from optimizer.bilateral.central import Optimum, proven, solve
from optimizer.bilateral.forest import canonical_prices
from optimizer.bilateral.market import Agents, Market, bound, everybody, supporting
from optimizer.errors import Infeasible
from tests.kits.agents_kit import agents, interior_point, market, market_of, random_case
from tests.kits.sample_kit import sample_of, sampled
from tests.kits.sample_kit import some as some_of

KINDS: list[dict[str, Any]] = [
    {},
    {"prosumers": 0.3},
    {"prosumers": 1.0},
    {"must": 0.3},
    {"coarse": True},
    {"coarse": True, "prosumers": 0.4},
    {"degree": 4},
    {"degree": 3, "prosumers": 0.5},
]


def sold(some: Market, found: Optimum) -> dict[tuple[int, int], tuple[float, float]]:
    """By (seller, buyer): kWh, and the price at the seller plus what it adds."""
    trades = found.trades
    return {
        (int(some.seller[k]), int(some.buyer[k])): (
            float(quantity) / 1_000,
            float(trades.price[some.seller[k]] + some.seller_cost[k]),
        )
        for k, quantity in zip(trades.pair.tolist(), trades.quantity.tolist(), strict=True)
        if quantity > 1e-6
    }


def test_two_agents() -> None:
    """.1 + .1 q + .05 + .05 = .5 - .1 q: q = 1.5; the seller gets .25 + .05, the buyer's value .35 less its .05."""
    some = market(agents((0.1, 0.1, 0, 9), (0.1, 0.5, -9, 0)), {(0, 1): (0.05, 0.05)})
    found = solve(some)
    assert sold(some, found)[0, 1] == pytest.approx((1.5, 0.30))
    assert found.objective / 1_000 == pytest.approx(-0.225)
    assert found.gap < 1e-12


def test_two_agents_at_their_limits_meet_in_the_middle() -> None:
    """1 kWh: the seller asks .2 + .05 or more, the buyer pays .4 - .05 or less."""
    some = market(agents((0.1, 0.1, 0, 1), (0.1, 0.5, -1, 0)), {(0, 1): (0.05, 0.05)})
    assert sold(some, solve(some))[0, 1] == pytest.approx((1.0, 0.30))


def test_the_price_moves_with_who_adds_and_the_quantity_does_not() -> None:
    rows = ((0.1, 0.1, 0, 9), (0.1, 0.5, -9, 0))
    by_seller = market(agents(*rows), {(0, 1): (0.1, 0.0)})
    by_buyer = market(agents(*rows), {(0, 1): (0.0, 0.1)})
    assert sold(by_seller, solve(by_seller))[0, 1] == pytest.approx((1.5, 0.35))
    assert sold(by_buyer, solve(by_buyer))[0, 1] == pytest.approx((1.5, 0.25))


def test_three_agents_on_a_tree() -> None:
    """Buyer value .6 - .1 x; seller 0 asks .1 + .1 q, seller 1 .2 + .1 q plus .1 for the pair.

    Both sell: .1 + .1 q0 = .3 + .1 q1 = .6 - .1 (q0 + q1): q0 = q1 + 2, so .3 + .1 q1 = .4 - .2 q1: q1 = 1/3, q0 = 7/3.
    """
    some = market(agents((0.1, 0.1, 0, 9), (0.1, 0.2, 0, 9), (0.1, 0.6, -9, 0)), {(1, 2): (0.1, 0.0)})
    found = sold(some, solve(some))
    assert found[0, 2] == pytest.approx((7 / 3, 1 / 3))
    assert found[1, 2] == pytest.approx((1 / 3, 1 / 3))


def test_a_prosumer_sells_on_where_the_way_round_is_cheaper() -> None:
    """Directly 0.5 per kWh, by way of the prosumer .1 + .1: all of 1 kWh goes that way, at .1 + .1 more in the end."""
    rows = ((0.0, 0.1, 0, 1), (0.2, 0.2, -1, 1), (0.0, 0.9, -1, 0))
    costs = {(0, 2): (0.5, 0.0), (0, 1): (0.1, 0.0), (1, 2): (0.1, 0.0)}
    some = market(agents(*rows), costs)
    found = sold(some, solve(some))
    assert (0, 2) not in found
    assert found[0, 1][0] == pytest.approx(1.0)


# Without coarse prosumers: circles that cost nothing leave an interior point without an interior.
# The others are in `make slow`.
@pytest.mark.parametrize("kind", sample_of([0, 1, 2, 3, 4, 6, 7], [0, 6]))
def test_the_optimum_is_that_of_a_second_formulation(kind: int) -> None:
    for seed in range(2 if kind == 2 else 3):
        some = market_of(random_case(16 if kind == 2 else 20 + 2 * kind, 100 * kind + seed, **KINDS[kind]))
        found = solve(some)
        least = interior_point(some)
        assert found.objective / 1_000 == pytest.approx(least, rel=1e-7, abs=1e-6)
        assert found.bound / 1_000 <= least + 1e-6
        assert found.gap < 1e-9


@sampled
def test_every_random_market_is_solved_to_a_proven_gap() -> None:
    for seed in range(some_of(120, 40)):
        kind = KINDS[seed % len(KINDS)]
        some = market_of(random_case(2 + seed % 39, seed, **kind))
        try:
            found = solve(some)
        except Infeasible:
            assert "must" in kind
            continue
        assert found.gap < 1e-9
        assert proven(some, found.trades).gap < 1e-8, "the prices by rule prove it too"


def test_any_prices_give_a_bound() -> None:
    draw = np.random.default_rng(5)
    for seed in range(20):
        some = market_of(random_case(12, seed, prosumers=0.4))
        least = solve(some).objective
        for _ in range(20):
            assert bound(some, draw.uniform(-0.2, 0.8, 12)) <= least + 1e-9 * abs(least)


def test_supporting_prices_leave_no_pair_a_gain() -> None:
    draw = np.random.default_rng(6)
    some = market_of(random_case(30, 1, prosumers=0.6))
    for _ in range(20):
        price = supporting(some, draw.uniform(0, 1, 30))
        assert (price[some.seller] + some.pair_cost - price[some.buyer] >= -1e-12).all()


def changed(some: Market, **agents_: Any) -> Market:
    return replace(some, agents=replace(some.agents, **agents_))


def permuted(some: Market, order: np.ndarray[Any, Any]) -> Market:
    """The same market with agent order[i] in row i."""
    place = np.argsort(order)
    seller, buyer = place[some.seller], place[some.buyer]
    at = np.lexsort((seller, buyer))
    return Market(some.agents.rows(order), seller[at], buyer[at], some.seller_cost[at], some.buyer_cost[at])


@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_agents_does_not_matter(seed: int) -> None:
    some = market_of(random_case(24, seed, prosumers=0.3))
    order = np.random.default_rng(seed).permutation(24)
    found, other = solve(some), solve(permuted(some, order))
    assert other.objective == pytest.approx(found.objective, rel=1e-9)
    assert other.trades.p == pytest.approx(found.trades.p[order], abs=0.1)


@pytest.mark.parametrize("factor", [1e-3, 7.0, 1e4])
def test_other_units_give_the_same_trades(factor: float) -> None:
    some = market_of(random_case(24, 3, prosumers=0.3))
    found = solve(some)
    money = replace(
        changed(some, slope=some.agents.slope * factor, start=some.agents.start * factor),
        seller_cost=some.seller_cost * factor,
        buyer_cost=some.buyer_cost * factor,
    )
    assert solve(money).objective == pytest.approx(found.objective * factor, rel=1e-9)
    energy = changed(
        some,
        slope=some.agents.slope / factor,
        least=some.agents.least * factor,
        most=some.agents.most * factor,
    )
    assert solve(energy).objective == pytest.approx(found.objective * factor, rel=1e-9)


def test_an_agent_that_can_do_nothing_changes_nothing() -> None:
    some = market_of(random_case(24, 4))
    found = solve(some)
    with_one = Agents(
        *(
            np.append(one, 0.0)
            for one in (some.agents.slope, some.agents.start, some.agents.least, some.agents.most)
        )
    )
    assert solve(replace(some, agents=with_one)).objective == pytest.approx(found.objective, rel=1e-12)


def test_an_agent_in_two_halves_costs_the_same() -> None:
    """Each half has half the limits and twice the slope, and the partners of the whole."""
    some = market_of(random_case(16, 5))
    half = Agents(
        *(
            np.append(one, one[0])
            for one in (some.agents.slope, some.agents.start, some.agents.least, some.agents.most)
        )
    )
    for one, factor in ((half.slope, 2.0), (half.least, 0.5), (half.most, 0.5)):
        one[[0, -1]] *= factor
    seller, buyer = everybody(half)
    known = {ends: k for k, ends in enumerate(zip(some.seller.tolist(), some.buyer.tolist(), strict=True))}
    at = [known[i % 16, j % 16] for i, j in zip(seller.tolist(), buyer.tolist(), strict=True)]
    halves = Market(half, seller, buyer, some.seller_cost[at], some.buyer_cost[at])
    assert solve(halves).objective == pytest.approx(solve(some).objective, rel=1e-9)


def test_two_groups_without_a_pair_between_them_are_two_markets() -> None:
    parts = [market_of(random_case(14, seed, prosumers=0.3)) for seed in (6, 7)]
    n = len(parts[0].agents)
    both = Market(
        Agents(
            *(
                np.concatenate([getattr(one.agents, key) for one in parts])
                for key in ("slope", "start", "least", "most")
            )
        ),
        *(
            np.concatenate((getattr(parts[0], key), getattr(parts[1], key) + n))
            for key in ("seller", "buyer")
        ),
        *(np.concatenate([getattr(one, key) for one in parts]) for key in ("seller_cost", "buyer_cost")),
    )
    assert solve(both).objective == pytest.approx(sum(solve(one).objective for one in parts), rel=1e-9)


def test_prices_by_rule_lie_between_the_lowest_and_the_highest_that_support_the_trades() -> None:
    for seed in range(30):
        some = market_of(random_case(20, seed, **KINDS[seed % 6]))
        try:
            trades = solve(some).trades
        except Infeasible:
            continue
        ends = [canonical_prices(some, trades, k) for k in (0.0, 0.3, 1.0)]
        assert (ends[0] <= ends[1] + 1e-9).all()
        assert (ends[1] <= ends[2] + 1e-9).all()
        assert all(proven(some, trades._replace(price=price)).gap < 1e-8 for price in ends)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (
            ((0.1, 0.1, 3, 9), (0.1, 0.5, -2, 0)),
            "1 kWh that must be produced have no partner with room for them",
        ),
        (
            ((0.1, 0.1, 0, 1), (0.1, 0.5, -4, -3)),
            "2 kWh that must be consumed have no partner who can produce them",
        ),
    ],
)
def test_what_cannot_be_traded_is_said_in_kwh(
    rows: tuple[tuple[float, float, float, float], ...], sentence: str
) -> None:
    with pytest.raises(Infeasible, match=sentence):
        solve(market(agents(*rows)))
