"""Limits that apply in missed intervals: which batches get no vote, and trades as if all had stated them again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wattswap as ws
from agents.bidding import Orders
from market.settlement.accounts import COLUMNS
from p2p.batches.blob import make_blob
from p2p.batches.standing import Standing, none_in, standing_after, standing_in, with_standing
from p2p.errors import RemoteError
from p2p.roles.validator.batch_check import NoBlob
from p2p.wire import messages
from p2p.wire.messages import HandedIn, OrderMessage, ReadingMessage, sign_message
from tests.kits.run_kit import FIRST, write_street
from tests.kits.sample_kit import some
from wattswap.nodes.batch_checker import BadBatch, BatchChecker
from wattswap.runs.interval import IntervalRecord, read_meters, sent_orders, step
from wattswap.runs.prepare import Setup, cut_to, prepare

DAYLIGHT_S = int(FIRST.timestamp()) + 86_400 + 9 * 3_600
INTERVALS, HOMES, SECRET = 6, 6, b"s" * 32
EVERYBODY = frozenset(range(HOMES))


class Street:
    """Homes whose limits differ in each interval, what they say, and blobs of it.

    Attributes:
        sent: What all homes order in each interval, or their limits.
        orders: The message of each home.
        readings: What its meter reads.
    """

    def __init__(self, folder: Path, quantities: str) -> None:
        write_street(folder, homes=HOMES, more=f'quantities = "{quantities}"\n')
        scenario = ws.load(folder, overrides=["homes.strategy=zi_c"])
        self.setup: Setup = prepare(cut_to(scenario, INTERVALS, DAYLIGHT_S))
        self.checker = BatchChecker(self.setup)
        self.sent: list[Orders] = []
        self.orders: list[list[HandedIn]] = []
        self.readings: list[list[HandedIn]] = []
        setup, community = self.setup, self.setup.community()
        for i in range(INTERVALS):
            orders, start_s = sent_orders(setup, community, i), setup.start_of(i)
            self.sent.append(orders)
            self.orders.append([setup.message(home, start_s, orders) for home in range(HOMES)])
            meters = read_meters(setup, community, i)
            flows = zip(setup.roster, meters.import_wh.tolist(), meters.export_wh.tolist(), strict=True)
            head = messages.VERSION, setup.genesis.chain_id, start_s, setup.minutes
            nonce = setup.nonce(start_s)
            self.readings.append(
                [ReadingMessage(*head, one, nonce, wh, out_wh, 0) for one, wh, out_wh in flows]
            )

    def blob(self, i: int, *said: Iterable[HandedIn], standing: Standing | None = None) -> bytes:
        """The blob of what was said in an interval."""
        setup = self.setup
        signed = [
            sign_message(setup.keys.identity("household", one.household), one)
            for part in said
            for one in part
        ]
        blob = make_blob(setup.roster, setup.start_of(i), SECRET, signed)
        return blob if standing is None else with_standing(blob, standing)

    def whole(self, i: int) -> bytes:
        """The blob of an interval in which all homes say everything."""
        return self.blob(i, self.orders[i], self.readings[i])

    def after(self, before: bytes) -> Standing:
        """What applies in the interval after a blob's."""
        return standing_after(before, self.setup.genesis, self.setup.member_list)

    def missed(self, before: bytes, homes: Iterable[int] = EVERYBODY) -> bytes:
        """The blob of the next interval, in which some homes give their readings and nobody orders."""
        stands = self.after(before)
        i = self.setup.index_of(stands.interval_start)
        return self.blob(i, [self.readings[i][home] for home in homes], standing=stands)

    def vote(self, blob: bytes, before: bytes | None) -> None:
        """Check the batch that follows from a blob, as a validator does before it votes."""
        self.checker(self.checker.complete(blob)[1].args, blob, before)

    def record(self, blob: bytes) -> IntervalRecord:
        """The interval of a blob."""
        return self.checker.recompute(blob).record


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Street:
    """Of which the meters give the quantities."""
    return Street(tmp_path_factory.mktemp("metered"), "metered")


@pytest.fixture(scope="module")
def ordering(tmp_path_factory: pytest.TempPathFactory) -> Street:
    """Of which the homes order energy."""
    return Street(tmp_path_factory.mktemp("ordered"), "ordered")


def settled(record: IntervalRecord) -> tuple[bytes, bytes, list[list[int]]]:
    """What an interval gave."""
    return record.book_root, record.clearing_root, record.settled.postings.lines.tolist()


# --- votes -----------------------------------------------------------------------------------------------


def test_missed_intervals_are_traded_with_the_limits_of_the_last_that_was_not(street: Street) -> None:
    before = street.whole(1)
    for i in (2, 3, 4):
        blob = street.missed(before)
        street.vote(blob, before)
        assert standing_in(blob).signed_start == street.setup.start_of(1)
        record = street.record(blob)
        assert len(record.book) > 1
        assert record.start_s == street.setup.start_of(i)
        before = blob
    street.vote(street.whole(5), before)


def test_the_first_interval_has_none_before_it(street: Street) -> None:
    blob = street.blob(0, street.readings[0])
    street.vote(blob, None)
    assert len(street.record(blob).book) == 0
    following = street.blob(1, street.readings[1])
    street.vote(following, blob)
    assert len(street.record(following).book) == 0


def test_without_the_blob_before_there_is_no_vote_yet(street: Street) -> None:
    before = street.whole(1)
    with pytest.raises(NoBlob):
        street.vote(street.missed(before), None)
    street.vote(street.whole(2), None)


def test_older_limits_get_no_vote(street: Street) -> None:
    """Neither those of an earlier interval, nor those that stood before homes spoke again."""
    older = street.after(street.missed(street.whole(0))).lines
    stated_s, before = street.setup.start_of(0), street.whole(1)
    forged = street.blob(2, street.readings[2], standing=Standing(street.setup.start_of(2), stated_s, older))
    refused(street, forged, before)
    refused(street, forged, street.whole(0))
    street.vote(forged, street.missed(street.whole(0)))


@pytest.mark.parametrize("homes", [(), (0,), (0, 1, 2, 4, 5)])
def test_limits_without_those_of_a_home_get_no_vote(homes: Sequence[int], street: Street) -> None:
    before = street.whole(1)
    stands = street.after(before)
    lines = tuple(line for line in stands.lines if line.participant in homes)
    other = stands._replace(lines=lines) if lines else none_in(stands.interval_start)
    refused(street, street.blob(2, street.readings[2], standing=other), before)


def test_limits_of_a_home_that_had_stated_none_get_no_vote(street: Street) -> None:
    """It has signed them for that interval all the same: they were not in its batch."""
    all_lines = street.after(street.whole(1))
    before = street.blob(1, street.orders[1][:5], street.readings[1])
    assert len(street.after(before).lines) == 5
    refused(street, street.blob(2, street.readings[2], standing=all_lines), before)


def test_other_limits_that_a_home_has_signed_get_no_vote(street: Street) -> None:
    before, (first, *others) = street.whole(1), street.orders[1]
    assert isinstance(first, OrderMessage)
    again = msgspec.structs.replace(first, nonce=first.nonce + 1)
    stands = street.after(street.blob(1, [again, *others], street.readings[1]))
    refused(street, street.blob(2, street.readings[2], standing=stands), before)


@pytest.mark.parametrize("speakers", [1, 3])
def test_homes_that_speak_in_a_missed_interval_end_no_limits_but_their_own(
    speakers: int, street: Street
) -> None:
    """One home and one validator could otherwise end those of all, by a message that is taken after the gate."""
    before, said = street.whole(1), street.orders[2][:speakers]
    could = street.after(before)
    rest = could._replace(lines=tuple(line for line in could.lines if line.participant >= speakers))
    blob = street.blob(2, said, street.readings[2], standing=rest)
    street.vote(blob, before)
    assert set(street.record(blob).book.participant.tolist()) == EVERYBODY
    refused(street, street.blob(2, said, street.readings[2]), before)
    with pytest.raises(RemoteError, match="a standing order of a home that has sent"):
        street.vote(street.blob(2, said, street.readings[2], standing=could), before)


def test_limits_end_where_more_than_half_of_the_homes_speak(street: Street) -> None:
    before, said = street.whole(1), street.orders[2][:4]
    could = street.after(before)
    rest = could._replace(lines=tuple(line for line in could.lines if line.participant >= 4))
    street.vote(street.blob(2, said, street.readings[2]), before)
    refused(street, street.blob(2, said, street.readings[2], standing=rest), before)


def test_in_a_market_of_ordered_energy_nothing_stands(ordering: Street) -> None:
    """A missed interval is there what it was, and is settled under `market.imbalance`."""
    before = ordering.whole(1)
    empty = ordering.blob(2, ordering.readings[2])
    ordering.vote(empty, None)
    ordering.vote(empty, before)
    assert len(ordering.record(empty).book) == 0
    refused(ordering, ordering.missed(before), before)


def refused(street: Street, blob: bytes, before: bytes) -> None:
    """Assert that the batch that follows from a blob gets no vote for what applies in it."""
    with pytest.raises(BadBatch, match="the limits that stand are not those"):
        street.vote(blob, before)


# --- trades ----------------------------------------------------------------------------------------------


def again(street: Street, i: int, stated: int, homes: Iterable[int]) -> list[HandedIn]:
    """What homes said in one interval, said again in another."""
    start_s, nonce = street.setup.start_of(i), street.setup.nonce(street.setup.start_of(i))
    said = (street.orders[stated][home] for home in sorted(homes))
    return [msgspec.structs.replace(one, interval_start=start_s, nonce=nonce) for one in said]


some_homes = st.frozensets(st.sampled_from(sorted(EVERYBODY)))


@settings(max_examples=some(40, 12), deadline=None)
@given(st.integers(0, 2), st.integers(1, 3), some_homes.filter(bool), st.lists(some_homes, min_size=3))
def test_limits_stand_as_if_the_homes_had_stated_them_again(
    street: Street, stated: int, missed: int, homes: frozenset[int], reporting: list[frozenset[int]]
) -> None:
    """Over any number of missed intervals, whoever had stated limits and whoever reports."""
    said = [street.orders[stated][home] for home in sorted(homes)]
    blob = street.blob(stated, said, street.readings[stated])
    for i, present in zip(range(stated + 1, stated + 1 + missed), reporting, strict=False):
        blob, before = street.missed(blob, sorted(present)), blob
        street.vote(blob, before)
        readings = [street.readings[i][home] for home in sorted(present)]
        spoken = street.blob(i, again(street, i, stated, homes), readings)
        assert settled(street.record(blob)) == settled(street.record(spoken))


def sending(orders: Orders) -> Callable[[Orders], Orders]:
    """Sends these orders, whatever the homes would send."""
    return lambda _: orders


@pytest.mark.parametrize("stated", [0, 2])
def test_a_missed_interval_is_that_of_a_run_in_process_with_the_same_limits(
    stated: int, street: Street
) -> None:
    """In process an interval is never missed: what is sent there instead is what the homes had stated."""
    setup, community = street.setup, street.setup.community()
    records = [
        step(setup, community, i, instead=sending(street.sent[min(i, stated)])) for i in range(INTERVALS)
    ]
    blob = street.whole(stated)
    assert settled(street.record(blob)) == settled(records[stated])
    traded_wh = 0
    for i in range(stated + 1, INTERVALS):
        blob = street.missed(blob)
        assert settled(street.record(blob)) == settled(records[i])
        assert records[i].book_root != street.record(street.whole(i)).book_root, "limits differ by interval"
        traded_wh += records[i].traded_wh
    assert traded_wh > 0


def test_a_home_without_a_reading_trades_nothing_by_the_limits_that_stand(street: Street) -> None:
    blob = street.missed(street.whole(1), [0, 1, 3, 4, 5])
    assert 2 not in street.record(blob).book.participant
    line = dict(zip(COLUMNS, street.record(blob).settled.postings.lines[2].tolist(), strict=True))
    assert (line["bought_wh"], line["sold_wh"], line["local_wh"]) == (0, 0, 0)
    assert line["import_wh"] == line["retail_import_wh"] == 43_000, "what its connection carries in an hour"
