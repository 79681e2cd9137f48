"""A short sample of the long run: every reader refuses wrong bytes with a code, or reads what it would write."""

from __future__ import annotations

import random
import tracemalloc
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from p2p.batches.blob import Blob
from p2p.errors import NonCanonical, RemoteError, WrongVersion
from p2p.ledger.checkpoint import Checkpoint, open_checkpoint
from p2p.wire.codec import decode
from p2p.wire.frames import FRAME_MAX_BYTES
from tests.fuzz.__main__ import hammer
from tests.fuzz.targets import Target, attempt, checked_targets, record_targets
from tests.fuzz.values import all_records, encoded
from tests.kits.chain_kit import make_genesis

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.bin"))
SEED = 20_161_019


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> list[Target]:
    return list(checked_targets(tmp_path_factory.mktemp("fuzz")))


def test_every_record_refuses_mutated_bytes_or_reads_their_only_meaning(tmp_path: Path) -> None:
    rng, seen = random.Random(SEED), Counter[str]()
    for target in record_targets(rng):
        seen.update(hammer(rng, target, 150, tmp_path))
    assert {"", "malformed", "non_canonical", "out_of_range"} <= seen.keys()


def test_every_checked_reader_refuses_mutated_bytes_with_a_code(
    checked: list[Target], tmp_path: Path
) -> None:
    rng = random.Random(SEED)
    for target in checked:
        seen = hammer(rng, target, 150, tmp_path)
        assert seen.total() > seen[""]


def test_the_right_inputs_are_taken(checked: list[Target]) -> None:
    """Else the mutated ones would be refused for a reason that hides the others."""
    whole = {"message", "blob", "omission", "genesis", "certificate", "proof bundle", "snapshot", "evidence"}
    taken = {target.name for target in checked if all(attempt(target, seed) == "" for seed in target.seeds)}
    whole |= {"closing", "broken promise", "batch proof"}
    assert whole | {"keystore", "node config", "batch arguments", "checkpoint"} <= taken


def test_the_corpus_is_read_by_every_reader(checked: list[Target]) -> None:
    targets = [*record_targets(random.Random(SEED), 1), *checked]
    assert len(CORPUS) >= 12
    for path in CORPUS:
        data = path.read_bytes()
        for target in targets:
            attempt(target, data)


def test_a_checkpoint_has_only_one_encoding(checked: list[Target]) -> None:
    """Found here: the version was not looked at, and the entries could be in any order."""
    right = next(target for target in checked if target.name == "checkpoint").seeds[0]
    checkpoint = decode(Checkpoint, right)
    for changes, error in (
        ({"version": 2}, WrongVersion),
        ({"entries": checkpoint.entries[::-1]}, NonCanonical),
        ({"entries": checkpoint.entries[:1] * 2}, NonCanonical),
    ):
        with pytest.raises(error):
            open_checkpoint(encoded(msgspec.structs.replace(checkpoint, **changes)), make_genesis())


@pytest.mark.parametrize("kind", [0, 3, 255, -1])
def test_a_blob_with_a_line_of_no_kind_is_malformed(checked: list[Target], kind: int) -> None:
    """Found here: it was a KeyError, which stops whoever looks at the blob."""
    target = next(target for target in checked if target.name == "blob")
    blob = decode(Blob, target.seeds[0])
    lines = (msgspec.structs.replace(blob.lines[0], kind=kind), *blob.lines[1:])
    assert attempt(target, encoded(msgspec.structs.replace(blob, lines=lines))) == "malformed"


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_a_short_input_cannot_take_much_memory(path: Path) -> None:
    data = path.read_bytes()
    kinds = all_records()
    for kind in kinds:
        _refuses(kind, data)  # builds the decoders
    tracemalloc.start()
    try:
        for kind in kinds:
            _refuses(kind, data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000 + 100 * len(data)


def _refuses(kind: type, data: bytes) -> None:
    try:
        value = decode(kind, data, max_bytes=FRAME_MAX_BYTES)
    except RemoteError:
        return
    assert encoded(value) == data
