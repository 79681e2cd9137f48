"""Who a node knows: collectors of now, homes and named nodes; and how many places each of them has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec
import pytest
import trio
import trio.testing

import wattswap as ws
from p2p.batches.batch import AgainArgs
from p2p.blocks.possession import prove_possession
from p2p.disk import Disk
from p2p.errors import BadProof, Malformed, WrongSignature
from p2p.ledger.light import MAX_PROOF_BYTES, BatchProof, make_batch_proof
from p2p.ledger.modules.accounts import EnterArgs, RotateArgs
from p2p.ledger.modules.governance import ADD_OPERATOR, REMOVE_OPERATOR, ROTATE
from p2p.ledger.store import ChainStore
from p2p.roles.exchange.wire import result_topic
from p2p.roles.replica.ledger import Ledger
from p2p.roles.validator.batch_check import inline
from p2p.transports.admission import Places, Rank, RankOf
from p2p.transports.base import Transport, peer_id_of
from p2p.transports.memory import MemoryNetwork
from p2p.wire.codec import decode, encode
from p2p.wire.identity import Identity
from tests.kits.chain_kit import make_args
from tests.kits.known_kit import FolderChain, identity_of
from wattswap.errors import InvalidData, WattswapError
from wattswap.nodes.config import CONFIG, NodeConfig, load_config
from wattswap.nodes.keys import open_keys
from wattswap.nodes.known import (
    CHECKED_MAX,
    KEPT_EVERY,
    STALE_HEIGHTS,
    TRUSTED_FILE,
    Known,
    TrustedSets,
    places_of,
)
from wattswap.nodes.provision import KeyPlan, NetworkSpec, init_nodes
from wattswap.nodes.roles import prepared, run_node
from wattswap.nodes.world import World
from wattswap.simulation.base import in_memory

if TYPE_CHECKING:
    from p2p.ledger.state import State

STRANGER = Identity.from_seed(b"s" * 32)
NEW_SET = [Identity.from_seed(bytes([i]) * 32) for i in range(1, 5)]
NEW = NEW_SET[0]


@pytest.fixture(scope="module")
def nodes(street: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, NodeConfig]:
    """Folders of four validators, an operator, an observer and two gateways, by name."""
    folder = tmp_path_factory.mktemp("known") / "nodes"
    configs = init_nodes(ws.load(street), folder, NetworkSpec(0, gateways=2, observers=1), KeyPlan())
    return {config.name: config for config in configs}


def own_key(config: NodeConfig) -> Identity:
    return identity_of(config, prepared(config))


def peer(config: NodeConfig) -> str:
    """The peer id of a node."""
    return peer_id_of(own_key(config).public_key)


def known(config: NodeConfig, path: Path | None = None) -> Known:
    """Who a node knows that has only its folder, and perhaps a file of what it trusts."""
    return Known(
        config, prepared(config), path or config.folder / TRUSTED_FILE, NoDisk() if path is None else Disk()
    )


class NoDisk(Disk):
    """A disk on which nothing can be written: the folders of the nodes are shared by the tests."""

    def write_whole(self, path: Path, data: bytes) -> None:
        raise OSError(f"{path} is not to be written")


class Copy:
    """A node's copy of a chain."""

    def __init__(self, chain: FolderChain) -> None:
        self._chain = chain

    @property
    def tip(self) -> Copy:
        return self

    @property
    def state(self) -> State:
        return self._chain.tip.state

    @property
    def validators(self) -> tuple[bytes, ...]:
        return self.state.validators


@pytest.mark.parametrize("name", ["validator-0", "operator-0", "observer-0"])
def test_every_node_of_a_chain_is_known_to_those_that_are_dialled(
    name: str, nodes: dict[str, NodeConfig]
) -> None:
    who = known(nodes[name])
    found = {other: who.rank(peer(config)) for other, config in nodes.items() if other != name}
    collecting = {other for other, rank in found.items() if rank == Rank.COLLECTOR}
    assert collecting == {other for other in found if nodes[other].role in ("validator", "operator")}
    assert {found[other] for other in found if other not in collecting} == {Rank.MEMBER}
    assert who.rank(peer_id_of(STRANGER.public_key)) == Rank.STRANGER


def test_homes_with_nodes_of_their_own_are_known_by_the_list_of_homes(street: Path, tmp_path: Path) -> None:
    configs = init_nodes(ws.load(street), tmp_path / "nodes", NetworkSpec(0), KeyPlan())
    operator = next(config for config in configs if config.role == "operator")
    homes = [config for config in configs if config.role == "household"]
    assert {known(operator).rank(peer(home)) for home in homes} == {Rank.MEMBER}
    assert not {home.name for home in homes} & {named.name for named in operator.peers}


def test_a_key_that_has_lost_its_home_is_known_until_its_last_interval_is_settled(
    street: Path, tmp_path: Path
) -> None:
    configs = init_nodes(ws.load(street), tmp_path / "nodes", NetworkSpec(0), KeyPlan())
    nodes = {config.name: config for config in configs}
    chain, home, new = FolderChain(nodes), own_key(nodes["home-2"]), NEW.public_key
    who, members = known(nodes["validator-0"]), chain.setup.member_list
    who.follow(cast("Ledger", Copy(chain)))
    chain.call(home, "accounts.enter", EnterArgs(members.proof(1)))
    chain.settle(identity_of(nodes["operator-0"], chain.setup))
    assert who.rank(peer_id_of(new)) is Rank.STRANGER
    proof = prove_possession(NEW, chain.genesis.chain_id, home.public_key)
    chain.call(home, "accounts.rotate_key", RotateArgs(new, proof))
    for settled in range(1, 7):
        assert who.rank(peer_id_of(new)) is Rank.MEMBER
        expected = Rank.MEMBER if settled <= 4 else Rank.STRANGER
        assert who.rank(peer_id_of(home.public_key)) is expected, settled
        chain.settle(identity_of(nodes["operator-0"], chain.setup))


def test_gateways_and_homes_are_not_told_of_gateways(nodes: dict[str, NodeConfig]) -> None:
    roles = {config.name: {named.role for named in config.peers} for config in nodes.values()}
    assert "gateway" not in roles["gateway-0"]
    assert "gateway" in roles["validator-0"] & roles["operator-0"] & roles["observer-0"]


def test_collectors_of_a_node_with_a_chain_are_those_of_its_copy(nodes: dict[str, NodeConfig]) -> None:
    chain, who = FolderChain(nodes, [NEW]), known(nodes["operator-0"])
    removed, operator = chain.keys["validator-0"], own_key(nodes["operator-0"])
    who.follow(cast("Ledger", Copy(chain)))
    assert who.rank(peer(nodes["validator-0"])) == Rank.COLLECTOR
    chain.change_validators(ROTATE, removed, NEW)
    assert who.rank(peer(nodes["validator-0"])) == Rank.MEMBER  # the configuration still names it
    assert not who.is_collector(peer(nodes["validator-0"]))
    assert who.is_collector(peer_id_of(NEW.public_key))
    chain.change_operators(ADD_OPERATOR, STRANGER)
    assert who.rank(peer_id_of(STRANGER.public_key)) == Rank.COLLECTOR
    chain.change_operators(REMOVE_OPERATOR, operator)
    assert not who.is_collector(peer(nodes["operator-0"]))
    assert who.sets() == ((STRANGER.public_key,), chain.tip.state.validators)


def test_gossip_is_the_proof_of_a_result_by_who_settled_it(nodes: dict[str, NodeConfig]) -> None:
    chain, who = FolderChain(nodes), known(nodes["gateway-0"])
    proof = chain.settle(chain.keys["validator-3"])
    who.check_gossip(peer(nodes["validator-3"]), proof)
    with pytest.raises(WrongSignature, match="with a result of"):
        who.check_gossip(peer(nodes["validator-2"]), proof)
    with pytest.raises(WrongSignature, match="which is no collector"):
        who.check_gossip(peer_id_of(STRANGER.public_key), proof)
    with pytest.raises(Malformed):
        who.check_gossip(peer(nodes["validator-3"]), proof[:-1])


def test_gossip_of_long_ago_is_not_passed_on(nodes: dict[str, NodeConfig]) -> None:
    chain, who = FolderChain(nodes), known(nodes["gateway-0"])
    author = peer(nodes["validator-0"])
    old = [chain.settle(chain.keys["validator-0"]) for _ in range(2)]
    for _ in range(STALE_HEIGHTS - 1):
        chain.add()
    who.check_gossip(author, chain.settle(chain.keys["validator-0"]))
    who.check_gossip(author, old[1])
    with pytest.raises(WrongSignature, match="long ago"):
        who.check_gossip(author, old[0])


def test_a_removed_validator_or_operator_passes_no_result_on(nodes: dict[str, NodeConfig]) -> None:
    chain, who = FolderChain(nodes, [NEW]), known(nodes["gateway-0"])
    by_validator = chain.settle(chain.keys["validator-0"])
    by_operator = chain.settle(own_key(nodes["operator-0"]))
    chain.change_validators(ROTATE, chain.keys["validator-0"], NEW)
    chain.change_operators(ADD_OPERATOR, STRANGER)
    chain.change_operators(REMOVE_OPERATOR, own_key(nodes["operator-0"]))
    for name, proof in (("validator-0", by_validator), ("operator-0", by_operator)):
        who.check_gossip(peer(nodes[name]), proof)
    who.read_result(chain.settle(STRANGER))
    for name, proof in (("validator-0", by_validator), ("operator-0", by_operator)):
        with pytest.raises(WrongSignature, match="which is no collector"):
            who.check_gossip(peer(nodes[name]), proof)
    who.check_gossip(peer_id_of(STRANGER.public_key), chain.settle(STRANGER))
    who.check_gossip(peer_id_of(NEW.public_key), chain.settle(NEW))


def test_a_home_takes_the_sets_of_the_newest_proof_for_those_of_now(nodes: dict[str, NodeConfig]) -> None:
    chain, who = FolderChain(nodes, [NEW]), known(nodes["gateway-0"])
    operators, first = chain.genesis.operators, chain.genesis.authorities
    old, older = chain.settle(chain.keys["validator-0"]), chain.settle(chain.keys["validator-0"])
    chain.change_validators(ROTATE, chain.keys["validator-0"], NEW)
    chain.change_operators(ADD_OPERATOR, STRANGER)
    new = chain.settle(chain.keys["validator-1"])
    now = (NEW.public_key, *first[1:])
    assert set(chain.tip.state.validators) == set(now)
    for proof, ours, validators in (
        (old, operators, first),
        (new, (*operators, STRANGER.public_key), chain.tip.state.validators),
        (older, (*operators, STRANGER.public_key), chain.tip.state.validators),
    ):
        who.read_result(proof)
        assert who.sets() == (ours, validators)
    assert {STRANGER.public_key, NEW.public_key} <= who.collectors()
    assert first[0] not in who.collectors()


def test_a_proof_without_operators_brings_back_none_that_was_removed(nodes: dict[str, NodeConfig]) -> None:
    """Whoever gives a proof can leave the list out; the batch of a validator holds without it."""
    chain, who = FolderChain(nodes), known(nodes["gateway-0"])
    chain.change_operators(ADD_OPERATOR, STRANGER)
    chain.change_operators(REMOVE_OPERATOR, own_key(nodes["operator-0"]))
    who.read_result(chain.settle(chain.keys["validator-0"]))
    assert who.sets().operators == (STRANGER.public_key,)
    whole = decode(BatchProof, chain.settle(chain.keys["validator-1"]), max_bytes=MAX_PROOF_BYTES)
    stripped = who.read_result(encode(msgspec.structs.replace(whole, operators=None)))
    assert (stripped.operators, stripped.shows_operators) == (chain.genesis.operators, False)
    assert who.trusted == stripped.trusted
    assert who.sets().operators == (STRANGER.public_key,)


def test_a_later_version_is_no_result_of_an_interval(nodes: dict[str, NodeConfig]) -> None:
    """What was promised to homes is in the first version: with another one nobody could show that it is missing."""
    chain, who = FolderChain(nodes), known(nodes["gateway-0"])
    key = chain.keys["validator-0"]
    first, _ = (chain.settle(key, blob_hash=bytes([1]) * 32) for _ in range(2))
    before = make_args(0, chain.genesis.members)[1]
    batch = msgspec.structs.replace(
        before, interval_start=chain.setup.start_of(0), blob_hash=bytes([2]) * 32, next_collector=bytes(32)
    )
    chain.call(key, "settlement.again", AgainArgs(2, before.totals, batch))
    later = encode(make_batch_proof(*chain.made[-1], chain.genesis))
    assert who.read_result(first).version == 1
    with pytest.raises(BadProof, match="version 2"):
        who.read_result(later)
    with pytest.raises(BadProof, match="version 2"):
        who.check_gossip(peer(nodes["validator-0"]), later)


def test_the_proofs_that_are_remembered_are_bounded(nodes: dict[str, NodeConfig]) -> None:
    chain, who = FolderChain(nodes), known(nodes["gateway-0"])
    for _ in range(CHECKED_MAX + 2):
        who.read_result(chain.settle(chain.keys["validator-0"]))
    assert len(who._checked) == CHECKED_MAX


# --- what a home keeps of it (A11) -----------------------------------------------------------------------------


def left_behind(chain: FolderChain, nodes: dict[str, NodeConfig]) -> bytes:
    """A result that those who were removed have signed after they left, on a chain of their own."""
    fork = FolderChain(nodes)
    fork.settle(fork.keys["validator-0"])
    while fork.tip.height < chain.tip.height:
        fork.add()
    return fork.settle(fork.keys["validator-0"])


def exchanged(nodes: dict[str, NodeConfig]) -> tuple[FolderChain, bytes]:
    """A chain whose validators have all been exchanged, and the proof of an interval that was settled since."""
    chain = FolderChain(nodes, NEW_SET)
    chain.settle(chain.keys["validator-0"])
    for old, new in zip(tuple(chain.keys.values()), NEW_SET, strict=True):
        chain.change_validators(ROTATE, old, new)
    return chain, chain.settle(NEW_SET[0])


def test_a_home_refuses_after_a_restart_a_proof_by_validators_that_have_left(
    nodes: dict[str, NodeConfig], tmp_path: Path
) -> None:
    chain, proof = exchanged(nodes)
    lie = left_behind(chain, nodes)
    path = tmp_path / TRUSTED_FILE
    known(nodes["gateway-0"], tmp_path / "other.bin").read_result(
        lie
    )  # one that has the genesis alone believes it
    before = known(nodes["gateway-0"], path)
    before.read_result(proof)
    for who in (before, known(nodes["gateway-0"], path)):
        assert who.sets() == (chain.genesis.operators, tuple(chain.tip.state.validators))
        with pytest.raises(BadProof, match="other validators"):
            who.read_result(lie)
        assert who.read_result(chain.settle(NEW_SET[1])).sender.startswith("validator")


def test_a_home_keeps_every_change_of_the_sets_and_else_a_header_now_and_then(
    nodes: dict[str, NodeConfig], tmp_path: Path
) -> None:
    chain, path = FolderChain(nodes), tmp_path / TRUSTED_FILE
    who = known(nodes["gateway-0"], path)
    assert not path.exists()
    who.read_result(chain.settle(chain.keys["validator-0"]))
    first = path.read_bytes()
    who.read_result(chain.settle(chain.keys["validator-0"]))
    assert path.read_bytes() == first
    chain.change_operators(ADD_OPERATOR, STRANGER)
    who.read_result(chain.settle(STRANGER))
    second = path.read_bytes()
    assert known(nodes["gateway-0"], path).sets().operators == (
        *chain.genesis.operators,
        STRANGER.public_key,
    )
    for _ in range(KEPT_EVERY - 2):
        chain.add()
    who.read_result(chain.settle(STRANGER))
    assert path.read_bytes() == second
    who.read_result(chain.settle(STRANGER))
    assert path.read_bytes() != second


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: data[: len(data) // 2], "cannot be read"),
        (lambda data: b"", "cannot be read"),
        (lambda data: bytes(byte ^ 0x5A for byte in data), "cannot be read"),
        (lambda data: encode(msgspec.structs.replace(decode(TrustedSets, data), version=2)), "another chain"),
        (
            lambda data: encode(msgspec.structs.replace(decode(TrustedSets, data), chain_id=bytes(32))),
            "another chain",
        ),
    ],
    ids=["cut", "empty", "scrambled", "version", "chain"],
)
def test_a_damaged_file_of_what_is_trusted_is_named_with_a_cure(
    damage: Callable[[bytes], bytes], words: str, nodes: dict[str, NodeConfig], tmp_path: Path
) -> None:
    """To begin again from the genesis would be to believe validators that have left: that is for its owner to say."""
    chain, path = FolderChain(nodes), tmp_path / TRUSTED_FILE
    known(nodes["gateway-0"], path).read_result(chain.settle(chain.keys["validator-0"]))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InvalidData, match=words) as caught:
        known(nodes["gateway-0"], path)
    (problem,) = caught.value.problems
    assert problem.where == str(path)
    assert "move it away" in problem.cure


@pytest.mark.parametrize("name", ["validator-0", "operator-0", "observer-0", "gateway-0"])
def test_a_node_that_runs_admits_by_rank_and_checks_gossip(name: str, nodes: dict[str, NodeConfig]) -> None:
    config, network = nodes[name], MemoryNetwork()
    admitted: list[tuple[Places, RankOf]] = []
    topics: list[str] = []

    @asynccontextmanager
    async def opened(identity: Identity, _port: int) -> AsyncIterator[Transport]:
        async with network.endpoint(identity) as endpoint:
            endpoint.admit = lambda places, rank_of: admitted.append((places, rank_of))  # type: ignore[method-assign]
            endpoint.check_gossip = lambda topic, check: topics.append(topic)  # type: ignore[method-assign]
            yield endpoint

    async def main() -> None:
        keys = open_keys(config, {}, prepared(config).genesis)
        with trio.move_on_after(1):
            await run_node(in_memory(config), keys, World(opened, inline, shares_process=True))

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    ((places, rank_of),) = admitted
    assert places == Places()
    assert rank_of(peer(nodes["validator-1"])) == Rank.COLLECTOR
    assert rank_of(peer_id_of(STRANGER.public_key)) == Rank.STRANGER
    assert topics == [result_topic(prepared(config).genesis.chain_id)]


def edited(config: NodeConfig, tmp_path: Path, line: str) -> Path:
    """A copy of a configuration with another line in [listen]."""
    key = line.partition(" ")[0]
    lines = (config.folder / CONFIG).read_text(encoding="utf-8").splitlines()
    assert sum(one.startswith(f"{key} ") for one in lines) == 1
    path = tmp_path / CONFIG
    path.write_text("\n".join(line if one.startswith(f"{key} ") else one for one in lines) + "\n")
    return path


def test_places_are_those_of_the_configuration(nodes: dict[str, NodeConfig], tmp_path: Path) -> None:
    config = nodes["operator-0"]
    assert places_of(config.listen) == Places()
    other = load_config(edited(config, tmp_path, "connections = 80"))
    assert places_of(other.listen) == Places(total=80, kept=10)
    assert places_of(load_config(edited(config, tmp_path, "strangers = 0")).listen) == Places(strangers=0)
    assert places_of(load_config(edited(config, tmp_path, "per_address = 4")).listen) == Places(per_address=4)


@pytest.mark.parametrize(
    "line", ["connections = 7", "connections = 1025", "strangers = -1", "per_address = 0"]
)
def test_a_number_of_places_outside_its_range_is_refused(
    line: str, nodes: dict[str, NodeConfig], tmp_path: Path
) -> None:
    with pytest.raises(WattswapError, match=line.partition(" ")[0]):
        load_config(edited(nodes["operator-0"], tmp_path, line))


def test_operators_that_are_those_of_the_genesis_again_are_still_proven(
    nodes: dict[str, NodeConfig], tmp_path: Path
) -> None:
    """A home that has seen others would keep these for good where a proof shows none."""
    chain = FolderChain(nodes)
    with ChainStore.create(tmp_path / "chain.db", chain.genesis) as store:
        ledger, shown = Ledger(store, chain.genesis), []
        for change in (None, ADD_OPERATOR, REMOVE_OPERATOR):
            if change is not None:
                chain.change_operators(change, STRANGER)
            chain.settle(chain.keys["validator-0"])
            for block, cert in chain.made[ledger.height :]:
                ledger.append(block, cert)
            shown.append(ledger.operators_below(ledger.height))
    assert [proof is not None for proof in shown] == [False, True, True]
