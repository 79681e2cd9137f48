"""One price for agents with quadratic costs: by hand, and by duality on random agents with ties and constant costs."""

from __future__ import annotations

import numpy as np
import pytest

from optimizer.bilateral.market import Agents
from optimizer.bilateral.pool import pool
from optimizer.errors import Infeasible
from tests.kits.agents_kit import agents


@pytest.mark.parametrize(
    ("rows", "p", "low", "high"),
    [
        # .1 + .1 q = .5 - .1 q: q = 2 at .3
        ([(0.1, 0.1, 0, 9), (0.1, 0.5, -9, 0)], [2, -2], 0.3, 0.3),
        # both at their limit of 1: the seller asks .2 for more, the buyer pays .4
        ([(0.1, 0.1, 0, 1), (0.1, 0.5, -1, 0)], [1, -1], 0.2, 0.4),
        # constant costs: the buyer's .4, as it wants more than there is
        ([(0, 0.1, 0, 1), (0, 0.4, -2, 0)], [1, -1], 0.4, 0.4),
        # nobody gains: any price between the two
        ([(0.1, 0.5, 0, 1), (0.1, 0.4, -1, 0)], [0, 0], 0.4, 0.5),
        # two sellers of constant cost .2 share the 3 by their room of 2 and 4
        ([(0, 0.2, 0, 2), (0, 0.2, 0, 4), (0, 0.9, -3, 0)], [1, 2, -3], 0.2, 0.2),
        # what must be produced is, at a price below its cost
        ([(0.1, 0.5, 1, 2), (0.1, 0.2, -9, 0)], [1, -1], 0.1, 0.1),
    ],
)
def test_pools_by_hand(
    rows: list[tuple[float, float, float, float]], p: list[float], low: float, high: float
) -> None:
    found = pool(agents(*rows))
    assert found.p / 1_000 == pytest.approx(p)
    assert (found.low, found.high) == pytest.approx((low, high))


def random_agents(seed: int) -> Agents:
    draw = np.random.default_rng(seed)
    n = int(draw.integers(2, 12))
    return Agents(
        draw.choice([0.0, 1e-5, 1e-4, 2e-4], n),
        draw.integers(1, 9, n) / 10,
        -1_000.0 * draw.integers(0, 5, n),
        1_000.0 * draw.integers(0, 5, n),
    )


def dual(some: Agents, price: float) -> float:
    p = some.response(np.full(len(some), price))
    return float((some.cost(p) - price * p).sum())


def test_the_interval_is_exactly_the_prices_that_support_the_pool() -> None:
    tried = 0
    for seed in range(600):
        some = random_agents(seed)
        if not some.least.sum() < 0 < some.most.sum():
            continue
        tried += 1
        found = pool(some)
        cost = float(some.cost(found.p).sum())
        assert abs(found.p.sum()) < 1e-6
        assert ((some.least <= found.p) & (found.p <= some.most)).all()
        for price in (found.low, found.high, 0.5 * (found.low + found.high)):
            assert dual(some, price) == pytest.approx(cost, rel=1e-9, abs=1e-6)
        for price in (found.low - 1e-3, found.high + 1e-3):
            assert dual(some, price) < cost - 1e-7
    assert tried > 400


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([(0.1, 0.1, 3, 9), (0.1, 0.5, -2, 0)], "1 kWh that must be produced have no consumer"),
        ([(0.1, 0.1, 0, 1), (0.1, 0.5, -4, -3)], "2 kWh that must be consumed have no producer"),
    ],
)
def test_what_cannot_balance_is_said_in_kwh(
    rows: list[tuple[float, float, float, float]], sentence: str
) -> None:
    with pytest.raises(Infeasible, match=sentence):
        pool(agents(*rows))
