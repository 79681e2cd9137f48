"""What a validator checks before it votes: every field of a batch follows from the messages in its blob."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

import wattswap as ws
from p2p.batches.batch import BatchArgs, batches
from p2p.batches.blob import blob_hash, make_blob
from p2p.batches.later import NotLater, with_readings
from p2p.blocks.block import quorum
from p2p.blocks.members import DEFAULT_CAPACITY_W, energy_at
from p2p.errors import WrongSignature
from p2p.ledger.store import ChainStore
from p2p.wire import messages
from p2p.wire.messages import PriceLine
from tests.kits.chain_kit import identity
from tests.kits.run_kit import FIRST
from tests.kits.town_kit import playing
from wattswap.nodes.batch_checker import KEPT, BadBatch, BatchChecker
from wattswap.nodes.live import Topology, run_live
from wattswap.runs.folder import stored_scenario
from wattswap.runs.layout import BLOBS, CHAIN
from wattswap.runs.prepare import Setup, prepare

DAYLIGHT_S = int(FIRST.timestamp()) + 86_400 + 9 * 3_600
FIELDS = [name for name in BatchArgs.__struct_fields__ if name != "next_collector"]


class Settled(NamedTuple):
    """An interval that was settled without one of three homes."""

    setup: Setup
    args: BatchArgs
    blob: bytes


@pytest.fixture(scope="module")
def settled(street: Path, tmp_path_factory: pytest.TempPathFactory) -> Settled:
    result = run_live(
        ws.load(street),
        topology=Topology(gate_s=2.0),
        intervals=1,
        start_s=DAYLIGHT_S,
        out=tmp_path_factory.mktemp("live"),
        run_nodes=playing(absent=["home-2"]),
    )
    setup = prepare(stored_scenario(result.path))
    with ChainStore.open(result.path / CHAIN, setup.genesis, read_only=True) as store:
        [args] = [args for block, _ in store.blocks() for _, args in batches(block.txs)]
    [path] = [path for path in (result.path / BLOBS).rglob("*") if path.is_file()]
    return Settled(setup, args, path.read_bytes())


def other(value: Any) -> Any:
    """A value that nothing leads to."""
    if isinstance(value, bytes):
        return bytes((value[0] ^ 1,)) + value[1:] if value else b"entries"
    if isinstance(value, int):
        return value + 1
    if isinstance(value, tuple):
        return (*value[:-1], value[0]) if value else (1,)
    return PriceLine(1, 3, 2) if value is None else None


def test_the_batch_that_was_settled_follows_from_its_messages(settled: Settled) -> None:
    checker = BatchChecker(settled.setup)
    checker(settled.args, settled.blob)
    assert checker.settled(settled.args, settled.blob).args.price == settled.args.price


@pytest.mark.parametrize("field", FIELDS)
def test_a_batch_with_any_other_field_gets_no_vote_and_does_not_verify(field: str, settled: Settled) -> None:
    args = replace(settled.args, **{field: other(getattr(settled.args, field))})
    assert args != settled.args
    checker = BatchChecker(settled.setup)
    for check in (checker, checker.settled):
        with pytest.raises(BadBatch, match=f": {field} does not follow from the messages"):
            check(args, settled.blob)


def test_a_batch_may_give_the_next_turn_to_another_collector(settled: Settled) -> None:
    """Whom it may name is a rule of the chain and of turns."""
    args = replace(settled.args, next_collector=identity("somebody", "0").public_key)
    checker = BatchChecker(settled.setup)
    assert checker(args, settled.blob) == checker(settled.args, settled.blob)


def test_a_batch_without_the_messages_of_a_home_names_who_has_closed_its_slots(settled: Settled) -> None:
    closed = BatchChecker(settled.setup)(settled.args, settled.blob)
    validators = settled.setup.genesis.authorities
    assert len(closed) == 2  # the order and the reading of the home that was absent
    for keys in closed:
        assert keys <= set(validators)
        assert len(keys) >= quorum(len(validators))


def test_messages_of_a_home_that_has_rotated_its_key_are_signed_by_the_new_one(settled: Settled) -> None:
    def rotated(home: int, _start_s: int) -> bytes | None:
        return identity("another key", "0").public_key if home == 0 else None

    with pytest.raises(WrongSignature):
        BatchChecker(settled.setup, rotated)(settled.args, settled.blob)


def test_the_intervals_that_are_remembered_are_bounded(settled: Settled) -> None:
    checker = BatchChecker(settled.setup)
    names = []
    for number in range(KEPT + 2):
        blob = make_blob(settled.setup.roster, DAYLIGHT_S, bytes((number,)) * 32, ())
        checker.recompute(blob)
        names.append(blob_hash(blob))
    assert list(checker._kept) == names[-KEPT:]


def with_the_reading_of(settled: Settled, home: str, wh: int = 700) -> tuple[BatchArgs, bytes]:
    """A later version of the interval, with what a home says that it metered."""
    setup = settled.setup
    head = (messages.VERSION, setup.genesis.chain_id, settled.args.interval_start, setup.minutes, home)
    reading = messages.ReadingMessage(*head, setup.nonce(settled.args.interval_start), wh, 0, 0)
    signed = messages.sign_message(setup.keys.identity("household", home), reading)
    blob, recomputed = BatchChecker(setup).complete(with_readings(settled.blob, setup.roster, [signed]))
    return recomputed.args, blob


def test_a_home_without_a_reading_pays_for_what_its_connection_carries_until_it_gives_one(
    settled: Settled,
) -> None:
    home = settled.setup.roster.index("home-2")
    first = BatchChecker(settled.setup).recompute(settled.blob).record
    most_wh = energy_at(DEFAULT_CAPACITY_W[0], settled.setup.minutes)
    assert first.import_wh[home] == most_wh
    _, blob = with_the_reading_of(settled, "home-2")
    later = BatchChecker(settled.setup).recompute(blob).record
    assert (later.import_wh[home], later.export_wh[home]) == (700, 0)
    assert first.settled.postings.total_nano[home] < later.settled.postings.total_nano[home]


def test_a_later_version_follows_from_the_one_before_and_from_its_readings(settled: Settled) -> None:
    checker = BatchChecker(settled.setup)
    args, blob = with_the_reading_of(settled, "home-2")
    checker.again(args, blob, settled.blob)
    for name in ("postings_root", "totals", "inclusion_root", "blob_hash"):
        wrong = replace(args, **{name: other(getattr(args, name))})
        with pytest.raises(BadBatch, match=f": {name} does not follow from the messages"):
            checker.again(wrong, blob, settled.blob)
    with pytest.raises(NotLater):
        checker.again(settled.args, settled.blob, settled.blob)
    with pytest.raises(NotLater):
        checker.again(settled.args, settled.blob, blob)
    _, another = with_the_reading_of(settled, "home-2", 701)
    with pytest.raises(NotLater):
        checker.again(args, blob, another)
