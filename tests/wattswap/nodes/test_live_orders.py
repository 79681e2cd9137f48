"""Live runs of homes with several orders an interval: the roots of a run in process, and what breaks the rules."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest

import wattswap as ws
from p2p.batches.batch import batches
from p2p.batches.blob import open_blob
from p2p.blocks.genesis import read_genesis
from p2p.roles.replica.blobs import FolderBlobs
from tests.kits.plugin_kit import own_registries, written
from tests.kits.run_kit import FIRST, call, refused, write_street
from tests.kits.sample_kit import sample_of
from tests.kits.time_kit import time_passes
from tests.kits.town_kit import MemoryTown, Script, assert_as_in_process, lived_in_memory, settled
from wattswap.errors import InvalidData
from wattswap.nodes.learned import Learned
from wattswap.nodes.live import Topology
from wattswap.nodes.provision import KeyPlan, NetworkSpec, init_nodes
from wattswap.results import RunResult
from wattswap.runs.chain_reader import open_chain
from wattswap.runs.folder import stored_scenario
from wattswap.runs.prepare import prepare

QUICK = Topology()
PACED = Topology(pace_s=2.0)
DAYLIGHT_S = int(FIRST.timestamp()) + 86_400 + 9 * 3_600
STAIRCASE = '''
"""Three orders a home, level by level: two steps of what it needs or has over, and one on the other side."""

import numpy as np

from agents.bidding import STRATEGIES, Orders, Strategy


def bid(state, view):
    homes = np.arange(len(view.net_wh))
    side = np.where(view.net_wh > 0, 1, -1).astype(np.int8)
    low, high = view.prices.feed_in_micro_per_kwh, view.prices.buy_cap_micro_per_kwh
    first, second = abs(view.net_wh) * 2 // 3, abs(view.net_wh) - abs(view.net_wh) * 2 // 3
    eager = np.where(side > 0, high, low)
    shy = np.where(side > 0, high - (high - low) // 3, low + (high - low) // 3)
    other = (low + high) // 2 + view.homes % 5 * 1_000 * -side
    return Orders(
        np.tile(homes, 3),
        np.concatenate([side, side, -side]),
        np.concatenate([first, second, np.full(len(homes), 40)]),
        np.concatenate([eager, shy, other]),
    )


def start(homes, rules):
    return {"shift": 0 * homes, "received": 0.1 * homes}


def learn_own(state, results):
    """Move by where the price was, by how much was traded and by what was paid for it."""
    price = 0 if results.price is None else results.price.price % 5_003 + 1
    traded = results.bought_wh * 3 - results.sold_wh
    received = state["received"] * 0.7 + results.payment_nano / 7e6 + results.start_s % 7
    return {"shift": (state["shift"] // 2 + price + traded + received.astype(np.int64)) % 9_000, "received": received}


def bid_learned(state, view):
    orders = bid(state, view)
    limit = orders.limit_micro_per_kwh - orders.side * state["shift"][orders.home]
    return Orders(orders.home, orders.side, orders.energy_wh, limit)


STRATEGIES.register(Strategy("three_steps", bid, "a test", several_orders=True), contract=2)
STRATEGIES.register(
    Strategy("learner", bid_learned, "a test", start=start, several_orders=True, learn_own=learn_own), contract=2
)
STRATEGIES.register(
    Strategy("listener", bid, "a test", several_orders=True, learn=lambda state, outcome: state), contract=2
)
'''


@pytest.fixture(scope="module")
def three_steps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file with a strategy of three orders a home, imported, and forgotten afterwards."""
    file = written(tmp_path_factory.mktemp("theirs"), "three_steps.py", STAIRCASE)
    with pytest.MonkeyPatch.context() as patch, own_registries(patch):
        sys.path.insert(0, str(file.parent))
        import_module("three_steps")
        yield file
    sys.modules.pop("three_steps", None)


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six homes."""
    return write_street(tmp_path_factory.mktemp("street"), homes=6)


def lived(scenario: ws.Scenario, out: Path, topology: Topology = QUICK, **options: object) -> RunResult:
    """Four intervals of daylight, in memory."""
    return lived_in_memory(scenario, out, 4, DAYLIGHT_S, topology, **options)


def books(result: RunResult) -> list[bytes]:
    """The root of each interval's book."""
    return list(result.table("intervals")["book_root"])


def killing(victim: str, meanwhile: Callable[[MemoryTown], None] = lambda town: None) -> Script:
    """Kill a node after the second interval and start it again a second later."""

    async def script(town: MemoryTown) -> None:
        await settled(town, 2)
        await town.kill(victim)
        meanwhile(town)
        await time_passes(1)
        town.start(victim)

    return script


def orders_a_home(result: RunResult) -> list[int]:
    """How many orders each home placed in each interval in which it placed any."""
    return result.table("orders").groupby(["interval_start", "household"]).size().tolist()


@pytest.mark.usefixtures("three_steps")
@pytest.mark.parametrize("gateways", sample_of([0, 2], [2]))
def test_homes_with_three_orders_each_give_the_roots_of_a_run_in_process(
    gateways: int, street: Path, tmp_path: Path
) -> None:
    scenario = ws.load(street, overrides=["homes.strategy=three_steps"])
    result = assert_as_in_process(lived(scenario, tmp_path, Topology(gateways=gateways)), tmp_path, 4)
    assert Counter(orders_a_home(result)) == {3: 21, 1: 3}, "a battery covers home-1: one order is left"
    assert result.metrics["traded_kwh"] > 0
    facts = result.manifest["network"]
    assert (facts["signed_receipts"], facts["proofs_checked"]) == (2 * 6 * 4, 6 * 4)
    assert facts["broken_promises"] == facts["missed"] == 0
    network = pd.read_parquet(result.path / "network.parquet")
    assert network.loc[network["what"] == "collected", "orders"].sum() == len(result.table("orders"))


@pytest.mark.usefixtures("three_steps")
def test_all_orders_of_a_home_stand_in_the_one_message_that_it_signed(street: Path, tmp_path: Path) -> None:
    scenario = ws.load(street, overrides=["homes.strategy=three_steps"])
    result = lived(scenario, tmp_path)
    members = prepare(stored_scenario(result.path)).member_list
    blobs = FolderBlobs(result.path / "blobs")
    with open_chain(result.path) as store:
        content = [
            open_blob(blobs.get(args.blob_hash) or b"", store.genesis, members)
            for block, _ in store.blocks()
            for _, args in batches(block.txs)
        ]
    table = result.table("orders")
    for interval in content:
        assert [len(message.orders) for message in interval.orders][1:] == [3] * 5
        rows = table[table["interval_start"] == pd.Timestamp(interval.interval_start, unit="s", tz="UTC")]
        for message in interval.orders:
            mine = rows[rows["household"] == message.household]
            said = [(line.side, line.energy_wh, line.limit_micro_per_kwh) for line in message.orders]
            booked = mine[["side", "energy_wh", "limit_micro_per_kwh"]].itertuples(index=False, name=None)
            assert said == list(booked)


@pytest.mark.usefixtures("three_steps")
def test_homes_of_several_strategies_give_the_roots_of_a_run_in_process(street: Path, tmp_path: Path) -> None:
    shares = 'homes.strategies={three_steps=0.5, zi_c=["home-1", "home-4"]}'
    result = assert_as_in_process(lived(ws.load(street, overrides=[shares]), tmp_path), tmp_path, 4)
    assert Counter(orders_a_home(result)) == {3: 2 * 4, 1: 13}


def test_a_home_with_three_orders_that_is_killed_and_started_again_loses_none(
    three_steps: Path, street: Path, tmp_path: Path
) -> None:
    scenario = ws.load(street, overrides=["homes.strategy=three_steps"])
    result = lived(scenario, tmp_path, PACED, script=killing("home-2"))
    assert result.manifest["network"]["restarts"] == {"home-2": 1}
    assert result.manifest["network"]["silent"] == []
    assert_as_in_process(result, tmp_path, 4)


# --- learning ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("three_steps")
@pytest.mark.parametrize(
    ("strategies", "gateways"),
    [
        pytest.param("homes.strategy=learner", 0, marks=pytest.mark.slow),
        ("homes.strategies={learner=0.7}", 2),
    ],
)
def test_homes_that_learn_from_their_own_results_give_the_roots_of_a_run_in_process(
    strategies: str, gateways: int, street: Path, tmp_path: Path
) -> None:
    scenario = ws.load(street, overrides=[strategies])
    result = assert_as_in_process(lived(scenario, tmp_path, Topology(gateways=gateways)), tmp_path, 4)
    assert "follow from the signed messages" in ws.verify(result.path)["checks"]["messages"]
    untaught = ws.load(street, overrides=[strategies.replace("learner", "three_steps")])
    first, second = (books(run) for run in (result, lived(untaught, tmp_path / "untaught")))
    assert first[0] == second[0], "nothing is known before the first interval"
    assert all(a != b for a, b in zip(first[1:], second[1:], strict=True))


@pytest.mark.usefixtures("three_steps")
@pytest.mark.parametrize(
    ("victim", "gateways"), sample_of([("home-2", 0), ("gateway-0", 1)], [("gateway-0", 1)])
)
def test_a_home_that_is_killed_and_started_again_has_forgotten_nothing(
    victim: str, gateways: int, street: Path, tmp_path: Path
) -> None:
    scenario = ws.load(street, overrides=["homes.strategy=learner"])
    topology = Topology(gateways=gateways, pace_s=PACED.pace_s)
    result = lived(scenario, tmp_path, topology, script=killing(victim))
    assert result.manifest["network"]["restarts"] == {victim: 1}
    assert result.manifest["network"]["silent"] == []
    assert_as_in_process(result, tmp_path, 4)


def changed(data: bytes) -> bytes:
    """One number of what was learned is another."""
    content = json.loads(data)
    newest = content["snapshots"][max(content["snapshots"])]
    newest["strategies"]["learner"]["shift"]["values"][0] += 1
    return json.dumps(content).encode()


@pytest.mark.usefixtures("three_steps")
@pytest.mark.parametrize(
    ("damage", "phrase"),
    [
        (None, "is missing"),
        (lambda data: b"", "is damaged"),
        (lambda data: data[: len(data) // 2], "is damaged"),
        (lambda data: b"[]", "is damaged"),
        (changed, "is damaged"),
        (lambda data: b"\xff\xfe", "is damaged"),
    ],
    ids=["missing", "empty", "cut", "other JSON", "changed", "no text"],
)
def test_a_home_whose_memory_is_damaged_sends_nothing_and_says_so(
    damage: Callable[[bytes], bytes] | None, phrase: str, street: Path, tmp_path: Path
) -> None:
    def spoil(town: MemoryTown) -> None:
        path = town.configs["home-2"].data_path / "learned-1.json"
        if damage is None:
            path.unlink()
        else:
            path.write_bytes(damage(path.read_bytes()))

    scenario = ws.load(street, overrides=["homes.strategy=learner"])
    with pytest.raises(InvalidData) as caught:
        lived(scenario, tmp_path, PACED, script=killing("home-2", spoil))
    (problem,) = caught.value.problems
    assert problem.where.endswith("home-2/data/learned-1.json")
    assert phrase in str(caught.value)
    assert "start the node with an empty folder data: home-2 learns again" in str(caught.value)


@pytest.mark.usefixtures("three_steps")
def test_a_home_whose_memory_was_edited_and_hashed_again_says_so(street: Path, tmp_path: Path) -> None:
    def edit(town: MemoryTown) -> None:
        config = town.configs["home-2"]
        chain_id = read_genesis(config.genesis_path).chain_id.hex()
        learned = Learned(config.data_path / "learned-1.json", chain_id, "home-2")
        newest = max(json.loads(learned.path.read_bytes())["snapshots"], key=int)
        learned.keep(int(newest), {**learned.before(int(newest)), "devices": []})

    scenario = ws.load(street, overrides=["homes.strategy=learner"])
    with pytest.raises(
        InvalidData, match="is damaged: devices is a list of 2 intervals, not 0; start the node"
    ):
        lived(scenario, tmp_path, PACED, script=killing("home-2", edit))


@pytest.mark.usefixtures("three_steps")
def test_a_home_that_lost_everything_learns_again_from_the_lines_it_asks_for(
    street: Path, tmp_path: Path
) -> None:
    def lose(town: MemoryTown) -> None:
        for path in town.configs["home-2"].data_path.iterdir():
            path.unlink()

    scenario = ws.load(street, overrides=["homes.strategy=learner"])
    result = lived(scenario, tmp_path, PACED, script=killing("home-2", lose))
    assert result.manifest["network"]["silent"] == []
    assert_as_in_process(result, tmp_path, 4)


def test_what_another_home_learned_or_in_another_chain_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "learned-0.json"
    mine = Learned(path, "aa", "home-1")
    for start in range(0, 20 * 900, 900):
        mine.keep(start, {"row": start})
    assert [mine.before(start)["row"] for start in (4 * 900, 19 * 900)] == [4 * 900, 19 * 900]
    with pytest.raises(InvalidData, match="has nothing from before interval 2700"):
        mine.before(3 * 900)
    for other in (Learned(path, "aa", "home-2"), Learned(path, "ab", "home-1")):
        with pytest.raises(InvalidData, match="of another home or chain"):
            other.before(19 * 900)
        with pytest.raises(InvalidData, match="of another home or chain"):
            other.keep(20 * 900, {})
    path.unlink()
    path.mkdir()
    with pytest.raises(InvalidData, match="cannot be read"):
        Learned(path, "aa", "home-1").before(0)
    with pytest.raises(InvalidData, match="cannot be written"):
        Learned(tmp_path / "nowhere" / "learned-0.json", "aa", "home-1").keep(0, {})


def test_what_a_home_learned_is_read_once_and_written_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "learned-0.json"
    Learned(path, "aa", "home-1").keep(0, {"row": 0})
    reads: list[Path] = []
    read_bytes = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: reads.append(path) or read_bytes(path))
    again = Learned(path, "aa", "home-1")
    assert again.before(0) == {"row": 0}
    for start in (900, 1800):
        again.keep(start, {"row": start})
    assert reads == [path]
    other = Learned(path, "aa", "home-1")
    assert [other.before(start)["row"] for start in (0, 900, 1800)] == [0, 900, 1800]


@pytest.mark.usefixtures("three_steps")
def test_what_a_home_learned_is_written_outside_of_the_loop(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offloaded: list[str] = []

    async def offload(function: Callable[..., object], *arguments: object) -> object:
        offloaded.append(getattr(function, "__qualname__", ""))
        return function(*arguments)

    monkeypatch.setattr("tests.kits.town_kit.inline", offload)
    result = lived(ws.load(street, overrides=["homes.strategy=learner"]), tmp_path, QUICK)
    assert offloaded.count("Learned.keep") == result.manifest["intervals"] * len(result.bills())


# --- provisioning -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("three_steps")
@pytest.mark.parametrize("command", ["live", "node"])
@pytest.mark.parametrize(
    ("value", "key"),
    [
        ("homes.strategy=listener", "homes.strategy"),
        ('homes.strategies={listener=["home-3"]}', "homes.strategies.listener"),
    ],
)
def test_a_strategy_that_learns_from_the_orders_of_all_homes_is_refused(
    command: str, value: str, key: str, street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = {
        "live": ["live", street, "--out", tmp_path],
        "node": ["node", "init", street, tmp_path / "nodes"],
    }
    outcome = call(capsys, *words[command], "--set", value)
    refused(outcome, 3, f"{key}: 'listener' learns from the orders of all homes", "learn_own")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("three_steps")
@pytest.mark.parametrize("strategy", ["three_steps", "learner"])
def test_a_network_is_made_for_homes_with_several_orders_and_for_homes_that_learn(
    strategy: str, street: Path, tmp_path: Path
) -> None:
    scenario = ws.load(street, overrides=[f"homes.strategy={strategy}"])
    configs = init_nodes(scenario, tmp_path / "nodes", NetworkSpec(begin_ms=0), KeyPlan(derived=True))
    assert len(configs) == 4 + 1 + 6


# --- processes --------------------------------------------------------------------------------------------


@pytest.mark.live
@pytest.mark.parametrize("name", ["three_steps", "learner"])
def test_several_orders_over_libp2p_give_the_hashes_of_a_run_in_process(
    name: str, three_steps: Path, street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strategy = ["--module", three_steps, "--set", f"homes.strategy={name}"]
    time = ["--validators", 1, "-n", 2, "--at", "2026-06-02T09:00Z"]
    outcome = call(capsys, "live", street, *strategy, *time, "--out", tmp_path, "--json", "-q")
    assert outcome.code == 0, outcome.err
    facts = json.loads(outcome.out)
    assert len(facts["equal"]) == 2
    assert [row["orders"] for row in facts["equal"]] == [18, 16]
    assert facts["network"]["proofs_checked"] == 12
