"""Lies of every role: each is told, repeats, and is found, or is answered by the code that cures it.

The plan of each lie is in `plans/`. What a lie does today and must not do is a test that fails until its cure is there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
import trio

from p2p.batches.batch import BatchArgs
from p2p.roles.exchange.collectors import Collectors
from p2p.roles.validator.batch_check import PATIENCE_S, BatchChecks
from wattswap.errors import UsageError
from wattswap.nodes.node import Node
from wattswap.simulation.base import base_of
from wattswap.simulation.byzantine import LIES, byzantine_nodes, check_lies
from wattswap.simulation.oracles import judge
from wattswap.simulation.plan import STRANGER, Lie, Plan, Shape, read_plan
from wattswap.simulation.run import simulated

PLANS = Path(__file__).with_name("plans")


class Hurt(NamedTuple):
    """What a lie does on today's code: the oracles that find it, and what cures it."""

    oracles: set[str]
    cure: str


HURTS = {
    "settle_next": Hurt(
        {"accepted", "dates", "shut_out"},
        "part 10: no validator votes for an interval before its gate has closed",
    ),
    "propose_last": Hurt(
        {"dates", "shut_out"}, "part 10: no validator votes for an interval before its gate has closed"
    ),
    "result_block": Hurt(
        {"liveness", "no_node_ends"}, "part 11: a result must be proven before a home believes it"
    ),
    "result_ahead": Hurt(
        {"liveness", "no_node_ends"}, "part 11: a result must be proven before a home believes it"
    ),
    "wake_authorities": Hurt({"accepted", "shut_out"}, "part 10: an interval has one collector at a time"),
    "false_reading": Hurt({"meters"}, "part 11: a reading beyond what a home is registered for is refused"),
    "drop_reading": Hurt({"accepted", "liveness", "no_node_ends"}, "part 10: a receipt for a reading binds"),
    "refuse": Hurt(
        {"shut_out"}, "part 10: a home that is refused hands in elsewhere, and what was taken there binds"
    ),
    "late": Hurt(
        {"shut_out"},
        "part 10: a home that is late too early hands in elsewhere, and what was taken there binds",
    ),
    "junk_receipt_bytes": Hurt(
        {"liveness", "no_node_ends", "shut_out"}, "part 11: no answer of a collector ends a home"
    ),
    "junk_receipt_other": Hurt(
        {"liveness", "no_node_ends", "shut_out"}, "part 11: no answer of a collector ends a home"
    ),
    "junk_receipt_signature": Hurt(
        {"liveness", "no_node_ends", "shut_out"}, "part 11: no answer of a collector ends a home"
    ),
    "relayed_receipt": Hurt(
        {"accepted", "liveness", "no_node_ends", "shut_out"},
        "part 11: a receipt is of the collector that was asked",
    ),
    "junk_line": Hurt({"liveness", "no_node_ends"}, "part 11: no answer of a collector ends a home"),
    "junk_inclusion": Hurt({"liveness", "no_node_ends"}, "part 11: no answer of a collector ends a home"),
    "two_books": Hurt(
        {"accepted", "liveness", "no_node_ends", "shut_out"}, "part 10: a receipt for a reading binds"
    ),
    "accomplice": Hurt({"accepted", "shut_out"}, "part 10: a receipt binds whoever settles"),
}


class Ran(NamedTuple):
    """A finished run.

    Args:
        trace: Hash of its messages.
        told: How often each lie was told.
        violated: Names of the oracles that failed.
        collectors: Who gave receipts.
        refused: Codes with which messages were refused unread.
    """

    trace: str
    told: dict[str, int]
    violated: frozenset[str]
    collectors: frozenset[str]
    refused: frozenset[str]


def ran(plan: Plan) -> Ran:
    """Run a plan."""
    with simulated(plan) as outcome:
        truth = outcome.history.truth
        return Ran(
            outcome.trace,
            dict(truth.lies),
            frozenset(one.oracle for one in judge(outcome.history)),
            frozenset(one.collector for one in truth.receipts),
            frozenset(one.code for one in truth.refused),
        )


@cache
def of_lie(name: str) -> Ran:
    """The run of the stored plan of a lie, once for all tests of it."""
    return ran(plan_of(name))


def plan_of(name: str) -> Plan:
    """The stored plan of a lie."""
    return read_plan(PLANS / f"{name}.json")


def without_lies(plan: Plan) -> Plan:
    """The same plan without its lies."""
    return msgspec.structs.replace(plan, lies=())


@pytest.mark.parametrize("name", LIES)
def test_a_lie_is_told_to_somebody_it_can_hurt(name: str) -> None:
    assert of_lie(name).told[name] > 0


def open_until_cured(name: str) -> object:
    """A lie as a parameter; one that hurts is expected to fail."""
    if name not in HURTS:
        return name
    return pytest.param(
        name, marks=pytest.mark.xfail(reason=HURTS[name].cure, strict=True, raises=AssertionError)
    )


@pytest.mark.parametrize("name", [open_until_cured(name) for name in LIES])
def test_a_lie_hurts_nobody(name: str) -> None:
    assert not of_lie(name).violated


@pytest.mark.parametrize("name", HURTS)
def test_a_lie_that_hurts_is_found_by_these_oracles(name: str) -> None:
    assert of_lie(name).violated == HURTS[name].oracles


def test_without_the_lies_nothing_is_violated_and_the_run_is_another() -> None:
    plans = {name: without_lies(plan_of(name)) for name in LIES}
    controls = {plan: ran(plan) for plan in dict.fromkeys(plans.values())}
    for name, plan in plans.items():
        assert not controls[plan].violated, name
        assert controls[plan].trace != of_lie(name).trace, name
    assert len(controls) <= 3


# --- what answers a lie, by the code without it ---------------------------------------------------


def allow_every_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2p.roles.validator.validator.check_turn", lambda *_: None)


def store_unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many blobs as come, each on disk before it is checked."""
    check = BatchChecks._find_and_check

    async def store_first(self: BatchChecks, args: BatchArgs, lane: Any, first: str | None) -> None:
        blob = await self._fetch(args.blob_hash, first, trio.current_time() + PATIENCE_S)
        if blob is not None:
            self._blobs.put(blob, args.interval_start)
        await check(self, args, lane, first)

    monkeypatch.setattr("p2p.roles.validator.batch_check.BLOBS_PER_INTERVAL", 10**9)
    monkeypatch.setattr(BatchChecks, "_find_and_check", store_first)


def store_unchecked_of_every_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    store_unchecked(monkeypatch)
    allow_every_turn(monkeypatch)


def follow_the_highest_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Homes take a result of a higher block for a newer one, until they have spoken for the next interval."""
    follow = Collectors.name

    def name(ways: Collectors, key: bytes, height: int, interval_start: int, current_start: int) -> None:
        if height > ways._height and interval_start >= current_start:
            ways._followed = -1
            follow(ways, key, height, 0, 0)

    monkeypatch.setattr(Collectors, "name", name)


def keep_no_omission(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Node, "keep_omission", lambda *_: None)


@pytest.mark.parametrize(
    ("name", "without", "violated"),
    [
        ("settle_last", allow_every_turn, {"dates", "liveness", "shut_out"}),
        ("skip_interval", allow_every_turn, {"dates", "liveness", "shut_out"}),
        ("junk_blobs", store_unchecked, {"bounded"}),
        ("junk_blobs_ahead", allow_every_turn, set()),
        ("junk_blobs_ahead", store_unchecked_of_every_turn, {"bounded"}),
        ("drop_order", keep_no_omission, {"accepted", "shut_out"}),
        ("result_collector", follow_the_highest_block, {"accepted", "shut_out"}),
    ],
)
def test_a_lie_that_is_answered_shows_where_the_answer_is_missing(
    name: str,
    without: Callable[[pytest.MonkeyPatch], None],
    violated: set[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not of_lie(name).violated
    without(monkeypatch)
    assert ran(plan_of(name)).violated == violated


def test_homes_do_not_follow_a_second_result_of_an_interval() -> None:
    assert of_lie("result_collector").collectors == {"operator-0"}


def test_a_stranger_gets_refusals() -> None:
    assert of_lie("flood").refused == {"wrong_signature"}


# --- several lies in one run ---------------------------------------------------------------------

SHORT = Shape(intervals=3)
GATEWAYS = Shape(intervals=3, gateways=2)


def together(*lies: Lie, shape: Shape = GATEWAYS, frames: bool = False) -> Plan:
    return Plan(seed=2, shape=shape, calm_after=2, lies=lies, frames=frames)


REPEATED = {
    "single homes": together(
        Lie("two_books", "operator-0", "home-02", 1),
        Lie("wake_authorities", "home-05"),
        Lie("result_block", "validator-0", first=1),
        Lie("flood", STRANGER),
        shape=SHORT,
    ),
    "gateways and frames": together(
        Lie("junk_receipt_bytes", "operator-0", "gateway-0", 1),
        Lie("junk_receipt_signature", "operator-0", "gateway-1", 2),
        Lie("junk_blobs_ahead", "validator-1"),
        frames=True,
    ),
}


@pytest.mark.parametrize("plan", REPEATED.values(), ids=REPEATED)
def test_a_seed_repeats_its_lies(plan: Plan) -> None:
    one, again = ran(plan), ran(plan)
    assert one == again
    assert all(one.told[lie.name] > 0 for lie in plan.lies)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("refuse", "late"),
        ("junk_line", "junk_inclusion"),
        ("drop_order", "drop_reading"),
    ],
)
def test_an_operator_lies_to_homes_behind_gateways(one: str, other: str) -> None:
    lies = Lie(one, "operator-0", "gateway-0", 1), Lie(other, "operator-0", "gateway-1", 1)
    found = ran(together(*lies))
    assert found.told[one] > 0
    assert found.told[other] > 0
    assert found.violated


def test_gateways_lie_in_the_name_of_their_homes() -> None:
    found = ran(together(Lie("false_reading", "gateway-0"), Lie("wake_authorities", "gateway-1", first=1)))
    assert min(found.told.values()) > 0
    assert "meters" in found.violated


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lie", "words"),
    [
        (Lie("late", "home-01"), "home-01 is a household, and late is no lie of one"),
        (Lie("flood", "validator-0"), "validator-0 is a validator, and flood is no lie of one"),
        (Lie("settle_last", STRANGER), "stranger is a stranger, and settle_last is no lie of one"),
        (Lie("late", "operator-0", "validator-0"), "validator-0 has no homes to be lied to"),
    ],
)
def test_a_lie_that_a_node_cannot_tell_is_refused(lie: Lie, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_lies(together(lie, shape=SHORT), base_of(SHORT, False).configs)


def test_an_accomplice_is_byzantine_too() -> None:
    assert byzantine_nodes(plan_of("accomplice")) == {"operator-0", "validator-3"}
    assert byzantine_nodes(plan_of("late")) == {"operator-0"}
