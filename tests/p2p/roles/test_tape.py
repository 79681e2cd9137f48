"""The tape on the wire: a collector may answer anything, and the reader accepts only what a market can give."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import numpy as np
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from market.orders import MAX_ORDERS
from market.rounds import Tape
from p2p.errors import Malformed, OutOfRange, RemoteError, TooLarge, WrongChain, WrongVersion
from p2p.roles.exchange.tape import (
    COLUMNS,
    MAX_ROWS,
    PAGE_ROWS,
    TapePage,
    TapeQuery,
    TapeReader,
    make_pages,
    read_tape_query,
)
from p2p.roles.exchange.wire import Position, SlotQuery, read_position, read_slot_query
from p2p.wire.codec import INT64_MAX, INT64_MIN, decode, encode
from p2p.wire.frames import FRAME_MAX_BYTES
from p2p.wire.limits import Limits
from p2p.wire.messages import VERSION

CHAIN = b"c" * 32
START = 1_700_000_100
LIMITS = Limits(rounds=3)
READER = TapeReader(CHAIN, LIMITS, homes=4)
GOOD = TapePage(
    VERSION,
    CHAIN,
    START,
    1,
    3,
    (0, 0, 1),
    (1, -1, 1),
    (5, 6, 7),
    (10, -20, 30),
    (5, 5, 0),
    (15, 15, 0),
    (0, 1, 0),
)
replace = msgspec.structs.replace


def read(page: TapePage) -> TapePage:
    return READER.read(encode(page), START, 1, 0)


def columns(page: TapePage) -> list[tuple[int, ...]]:
    return [getattr(page, name) for name in COLUMNS]


def test_what_is_written_is_read() -> None:
    assert read(GOOD) == GOOD


def test_the_columns_are_those_of_the_tape_that_strategies_see() -> None:
    assert tuple(GOOD.__struct_fields__[-len(COLUMNS) :]) == COLUMNS


ROWS_MAX = 4 * MAX_ORDERS * 2


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"version": 2}, WrongVersion, "version 2"),
        ({"chain_id": bytes(32)}, WrongChain, "chain 0000"),
        ({"interval_start": START + 900}, OutOfRange, "asked for"),
        ({"round": 0}, OutOfRange, "round 0; asked for"),
        ({"round": 2}, OutOfRange, "round 2; asked for"),
        ({"rows": -1}, OutOfRange, f"must have 0..{ROWS_MAX}"),
        ({"rows": ROWS_MAX + 1}, OutOfRange, f"must have 0..{ROWS_MAX}"),
        ({"rows": INT64_MAX}, OutOfRange, f"must have 0..{ROWS_MAX}"),
        ({"rows": 2}, OutOfRange, "round_of has 3 rows; page 0 of this tape has 2"),
        ({"rows": 4}, OutOfRange, "round_of has 3 rows; page 0 of this tape has 4"),
        *(({name: (1,) * 2}, OutOfRange, f"{name} has 2 rows") for name in COLUMNS),
        *(({name: (1,) * 4}, OutOfRange, f"{name} has 4 rows") for name in COLUMNS),
        ({"round_of": (0, 0, 2)}, OutOfRange, "round_of runs from 0 to 2"),
        ({"round_of": (-1, 0, 1)}, OutOfRange, "round_of runs from -1"),
        ({"side": (1, 0, 1)}, OutOfRange, "side is 0"),
        ({"side": (1, 2, 1)}, OutOfRange, "side runs"),
        ({"energy_wh": (5, 0, 7)}, OutOfRange, "energy_wh runs from 0"),
        ({"energy_wh": (5, 6, 1_000_001)}, OutOfRange, "energy_wh runs"),
        ({"limit_micro_per_kwh": (INT64_MIN, 0, 0)}, OutOfRange, "limit_micro_per_kwh runs"),
        ({"accepted_wh": (6, 5, 0)}, OutOfRange, "more is accepted than was ordered"),
        ({"accepted_wh": (-1, 5, 0)}, OutOfRange, "accepted_wh runs"),
        ({"price_micro_per_kwh": (INT64_MAX, 0, 0)}, OutOfRange, "price_micro_per_kwh runs"),
        ({"took": (0, 2, 0)}, OutOfRange, "took runs"),
    ],
)
def test_a_lie_is_refused_with_what_is_wrong(
    changes: dict[str, Any], error: type[RemoteError], words: str
) -> None:
    with pytest.raises(error, match=words):
        read(replace(GOOD, **changes))


@pytest.mark.parametrize("data", [b"", b"\x90", b"\xff" * 40, encode(GOOD)[:-1], encode(GOOD) + b"\0"])
def test_bytes_that_are_no_page_are_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        READER.read(data, START, 1, 0)


def test_a_page_larger_than_a_frame_is_refused_unread() -> None:
    with pytest.raises(TooLarge):
        READER.read(bytes(FRAME_MAX_BYTES + 1), START, 1, 0)


def test_the_largest_page_fits_into_a_frame() -> None:
    widest = np.full(PAGE_ROWS, 2**62, dtype=np.int64)
    both = np.full(PAGE_ROWS, -1, dtype=np.int8)
    tape = Tape(np.full(PAGE_ROWS, 63), both, widest, -widest, widest, -widest, both < 0)
    (page,) = make_pages(CHAIN, 2**36, 63, tape)
    assert len(page) <= FRAME_MAX_BYTES


def fetched(reader: TapeReader, number: int, say: Callable[[TapeQuery], bytes]) -> tuple[object, int]:
    """What a reader makes of a collector, and how often it asked."""
    asked = []

    async def request(question: bytes) -> bytes:
        asked.append(decode(TapeQuery, question))
        assert [query.page for query in asked] == list(range(len(asked)))
        return say(asked[-1])

    try:
        return trio.run(partial(reader.fetch, START, number, request)), len(asked)
    except RemoteError as error:
        return error, len(asked)


def test_a_collector_that_never_comes_to_an_end_is_asked_no_more_often_than_a_market_has_orders() -> None:
    """A hundred thousand homes could have 19 million orders; the reader stops at a million."""
    large = TapeReader(CHAIN, LIMITS, homes=100_000)
    rows = dict.fromkeys(COLUMNS, (1,) * PAGE_ROWS) | {"round_of": (0,) * PAGE_ROWS}
    endless = encode(replace(GOOD, rows=MAX_ROWS, **rows))
    found, asked = fetched(large, 1, lambda query: endless)
    assert isinstance(found, Tape)
    assert (len(found.side), asked) == (MAX_ROWS, MAX_ROWS // PAGE_ROWS)
    found, asked = fetched(large, 1, lambda query: encode(replace(GOOD, rows=MAX_ROWS + 1, **rows)))
    assert isinstance(found, OutOfRange)
    assert asked == 1


def test_an_empty_tape_is_one_and_no_answer_is_none() -> None:
    empty = Tape(*(np.zeros(0, dtype=kind) for kind in (int, np.int8, int, int, int, int, bool)))
    (page,) = make_pages(CHAIN, START, 1, empty)
    found, _ = fetched(READER, 1, lambda query: page)
    assert isinstance(found, Tape)
    assert not len(found.side)
    assert fetched(READER, 1, lambda query: b"") == (None, 1)


def test_rounds_that_do_not_ascend_are_refused() -> None:
    found, _ = fetched(READER, 1, lambda query: encode(replace(GOOD, round_of=(1, 0, 1))))
    assert isinstance(found, OutOfRange)


numbers = st.one_of(st.integers(-3, 12), st.integers(INT64_MIN, INT64_MAX))


@given(
    st.lists(st.tuples(*[numbers] * len(COLUMNS)), max_size=5),
    st.fixed_dictionaries({}, optional={"rows": numbers, "round": numbers, "interval_start": numbers}),
)
def test_what_is_read_is_in_the_ranges_whatever_is_sent(
    rows: list[tuple[int, ...]], changes: dict[str, int]
) -> None:
    sent = list(zip(*rows, strict=True)) or [()] * len(COLUMNS)
    page = replace(GOOD, rows=len(rows), **dict(zip(COLUMNS, sent, strict=True)))
    found, _ = fetched(READER, 1, lambda query: encode(replace(page, **changes)))
    if isinstance(found, Tape):
        assert set(found.side.tolist()) <= {1, -1}
        assert (found.accepted_wh <= found.energy_wh).all()
        assert found.energy_wh.max(initial=0) <= LIMITS.max_energy_wh
        assert abs(found.price_micro_per_kwh).max(initial=0) <= LIMITS.max_price_micro_per_kwh
        assert found.round_of.max(initial=0) <= 1
    else:
        assert isinstance(found, RemoteError)


# --- questions and positions --------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [-1, 3, INT64_MAX])
def test_a_question_for_a_round_that_is_none_is_refused(number: int) -> None:
    with pytest.raises(OutOfRange, match=f"round is {number}"):
        read_slot_query(encode(SlotQuery(VERSION, CHAIN, START, number)), CHAIN, 3)
    with pytest.raises(OutOfRange, match=f"round is {number}"):
        read_tape_query(encode(TapeQuery(VERSION, CHAIN, START, number, 0)), CHAIN, 3)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"interval_start": START + 900}, "asked for"),
        ({"round": 0}, "asked for"),
        ({"bought_wh": -1}, "-1 Wh bought"),
        ({"sold_wh": INT64_MIN}, "Wh sold"),
        ({"sold_wh": 501}, r"501 Wh sold; each must lie in 0\.\.500"),
        ({"bought_wh": INT64_MAX, "sold_wh": INT64_MAX}, "each must lie"),
    ],
)
def test_a_position_of_another_round_or_below_zero_is_refused(changes: dict[str, int], words: str) -> None:
    position = Position(VERSION, CHAIN, START, 1, 250, 0)
    assert read_position(encode(position), CHAIN, START, 1, 500) == 250
    with pytest.raises(OutOfRange, match=words):
        read_position(encode(replace(position, **changes)), CHAIN, START, 1, 500)
