"""Negotiated trades end at the central optimum, and one agent alone computes what it computes among all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from optimizer.bilateral.admm import Negotiated, alone, negotiate, table_of, terms_of
from optimizer.bilateral.central import solve
from optimizer.bilateral.market import Market
from optimizer.bilateral.negotiation import Own, State, Terms, agree, begin, choose, report, turn, weigh
from optimizer.bilateral.whole import whole_trades
from tests.kits.agents_kit import agents, market, market_of, random_case

KINDS: list[dict[str, Any]] = [{}, {"prosumers": 0.3}, {"must": 0.3}, {"degree": 4}, {"prosumers": 1.0}]


def cost_of(some: Market, found: Negotiated) -> float:
    """Cost of the trades in whole Wh."""
    pair, energy_wh = whole_trades(
        some, found.trades.pair, found.trades.quantity, 1e-3 * found.terms.energy_wh
    )
    quantity = energy_wh.astype(np.float64)
    return some.objective(some.net(quantity, pair), quantity, pair)


@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_negotiated_trades_cost_what_the_central_ones_do(kind: int) -> None:
    for seed in range(6):
        some = market_of(random_case(20 + 4 * kind, seed, **KINDS[kind]))
        found, best = negotiate(some, terms_of(some)), solve(some)
        size = some.size(best.trades.p, best.trades.quantity, best.trades.pair)
        assert found.verdict.done
        assert abs(cost_of(some, found) - best.objective) < 1e-4 * size
        assert found.trades.p == pytest.approx(best.trades.p, abs=0.02 * found.terms.energy_wh)


def test_two_agents_find_the_price_of_the_page() -> None:
    """As in test_central: 1.5 kWh at .30."""
    some = market(agents((0.1, 0.1, 0, 9), (0.1, 0.5, -9, 0)), {(0, 1): (0.05, 0.05)})
    found = negotiate(some, replace(terms_of(some), tolerance=1e-9))
    assert found.trades.quantity / 1_000 == pytest.approx([1.5], rel=1e-6)
    assert found.price == pytest.approx([0.30], rel=1e-6)


def numbers(draw: np.random.Generator, trades: int, both: bool) -> Own:
    """One agent with random costs and limits."""
    slope = float(draw.choice([0.0, 0.1, 1.0]))
    least, most = float(-draw.uniform(0, 2)) if both else 0.0, float(draw.uniform(0.2, 2))
    sells = trades // 2 if both else trades
    count = np.array([sells, trades - sells] if both else [trades])
    return Own(
        np.array([slope]),
        np.array([draw.uniform(-1, 1)]),
        np.array([least]),
        np.array([most]),
        np.zeros(len(count), dtype=np.int64),
        np.array([1.0, -1.0][: len(count)]),
        np.concatenate(([0], np.cumsum(count)[:-1])),
        count,
        draw.uniform(0, 0.3, trades),
    )


def local_cost(own: Own, state: State, trades: np.ndarray[Any, Any], signs: np.ndarray[Any, Any]) -> float:
    p = float(signs @ trades)
    apart = trades - state.agreed + state.price
    return float(
        0.5 * own.slope[0] * p * p + own.start[0] * p + own.cost @ trades + 0.5 * state.rho * apart @ apart
    )


def test_what_an_agent_chooses_is_the_best_it_can() -> None:
    """No step along a trade, or along two at once, costs less: the problem is convex with one joint constraint."""
    draw = np.random.default_rng(3)
    terms = Terms(1.0, 1.0, over_relaxation=1.0)
    for _ in range(300):
        own = numbers(draw, int(draw.integers(2, 7)), bool(draw.integers(2)))
        signs = np.repeat(own.sign, own.count)
        t = len(signs)
        state = State(draw.uniform(0, 1, t), draw.uniform(-1, 1, t), np.zeros(1), float(draw.uniform(0.1, 4)))
        trades, _ = choose(own, state, terms)
        p = signs @ trades
        assert (trades >= 0).all()
        assert own.least[0] - 1e-9 <= p <= own.most[0] + 1e-9
        here = local_cost(own, state, trades, signs)
        for i in range(t):
            for j in range(i + 1):
                for step in ((1, 0), (-1, 0), (1, 1), (1, -1), (-1, -1), (-1, 1)):
                    other = trades.copy()
                    other[i] += 1e-4 * step[0]
                    other[j] += 1e-4 * step[1]
                    inside = own.least[0] <= signs @ other <= own.most[0] and (other >= 0).all()
                    assert not inside or local_cost(own, state, other, signs) >= here - 1e-10


def test_one_agent_computes_alone_what_it_computes_among_all() -> None:
    some = market_of(random_case(18, 2, prosumers=0.4))
    terms = terms_of(some)
    table = table_of(some, terms)
    state = begin(table.own)
    each = [(*alone(table.own, k), begin(alone(table.own, k)[0])) for k in range(len(table.row))]
    for number in range(1, 41):
        sent, marginal = choose(table.own, state, terms)
        chosen = [choose(own, mine, terms) for own, _, mine in each]
        assert (np.concatenate([one for one, _ in chosen]) == sent).all()
        received = sent[table.mirror]
        before, state = state, agree(state, sent, received, marginal)
        each = [
            (own, at, agree(mine, copies, received[at], m))
            for (own, at, mine), (copies, m) in zip(each, chosen, strict=True)
        ]
        if number % terms.every == 0:
            rho = weigh(report(table.own, before, state, sent, received, terms), state.rho, terms).rho
            state = turn(state, rho)
            each = [(own, at, turn(mine, rho)) for own, at, mine in each]
    assert (np.concatenate([mine.price for *_, mine in each]) == state.price).all()


def test_leaving_out_what_cannot_change_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """With room without end every trade is computed in every round."""
    some = market_of(random_case(60, 1, prosumers=0.2))
    found = negotiate(some, terms_of(some))
    monkeypatch.setattr("optimizer.bilateral.admm._ROOM", np.inf)
    every = negotiate(some, terms_of(some))
    assert every.rounds == found.rounds
    assert every.trades.quantity == pytest.approx(found.trades.quantity, rel=1e-9)


def test_both_ends_of_a_trade_have_one_price_for_it() -> None:
    some = market_of(random_case(16, 3, prosumers=0.5))
    terms = terms_of(some)
    table = table_of(some, terms)
    state = begin(table.own)
    for _ in range(30):
        sent, marginal = choose(table.own, state, terms)
        state = agree(state, sent, sent[table.mirror], marginal)
    assert (state.agreed == state.agreed[table.mirror]).all()
    assert state.price == pytest.approx(-state.price[table.mirror], abs=1e-12)


def test_too_few_rounds_are_said_and_still_settle() -> None:
    some = market_of(random_case(20, 4, prosumers=0.3))
    found = negotiate(some, terms_of(some, rounds_max=10))
    assert (found.rounds, found.verdict.done) == (10, False)
    assert cost_of(some, found) <= 0.0
