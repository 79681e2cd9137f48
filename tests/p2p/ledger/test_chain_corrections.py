"""Anchors of two signers, and corrections that reach what was issued: no energy is sold that was never made."""

from __future__ import annotations

from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2p.errors import BrokenInvariant, InvalidTx
from p2p.ledger.issuances import (
    ACTIVE,
    CLAIMED,
    CORRECTED,
    GuaranteeOfOrigin,
    Metered,
    issuance_id,
    issuance_of,
    piece_key,
    pieces_of,
    taken_back,
)
from p2p.ledger.modules import meters
from p2p.ledger.modules.guarantees import ClaimArgs, CorrectArgs, IssueArgs, NameArgs, SplitArgs, TransferArgs
from p2p.ledger.modules.meters import Reading
from p2p.ledger.state import check_invariants
from p2p.wire.identity import Identity
from tests.kits.modules_kit import DAY, DAY_START, HOMES, OPERATORS, STEP, Chain, make_genesis, refused
from tests.kits.sample_kit import some

WHOLE_DAY = meters.DAY_S // STEP
ATTEMPTS = range(20)


class Roofs:
    """Home 0 has a meter of 10 kW, home 1 a consumption of 500 Wh in each of three intervals."""

    def __init__(self, **governed: int) -> None:
        self.chain = Chain(make_genesis(tx_quota=100_000, **governed))
        self.chain.settle_day()
        self.roof = self.chain.register("roof", 0, meters.PRODUCTION)
        self.house = self.chain.register("house", 1, meters.CONSUMPTION)
        self.used = self.chain.anchor(self.house, [(0, 500_000)] * 3)
        self.made: list[Reading] = []

    def anchor(self, *production_mwh: int) -> None:
        """Anchor the readings of the roof, or a correction of them, with both signatures."""
        self.made = self.chain.anchor(self.roof, [(mwh, 0) for mwh in production_mwh])

    def issue(self, *intervals: int) -> None:
        readings = tuple(self.made[i] for i in intervals)
        self.chain.call(
            HOMES[0],
            "guarantees.issue",
            IssueArgs(self.roof, readings, self.chain.balances(self.roof, *readings)),
        )

    def name(self, interval: int = 0) -> bytes:
        return issuance_id(self.roof, DAY_START + interval * STEP)

    def split(self, *parts: int, interval: int = 0) -> None:
        self.chain.call(HOMES[0], "guarantees.split", SplitArgs(self.name(interval), 0, parts))

    def give(self, start: int, to: int = 1, interval: int = 0, by: int = 0) -> None:
        self.chain.call(HOMES[by], "guarantees.transfer", TransferArgs(self.name(interval), start, to, -1))

    def claim(self, start: int, interval: int = 0) -> None:
        used = self.used[interval]
        args = ClaimArgs(self.name(interval), start, self.house, used, self.chain.balance(self.house, used))
        self.chain.call(HOMES[1], "guarantees.claim", args)

    def correct(self, interval: int = 0, sender: Identity = OPERATORS[1]) -> None:
        balance = self.chain.balance(self.roof, self.made[interval])
        self.chain.call(sender, "guarantees.correct", CorrectArgs(self.roof, self.made[interval], balance))

    def pieces(self, interval: int = 0) -> list[tuple[int, int, int, int]]:
        """(start, wh, status, flagged)"""
        found = pieces_of(self.chain.tip.state.view(), self.name(interval))
        return [(start, piece.wh, piece.status, piece.flagged) for start, piece in found]

    @property
    def account(self) -> Metered:
        found = self.chain.tip.state.view().read("guarantees", b"f" + self.roof, Metered)
        assert found is not None
        return found


# --- an anchor that one side has signed ----------------------------------------------------------------


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_no_energy_is_issued_from_readings_that_one_side_has_signed(attempt: int) -> None:
    """A home anchored 240 kWh of an invented day, and sold them; an operator alone can invent none either."""
    random = Random(attempt)
    roofs = Roofs()
    roofs.chain.enter(0)
    sender = HOMES[0] if attempt % 2 else OPERATORS[attempt % 4 // 2]
    invented = [(random.randint(1, 2_500_000), 0) for _ in range(WHOLE_DAY)]
    opened = roofs.chain.anchor(roofs.roof, invented, sender, confirmed=False)
    before = roofs.chain.tip.state.root
    args = IssueArgs(roofs.roof, tuple(opened[:4]), roofs.chain.balances(roofs.roof, *opened[:4]))
    for who in (HOMES[0], *OPERATORS):
        with refused("anchor_unconfirmed"):
            roofs.chain.call(who, "guarantees.issue", args)
    assert roofs.chain.tip.state.root == before


def test_each_side_confirms_what_the_other_has_anchored_and_nobody_its_own() -> None:
    roofs = Roofs()
    for sender, other in ((HOMES[0], OPERATORS[1]), (OPERATORS[0], HOMES[0])):
        opened = roofs.chain.anchor(roofs.roof, [(5_000, 0)], sender, confirmed=False)
        version = meters.newest_version(roofs.chain.tip.state.view(), roofs.roof, DAY)
        anchor = meters.anchor_of(roofs.chain.tip.state.view(), roofs.roof, DAY, version)
        assert anchor is not None
        args = meters.ConfirmArgs(roofs.roof, DAY, version, anchor.root)
        with refused("anchor_confirmed"):
            roofs.chain.call(sender, "meters.confirm", args)
        for wrong, code in (
            ({"root": bytes(32)}, "anchor_version"),
            ({"version": version + 1}, "anchor_version"),
            ({"day": DAY - 1}, "anchor_unknown"),
            ({"meter": bytes(32)}, "meter_unknown"),
            ({"root": b""}, "tx_args"),
            ({"version": 0}, "tx_args"),
            ({"day": -1}, "tx_args"),
        ):
            with refused(code):
                roofs.chain.call(other, "meters.confirm", msgspec.structs.replace(args, **wrong))
        with refused("meter_owner"):
            roofs.chain.call(HOMES[1], "meters.confirm", args)
        roofs.chain.call(other, "meters.confirm", args)
        with refused("anchor_confirmed"):
            roofs.chain.call(other, "meters.confirm", args)
        roofs.made = opened
    roofs.issue(0)
    assert roofs.pieces() == [(0, 5, ACTIVE, 0)]


def test_each_of_a_thousand_edits_of_an_anchored_day_by_one_wh_is_found() -> None:
    random, roofs = Random(5), Roofs()
    roofs.anchor(*(random.randint(1_000, 2_000_000) for _ in range(WHOLE_DAY)))
    view = roofs.chain.tip.state.view()
    meter = meters.find(view, roofs.roof)
    for reading in roofs.made:
        meters.check_anchored(view, roofs.roof, meter, reading)
    found = 0
    for _ in range(1_000):
        reading, by_mwh = random.choice(roofs.made), random.choice((-1_000, 1_000))
        edited = msgspec.structs.replace(reading, production_mwh=reading.production_mwh + by_mwh)
        with pytest.raises(InvalidTx) as caught:
            meters.check_anchored(view, roofs.roof, meter, edited)
        found += caught.value.code == "reading_proof"
    assert found == 1_000


# --- a correction downwards ----------------------------------------------------------------------------


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_what_a_correction_has_taken_away_is_not_sold(attempt: int) -> None:
    """After a correction to 0 Wh 2,500 Wh stood, to be given away and claimed."""
    random = Random(attempt)
    roofs = Roofs()
    roofs.anchor(2_500_000, 700_000, 1)
    roofs.issue(0)
    first = random.randint(1, 2_499)
    roofs.split(first, 2_500 - first)
    left = random.choice((0, random.randint(0, 2_499)))
    roofs.anchor(left * 1_000, 700_000, 1)
    for start in (0, first):
        with refused("guarantee_outdated"):
            roofs.give(start)
    roofs.correct(sender=(HOMES[0], HOMES[3], OPERATORS[0])[attempt % 3])
    sums = [sum(wh for _, wh, status, _ in roofs.pieces() if status == one) for one in (ACTIVE, CORRECTED)]
    assert sums == [left, 2_500 - left]
    assert roofs.account == Metered(left * 1_000, left)
    if left:
        roofs.give(0)
    with refused("guarantee_status"):
        roofs.give(max(start for start, *_ in roofs.pieces()))


def test_a_home_cannot_outdate_alone_what_it_has_sold() -> None:
    """Nor does it keep, by not confirming, what an operator has corrected."""
    roofs = Roofs()
    roofs.anchor(900_000)
    roofs.issue(0)
    roofs.split(400, 500)
    roofs.give(0)
    roofs.chain.anchor(roofs.roof, [(0, 0)], HOMES[0], confirmed=False)
    with refused("guarantee_current"):
        roofs.correct()
    roofs.claim(0)
    roofs.made = roofs.chain.anchor(roofs.roof, [(600_000, 0)], OPERATORS[0], confirmed=False)
    with refused("guarantee_outdated"):
        roofs.give(400)
    roofs.correct()
    assert roofs.pieces() == [(0, 400, CLAIMED, 0), (400, 200, ACTIVE, 0), (600, 300, CORRECTED, 0)]
    roofs.give(400)


def test_an_operator_alone_corrects_downwards_only() -> None:
    roofs = Roofs()
    roofs.anchor(900_000)
    roofs.issue(0)
    roofs.made = roofs.chain.anchor(roofs.roof, [(900_999, 0)], OPERATORS[0], confirmed=False)
    roofs.correct()
    assert roofs.pieces() == [(0, 900, ACTIVE, 0)]
    roofs.made = roofs.chain.anchor(roofs.roof, [(1_900_000, 0)], OPERATORS[0], confirmed=False)
    with refused("anchor_unconfirmed"):
        roofs.correct()


def test_what_was_used_before_a_correction_is_flagged_and_owed_by_the_next_issuances() -> None:
    roofs = Roofs()
    roofs.anchor(900_000, 150_000, 400_000)
    roofs.issue(0)
    roofs.split(300, 600)
    roofs.give(0)
    roofs.claim(0)
    roofs.anchor(100_000, 150_000, 400_000)
    roofs.correct()
    assert roofs.pieces() == [(0, 300, CLAIMED, 1), (300, 600, CORRECTED, 0)]
    assert roofs.account == Metered(100_000, 300)
    roofs.issue(1)
    assert roofs.pieces(1) == []
    assert roofs.account == Metered(250_000, 300)
    roofs.issue(2)
    assert roofs.pieces(2) == [(0, 350, ACTIVE, 0)]
    assert roofs.account == Metered(650_000, 650)


@pytest.mark.parametrize("way", ["withdrawn", "expired"])
def test_what_nobody_has_used_is_not_owed(way: str) -> None:
    """An operator had withdrawn it before, or it had expired: it is taken back like what is active."""
    roofs = Roofs(guarantee_days=1 if way == "expired" else 730)
    roofs.anchor(900_000)
    roofs.issue(0)
    if way == "expired":
        roofs.chain.settle_day(DAY_START + 2 * meters.DAY_S)
    roofs.chain.call(
        OPERATORS[0],
        f"guarantees.{'expire' if way == 'expired' else 'withdraw'}",
        NameArgs(roofs.name(), 0),
    )
    (_, _, status, _) = roofs.pieces()[0]
    roofs.anchor(100_000)
    roofs.correct()
    assert roofs.pieces() == [(0, 100, status, 0), (100, 800, CORRECTED, 0)]
    assert roofs.account == Metered(100_000, 100)
    with refused("guarantee_status"):
        roofs.chain.call(OPERATORS[0], "guarantees.withdraw", NameArgs(roofs.name(), 100))


@pytest.mark.parametrize(
    ("metered_mwh", "issued_wh"), [(900_000, 899), (901_000, 900), (900_000, 901), (1_900_000, 900)]
)
def test_an_account_that_is_not_what_was_issued_stops_the_node(metered_mwh: int, issued_wh: int) -> None:
    roofs = Roofs()
    roofs.anchor(900_000)
    roofs.issue(0)
    view = roofs.chain.tip.state.view()
    assert roofs.account == Metered(900_000, 900)
    view.write("guarantees", b"f" + roofs.roof, Metered(metered_mwh, issued_wh))
    view.accept()
    with pytest.raises(BrokenInvariant, match="issued is not what was metered"):
        check_invariants(view, roofs.chain.genesis, roofs.chain.tip.height)


def test_an_issuance_beside_the_account_of_its_meter_stops_the_node() -> None:
    roofs = Roofs()
    roofs.anchor(900_000)
    roofs.issue(0)
    view = roofs.chain.tip.state.view()
    record = issuance_of(view, roofs.name())
    assert record is not None
    more = msgspec.structs.replace(record, wh=901, by_status=(901, 0, 0, 0, 0, 0))
    view.write("guarantees", b"i" + roofs.name(), more)
    view.write("guarantees", piece_key(roofs.name(), 0), GuaranteeOfOrigin(901, 0, ACTIVE, 0, -1, b""))
    view.accept()
    with pytest.raises(BrokenInvariant, match="issued, and not in its account"):
        check_invariants(view, roofs.chain.genesis, roofs.chain.tip.height)


def test_a_debt_of_one_issuance_takes_nothing_from_another() -> None:
    """The correction of the second says the same as before: what the first one owes is for new energy to pay."""
    roofs = Roofs()
    roofs.anchor(300_000, 400_000)
    roofs.issue(0, 1)
    roofs.give(0)
    roofs.claim(0)
    roofs.anchor(100_000, 400_000)
    roofs.correct(0)
    assert roofs.account == Metered(500_000, 700)
    roofs.correct(1)
    assert roofs.pieces(1) == [(0, 400, ACTIVE, 0)]
    assert roofs.account == Metered(500_000, 700)


def test_a_correction_upwards_adds_what_was_issued_too_little() -> None:
    roofs = Roofs()
    roofs.anchor(900_000)
    roofs.issue(0)
    roofs.anchor(1_000_700)
    roofs.correct()
    assert roofs.pieces() == [(0, 900, ACTIVE, 0), (900, 100, ACTIVE, 0)]
    with refused("guarantee_current"):
        roofs.correct()
    assert roofs.account == Metered(1_000_700, 1_000)


def test_a_correction_is_of_something_that_was_issued_and_by_its_newest_reading() -> None:
    roofs = Roofs()
    roofs.anchor(900_000, 5_000)
    former = roofs.made[0]
    roofs.issue(0)
    roofs.anchor(800_000, 5_000)
    with refused("guarantee_unknown"):
        roofs.correct(1)
    with refused("reading_proof"):
        roofs.chain.call(OPERATORS[0], "guarantees.correct", CorrectArgs(roofs.roof, former, None))


def test_a_day_is_corrected_for_some_time_only() -> None:
    last_s = DAY_START + (meters.CORRECTION_DAYS + 1) * meters.DAY_S - STEP
    for settled_s, is_closed in ((last_s, False), (last_s + STEP, True)):
        roofs = Roofs()
        roofs.anchor(900_000)
        roofs.chain.settle_day(settled_s)
        if is_closed:
            with refused("period_closed"):
                roofs.anchor(0)
        else:
            roofs.anchor(0)


def test_active_pieces_are_taken_back_from_the_end_and_the_rest_is_flagged() -> None:
    def piece(wh: int, status: int, flagged: int = 0) -> GuaranteeOfOrigin:
        return GuaranteeOfOrigin(wh, 0, status, flagged, -1, b"")

    pieces = [(0, piece(4, ACTIVE)), (4, piece(3, CLAIMED)), (7, piece(5, ACTIVE)), (12, piece(2, CLAIMED))]
    assert taken_back(pieces, 0) == (pieces, 0)
    after, taken_wh = taken_back(pieces, 7)
    assert taken_wh == 7
    assert [(start, one.wh, one.status) for start, one in after] == [
        (0, 2, ACTIVE),
        (2, 2, CORRECTED),
        (4, 3, CLAIMED),
        (7, 5, CORRECTED),
        (12, 2, CLAIMED),
    ]
    after, taken_wh = taken_back(pieces, 10)
    assert taken_wh == 9
    assert [one.flagged for _, one in after] == [0, 0, 0, 1]
    assert taken_back(pieces, 20)[1] == 9


readings = st.tuples(*[st.integers(0, 900_000)] * 3)


@settings(max_examples=some(60, 20), deadline=None)
@given(
    readings,
    readings,
    st.lists(st.integers(0, 2), unique=True),
    st.integers(1, 899),
    st.permutations(range(3)),
)
def test_after_all_corrections_what_is_issued_and_not_owed_is_what_was_metered(
    former: tuple[int, ...], newest: tuple[int, ...], claimed: list[int], part: int, order: list[int]
) -> None:
    """Whatever was used meanwhile, and in whatever order the corrections come."""
    roofs = Roofs()
    roofs.anchor(*former)
    roofs.issue(0, 1, 2)
    for interval in claimed:
        wh = sum(wh for _, wh, _, _ in roofs.pieces(interval))
        if part < wh:
            roofs.split(part, wh - part, interval=interval)
            roofs.give(0, interval=interval)
            if part <= 500:
                roofs.claim(0, interval)
    if newest == former:
        return
    roofs.anchor(*newest)
    for interval in order:
        roofs.correct(interval)
    view = roofs.chain.tip.state.view()
    records = [issuance_of(view, roofs.name(i)) for i in range(3)]
    live_wh = sum(record.wh - record.by_status[CORRECTED] for record in records if record is not None)
    assert live_wh - max(-roofs.account.due_wh, 0) == sum(newest) // 1_000
    assert live_wh == roofs.account.issued_wh
