"""Later versions of a blob: more readings and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.batches.blob import Blob, Line, make_blob, open_blob
from p2p.batches.closings import make_closing
from p2p.batches.later import NotLater, check_later, read_by, with_readings
from p2p.errors import AboveCapacity, WrongSignature
from p2p.wire.codec import decode, encode
from p2p.wire.messages import sign_message
from tests.kits.chain_kit import START, authorities
from tests.kits.signed_kit import homes, key_of, keyed_genesis, names, nothing, order, reading, signed

MEMBERS = 5
GENESIS, ROSTER, SECRET = keyed_genesis(MEMBERS), names(MEMBERS), b"s" * 32
CLOSING = make_closing(authorities(4)[0], GENESIS.chain_id, START, 1, ())


def settled_with(*read: int) -> bytes:
    """A blob in which two homes order, one has nothing, and these have given readings."""
    said = [signed(order(GENESIS, ROSTER[home])) for home in (0, 3)] + [signed(nothing(GENESIS, ROSTER[1]))]
    said += [signed(reading(GENESIS, ROSTER[home])) for home in read]
    blob = decode(Blob, make_blob(ROSTER, START, SECRET, said, (CLOSING,)))
    return encode(msgspec.structs.replace(blob, solution=b"found"))


def late(*read: int) -> list[bytes]:
    return [signed(reading(GENESIS, ROSTER[home])) for home in read]


def changed(blob: bytes, **changes: object) -> bytes:
    return encode(msgspec.structs.replace(decode(Blob, blob), **changes))


@given(st.sets(st.integers(0, MEMBERS - 1)), st.sets(st.integers(0, MEMBERS - 1), min_size=1))
def test_a_later_version_holds_what_was_there_and_the_late_readings(read: set[int], more: set[int]) -> None:
    more = more - read
    before = settled_with(*sorted(read))
    blob = with_readings(before, ROSTER, late(*more))
    assert read_by(before) == read
    assert read_by(blob) == read | more
    opened, former = (open_blob(data, GENESIS, homes(MEMBERS)) for data in (blob, before))
    assert (opened.orders, opened.nothings, opened.closings) == (
        former.orders,
        former.nothings,
        former.closings,
    )
    assert opened.interval_secret == SECRET
    assert opened.solution == b""
    if more:
        check_later(blob, before)
        check_later(changed(blob, solution=b"another"), before)
    else:
        with pytest.raises(NotLater, match="0 new lines"):
            check_later(blob, before)


def without(lines: tuple[Line, ...], place: int) -> tuple[Line, ...]:
    return lines[:place] + lines[place + 1 :]


def with_lines(change: Callable[[tuple[Line, ...]], tuple[Line, ...]]) -> Callable[[bytes], bytes]:
    return lambda blob: changed(blob, lines=change(decode(Blob, blob).lines))


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "an order is left out": with_lines(lambda lines: without(lines, 0)),
    "a reading is left out": with_lines(lambda lines: without(lines, 3)),
    "a reading is another": with_lines(
        lambda lines: (*lines[:3], msgspec.structs.replace(lines[3], nonce=9), *lines[4:])
    ),
    "a line is there twice": with_lines(lambda lines: (*lines[:4], lines[3], *lines[4:])),
    "an order is new": with_lines(lambda lines: (*lines, msgspec.structs.replace(lines[0], participant=4))),
    "another secret": lambda blob: changed(blob, interval_secret=b"t" * 32),
    "no closings": lambda blob: changed(blob, closings=()),
    "limits that stand": lambda blob: changed(
        blob, standing_start=START - 900, standing=decode(Blob, blob).lines[:1]
    ),
    "another interval": lambda blob: changed(blob, interval_start=START + 900),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_else_changes_is_no_later_version(change: str) -> None:
    before = settled_with(0, 2)
    blob = with_readings(before, ROSTER, late(1, 4))
    check_later(blob, before)
    with pytest.raises(NotLater):
        check_later(CHANGES[change](blob), before)


def test_the_late_readings_are_checked_as_all_others() -> None:
    before, true = settled_with(0, 2), reading(GENESIS, ROSTER[1])
    false = sign_message(key_of(ROSTER[3]), true)
    above = signed(msgspec.structs.replace(true, import_wh=10**6))
    for data, error in ((false, WrongSignature), (above, AboveCapacity)):
        blob = with_readings(before, ROSTER, [data])
        check_later(blob, before)
        with pytest.raises(error):
            open_blob(blob, GENESIS, homes(MEMBERS))
