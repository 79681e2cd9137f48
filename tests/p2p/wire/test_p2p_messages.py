"""Signed messages: what goes out comes in, and every kind of wrong message has its own stable code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.orders import Block, Flexible, Quote, Storage, Terms, numbers_of
from market.orders import kind_of as kind_of_terms
from p2p.errors import InvalidMessage, OutOfRange, RemoteError
from p2p.wire.codec import encode
from p2p.wire.identity import Identity
from p2p.wire.limits import DEFAULT_LIMITS
from p2p.wire.messages import (
    MAX_MESSAGE_BYTES,
    VERSION,
    Kind,
    Message,
    NothingMessage,
    OrderLine,
    OrderMessage,
    ReadingMessage,
    ReceiptMessage,
    Signed,
    kind_of,
    lasting,
    message_id,
    open_message,
    order_line,
    sign_message,
    terms_of,
)
from tests.kits.chain_kit import OPERATOR, START, flip, identity

CHAIN = bytes(range(32))
HOUSE = identity("household", "house-1")
KEYS = {"house-1": HOUSE.public_key, "house-2": identity("household", "house-2").public_key}
ALL = frozenset(Kind)

ORDER = OrderMessage(VERSION, CHAIN, START, 15, "house-1", 7, 0, (order_line(1, 250, 231_000),))
MESSAGES: list[Message] = [
    ORDER,
    ReadingMessage(VERSION, CHAIN, START, 15, "house-1", 8, 263, 0, 0),
    NothingMessage(VERSION, CHAIN, START, 15, "house-1", 9, 0),
    ReceiptMessage(VERSION, CHAIN, START, "house-1", message_id(ORDER), 0),
]


def signer(message: Message) -> Identity:
    return OPERATOR if isinstance(message, ReceiptMessage) else HOUSE


open_here = partial(
    open_message, chain_id=CHAIN, kinds=ALL, key_of=lasting(KEYS), collector_keys=(OPERATOR.public_key,)
)


def refused(data: bytes, opener: Callable[[bytes], Message] = open_here) -> str:
    with pytest.raises(RemoteError) as caught:
        opener(data)
    return caught.value.code


def forged(message: Message) -> bytes:
    """Sign whatever it says, as a peer with its own program can."""
    body = encode(message)
    kind = kind_of(message)
    signature = signer(message).sign(b"wattswap/msg/1\0", bytes((kind,)) + body)
    return encode(Signed(kind, body, signer(message).public_key, signature))


@pytest.mark.parametrize("message", MESSAGES)
def test_every_message_opens_to_what_was_signed(message: Message) -> None:
    assert open_here(sign_message(signer(message), message)) == message


def changed(**fields: object) -> OrderMessage:
    """The order with another field, of the message or of its line."""
    line = {name: value for name, value in fields.items() if name in OrderLine.__struct_fields__}
    orders = (msgspec.structs.replace(ORDER.orders[0], **line),)
    rest = {name: value for name, value in fields.items() if name not in line}
    return msgspec.structs.replace(ORDER, **({"orders": orders} | rest))


BLOCK = Block(0, 1_000_000, -1, -1, -1, (100, 150))
TAKES_BLOCKS = replace(DEFAULT_LIMITS, order_kinds=(0, 1))


def test_a_chain_that_takes_blocks_opens_them_with_their_terms() -> None:
    order = changed(kind=1, terms=numbers_of(BLOCK))
    opened = open_here(sign_message(HOUSE, order, TAKES_BLOCKS), limits=TAKES_BLOCKS)
    assert opened == order
    assert terms_of(opened.orders[0]) == BLOCK
    assert refused(forged(order)) == "out_of_range"


@pytest.mark.parametrize("terms", [(), (0, 1, 1), (0, 1_000_000, -1, -1, -1, 100), (0, 0, -1, -1, -1, 250)])
def test_terms_that_are_not_valid_are_refused_and_not_even_signed(terms: tuple[int, ...]) -> None:
    order = changed(kind=1, terms=terms)
    with pytest.raises(InvalidMessage, match="block order"):
        sign_message(HOUSE, order, TAKES_BLOCKS)
    with pytest.raises(OutOfRange):
        open_here(forged(order), limits=TAKES_BLOCKS)


TAKES_ALL = replace(DEFAULT_LIMITS, order_kinds=(0, 1, 2, 3, 4))
LARGEST = DEFAULT_LIMITS.max_energy_wh
DEAR = DEFAULT_LIMITS.max_price_micro_per_kwh
STORAGE = Storage(0, 3, 5_000, 0, 0, 250, 900, 900_000, 900_000, 10)


@pytest.mark.parametrize(
    ("terms", "problem"),
    [
        (Quote(LARGEST, DEAR), None),
        (Quote(LARGEST + 1, DEAR), "quote order whose selling half is outside"),
        (Quote(10, DEAR + 1), "quote order whose selling half is outside"),
        (Quote(10, 230_999), "sell below what it buys for"),
        (Quote(-1, DEAR), "sells a negative energy"),
        (Flexible(0, 671, 0, LARGEST, 0), None),
        (Flexible(0, 0, 0, LARGEST + 1, 0), "flexible order whose power is outside"),
        (Flexible(0, 672, 0, 250, 0), "flexible order with a window"),
        (Flexible(0, 1, 0, 124, 1), "does not fit into its window"),
        (Flexible(0, 1, 251, 250, 1), "flexible order of 250 Wh with at least 251"),
        (STORAGE, None),
        (replace(STORAGE, discharge_wh=LARGEST + 1), "storage order whose energy or wear is outside"),
        (replace(STORAGE, capacity_wh=672 * LARGEST + 1), "storage order whose energy or wear is outside"),
        (replace(STORAGE, wear_micro_per_kwh=DEAR + 1), "storage order whose energy or wear is outside"),
        (replace(STORAGE, initial_wh=5_001), "storage order of 5000 Wh with 5001 Wh first"),
        (replace(STORAGE, charge_wh=251), "that charges 251 Wh"),
        (replace(STORAGE, charge_ppm=1_000_001), "with an efficiency"),
        (Block(671, 1, 0, 0, -1, (250,)), "its own parent"),
        (Block(671, 1, 0, -1, -1, (125, 125)), "outside 0..672"),
        (Block(0, 1, -2, -1, -1, (250,)), "negative label"),
        (Block(0, 1, -1, -1, -1, (-1, 251)), "mixed signs"),
    ],
)
def test_orders_of_every_kind_stay_within_the_limits_of_the_chain(terms: Terms, problem: str | None) -> None:
    """Otherwise one home could hand in an order that stops the interval of all."""
    message = changed(kind=int(kind_of_terms(terms)), terms=numbers_of(terms))
    if problem is None:
        assert open_here(sign_message(HOUSE, message, TAKES_ALL), limits=TAKES_ALL) == message
        return
    with pytest.raises(OutOfRange, match=problem):
        open_here(forged(message), limits=TAKES_ALL)


@pytest.mark.parametrize("terms", [Quote(600_000, DEAR), replace(STORAGE, discharge_wh=600_000)])
def test_what_orders_of_one_message_can_move_together_stays_within_the_limit(terms: Terms) -> None:
    line = order_line(1, 250, 231_000, terms=terms)
    assert open_here(forged(changed(orders=(line,))), limits=TAKES_ALL)
    with pytest.raises(OutOfRange, match="energy_wh adds up to 1200000"):
        open_here(forged(changed(orders=(line, line))), limits=TAKES_ALL)


@pytest.mark.parametrize(("count", "code"), [(64, ""), (65, "out_of_range"), (5_000, "too_large")])
def test_a_message_has_at_most_64_orders(count: int, code: str) -> None:
    message = changed(orders=tuple(order_line(1, 1, i) for i in range(count)))
    if code:
        assert refused(forged(message)) == code
    else:
        assert open_here(sign_message(HOUSE, message)) == message


def test_orders_of_one_message_stay_together_within_the_limit() -> None:
    half = order_line(1, 600_000, 1)
    assert refused(forged(changed(orders=(half, half)))) == "out_of_range"
    assert refused(forged(changed(orders=()))) == "out_of_range"
    several = changed(orders=(order_line(1, 100, 3), order_line(1, 100, 2), order_line(-1, 100, 9)))
    assert open_here(sign_message(HOUSE, several)) == several


@given(
    st.integers(0, 2**30),
    st.sampled_from([5, 15, 30, 60]),
    st.integers(0, 2**62),
    st.sampled_from([-1, 1]),
    st.integers(0, DEFAULT_LIMITS.max_energy_wh),
    st.integers(-DEFAULT_LIMITS.max_price_micro_per_kwh, DEFAULT_LIMITS.max_price_micro_per_kwh),
)
def test_every_order_in_range_opens_to_what_was_signed(
    index: int, minutes: int, nonce: int, side: int, energy_wh: int, limit: int
) -> None:
    start = index * minutes * 60 % 2**36
    start -= start % (minutes * 60)
    order = OrderMessage(
        VERSION, CHAIN, start, minutes, "house-1", nonce, 0, (order_line(side, energy_wh, limit),)
    )
    assert open_here(sign_message(HOUSE, order)) == order


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("interval_start", START + 1),
        ("interval_start", -900),
        ("interval_start", 2**40),
        ("minutes", 7),
        ("minutes", 0),
        ("household", ""),
        ("household", "h" * 65),
        ("nonce", -1),
        ("side", 0),
        ("side", 2),
        ("energy_wh", -1),
        ("energy_wh", DEFAULT_LIMITS.max_energy_wh + 1),
        ("limit_micro_per_kwh", DEFAULT_LIMITS.max_price_micro_per_kwh + 1),
        ("node", -1),
    ],
)
def test_a_field_out_of_range_is_refused_and_not_even_signed(field: str, value: object) -> None:
    order = changed(**{field: value})
    assert refused(forged(order)) == "out_of_range"
    with pytest.raises(InvalidMessage, match=field):
        sign_message(HOUSE, order)


@pytest.mark.parametrize(
    "message",
    [
        msgspec.structs.replace(MESSAGES[1], quality=3),
        msgspec.structs.replace(MESSAGES[1], export_wh=-1),
        msgspec.structs.replace(MESSAGES[3], message_id=bytes(31)),
        msgspec.structs.replace(MESSAGES[3], code=99),
    ],
)
def test_other_messages_out_of_range_are_refused(message: Message) -> None:
    assert refused(forged(message)) == "out_of_range"


def test_a_flipped_bit_anywhere_in_a_signed_order_is_refused() -> None:
    data = sign_message(HOUSE, ORDER)
    codes = {refused(flip(data, bit)) for bit in range(len(data) * 8)}
    assert {"wrong_signature", "malformed", "wrong_chain"} <= codes


def test_another_chain_has_its_own_code() -> None:
    assert refused(sign_message(HOUSE, ORDER), partial(open_here, chain_id=bytes(32))) == "wrong_chain"


def test_another_version_has_its_own_code() -> None:
    assert refused(forged(msgspec.structs.replace(ORDER, version=1))) == "wrong_version"


def test_an_unknown_household_has_its_own_code() -> None:
    order = msgspec.structs.replace(ORDER, household="house-9")
    assert refused(forged(order)) == "unknown_household"


def test_an_order_in_the_name_of_a_neighbour_is_refused() -> None:
    order = msgspec.structs.replace(ORDER, household="house-2")
    assert refused(forged(order)) == "wrong_signature"


def test_a_household_cannot_sign_a_receipt_or_a_result() -> None:
    for message in MESSAGES[3:]:
        assert refused(sign_message(HOUSE, message)) == "wrong_signature"
        assert (
            refused(sign_message(OPERATOR, message), partial(open_here, collector_keys=()))
            == "wrong_signature"
        )


def test_a_kind_that_is_not_expected_is_refused() -> None:
    data = sign_message(HOUSE, ORDER)
    assert refused(data, partial(open_here, kinds={Kind.READING})) == "wrong_kind"
    assert refused(encode(Signed(99, b"", bytes(32), bytes(64)))) == "wrong_kind"


def test_the_signature_covers_the_kind() -> None:
    """A reading's body under the kind of an order must not pass, even where the fields fit."""
    reading = MESSAGES[1]
    body = encode(reading)
    signature = HOUSE.sign(b"wattswap/msg/1\0", bytes((Kind.READING,)) + body)
    nothing = encode(Signed(Kind.NOTHING, encode(MESSAGES[2]), HOUSE.public_key, signature))
    assert refused(nothing) == "wrong_signature"


def test_a_body_that_is_not_canonical_has_its_own_code() -> None:
    body = encode(ORDER).replace(b"\x98\x04", b"\x98\xcc\x04", 1)
    signature = HOUSE.sign(b"wattswap/msg/1\0", bytes((Kind.ORDER,)) + body)
    assert refused(encode(Signed(Kind.ORDER, body, HOUSE.public_key, signature))) == "non_canonical"


def test_a_message_over_the_limit_is_refused_unread() -> None:
    assert refused(bytes(MAX_MESSAGE_BYTES + 1)) == "too_large"


@pytest.mark.parametrize("data", [b"", b"\x94", bytes(200), b"GET / HTTP/1.1\r\n\r\n"])
def test_noise_is_malformed(data: bytes) -> None:
    assert refused(data) == "malformed"


def test_keys_and_signatures_of_another_length_are_malformed() -> None:
    assert refused(encode(Signed(Kind.ORDER, encode(ORDER), bytes(31), bytes(64)))) == "malformed"
    assert refused(encode(Signed(Kind.ORDER, encode(ORDER), bytes(32), bytes(63)))) == "malformed"


def test_the_limits_of_the_chain_decide() -> None:
    order = changed(energy_wh=2_000_000)
    wide = replace(DEFAULT_LIMITS, max_energy_wh=2_000_000)
    assert open_here(sign_message(HOUSE, order, wide), limits=wide) == order


def test_the_id_of_a_message_is_that_of_its_content() -> None:
    assert message_id(ORDER) == message_id(msgspec.structs.replace(ORDER))
    assert len({message_id(message) for message in MESSAGES}) == len(MESSAGES)
