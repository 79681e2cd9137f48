"""Who a node knows: collectors of now, homes and named nodes; and how many places each of them has."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

import wattswap as ws
from p2p.errors import Malformed, WrongSignature
from p2p.roles.exchange.gossip import results_check
from p2p.roles.exchange.wire import result_topic
from p2p.roles.validator.batch_check import inline
from p2p.transports.admission import Places, Rank, RankOf
from p2p.transports.base import Transport, peer_id_of
from p2p.transports.memory import MemoryNetwork
from p2p.wire.identity import Identity
from p2p.wire.messages import VERSION, ResultMessage, sign_message
from wattswap.errors import WattswapError
from wattswap.nodes.config import CONFIG, NodeConfig, load_config
from wattswap.nodes.keys import open_keys
from wattswap.nodes.known import Known, places_of
from wattswap.nodes.provision import KeyPlan, NetworkSpec, init_nodes
from wattswap.nodes.roles import prepared, run_node
from wattswap.nodes.world import World
from wattswap.simulation.base import in_memory

STRANGER = Identity.from_seed(b"s" * 32)


@pytest.fixture(scope="module")
def nodes(street: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, NodeConfig]:
    """Folders of four validators, an operator, an observer and two gateways, by name."""
    folder = tmp_path_factory.mktemp("known") / "nodes"
    configs = init_nodes(ws.load(street), folder, NetworkSpec(0, gateways=2, observers=1), KeyPlan())
    return {config.name: config for config in configs}


def peer(config: NodeConfig) -> str:
    """The peer id of a node."""
    keys = open_keys(config, {}, prepared(config).genesis)
    return peer_id_of(keys[config.key_names[0]].public_key)


def known(config: NodeConfig) -> Known:
    return Known(config, prepared(config))


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


def test_gateways_and_homes_are_not_told_of_gateways(nodes: dict[str, NodeConfig]) -> None:
    roles = {config.name: {named.role for named in config.peers} for config in nodes.values()}
    assert "gateway" not in roles["gateway-0"]
    assert "gateway" in roles["validator-0"] & roles["operator-0"] & roles["observer-0"]


def test_a_validator_that_was_removed_is_no_collector_any_more(nodes: dict[str, NodeConfig]) -> None:
    who, removed = known(nodes["operator-0"]), peer(nodes["validator-3"])
    assert who.rank(removed) == Rank.COLLECTOR
    left = prepared(nodes["operator-0"]).genesis.authorities[:3]
    who.authorities = lambda: left
    assert who.rank(removed) == Rank.MEMBER  # the configuration still names it
    assert not who.is_collector(removed)
    who.authorities = lambda: (*left, STRANGER.public_key)
    assert who.rank(peer_id_of(STRANGER.public_key)) == Rank.COLLECTOR


def test_nor_does_its_result_pass(nodes: dict[str, NodeConfig]) -> None:
    config = nodes["validator-3"]
    setup = prepared(config)
    genesis, who = setup.genesis, known(nodes["operator-0"])
    key = open_keys(config, {}, genesis)[config.key_names[0]]
    roots = (b"a" * 32, b"b" * 32, b"c" * 32, b"d" * 32)
    head = (VERSION, genesis.chain_id, setup.start_of(0), setup.minutes, 1)
    signed = sign_message(key, ResultMessage(*head, *roots, None, b"e" * 32, 0, key.public_key))
    check = results_check(genesis.chain_id, who.collectors, genesis.params.limits)
    check(peer(config), signed)
    with pytest.raises(WrongSignature, match="a result that"):
        check(peer_id_of(STRANGER.public_key), signed)
    with pytest.raises(Malformed):
        check(peer(config), signed[:-1])
    who.authorities = lambda: genesis.authorities[:3]
    with pytest.raises(WrongSignature, match="may not sign"):
        check(peer(config), signed)


def test_a_home_takes_the_validators_of_the_latest_proof_for_those_of_now(
    nodes: dict[str, NodeConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    who = known(nodes["gateway-0"])
    first = who.authorities()
    proven = {b"old": (3, first), b"new": (9, (*first[1:], STRANGER.public_key)), b"older": (8, first)}
    monkeypatch.setattr("wattswap.nodes.known.validators_in", lambda proof, genesis: proven[proof])
    for proof, keys in ((b"old", first), (b"new", proven[b"new"][1]), (b"older", proven[b"new"][1])):
        who.learn(proof)
        assert who.authorities() == keys
    assert STRANGER.public_key in who.collectors()
    assert first[0] not in who.collectors()


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
