"""Closings: what f + 1 validators have promised is in the batch, or one of them is convicted; nobody honest is."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2p.batches.blob import Blob, make_blob, open_blob
from p2p.batches.closings import (
    BrokenPromise,
    Closing,
    LeftOut,
    NotClosed,
    Promised,
    check_broken_promise,
    check_closers,
    check_closing,
    check_slot,
    closers,
    decode_closing,
    incomplete_slots,
    left_out,
    make_broken_promise,
    make_closing,
    members_in,
    nonces_of,
    wanted_in,
)
from p2p.batches.receipts import slot_of
from p2p.blocks.block import quorum
from p2p.blocks.genesis import Genesis
from p2p.blocks.members import ALWAYS, Members
from p2p.errors import BadProof, Malformed, OutOfRange, RemoteError, TooLarge, WrongChain, WrongSignature
from p2p.wire.codec import decode, encode
from p2p.wire.limits import Limits
from p2p.wire.messages import HandedIn, ReceiptCode
from tests.kits.chain_kit import START, STEP, authorities, flip
from tests.kits.proofs_kit import HOME, broken_promise
from tests.kits.sample_kit import some
from tests.kits.signed_kit import homes, keyed_genesis, names, nothing, order, reading, receipt, signed

MEMBERS = 4
GENESIS = keyed_genesis(MEMBERS)
ROSTER = names(MEMBERS)
KEYS = authorities(7)
ONE, OTHER = KEYS[0], KEYS[1]
READINGS = 1
"""The slot of the readings in a market of one round."""
PROMISES = (Promised(0, 7), Promised(2, 9))
CLOSING = make_closing(ONE, GENESIS.chain_id, START, 0, PROMISES)


def closing(slot: int, *promised: tuple[int, int], key: int = 0, start: int = START) -> Closing:
    return make_closing(KEYS[key], GENESIS.chain_id, start, slot, (Promised(*one) for one in promised))


# --- form ---------------------------------------------------------------------------------------------------


def test_a_closing_is_signed_by_its_validator_in_canonical_order() -> None:
    check_closing(CLOSING, GENESIS.chain_id)
    assert CLOSING.validator == ONE.public_key
    assert make_closing(ONE, GENESIS.chain_id, START, 0, PROMISES[::-1]) == CLOSING
    assert decode_closing(encode(CLOSING)) == CLOSING
    assert [CLOSING.nonce_of(home) for home in range(MEMBERS)] == [7, None, 9, None]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"version": 0}, Malformed),
        ({"version": 2}, Malformed),
        ({"chain_id": bytes(32)}, WrongChain),
        ({"interval_start": START + STEP}, WrongSignature),
        ({"slot": 1}, WrongSignature),
        ({"promised": ()}, WrongSignature),
        ({"promised": PROMISES[:1]}, WrongSignature),
        ({"promised": (Promised(0, 8), Promised(2, 9))}, WrongSignature),
        ({"promised": (Promised(1, 7), Promised(2, 9))}, WrongSignature),
        ({"promised": PROMISES[::-1]}, Malformed),
        ({"promised": (*PROMISES, PROMISES[1])}, Malformed),
        ({"validator": OTHER.public_key}, WrongSignature),
        ({"validator": OTHER.public_key[:31]}, Malformed),
        ({"signature": bytes(64)}, WrongSignature),
        ({"signature": CLOSING.signature[:63]}, Malformed),
        ({"signature": b""}, Malformed),
    ],
)
def test_a_changed_field_of_a_closing_is_refused(
    changes: dict[str, object], error: type[RemoteError]
) -> None:
    with pytest.raises(error):
        check_closing(msgspec.structs.replace(CLOSING, **changes), GENESIS.chain_id)


def test_a_closing_holds_the_promises_of_10000_homes() -> None:
    """With nonces as large as times in ms. In a larger community a slot that lacks messages could not be closed."""
    rows = [Promised(home, START * 1000 + home) for home in range(10_000)]
    largest = make_closing(ONE, GENESIS.chain_id, START, 0, rows)
    assert decode_closing(encode(largest)) == largest
    rows += [Promised(home, START * 1000 + home) for home in range(10_000, 10_200)]
    with pytest.raises(TooLarge):
        decode_closing(encode(make_closing(ONE, GENESIS.chain_id, START, 0, rows)))


@settings(max_examples=some(150, 50), deadline=None)
@given(st.integers(0, 8 * len(encode(CLOSING)) - 1))
def test_a_flipped_bit_of_a_closing_is_refused(bit: int) -> None:
    with pytest.raises(RemoteError):
        check_closing(decode_closing(flip(encode(CLOSING), bit)), GENESIS.chain_id)


@pytest.mark.parametrize("slot", [-1, 4])
def test_an_interval_has_a_slot_for_each_round_and_one_for_the_readings(slot: int) -> None:
    for known in range(4):
        check_slot(known, 3)
    with pytest.raises(OutOfRange, match=rf"slot is {slot}; it must lie in 0\.\.3"):
        check_slot(slot, 3)


# --- what a batch lacks -------------------------------------------------------------------------------------


def said(*slots: tuple[int, ...], nonce: int = 5) -> dict[tuple[int, int], int]:
    """The homes that have a message in each slot, all of one nonce."""
    return {(slot, home): nonce for slot, who in enumerate(slots) for home in who}


def test_the_nonces_of_messages_are_by_slot_and_home() -> None:
    rounds = keyed_genesis(MEMBERS, limits=Limits(rounds=2))
    messages: list[HandedIn] = [
        order(rounds, "house-1", 3),
        nothing(rounds, "house-1", 4, number=1),
        reading(rounds, "house-3", 9),
    ]
    assert nonces_of(messages, ROSTER, 2) == {(0, 1): 3, (1, 1): 4, (2, 3): 9}


def test_homes_outside_their_term_are_not_waited_for() -> None:
    terms = (ALWAYS, (START - STEP, START), (START, START + STEP), (START + STEP, START + 2 * STEP))
    assert members_in(Members(ROSTER, (), terms), START) == [0, 2]
    assert members_in(homes(MEMBERS), START) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("slots", "missing"),
    [
        ([(0, 1, 2, 3)] * 4, []),
        (
            [(0, 1, 3)] * 4,
            [0, 3],
        ),  # absent in the first round and with its reading; the later rounds do not wait
        ([(0, 1, 2, 3), (0, 1), (0, 1), (0, 1, 2, 3)], [1]),
        ([(0, 1, 2, 3), (0, 1, 2, 3), (), (0, 1, 2, 3)], [2]),
        ([(0, 1, 2), (0, 1, 2, 3), (0, 1, 2), (0, 1, 2, 3)], [0, 2]),  # who comes back is waited for again
        ([(), (), (), ()], [0, 3]),
    ],
)
def test_a_slot_is_complete_when_all_that_are_waited_for_are_in_it(
    slots: list[tuple[int, ...]], missing: list[int]
) -> None:
    assert incomplete_slots(said(*slots), range(MEMBERS), 3) == missing


def test_a_later_round_waits_for_those_of_the_round_before_it() -> None:
    present = said((0, 1, 2), (0, 2), ())
    assert [list(wanted_in(slot, present, range(MEMBERS), 3)) for slot in range(4)] == [
        [0, 1, 2, 3],
        [0, 1, 2],
        [0, 2],
        [0, 1, 2, 3],
    ]


# --- who has closed -----------------------------------------------------------------------------------------

ALL = range(MEMBERS)
PRESENT = said((0, 1, 2), (0, 1, 2, 3))
"""Home 3 is absent in the market; all readings are there."""


def test_closers_are_by_incomplete_slot() -> None:
    present = said((0, 1, 2), ())
    found = closers([closing(0, (2, 5)), closing(0, key=1), closing(1, key=1)], present, ALL, 1)
    first, second = KEYS[0].public_key, KEYS[1].public_key
    assert found == ({first, second}, {second})


def test_a_complete_interval_needs_no_closings_and_takes_none() -> None:
    complete = said((0, 1, 2, 3), (0, 1, 2, 3))
    assert closers([], complete, ALL, 1) == ()
    check_closers((), [key.public_key for key in KEYS[:4]])
    with pytest.raises(Malformed, match="slot 0, which is complete"):
        closers([closing(0)], complete, ALL, 1)
    with pytest.raises(Malformed, match="slot 1, which is complete"):
        closers([closing(0), closing(1)], PRESENT, ALL, 1)


@pytest.mark.parametrize(("nonce", "kept"), [(4, True), (5, True), (6, False)])
def test_a_promised_message_or_a_later_one_is_in_the_batch(nonce: int, kept: bool) -> None:
    mine = closing(0, (1, nonce))
    assert [*left_out(mine, PRESENT)] == ([] if kept else [Promised(1, nonce)])
    if kept:
        assert closers([mine], PRESENT, ALL, 1) == ({ONE.public_key},)
        return
    with pytest.raises(LeftOut, match="home 1, slot 0"):
        closers([mine], PRESENT, ALL, 1)


def test_a_promised_home_that_is_absent_is_left_out() -> None:
    """Also under nonce 0: an absent home has no nonce, not a low one."""
    with pytest.raises(LeftOut, match="home 3, slot 0"):
        closers([closing(0, (3, 0))], PRESENT, ALL, 1)


@pytest.mark.parametrize("n", [1, 4, 5, 7])
def test_a_quorum_of_the_validators_of_now_must_have_closed(n: int) -> None:
    validators = [key.public_key for key in authorities(n)]
    strangers = {bytes([i]) * 32 for i in range(25)}
    enough = frozenset(validators[-quorum(n) :])
    check_closers([enough, enough | strangers], validators)
    for few in (enough - {validators[-1]}, enough - {validators[-1]} | strangers):
        with pytest.raises(NotClosed, match=f"{quorum(n)} must"):
            check_closers([enough, frozenset(few)], validators)


# --- in a blob ----------------------------------------------------------------------------------------------


def blob_with(*closings: Closing) -> Blob:
    said_by = [signed(order(GENESIS, name)) for name in ROSTER[:3]]
    return decode(Blob, make_blob(ROSTER, START, b"s" * 32, said_by, closings))


def opened(blob: Blob, genesis: Genesis = GENESIS) -> tuple[Closing, ...]:
    return open_blob(encode(blob), genesis, homes(MEMBERS)).closings


def test_closings_lie_in_a_blob_by_slot_and_validator() -> None:
    some_closings = [closing(slot, key=key) for slot in (1, 0) for key in range(4)]
    found = opened(blob_with(*some_closings))
    assert found == opened(blob_with(*some_closings[::-1]))
    assert [(one.slot, one.validator) for one in found] == sorted(
        (one.slot, one.validator) for one in some_closings
    )


def test_other_closings_are_refused_in_a_blob() -> None:
    right = blob_with(closing(0), closing(0, key=1))
    for changed in (right.closings[::-1], (*right.closings, right.closings[1])):
        with pytest.raises(Malformed, match="closings"):
            opened(msgspec.structs.replace(right, closings=changed))
    with pytest.raises(Malformed, match="a closing of interval"):
        opened(blob_with(closing(0, start=START + STEP)))
    with pytest.raises(OutOfRange, match="slot is 2"):
        opened(blob_with(closing(2)))
    with pytest.raises(WrongChain):
        opened(blob_with(make_closing(ONE, bytes(32), START, 0, ())))
    with pytest.raises(WrongSignature):
        opened(blob_with(msgspec.structs.replace(closing(0, (1, 5)), slot=1)))


def test_more_closings_than_validators_can_give_are_refused_unread() -> None:
    made_up = [Closing(1, GENESIS.chain_id, START, 0, (), i.to_bytes(32, "big"), b"") for i in range(51)]
    with pytest.raises(Malformed, match="too many"):
        opened(blob_with(*made_up))


# --- broken promises ----------------------------------------------------------------------------------------

MINE = order(GENESIS, ROSTER[HOME], nonce=4)
BROKEN = broken_promise(GENESIS, ONE)


def refusal(data: bytes, genesis: Genesis = GENESIS) -> str:
    with pytest.raises(RemoteError) as caught:
        check_broken_promise(data, genesis)
    return caught.value.code


def changed(**fields: object) -> bytes:
    return encode(msgspec.structs.replace(decode(BrokenPromise, BROKEN), **fields))


@pytest.mark.parametrize("make", [order, nothing, reading])
@pytest.mark.parametrize("promised", [(), (Promised(HOME, 3),), (Promised(1, 9), Promised(HOME, 0))])
def test_a_closing_without_the_message_convicts(make: object, promised: tuple[Promised, ...]) -> None:
    message = make(GENESIS, ROSTER[HOME], nonce=4)  # type: ignore[operator]
    proof = broken_promise(GENESIS, ONE, message, promised)
    assert check_broken_promise(proof, GENESIS) == (ONE.public_key, START)


@pytest.mark.parametrize("nonce", [4, 5, 2**62])
def test_a_closing_with_it_or_a_later_message_convicts_nobody(nonce: int) -> None:
    with pytest.raises(BadProof, match="the promise was kept"):
        check_broken_promise(broken_promise(GENESIS, ONE, MINE, (Promised(HOME, nonce),)), GENESIS)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (closing(0, key=1), "by another key"),
        (closing(READINGS), "different slots"),
        (closing(0, start=START + STEP), "different intervals"),
    ],
)
def test_the_closing_of_another_key_slot_or_interval_convicts_nobody(made: Closing, words: str) -> None:
    with pytest.raises(BadProof, match=words):
        check_broken_promise(changed(closing=made), GENESIS)


@pytest.mark.parametrize("code", sorted(set(ReceiptCode) - {ReceiptCode.ACCEPTED, ReceiptCode.REPLACED}))
def test_a_receipt_that_promises_nothing_convicts_nobody(code: ReceiptCode) -> None:
    assert refusal(changed(receipt=receipt(MINE, code, ONE))) == "bad_proof"


def test_parts_that_do_not_belong_together_convict_nobody() -> None:
    other, later = order(GENESIS, "house-1", nonce=4), order(GENESIS, ROSTER[HOME], nonce=5)
    for fields in (
        {"message": signed(later)},
        {"message": signed(other)},
        {"receipt": receipt(later, ReceiptCode.ACCEPTED, ONE)},
        {"receipt": receipt(MINE, ReceiptCode.ACCEPTED, OTHER)},
        {"receipt": signed(MINE)},
        {"message": receipt(MINE, ReceiptCode.ACCEPTED, ONE)},
        {"home": homes(MEMBERS).proof(1)},
        {"home": homes(MEMBERS + 1).proof(HOME)},
        {"home": msgspec.structs.replace(homes(MEMBERS).proof(HOME), index=3)},
        {"closing": msgspec.structs.replace(closing(0), signature=bytes(64))},
        {"version": 2},
    ):
        refusal(changed(**fields))
    assert refusal(BROKEN, keyed_genesis(MEMBERS, "another street")) == "wrong_chain"


@settings(max_examples=some(200, 66), deadline=None)
@given(st.integers(0, 8 * len(BROKEN) - 1))
def test_a_flipped_bit_of_the_proof_convicts_nobody(bit: int) -> None:
    refusal(flip(BROKEN, bit))


# --- f + 1 promises and a quorum of closings ----------------------------------------------------------------

ROUNDS = 2
OF_ROUNDS = keyed_genesis(MEMBERS, limits=Limits(rounds=ROUNDS))
SLOTS = range(ROUNDS + 1)


def in_slot(slot: int, nonce: int) -> HandedIn:
    name = ROSTER[HOME]
    return reading(OF_ROUNDS, name, nonce) if slot == ROUNDS else order(OF_ROUNDS, name, nonce, number=slot)


Word = tuple[bool, int]
"""Whether a validator writes into its closing what it has promised, and which nonce it writes if it does not."""


def closings_of(slot: int, promises: dict[int, int], words: list[Word]) -> Iterator[Closing]:
    """The closing of each validator of one slot.

    Args:
        promises: Nonce that each validator has promised, by its place; those that have promised nothing are left out.
    """
    for place, (honest, nonce) in enumerate(words):
        shown = promises.get(place, -1) if honest else nonce
        rows = [Promised(HOME, shown)] if shown >= 0 else []
        yield make_closing(KEYS[place], OF_ROUNDS.chain_id, START, slot, rows)


def convicted(slot: int, promises: dict[int, int], made: list[Closing]) -> set[int]:
    """The validators that the home can convict with its receipts and these closings."""
    found = set()
    for place, nonce in promises.items():
        message = in_slot(slot, nonce)
        assert slot_of(message, ROUNDS) == slot
        proof = make_broken_promise(
            receipt(message, ReceiptCode.ACCEPTED, KEYS[place]),
            signed(message),
            homes(MEMBERS).proof(HOME),
            made[place],
        )
        try:
            assert check_broken_promise(proof, OF_ROUNDS) == (KEYS[place].public_key, START)
        except BadProof:
            continue
        found.add(place)
    return found


@st.composite
def streets(draw: st.DrawFn) -> tuple[int, int, dict[int, int], list[Word], int]:
    """Validators, slot, what f + 1 of them have promised, what each one closes with, and what the batch holds."""
    n = draw(st.sampled_from([4, 7]))
    places = draw(st.permutations(range(n)))[: (n - 1) // 3 + 1]
    promises = {place: draw(st.integers(0, 3)) for place in places}
    words = [(draw(st.booleans()), draw(st.integers(-1, 3))) for _ in range(n)]
    return n, draw(st.sampled_from(SLOTS)), promises, words, draw(st.integers(-1, 3))


@settings(max_examples=some(60, 20), deadline=None)
@given(streets())
def test_what_f_plus_1_have_promised_is_in_the_batch_or_one_of_them_is_convicted(
    street: tuple[int, int, dict[int, int], list[Word], int],
) -> None:
    """Every quorum of closings that a collector can choose, whoever of the validators does as it should."""
    n, slot, promises, words, in_batch = street
    made = [*closings_of(slot, promises, words)]
    guilty = convicted(slot, promises, made)
    honest = {place for place, (keeps, _) in enumerate(words) if keeps}
    assert not guilty & honest
    # Home 3 is absent, so that the slot is incomplete whatever the batch holds of home 2.
    others = {(s, home): 3 for s in SLOTS for home in ALL if (s, home) not in ((slot, HOME), (slot, 3))}
    present = others | ({(slot, HOME): in_batch} if in_batch >= 0 else {})
    validators = [key.public_key for key in KEYS[:n]]
    for chosen in combinations(range(n), quorum(n)):
        both = set(chosen) & promises.keys()
        assert both, "a quorum and f + 1 share a validator"
        if in_batch >= max(promises[place] for place in both):
            continue  # what they promised, or a later message, is in the batch
        if both & guilty:
            continue
        # Nobody in it can be convicted: then the batch is refused for what one of them has closed with.
        with pytest.raises(LeftOut):
            check_closers(closers([made[p] for p in chosen], present, ALL, ROUNDS), validators)


def test_an_older_message_of_a_home_makes_a_slot_complete() -> None:
    """No validator has to close it: that f + 1 have promised a later message is no reason to refuse the batch."""
    complete = said((0, 1, 2, 3), (0, 1, 2, 3))
    assert [*left_out(closing(0, (HOME, 6)), complete)] == [Promised(HOME, 6)]
    assert closers([], complete, ALL, 1) == ()
