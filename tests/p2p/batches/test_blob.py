"""Interval blobs: the same messages give the same bytes, and nothing in one is taken on trust."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from hashlib import sha256

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2p.batches.blob import BLOB_VERSION, Blob, IntervalContent, Line, blob_hash, make_blob, open_blob
from p2p.blocks.genesis import Genesis
from p2p.blocks.members import ALWAYS, DEFAULT_CAPACITY_W, energy_at
from p2p.errors import (
    AboveCapacity,
    Malformed,
    NonCanonical,
    NotAMember,
    RemoteError,
    TooLarge,
    UnknownHousehold,
    WrongSignature,
)
from p2p.wire.codec import decode, encode
from p2p.wire.limits import Limits
from p2p.wire.messages import (
    Kind,
    NothingMessage,
    OrderLine,
    OrderMessage,
    ReadingMessage,
    order_line,
    sign_message,
)
from tests.kits.chain_kit import START, STEP, flip
from tests.kits.sample_kit import some
from tests.kits.signed_kit import (
    MINUTES,
    homes,
    key_of,
    keyed_genesis,
    names,
    nothing,
    order,
    reading,
    signed,
)

MEMBERS = 6
GENESIS = keyed_genesis(MEMBERS)
ROSTER = names(MEMBERS)
SECRET = b"s" * 32
Said = OrderMessage | NothingMessage | ReadingMessage

MOST_WH = energy_at(DEFAULT_CAPACITY_W[0], MINUTES)
"""The most that a home may report; more than that is refused, see below. [Wh]"""

energies = st.integers(0, 1_000_000)
orders = st.builds(
    lambda i, nonce, side, energy_wh, limit, node: msgspec.structs.replace(
        order(GENESIS, ROSTER[i], nonce), orders=(order_line(side, energy_wh, limit, node),)
    ),
    st.integers(0, MEMBERS - 1),
    st.integers(0, 2**63 - 1),
    st.sampled_from([-1, 1]),
    energies,
    st.integers(-1_000_000_000, 1_000_000_000),
    st.integers(0, 1_000_000),
)
nothings = st.builds(
    lambda i, nonce: nothing(GENESIS, ROSTER[i], nonce),
    st.integers(0, MEMBERS - 1),
    st.integers(0, 2**63 - 1),
)
readings = st.builds(
    lambda i, nonce, imported, exported, quality: msgspec.structs.replace(
        reading(GENESIS, ROSTER[i], nonce), import_wh=imported, export_wh=exported, quality=quality
    ),
    st.integers(0, MEMBERS - 1),
    st.integers(0, 2**63 - 1),
    st.integers(0, MOST_WH),
    st.integers(0, MOST_WH),
    st.integers(0, 2),
)
books = st.tuples(
    st.lists(orders | nothings, unique_by=lambda message: message.household, max_size=MEMBERS),
    st.lists(readings, unique_by=lambda message: message.household, max_size=MEMBERS),
)


def blob_of(messages: Sequence[Said], genesis: Genesis = GENESIS) -> bytes:
    return make_blob(
        names(genesis.members), START, SECRET, [sign_message(key_of(m.household), m) for m in messages]
    )


def opened(data: bytes, genesis: Genesis = GENESIS) -> IntervalContent:
    return open_blob(data, genesis, homes(genesis.members))


def by_roster(messages: Sequence[Said], kind: type[Said]) -> list[Said]:
    found = {message.household: message for message in messages if isinstance(message, kind)}
    return [found[household] for household in ROSTER if household in found]


SAMPLE = blob_of(
    [
        order(GENESIS, "house-0", 3),
        nothing(GENESIS, "house-1"),
        reading(GENESIS, "house-0"),
        order(GENESIS, "house-5"),
    ]
)


def edited(edit: Callable[[list[Line]], None]) -> bytes:
    """The sample with other lines, in the canonical encoding."""
    blob = decode(Blob, SAMPLE)
    lines = list(blob.lines)
    edit(lines)
    return encode(msgspec.structs.replace(blob, lines=tuple(lines)))


def edited_line(number: int, **fields: object) -> bytes:
    def edit(lines: list[Line]) -> None:
        lines[number] = msgspec.structs.replace(lines[number], **fields)

    return edited(edit)


def refusal(data: bytes, genesis: Genesis = GENESIS) -> str:
    with pytest.raises(RemoteError) as caught:
        opened(data, genesis)
    return caught.value.code


# --- round trip -------------------------------------------------------------------------------------------


@settings(max_examples=some(40, 13), deadline=None)
@given(books)
def test_a_blob_reads_back_as_what_was_said(book: tuple[list[Said], list[Said]]) -> None:
    said = [*book[0], *book[1]]
    content = opened(blob_of(said))
    assert (content.interval_start, content.interval_secret) == (START, SECRET)
    assert list(content.orders) == by_roster(said, OrderMessage)
    assert list(content.nothings) == by_roster(said, NothingMessage)
    assert list(content.readings) == by_roster(said, ReadingMessage)


@settings(max_examples=some(40, 13), deadline=None)
@given(books, st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_change_the_blob(
    book: tuple[list[Said], list[Said]], random: object
) -> None:
    said = [*book[0], *book[1]]
    shuffled = list(said)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert blob_of(shuffled) == blob_of(said)


def test_an_interval_in_which_nobody_spoke_has_a_blob() -> None:
    content = opened(blob_of([]))
    assert (content.orders, content.nothings, content.readings) == ((), (), ())


def test_the_hash_is_that_of_the_bytes_under_its_own_domain() -> None:
    assert blob_hash(SAMPLE) == sha256(b"blb" + SAMPLE).digest()


# --- size -------------------------------------------------------------------------------------------------

STREET = 1_000


@cache
def street_blob() -> tuple[Genesis, bytes]:
    """1,000 orders and 1,000 readings of ordinary size, nonces as large as times in ms."""
    genesis = keyed_genesis(STREET)
    said: list[bytes] = []
    for i, household in enumerate(names(STREET)):
        nonce = START * 1000 + i
        said.append(signed(order(genesis, household, nonce, energy_wh=40 * i)))
        said.append(signed(reading(genesis, household, nonce)))
    return genesis, make_blob(names(STREET), START, SECRET, said)


def test_a_street_of_1000_stays_below_200_kilobytes() -> None:
    _, blob = street_blob()
    assert len(blob) < 200_000, f"{len(blob)} B, {len(blob) / (2 * STREET):.1f} B per line"


def test_a_line_has_at_most_100_bytes() -> None:
    _, blob = street_blob()
    longest = max(len(encode(line)) for line in decode(Blob, blob, max_bytes=len(blob)).lines)
    assert longest <= 100, f"longest {longest} B, mean {len(blob) / (2 * STREET):.1f} B per line"


def test_a_street_of_1000_reads_back() -> None:
    genesis, blob = street_blob()
    content = opened(blob, genesis)
    assert (
        [m.household for m in content.orders]
        == [m.household for m in content.readings]
        == list(names(STREET))
    )


# --- nothing is taken on trust ----------------------------------------------------------------------------


@pytest.mark.parametrize("at", range(0, len(SAMPLE), 3))
def test_a_flipped_bit_is_refused_or_gives_another_hash(at: int) -> None:
    """Only the secret can change without breaking a signature: it is covered by the hash in the batch."""
    changed = flip(SAMPLE, 8 * at + at % 8)
    assert blob_hash(changed) != blob_hash(SAMPLE)
    secret_at = SAMPLE.index(SECRET)
    if not secret_at <= at < secret_at + len(SECRET):
        refusal(changed)


@settings(max_examples=some(150, 50), deadline=None)
@given(st.integers(0, 8 * len(SAMPLE) - 1))
def test_a_flipped_bit_never_changes_what_a_household_said(bit: int) -> None:
    try:
        content = opened(flip(SAMPLE, bit))
    except RemoteError:
        return
    truth = opened(SAMPLE)
    assert (content.orders, content.nothings, content.readings) == (
        truth.orders,
        truth.nothings,
        truth.readings,
    )


def test_a_signature_by_another_household_is_refused() -> None:
    other = decode(Blob, SAMPLE).lines[2].signature
    with pytest.raises(WrongSignature):
        opened(edited_line(0, signature=other))


@pytest.mark.parametrize("length", [0, 63, 65])
def test_a_signature_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(Malformed):
        opened(edited_line(0, signature=bytes(length)))


def test_a_line_that_stands_twice_is_refused() -> None:
    with pytest.raises(Malformed, match="twice"):
        opened(edited(lambda lines: lines.insert(1, lines[0])))


def test_two_messages_of_one_household_are_refused() -> None:
    """An order and a "nothing" of one household cannot both count."""
    both = decode(Blob, blob_of([order(GENESIS, "house-0", 1), order(GENESIS, "house-1", 1)]))
    twice = decode(Blob, blob_of([nothing(GENESIS, "house-0", 2)])).lines
    blob = msgspec.structs.replace(both, lines=(both.lines[0], *twice, both.lines[1]))
    with pytest.raises(Malformed, match="twice"):
        opened(encode(blob))


@pytest.mark.parametrize(("a", "b"), [(0, 1), (1, 2), (2, 3), (0, 3)])
def test_lines_in_another_order_are_refused(a: int, b: int) -> None:
    def swap(lines: list[Line]) -> None:
        lines[a], lines[b] = lines[b], lines[a]

    with pytest.raises(Malformed, match="order"):
        opened(edited(swap))


@pytest.mark.parametrize("participant", [MEMBERS, 2**63 - 1])
def test_a_household_beyond_the_roster_is_refused(participant: int) -> None:
    with pytest.raises(Malformed, match="home"):
        opened(edited_line(3, participant=participant))


def test_a_negative_household_is_refused() -> None:
    """Python would read it as one counted from the end."""
    with pytest.raises(Malformed, match="home -1"):
        opened(edited_line(0, participant=-1))


@pytest.mark.parametrize("kind", sorted({-1, 0, 7, 2**31} | set(map(int, Kind)) - {1, 2, 5}))
def test_a_line_of_another_kind_is_refused(kind: int) -> None:
    with pytest.raises(Malformed, match="kind"):
        opened(edited_line(2, kind=kind))


@pytest.mark.parametrize("numbers", [(1,), (1, 250, 200_000), (1, 250, 200_000, 0, 0)])
def test_another_count_of_numbers_is_refused(numbers: tuple[int, ...]) -> None:
    with pytest.raises(Malformed, match=f"{len(numbers)} numbers"):
        opened(edited_line(0, numbers=numbers))


@pytest.mark.parametrize(
    ("orders", "code"),
    [
        ((order_line(1, 251, 200_000),), "wrong_signature"),
        ((order_line(1, 250, 200_000),) * 2, "wrong_signature"),
        ((order_line(0, 250, 200_000),), "out_of_range"),
        ((order_line(1, 1_000_001, 200_000),), "out_of_range"),
        ((order_line(1, -1, 200_000),), "out_of_range"),
        ((), "malformed"),
    ],
)
def test_other_orders_are_refused(orders: tuple[OrderLine, ...], code: str) -> None:
    assert refusal(edited_line(0, orders=orders)) == code


def test_a_home_outside_its_term_has_no_place_in_a_blob() -> None:
    members = homes(MEMBERS)
    terms = tuple((START + STEP, START + 2 * STEP) if i == 0 else ALWAYS for i in range(MEMBERS))
    late = replace(members, terms=terms)
    genesis = msgspec.structs.replace(GENESIS, members_root=late.root)
    blob = blob_of([order(genesis, "house-0")], genesis)
    assert len(open_blob(blob, genesis, replace(late, terms=())).orders) == 1
    with pytest.raises(NotAMember, match="house-0"):
        open_blob(blob, genesis, late)


@pytest.mark.parametrize("register", ["import_wh", "export_wh"])
def test_a_reading_above_the_connection_of_its_home_has_no_place_in_a_blob(register: str) -> None:
    """The connections of import and of export differ, and each bounds its own register."""
    most_wh = {"import_wh": 2_500, "export_wh": 1_250}
    small = replace(homes(MEMBERS), capacities=((10_000, 5_000), *[DEFAULT_CAPACITY_W] * (MEMBERS - 1)))
    genesis = msgspec.structs.replace(GENESIS, members_root=small.root)

    def read(household: str, energy_wh: int) -> IntervalContent:
        about = {"import_wh": 0, "export_wh": 0, register: energy_wh}
        said = msgspec.structs.replace(reading(genesis, household), **about)
        return open_blob(blob_of([said], genesis), genesis, small)

    assert len(read("house-0", most_wh[register]).readings) == 1
    assert len(read("house-1", MOST_WH).readings) == 1
    for household, energy_wh in (
        ("house-0", most_wh[register] + 1),
        ("house-0", 1_000_000),
        ("house-1", MOST_WH + 1),
    ):
        with pytest.raises(AboveCapacity, match=f"{register} of home '{household}' is {energy_wh}"):
            read(household, energy_wh)


def test_a_reading_outside_a_term_has_no_place_either() -> None:
    term = (START - STEP, START)
    gone = replace(homes(MEMBERS), terms=(*[ALWAYS] * (MEMBERS - 1), term))
    with pytest.raises(NotAMember, match="house-5"):
        open_blob(blob_of([reading(GENESIS, "house-5")]), GENESIS, gone)


def test_homes_without_keys_have_signed_nothing() -> None:
    keyless = replace(homes(MEMBERS), keys=())
    with pytest.raises(UnknownHousehold, match="have no keys"):
        open_blob(SAMPLE, GENESIS, keyless)
    assert not open_blob(blob_of([]), GENESIS, keyless).orders


def test_another_nonce_is_refused() -> None:
    with pytest.raises(WrongSignature):
        opened(edited_line(0, nonce=4))


@pytest.mark.parametrize("start", [START + STEP, START - STEP])
def test_the_messages_of_another_interval_are_refused(start: int) -> None:
    with pytest.raises(WrongSignature):
        opened(encode(msgspec.structs.replace(decode(Blob, SAMPLE), interval_start=start)))


def test_an_interval_off_its_boundary_is_refused() -> None:
    assert (
        refusal(encode(msgspec.structs.replace(decode(Blob, SAMPLE), interval_start=START + 1)))
        == "out_of_range"
    )


def test_the_blob_of_another_chain_is_refused() -> None:
    with pytest.raises(WrongSignature):
        opened(SAMPLE, keyed_genesis(MEMBERS, name="another street"))


@pytest.mark.parametrize("version", [0, BLOB_VERSION - 1, BLOB_VERSION + 1])
def test_another_version_is_refused(version: int) -> None:
    with pytest.raises(Malformed, match="version"):
        opened(encode(msgspec.structs.replace(decode(Blob, SAMPLE), version=version)))


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_secret_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(Malformed, match=f"{length} bytes"):
        opened(encode(msgspec.structs.replace(decode(Blob, SAMPLE), interval_secret=bytes(length))))


def test_bytes_that_are_not_the_only_encoding_are_refused() -> None:
    """The version as a two-byte integer."""
    assert SAMPLE[1] == BLOB_VERSION
    with pytest.raises(NonCanonical):
        opened(SAMPLE[:1] + bytes((0xCC, BLOB_VERSION)) + SAMPLE[2:])


@pytest.mark.parametrize("data", [b"", b"\x00", SAMPLE[:-1], SAMPLE + b"\x00"])
def test_bytes_that_are_no_blob_are_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        opened(data)


def test_more_bytes_than_a_blob_may_have_are_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2p.batches.blob.MAX_BLOB_BYTES", len(SAMPLE) - 1)
    with pytest.raises(TooLarge):
        opened(SAMPLE)


# --- rounds -------------------------------------------------------------------------------------------------

ROUNDS = 3
OF_ROUNDS = keyed_genesis(MEMBERS, limits=Limits(rounds=ROUNDS))


def blob_of_rounds(messages: Sequence[Said]) -> bytes:
    return make_blob(ROSTER, START, SECRET, [signed(message) for message in messages])


IN_ROUNDS: tuple[Said, ...] = (
    reading(OF_ROUNDS, "house-0"),
    order(OF_ROUNDS, "house-1", 9, number=2),
    nothing(OF_ROUNDS, "house-0", 8, number=1),
    order(OF_ROUNDS, "house-0", 9, number=2),
    order(OF_ROUNDS, "house-1", 7),
    reading(OF_ROUNDS, "house-1"),
)


@given(st.permutations(IN_ROUNDS))
def test_lines_are_by_round_and_then_in_roster_order(said: list[Said]) -> None:
    data = blob_of_rounds(said)
    lines = decode(Blob, data).lines
    places = [(line.kind == Kind.READING, line.round, line.participant) for line in lines]
    assert places == [(False, 0, 1), (False, 1, 0), (False, 2, 0), (False, 2, 1), (True, 0, 0), (True, 0, 1)]
    content = opened(data, OF_ROUNDS)
    assert [(m.round, m.household) for m in content.orders] == [
        (0, "house-1"),
        (2, "house-0"),
        (2, "house-1"),
    ]
    assert content.nothings == (IN_ROUNDS[2],)
    assert {*content.orders, *content.nothings, *content.readings} == set(IN_ROUNDS)


def with_lines(edit: Callable[[list[Line]], None]) -> bytes:
    blob = decode(Blob, blob_of_rounds(IN_ROUNDS))
    lines = list(blob.lines)
    edit(lines)
    return encode(msgspec.structs.replace(blob, lines=tuple(lines)))


def moved(number: int, round_: int) -> Callable[[list[Line]], None]:
    def edit(lines: list[Line]) -> None:
        lines[number] = msgspec.structs.replace(lines[number], round=round_)

    return edit


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (lambda lines: lines.insert(2, lines[2]), "malformed"),  # twice in a round
        (lambda lines: lines.reverse(), "malformed"),
        (lambda lines: lines.append(lines.pop(1)), "malformed"),
        (moved(1, 0), "malformed"),  # before the home in front of it
        (moved(0, 1), "malformed"),
        (moved(3, 3), "out_of_range"),
        (moved(0, -1), "out_of_range"),
        (moved(0, 2**62), "malformed"),
        (moved(5, 1), "malformed"),  # a reading
        (lambda lines: lines.__delitem__(slice(0, 1)) or moved(0, 0)(lines), "wrong_signature"),
    ],
)
def test_lines_that_are_moved_to_another_round_are_refused(
    edit: Callable[[list[Line]], None], code: str
) -> None:
    assert refusal(with_lines(edit), OF_ROUNDS) == code


def test_a_blob_of_several_rounds_is_refused_in_a_market_of_one() -> None:
    data = blob_of_rounds([order(GENESIS, "house-0", number=1)])
    assert refusal(data, GENESIS) == "out_of_range"
