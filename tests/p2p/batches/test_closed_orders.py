"""Closed orders: each envelope is opened, or shown to have no key, and nothing else passes."""

from __future__ import annotations

from functools import partial
from itertools import combinations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2p.batches.blob import NOTHING_OPENED, blob_hash, make_blob, open_blob
from p2p.batches.closed_orders import (
    Closed,
    ClosedOrders,
    Opened,
    OtherKey,
    find_keys,
    has_other_key,
    make_closed,
    open_closed,
    read_closed,
    sign_junk,
)
from p2p.batches.closings import Promised, make_closing
from p2p.blocks.genesis import Genesis
from p2p.blocks.members import Members
from p2p.errors import BadProof, Malformed, NotAMember, OutOfRange, RemoteError, WrongSignature
from p2p.wire.codec import decode, encode
from p2p.wire.messages import OrderMessage, SealedMessage
from p2p.wire.sealed import sealing_context
from p2p.wire.sealing import Piece, open_share, seal
from tests.kits.chain_kit import START, STEP
from tests.kits.sealed_kit import (
    KEYS,
    SEALED_BYTES,
    VALIDATORS,
    answer_of,
    closed_bytes,
    closed_of,
    sealed,
    sealed_genesis,
    signed_sealed,
    with_envelope,
    with_junk,
)
from tests.kits.signed_kit import homes, key_of, keyed_genesis, names, nothing, order, reading, signed

MEMBERS = 4


def opened_by(genesis: Genesis, closed: ClosedOrders, places: tuple[int, ...]) -> Opened | None:
    return find_keys(closed, [answer_of(genesis, closed, place) for place in places])


def said(closed: ClosedOrders, opened: Opened, genesis: Genesis) -> list[int | None]:
    """Energy that each home orders; None where nothing came out of its envelope."""
    found, _ = open_closed(closed, opened, genesis)
    return [one.orders[0].energy_wh if isinstance(one, OrderMessage) else None for one in found]


@pytest.mark.parametrize("places", [*combinations(range(4), 2)])
def test_any_f_plus_1_validators_open_all_envelopes(places: tuple[int, int]) -> None:
    genesis, closed = closed_of(MEMBERS)
    opened = opened_by(genesis, closed, places)
    assert opened is not None
    assert said(closed, opened, genesis) == [100, 101, 102, 103]
    assert (opened.junk, opened.other) == ((), ())


def test_f_validators_open_nothing() -> None:
    genesis, closed = closed_of(MEMBERS)
    assert opened_by(genesis, closed, (2,)) is None


@settings(max_examples=40, deadline=None)
@given(st.sets(st.integers(0, 3)), st.permutations(range(4)))
def test_whatever_pieces_are_junk_three_honest_validators_decide(junk: set[int], order_of: list[int]) -> None:
    """Of four validators one may be silent: the answers of any three give the key, or show that there is none."""
    genesis, closed = closed_of(2, {"house-1": partial(with_junk, places=junk)})
    opened = opened_by(genesis, closed, tuple(order_of[:3]))
    assert opened is not None
    right = [place for place in order_of[:3] if place not in junk]
    assert said(closed, opened, genesis) == [100, 101 if len(right) >= 2 else None]
    assert bool(opened.junk) == (len(right) < 2)


def other_shares(message: SealedMessage) -> SealedMessage:
    """An envelope whose shares are those of another key, and are all as committed to."""
    stranger = sealed(order(sealed_genesis(MEMBERS), message.household, energy_wh=999))
    return with_envelope(message, pieces=stranger.envelope.pieces, one_time=stranger.envelope.one_time)


def test_shares_that_give_another_key_show_that_there_is_none() -> None:
    genesis, closed = closed_of(MEMBERS, {"house-2": other_shares})
    opened = opened_by(genesis, closed, (0, 3))
    assert opened is not None
    assert said(closed, opened, genesis) == [100, 101, None, 103]
    ((place, shares),) = [(one.place, one.shares) for one in opened.other]
    assert (place, [validator for validator, _ in shares]) == (2, [0, 3])
    without = msgspec.structs.replace(opened, other=())
    with pytest.raises(BadProof, match="no key of envelope 2, and no proof"):
        open_closed(closed, without, genesis)


def two_polynomials(message: SealedMessage) -> SealedMessage:
    """An envelope whose first two shares give its key, and its last two another one; all are as committed to."""
    context = sealing_context(message)
    one, other = bytes([1]) * 32, bytes([2]) * 32
    both = [
        seal(encode(()), key=key, context=context, validators=VALIDATORS, padded_bytes=SEALED_BYTES)
        for key in (one, other)
    ]
    # One one-time key for all pieces: the shares of the second envelope are masked for it again.
    masked = []
    for place in (2, 3):
        share = open_share(both[1], place, KEYS[place], context)
        mine = open_share(both[0], place, KEYS[place], context)
        assert share is not None
        assert mine is not None
        pad = int.from_bytes(both[0].pieces[place].masked, "big") ^ int.from_bytes(mine, "big")
        masked.append((int.from_bytes(share, "big") ^ pad).to_bytes(32, "big"))
    pieces = (
        *both[0].pieces[:2],
        *(Piece(both[1].pieces[i].commitment, m) for i, m in zip((2, 3), masked, strict=True)),
    )
    return msgspec.structs.replace(message, envelope=msgspec.structs.replace(both[0], pieces=pieces))


def test_nobody_chooses_between_two_keys_of_an_envelope() -> None:
    """Whichever shares are used, the home counts as without an order, and as one that has shared no key."""
    genesis, closed = closed_of(MEMBERS, {"house-2": two_polynomials})
    results = []
    for places in combinations(range(4), 2):
        opened = opened_by(genesis, closed, places)
        assert opened is not None
        results.append((bool(opened.other), open_closed(closed, opened, genesis)))
    assert {other for other, _ in results} == {True, False}
    assert len({result for _, result in results}) == 1
    assert [one is None for one in results[0][1][0]] == [False, False, True, False]
    assert results[0][1][1] == (2,)


def test_an_honest_home_cannot_be_shown_to_have_no_key() -> None:
    """f validators that lie have f words, and no shares but those that give its key."""
    genesis, closed = closed_of(MEMBERS)
    right = opened_by(genesis, closed, (0, 1))
    assert right is not None
    keys = (b"", *right.keys[1:])
    shares = {place: answer_of(genesis, closed, place)[1][0] for place in range(4)}
    lie = sign_junk(KEYS[3], genesis.chain_id, closed.name, (0,))
    attempts = [
        Opened(keys, (), ()),
        Opened(keys, (lie,), ()),
        Opened(keys, (lie, lie), ()),
        Opened(keys, (), (OtherKey(0, ((0, shares[0]), (1, shares[1]))),)),
        Opened(keys, (), (OtherKey(0, ((0, shares[1]), (1, shares[0]))),)),
        Opened(keys, (), (OtherKey(0, ((0, shares[0]), (0, shares[0]))),)),
        Opened(keys, (), (OtherKey(0, ((0, shares[0]),)),)),
        Opened(keys, (), (OtherKey(0, ((0, shares[0]), (1, shares[1]), (2, shares[2]))),)),
        Opened(keys, (), (OtherKey(0, ((0, bytes(32)), (1, bytes(32)))),)),
        Opened(keys, (), (OtherKey(0, ((0, shares[0]), (4, shares[1]))),)),
        Opened(keys, (lie,), (OtherKey(0, ((0, shares[0]), (1, shares[1]))),)),
    ]
    for attempt in attempts:
        with pytest.raises(RemoteError):
            open_closed(closed, attempt, genesis)


def test_words_count_once_of_each_validator_and_for_these_orders_alone() -> None:
    genesis, closed = closed_of(MEMBERS, {"house-0": partial(with_junk, places=range(4))})
    opened = opened_by(genesis, closed, (0, 1))
    assert opened is not None
    assert said(closed, opened, genesis) == [None, 101, 102, 103]
    first, second = opened.junk
    elsewhere = sign_junk(KEYS[1], genesis.chain_id, bytes(32), second.places)
    other_chain = sign_junk(KEYS[1], bytes(32), closed.name, second.places)
    stranger = sign_junk(key_of("house-1"), genesis.chain_id, closed.name, second.places)
    for words, error in (
        ((first,), BadProof),
        ((first, first), Malformed),
        (tuple(sorted((first, elsewhere), key=lambda word: word.validator)), WrongSignature),
        (tuple(sorted((first, other_chain), key=lambda word: word.validator)), WrongSignature),
        (tuple(sorted((first, stranger), key=lambda word: word.validator)), BadProof),
        ((second, first) if first.validator < second.validator else (first, second), Malformed),
        (tuple(msgspec.structs.replace(word, places=()) for word in (first, second)), Malformed),
    ):
        with pytest.raises(error):
            open_closed(closed, msgspec.structs.replace(opened, junk=words), genesis)


def test_what_proves_nothing_has_no_place_beside_what_does() -> None:
    genesis, closed = closed_of(MEMBERS)
    opened = opened_by(genesis, closed, (0, 1))
    assert opened is not None
    word = sign_junk(KEYS[0], genesis.chain_id, closed.name, (0,))
    with pytest.raises(Malformed, match="that have their keys"):
        open_closed(closed, msgspec.structs.replace(opened, junk=(word,)), genesis)
    for keys in ((), opened.keys[1:], (*opened.keys, bytes(32))):
        with pytest.raises(Malformed, match=r"keys for 4 envelopes"):
            open_closed(closed, msgspec.structs.replace(opened, keys=keys), genesis)
    with pytest.raises(BadProof, match="not that of envelope 1"):
        open_closed(closed, msgspec.structs.replace(opened, keys=(opened.keys[0],) * 4), genesis)


def test_has_other_key_needs_as_many_shares_as_the_validators_have_by_rule() -> None:
    genesis, closed = closed_of(MEMBERS, {"house-2": other_shares})
    shares = [answer_of(genesis, closed, place)[1][2] for place in range(4)]
    assert has_other_key(closed, OtherKey(2, ((1, shares[1]), (3, shares[3]))))
    assert not has_other_key(closed, OtherKey(2, ((3, shares[3]), (1, shares[1]))))
    assert not has_other_key(closed, OtherKey(1, ((1, shares[1]), (3, shares[3]))))


# --- closed orders themselves ----------------------------------------------------------------------------


def read(data: bytes, members: int = MEMBERS) -> ClosedOrders:
    return read_closed(data, blob_hash(data), sealed_genesis(members), homes(members))


def test_the_same_messages_give_the_same_closed_orders_in_any_order() -> None:
    genesis = sealed_genesis(MEMBERS)
    messages = [sealed(order(genesis, name)) for name in names(MEMBERS)]
    assert closed_bytes(messages, MEMBERS) == closed_bytes(messages[::-1], MEMBERS)


def test_closed_orders_that_are_not_right_are_refused() -> None:
    genesis = sealed_genesis(MEMBERS)
    right = closed_bytes([sealed(order(genesis, name)) for name in names(MEMBERS)], MEMBERS)
    closed = decode(Closed, right, max_bytes=2**20)
    first, second, *rest = closed.lines
    replace = msgspec.structs.replace
    closing = make_closing(KEYS[0], genesis.chain_id, START, 0, [Promised(0, 1)])
    for changed, error in (
        (replace(closed, version=2), Malformed),
        (replace(closed, lines=(second, first, *rest)), Malformed),
        (replace(closed, lines=(first, first, *rest)), Malformed),
        (replace(closed, lines=(replace(first, participant=9),)), Malformed),
        (replace(closed, lines=(replace(first, participant=-1),)), Malformed),
        (replace(closed, lines=(replace(first, nonce=2),)), WrongSignature),
        (replace(closed, lines=(replace(first, signature=bytes(64)),)), WrongSignature),
        (replace(closed, lines=(replace(first, participant=1),)), WrongSignature),
        (replace(closed, interval_start=START + STEP), WrongSignature),
        (replace(closed, validators=(*VALIDATORS[:3], bytes(31))), Malformed),
        (replace(closed, closings=(closing, closing)), Malformed),
        (replace(closed, closings=(replace(closing, slot=1),)), Malformed),
        (replace(closed, closings=(replace(closing, interval_start=START + STEP),)), Malformed),
        (replace(closed, closings=(replace(closing, promised=()),)), WrongSignature),
    ):
        with pytest.raises(error):
            read(encode(changed))
    assert read(right).openable == (0, 1, 2, 3)
    assert read(encode(replace(closed, closings=(closing,)))).closings == (closing,)


def test_a_home_that_is_no_member_has_no_line() -> None:
    genesis, members = sealed_genesis(1), homes(1)
    data = closed_bytes([sealed(order(genesis, "house-0"))], 1)
    gone = Members(members.ids, members.keys, ((0, START),))
    with pytest.raises(NotAMember):
        read_closed(data, blob_hash(data), genesis, gone)


def test_orders_that_are_sealed_to_others_count_as_none_and_need_no_key() -> None:
    genesis = sealed_genesis(2)
    former = (*VALIDATORS[:3], key_of("former").public_key)
    messages = [sealed(order(genesis, "house-0")), sealed(order(genesis, "house-1"), former)]
    closed = read(closed_bytes(messages, 2), 2)
    assert closed.openable == (0,)
    opened = opened_by(genesis, closed, (0, 1))
    assert opened is not None
    assert said(closed, opened, genesis) == [250, None]


def test_an_envelope_with_too_few_pieces_counts_as_none() -> None:
    genesis = sealed_genesis(1)
    message = sealed(order(genesis, "house-0"))
    for pieces in ((), message.envelope.pieces[:3], (*message.envelope.pieces, Piece(bytes(16), bytes(32)))):
        assert read(closed_bytes([with_envelope(message, pieces=pieces)], 1), 1).openable == ()


# --- in the blob of the interval --------------------------------------------------------------------------


def blob_with(closed: bytes, opened: Opened, members: int = 2, more: tuple[bytes, ...] = ()) -> bytes:
    genesis = sealed_genesis(members)
    readings = [signed(reading(genesis, name)) for name in names(members)]
    return make_blob(names(members), START, bytes(32), [*readings, *more], (), closed, opened)


def test_a_blob_holds_what_was_closed_and_what_it_says() -> None:
    genesis = sealed_genesis(2)
    messages = [sealed(order(genesis, "house-0")), sealed(nothing(genesis, "house-1"))]
    data = closed_bytes(messages, 2)
    closed = read(data, 2)
    opened = opened_by(genesis, closed, (1, 2))
    assert opened is not None
    content = open_blob(blob_with(data, opened), genesis, homes(2))
    assert [one.household for one in content.orders] == ["house-0"]
    assert [one.household for one in content.nothings] == ["house-1"]
    assert content.messages[:2] == tuple(messages)
    assert len(content.readings) == 2
    assert content.unopened == ()
    assert content.closed is not None
    assert content.closed.name == blob_hash(data)


def test_a_blob_names_the_homes_that_have_no_key() -> None:
    genesis, closed = closed_of(2, {"house-1": partial(with_junk, places=range(4))})
    junk = with_junk(sealed(order(genesis, "house-1", energy_wh=101)), range(4))
    data = closed_bytes([sealed(order(genesis, "house-0", energy_wh=100)), junk], 2)
    opened = opened_by(genesis, closed, (0, 1))
    assert opened is not None
    content = open_blob(blob_with(data, opened), genesis, homes(2))
    assert (content.unopened, [one.household for one in content.orders]) == ((1,), ["house-0"])


def test_orders_that_a_collector_would_refuse_count_as_none() -> None:
    genesis, closed = closed_of(2)
    data = closed_bytes([sealed(order(genesis, n, energy_wh=100 + i)) for i, n in enumerate(names(2))], 2)
    opened = opened_by(genesis, closed, (0, 1))
    assert opened is not None

    def takes(message: OrderMessage) -> None:
        if message.orders[0].energy_wh == 101:
            raise OutOfRange("not here")

    content = open_blob(blob_with(data, opened), genesis, homes(2), takes=takes)
    assert [one.household for one in content.orders] == ["house-0"]
    assert content.unopened == ()


def test_orders_in_the_open_have_no_place_in_a_market_that_seals_them_nor_the_reverse() -> None:
    genesis, closed = closed_of(2)
    data = closed_bytes([sealed(order(genesis, n, energy_wh=100 + i)) for i, n in enumerate(names(2))], 2)
    opened = opened_by(genesis, closed, (0, 1))
    assert opened is not None
    in_the_open = signed(order(genesis, "house-0"))
    with pytest.raises(Malformed, match="orders in the open"):
        open_blob(blob_with(data, opened, more=(in_the_open,)), genesis, homes(2))
    with pytest.raises(RemoteError):
        open_blob(blob_with(b"", NOTHING_OPENED), genesis, homes(2))
    other = keyed_genesis(2)
    with pytest.raises(Malformed, match="takes them in the open"):
        open_blob(blob_with(data, opened), other, homes(2))


def test_closed_orders_of_another_interval_are_refused() -> None:
    genesis = sealed_genesis(1)
    message = sealed(order(genesis, "house-0", start=START + STEP))
    data = make_closed(names(1), START + STEP, VALIDATORS, [signed_sealed(message)])
    closed = read(data, 1)
    opened = opened_by(genesis, closed, (0, 1))
    assert opened is not None
    with pytest.raises(Malformed, match=f"closed orders of {START + STEP}"):
        open_blob(blob_with(data, opened, 1), genesis, homes(1))
