"""Claims of a consumption that a correction takes away: they are owed, and what is consumed later pays them."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2p.errors import BrokenInvariant
from p2p.ledger.issuances import (
    CLAIMED,
    STORED,
    Claims,
    GuaranteeOfOrigin,
    Owed,
    Used,
    claims_of,
    issuance_id,
    owed_of,
    piece_key,
    pieces_of,
    used_key,
)
from p2p.ledger.modules import meters
from p2p.ledger.modules.guarantees import ClaimArgs, CorrectArgs, IssueArgs, SplitArgs
from p2p.ledger.modules.meters import Reading
from p2p.ledger.state import check_invariants
from tests.kits.modules_kit import DAY_START, HOMES, OPERATORS, STEP, Chain, make_genesis, refused
from tests.kits.sample_kit import some


class Home:
    """Home 0 has a roof that made 900 Wh in each of three intervals, and a meter of consumption or a storage."""

    def __init__(self, *consumption_mwh: int, kind: int = meters.CONSUMPTION) -> None:
        self.chain = Chain(make_genesis(tx_quota=100_000))
        self.chain.settle_day()
        self.roof = self.chain.register("roof", 0, meters.PRODUCTION)
        made = self.chain.anchor(self.roof, [(900_000, 0)] * 3)[:3]
        args = IssueArgs(self.roof, tuple(made), self.chain.balances(self.roof, *made))
        self.chain.call(HOMES[0], "guarantees.issue", args)
        efficiency_ppm = 1_000_000 if kind == meters.STORAGE else 0
        self.meter = self.chain.register("meter", 0, kind, efficiency_ppm=efficiency_ppm)
        self.shown: list[Reading] = []
        self.anchor(*consumption_mwh)

    def anchor(self, *consumption_mwh: int, discharged_mwh: int = 0, confirmed: bool = True) -> None:
        """Anchor what was consumed, or correct it; in the fourth interval a storage discharges."""
        shown = [(0, mwh) for mwh in (*consumption_mwh, 0, 0, 0)[:3]] + [(discharged_mwh, 0)]
        self.shown = self.chain.anchor(self.meter, shown, confirmed=confirmed)

    def claim(self, wh: int, interval: int = 0) -> None:
        """Split `wh` off the last guarantee of an interval, and use it."""
        name = issuance_id(self.roof, DAY_START + interval * STEP)
        start, last = pieces_of(self.chain.tip.state.view(), name)[-1]
        if wh < last.wh:
            parts = SplitArgs(name, start, (wh, last.wh - wh))
            self.chain.call(HOMES[0], "guarantees.split", parts)
        used = self.shown[interval]
        args = ClaimArgs(name, start, self.meter, used, self.chain.balance(self.meter, used))
        self.chain.call(HOMES[0], "guarantees.claim", args)

    def correct(self, interval: int = 0, *, shows: bool = True, by: int = 1) -> None:
        used = self.shown[interval]
        balance = self.chain.balance(self.meter, used) if shows else None
        self.chain.call(OPERATORS[by], "guarantees.correct", CorrectArgs(self.meter, used, balance))

    def release(self) -> None:
        used = self.shown[3]
        args = IssueArgs(self.meter, (used,), self.chain.balances(self.meter, used))
        self.chain.call(HOMES[0], "guarantees.issue", args)

    def claims(self, interval: int = 0) -> tuple[int, int]:
        """(claimed_wh, owed_wh)"""
        found = claims_of(self.chain.tip.state.view(), self.meter, DAY_START + interval * STEP)
        return found.claimed_wh, found.owed_wh

    def used(self, status: int = CLAIMED) -> int:
        """Energy of the guarantees that were used for the meter. [Wh]"""
        view = self.chain.tip.state.view()
        names = [issuance_id(self.roof, DAY_START + i * STEP) for i in range(3)]
        pieces = [piece for name in names for _, piece in pieces_of(view, name)]
        return sum(piece.wh for piece in pieces if (piece.status, piece.used_by) == (status, self.meter))


def test_claims_that_a_correction_leaves_without_consumption_are_owed() -> None:
    home = Home(500_000)
    home.claim(400)
    home.anchor(150_999)
    home.correct(shows=False)
    assert home.claims() == (150, 250)
    assert home.used() == 400  # what was claimed stays visible
    with refused("guarantee_current"):
        home.correct(shows=False)


def test_a_correction_that_leaves_enough_consumption_changes_no_claim() -> None:
    for left_mwh, owed_wh in ((400_000, 0), (399_999, 1)):
        home = Home(500_000)
        home.claim(400)
        home.anchor(left_mwh)
        if owed_wh:
            home.correct(shows=False)
        else:
            with refused("guarantee_current"):
                home.correct(shows=False)
        assert home.claims() == (400 - owed_wh, owed_wh)


def test_consumption_pays_what_is_owed_before_it_is_claimed() -> None:
    home = Home(500_000, 300_000)
    home.claim(400)
    home.anchor(150_000, 300_000)
    home.correct(shows=False)
    with refused("guarantee_over_consumption"):
        home.claim(51, 1)
    home.claim(50, 1)
    assert (home.claims(0), home.claims(1)) == ((150, 0), (300, 0))
    assert home.used() == 450


def test_a_debt_above_the_consumption_of_an_interval_is_paid_by_several() -> None:
    home = Home(800_000, 300_000, 700_000)
    home.claim(800)
    home.anchor(0, 300_000, 700_000)
    home.correct(shows=False)
    home.correct(1)
    assert (home.claims(0), home.claims(1)) == ((0, 500), (300, 500))
    with refused("guarantee_current"):
        home.correct(1)
    home.correct(2)
    assert (home.claims(1), home.claims(2)) == ((300, 0), (500, 0))
    with refused("guarantee_over_consumption"):
        home.claim(201, 2)


def test_what_pays_is_signed_twice_and_settled() -> None:
    home = Home(500_000, 300_000)
    home.claim(500)
    home.anchor(100_000, 300_000, confirmed=False)
    home.correct(shows=False)  # an operator alone takes away
    assert home.claims() == (100, 400)
    with refused("anchor_unconfirmed"):
        home.correct(1)
    home.anchor(100_000, 300_000)
    with refused("balance_open"):
        home.correct(1, shows=False)
    home.chain.closes = False
    home.anchor(100_000, 400_000)
    with refused("balance_open"):
        home.correct(1)
    assert home.claims(1) == (0, 400)


def test_a_home_cannot_take_back_its_claims_alone() -> None:
    """What a home alone has anchored is not what an operator has signed."""
    home = Home(500_000)
    home.claim(500)
    home.chain.anchor(home.meter, [(0, 100_000)], HOMES[0], confirmed=False)
    with refused("guarantee_current"):
        home.correct()


def test_a_corrected_reading_is_that_of_the_newest_anchor() -> None:
    home = Home(500_000)
    home.claim(400)
    former = home.shown[0]
    home.anchor(100_000)
    for edited in (former, home.shown[0]):
        home.shown[0] = msgspec.structs.replace(edited, consumption_mwh=99_000)
        with refused("reading_proof"):
            home.correct(shows=False)


def test_nothing_is_corrected_where_nothing_was_claimed() -> None:
    home = Home(500_000)
    home.anchor(100_000)
    with refused("guarantee_unknown"):
        home.correct()


# --- a storage -----------------------------------------------------------------------------------------


def test_a_storage_releases_nothing_that_it_owes() -> None:
    """It charged 500 Wh with guarantees; corrected to 200 Wh it has these, and 300 Wh to be charged without."""
    for discharged_mwh, is_too_much in ((200_000, False), (201_000, True)):
        home = Home(500_000, kind=meters.STORAGE)
        home.claim(500)
        home.anchor(200_000, discharged_mwh=discharged_mwh)
        home.correct(shows=False)
        assert (home.claims(), home.used(STORED)) == ((200, 300), 500)
        if is_too_much:
            with refused("guarantee_over_production"):
                home.release()
        else:
            home.release()


def test_what_a_storage_charges_later_pays_what_it_owes() -> None:
    home = Home(500_000, 300_000, kind=meters.STORAGE)
    home.claim(500)
    home.anchor(200_000, 300_000, discharged_mwh=500_000)
    home.correct(shows=False)
    with refused("guarantee_over_production"):
        home.release()
    home.correct(1)
    home.release()
    assert home.claims(1) == (300, 0)


# --- what always holds ---------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["claimed", "owed", "used"])
def test_claims_that_are_not_what_was_used_stop_the_node(what: str) -> None:
    home = Home(500_000)
    home.claim(400)
    view = home.chain.tip.state.view()
    if what == "claimed":
        view.write("guarantees", used_key(home.meter, DAY_START), Used(399, 500))
    elif what == "owed":
        view.write("guarantees", b"o" + home.meter, Owed(1))
    else:
        name = issuance_id(home.roof, DAY_START)
        _, piece = pieces_of(view, name)[0]
        view.write("guarantees", piece_key(name, 0), GuaranteeOfOrigin(400, 0, CLAIMED, 0, -1, home.roof))
        assert piece.used_by == home.meter
    view.accept()
    with pytest.raises(BrokenInvariant, match="claims are not what was used for it"):
        check_invariants(view, home.chain.genesis, home.chain.tip.height)


def test_more_claims_than_consumption_stop_the_node() -> None:
    home = Home(500_000)
    home.claim(400)
    view = home.chain.tip.state.view()
    view.write("guarantees", used_key(home.meter, DAY_START), Used(400, 399))
    view.accept()
    with pytest.raises(BrokenInvariant, match="more claimed than consumed"):
        check_invariants(view, home.chain.genesis, home.chain.tip.height)


amounts = st.integers(0, 10**6)


@given(amounts, amounts, amounts, amounts)
def test_no_claim_is_lost_or_made_by_a_consumption(claimed: int, owed: int, more: int, consumed: int) -> None:
    before = Claims(claimed, claimed, owed)
    after = before.more(more).within(consumed)
    assert after.total_wh == before.total_wh + more
    assert 0 <= after.claimed_wh <= after.consumed_wh == consumed
    assert after.owed_wh == 0 or after.claimed_wh == consumed
    assert after.within(consumed) == after


consumed_mwh = st.tuples(*[st.integers(0, 900_000)] * 3)


@settings(max_examples=some(60, 20), deadline=None)
@given(consumed_mwh, consumed_mwh, st.tuples(*[st.integers(1, 900)] * 3), st.permutations(range(3)))
def test_after_all_corrections_no_interval_has_more_claims_than_consumption(
    former: tuple[int, ...], newest: tuple[int, ...], claimed: tuple[int, ...], order: list[int]
) -> None:
    """In whatever order they come; and a debt is left only where all that was consumed is claimed."""
    home = Home(*former)
    for interval, wh in enumerate(claimed):
        if wh <= former[interval] // 1_000:
            home.claim(wh, interval)
    home.anchor(*newest)
    for interval in (*order, *order):
        claimed_wh, owed_wh = home.claims(interval)
        total_wh, there_wh = claimed_wh + owed_wh, newest[interval] // 1_000
        if total_wh and max(total_wh - there_wh, 0) != owed_wh:
            home.correct(interval)
        else:
            with refused("guarantee_current" if total_wh else "guarantee_unknown"):
                home.correct(interval)
    counts = [home.claims(i)[0] for i in range(3)]
    assert all(wh <= mwh // 1_000 for wh, mwh in zip(counts, newest, strict=True))
    owed = owed_of(home.chain.tip.state.view(), home.meter)
    assert sum(counts) + owed == home.used()
    assert owed == 0 or sum(counts) == sum(mwh // 1_000 for mwh in newest)
