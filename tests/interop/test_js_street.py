"""A household in JavaScript beside two in Python, with an operator and four authorities as processes of their own.

Nothing here knows both sides: what the foreign peer ordered is read from the blob that the validators have checked.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

from p2p.batches.batch import batches
from p2p.batches.blob import IntervalContent, open_blob
from p2p.blocks.block import CommitCertificate, quorum, signers
from p2p.blocks.genesis import Genesis, read_genesis
from p2p.ledger.store import ChainStore
from p2p.roles.replica.blobs import FolderBlobs
from p2p.wire.messages import OrderMessage, ReadingMessage, ReceiptCode, order_line, sign_message
from p2p.wire.sealed import seal_message
from tests.kits.js_kit import JS
from tests.kits.run_kit import write_street
from tests.kits.time_kit import eventually
from wattswap.nodes.config import NodeConfig
from wattswap.nodes.provision import KeyPlan, NetworkSpec, init_nodes
from wattswap.nodes.supervisor import Supervisor
from wattswap.runs.layout import BLOBS, CHAIN
from wattswap.runs.prepare import Setup, cut_to, prepare
from wattswap.scenario.load import load

pytestmark = [pytest.mark.live, pytest.mark.slow]

INTERVALS = 3
FOREIGN = "home-3"
VALIDATORS = 4
GATE_S = 20.0
SEALED_BYTES = 96
START_S, DEADLINE_S, END_S = 30.0, 85.0, 20.0
"""How long the operator may take to listen, the foreign peer to live, and the others to end. [s]"""


@dataclass(frozen=True)
class Street:
    """What the run left behind, and what the foreign peer said."""

    genesis: Genesis
    setup: Setup
    events: list[dict[str, Any]]
    settled: list[IntervalContent]
    certs: list[CommitCertificate]

    def said(self, event: str) -> list[dict[str, Any]]:
        """Events of one name, in their order."""
        return [one for one in self.events if one["event"] == event]


@pytest.fixture(scope="module")
def street(node: list[str], tmp_path_factory: pytest.TempPathFactory) -> Street:
    """Everybody lives to the end."""
    return live(tmp_path_factory.mktemp("street"), node, killed_after=None)


@pytest.fixture(scope="module")
def widowed(node: list[str], tmp_path_factory: pytest.TempPathFactory) -> Street:
    """The operator is killed once the foreign peer has its line of the first interval, and does not come back."""
    return live(tmp_path_factory.mktemp("widowed"), node, killed_after=0)


@pytest.fixture(scope="module")
def sealed(node: list[str], tmp_path_factory: pytest.TempPathFactory) -> Street:
    """Everybody lives to the end, and all homes seal their orders."""
    return live(tmp_path_factory.mktemp("sealed"), node, None, f"\n[chain]\nsealed_bytes = {SEALED_BYTES}\n")


def live(folder: Path, node: list[str], killed_after: int | None, more: str = "") -> Street:
    scenario = load(write_street(folder / "data", more=more) / "scenario.toml")
    setup = prepare(cut_to(scenario, INTERVALS, None))
    spec = NetworkSpec(0, VALIDATORS, pace_s=0, gate_s=GATE_S)
    configs = init_nodes(setup.scenario, folder / "nodes", spec, KeyPlan(derived=True))
    operator = next(config for config in configs if config.role == "operator")
    authority = next(config for config in configs if config.role == "validator")
    genesis = read_genesis(operator.genesis_path)
    supervisor = Supervisor({"PYTHONHASHSEED": "0"})

    def on_event(event: dict[str, Any]) -> None:
        if event["event"] == "line" and event["number"] == killed_after:
            supervisor.children[operator.name].signal(signal.SIGKILL)

    homes = [config for config in configs if config.role == "household" and config.name != FOREIGN]
    try:
        for config in configs:
            if config.role != "household":
                supervisor.start(config.name, [config.folder], config.folder / "node.log")
        # A home that finds no operator goes on to an authority, and then two collect the same interval.
        eventually(lambda: listens(operator), "the operator listens", START_S, poll_s=0.1)
        for config in homes:
            supervisor.start(config.name, [config.folder], config.folder / "node.log")
        events = run_foreign(node, settings_of(setup, configs), on_event)
        eventually(
            lambda: all(ended(supervisor, home.name) for home in homes), "both homes end", END_S, poll_s=0.1
        )
    finally:
        supervisor.stop()
    content, certs = read_settled(authority, genesis, setup)
    return Street(genesis, setup, events, content, certs)


def ended(supervisor: Supervisor, name: str) -> bool:
    process = supervisor.children[name].process
    assert process is not None
    assert process.poll() in (None, 0)
    return process.poll() == 0


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


def run_foreign(
    node: list[str], settings: dict[str, Any], on_event: Callable[[dict[str, Any]], None]
) -> list[dict[str, Any]]:
    """Let the foreign peer live all intervals and return its events; it ends when its input does."""
    command = [*node, str(JS / "household.mjs")]
    events: list[dict[str, Any]] = []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        watchdog = Timer(DEADLINE_S, process.kill)
        watchdog.start()
        try:
            process.stdin.write(json.dumps(settings) + "\n")
            process.stdin.flush()
            for line in process.stdout:
                events.append(json.loads(line))
                on_event(events[-1])
                if events[-1]["event"] == "done":
                    process.stdin.close()
        finally:
            watchdog.cancel()
            process.kill()
    assert events[-1]["event"] == "done", f"the foreign peer ended early; it said {events}"
    return events


def read_settled(
    keeper: NodeConfig, genesis: Genesis, setup: Setup
) -> tuple[list[IntervalContent], list[CommitCertificate]]:
    """The messages behind every batch of the chain, and the certificates of its blocks."""
    content, certs = [], []
    blobs = FolderBlobs(keeper.data_path / BLOBS)
    with ChainStore.open(keeper.data_path / CHAIN, genesis) as store:
        for block, cert in store.blocks(1, store.height):
            certs.append(cert)
            for _, args in batches(block.txs):
                data = blobs.get(args.blob_hash)
                assert data is not None
                content.append(open_blob(data, genesis, setup.member_list))
    return content, certs


def of_foreign(messages: Sequence[OrderMessage] | Sequence[ReadingMessage]) -> list[Any]:
    return [message for message in messages if message.household == FOREIGN]


def spoken_in(content: IntervalContent) -> set[str]:
    """The homes that have sent an order or "nothing"."""
    return {order.household for order in content.orders} | {one.household for one in content.nothings}


def test_what_the_foreign_peer_signed_is_in_the_blob_of_every_settled_interval(street: Street) -> None:
    identity = street.setup.keys.identity("household", FOREIGN)
    assert [one.interval_start for one in street.settled] == [
        street.setup.start_of(i) for i in range(INTERVALS)
    ]
    for number, (content, said) in enumerate(zip(street.settled, street.said("order"), strict=True)):
        (order,), (reading,) = of_foreign(content.orders), of_foreign(content.readings)
        assert sign_message(identity, order).hex() == said["signed"]
        assert order.orders == (order_line(1, 300 + number, 250_000 - number),)
        assert (reading.import_wh, reading.export_wh) == (310 + number, 0)


def test_every_block_has_the_signatures_of_a_quorum_of_processes(street: Street) -> None:
    assert len(street.certs) == INTERVALS
    assert min(len(signers(cert)) for cert in street.certs) >= quorum(VALIDATORS) > 1


def test_every_message_of_the_foreign_peer_gets_a_receipt(street: Street) -> None:
    for event in ("order", "reading"):
        assert [one["code"] for one in street.said(event)] == [ReceiptCode.ACCEPTED.name.lower()] * INTERVALS
        assert [len(one["witnesses"]) for one in street.said(event)] == [2] * INTERVALS, "f + 1 validators"
    assert [one["kept"] for one in street.said("inclusion")] == [True] * 2 * INTERVALS


def test_the_foreign_peer_receives_the_results_by_gossip_and_proves_its_line(street: Street) -> None:
    heights = [one["height"] for one in street.said("result")]
    lines = street.said("line")
    # The first may be told before the mesh has formed; then it is asked for, which takes longer than a mesh does.
    assert [one["by"] for one in street.said("result")][1:] == ["gossip"] * (INTERVALS - 1)
    assert heights == [line["height"] for line in lines]
    assert [line["values"]["import_wh"] for line in lines] == [310 + number for number in range(INTERVALS)]
    assert [line["refused"] for line in lines] == [100] * INTERVALS
    assert street.said("gossip_refused") == []


def test_a_forged_order_is_refused_and_the_connection_lasts_to_the_end(street: Street) -> None:
    assert [(one["code"], one["connection"]) for one in street.said("forged")] == [
        ("wrong_signature", "open")
    ]
    assert [one["connection"] for one in street.said("done")] == ["open"]


def test_the_foreign_peer_goes_on_with_an_authority_when_the_operator_is_killed(widowed: Street) -> None:
    who = [one["collector"] for one in widowed.said("order")]
    assert who[0] == widowed.genesis.operator.hex()
    # The operator may still have taken the second order before it died.
    assert who[-1] in {key.hex() for key in widowed.genesis.authorities}
    assert [one["code"] for one in widowed.said("order")] == [ReceiptCode.ACCEPTED.name.lower()] * INTERVALS


def test_both_languages_meet_at_the_same_authority_and_everything_is_settled(widowed: Street) -> None:
    homes = set(widowed.setup.roster)
    for content in widowed.settled:
        assert spoken_in(content) == homes
        assert {reading.household for reading in content.readings} == homes
    assert len(widowed.settled) == len(widowed.said("line")) == INTERVALS


def test_what_the_foreign_peer_sealed_is_closed_first_and_opened_in_every_interval(sealed: Street) -> None:
    """The envelope is byte for byte what our own home would have sealed, and its order is in the market."""
    identity = sealed.setup.keys.identity("household", FOREIGN)
    limits = sealed.genesis.params.limits
    assert len(sealed.settled) == INTERVALS
    for number, (content, said) in enumerate(zip(sealed.settled, sealed.said("order"), strict=True)):
        assert content.closed is not None
        (envelope,) = (one for one in content.closed.messages if one.household == FOREIGN)
        (order,) = of_foreign(content.orders)
        assert order.orders == (order_line(1, 300 + number, 250_000 - number),)
        assert seal_message(identity, order, sealed.genesis.authorities, limits) == envelope
        assert sign_message(identity, envelope, limits).hex() == said["signed"]


def test_homes_of_both_languages_seal_their_orders_and_none_is_without_a_key(sealed: Street) -> None:
    homes = set(sealed.setup.roster)
    for content in sealed.settled:
        assert content.closed is not None
        assert {message.household for message in content.closed.messages} == homes
        assert spoken_in(content) == homes
        assert content.unopened == ()


def test_the_foreign_peer_that_seals_has_its_receipts_its_leaves_and_its_line(sealed: Street) -> None:
    assert [one["code"] for one in sealed.said("order")] == [ReceiptCode.ACCEPTED.name.lower()] * INTERVALS
    assert [len(one["witnesses"]) for one in sealed.said("order")] == [2] * INTERVALS, "f + 1 validators"
    assert [one["kept"] for one in sealed.said("inclusion")] == [True] * 2 * INTERVALS
    lines = sealed.said("line")
    assert [line["values"]["import_wh"] for line in lines] == [310 + number for number in range(INTERVALS)]
    assert [one["code"] for one in sealed.said("forged")] == ["wrong_signature"]
