"""Homes whose meters have keys among homes without: an honest run settles them all, and a rotation changes nothing."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from p2p.batches.batch import batches
from p2p.batches.blob import blob_hash, open_blob
from p2p.errors import WrongSignature
from p2p.wire.messages import ReadingMessage
from wattswap.simulation import plan as plans
from wattswap.simulation.base import base_of
from wattswap.simulation.byzantine import draw_lies
from wattswap.simulation.history import History
from wattswap.simulation.oracles import judge
from wattswap.simulation.plan import Act, Plan, Shape, draw_plan
from wattswap.simulation.run import simulated

METERED = 6
HONEST = Plan(seed=5, shape=Shape(intervals=3, meter_keys=METERED), calm_after=2, own_checks=True)
ROTATES = Plan(
    seed=5,
    shape=Shape(meter_keys=METERED),
    acts=(Act("rotate", ("home-03",), on="settled", after_s=0.2),),
    signatures=True,
)
BEHIND = Plan(
    seed=6, shape=Shape(gateways=2, meter_keys=13), acts=(Act("rotate", ("gateway-1",), on="settled"),)
)


def all_are_settled(history: History) -> bool:
    return all(
        settled.message_of(home, kind) is not None
        for settled in history.settled.values()
        for home in history.setup.roster
        for kind in (object, ReadingMessage)
    )


@pytest.mark.parametrize(
    "plan", [HONEST, ROTATES, BEHIND], ids=["some homes", "one rotates", "behind gateways"]
)
def test_homes_with_and_without_meter_keys_are_in_every_batch(plan: Plan) -> None:
    with simulated(plan) as outcome:
        assert judge(outcome.history) == []
        assert len(outcome.history.settled) == plan.shape.intervals
        assert all_are_settled(outcome.history)


def test_readings_in_blobs_are_those_of_the_registered_meters() -> None:
    """Whoever takes the home's own key for one of them refuses the blob."""
    with simulated(HONEST) as outcome:
        history = outcome.history
        members, blobs = history.setup.member_list, list(history.truth.blobs.values())
        named = {args.blob_hash for block, _ in history.chain for _, args in batches(block.txs)}
    assert [bool(key) for key in members.meter_keys] == [True] * METERED + [False] * (13 - METERED)
    settled = [data for data in blobs if blob_hash(data) in named]
    assert len(settled) == 3
    for data in settled:
        for place in range(METERED):
            keys = list(members.meter_keys)
            keys[place] = b""
            with pytest.raises(WrongSignature):
                open_blob(data, history.setup.genesis, replace(members, meter_keys=tuple(keys)))


def test_meter_keys_are_drawn_beside_all_else(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = list(base_of(Shape(), False).configs)
    drawn = [(draw_plan(seed, Shape(), nodes), draw_lies(seed, nodes)) for seed in range(60)]
    monkeypatch.setattr(plans, "has_meter_keys", lambda _: False)
    monkeypatch.setattr("wattswap.simulation.byzantine.has_meter_keys", lambda _: False)
    metered = {seed: plan.shape.meter_keys for seed, (plan, _) in enumerate(drawn) if plan.shape.meter_keys}
    assert list(metered) == list(range(1, 60, 5))
    assert set(metered.values()) == {6, 13}
    assert any(drawn[seed][0].rotates for seed in metered)
    for seed, (plan, lies) in enumerate(drawn):
        plain, fewer = draw_plan(seed, Shape(), nodes), draw_lies(seed, nodes)
        assert lies[: len(fewer)] == fewer
        assert [lie.name for lie in lies[len(fewer) :]] == ["own_reading"] * (seed in metered)
        assert msgspec.structs.replace(plan, shape=plain.shape) == plain


def test_a_draw_with_meter_keys_keeps_their_number() -> None:
    nodes = list(base_of(Shape(), False).configs)
    for seed in range(10):
        assert draw_plan(seed, Shape(meter_keys=2), nodes).shape.meter_keys == 2
