"""A collector whose market or plug-in fails goes on, and one silent home does not hold every gate of an interval."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import trio

import wattswap as ws
from market.errors import PluginFailed
from tests.kits.run_kit import FIRST, write_street
from tests.kits.town_kit import play_in_memory, playing
from wattswap.errors import InvalidData
from wattswap.nodes import collector
from wattswap.nodes.batch_checker import BadBatch, BatchChecker
from wattswap.nodes.collector import CollectorLoop
from wattswap.nodes.interval import Recomputed
from wattswap.nodes.live import Topology, run_live
from wattswap.results import RunResult

DAYLIGHT_S = int(FIRST.timestamp()) + 86_400 + 9 * 3_600
INTERVALS, HOMES, GATE_S = 2, 3, 20.0
COLLECTORS = 5
"""The operator and four validators."""
ROUNDS = ("market.rounds=3", "market.mechanism=continuous", "homes.strategy=zi_c")
REACTING = (
    "homes.control=plan",
    "homes.battery.home-1={capacity_kwh=4.0, charge_kw=1.5, discharge_kw=1.5, initial_share=0.5}",
)
FAULTS = (
    PluginFailed("mechanism", "mine", "line 3", "ZeroDivisionError"),
    InvalidData.of("prices.csv", "is damaged"),
    ModuleNotFoundError("No module named 'highspy'"),
)


def lived(
    tmp_path: Path, changes: tuple[str, ...], run_nodes: Callable[..., Mapping[str, int]] = play_in_memory
) -> RunResult:
    return run_live(
        ws.load(write_street(tmp_path, homes=HOMES), overrides=changes),
        topology=Topology(gate_s=GATE_S),
        intervals=INTERVALS,
        start_s=DAYLIGHT_S,
        out=tmp_path / "runs",
        run_nodes=run_nodes,
    )


def failing(function: Callable[..., Any], error: Exception, when: Callable[..., bool]) -> Callable[..., Any]:
    """The function, but it raises once, at the first call that is meant."""
    errors = [error]

    def called(*arguments: Any) -> Any:
        if errors and when(*arguments):
            raise errors.pop()
        return function(*arguments)

    return called


def rounds_of(result: RunResult) -> list[set[int]]:
    """The rounds in which there are orders, by interval."""
    orders = result.table("orders")
    return list(orders.groupby("interval_start")["sequence"].agg(lambda column: set(column // 2**32)))


@pytest.mark.parametrize("error", FAULTS, ids=lambda error: type(error).__name__)
def test_a_round_that_cannot_be_cleared_at_the_operator_is_cleared_by_a_validator(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The homes are refused its tape, and ask others: a validator stands in, and no round is lost."""

    def is_second_round(_setup: object, start_s: int, market: Any, _orders: object) -> bool:
        return start_s == DAYLIGHT_S and market.done == 1

    monkeypatch.setattr(collector, "next_round", failing(collector.next_round, error, is_second_round))
    result = lived(tmp_path, ROUNDS)
    assert f"round 1 of interval {DAYLIGHT_S} cannot be cleared: {error}" in caplog.messages
    assert rounds_of(result) == [{0, 1, 2}, {0, 1, 2}]
    assert result.manifest["network"]["silent"] == []
    assert ws.verify(result.path)["ok"]


def test_a_round_that_nobody_can_clear_is_the_last_and_the_interval_is_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    next_round = collector.next_round

    def broken(setup: Any, start_s: int, market: Any, orders: Any) -> Any:
        if start_s == DAYLIGHT_S and market.done == 1:
            raise FAULTS[0]
        return next_round(setup, start_s, market, orders)

    monkeypatch.setattr(collector, "next_round", broken)
    result = lived(tmp_path, ROUNDS)
    words = f"round 1 of interval {DAYLIGHT_S} cannot be cleared: {FAULTS[0]}"
    assert caplog.messages.count(words) == COLLECTORS
    assert rounds_of(result) == [{0, 1}, {0, 1, 2}]
    silent = [f"{DAYLIGHT_S} home-{home}" for home in (1, 2, 3)]
    assert result.manifest["network"]["silent"] == silent, "in the third round"
    assert ws.verify(result.path)["ok"]


def test_homes_that_ask_what_they_agreed_are_refused_where_it_cannot_be_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def is_first(_setup: object, start_s: int, _orders: object) -> bool:
        return start_s == DAYLIGHT_S

    monkeypatch.setattr(collector, "positions_of", failing(collector.positions_of, FAULTS[0], is_first))
    result = lived(tmp_path, REACTING)
    assert f"round 0 of interval {DAYLIGHT_S} cannot be cleared: {FAULTS[0]}" in caplog.messages
    facts = result.manifest["network"]
    assert (facts["silent"], facts["missed"], facts["proofs_checked"]) == ([], 0, HOMES * INTERVALS)


@pytest.mark.parametrize("changes", [(), ROUNDS], ids=["one round", "three rounds"])
def test_an_interval_that_cannot_be_computed_is_computed_again(
    changes: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The operator is the first to compute an interval."""
    broken = failing(BatchChecker.recompute, BadBatch("the mechanism fails"), lambda *_: True)
    monkeypatch.setattr(BatchChecker, "recompute", lambda *arguments: broken(*arguments))
    result = lived(tmp_path, changes)
    words = f"interval {DAYLIGHT_S} cannot be settled: bad_batch: the mechanism fails; again in 2 s"
    assert words in caplog.messages
    facts = result.manifest["network"]
    assert (facts["silent"], facts["missed"], facts["proofs_checked"]) == ([], 0, HOMES * INTERVALS)
    assert ws.verify(result.path)["ok"]


def test_a_settled_interval_whose_lines_cannot_be_computed_is_announced_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Every node computes an interval once before it is settled, and once for its lines."""
    calls, recompute = Counter[tuple[int, bytes]](), BatchChecker.recompute

    def computed(checker: BatchChecker, blob: bytes) -> Recomputed:
        calls[id(checker), blob] += 1
        if blob == next(iter(calls))[1] and calls[id(checker), blob] == 2:
            raise BadBatch("the mechanism fails")
        return recompute(checker, blob)

    def play(*arguments: Any) -> Mapping[str, int]:
        with monkeypatch.context() as patch:
            patch.setattr(BatchChecker, "recompute", computed)
            return play_in_memory(*arguments)

    result = lived(tmp_path, (), run_nodes=play)
    words = (
        f"interval {DAYLIGHT_S} is settled, but its lines cannot be computed: bad_batch: the mechanism fails"
    )
    assert words in caplog.messages
    facts = result.manifest["network"]
    assert (facts["missed"], facts["proofs_checked"]) == (HOMES, HOMES * (INTERVALS - 1))
    assert ws.verify(result.path)["ok"]


def test_a_silent_home_holds_one_gate_of_the_rounds_of_an_interval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And that of the readings, which ends behind those of all rounds by the clock."""
    collect, waited_s = CollectorLoop._collect_round, defaultdict[tuple[int, int], list[float]](list)

    async def collecting(loop: CollectorLoop, start_s: int, number: int, *rest: Any) -> Any:
        begun = trio.current_time()
        found = await collect(loop, start_s, number, *rest)
        if loop._identity.public_key in loop._setup.genesis.operators:
            waited_s[start_s, number].append(trio.current_time() - begun)
        return found

    monkeypatch.setattr(CollectorLoop, "_collect_round", collecting)
    result = lived(tmp_path, ROUNDS, playing(absent=("home-2",)))
    network = pd.read_parquet(result.path / "network.parquet")
    gates_s = network.loc[network["what"] == "collected", "gate_s"]
    assert len(gates_s) == len(result.manifest["network"]["silent"]) == INTERVALS
    assert gates_s.between(4 * GATE_S, 4.1 * GATE_S).all(), gates_s.tolist()
    assert len(waited_s) == 3 * INTERVALS
    for (_, number), (seconds,) in waited_s.items():
        assert (GATE_S <= seconds < 1.1 * GATE_S) if number == 0 else seconds < 0.1 * GATE_S, waited_s
    assert set(result.table("orders")["sequence"] // 2**32) == {0, 1, 2}
    assert ws.verify(result.path)["ok"]
