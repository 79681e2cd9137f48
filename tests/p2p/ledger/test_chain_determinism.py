"""The same input gives the same chain in every process, whatever Python's hash seed is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_PROGRAM = """
import sys, tempfile
from pathlib import Path
sys.path[:0] = sys.argv[1:]
from tests.kits.chain_kit import make_chain, line_proof
with tempfile.TemporaryDirectory() as folder:
    made = make_chain(Path(folder) / "chain.db", n=4, intervals=5)
    made.store.close()
    tip = made.producer.tip
    proof = line_proof(made.batches[2], 1, *made.blocks[2], made.genesis)
    print(tip.block_hash.hex(), tip.state.root.hex(), proof.hex())
from test_chain_execution import busy_chain, changed_chain
for chain in (busy_chain(), changed_chain()[0]):
    print(chain.tip.block_hash.hex(), chain.tip.state.root.hex())
"""


def run(hash_seed: str) -> str:
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", _PROGRAM, str(here), str(here.parents[2])]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def test_two_hash_seeds_give_the_same_bytes() -> None:
    first = run("1")
    assert len(first.split()) == 7
    assert run("4242") == first
