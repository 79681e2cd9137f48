"""node run: opens what is there, ends well when it is told to, and says what is missing."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

import wattswap as ws
from tests.kits.run_kit import call, refused
from wattswap.nodes.config import NodeConfig
from wattswap.nodes.provision import KeyPlan, NetworkSpec, init_nodes

Capture = pytest.CaptureFixture[str]
STARTER = """
import sys
import trio
from wattswap.nodes import service as program

async def run_node(config, keys, world):
    print(config.role, sorted(keys), flush=True)
    if {fails}:
        from p2p.errors import KeyFileError
        async with trio.open_nursery():
            raise KeyFileError(config.folder, "broke while it ran")
    try:
        await trio.sleep_forever()
    finally:
        print("closed", flush=True)

program.run_node = run_node
from wattswap.cli import main
main(["node", "run", sys.argv[1]])
"""


@pytest.fixture(scope="module")
def node(street: Path, tmp_path_factory: pytest.TempPathFactory) -> NodeConfig:
    """A validator's folder."""
    folder = tmp_path_factory.mktemp("nodes") / "street"
    return init_nodes(ws.load(street), folder, NetworkSpec(1_800_000_000_000, gateways=1), KeyPlan())[0]


def started(node: NodeConfig, fails: bool = False) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", STARTER.format(fails=fails), str(node.folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
def test_a_node_that_is_told_to_stop_closes_and_ends_with_code_0(
    node: NodeConfig, told: signal.Signals
) -> None:
    process = started(node)
    assert process.stdout is not None
    assert process.stdout.readline() == "validator ['consensus']\n"
    process.send_signal(told)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "closed\n", "")


def test_what_ends_a_node_reaches_the_user_as_one_sentence(node: NodeConfig) -> None:
    process = started(node, fails=True)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 3
    assert err == f"Error: key file {node.folder}: broke while it ran\n"


def test_a_folder_that_is_no_node_is_refused(tmp_path: Path, capsys: Capture) -> None:
    refused(call(capsys, "node", "run", tmp_path), 3, "config.toml", "node init")
    refused(call(capsys, "node", "run", tmp_path / "away"), 3, "there is no such folder", "node init")


def test_the_folder_of_all_nodes_is_answered_with_one_of_them(node: NodeConfig, capsys: Capture) -> None:
    phrases = ("is the folder of nodes, not of one; name one of them, such as", "gateway-0")
    refused(call(capsys, "node", "run", node.folder.parent), 3, *phrases)
    key = ("chain", "possession", "--genesis", node.genesis_path, "--key")
    refused(call(capsys, *key, node.folder.parent), 3, *phrases)
    refused(call(capsys, *key, node.folder / "away"), 3, "no such file or folder", "name a key file")
    refused(call(capsys, *key, node.genesis_path), 3, "is no key file")


def test_a_missing_key_file_is_named(node: NodeConfig, capsys: Capture) -> None:
    key = node.folder / "keystore.key"
    hidden = key.rename(key.with_suffix(".away"))
    try:
        refused(call(capsys, "node", "run", node.folder), 3, "keystore.key", "cannot be read")
    finally:
        hidden.rename(key)


def test_a_damaged_genesis_is_named(node: NodeConfig, capsys: Capture) -> None:
    good = node.genesis_path.read_bytes()
    node.genesis_path.write_bytes(good[:-1])
    try:
        refused(call(capsys, "node", "run", node.folder), 3, "genesis file")
    finally:
        node.genesis_path.write_bytes(good)
