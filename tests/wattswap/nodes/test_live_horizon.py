"""Live runs of a market that clears a horizon: the roots of a run in process, faults, and dishonest nodes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

import wattswap as ws
from market.orders import Block, Flexible, Storage, Terms
from market.units import PPM
from p2p.batches.blob import Blob
from p2p.errors import InvalidMessage, OutOfRange, RemoteError
from p2p.roles.collector.answers import Answers
from p2p.roles.exchange.journal import Journal
from p2p.roles.household.member import Member
from p2p.wire.codec import decode, encode
from p2p.wire.messages import OrderLine, OrderMessage, ReceiptMessage, order_line, sign_message
from tests.kits.run_kit import FIRST, call, write_street
from tests.kits.sample_kit import sample_of
from tests.kits.time_kit import eventually_trio, time_passes
from tests.kits.town_kit import MemoryTown, Stage, assert_as_in_process, lived_in_memory, settled
from wattswap.errors import InvalidScenario, VerificationFailed
from wattswap.nodes import ahead
from wattswap.nodes.ahead import Ahead, check_orders
from wattswap.nodes.announcer import Announcer, ByHome
from wattswap.nodes.batch_checker import BatchChecker
from wattswap.nodes.live import Topology
from wattswap.results import RunResult
from wattswap.runs.chain_reader import open_chain
from wattswap.runs.folder import stored_scenario
from wattswap.runs.looking_ahead import refuse_long_horizon
from wattswap.runs.prepare import Setup, prepare

DAYLIGHT_S = int(FIRST.timestamp()) + 86_400 + 9 * 3_600
INTERVALS, STEP_S, HOMES = 3, 3_600, 4
QUICK = Topology()
BATTERY = "homes.battery.home-{}={{capacity_kwh=4.0, charge_kw=1.5, discharge_kw=1.5, initial_share=0.5}}"
AHEAD = (
    "market.mechanism=multi_interval",
    "homes.control=plan",
    'tariff.zone="UTC"',
    'tariff.time_of_use=[{from="09:00", to="11:00", import_per_kwh=0.5}]',
    'homes.controls={self_consumption=["home-3"]}',
    *(BATTERY.format(home) for home in (1, 2, 3)),
)
METERED = "market.quantities=metered"
DEVICES = (
    'homes.ev.home-1={capacity_kwh=40, charge_kw=3.7, kwh_per_day=6, departure="08:30", arrival="08:45"}',
    'homes.appliance.home-4={kwh_per_run=1.2, duration_minutes=120, earliest_start="09:00", latest_end="16:00"}',
)
"""The car is away for no whole interval, and so is charged at home at any time."""


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four homes, three of them with a battery, of which two submit it."""
    return write_street(tmp_path_factory.mktemp("street"), homes=HOMES)


def line(energy_wh: int, terms: Terms | None = None) -> OrderLine:
    """A purchase."""
    return order_line(1, energy_wh, 300_000, terms=terms)


def store(**terms: int) -> Storage:
    """A battery for a day, as no other than the given terms say."""
    usual = Storage(0, 23, 4_000, 1_000, 0, 1_000, 1_000, 950_000, 950_000, 0)
    return replace(usual, **terms)


def lived(scenario: ws.Scenario, out: Path, topology: Topology = QUICK, **options: object) -> RunResult:
    """Three intervals of daylight, in memory."""
    return lived_in_memory(scenario, out, INTERVALS, DAYLIGHT_S, topology, **options)


@pytest.mark.parametrize(
    ("more", "gateways"), sample_of([((), 0), (DEVICES, 2), ((METERED, *DEVICES), 0)], [(DEVICES, 2)])
)
def test_a_horizon_gives_the_roots_of_a_run_in_process(
    more: tuple[str, ...], gateways: int, street: Path, tmp_path: Path
) -> None:
    scenario = ws.load(street, overrides=[*AHEAD, *more])
    result = assert_as_in_process(lived(scenario, tmp_path, Topology(gateways=gateways)), tmp_path, INTERVALS)
    facts, rounds = result.manifest["network"], 1 if METERED in more else 2
    assert facts["signed_receipts"] == (rounds + 1) * HOMES * INTERVALS
    assert facts["proofs_checked"] == HOMES * INTERVALS
    assert facts["broken_promises"] == facts["missed"] == 0
    assert facts["silent"] == []
    assert result.metrics["traded_kwh"] > 0
    held = result.table("readings").pivot(index="interval_start", columns="household", values="stored_wh")
    assert (held[["home-1", "home-2"]] != 2_000).any(axis=None), held
    if more:
        read = result.table("readings").groupby("household")
        assert read["ev_wh"].sum()["home-1"] > 0
        assert read["appliance_wh"].sum()["home-4"] > 0


def test_a_run_that_signs_its_messages_has_the_same_roots(street: Path, tmp_path: Path) -> None:
    scenario = [
        ws.load(street, overrides=[*AHEAD, *DEVICES, "time.intervals=3", f"chain.sign_orders={signs}"])
        for signs in ("true", "false")
    ]
    signed, plain = (ws.run(one, out=tmp_path / str(k)) for k, one in enumerate(scenario))
    assert (
        signed.table("intervals")["clearing_root"].tolist()
        == plain.table("intervals")["clearing_root"].tolist()
    )


@pytest.mark.parametrize(("more", "absent"), [((), ("home-3",)), ((METERED,), ())])
def test_homes_join_and_leave(
    more: tuple[str, ...], absent: tuple[str, ...], street: Path, tmp_path: Path
) -> None:
    """Both have a battery that they submit; what it held while it was no member counts when its home joins."""
    terms = (
        "homes.members.home-1.to=2026-06-02T11:00:00Z",
        "homes.members.home-2.from=2026-06-02T10:00:00Z",
    )
    scenario = ws.load(street, overrides=[*AHEAD, *DEVICES, *terms, *more])
    result = lived(scenario, tmp_path, Topology(gate_s=2.0) if absent else QUICK, absent=absent)
    if absent:
        assert ws.verify(result.path)["ok"]
    else:
        assert_as_in_process(result, tmp_path, INTERVALS)
    orders = result.table("orders").groupby("interval_start")["household"].agg(set).tolist()
    assert ["home-1" in one for one in orders] == [True, True, False]
    assert ["home-2" in one for one in orders] == [False, True, True]
    assert result.manifest["network"]["silent"] == [
        f"{DAYLIGHT_S + i * STEP_S} {home}" for i in range(INTERVALS) for home in absent
    ]


# --- faults -------------------------------------------------------------------------------------------------


def test_an_absent_home_is_left_out(street: Path, tmp_path: Path) -> None:
    result = lived(ws.load(street, overrides=AHEAD), tmp_path, Topology(gate_s=2.0), absent=("home-2",))
    assert result.manifest["network"]["silent"] == [
        f"{DAYLIGHT_S + i * STEP_S} home-2" for i in range(INTERVALS)
    ]
    orders = result.table("orders")
    assert set(orders["household"]) <= {"home-1", "home-3", "home-4"}
    assert orders["accepted_wh"].sum() > 0
    assert ws.verify(result.path)["ok"]


@pytest.mark.parametrize("number", sample_of([0, 1], [1]))
def test_a_home_that_is_late_in_a_round_stands_by_the_other(
    number: int, street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Late at delivery its forecast stands; late at the gate it stays out of the interval: no validator may promise it
    then what nobody waits for."""
    submit, gate_s, answers = Member.submit, 2.0, list[tuple[int, int]]()

    async def slow(house: Member, message: Any) -> ReceiptMessage:
        found = getattr(message, "round", None)
        if (house.id, found, message.interval_start) == ("home-1", number, DAYLIGHT_S):
            await time_passes((number + 1.5) * gate_s)
        return await submit(house, message)

    monkeypatch.setattr(Member, "submit", slow)
    moves = Ahead.moves

    def seen(market: Ahead, found: int) -> Any:
        answer = moves(market, found)
        answers.append((found, len(answer.lines.of_home(0))))
        return answer

    monkeypatch.setattr(Ahead, "moves", seen)
    result = lived(ws.load(street, overrides=[*AHEAD, *DEVICES]), tmp_path, Topology(gate_s=gate_s))
    assert result.manifest["network"]["silent"] == [f"{DAYLIGHT_S} home-1"]
    lines = [next(count for found, count in answers if found == at) for at in (0, 1)]
    assert (lines[0] == 0) == (number == 0)
    assert (lines[1] == 0) == (number == 0)
    orders = result.table("orders")
    there = orders.loc[orders["interval_start"] == orders["interval_start"].min(), "household"]
    assert ("home-1" in set(there)) == (number == 1)
    assert ws.verify(result.path)["ok"]


class Moment:
    """Does something as soon as the first collector has answered a round of the second interval."""

    def __init__(self, patch: pytest.MonkeyPatch, number: int, do: Callable[[], None]) -> None:
        self.came = False
        provide = Answers.provide_positions

        def provided(answers: Answers, start_s: int, given: Mapping[str, bytes], found: int = 0) -> None:
            provide(answers, start_s, given, found)
            if not self.came and (start_s, found) == (DAYLIGHT_S + STEP_S, number):
                self.came = True
                do()

        patch.setattr(Answers, "provide_positions", provided)


@pytest.mark.parametrize(("number", "gateways"), sample_of([(0, 0), (0, 2), (1, 0)], [(0, 2)]))
def test_a_collector_that_dies_between_rounds_is_replaced_and_the_roots_stay(
    number: int, gateways: int, street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage()
    moment = Moment(monkeypatch, number, lambda: stage.cancel("operator-0"))

    async def script(town: MemoryTown) -> None:
        stage.town = town
        await settled(town, INTERVALS)

    scenario = ws.load(street, overrides=[*AHEAD, *DEVICES])
    result = lived(scenario, tmp_path, Topology(gateways=gateways), script=script)
    assert moment.came
    setup = prepare(stored_scenario(result.path))
    with open_chain(result.path) as store:
        senders = [tx.sender for block, _ in store.blocks() for tx in block.txs]
    assert senders[0] in setup.genesis.operators
    assert set(senders[1:]) <= set(setup.genesis.authorities)
    assert_as_in_process(result, tmp_path, INTERVALS)


@pytest.mark.parametrize("victim", sample_of(["operator-0", "home-2"], ["home-2"]))
def test_a_node_that_is_started_again_between_rounds_goes_on_where_it_was(
    victim: str, street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, said = Stage(), list[tuple[tuple[int, int, str, int], bytes]]()
    sign_once = Journal.sign_once

    def signed(journal: Journal, *args: Any) -> bytes:
        said.append((args[:4], sign_once(journal, *args)))
        return said[-1][1]

    monkeypatch.setattr(Journal, "sign_once", signed)
    moment = Moment(monkeypatch, 0, lambda: stage.cancel(victim))

    async def script(town: MemoryTown) -> None:
        stage.town = town
        await eventually_trio(lambda: moment.came, "the round is over", 3_600)
        await town.ended[victim].wait()
        town.start(victim)

    result = lived(ws.load(street, overrides=[*AHEAD, *DEVICES]), tmp_path, script=script)
    assert result.manifest["network"]["restarts"] == {victim: 1}
    assert all(dict(said)[what] == data for what, data in said)
    assert_as_in_process(result, tmp_path, INTERVALS)


# --- dishonest collectors and homes -------------------------------------------------------------------------


def test_homes_do_not_follow_an_answer_that_their_orders_do_not_allow(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They take that of another collector: nobody is kept out of a round by a wrong one."""
    real, provide = ahead.Answer, Announcer.provide_answers

    def forged(*fields: Any) -> Any:
        return real(*fields[:-1], tuple(wh + 10**6 for wh in fields[-1]))

    def provided(announcer: Announcer, market: Ahead, number: int) -> None:
        def answer(home: int) -> bytes:
            with monkeypatch.context() as patch:
                patch.setattr(ahead, "Answer", forged)
                return market.answer(number, home)

        provide(announcer, market, number)
        if announcer._own_key in announcer._setup.genesis.operators:
            answers = ByHome(announcer._setup.roster, answer)
            announcer._operator.answers.provide_positions(market.start_s, answers, number)

    monkeypatch.setattr(Announcer, "provide_answers", provided)
    result = lived(ws.load(street, overrides=[*AHEAD, *DEVICES]), tmp_path)
    facts = result.manifest["network"]
    assert facts["refused"]["out_of_range"] > 0
    assert facts["missed"] == facts["broken_promises"] == 0
    assert facts["proofs_checked"] == HOMES * INTERVALS
    assert_as_in_process(result, tmp_path, INTERVALS)


def test_a_message_that_the_market_does_not_take_counts_as_none_whoever_let_it_in(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A collector that takes it together with a home that signs it harms that home alone."""
    beyond = (order_line(1, 10, 300_000, terms=Flexible(24, 24, 0, 10, 1)),)
    real = Setup.message_of

    def hostile(setup: Setup, home: int, start_s: int, lines: Any, number: int = 0) -> Any:
        return real(setup, home, start_s, beyond if home == 1 else lines, number)

    monkeypatch.setattr(Setup, "message_of", hostile)
    monkeypatch.setattr("wattswap.nodes.node.check_orders", lambda setup: lambda message: None)
    result = lived(ws.load(street, overrides=AHEAD), tmp_path)
    monkeypatch.undo()
    silent = [f"{DAYLIGHT_S + i * STEP_S} home-2" for i in range(INTERVALS)]
    assert result.manifest["network"]["silent"] == silent, (
        "it gets no answer for these orders, and says no more"
    )
    assert "home-2" not in set(result.table("orders")["household"])
    assert result.table("orders")["accepted_wh"].sum() > 0
    with pytest.raises(VerificationFailed, match="the order of home-2 is not the one to which its data lead"):
        ws.verify(result.path)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([line(100), line(50, Flexible(24, 24, 0, 50, 1))], "an order for interval 24 of a horizon of 24"),
        ([line(1_000, store(last=24))], "an order for interval 24 of a horizon of 24"),
        ([line(1_000, store(final_wh=1))], "must end with some content"),
        ([line(1_000, store(first=1))], "not there from the first interval on"),
        ([line(1_000, store()), line(1_000, store())], "2 storages; a home has one at most"),
        ([line(0)], "an order of no energy"),
        ([line(0, Flexible(1, 1, 0, 9, 1))], "an order of no energy"),
        ([line(100, Flexible(0, 5, 100, 50, 1))] * 9, "9 flexible orders that are not divisible at will"),
        ([order_line(-1, 9, 0, terms=Flexible(0, 5, 0, 9, 0))], "sells and is not divisible at will"),
        ([order_line(1, 100, 0, 1)], "an order at node 1, and the market has one place"),
        ([order_line(1, 100, 10_000_001)], "a limit of 10000001 micro a kWh; at most 10000000 is taken"),
        ([order_line(1, 1, -(10**9), terms=store(charge_wh=1))], "a limit of -1000000000 micro a kWh"),
    ],
)
def test_the_door_of_a_collector_refuses_what_the_market_does_not_take(
    lines: list[OrderLine], words: str, street: Path
) -> None:
    setup = prepare(ws.load(street, overrides=AHEAD))
    message = setup.message_of(0, setup.start_s, tuple(lines))
    assert isinstance(message, OrderMessage)
    sign_message(setup.keys.identity("household", "home-1"), message, setup.genesis.params.limits)
    with pytest.raises(OutOfRange, match=words):
        check_orders(setup)(message)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([line(1_000, store(charge_ppm=PPM + 1))], "an efficiency of 0 or above one"),
        ([line(1_000, store(discharge_ppm=2 * PPM))], "an efficiency of 0 or above one"),
        ([line(1_000, store(capacity_wh=2**62))], "energy or wear is outside the limits"),
        ([line(1_000, store(capacity_wh=10**12))], "energy or wear is outside the limits"),
        ([line(2_000_000, store(charge_wh=2_000_000))], "energy_wh is 2000000"),
        ([line(1_000, store(initial_wh=5_000))], "with 5000 Wh first"),
        ([line(10, Flexible(0, 700, 0, 10, 1))], "a window 0..700 outside 0..671"),
        (
            [line(1, Flexible(t % 24, t % 24, 0, 1, 1)) for t in range(129)],
            "129 orders; a message has 1..128",
        ),
        ([line(400_000, Flexible(3, 3, 0, 400_000, 1))] * 3, "energy_wh adds up to 1200000"),
        ([line(10, Block(0, PPM, -1, -1, -1, (10,)))], "kind is 1; this market takes"),
    ],
)
def test_no_home_can_sign_what_no_chain_of_a_horizon_takes(
    lines: list[OrderLine], words: str, street: Path
) -> None:
    setup = prepare(ws.load(street, overrides=AHEAD))
    message = setup.message_of(0, setup.start_s, tuple(lines))
    with pytest.raises(InvalidMessage, match=words):
        sign_message(setup.keys.identity("household", "home-1"), message, setup.genesis.params.limits)


def test_a_day_of_quarters_of_an_hour_fits_into_a_message_and_no_more_is_begun(
    street: Path, tmp_path: Path
) -> None:
    setup = prepare(ws.load(street, overrides=AHEAD))
    limits = setup.genesis.params.limits
    most, price = limits.max_energy_wh, -limits.max_price_micro_per_kwh
    quarters = [order_line(-1, most, price, terms=Flexible(t, t, 0, most, 1)) for t in range(96)]
    devices = [order_line(1, most // 40, price, terms=Flexible(0, 95, 0, most, 1)) for _ in range(31)]
    battery = order_line(1, 0, price, terms=store(capacity_wh=600 * most, charge_wh=0, discharge_wh=0))
    message = setup.message_of(0, setup.start_s, (*quarters, battery))
    assert len(sign_message(setup.keys.identity("household", "home-1"), message, limits)) < 3_000
    message = setup.message_of(0, setup.start_s, (*devices, battery, *quarters))
    with pytest.raises(InvalidMessage, match="energy_wh adds up to"):
        sign_message(setup.keys.identity("household", "home-1"), message, limits)
    long = ws.load(street, overrides=[*AHEAD, "time.interval_minutes=5"])
    with pytest.raises(InvalidScenario, match=r"288 intervals of 5 min, and .* has room for 96; give 8 or"):
        refuse_long_horizon(long, 5)


def test_orders_of_the_retailer_cannot_be_forged(street: Path, tmp_path: Path) -> None:
    """They are in no message: everybody computes them from the tariff, and a clearing with others does not follow."""
    result = lived(ws.load(street, overrides=AHEAD), tmp_path)
    setup = prepare(stored_scenario(result.path))
    blobs = [path.read_bytes() for path in (result.path / "blobs").iterdir()]
    blob = next(one for one in blobs if decode(Blob, one).interval_start == DAYLIGHT_S)
    honest = BatchChecker(setup).recompute(blob)
    BatchChecker(setup)(honest.args, blob)
    dear = ws.load(street, overrides=[*AHEAD, "tariff.import_per_kwh=0.9", "tariff.feed_in_per_kwh=0.8"])
    other = replace(prepare(dear), given_genesis=setup.genesis)
    start = {"start_s": setup.start_s, "first_row": setup.first_row, "intervals": setup.intervals}
    plain = msgspec.structs.replace(decode(Blob, blob), solution=b"")
    forged, computed = BatchChecker(replace(other, **start)).complete(encode(plain))
    assert computed.args.clearing_root != honest.args.clearing_root
    with pytest.raises(RemoteError, match="bad_batch"):
        BatchChecker(setup)(computed.args, forged)
    line_of_nobody = msgspec.structs.replace(plain.lines[-1], participant=HOMES)
    with pytest.raises(RemoteError, match=f"by home {HOMES} of {HOMES}"):
        BatchChecker(setup).recompute(
            encode(msgspec.structs.replace(plain, lines=(*plain.lines, line_of_nobody)))
        )


@pytest.mark.live
def test_a_horizon_over_libp2p_gives_the_hashes_of_a_run_in_process(
    street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [word for setting in (*AHEAD, *DEVICES) for word in ("--set", setting)]
    time = ["--validators", 1, "-n", 2, "--at", "2026-06-02T09:00Z", "--gateways", 1]
    outcome = call(capsys, "live", street, *settings, *time, "--out", tmp_path, "--json", "-q")
    assert outcome.code == 0, outcome.err
    facts = json.loads(outcome.out)
    assert len(facts["equal"]) == 2
    assert facts["network"]["signed_receipts"] == 2 * HOMES * (2 + 1)
    assert facts["network"]["silent"] == []
