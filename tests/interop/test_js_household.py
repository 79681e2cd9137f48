"""A home in JavaScript trades, hears and checks beside homes in Python: the wire is what docs/protocol.md says."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from js_kit import JS, node_program, packages

from p2p.chain.blob import IntervalContent, open_blob
from p2p.chain.genesis import Genesis, read_genesis
from p2p.chain.settlement import batches
from p2p.chain.store import ChainStore
from p2p.messages import OrderMessage, ReceiptCode
from p2p.roles.blobs import FolderBlobs
from tests.wattswap.run_kit import write_street
from wattswap.nodes.config import NodeConfig
from wattswap.nodes.init import KeyPlan, Wish, init_nodes
from wattswap.nodes.node import BLOBS, CHAIN_FILE
from wattswap.nodes.supervisor import Supervisor
from wattswap.scenario import load
from wattswap.setup import Setup, cut_to, prepare

pytestmark = [pytest.mark.live, pytest.mark.slow]

INTERVALS = 3
FOREIGN = "home-3"
PATIENCE_S = 80.0
ORDERS = [
    {"side": 1, "energy_wh": 400, "limit_micro_per_kwh": 300_000},
    {"side": -1, "energy_wh": 250, "limit_micro_per_kwh": 90_000},
    None,
]
READINGS = [
    {"import_wh": 390, "export_wh": 0},
    {"import_wh": 0, "export_wh": 260},
    {"import_wh": 120, "export_wh": 7},
]


@dataclass(frozen=True)
class Street:
    """What the run left behind, and what the foreign home said."""

    genesis: Genesis
    setup: Setup
    said: list[dict[str, Any]]
    settled: list[IntervalContent]

    def of(self, what: str) -> list[dict[str, Any]]:
        return [line for line in self.said if line["what"] == what]


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Street:
    packages()
    folder = tmp_path_factory.mktemp("street")
    scenario = load(write_street(folder / "data") / "scenario.toml")
    setup = prepare(cut_to(scenario, INTERVALS, None))
    wish = Wish(0, validators=4, pace_s=0, gate_s=20)
    configs = init_nodes(setup.scenario, folder / "nodes", wish, KeyPlan(derived=True))
    operator = next(config for config in configs if config.role == "operator")
    genesis = read_genesis(operator.genesis_path)
    work = write_work(folder / "work.json", setup, operator, configs)
    supervisor = Supervisor({"PYTHONHASHSEED": "0"})
    try:
        for config in configs:
            if config.name != FOREIGN:
                supervisor.start(config.name, [config.folder], config.folder / "node.log")
        said = run_foreign(work, supervisor)
        # Both other homes end by themselves, once they are through with the last interval.
        wait_for_homes(supervisor, [c.name for c in configs if c.role == "household" and c.name != FOREIGN])
    finally:
        supervisor.stop()
    return Street(genesis, setup, said, read_settled(operator, genesis, setup))


def write_work(path: Path, setup: Setup, operator: NodeConfig, configs: Sequence[NodeConfig]) -> Path:
    home = next(config for config in configs if config.name == FOREIGN)
    address = next(peer.address for peer in home.peers if peer.role == "operator")
    collectors = [{"key": peer.key.hex(), "address": peer.address} for peer in home.peers]
    collectors.sort(key=lambda one: one["address"] != address)
    intervals = [
        {"start": setup.start_of(i), "order": ORDERS[i], "reading": READINGS[i]} for i in range(INTERVALS)
    ]
    work = {
        "seed": setup.keys.identity("household", FOREIGN).seed.hex(),
        "genesis": str(operator.genesis_path),
        "household": FOREIGN,
        "minutes": setup.minutes,
        "collectors": collectors,
        "hostile": True,
        "intervals": intervals,
    }
    path.write_text(json.dumps(work), encoding="utf-8")
    return path


def run_foreign(work: Path, supervisor: Supervisor) -> list[dict[str, Any]]:
    """Run the home in JavaScript to its end and return its JSON lines."""
    command = [node_program(), "--import", "./polyfill.mjs", "household.mjs", str(work)]
    with subprocess.Popen(
        command, cwd=JS, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            out, err = process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            pytest.fail(f"the home in JavaScript did not end within {PATIENCE_S:g} s\n{out}\n{err[-2000:]}")
    supervisor.check()
    assert process.returncode == 0, f"{out}\n{err[-2000:]}"
    return [json.loads(line) for line in out.splitlines()]


def wait_for_homes(supervisor: Supervisor, names: Sequence[str]) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end and not all(supervisor.children[name].done for name in names):
        supervisor.check()
        time.sleep(0.1)
    assert all(supervisor.children[name].done for name in names)


def read_settled(operator: NodeConfig, genesis: Genesis, setup: Setup) -> list[IntervalContent]:
    """What stands in the blobs of the intervals that the chain settled."""
    found = []
    blobs = FolderBlobs(operator.data_path / BLOBS)
    with ChainStore.open(operator.data_path / CHAIN_FILE, genesis) as store:
        for block, _ in store.blocks(1, store.height):
            for _, args in batches(block.txs):
                data = blobs.get(args.blob_hash)
                assert data is not None
                found.append(open_blob(data, genesis, setup.roster))
    return found


def test_every_interval_is_settled_with_the_orders_of_the_foreign_home(street: Street) -> None:
    assert [content.interval_start for content in street.settled] == [
        street.setup.start_of(i) for i in range(INTERVALS)
    ]
    for content, wanted in zip(street.settled, ORDERS, strict=True):
        own = [order for order in content.orders if order.household == FOREIGN]
        assert [order_facts(order) for order in own] == ([wanted] if wanted else [])


def order_facts(order: OrderMessage) -> dict[str, int]:
    return {
        "side": order.side,
        "energy_wh": order.energy_wh,
        "limit_micro_per_kwh": order.limit_micro_per_kwh,
    }


def test_the_foreign_home_gets_a_receipt_for_everything_it_says(street: Street) -> None:
    receipts = street.of("receipt")
    assert [line["code"] for line in receipts] == [ReceiptCode.ACCEPTED] * 2 * INTERVALS


def test_the_foreign_home_hears_every_result_by_gossip(street: Street) -> None:
    results = street.of("result")
    assert [line["by"] for line in results] == ["gossip"] * INTERVALS
    assert {line["next_collector"] for line in results} == {street.genesis.operator.hex()}


def test_the_foreign_home_proves_its_own_line_offline(street: Street) -> None:
    proofs = street.of("proof")
    account = street.setup.roster.index(FOREIGN)
    assert [(line["agrees"], line["account"], line["sender"]) for line in proofs] == [
        (True, account, "operator 0")
    ] * INTERVALS


def test_the_foreign_home_refuses_a_proof_with_any_byte_changed(street: Street) -> None:
    (line,) = street.of("tampered")
    assert sum(line["codes"].values()) == line["bytes"] > 1_000
    assert set(line["codes"]) <= {
        "malformed",
        "non_canonical",
        "out_of_range",
        "bad_proof",
        "bad_certificate",
        "wrong_chain",
        "wrong_signature",
    }


def test_an_order_with_a_wrong_signature_is_refused_and_the_stream_goes_on(street: Street) -> None:
    (line,) = street.of("forged order")
    assert (line["code"], line["connections"]) == ("wrong_signature", 1)
    (done,) = street.of("done")
    assert done["streams"]["bid"] == 1
    assert done["connections"] == 1
