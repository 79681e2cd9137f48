"""Operators and validators that the chain adds or removes while a neighbourhood runs."""

from __future__ import annotations

from collections.abc import Awaitable
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec
import pytest

import wattswap as ws
from p2p.batches.batch import BatchArgs, batch_tx, batches
from p2p.blocks.block import make_tx
from p2p.blocks.genesis import read_genesis
from p2p.disk import Disk
from p2p.ledger.modules.governance import (
    ADD_OPERATOR,
    REMOVE,
    REMOVE_OPERATOR,
    ApproveArgs,
    AuthorityArgs,
    OperatorArgs,
)
from p2p.ledger.store import ChainStore
from p2p.roles.exchange.wire import CLOSING_PROTOCOL, CloseQuery
from p2p.roles.household.collectors import Collectors
from p2p.roles.replica.blobs import BLOB_PROTOCOL, BlobQuery
from p2p.roles.replica.peers import CONSENSUS_PROTOCOL, ConsensusFrame
from p2p.roles.validator.mempool import TX_PROTOCOL, TxReply
from p2p.transports.base import RequestRefused, peer_id_of
from p2p.wire.codec import Record, decode, encode
from p2p.wire.identity import Identity
from p2p.wire.messages import VERSION
from tests.kits.known_kit import FolderChain, identity_of
from tests.kits.run_kit import FIRST
from tests.kits.time_kit import time_passes
from tests.kits.town_kit import MemoryTown, assert_as_in_process, lived_in_memory, settled
from wattswap.nodes.config import NodeConfig
from wattswap.nodes.keys import open_keys
from wattswap.nodes.known import Known
from wattswap.nodes.live import Topology
from wattswap.nodes.provision import KeyPlan, NetworkSpec, init_nodes
from wattswap.nodes.roles import prepared
from wattswap.runs.chain_reader import open_chain
from wattswap.runs.layout import CHAIN

if TYPE_CHECKING:
    from p2p.transports.base import Transport

DAYLIGHT_S = int(FIRST.timestamp()) + 86_400 + 9 * 3_600
INTERVALS = 8
FIVE = Topology(validators=5, pace_s=30.0, gate_s=5.0)
"""One of them can be removed."""
DECIDED_S = 5.0
"""How long a proposal may take from its first signature to the block after the one that decides it. [s]"""
NEW = Identity.from_seed(b"n" * 32)


def key_of(town: MemoryTown, name: str) -> Identity:
    config = town.configs[name]
    return open_keys(config, {}, read_genesis(config.genesis_path))[config.key_names[0]]


async def ask(town: MemoryTown, as_who: Identity, at: str, protocol: str, frame: bytes) -> bytes:
    """Ask a node something by a connection of a key."""
    async with town.network.endpoint(as_who) as endpoint:
        peer = await endpoint.connect("/memory/p2p/" + peer_id_of(key_of(town, at).public_key))
        return await endpoint.request(peer, protocol, frame)


async def decide(town: MemoryTown, module_method: str, args: Record, approving: int) -> None:
    """Let validators propose a change and approve it; it is in force afterwards."""
    chain_id = read_genesis(town.configs["validator-0"].genesis_path).chain_id
    module, method = module_method.split(".")
    for i in range(approving):
        name = f"validator-{i}"
        call = (module, method, args) if i == 0 else (module, "approve", ApproveArgs(0))
        tx = make_tx(key_of(town, name), chain_id, 1, 60, *call)
        reply = decode(TxReply, await ask(town, NEW, name, TX_PROTOCOL, tx.raw))
        assert reply.code == "", reply
        await time_passes(DECIDED_S / approving)
    await time_passes(DECIDED_S)


async def refusal(request: Awaitable[bytes]) -> str:
    """The code with which a question is refused; empty where it is answered."""
    try:
        await request
    except RequestRefused as error:
        return error.code
    return ""


def batches_of(town: MemoryTown, *by: Identity) -> list[BatchArgs]:
    """The batches of the chain of a validator, of all or by some keys."""
    config, keys = town.configs["validator-0"], {key.public_key for key in by}
    genesis = read_genesis(config.genesis_path)
    with ChainStore.open(config.data_path / CHAIN, genesis, read_only=True) as store:
        return [
            args
            for block, _ in store.blocks()
            for index, args in batches(block.txs)
            if not keys or block.txs[index].sender in keys
        ]


def newest_batch(town: MemoryTown) -> BatchArgs:
    """The newest batch of the chain of a validator."""
    return batches_of(town)[-1]


def test_a_removed_operator_settles_nothing_any_more_and_validators_do(street: Path, tmp_path: Path) -> None:
    replies: list[str] = []

    async def script(town: MemoryTown) -> None:
        operator, chain_id = (
            key_of(town, "operator-0"),
            read_genesis(town.configs["operator-0"].genesis_path).chain_id,
        )
        await settled(town, 2)
        args = OperatorArgs(REMOVE_OPERATOR, operator.public_key, b"", 50)
        await decide(town, "governance.propose_operator", args, approving=3)
        newest, number = newest_batch(town), len(batches_of(town, operator))
        following = msgspec.structs.replace(newest, interval_start=newest.interval_start + 3_600)
        tx = batch_tx(operator, chain_id, number + 1, 60, following)
        replies.append(decode(TxReply, await ask(town, NEW, "validator-0", TX_PROTOCOL, tx.raw)).code)

    topology = Topology(pace_s=30.0, gate_s=5.0)
    result = lived_in_memory(ws.load(street), tmp_path, INTERVALS, DAYLIGHT_S, topology, script=script)
    assert replies == ["tx_role"]
    with open_chain(result.path) as store:
        operators = store.genesis.operators
        by = [block.txs[i].sender in operators for block, _ in store.blocks() for i, _ in batches(block.txs)]
    assert by[:2] == [True, True]
    assert by[-1] is False
    assert by == sorted(by, reverse=True), "it settles none after a validator has"
    assert result.manifest["network"]["silent"] == []
    assert_as_in_process(result, tmp_path, INTERVALS)


def test_a_removed_validator_may_ask_for_no_blob_no_closing_and_no_vote(street: Path, tmp_path: Path) -> None:
    """Before it was removed, it might; what it asks for then is refused for other reasons or given."""
    codes: dict[str, list[str]] = {"before": [], "after": []}

    async def script(town: MemoryTown) -> None:
        removed = key_of(town, "validator-4")
        chain_id = read_genesis(town.configs["operator-0"].genesis_path).chain_id
        await settled(town, 2)
        await town.kill("validator-4")

        async def ask_all(when: str) -> None:
            newest = newest_batch(town)
            for protocol, frame in (
                (BLOB_PROTOCOL, encode(BlobQuery(VERSION, chain_id, newest.blob_hash, 0))),
                (
                    CLOSING_PROTOCOL,
                    encode(CloseQuery(VERSION, chain_id, newest.interval_start + 3_600, 0, ())),
                ),
                (CONSENSUS_PROTOCOL, encode(ConsensusFrame(VERSION, chain_id, ()))),
            ):
                codes[when].append(await refusal(ask(town, removed, "validator-1", protocol, frame)))

        await ask_all("before")
        args = AuthorityArgs(REMOVE, removed.public_key, b"", b"", 50)
        await decide(town, "governance.propose_authority", args, approving=4)
        await settled(town, 5)
        await ask_all("after")

    result = lived_in_memory(ws.load(street), tmp_path, INTERVALS, DAYLIGHT_S, FIVE, script=script)
    assert "not_allowed" not in codes["before"], codes
    assert codes["after"] == ["not_allowed"] * 3, codes
    assert result.manifest["network"]["silent"] == []
    assert_as_in_process(result, tmp_path, INTERVALS)


# --- what a home believes ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nodes(street: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, NodeConfig]:
    """Folders of five validators, an operator and homes, by name."""
    folder = tmp_path_factory.mktemp("offices") / "nodes"
    configs = init_nodes(ws.load(street), folder, NetworkSpec(0, 5), KeyPlan())
    return {config.name: config for config in configs}


class AHome:
    """What a home believes that knows the addresses of some collectors besides those of its configuration."""

    def __init__(self, config: NodeConfig, path: Path, *more: Identity) -> None:
        self.known = Known(config, prepared(config), path, Disk())
        keys = [peer.key for peer in config.peers if peer.role in ("operator", "validator")]
        addresses = {key: f"/memory/{key.hex()[:8]}" for key in (*keys, *(one.public_key for one in more))}
        # Nothing is sent: whom it would ask and whose receipts count is what is looked at.
        self.collectors = Collectors(cast("Transport", None), addresses, self.known.sets)

    def see(self, proof: bytes) -> None:
        """Take the proof of a settled interval, as its gateway does."""
        settled_one = self.known.read_result(proof)
        number = settled_one.interval_start // 900 + 1
        self.collectors.name(settled_one.args.next_collector, settled_one.height, number)


def test_a_new_operator_is_believed_by_homes_and_asked_by_those_that_have_its_address(
    nodes: dict[str, NodeConfig], tmp_path: Path
) -> None:
    chain, config = FolderChain(nodes), nodes["home-1"]
    knowing, other = AHome(config, tmp_path / "knowing.bin", NEW), AHome(config, tmp_path / "other.bin")
    operator = identity_of(nodes["operator-0"], chain.setup)
    chain.change_operators(ADD_OPERATOR, NEW)
    assert NEW.public_key not in knowing.collectors.keys
    proof = chain.settle(operator, next_collector=NEW.public_key)
    for home in (knowing, other):
        home.see(proof)
        assert NEW.public_key in home.collectors.keys
    assert knowing.collectors.current.key == NEW.public_key
    assert other.collectors.current.key == operator.public_key
    assert other.known.read_result(chain.settle(NEW)).sender == "operator 1"


def test_receipts_of_a_removed_validator_or_operator_count_no_more_for_homes(
    nodes: dict[str, NodeConfig], tmp_path: Path
) -> None:
    chain, home = FolderChain(nodes), AHome(nodes["home-1"], tmp_path / "home.bin")
    operator, removed = identity_of(nodes["operator-0"], chain.setup), chain.keys["validator-0"]
    home.see(chain.settle(operator))
    assert {operator.public_key, removed.public_key} <= home.collectors.keys
    assert home.collectors.current.key == operator.public_key
    chain.change_validators(REMOVE, removed)
    chain.change_operators(REMOVE_OPERATOR, operator)
    home.see(chain.settle(chain.keys["validator-1"]))
    assert home.collectors.keys == {chain.keys[f"validator-{i}"].public_key for i in range(1, 5)}
    assert removed.public_key not in {one.key for one in home.collectors.validators}
    assert home.collectors.current.key == chain.keys["validator-1"].public_key
