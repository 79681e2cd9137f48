"""Lies of every role: each is told, repeats, and is found, or is answered by the code that cures it.

The plan of each lie is in `plans/`. A lie against which there is no rule is found by an oracle.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
import trio

from market.settlement.deemed import Registers
from market.units import IntArray
from p2p.batches.batch import BatchArgs
from p2p.blocks.members import Member, Members
from p2p.ledger import offices
from p2p.ledger.execution import replay
from p2p.roles.exchange.wire import CLOSINGS_PROTOCOL, Closings
from p2p.roles.household.collectors import Collectors
from p2p.roles.household.witnesses import Witnesses
from p2p.roles.replica.schedule import Schedule
from p2p.roles.validator.batch_check import PATIENCE_S, BatchChecks, Closed
from p2p.transports.base import Handler
from p2p.wire.codec import encode
from wattswap.errors import UsageError
from wattswap.nodes.node import Node
from wattswap.simulation.base import base_of
from wattswap.simulation.byzantine import LIES, byzantine_nodes, check_lies
from wattswap.simulation.byzantine.operators import Refuses
from wattswap.simulation.oracles import judge
from wattswap.simulation.plan import STRANGER, Lie, Plan, Shape, read_plan
from wattswap.simulation.run import simulated

PLANS = Path(__file__).with_name("plans")


HURTS = {"false_within": {"meters"}}
"""Lies against which there is no rule, and the oracles that find them: a home signs its own meter's reading, and
nothing but its registered capacity bounds it; see docs/explanation/threat-model.md."""


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


@pytest.mark.parametrize("name", [name for name in LIES if name not in HURTS])
def test_a_lie_hurts_nobody(name: str) -> None:
    assert not of_lie(name).violated


@pytest.mark.parametrize("name", HURTS)
def test_a_lie_that_hurts_is_found_by_these_oracles(name: str) -> None:
    assert of_lie(name).violated == HURTS[name]


def test_without_the_lies_nothing_is_violated_and_the_run_is_another() -> None:
    plans = {name: without_lies(plan_of(name)) for name in LIES}
    controls = {plan: ran(plan) for plan in dict.fromkeys(plans.values())}
    for name, plan in plans.items():
        assert not controls[plan].violated, name
        assert controls[plan].trace != of_lie(name).trace, name
    assert len(controls) <= 7  # two of them of homes that seal their orders


# --- what answers a lie, by the code without it ---------------------------------------------------


def allow_every_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Validators look neither at dates and turns nor at closings."""
    monkeypatch.setattr(Schedule, "check_batch", lambda *_: None)
    monkeypatch.setattr(Schedule, "check_lacking", lambda *_: None)


def need_no_closings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Validators vote for batches that lack messages without closings."""
    monkeypatch.setattr(Schedule, "check_lacking", lambda *_: None)


def need_no_closings_and_keep_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    need_no_closings(monkeypatch)
    keep_no_proof(monkeypatch)


def allow_every_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody compares readings with connections."""
    monkeypatch.setattr(Members, "check_reading", lambda *_: None)


def sign_readings_as_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody asks whether a meter has a key."""
    monkeypatch.setattr(Member, "key_for", lambda _self, _kind, key: key)


def ask_no_witnesses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Homes give their messages to the collector alone."""
    monkeypatch.setattr(Witnesses, "show", lambda *_: None)


def store_unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many blobs as come, each on disk before it is checked."""
    check = BatchChecks._find_and_check

    async def store_first(
        self: BatchChecks, args: BatchArgs, lane: Any, first: str | None, former: bytes | None
    ) -> Closed:
        blob = await self._fetch(args.blob_hash, first, trio.current_time() + PATIENCE_S)
        if blob is not None:
            self._blobs.put(blob, args.interval_start)
        return await check(self, args, lane, first, former)

    monkeypatch.setattr("p2p.roles.validator.batch_check.BLOBS_PER_INTERVAL", 10**9)
    monkeypatch.setattr(BatchChecks, "_find_and_check", store_first)


def store_unchecked_of_every_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    store_unchecked(monkeypatch)
    allow_every_turn(monkeypatch)


def settle_silence_as_export(monkeypatch: pytest.MonkeyPatch) -> None:
    """A home without a reading counts as having given all that its connection can: by day nobody here imports."""

    def export(_traded: IntArray, most: Registers, _prices: object) -> Registers:
        return Registers(np.zeros_like(most.import_wh), most.export_wh)

    monkeypatch.setattr("wattswap.nodes.interval.deemed_wh", export)


def believe_results_without_a_quorum(monkeypatch: pytest.MonkeyPatch) -> None:
    """One signature certifies a block, and whoever says so may gossip it."""
    monkeypatch.setattr("p2p.ledger.light._check_header", lambda header, *_: header.hash)


def keep_asking_after_a_wrong_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A home keeps asking a collector whose answers are wrong."""
    monkeypatch.setattr(Collectors, "distrust", lambda *_: None)


def keep_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Node, "keep_proof", lambda *_: None)


def bar_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Homes whose envelopes have no key order on."""
    monkeypatch.setattr("p2p.ledger.closed.is_barred", lambda *_: False)


def believe_one_validator(monkeypatch: pytest.MonkeyPatch) -> None:
    """One word shows that an envelope has no key, and who opens orders asks no further."""
    monkeypatch.setattr("p2p.batches.closed_orders.needed", lambda _: 1)


@pytest.mark.parametrize(
    ("name", "without", "violated"),
    [
        ("settle_last", allow_every_turn, {"dates", "liveness", "shut_out"}),
        ("skip_interval", allow_every_turn, {"dates", "liveness", "shut_out"}),
        ("settle_next", allow_every_turn, {"dates", "shut_out"}),
        ("propose_last", allow_every_turn, {"dates", "liveness", "shut_out"}),
        ("drop_order", need_no_closings, set()),
        ("drop_order", need_no_closings_and_keep_no_proof, {"accepted", "shut_out"}),
        ("drop_reading", need_no_closings_and_keep_no_proof, {"accepted"}),
        ("two_books", need_no_closings_and_keep_no_proof, {"accepted", "shut_out"}),
        ("accomplice", need_no_closings_and_keep_no_proof, {"accepted", "shut_out"}),
        ("refuse", ask_no_witnesses, {"shut_out"}),
        ("late", ask_no_witnesses, {"shut_out"}),
        ("junk_receipt_bytes", ask_no_witnesses, {"shut_out"}),
        ("false_reading", allow_every_reading, {"meters", "capacity"}),
        ("own_reading", sign_readings_as_a_home, {"meters"}),
        ("relayed_receipt", ask_no_witnesses, {"shut_out"}),
        ("break_promise", keep_no_proof, {"accepted", "shut_out"}),
        ("junk_line", keep_asking_after_a_wrong_answer, {"liveness"}),
        ("junk_inclusion", keep_asking_after_a_wrong_answer, {"liveness"}),
        ("junk_receipt_other", keep_asking_after_a_wrong_answer, {"liveness"}),
        ("result_block", believe_results_without_a_quorum, {"liveness", "takes_part"}),
        ("result_ahead", believe_results_without_a_quorum, {"liveness"}),
        ("junk_pieces", bar_nobody, {"sealing"}),
        ("junk_key_hash", bar_nobody, {"sealing"}),
        ("call_junk", believe_one_validator, {"sealing"}),
        ("silent", settle_silence_as_export, {"silence"}),
        ("junk_blobs_ahead", allow_every_turn, set()),
        ("junk_blobs_ahead", store_unchecked_of_every_turn, {"bounded"}),
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


def test_who_breaks_a_promise_loses_its_office() -> None:
    """The home that was left out has the proof, and its validators put it on the chain."""
    with simulated(plan_of("break_promise")) as outcome:
        history = outcome.history
        convicted = {history.name_of(key) for _, key in history.convicted()}
        (key,) = {key for _, key in history.convicted()}
        state = replay(history.chain, history.setup.genesis).state
    assert convicted == {"validator-3"}
    assert key in history.setup.genesis.authorities
    assert offices.validator_sets(state.view()).jailed == (key,)


def test_a_collector_that_hides_closings_protects_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is left out asks others: closings of a quorum belong to a batch without its message."""
    honest, hidden = Refuses.handler, 0

    def handler(self: Refuses, protocol: str, given: Handler) -> Handler:
        async def none(peer: str, frame: bytes) -> bytes:
            nonlocal hidden
            reply = await given(peer, frame)
            hidden += bool(reply)
            return reply and encode(Closings(()))

        return none if protocol == CLOSINGS_PROTOCOL else honest(self, protocol, given)

    monkeypatch.setattr(Refuses, "handler", handler)
    assert ran(plan_of("break_promise")).violated == frozenset()
    assert hidden


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
        Lie("junk_receipt_signature", "operator-0", "gateway-1", 1),
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
def test_an_operator_hurts_no_home_behind_gateways(one: str, other: str) -> None:
    lies = Lie(one, "operator-0", "gateway-0", 1), Lie(other, "operator-0", "gateway-1", 1)
    found = ran(together(*lies))
    assert found.told[one] > 0
    assert found.told[other] > 0
    assert not found.violated


@pytest.mark.parametrize("name", ["false_reading", "own_reading"])
def test_gateways_lie_in_the_name_of_their_homes(name: str) -> None:
    """Some of the homes have meter keys: the lie about the capacity is told with these."""
    shape = Shape(intervals=3, gateways=2, meter_keys=3)
    lies = Lie(name, "gateway-0"), Lie("wake_authorities", "gateway-1", first=1)
    found = ran(together(*lies, shape=shape))
    assert min(found.told.values()) > 0
    assert not found.violated


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lie", "words"),
    [
        (Lie("late", "home-01"), "late is no lie of home-01, whose role is household"),
        (Lie("flood", "validator-0"), "flood is no lie of validator-0, whose role is validator"),
        (Lie("settle_last", STRANGER), "settle_last is no lie of stranger, whose role is stranger"),
        (Lie("late", "operator-0", "validator-0"), "validator-0 has no homes to be lied to"),
    ],
)
def test_a_lie_that_a_node_cannot_tell_is_refused(lie: Lie, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_lies(together(lie, shape=SHORT), base_of(SHORT, False).configs)


def test_an_accomplice_is_byzantine_too() -> None:
    assert byzantine_nodes(plan_of("accomplice")) == {"operator-0", "validator-3"}
    assert byzantine_nodes(plan_of("late")) == {"operator-0"}
