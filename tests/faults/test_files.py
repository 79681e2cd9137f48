"""Damaged, foreign and missing files: the node names the file and the cure, ends with its code, and signs nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from p2p.blocks.genesis import read_genesis
from p2p.consensus.sign_state import FILE_NAME
from p2p.ledger.store import ChainStore
from tests.kits.faults_kit import HOMES, OPERATOR, VALIDATORS, Town, mend, town
from wattswap.nodes.config import CONFIG
from wattswap.nodes.node import JOURNAL_FILE
from wattswap.runs.layout import CHAIN

pytestmark = [pytest.mark.live, pytest.mark.slow]
VICTIM, OTHER = VALIDATORS[3], VALIDATORS[2]
KEPT = "kept"
CODES = {FILE_NAME: 3, JOURNAL_FILE: 3, CHAIN: 5}
"""Of docs/reference/exit-codes.md: what cannot be used, and a chain that is not what was committed to."""
Damage = Callable[[Path, Path], None]
"""(the file, the same file of another node)."""


def cut(file: Path, _: Path) -> None:
    """Half of it is gone."""
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def scramble(file: Path, _: Path) -> None:
    """Every page but the header of the file is other bytes."""
    content = file.read_bytes()
    file.write_bytes(content[:100] + bytes(byte ^ 0x5A for byte in content[100:]))


def empty(file: Path, _: Path) -> None:
    """Nothing is left of it."""
    file.write_bytes(b"")


def overwrite(file: Path, _: Path) -> None:
    """It is no database."""
    file.write_bytes(b"no database at all\n" * 500)


def swap(file: Path, foreign: Path) -> None:
    """It is another node's."""
    shutil.copyfile(foreign, file)


def remove(file: Path, _: Path) -> None:
    """It is gone."""
    file.unlink()


def exchange(file: Path, _: Path) -> None:
    """It is a chain of another genesis."""
    file.unlink()
    genesis = read_genesis(file.parents[1] / "genesis.bin")
    ChainStore.create(file, msgspec.structs.replace(genesis, time_ms=genesis.time_ms + 1)).close()


CASES = [
    *((FILE_NAME, damage) for damage in (cut, scramble, empty, overwrite, swap, remove)),
    *((CHAIN, damage) for damage in (cut, scramble, empty, overwrite, exchange)),
    *((JOURNAL_FILE, damage) for damage in (cut, scramble, empty, overwrite)),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A neighbourhood that goes on while one of its validators is tried with damaged files."""
    with town(tmp_path_factory.mktemp("files"), 39, pace_s=4.0) as here:
        here.start(*VALIDATORS, OPERATOR, *HOMES)
        here.wait_settled(3, VICTIM)
        here.stop(VICTIM)
        shutil.copytree(here.data(VICTIM), here.configs[VICTIM].folder / KEPT)
        yield here


def run(place: Town) -> subprocess.CompletedProcess[str]:
    """Run the victim until it ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "wattswap", "node", "run", str(place.configs[VICTIM].folder)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def restore(place: Town) -> None:
    """Give the victim back what it had."""
    shutil.rmtree(place.data(VICTIM))
    shutil.copytree(place.configs[VICTIM].folder / KEPT, place.data(VICTIM))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.db*")}


@pytest.mark.parametrize(("name", "damage"), CASES)
def test_a_file_that_cannot_be_used_is_named_and_nothing_is_signed(
    place: Town, name: str, damage: Damage
) -> None:
    restore(place)
    file = place.data(VICTIM) / name
    stopped_at = place.height(VICTIM)
    damage(file, place.data(OTHER) / name)
    before = contents(file.parent)
    ended = run(place)
    assert ended.returncode == CODES[name], (ended.returncode, ended.stderr)
    (sentence,) = ended.stderr.splitlines()
    assert sentence.startswith("Error: ")
    assert str(file) in sentence
    assert file.exists() == (name in before)
    if name == FILE_NAME and file.exists():
        assert contents(file.parent)[name] == before[name]
    place.wait_settled(len(place.settled()) + 1)
    assert VICTIM not in place.signers(above=stopped_at)
    place.check_chains(*VALIDATORS[:3])


def test_what_is_said_of_a_lost_sign_state_is_what_brings_the_validator_back(place: Town) -> None:
    restore(place)
    for file in place.data(VICTIM).glob(FILE_NAME + "*"):
        file.unlink()
    ended = run(place)
    assert "set min_safe_height in config.toml" in ended.stderr
    config = place.configs[VICTIM]
    below = place.height(VALIDATORS[0])
    safe = below + 10
    text = (config.folder / CONFIG).read_text(encoding="utf-8")
    (line,) = [line for line in text.splitlines() if line.startswith("min_safe_height = 0")]
    mend(config, line, f"min_safe_height = {safe}")
    place.start(VICTIM)
    place.wait_settled(below + 12, VICTIM, 120)
    assert VICTIM not in place.signers(above=below, up_to=safe - 1)
    assert VICTIM in place.signers(above=safe - 1)
    place.check_chains()
