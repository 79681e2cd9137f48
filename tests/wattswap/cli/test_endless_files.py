"""A file without an end, as a device, is refused by every command on chains and nodes after a bounded read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from market.files import read_at_most
from p2p.blocks.genesis import write_genesis
from p2p.transports.base import peer_id_of
from p2p.wire.identity import save_key_file
from tests.kits.modules_kit import STRANGER
from tests.kits.signed_kit import keyed_genesis

ENDLESS = Path("/dev/zero")
ADDRESS_SPACE_BYTES = 4 << 30
"""What a command may have in the test: a read without a bound ends with MemoryError, a bug. [B]"""

ADDRESS = f"/ip4/127.0.0.1/tcp/1/p2p/{peer_id_of(STRANGER.public_key)}"
TX = ["--key", "{key}", "--genesis", "{genesis}", "--nonce", "1", "--valid-until", "9", "--out", "{out}"]
COMMANDS = {
    "check-omission": (["chain", "check-omission", "{zero}", "--genesis", "{genesis}"], 3),
    "check-omission of two": (["chain", "check-omission", "{zero}", "{zero}", "--genesis", "{genesis}"], 3),
    "genesis": (["chain", "check-omission", "{zero}", "--genesis", "{zero}"], 3),
    "accuse": (["chain", "accuse", "{zero}", *TX], 3),
    "check-proof": (["chain", "check-proof", "{zero}", "--genesis", "{genesis}"], 3),
    "send": (["chain", "send", "{zero}", "{folder}"], 3),
    "tx": (["chain", "tx", "governance", "approve", "--args", "@{zero}", *TX], 2),
    "possession": (["chain", "possession", "--key", "{zero}", "--genesis", "{genesis}"], 3),
    "status": (
        [
            "network",
            "status",
            ADDRESS,
            "--genesis",
            "{zero}",
        ],
        3,
    ),
    "public keys": (["node", "init", "demo", "{out}", "--public-keys", "{zero}"], 3),
    "scenario": (["node", "init", "{zero}", "{out}"], 3),
}
ALL = """
import json, resource, sys
from wattswap.cli import main
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for command in json.load(sys.stdin):
    try:
        main(command)
    except SystemExit as end:
        print(end.code)
"""
"""Each command after the other, within an address space; the codes go to standard output."""

pytestmark = pytest.mark.skipif(not ENDLESS.exists(), reason="there is no /dev/zero here")


def test_a_read_of_a_file_without_an_end_stops_one_byte_after_its_bound(tmp_path: Path) -> None:
    assert read_at_most(ENDLESS, 5) == bytes(6)
    whole = tmp_path / "whole"
    whole.write_bytes(b"12345")
    assert read_at_most(whole, 5) == b"12345"


def test_commands_refuse_a_file_without_an_end(tmp_path: Path) -> None:
    genesis, key = tmp_path / "genesis.bin", tmp_path / "key"
    write_genesis(genesis, keyed_genesis(4))
    save_key_file(key, STRANGER)
    places = {"zero": ENDLESS, "genesis": genesis, "key": key, "out": tmp_path / "out", "folder": tmp_path}
    asked = [[part.format(**places) for part in words] for words, _ in COMMANDS.values()]
    done = subprocess.run(
        [sys.executable, "-c", ALL, str(ADDRESS_SPACE_BYTES)],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    codes = dict(zip(COMMANDS, map(int, done.stdout.split()), strict=True))
    assert codes == {name: code for name, (_, code) in COMMANDS.items()}, done.stderr
    assert "bug" not in done.stderr
    assert not places["out"].exists()
