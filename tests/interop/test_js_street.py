"""A household in JavaScript beside two in Python, with an operator and four authorities as processes of their own.

Nothing here knows both sides: what the foreign peer ordered is read from the blob that the authorities have judged.
"""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from p2p.chain.blob import IntervalContent, open_blob
from p2p.chain.block import CommitCert, quorum, signers
from p2p.chain.genesis import Genesis, read_genesis
from p2p.chain.settlement import batches
from p2p.chain.store import ChainStore
from p2p.messages import OrderMessage, ReadingMessage, ReceiptCode, sign_message
from p2p.roles.blobs import FolderBlobs
from tests.interop.js_kit import JS
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
VALIDATORS = 4
START_S, DEADLINE_S, END_S = 20.0, 60.0, 20.0
"""How long the operator may take to listen, the foreign peer to live, and the others to end. [s]"""


@dataclass(frozen=True)
class Street:
    """What the run left behind, and what the foreign peer said."""

    genesis: Genesis
    setup: Setup
    events: list[dict[str, Any]]
    settled: list[IntervalContent]
    certs: list[CommitCert]

    def said(self, event: str) -> list[dict[str, Any]]:
        """Events of one name, in their order."""
        return [one for one in self.events if one["event"] == event]


@pytest.fixture(scope="module")
def street(node: list[str], tmp_path_factory: pytest.TempPathFactory) -> Street:
    folder = tmp_path_factory.mktemp("street")
    scenario = load(write_street(folder / "data") / "scenario.toml")
    setup = prepare(cut_to(scenario, INTERVALS, None))
    wish = Wish(0, VALIDATORS, pace_s=0, gate_s=20)
    configs = init_nodes(setup.scenario, folder / "nodes", wish, KeyPlan(derived=True))
    operator = next(config for config in configs if config.role == "operator")
    genesis = read_genesis(operator.genesis_path)
    supervisor = Supervisor({"PYTHONHASHSEED": "0"})
    try:
        for config in configs:
            if config.name != FOREIGN:
                supervisor.start(config.name, [config.folder], config.folder / "node.log")
        wait_until(lambda: listens(operator), START_S, "the operator listens")
        events = run_foreign(node, settings_of(setup, configs))
        homes = [supervisor.children[c.name] for c in configs if c.role == "household" and c.name != FOREIGN]
        wait_until(lambda: supervisor.check() or all(one.done for one in homes), END_S, "both homes end")
    finally:
        supervisor.stop()
    content, certs = read_settled(operator, genesis, setup)
    return Street(genesis, setup, events, content, certs)


def wait_until(holds: Any, seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(0.1)


def listens(config: NodeConfig) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", config.listen.port)) == 0


def settings_of(setup: Setup, configs: Sequence[NodeConfig]) -> dict[str, Any]:
    home = next(config for config in configs if config.name == FOREIGN)
    return {
        "seed": setup.keys.identity("household", FOREIGN).seed.hex(),
        "household": FOREIGN,
        "account": setup.roster.index(FOREIGN),
        "collectors": [{"key": peer.key.hex(), "address": peer.address} for peer in home.peers],
        "failover_ms": int(home.clock.takeover_s * 1000),
        "genesis": home.genesis_path.read_bytes().hex(),
        "first": setup.start_of(0),
        "intervals": INTERVALS,
        "tampered": 100,
    }


def run_foreign(node: list[str], settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Let the foreign peer live all intervals and return its events."""
    command = [*node, str(JS / "household.mjs")]
    done = subprocess.run(
        command,
        input=json.dumps(settings) + "\n",
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-2000:]}"
    return [json.loads(line) for line in done.stdout.splitlines()]


def read_settled(
    operator: NodeConfig, genesis: Genesis, setup: Setup
) -> tuple[list[IntervalContent], list[CommitCert]]:
    """The messages behind every batch of the chain, and the certificates of its blocks."""
    content, certs = [], []
    blobs = FolderBlobs(operator.data_path / BLOBS)
    with ChainStore.open(operator.data_path / CHAIN_FILE, genesis) as store:
        for block, cert in store.blocks(1, store.height):
            certs.append(cert)
            for _, args in batches(block.txs):
                data = blobs.get(args.blob_hash)
                assert data is not None
                content.append(open_blob(data, genesis, setup.roster))
    return content, certs


def of_foreign(messages: Sequence[OrderMessage] | Sequence[ReadingMessage]) -> list[Any]:
    return [message for message in messages if message.household == FOREIGN]


def test_what_the_foreign_peer_signed_is_in_the_blob_of_every_settled_interval(street: Street) -> None:
    identity = street.setup.keys.identity("household", FOREIGN)
    assert [one.interval_start for one in street.settled] == [
        street.setup.start_of(i) for i in range(INTERVALS)
    ]
    for number, (content, said) in enumerate(zip(street.settled, street.said("order"), strict=True)):
        (order,), (reading,) = of_foreign(content.orders), of_foreign(content.readings)
        assert sign_message(identity, order).hex() == said["signed"]
        assert (order.side, order.energy_wh, order.limit_micro_per_kwh) == (1, 300 + number, 250_000 - number)
        assert (reading.import_wh, reading.export_wh) == (310 + number, 0)


def test_every_block_has_the_signatures_of_a_quorum_of_processes(street: Street) -> None:
    assert len(street.certs) == INTERVALS
    assert min(len(signers(cert)) for cert in street.certs) >= quorum(VALIDATORS) > 1


def test_every_message_of_the_foreign_peer_gets_a_receipt(street: Street) -> None:
    for event in ("order", "reading"):
        assert [one["code"] for one in street.said(event)] == [ReceiptCode.ACCEPTED.name.lower()] * INTERVALS


def test_the_foreign_peer_hears_the_results_by_gossip_and_proves_its_line(street: Street) -> None:
    heights = [one["height"] for one in street.said("result")]
    lines = street.said("line")
    assert [one["by"] for one in street.said("result")] == ["gossip"] * INTERVALS
    assert heights == [line["height"] for line in lines]
    assert [line["values"]["import_wh"] for line in lines] == [310 + number for number in range(INTERVALS)]
    assert [line["refused"] for line in lines] == [100] * INTERVALS
    assert street.said("gossip_refused") == []


def test_a_forged_order_is_refused_and_the_connection_lasts_to_the_end(street: Street) -> None:
    assert [(one["code"], one["connection"]) for one in street.said("forged")] == [
        ("wrong_signature", "open")
    ]
    assert [one["connection"] for one in street.said("done")] == ["open"]
