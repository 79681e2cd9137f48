"""The canonical encoding: one value, one byte string; everything else is refused as a peer's fault."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.batches.batch import BatchArgs
from p2p.blocks.block import Block, CommitCertificate, Header, Tx
from p2p.blocks.genesis import Genesis
from p2p.errors import Malformed, NonCanonical, OutOfRange, RemoteError, TooLarge, Unencodable
from p2p.ledger.light import ProofBundle
from p2p.ledger.state import Receipt
from p2p.wire.codec import INT64_MAX, INT64_MIN, Record, decode, encode
from p2p.wire.messages import (
    NothingMessage,
    OrderMessage,
    PriceLine,
    ReadingMessage,
    ReceiptMessage,
    Signed,
)

RECORDS = [
    OrderMessage,
    ReadingMessage,
    ReceiptMessage,
    NothingMessage,
    Signed,
    Tx,
    Header,
    Block,
    CommitCertificate,
    Genesis,
    BatchArgs,
    Receipt,
    ProofBundle,
]


class Sample(Record, frozen=True):
    number: int
    text: str
    data: bytes
    price: PriceLine | None
    rows: tuple[tuple[int, ...], ...]


int64 = st.integers(INT64_MIN, INT64_MAX)
samples = st.builds(
    Sample,
    int64,
    st.text(st.characters(codec="utf-8"), max_size=20),
    st.binary(max_size=40),
    st.none() | st.builds(PriceLine, int64, int64, int64),
    st.lists(st.lists(int64, max_size=3).map(tuple), max_size=3).map(tuple),
)
SAMPLE = Sample(5, "a", b"b", None, ())


@given(samples)
def test_decoding_what_was_encoded_gives_the_same_value(sample: Sample) -> None:
    assert decode(Sample, encode(sample)) == sample


@given(samples, st.data())
def test_a_flipped_bit_never_decodes_to_the_same_value_and_never_escapes_as_our_error(
    sample: Sample, data: st.DataObject
) -> None:
    raw = bytearray(encode(sample))
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    try:
        decoded = decode(Sample, bytes(raw))
    except RemoteError:
        return
    assert decoded != sample


@given(st.binary(max_size=200), st.sampled_from(RECORDS))
def test_arbitrary_bytes_are_a_peers_fault(data: bytes, kind: type[Record]) -> None:
    try:
        value = decode(kind, data)
    except RemoteError:
        return
    assert encode(value) == data


@pytest.mark.parametrize(
    ("what", "data"),
    [
        ("5 as uint8", b"\x95\xcc\x05\xa1a\xc4\x01b\xc0\x90"),
        ("5 as uint64", b"\x95\xcf\0\0\0\0\0\0\0\x05\xa1a\xc4\x01b\xc0\x90"),
        ("5 as int8", b"\x95\xd0\x05\xa1a\xc4\x01b\xc0\x90"),
        ("string with a long length", b"\x95\x05\xd9\x01a\xc4\x01b\xc0\x90"),
        ("bytes with a long length", b"\x95\x05\xa1a\xc5\0\x01b\xc0\x90"),
        ("array with a long length", b"\xdc\0\x05\x05\xa1a\xc4\x01b\xc0\x90"),
        ("inner array with a long length", b"\x95\x05\xa1a\xc4\x01b\xc0\xdc\0\0"),
        ("bytes as a string", b"\x95\x05\xa1a\xa1b\xc0\x90"),
    ],
)
def test_other_bytes_for_the_same_value_are_refused(what: str, data: bytes) -> None:
    assert encode(SAMPLE) == b"\x95\x05\xa1a\xc4\x01b\xc0\x90"
    with pytest.raises((NonCanonical, Malformed)):
        decode(Sample, data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        encode(SAMPLE) + b"\0",
        encode(SAMPLE)[:-1],
        b"\x94\x05\xa1a\xc4\x01b\xc0",
        b"\x96\x05\xa1a\xc4\x01b\xc0\x90\xc0",
        b"\x95\xca\0\0\0\0\xa1a\xc4\x01b\xc0\x90",
        b"\x95\xc3\xa1a\xc4\x01b\xc0\x90",
        b"\x95\x05\xa1\xff\xc4\x01b\xc0\x90",
        b"\x85\x05\xa1a\xc4\x01b\xc0\x90",
        b"\x91" * 50_000,
    ],
    ids=[
        "nothing",
        "reserved byte",
        "trailing byte",
        "truncated",
        "short array",
        "long array",
        "float for an integer",
        "bool for an integer",
        "invalid UTF-8",
        "map for an array",
        "deep nesting",
    ],
)
def test_what_is_not_the_structure_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode(Sample, data)


def test_an_integer_beyond_int64_is_out_of_range() -> None:
    data = b"\x95\xcf\xff\xff\xff\xff\xff\xff\xff\xff\xa1a\xc4\x01b\xc0\x90"
    with pytest.raises(OutOfRange):
        decode(Sample, data)
    nested = b"\x95\x05\xa1a\xc4\x01b\xc0\x91\x91\xcf\x80\0\0\0\0\0\0\0"
    with pytest.raises(OutOfRange):
        decode(Sample, nested)


@pytest.mark.parametrize("number", [INT64_MAX + 1, INT64_MIN - 1, 2**64])
def test_our_own_integer_beyond_int64_is_not_encoded(number: int) -> None:
    with pytest.raises(Unencodable):
        encode(Sample(number, "", b"", None, ()))


def test_too_many_bytes_are_refused_unread() -> None:
    with pytest.raises(TooLarge, match="the limit is 8"):
        decode(Sample, b"\xc1" * 9, max_bytes=8)


@pytest.mark.parametrize("kind", RECORDS)
def test_no_record_has_a_default_or_a_type_with_two_encodings(kind: type[Record]) -> None:
    """Defaults would let short arrays in; floats and maps have more than one encoding."""
    info = msgspec.inspect.type_info(kind)
    assert isinstance(info, msgspec.inspect.StructType)
    assert info.array_like
    assert info.forbid_unknown_fields
    assert all(field.required for field in info.fields)
    text = repr(info)
    assert "FloatType" not in text
    assert "DictType" not in text
    assert "AnyType" not in text
