"""Settling an interval again: which versions the chain takes, what they change, and how often they can be made."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from p2p.batches.batch import batch_tx
from p2p.errors import BadProof
from p2p.ledger.light import check_batch_proof, check_proof, make_batch_proof, make_proof
from p2p.ledger.modules import settlement
from p2p.ledger.modules.evidence import check_two_batches
from p2p.ledger.versions import AGAIN_MAX, LAST, RING, Version, is_due, newest_version, totals_hash
from p2p.wire.codec import encode
from p2p.wire.identity import Identity
from tests.kits.chain_kit import START, STEP, authorities, make_args
from tests.kits.modules_kit import MEMBERS, OPERATORS, STRANGER, Chain, make_genesis, refused
from tests.kits.versions_kit import again, settled

VALIDATOR = authorities(4)[2]


@pytest.fixture
def chain() -> Chain:
    """Two intervals are settled."""
    found = Chain(make_genesis())
    for index in (0, 1):
        found.call(OPERATORS[0], "settlement.batch", settled(index))
    return found


def settle_until(chain: Chain, index: int) -> None:
    chain.call(OPERATORS[0], "settlement.batch", settled(index))


@pytest.mark.parametrize("sender", [OPERATORS[0], VALIDATOR])
def test_the_sums_are_those_of_the_newest_versions(chain: Chain, sender: Identity) -> None:
    before = chain.tip.state.settled
    chain.call(sender, "settlement.again", again())
    after = chain.tip.state.settled
    wanted = [
        [new + other for new, other in zip(*rows, strict=True)]
        for rows in zip(again().batch.rows, settled(1).rows, strict=True)
    ]
    assert [list(row) for row in after.totals] == wanted
    assert after.totals != before.totals
    same = ("batches", "last_interval_start", "collector")
    assert all(getattr(after, name) == getattr(before, name) for name in same)
    found = newest_version(chain.tip.state.view(), settlement.NAME, START, STEP)
    assert found == Version(START, 2, 1, totals_hash(again().batch.totals), again().batch.blob_hash)


def test_a_later_version_follows_the_newest_one_and_takes_back_what_it_posted(chain: Chain) -> None:
    other = make_args(7, MEMBERS)[1].totals
    for wrong in (
        again(version=3),
        msgspec.structs.replace(again(), version=3),
        again(before=other),
        again(before=settled(1).totals),
        again(index=5),
        again(batch=msgspec.structs.replace(again().batch, blob_hash=settled(0).blob_hash)),
        again(batch=msgspec.structs.replace(again().batch, blob_hash=bytes(32))),
    ):
        with refused("settle_again"):
            chain.call(OPERATORS[0], "settlement.again", wrong)
    chain.call(OPERATORS[0], "settlement.again", again())
    settle_until(chain, 2)
    with refused("settle_again"):
        chain.call(OPERATORS[0], "settlement.again", again())
    chain.call(OPERATORS[0], "settlement.again", again(version=3))


def test_a_later_version_is_a_balanced_batch_that_gives_no_turn(chain: Chain) -> None:
    turn = msgspec.structs.replace(again().batch, next_collector=OPERATORS[0].public_key)
    uneven = msgspec.structs.replace(again().batch, traded_wh=again().batch.traded_wh + 1)
    wide = tuple((*row[:-1], bytes(16)) for row in again().before)  # 0 has a shorter form
    for code, wrong in (
        ("tx_args", again(batch=turn)),
        ("settle_sums", again(batch=uneven)),
        ("tx_args", msgspec.structs.replace(again(), version=1)),
        ("tx_args", again(before=again().before[:-1])),
        ("tx_args", again(before=tuple(row[:-1] for row in again().before))),
        ("tx_args", again(before=wide)),
    ):
        with refused(code):
            chain.call(OPERATORS[0], "settlement.again", wrong)
    with refused("tx_role"):
        chain.call(STRANGER, "settlement.again", again())


def test_the_newest_interval_and_one_without_messages_are_not_settled_again(chain: Chain) -> None:
    with refused("settle_again"):
        chain.call(OPERATORS[0], "settlement.again", again(1))
    settle_until(chain, 2)
    chain.call(OPERATORS[0], "settlement.again", again(1))
    bare = Chain(make_genesis())
    for index in (0, 1):
        bare.call(OPERATORS[0], "settlement.batch", settled(index, blob_hash=bytes(32)))
    assert newest_version(bare.tip.state.view(), settlement.NAME, START, STEP) is None
    with refused("settle_again"):
        bare.call(OPERATORS[0], "settlement.again", again())


def test_an_interval_is_settled_again_only_where_its_age_has_doubled(chain: Chain) -> None:
    taken = [1, 2, 4, 8]
    for last in range(1, 10):
        if last > 1:
            settle_until(chain, last)
        if last in taken:
            chain.call(OPERATORS[0], "settlement.again", again(version=2 + taken.index(last)))
        with refused("settle_again"):
            chain.call(OPERATORS[0], "settlement.again", again(version=2 + sum(age <= last for age in taken)))


def test_the_ring_has_a_place_for_each_of_the_last_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2p.ledger.versions.RING", 4)
    monkeypatch.setattr("p2p.ledger.versions.LAST", 1)
    chain = Chain(make_genesis())
    for index in range(6):
        chain.call(OPERATORS[0], "settlement.batch", settled(index))
    view = chain.tip.state.view()
    found = [newest_version(view, settlement.NAME, START + STEP * index, STEP) for index in range(7)]
    assert [one is not None for one in found] == [False, False, True, True, True, True, False]
    with refused("settle_again"):
        chain.call(OPERATORS[0], "settlement.again", again(1))
    chain.call(OPERATORS[0], "settlement.again", again(2))


def test_a_batch_and_a_later_version_of_its_interval_convict_nobody() -> None:
    chain = make_genesis().chain_id
    first = batch_tx(OPERATORS[0], chain, 1, 9, settled(0))
    later = Chain(make_genesis()).tx(OPERATORS[0], "settlement.again", again())
    for pair in ((first, later), (later, first), (later, later)):
        with pytest.raises(BadProof, match="not a settlement"):
            check_two_batches(*pair, chain)


def test_the_proof_of_a_line_shows_which_version_it_is_of(chain: Chain) -> None:
    for call, number in ((again(), 2), (settled(2), 1)):
        name = "settlement.again" if number > 1 else "settlement.batch"
        index = 0 if number > 1 else 2
        batch, _ = make_args(index, MEMBERS, seed=2_000 if number > 1 else None)
        chain.call(OPERATORS[0], name, call)
        block, cert = chain.made[-1]
        proof = make_batch_proof(block, cert, chain.genesis)
        assert check_batch_proof(encode(proof), chain.genesis).version == number
        line = check_proof(make_proof(batch, 1, proof), chain.genesis)
        assert (line.version, line.interval_start) == (number, START + index * STEP)


def times_due(ages: list[int]) -> list[int]:
    """At which of these ages an interval is settled again."""
    last, taken = 0, []
    for age in ages:
        if is_due(age, last):
            taken.append(age)
            last = age
    return taken


def test_whoever_asks_at_every_age_gets_the_most_there_is() -> None:
    taken = times_due(list(range(2 * RING)))
    assert taken == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, RING - LAST]
    assert len(taken) == AGAIN_MAX == 11


@given(st.lists(st.integers(0, 2 * RING), max_size=60).map(sorted))
def test_an_interval_is_settled_a_bounded_number_of_times(ages: list[int]) -> None:
    taken = times_due(ages)
    assert len(taken) <= AGAIN_MAX
    assert all(0 < age < RING for age in taken)
    assert all(later > age for age, later in pairwise(taken))


@given(st.lists(st.integers(0, RING - 1), max_size=60).map(sorted), st.integers(1, RING - LAST))
@example([512], RING - LAST)
def test_a_reading_that_comes_in_time_can_be_settled_whatever_others_did_before(
    ages: list[int], came: int
) -> None:
    """Others can use up each age before it came; one at which it can be settled is still ahead."""
    before = times_due([age for age in ages if age < came])
    last = before[-1] if before else 0
    assert any(is_due(age, last) for age in range(came, RING))
