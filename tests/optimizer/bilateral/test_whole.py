"""Trades in whole Wh: limits exactly, neighbours of the real trades, hardly any cost."""

from __future__ import annotations

import numpy as np
import pytest

from optimizer.bilateral.central import solve
from optimizer.bilateral.whole import whole_trades
from optimizer.errors import Infeasible
from tests.kits.agents_kit import agents, market, market_of, random_case


@pytest.mark.parametrize("seed", range(12))
def test_rounding_keeps_every_limit_and_costs_next_to_nothing(seed: int) -> None:
    some = market_of(random_case(30, seed, prosumers=0.3 * (seed % 3), must=0.3 * (seed % 2)))
    best = solve(some)
    pair, energy_wh = whole_trades(some, best.trades.pair, best.trades.quantity)
    quantity = energy_wh.astype(np.float64)
    p = some.net(quantity, pair)
    assert ((some.agents.least <= p) & (p <= some.agents.most)).all()
    assert (energy_wh > 0).all()
    assert np.abs(p - best.trades.p).max() < 1.0 + 1e-3
    size = some.size(best.trades.p, best.trades.quantity, best.trades.pair)
    assert some.objective(p, quantity, pair) - best.objective < 1e-6 * size


def test_agents_that_must_trade_get_what_rounding_down_would_take() -> None:
    """Each of two buyers needs 1 kWh of two sellers that have 1 kWh each; the trades are thirds."""
    some = market(agents((0, 0.1, 0, 1), (0, 0.1, 0, 1), (0, 0.2, -1, -1), (0, 0.2, -1, -1)))
    thirds = np.array([1_000 / 3, 2_000 / 3, 2_000 / 3, 1_000 / 3])
    pair, energy_wh = whole_trades(some, np.arange(4), thirds)
    assert energy_wh[np.argsort(pair)].tolist() in ([333, 667, 667, 333], [334, 666, 666, 334])


def test_other_pairs_help_where_these_do_not_suffice() -> None:
    some = market(agents((0, 0.1, 0, 1), (0, 0.1, 0, 1), (0, 0.2, -2, -2)))
    pair, energy_wh = whole_trades(some, np.array([0]), np.array([1_000.0]))
    assert (pair.tolist(), energy_wh.tolist()) == ([0, 1], [1_000, 1_000])


def test_limits_that_no_trades_keep_are_refused() -> None:
    some = market(agents((0, 0.1, 0, 1), (0, 0.2, -2, -2)))
    with pytest.raises(Infeasible):
        whole_trades(some, np.array([0]), np.array([1_000.0]))
