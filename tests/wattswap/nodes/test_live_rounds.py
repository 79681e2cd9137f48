"""Live runs of markets that are open for several rounds: the roots of a run in process, faults, and lies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import wattswap as ws
from agents.bidding import Orders
from market.units import IntArray
from p2p.errors import OutOfRange
from p2p.roles.collector.operator import Operator
from p2p.roles.exchange.journal import Journal
from p2p.roles.exchange.tape import PublicTape, TapePage, make_pages
from p2p.wire.codec import decode, encode
from tests.kits.run_kit import FIRST, write_street
from tests.kits.time_kit import eventually_trio
from tests.kits.town_kit import MemoryTown, playing, settled
from wattswap.nodes.collector import CollectorLoop
from wattswap.nodes.home import Standing
from wattswap.nodes.live import Topology, compare_runs, run_live
from wattswap.results import RunResult
from wattswap.runs import engine
from wattswap.runs.chain_reader import open_chain
from wattswap.runs.folder import stored_scenario
from wattswap.runs.prepare import prepare

DAYLIGHT_S = int(FIRST.timestamp()) + 86_400 + 9 * 3_600
INTERVALS, STEP_S = 3, 3_600
QUICK = Topology()
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
    return run_live(
        scenario,
        topology=topology,
        intervals=INTERVALS,
        start_s=DAYLIGHT_S,
        out=out,
        run_nodes=playing(**options),
    )


def assert_as_in_process(result: RunResult, tmp_path: Path) -> RunResult:
    """Every root of every interval is that of the run in process, and so are the tables."""
    again = engine.run(stored_scenario(result.path), out=tmp_path / "again")
    assert len(compare_runs(result, again)) == INTERVALS
    for name in ("orders", "postings", "bills", "readings"):
        assert (result.path / f"{name}.parquet").read_bytes() == (again.path / f"{name}.parquet").read_bytes()
    assert ws.verify(result.path)["ok"]
    return result


@pytest.mark.parametrize("gateways", [0, 2])
def test_homes_that_order_in_rounds_give_the_roots_of_a_run_in_process(
    gateways: int, street: Path, tmp_path: Path
) -> None:
    scenario = ws.load(street, overrides=MIXED)
    result = assert_as_in_process(lived(scenario, tmp_path, Topology(gateways=gateways)), tmp_path)
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
        provide = Operator.provide_tape

        def provided(operator: Operator, start_s: int, found: int, pages: tuple[bytes, ...]) -> None:
            provide(operator, start_s, found, pages)
            if not self.came and (start_s, found) == (DAYLIGHT_S + STEP_S, number):
                self.came = True
                do()

        patch.setattr(Operator, "provide_tape", provided)


@dataclass
class Stage:
    """The town, which is there once the nodes have been started."""

    town: MemoryTown | None = None

    def cancel(self, name: str) -> None:
        """End a node at once, in the middle of what others do."""
        assert self.town is not None
        self.town.scopes[name].cancel()


@pytest.mark.parametrize(
    ("victim", "gateways", "number"), [("home-2", 0, 0), ("home-2", 0, 2), ("gateway-0", 1, 1)]
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
    assert_as_in_process(result, tmp_path)


@pytest.mark.parametrize(("number", "gateways"), [(0, 0), (1, 2)])
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
    assert_as_in_process(result, tmp_path)


# --- lies ---------------------------------------------------------------------------------------------------


def nonsense(*_: object) -> tuple[bytes, ...]:
    return (b"\x90",)


def much(chain_id: bytes, start_s: int, number: int, tape: PublicTape) -> tuple[bytes, ...]:
    (page,) = make_pages(chain_id, start_s, number, tape)
    return (encode(msgspec.structs.replace(decode(TapePage, page), rows=2**62)),)


def of_another_round(chain_id: bytes, start_s: int, number: int, tape: PublicTape) -> tuple[bytes, ...]:
    return make_pages(chain_id, start_s, number + 1, tape)


@pytest.mark.parametrize(("lie", "gateways"), [(nonsense, 0), (much, 0), (of_another_round, 1)])
def test_homes_stay_out_of_the_rounds_of_a_collector_that_lies_and_the_chain_goes_on(
    lie: Callable[..., tuple[bytes, ...]],
    gateways: int,
    street: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("wattswap.nodes.interval.make_pages", lie)
    scenario = ws.load(street, overrides=MIXED)
    result = lived(scenario, tmp_path, Topology(gateways=gateways))
    facts = result.manifest["network"]
    assert len(facts["silent"]) == 4 * INTERVALS
    assert facts["broken_promises"] == facts["missed"] == 0
    assert facts["proofs_checked"] == 4 * INTERVALS
    assert set(result.table("orders")["sequence"] // 2**32) == {0}
    assert ws.verify(result.path)["ok"]


def test_a_collector_that_says_a_home_has_traded_what_it_has_not_is_not_believed(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Believed, it would make homes order a hundred MWh, which their own node refuses to sign."""
    real = CollectorLoop._provide_positions

    def provided(loop: CollectorLoop, start_s: int, position: IntArray, number: int = 0) -> None:
        real(loop, start_s, position + 10**8 * (number + 1), number)

    monkeypatch.setattr(CollectorLoop, "_provide_positions", provided)
    result = lived(ws.load(street, overrides=MIXED), tmp_path)
    assert len(result.manifest["network"]["silent"]) == 4 * INTERVALS
    assert set(result.table("orders")["sequence"] // 2**32) == {0}
    assert ws.verify(result.path)["ok"]


def test_a_home_knows_what_its_orders_can_have_given() -> None:
    def orders(*rows: tuple[int, int]) -> Orders:
        side, energy = np.array(rows, dtype=np.int64).reshape(-1, 2).T
        return Orders(side * 0, side.astype(np.int8), energy, energy * 0)

    market = Standing()
    market.order(orders((1, 300), (1, 200), (-1, 100)))
    market.move_to(400)
    for wrong in (501, 299):
        with pytest.raises(OutOfRange, match="100 Wh at most"):
            market.move_to(wrong)
    market.order(None)
    market.move_to(500)
    for wrong in (501, 399):
        with pytest.raises(OutOfRange):
            market.move_to(wrong)
    market.order(orders((-1, 700)))
    market.move_to(-200)
    market.order(orders())
    with pytest.raises(OutOfRange, match=r"-1 Wh in a round; the orders give 0\.\.0 Wh at most"):
        market.move_to(-201)
