"""Envelopes: what opens them, what does not, and an opener that was written a second time from the page."""

from __future__ import annotations

import hashlib
from itertools import combinations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.bindings import (
    crypto_aead_chacha20poly1305_ietf_decrypt,
    crypto_aead_chacha20poly1305_ietf_encrypt,
    crypto_core_ed25519_add,
    crypto_scalarmult,
    crypto_sign_ed25519_sk_to_curve25519,
)

from p2p.errors import InvalidMessage, OutOfRange
from p2p.wire.codec import encode
from p2p.wire.identity import Identity
from p2p.wire.limits import Limits
from p2p.wire.messages import (
    VERSION,
    Kind,
    NothingMessage,
    OrderMessage,
    Said,
    SealedMessage,
    lasting,
    message_id,
    open_message,
    order_line,
    sign_message,
)
from p2p.wire.sealed import says, seal_message, sealing_context, unseal_message
from p2p.wire.sealing import (
    PRIME,
    TooLong,
    can_receive,
    combine,
    digest_of,
    hash_of_key,
    is_key,
    is_share,
    key_for,
    needed,
    open_box,
    open_share,
    seal,
)

CHAIN, START, HOME = bytes(range(32)), 1_760_000_400, Identity.from_seed(b"h" * 32)
VALIDATORS = [Identity.from_seed(bytes([i]) * 32) for i in range(1, 26)]
LIMITS = Limits(sealed_bytes=224)
CONTEXT = b"context"


def keys(count: int) -> list[bytes]:
    return [one.public_key for one in VALIDATORS[:count]]


def said(orders: int = 1, nonce: int = 7) -> Said:
    head = (VERSION, CHAIN, START, 15, "house-1", nonce, 0)
    if not orders:
        return NothingMessage(*head)
    return OrderMessage(*head, tuple(order_line(1, 500 + i, 231_000) for i in range(orders)))


def shares_of(sealed: SealedMessage) -> dict[int, bytes]:
    """The shares of all validators it is sealed to."""
    context = sealing_context(sealed)
    found = {
        place: open_share(sealed.envelope, place, VALIDATORS[place], context)
        for place in range(len(sealed.envelope.pieces))
    }
    return {place: share for place, share in found.items() if share is not None}


@pytest.mark.parametrize("count", [1, 4, 7, 13, 25])
def test_f_plus_1_shares_give_the_key_and_the_order_whichever_they_are(count: int) -> None:
    message = said(3)
    sealed = seal_message(HOME, message, keys(count), LIMITS)
    shares, threshold = shares_of(sealed), needed(count)
    assert (len(shares), threshold) == (count, (count - 1) // 3 + 1)
    for places in [*combinations(range(count), threshold)][:40]:
        key = combine({place: shares[place] for place in places}, threshold)
        assert hash_of_key(key) == sealed.envelope.key_hash
        assert unseal_message(sealed, key, LIMITS) == message


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=62), st.sampled_from([4, 7, 10, 25]))
def test_f_shares_give_no_key_and_all_lie_on_one_polynomial(key: bytes, content: bytes, count: int) -> None:
    """Of degree f, with the coefficients of the page: one degree less, and f validators would have the key."""
    number = int.from_bytes(key, "big") % PRIME
    key = number.to_bytes(32, "big")
    envelope = seal(content, key=key, context=CONTEXT, validators=keys(count), padded_bytes=64)
    shares = [open_share(envelope, place, VALIDATORS[place], CONTEXT) for place in range(count)]
    points = {place + 1: int.from_bytes(share, "big") for place, share in enumerate(shares) if share}
    f = needed(count) - 1
    few = dict([*points.items()][:f])
    assert value_at(few, 0) != number
    enough = dict([*points.items()][: f + 1])
    assert value_at(enough, 0) == number
    assert {x: value_at(enough, x) for x in points} == points
    coefficients = [number]
    for j in range(1, f + 1):
        data = b"wattswap/sealing/1\0coefficient\0" + bytes([j]) + key
        coefficients.append(int.from_bytes(hashlib.sha256(data).digest(), "big"))
    assert points[2] == sum(c * 2**power for power, c in enumerate(coefficients)) % PRIME


def value_at(points: dict[int, int], x: int) -> int:
    """The polynomial of least degree through points, by Neville's scheme."""
    xs, values = list(points), list(points.values())
    for width in range(1, len(xs)):
        for i in range(len(xs) - width):
            left, right = xs[i], xs[i + width]
            inverse = pow(right - left, PRIME - 2, PRIME)
            values[i] = ((right - x) * values[i] + (x - left) * values[i + 1]) * inverse % PRIME
    return values[0] % PRIME


def test_an_opener_that_follows_the_page_finds_the_same() -> None:
    """Written from section 2.1 of the format page, with other code for the field."""
    message = said(2)
    envelope, context = seal_message(HOME, message, keys(4), LIMITS).envelope, sealing_context(message)

    def h(what: bytes, *parts: bytes) -> bytes:
        return hashlib.sha256(b"wattswap/sealing/1\0" + what + b"\0" + b"".join(parts)).digest()

    points = {}
    for place in (1, 3):
        secret = crypto_sign_ed25519_sk_to_curve25519(VALIDATORS[place].seed + keys(4)[place])
        shared = crypto_scalarmult(secret, envelope.one_time)
        pad = h(b"pad", shared, envelope.one_time, bytes([place]), context)
        share = bytes(a ^ b for a, b in zip(envelope.pieces[place].masked, pad, strict=True))
        assert h(b"share", share, bytes([place]), context)[:16] == envelope.pieces[place].commitment
        points[place + 1] = int.from_bytes(share, "big")
    key = value_at(points, 0).to_bytes(32, "big")
    assert h(b"key-hash", key) == envelope.key_hash
    assert h(b"validators", *keys(4))[:16] == envelope.sealed_to
    padded = crypto_aead_chacha20poly1305_ietf_decrypt(envelope.box, context, bytes(12), key)
    size = int.from_bytes(padded[:2], "big")
    assert isinstance(message, OrderMessage)
    assert padded[2 : 2 + size] == encode(message.orders)
    assert padded[2 + size :] == bytes(224 - 2 - size)


def test_all_messages_of_a_market_have_the_same_size() -> None:
    sizes = {len(sign_message(HOME, seal_message(HOME, said(n), keys(4), LIMITS), LIMITS)) for n in range(17)}
    assert len(sizes) == 1
    assert max(sizes) <= 700


def test_what_does_not_fit_is_refused_at_home_with_the_size() -> None:
    with pytest.raises(
        InvalidMessage, match="224 bytes to be sealed; this market has room for 222 a message"
    ):
        seal_message(HOME, said(17), keys(4), LIMITS)
    with pytest.raises(TooLong):
        seal(bytes(63), key=bytes(32), context=b"", validators=keys(4), padded_bytes=64)
    seal(bytes(62), key=bytes(32), context=b"", validators=keys(4), padded_bytes=64)


def test_another_nonce_home_or_content_has_another_key() -> None:
    found = {
        seal_message(HOME, one, keys(4), LIMITS).envelope.key_hash for one in (said(1), said(2), said(1, 8))
    }
    found.add(seal_message(VALIDATORS[0], said(1), keys(4), LIMITS).envelope.key_hash)
    assert len(found) == 4
    assert seal_message(HOME, said(1), keys(4), LIMITS) == seal_message(HOME, said(1), keys(4), LIMITS)


@pytest.mark.parametrize("change", ["interval_start", "household", "nonce", "chain_id"])
def test_an_envelope_opens_only_where_it_belongs(change: str) -> None:
    message = said()
    sealed = seal_message(HOME, message, keys(4), LIMITS)
    key = combine(shares_of(sealed), 2)
    other = {"interval_start": START + 900, "household": "house-2", "nonce": 8, "chain_id": bytes(32)}[change]
    moved = msgspec.structs.replace(sealed, **{change: other})
    assert shares_of(moved) == {}
    assert unseal_message(moved, key, LIMITS) is None


def test_another_validator_or_another_place_finds_junk() -> None:
    sealed = seal_message(HOME, said(), keys(4), LIMITS)
    context = sealing_context(sealed)
    assert open_share(sealed.envelope, 0, VALIDATORS[1], context) is None
    swapped = msgspec.structs.replace(sealed.envelope, pieces=sealed.envelope.pieces[::-1])
    assert open_share(swapped, 0, VALIDATORS[0], context) is None


def test_a_share_with_any_bit_changed_is_none() -> None:
    sealed = seal_message(HOME, said(), keys(4), LIMITS)
    context, share = sealing_context(sealed), shares_of(sealed)[2]
    assert is_share(sealed.envelope, 2, share, context)
    for bit in range(256):
        changed = (int.from_bytes(share, "big") ^ 1 << bit).to_bytes(32, "big")
        assert not is_share(sealed.envelope, 2, changed, context)
    assert not is_share(sealed.envelope, 2, share + b"\0", context)
    assert not is_share(sealed.envelope, 3, share, context)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        encode(("no order",)),
        encode((order_line(0, 1, 1),)),
        encode((order_line(1, 2**40, 1),)),
        encode((order_line(1, 100, 1, 2**30),)),
    ],
)
def test_what_is_no_order_of_this_market_is_none(content: bytes) -> None:
    context = sealing_context(said())
    key = key_for(HOME, digest_of(keys(4)), context, content)
    envelope = seal(content, key=key, context=context, validators=keys(4), padded_bytes=224)
    sealed = SealedMessage(VERSION, CHAIN, START, 15, "house-1", 7, 0, envelope)
    assert open_box(envelope, key, context) == content
    assert unseal_message(sealed, key, LIMITS) is None


def test_padding_that_is_not_zero_is_none() -> None:
    """Else a home could say two things that look different and mean the same."""
    envelope = seal(b"abc", key=bytes(32), context=CONTEXT, validators=keys(4), padded_bytes=64)
    assert open_box(envelope, bytes(32), CONTEXT) == b"abc"
    longer = seal(b"abc\0\1", key=bytes(32), context=CONTEXT, validators=keys(4), padded_bytes=64)
    assert open_box(longer, bytes(32), CONTEXT) == b"abc\0\1"
    padded = (b"\0\3abc" + b"\1").ljust(64, b"\0")
    box = crypto_aead_chacha20poly1305_ietf_encrypt(padded, CONTEXT, bytes(12), bytes(32))
    assert open_box(msgspec.structs.replace(envelope, box=box), bytes(32), CONTEXT) is None
    box = crypto_aead_chacha20poly1305_ietf_encrypt(b"\xff" * 64, CONTEXT, bytes(12), bytes(32))
    assert open_box(msgspec.structs.replace(envelope, box=box), bytes(32), CONTEXT) is None


SMALL = [
    0,
    1,
    2**255 - 20,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
]
"""X coordinates of small order: RFC 7748, section 6.1, has X25519 give zeros for them."""


@pytest.mark.parametrize("number", [*SMALL, 2**255 - 19, 2**255 - 18, 2**256 - 1])
def test_a_one_time_key_that_hides_nothing_is_refused(number: int) -> None:
    sealed = seal_message(HOME, said(), keys(4), LIMITS)
    envelope = msgspec.structs.replace(sealed.envelope, one_time=number.to_bytes(32, "little"))
    with pytest.raises(InvalidMessage, match="one_time"):
        sign_message(HOME, msgspec.structs.replace(sealed, envelope=envelope), LIMITS)
    # Whoever is asked to open one that came all the same finds junk, and does not fail.
    assert open_share(envelope, 0, VALIDATORS[0], sealing_context(sealed)) is None


def test_markets_take_envelopes_or_orders_in_the_open_and_not_both() -> None:
    sealed = seal_message(HOME, said(), keys(4), LIMITS)
    data = sign_message(HOME, sealed, LIMITS)

    def opened(limits: Limits) -> object:
        key_of = lasting({"house-1": HOME.public_key})
        return open_message(data, chain_id=CHAIN, kinds=(Kind.SEALED,), key_of=key_of, limits=limits)

    assert opened(LIMITS) == sealed
    with pytest.raises(OutOfRange, match="orders in the open"):
        opened(Limits())
    with pytest.raises(OutOfRange, match="box has 240 bytes; in this market it has 144"):
        opened(Limits(sealed_bytes=128))
    assert message_id(sealed) != message_id(said())


def test_one_content_for_two_sets_has_two_keys() -> None:
    """Else one validator of each set would have the shares that give the one key."""
    first, second = (seal_message(HOME, said(), keys(count), LIMITS).envelope for count in (4, 5))
    assert first.key_hash != second.key_hash
    for sealed in (seal_message(HOME, said(), keys(count), LIMITS) for count in (4, 5)):
        assert says(sealed, HOME, said())
        assert not says(sealed, HOME, said(2))
        assert not says(sealed, VALIDATORS[0], said())


def test_a_key_beyond_the_field_is_none() -> None:
    """No shares give it, so its home could show it or not as it likes."""
    beyond = (PRIME + 5).to_bytes(32, "big")
    envelope = msgspec.structs.replace(
        seal(b"", key=beyond, context=CONTEXT, validators=keys(4), padded_bytes=64),
        key_hash=hash_of_key(beyond),
    )
    assert hash_of_key(beyond) == envelope.key_hash
    assert not is_key(beyond, envelope)
    assert not is_key(beyond[:-1], envelope)
    inside = (PRIME - 1).to_bytes(32, "big")
    assert is_key(inside, seal(b"", key=inside, context=CONTEXT, validators=keys(4), padded_bytes=64))


def test_a_key_with_a_part_of_small_order_receives_nothing() -> None:
    assert all(can_receive(key) for key in keys(25))
    small = bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")  # order 2
    mixed = crypto_core_ed25519_add(keys(1)[0], small)
    assert not can_receive(mixed)
    assert not can_receive(small)


def test_a_set_has_another_name_in_another_order() -> None:
    assert digest_of(keys(4)) != digest_of(keys(4)[::-1]) != digest_of(keys(5))
