"""Standing orders: they follow from the blob before, and a blob holds none that its homes have not signed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.batches.blob import Blob, IntervalContent, Line, make_blob, open_blob
from p2p.batches.standing import (
    Standing,
    none_in,
    spoken_in,
    standing_after,
    standing_for,
    standing_in,
    with_standing,
)
from p2p.blocks.members import ALWAYS, Members
from p2p.errors import RemoteError
from p2p.wire.codec import decode, encode
from p2p.wire.messages import HandedIn, Kind, OrderMessage
from tests.kits.chain_kit import START, STEP
from tests.kits.signed_kit import homes, keyed_genesis, names, nothing, order, reading, signed

MEMBERS = 5
GENESIS, ROSTER, STREET = keyed_genesis(MEMBERS), names(MEMBERS), homes(MEMBERS)
SECRET = b"s" * 32
NEXT, THIRD = START + STEP, START + 2 * STEP
SPOKEN = [0, 1, 2, 4]
"""Who orders in the first interval, or says that it orders nothing."""


def blob(start: int, *said: HandedIn) -> bytes:
    return make_blob(ROSTER, start, SECRET, [signed(message) for message in said])


ORDERS = tuple(order(GENESIS, ROSTER[i], nonce=7 + i, energy_wh=i) for i in (0, 2, 4))
STATED = blob(START, *ORDERS, nothing(GENESIS, ROSTER[1]), reading(GENESIS, ROSTER[3]))
MISSED = blob(NEXT, *(reading(GENESIS, household, start=NEXT) for household in ROSTER))


def after(before: bytes, members: Members = STREET) -> Standing:
    return standing_after(before, GENESIS, members)


def opened(data: bytes, members: Members = STREET) -> IntervalContent:
    return open_blob(data, GENESIS, members)


STANDS = with_standing(MISSED, after(STATED))
FIRST = with_standing(MISSED, none_in(NEXT))


def without(place: int, from_s: int, to_s: int) -> Members:
    """The homes, of which one has another term."""
    terms = tuple((from_s, to_s) if i == place else ALWAYS for i in range(MEMBERS))
    return replace(STREET, terms=terms)


# --- what follows ----------------------------------------------------------------------------------------


def test_orders_stand_in_the_interval_after_and_read_back_as_signed() -> None:
    content = opened(STANDS)
    assert content.standing == content.booked == ORDERS
    assert (content.orders, content.nothings) == ((), ())
    assert len(content.readings) == len(content.messages) == MEMBERS, "they are no messages of the interval"
    assert standing_in(STANDS) == after(STATED)
    assert [sorted(spoken_in(data)) for data in (STATED, MISSED, STANDS)] == [SPOKEN, [], []]
    assert opened(STATED).booked == ORDERS


def test_they_stand_in_every_missed_interval_that_follows() -> None:
    third = with_standing(blob(THIRD), after(STANDS))
    assert after(STANDS) == Standing(THIRD, START, after(STATED).lines)
    assert opened(third).standing == ORDERS


def test_an_interval_in_which_homes_speak_again_ends_it() -> None:
    spoken = blob(NEXT, order(GENESIS, ROSTER[1], start=NEXT), nothing(GENESIS, ROSTER[0], start=NEXT))
    assert [line.participant for line in after(spoken).lines] == [1]
    assert after(spoken).signed_start == NEXT


def test_who_has_said_that_it_has_nothing_has_nothing() -> None:
    silent = blob(START, *(nothing(GENESIS, household) for household in ROSTER))
    assert spoken_in(silent) == frozenset(range(MEMBERS))
    assert after(silent) == none_in(NEXT)
    assert after(FIRST) == none_in(THIRD), "nothing applies after a missed interval in which nothing applied"


def test_a_home_that_has_left_has_none_from_then_on() -> None:
    gone = without(2, 0, THIRD)
    assert after(STATED, gone) == after(STATED)
    assert [line.participant for line in after(STANDS, gone).lines] == [0, 4]
    lonely = replace(STREET, terms=((0, NEXT),) * MEMBERS)
    assert after(STATED, lonely) == none_in(NEXT)


@given(st.permutations([*ORDERS, nothing(GENESIS, ROSTER[1])]))
def test_the_order_of_arrival_does_not_change_what_stands(said: list[HandedIn]) -> None:
    assert after(blob(START, *said)) == after(STATED)


# --- what is refused -------------------------------------------------------------------------------------


def changed(edit: Callable[[list[Line]], object], start_s: int = START) -> bytes:
    """The blob of the missed interval with other standing lines."""
    lines = list(after(STATED).lines)
    edit(lines)
    return with_standing(MISSED, Standing(NEXT, start_s, tuple(lines)))


def line_as(place: int = 0, **fields: object) -> Callable[[list[Line]], object]:
    def edit(lines: list[Line]) -> None:
        lines[place] = msgspec.structs.replace(lines[place], **fields)

    return edit


def as_it_is(_lines: list[Line]) -> None:
    """No other lines."""


OTHER_KINDS = decode(Blob, blob(START, nothing(GENESIS, ROSTER[0]), reading(GENESIS, ROSTER[0]))).lines


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (with_standing(STATED, Standing(START, START - STEP, after(STATED).lines)), "malformed"),
        (with_standing(MISSED, Standing(NEXT, START, ())), "malformed"),
        (changed(as_it_is, NEXT), "malformed"),
        (changed(as_it_is, THIRD), "malformed"),
        (changed(as_it_is, -STEP), "malformed"),
        (changed(as_it_is, 0), "wrong_signature"),
        (changed(as_it_is, START - STEP), "wrong_signature"),
        (changed(as_it_is, START + 1), "out_of_range"),
        (changed(lambda lines: lines.reverse()), "malformed"),
        (changed(lambda lines: lines.append(lines[-1])), "malformed"),
        (changed(lambda lines: lines.insert(0, OTHER_KINDS[0])), "malformed"),
        (changed(lambda lines: lines.append(OTHER_KINDS[1])), "malformed"),
        (changed(line_as(kind=9)), "malformed"),
        (changed(line_as(orders=())), "malformed"),
        (changed(line_as(participant=1)), "wrong_signature"),
        (changed(line_as(participant=-1)), "malformed"),
        (changed(line_as(participant=MEMBERS)), "malformed"),
        (changed(line_as(nonce=8)), "wrong_signature"),
        (changed(line_as(-1, round=1)), "out_of_range"),
        (changed(line_as(signature=after(STATED).lines[1].signature)), "wrong_signature"),
    ],
)
def test_standing_orders_that_do_not_hold_are_refused(data: bytes, code: str) -> None:
    with pytest.raises(RemoteError) as caught:
        opened(data)
    assert caught.value.code == code


def test_a_home_that_is_no_member_has_no_standing_order() -> None:
    """Neither one that has left before the missed interval, nor one that was not there yet in the one before."""
    only = with_standing(blob(NEXT), after(STATED))
    for members in (without(4, 0, NEXT), without(4, NEXT, THIRD)):
        with pytest.raises(RemoteError) as caught:
            opened(only, members)
        assert caught.value.code == "not_a_member"


def test_homes_without_keys_have_no_standing_orders() -> None:
    only = with_standing(blob(NEXT), after(STATED))
    with pytest.raises(RemoteError) as caught:
        opened(only, replace(STREET, keys=()))
    assert caught.value.code == "unknown_household"


def test_a_home_that_has_spoken_has_no_standing_order() -> None:
    """It has one order, or none, and not an older one beside it."""
    for said in (order(GENESIS, ROSTER[2], start=NEXT), nothing(GENESIS, ROSTER[2], start=NEXT)):
        with pytest.raises(RemoteError, match="a standing order of a home that has sent"):
            opened(with_standing(blob(NEXT, said), after(STATED)))
        rest = standing_for(blob(NEXT, said), STATED, GENESIS, STREET)
        assert [line.participant for line in rest.lines] == [0, 4]
        assert len(opened(with_standing(blob(NEXT, said), rest)).booked) == 2 + isinstance(said, OrderMessage)


@pytest.mark.parametrize(
    ("spoken", "left"),
    [([], [0, 2, 4]), ([1], [0, 2, 4]), ([0], [2, 4]), ([1, 3], []), ([0, 2], []), ([0, 2, 4], [])],
)
def test_limits_apply_while_at_most_half_as_many_homes_have_spoken(
    spoken: list[int], left: list[int]
) -> None:
    """Limits of three homes could apply: one home that speaks ends none but its own, two end all."""
    said = [nothing(GENESIS, ROSTER[home], start=NEXT) for home in spoken]
    found = standing_for(blob(NEXT, *said), STATED, GENESIS, STREET)
    assert [line.participant for line in found.lines] == left
    assert found.signed_start == (START if left else 0)


def test_who_has_spoken_in_a_missed_interval_has_no_limits_in_the_next_one() -> None:
    said = blob(NEXT, order(GENESIS, ROSTER[2], start=NEXT))
    said = with_standing(said, standing_for(said, STATED, GENESIS, STREET))
    assert [line.participant for line in after(said).lines] == [0, 4]
    assert after(said).signed_start == START


def test_a_blob_without_the_fields_is_none() -> None:
    fields = msgspec.structs.astuple(decode(Blob, STANDS))
    with pytest.raises(RemoteError) as caught:
        opened(encode(fields[:-2]))
    assert caught.value.code == "malformed"
    assert {line.kind for line in after(STATED).lines} == {Kind.ORDER}
