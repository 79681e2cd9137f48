"""network status: every node of a folder is asked, and one that is down is named."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import trio
import trio.testing

import wattswap as ws
from p2p.blocks.genesis import read_genesis
from p2p.roles.replica.status import serve_status
from p2p.transports.memory import MemoryNetwork
from p2p.wire.identity import Identity
from tests.kits.run_kit import call, refused, start
from wattswap.cli.network import print_status
from wattswap.nodes.config import NodeConfig
from wattswap.nodes.provision import KeyPlan, NetworkSpec, init_nodes
from wattswap.nodes.status import PATIENCE_S, Finding, Target, ask_all, rows_of, targets_of

Capture = pytest.CaptureFixture[str]
CHAIN = b"c" * 32
HEAD = b"h" * 32
EMPTY = "''"


@pytest.fixture(scope="module")
def made(street: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[NodeConfig, ...]:
    """A neighbourhood that nobody started."""
    folder = tmp_path_factory.mktemp("nodes") / "street"
    return init_nodes(ws.load(street), folder, NetworkSpec(1_800_000_000_000, gateways=1), KeyPlan())


def test_a_node_tells_what_it_counted_and_one_that_is_down_is_named() -> None:
    async def main() -> None:
        network = MemoryNetwork()
        async with (
            network.endpoint(Identity.from_seed(b"a" * 32)) as up,
            network.endpoint(Identity.from_seed(b"b" * 32)) as asker,
        ):
            counters = {"peers": 3, "refused_malformed": 1, "refused_tx_nonce": 2, "last_block_age_s": 12}
            serve_status(up, CHAIN, "validator", lambda: (7, HEAD, True), lambda: counters, lambda: 0)
            async with network.endpoint(Identity.from_seed(b"d" * 32)) as gone:
                address = gone.address
            targets = [
                Target("validator-0", "validator", up.address),
                Target("validator-1", "validator", address),
                Target("home", "household", "", "its keystore is not there"),
            ]
            first, second, third = [f.facts() for f in await ask_all(asker, CHAIN, targets)]
        assert (first["up"], first["height"], first["head"], first["ready"]) == (True, 7, HEAD.hex(), True)
        assert (first["peers"], first["refused"], first["last_block_age_s"]) == (3, 3, 12)
        assert first["refused_by_code"] == {"malformed": 1, "tx_nonce": 2}
        assert (second["node"], second["up"], second["height"]) == ("validator-1", False, None)
        assert address in second["trouble"]
        assert third["trouble"] == "its keystore is not there"

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_a_node_that_hangs_or_is_of_another_chain_is_down_after_a_patience() -> None:
    async def main() -> None:
        network = MemoryNetwork()
        async with (
            network.endpoint(Identity.from_seed(b"a" * 32)) as other,
            network.endpoint(Identity.from_seed(b"e" * 32)) as hanging,
            network.endpoint(Identity.from_seed(b"b" * 32)) as asker,
        ):

            async def hang(_peer: str, _data: bytes) -> bytes:
                await trio.sleep_forever()
                raise AssertionError

            serve_status(other, b"x" * 32, "validator", lambda: (7, HEAD, True), dict, lambda: 0)
            hanging.serve("/wattswap/status/2", hang)
            begun = trio.current_time()
            targets = [Target("other", "validator", other.address), Target("hang", "", hanging.address)]
            first, second = await ask_all(asker, CHAIN, targets)
            assert "wrong_chain" in first.trouble
            assert second.trouble
            assert trio.current_time() - begun <= PATIENCE_S + 0.1

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_a_folder_tells_where_all_its_nodes_listen(made: tuple[NodeConfig, ...]) -> None:
    chain_id, targets = targets_of(made[0].folder.parent)
    assert chain_id == read_genesis(made[0].genesis_path).chain_id
    assert [target.name for target in targets] == [config.name for config in made]
    assert all(f"/tcp/{c.listen.port}/p2p/" in t.address for c, t in zip(made, targets, strict=True))


def test_one_nodes_folder_tells_of_itself_and_of_the_peers_it_knows(made: tuple[NodeConfig, ...]) -> None:
    _, all_of_them = targets_of(made[0].folder.parent)
    _, known = targets_of(made[-1].folder)
    assert known == all_of_them


def test_a_folder_without_nodes_and_addresses_without_a_genesis_are_refused(
    tmp_path: Path, capsys: Capture, made: tuple[NodeConfig, ...]
) -> None:
    refused(call(capsys, "network", "status", tmp_path), 3, "holds no node")
    address = made[0].peers[0].address
    refused(call(capsys, "network", "status", address), 2, "--genesis")
    refused(call(capsys, "network", "status", address, tmp_path), 2, "one folder")
    refused(call(capsys, "network", "status", tmp_path / "away"), 3, "there is no such folder")
    refused(call(capsys, "network", "status", made[0].genesis_path), 3, "is a file, not the folder of nodes")


def test_a_transaction_is_sent_to_a_folder_and_not_to_an_address(
    tmp_path: Path, capsys: Capture, made: tuple[NodeConfig, ...]
) -> None:
    file = tmp_path / "one.tx"
    file.write_bytes(b"junk")
    send = ("chain", "send", file)
    refused(call(capsys, *send, made[0].peers[0].address), 3, "is an address, not the folder of nodes")
    refused(call(capsys, *send, tmp_path / "away"), 3, "there is no such folder")
    refused(call(capsys, *send, made[0].folder.parent), 3, f"{file}: is not a transaction")


def test_where_a_chain_is_wanted_a_folder_of_nodes_is_answered_with_one_that_stores_it(
    capsys: Capture, made: tuple[NodeConfig, ...]
) -> None:
    """And not with the folder that `wattswap run` printed."""
    nodes, home = made[0].folder.parent, made[-1].folder
    refused(call(capsys, "chain", "show", home), 3, "homes and gateways store none; start a validator first")
    chain = made[0].data_path / "chain.db"
    chain.touch()
    try:
        for place in (nodes, home):
            cure = f"name a node that stores it, such as {made[0].folder}"
            refused(call(capsys, "chain", "show", place), 3, "is the folder of", cure)
        refused(call(capsys, "show", nodes), 3, "is the folder of nodes, not of a run", "network status")
    finally:
        chain.unlink()


def test_a_genesis_beside_a_folder_is_refused_and_not_ignored(
    capsys: Capture, made: tuple[NodeConfig, ...]
) -> None:
    for folder in (made[0].folder, made[0].folder.parent):
        words = ("network", "status", folder, "--genesis", made[0].genesis_path)
        refused(call(capsys, *words), 2, "--genesis: goes with addresses, not with a folder")


@pytest.mark.parametrize(
    ("wrong", "bare"),
    [
        ("/ip4/999.1.1.1/tcp/1/p2p/{peer}", True),
        ("/ip4/127.0.0.1/tcp/4001", True),
        ("/ip4/127.0.0.1/tcp/70000/p2p/{peer}", True),
        ("/ip4/127.0.0.1/tcp/4001/p2p/xyz", True),
        ("/ip4/127.0.0.1/tcp/4001/p2p/{peer}x", True),
        ("/ip4/127.0.0.1/udp/4001/p2p/{peer}", True),
        ("/dns4/street.example/tcp/4001/p2p/{peer}", True),
        ("127.0.0.1:4001", True),
        ("{peer}", True),
        ("foo", False),
        ("", True),
    ],
)
def test_what_is_no_address_is_refused_with_what_one_looks_like(
    wrong: str, bare: bool, capsys: Capture, made: tuple[NodeConfig, ...]
) -> None:
    """Before any node is asked; without a genesis a plain word is a folder."""
    right = made[0].peers[0].address
    text = wrong.format(peer=right.rpartition("/")[2])
    phrases = (f"{text or EMPTY}: is not an address of a node", "write /ip4/127.0.0.1/tcp/PORT/p2p/PEER-ID")
    genesis = ("--genesis", made[0].genesis_path)
    refused(call(capsys, "network", "status", text, *genesis), 2, *phrases)
    refused(call(capsys, "network", "status", right, text, *genesis), 2, *phrases)
    if bare:
        refused(call(capsys, "network", "status", text), 2, *phrases)


NODE = """
import sys
import trio
from p2p.blocks.genesis import read_genesis
from p2p.transports.libp2p import open_libp2p
from p2p.roles.replica.status import serve_status
from wattswap.nodes.config import load_config
from wattswap.nodes.keys import open_keys

async def main():
    config = load_config(sys.argv[1])
    genesis = read_genesis(config.genesis_path)
    identity = open_keys(config, {}, genesis)[config.key_names[0]]
    async with open_libp2p(identity, port=config.listen.port) as node:
        serve_status(node, genesis.chain_id, "validator", lambda: (5, b"h" * 32, True), lambda: {"peers": 2}, lambda: 0)
        print("up", flush=True)
        await trio.sleep_forever()

trio.run(main)
"""


@pytest.mark.live
def test_the_command_asks_real_nodes_and_ends_with_1_when_one_is_down(made: tuple[NodeConfig, ...]) -> None:
    folder, genesis = made[0].folder, made[0].genesis_path
    node = subprocess.Popen([sys.executable, "-c", NODE, str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert node.stdout is not None
        assert node.stdout.readline() == "up\n"
        everybody = start("network", "status", folder.parent, PYTHONWARNINGS="ignore")
        out, err = everybody.communicate(timeout=60)
        assert everybody.returncode == 6
        assert "1 of 6 nodes answers\n" in out
        assert [line.split(": ")[0] for line in err.splitlines()] == [
            f"{config.name} is down" for config in made[1:]
        ]
        (address,) = [peer.address for peer in made[1].peers if peer.name == "validator-0"]
        alone = start("network", "status", address, "--genesis", genesis, "--json", PYTHONWARNINGS="ignore")
        out, _ = alone.communicate(timeout=60)
        assert alone.returncode == 0
        (row,) = json.loads(out)["nodes"]
        assert (row["up"], row["height"], row["head"], row["peers"]) == (True, 5, HEAD.hex(), 2)
    finally:
        node.kill()
        node.communicate()


def test_before_the_first_block_there_is_no_age_and_refusals_are_explained(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    target = Target("validator-0", "validator", "")
    fresh = Finding(target, "validator", 0, HEAD, True, {"peers": 3, "refused_malformed": 2})
    later = Finding(target, "validator", 7, HEAD, True, {"peers": 3, "last_block_age_s": 12})
    home = Finding(
        Target("home-1", "household", ""), "household", 0, HEAD, True, {"peers": 1, "refused_stale": 1}
    )
    print_status(CHAIN, rows_of([fresh, later, home]), wide=False)
    text = capsys.readouterr().out
    assert text.count("no block yet") == 1  # a home stores no chain
    assert "validator-0 refused 2 messages since it started: malformed 2" in text
    assert "home-1 refused 1 message since it started: stale 1" in text
    assert "3 of 3 nodes answer\n" in text
    assert max(map(len, text.splitlines())) <= 60
