"""A home rotates its key while the market runs: its new key is in every batch, its old one in none from then on."""

from __future__ import annotations

import pytest

from p2p.ledger.execution import replay
from p2p.wire.messages import ReadingMessage
from wattswap.simulation.history import History
from wattswap.simulation.oracles import judge
from wattswap.simulation.plan import Act, Plan, Shape
from wattswap.simulation.run import simulated
from wattswap.simulation.town import Town

HOME = "home-03"
ROTATES = Plan(seed=5, acts=(Act("rotate", (HOME,), on="settled", after_s=0.2),), signatures=True)
BEHIND = Plan(seed=6, shape=Shape(gateways=2), acts=(Act("rotate", ("gateway-1",), on="settled"),))


def first_of_new_key(history: History, home: str) -> int:
    state, setup = replay(history.chain, history.setup.genesis).state, history.setup
    place = setup.roster.index(home)
    signed = [state.home_key(place, setup.start_of(i)) is not None for i in range(setup.intervals)]
    assert signed == sorted(signed), "an old key came back"
    return signed.index(True)


def in_batches(history: History, home: str) -> list[tuple[bool, bool]]:
    """Whether order and reading of a home are in each interval's batch."""
    found = []
    for start_s in history.starts():
        settled = history.settled[start_s]
        found.append(tuple(settled.message_of(home, kind) is not None for kind in (object, ReadingMessage)))
    return found


@pytest.mark.parametrize("plan", [ROTATES, BEHIND], ids=["a node of its own", "behind a gateway"])
def test_a_home_that_rotates_its_key_is_in_every_batch(plan: Plan) -> None:
    with simulated(plan) as outcome:
        history = outcome.history
        home = history.base.configs[plan.acts[0].who[0]].households[0]
        assert 4 <= first_of_new_key(history, home) <= 6
        assert in_batches(history, home) == [(True, True)] * 8
        assert judge(history) == []


def test_who_has_the_old_key_sends_nothing_that_counts_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Town, "give_key", lambda *_: None)
    with simulated(ROTATES) as outcome:
        first = first_of_new_key(outcome.history, HOME)
        assert in_batches(outcome.history, HOME) == [(True, True)] * first + [(False, False)] * (8 - first)
        assert len(outcome.history.settled) == 8
