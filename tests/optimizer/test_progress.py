"""Who waits for a search hears how far it is: the best so far, what it may still become, and the gap."""

from __future__ import annotations

import numpy as np
import pytest

from optimizer import progress
from optimizer.bilateral.central import solve
from optimizer.progress import Progress, Teller, listening
from optimizer.storage.plan import Planner
from optimizer.storage.store import Demand, Store
from tests.kits.agents_kit import market_of, random_case


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Progress]:
    monkeypatch.setattr(progress, "TELL_EVERY_S", 0.0)
    return []


def test_trades_between_pairs_are_told_program_by_program(told: list[Progress]) -> None:
    market = market_of(random_case(30, 7))
    with listening(told.append):
        found = solve(market)
    assert len(told) > 1
    assert [one.nodes for one in told] == list(range(1, len(told) + 1))
    for one in told:
        assert one.welfare_nano <= -found.bound * 1e6 + 1
        assert one.bound_nano >= -found.objective * 1e6 - 1
        assert one.gap >= -1e-12
    assert [one.welfare_nano for one in told] == sorted(one.welfare_nano for one in told)


def test_a_battery_at_prices_below_0_is_told_branch_by_branch(told: list[Progress]) -> None:
    random = np.random.default_rng(4)
    need, offer = random.integers(0, 4_000, (2, 16))
    price = random.integers(-300_000, 300_000, 16)
    demand = Demand(need, offer, price, np.minimum(price - 20_000, -100_000))
    with listening(told.append):
        plan = Planner(demand, Store(0, 0, 900_000, 900_000)).plan(Store(3_000, 2_000, 900_000, 900_000))
    assert plan.solved > 2
    assert told
    for one in told:
        assert -one.bound_nano <= plan.cost_nano + 1
        assert -one.welfare_nano >= plan.bound_nano - 1


def test_nothing_is_told_before_two_seconds_or_before_there_is_an_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, told = [0.0], []
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with listening(told.append):
        tell = Teller()
        for now[0], cost in ((1.9, 5.0), (2.1, np.inf), (2.2, 5.0), (4.1, 4.0), (4.3, 3.0)):
            tell(cost, 1.0, 1)
    assert [(one.elapsed_s, one.welfare_nano) for one in told] == [(2.2, -5.0), (4.3, -3.0)]
