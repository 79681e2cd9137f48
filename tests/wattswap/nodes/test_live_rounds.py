"""Live runs of markets that are open for several rounds: the roots of a run in process, faults, and dishonest nodes."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import wattswap as ws
from agents.bidders import Round
from agents.bidding import Orders
from market.errors import PluginFailed
from market.rounds import Tape
from market.units import IntArray
from p2p.errors import OutOfRange
from p2p.roles.collector.answers import Answers
from p2p.roles.exchange.journal import Journal
from p2p.roles.exchange.tape import TapePage, make_pages
from p2p.wire.codec import decode, encode
from tests.kits.run_kit import FIRST, call, write_street
from tests.kits.sample_kit import sample_of
from tests.kits.time_kit import eventually_trio
from tests.kits.town_kit import MemoryTown, Stage, assert_as_in_process, lived_in_memory, settled
from wattswap.errors import VerificationFailed
from wattswap.nodes import home
from wattswap.nodes.announcer import Announcer
from wattswap.nodes.assemble import _Unsure
from wattswap.nodes.collector import CollectorLoop
from wattswap.nodes.home import Standing
from wattswap.nodes.live import Topology
from wattswap.results import RunResult
from wattswap.runs.chain_reader import open_chain
from wattswap.runs.folder import stored_scenario
from wattswap.runs.prepare import Homes, Setup, prepare

DAYLIGHT_S = int(FIRST.timestamp()) + 86_400 + 9 * 3_600
INTERVALS, STEP_S = 3, 3_600
QUICK = Topology()
BATTERY = "{capacity_kwh=4.0, charge_kw=1.5, discharge_kw=1.5, initial_share=0.5}"
MIXED = (
    "market.rounds=3",
    "market.mechanism=continuous",
    "homes.strategy=zi_c",
    'homes.strategies={aa=["home-1"], zip=["home-2"]}',
)


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four homes."""
    return write_street(tmp_path_factory.mktemp("street"), homes=4)


def lived(scenario: ws.Scenario, out: Path, topology: Topology = QUICK, **options: object) -> RunResult:
    """Three intervals of daylight, in memory."""
    return lived_in_memory(scenario, out, INTERVALS, DAYLIGHT_S, topology, **options)


@pytest.mark.parametrize("gateways", sample_of([0, 2], [2]))
def test_homes_that_order_in_rounds_give_the_roots_of_a_run_in_process(
    gateways: int, street: Path, tmp_path: Path
) -> None:
    scenario = ws.load(street, overrides=MIXED)
    result = assert_as_in_process(lived(scenario, tmp_path, Topology(gateways=gateways)), tmp_path, INTERVALS)
    rounds = result.table("orders")["sequence"] // 2**32
    assert set(rounds) == {0, 1, 2}
    accepted = result.table("orders").groupby(rounds)["accepted_wh"].sum()
    assert accepted[1:].sum() > 0, "later rounds trade nothing, so the test shows little"
    facts = result.manifest["network"]
    assert (facts["signed_receipts"], facts["proofs_checked"]) == ((3 + 1) * 4 * INTERVALS, 4 * INTERVALS)
    assert facts["broken_promises"] == facts["missed"] == 0
    assert facts["silent"] == []


# --- faults -------------------------------------------------------------------------------------------------


class Moment:
    """Does something as soon as the first collector has provided the tape of a round of an interval.

    Args:
        number: Of the round; the interval is the second.
        do: What happens then, before anybody has asked for that tape.
    """

    def __init__(self, patch: pytest.MonkeyPatch, number: int, do: Callable[[], None]) -> None:
        self.came = False
        provide = Answers.provide_tape

        def provided(answers: Answers, start_s: int, found: int, pages: tuple[bytes, ...]) -> None:
            provide(answers, start_s, found, pages)
            if not self.came and (start_s, found) == (DAYLIGHT_S + STEP_S, number):
                self.came = True
                do()

        patch.setattr(Answers, "provide_tape", provided)


@pytest.mark.parametrize(
    ("victim", "gateways", "number"),
    sample_of([("home-2", 0, 0), ("home-2", 0, 2), ("gateway-0", 1, 1)], [("gateway-0", 1, 1)]),
)
def test_a_home_that_is_killed_between_rounds_says_the_same_bytes_again(
    victim: str,
    gateways: int,
    number: int,
    street: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage, said = Stage(), list[tuple[tuple[int, int, str, int], bytes]]()
    sign_once = Journal.sign_once

    def signed(journal: Journal, *args: Any) -> bytes:
        said.append((args[:4], sign_once(journal, *args)))
        return said[-1][1]

    monkeypatch.setattr(Journal, "sign_once", signed)
    moment = Moment(monkeypatch, number, lambda: stage.cancel(victim))

    async def script(town: MemoryTown) -> None:
        stage.town = town
        await eventually_trio(lambda: moment.came, "the round is over", 3_600)
        await town.ended[victim].wait()
        town.start(victim)

    scenario = ws.load(street, overrides=MIXED)
    result = lived(scenario, tmp_path, Topology(gateways=gateways), script=script)
    assert result.manifest["network"]["restarts"] == {victim: 1}
    assert result.manifest["network"]["silent"] == []
    assert len(said) > len(dict(said)), "nothing was said twice, so the test shows little"
    assert all(dict(said)[what] == data for what, data in said)
    assert_as_in_process(result, tmp_path, INTERVALS)


@pytest.mark.parametrize(("number", "gateways"), sample_of([(0, 0), (1, 2)], [(1, 2)]))
def test_a_collector_that_dies_between_rounds_is_replaced_and_the_roots_stay(
    number: int, gateways: int, street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage()
    moment = Moment(monkeypatch, number, lambda: stage.cancel("operator-0"))

    async def script(town: MemoryTown) -> None:
        stage.town = town
        await settled(town, INTERVALS)

    scenario = ws.load(street, overrides=MIXED)
    result = lived(scenario, tmp_path, Topology(gateways=gateways), script=script)
    assert moment.came
    setup = prepare(stored_scenario(result.path))
    with open_chain(result.path) as store:
        senders = [tx.sender for block, _ in store.blocks() for tx in block.txs]
    assert senders[0] in setup.genesis.operators
    assert set(senders[1:]) <= set(setup.genesis.authorities)
    assert result.manifest["network"]["silent"] == []
    assert_as_in_process(result, tmp_path, INTERVALS)


# --- dishonest collectors and homes -------------------------------------------------------------------------


def nonsense(*_: object) -> tuple[bytes, ...]:
    return (b"\x90",)


def much(chain_id: bytes, start_s: int, number: int, tape: Tape) -> tuple[bytes, ...]:
    (page,) = make_pages(chain_id, start_s, number, tape)
    return (encode(msgspec.structs.replace(decode(TapePage, page), rows=2**62)),)


def of_another_round(chain_id: bytes, start_s: int, number: int, tape: Tape) -> tuple[bytes, ...]:
    return make_pages(chain_id, start_s, number + 1, tape)


@pytest.mark.parametrize(
    ("forged", "gateways"),
    sample_of([(nonsense, 0), (much, 0), (of_another_round, 1)], [(of_another_round, 1)]),
)
def test_homes_take_the_tape_of_another_collector_where_that_of_the_operator_is_false(
    forged: Callable[..., tuple[bytes, ...]],
    gateways: int,
    street: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A wrong answer is no answer: nobody is kept out of a round by one."""
    provide, at_operator = CollectorLoop._provide_round, ContextVar("at_operator", default=False)

    async def providing(loop: CollectorLoop, *arguments: Any) -> None:
        at_operator.set(loop._identity.public_key in loop._setup.genesis.operators)
        await provide(loop, *arguments)

    def pages(*arguments: Any) -> tuple[bytes, ...]:
        return (forged if at_operator.get() else make_pages)(*arguments)

    monkeypatch.setattr(CollectorLoop, "_provide_round", providing)
    monkeypatch.setattr("wattswap.nodes.interval.make_pages", pages)
    result = lived(ws.load(street, overrides=MIXED), tmp_path, Topology(gateways=gateways))
    facts = result.manifest["network"]
    assert facts["silent"] == []
    assert facts["broken_promises"] == facts["missed"] == 0
    assert facts["proofs_checked"] == 4 * INTERVALS
    assert facts["refused"].keys() & {"malformed", "out_of_range", "wrong_kind"}
    assert_as_in_process(result, tmp_path, INTERVALS)


def test_homes_take_the_position_of_another_collector_where_that_of_the_operator_is_false(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accepted, it would make homes order a hundred MWh, which their own node refuses to sign."""
    real = Announcer.provide_positions

    def provided(announcer: Announcer, start_s: int, position: IntArray, number: int = 0) -> None:
        is_operator = announcer._own_key in announcer._setup.genesis.operators
        real(announcer, start_s, position + 10**8 * (number + 1) * is_operator, number)

    monkeypatch.setattr(Announcer, "provide_positions", provided)
    result = lived(ws.load(street, overrides=MIXED), tmp_path)
    facts = result.manifest["network"]
    assert facts["silent"] == []
    assert facts["refused"]["out_of_range"] > 0
    assert_as_in_process(result, tmp_path, INTERVALS)


def test_a_home_checks_a_position_against_its_orders() -> None:
    def orders(*rows: tuple[int, int]) -> Orders:
        side, energy = np.array(rows, dtype=np.int64).reshape(-1, 2).T
        return Orders(side * 0, side.astype(np.int8), energy, energy * 0)

    market = Standing()
    market.order(orders((1, 300), (1, 200), (-1, 100)))
    market.check(400)
    market.move_to(400)
    for wrong in (501, 299):
        with pytest.raises(OutOfRange, match="100 Wh at most"):
            market.check(wrong)
    market.order(None)
    market.check(500)
    market.move_to(500)
    for wrong in (501, 399):
        with pytest.raises(OutOfRange):
            market.check(wrong)
    market.order(orders((-1, 700)))
    market.check(-200)
    market.move_to(-200)
    market.order(orders())
    with pytest.raises(OutOfRange, match=r"-1 Wh in a round; the orders give 0\.\.0 Wh at most"):
        market.check(-201)


def test_a_home_that_orders_in_a_later_round_what_its_strategy_does_not_is_named(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = home.sent_orders

    def greedy(setup: Setup, community: Homes, i: int, opened: Round | None = None) -> Orders:
        orders = real(setup, community, i, opened=opened)
        if opened is None or opened.number != 2 or community.members.tolist() != [2]:
            return orders
        return replace(orders, limit_micro_per_kwh=orders.limit_micro_per_kwh + 1)

    monkeypatch.setattr(home, "sent_orders", greedy)
    result = lived(ws.load(street, overrides=MIXED), tmp_path)
    with pytest.raises(VerificationFailed, match="the order of home-3 is not the one to which its data lead"):
        ws.verify(result.path)


def test_a_strategy_that_fails_on_a_tape_keeps_its_home_out_of_the_rounds_that_are_left(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real, error = home.sent_orders, PluginFailed("strategy", "mine", "line 3", "ZeroDivisionError")

    def failing(setup: Setup, community: Homes, i: int, opened: Round | None = None) -> Orders:
        if opened is not None and opened.number == 1 and community.members.tolist() == [2]:
            raise error
        return real(setup, community, i, opened=opened)

    monkeypatch.setattr(home, "sent_orders", failing)
    result = lived(ws.load(street, overrides=MIXED), tmp_path)
    assert f"home-3 stays out of the rounds of {DAYLIGHT_S}: {error}" in caplog.messages
    facts = result.manifest["network"]
    assert facts["silent"] == [f"{DAYLIGHT_S + i * STEP_S} home-3" for i in range(INTERVALS)]
    assert facts["broken_promises"] == facts["missed"] == 0
    assert ws.verify(result.path)["ok"]


# --- with what else homes do --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        (
            *MIXED,
            "homes.control=plan",
            f"homes.battery.home-1={BATTERY}",
            f"homes.battery.home-2={BATTERY}",
        ),
        (
            *MIXED[:2],
            "homes.strategy=aa",
            "homes.members.home-2={from=2026-06-02T11:00:00Z}",
            "homes.members.home-3={to=2026-06-02T11:00:00Z}",
        ),
    ],
    ids=["they hold to what they agreed", "they join and leave"],
)
def test_rounds_of_homes_that_react_or_join_give_the_roots_of_a_run_in_process(
    settings: tuple[str, ...], street: Path, tmp_path: Path
) -> None:
    """Who joins has followed the tape before, so it orders as in a run where all see every round."""
    result = assert_as_in_process(lived(ws.load(street, overrides=settings), tmp_path), tmp_path, INTERVALS)
    facts = result.manifest["network"]
    assert facts["silent"] == []
    assert facts["broken_promises"] == facts["missed"] == 0


@pytest.mark.live
def test_rounds_over_libp2p_give_the_hashes_of_a_run_in_process(
    street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [word for setting in MIXED for word in ("--set", setting)]
    time = ["--validators", 1, "-n", 2, "--at", "2026-06-02T09:00Z", "--gateways", 1]
    outcome = call(capsys, "live", street, *settings, *time, "--out", tmp_path, "--json", "-q")
    assert outcome.code == 0, outcome.err
    facts = json.loads(outcome.out)
    assert len(facts["equal"]) == 2
    assert facts["network"]["signed_receipts"] == 2 * 4 * (3 + 1)
    assert facts["network"]["silent"] == []


def test_where_a_collector_took_over_later_rounds_are_not_checked_and_homes_that_remember_never_again(
    street: Path,
) -> None:
    everybody = {0, 1, 2, 3}
    for strategy, after in (("zip", everybody), ("zi_c", set())):
        unsure = _Unsure(prepare(ws.load(street, overrides=[*MIXED[:2], f"homes.strategy={strategy}"])))
        assert [set(homes) for homes in unsure.homes(taken_over=False)] == [set()] * 3
        assert [set(homes) for homes in unsure.homes(taken_over=True)] == [set(), everybody, everybody]
        assert [set(homes) for homes in unsure.homes(taken_over=False)] == [after] * 3
