"""Certificates: the vectors of the design, one test each."""

from __future__ import annotations

import msgspec
import pytest

from p2p.ledger.issuances import issuance_id, issuance_of, pieces_of
from p2p.ledger.modules import guarantees as certs
from p2p.ledger.modules import meters
from p2p.ledger.modules.guarantees import ClaimArgs, IssueArgs, NameArgs, SplitArgs, TransferArgs
from p2p.wire.codec import encode
from tests.kits.chain_kit import START
from tests.kits.modules_kit import (
    DAY_START,
    HOMES,
    OPERATORS,
    STEP,
    Chain,
    make_genesis,
    open_readings,
    refused,
)


class Street:
    """Home 0 produced 900 Wh in the first interval, home 1 used 500 Wh in it."""

    def __init__(self, settled: int = START, **governed: int) -> None:
        self.chain = Chain(make_genesis(**governed))
        self.chain.settle_day(settled)
        self.roof = self.chain.register("roof", 0, meters.PRODUCTION)
        self.house = self.chain.register("house", 1, meters.CONSUMPTION)
        self.made = self.chain.anchor(self.roof, [(900_000, 0), (300_000, 0), (700, 0), (700, 0)])
        self.used = self.chain.anchor(self.house, [(0, 500_000), (0, 100_000)])
        self.id = issuance_id(self.roof, DAY_START)

    def issue(self, *intervals: int) -> None:
        readings = tuple(self.made[i] for i in intervals)
        self.chain.call(
            HOMES[0],
            "guarantees.issue",
            IssueArgs(self.roof, readings, self.chain.balances(self.roof, *readings)),
        )

    def split(self, start: int, *parts: int, home: int = 0) -> None:
        self.chain.call(HOMES[home], "guarantees.split", SplitArgs(self.id, start, parts))

    def transfer(self, start: int, to: int, home: int = 0, trade: int = -1) -> None:
        self.chain.call(HOMES[home], "guarantees.transfer", TransferArgs(self.id, start, to, trade))

    def claim(self, start: int, home: int = 1, interval: int = 0) -> None:
        used = self.used[interval]
        args = ClaimArgs(self.id, start, self.house, used, self.chain.balance(self.house, used))
        self.chain.call(HOMES[home], "guarantees.claim", args)

    def expire(self, start: int) -> None:
        self.chain.call(HOMES[3], "guarantees.expire", NameArgs(self.id, start))

    def withdraw(self, start: int) -> None:
        self.chain.call(OPERATORS[1], "guarantees.withdraw", NameArgs(self.id, start))

    def pieces(self) -> list[tuple[int, int, int, int]]:
        """(start, wh, owner, status)"""
        found = pieces_of(self.chain.tip.state.view(), self.id)
        return [(start, piece.wh, piece.owner, piece.status) for start, piece in found]

    def sums(self) -> tuple[int, ...]:
        found = issuance_of(self.chain.tip.state.view(), self.id)
        assert found is not None
        return found.by_status


@pytest.fixture
def street() -> Street:
    made = Street()
    made.issue(0)
    return made


def test_issue_900_split_400_500_transfer_400_claim_400() -> None:
    street = Street()
    street.issue(0)
    assert street.pieces() == [(0, 900, 0, certs.ACTIVE)]
    street.split(0, 400, 500)
    assert street.pieces() == [(0, 400, 0, certs.ACTIVE), (400, 500, 0, certs.ACTIVE)]
    street.transfer(0, 1, trade=DAY_START)
    street.claim(0)
    assert street.pieces() == [(0, 400, 1, certs.CLAIMED), (400, 500, 0, certs.ACTIVE)]
    assert street.sums() == (500, 400, 0, 0, 0, 0)


def test_a_claim_above_the_consumption_is_refused(street: Street) -> None:
    street.split(0, 400, 101, 399)
    street.transfer(0, 1)
    street.transfer(400, 1)
    street.claim(0)
    with refused("guarantee_over_consumption"):
        street.claim(400)


def test_a_certificate_is_claimed_once(street: Street) -> None:
    street.split(0, 400, 500)
    street.transfer(0, 1)
    street.claim(0)
    with refused("guarantee_status"):
        street.claim(0)


def test_a_claim_is_for_the_interval_of_the_production(street: Street) -> None:
    street.split(0, 100, 800)
    street.transfer(0, 1)
    with refused("guarantee_interval"):
        street.claim(0, interval=1)


def test_nothing_can_be_done_with_a_certificate_after_it_expired() -> None:
    street = Street(guarantee_days=1)
    street.issue(0)
    with refused("guarantee_expired"):
        street.transfer(0, 1)
    with refused("guarantee_expired"):
        street.split(0, 1, 899)
    street.expire(0)
    assert street.sums() == (0, 0, 0, 900, 0, 0)
    with refused("guarantee_status"):
        street.expire(0)


def test_a_certificate_expires_when_the_settled_time_reaches_its_end() -> None:
    """The last interval of the day ends exactly one day after the first began."""
    street = Street(guarantee_days=1, settled=DAY_START + meters.DAY_S - STEP)
    street.issue(0)
    with refused("guarantee_expired"):
        street.transfer(0, 1)
    street.issue(1)
    street.id = issuance_id(street.roof, DAY_START + STEP)
    street.transfer(0, 1)
    with refused("guarantee_not_expired"):
        street.expire(0)


def test_a_certificate_does_not_expire_before_its_time(street: Street) -> None:
    with refused("guarantee_not_expired"):
        street.expire(0)


def test_a_withdrawn_certificate_cannot_be_transferred(street: Street) -> None:
    street.withdraw(0)
    assert street.sums() == (0, 0, 0, 0, 900, 0)
    with refused("guarantee_status"):
        street.transfer(0, 1)
    with refused("guarantee_status"):
        street.withdraw(0)


def test_a_claimed_certificate_is_flagged_not_deleted_when_withdrawn(street: Street) -> None:
    street.split(0, 400, 500)
    street.transfer(0, 1)
    street.claim(0)
    street.withdraw(0)
    assert street.sums() == (500, 400, 0, 0, 0, 0)
    piece = pieces_of(street.chain.tip.state.view(), street.id)[0][1]
    assert (piece.status, piece.flagged, piece.used_by) == (certs.CLAIMED, 1, street.house)
    with refused("guarantee_status"):
        street.withdraw(0)


@pytest.mark.parametrize("parts", [(400, 501), (400, 499), (900, 0), (-100, 1000)])
def test_a_split_with_a_wrong_sum_is_refused(street: Street, parts: tuple[int, ...]) -> None:
    with refused("guarantee_sum"):
        street.split(0, *parts)


def test_a_meter_and_interval_are_issued_once(street: Street) -> None:
    with refused("guarantee_duplicate"):
        street.issue(0)
    with refused("guarantee_duplicate"):
        street.issue(1, 1)


@pytest.mark.parametrize("seconds", [3_601, 7_200, 300])
def test_a_reading_of_another_length_is_refused(seconds: int) -> None:
    street = Street()
    street.made[0] = msgspec.structs.replace(street.made[0], seconds=seconds)
    with refused("guarantee_interval"):
        street.issue(0)


def test_fractions_of_a_wh_are_carried_to_the_next_reading() -> None:
    street = Street()
    street.issue(2)
    street.issue(3)
    view = street.chain.tip.state.view()
    found = [issuance_of(view, issuance_id(street.roof, DAY_START + i * STEP)) for i in (2, 3)]
    assert [issued.wh for issued in found if issued is not None] == [0, 1]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_transaction_issues_any_number_of_readings(count: int) -> None:
    street = Street()
    street.issue(*range(count))
    view = street.chain.tip.state.view()
    ids = [issuance_id(street.roof, DAY_START + i * STEP) for i in range(5)]
    assert [issuance_of(view, name) is not None for name in ids] == [i < count for i in range(5)]


def test_an_issue_of_nothing_is_refused() -> None:
    with refused("tx_args"):
        Street().issue()


@pytest.mark.parametrize("field", ["production_mwh", "consumption_mwh"])
def test_a_negative_reading_is_refused(field: str) -> None:
    street = Street()
    street.made[0] = msgspec.structs.replace(street.made[0], **{field: -1})
    with refused("reading_range"):
        street.issue(0)


@pytest.mark.parametrize(
    "changes",
    [
        {"salt": b""},
        {"salt": bytes(16)},
        {"production_mwh": 900_001},
        {"index": 1},
        {"index": 4},
        {"path": b""},
        {"path": bytes(31)},
    ],
)
def test_a_reading_that_is_no_salted_leaf_of_the_anchor_is_refused(changes: dict[str, object]) -> None:
    street = Street()
    street.made[0] = msgspec.structs.replace(street.made[0], **changes)
    with refused("reading_proof"):
        street.issue(0)


def test_a_corrected_reading_replaces_the_old_one_for_new_certificates() -> None:
    street = Street()
    old = street.made
    street.made = street.chain.anchor(street.roof, [(800_000, 0), (1, 0)], sender=HOMES[0])
    new, street.made = street.made, old
    with refused("reading_proof"):
        street.issue(0)
    street.made = new
    street.issue(0)
    record = issuance_of(street.chain.tip.state.view(), street.id)
    assert record is not None
    assert (record.wh, record.version) == (800, 2)


def test_a_certificate_belongs_to_its_owner(street: Street) -> None:
    for call in (lambda: street.transfer(0, 2, home=1), lambda: street.split(0, 1, 899, home=2)):
        with refused("guarantee_owner"):
            call()


def test_a_trade_is_of_the_interval_of_the_production(street: Street) -> None:
    with refused("guarantee_interval"):
        street.transfer(0, 1, trade=DAY_START + STEP)


def test_an_issuance_is_not_cut_into_too_many_pieces(street: Street) -> None:
    street.split(0, *([1] * 200), 700)
    with refused("guarantee_pieces"):
        street.split(200, *([1] * 57), 643)


def test_a_household_claims_for_its_own_meter_only(street: Street) -> None:
    with refused("meter_owner"):
        street.claim(0, home=0)


def test_a_meter_of_production_has_no_consumption_to_claim_for(street: Street) -> None:
    with refused("meter_kind"):
        balance = street.chain.balance(street.roof, street.made[0])
        args = ClaimArgs(street.id, 0, street.roof, street.made[0], balance)
        street.chain.call(HOMES[0], "guarantees.claim", args)


class TestStorage:
    """A battery of home 0 with 80 % charges 500 Wh of the roof in interval 0 and discharges in interval 1."""

    @pytest.fixture
    def street(self) -> Street:
        street = Street()
        self.battery = street.chain.register("battery", 0, meters.STORAGE, efficiency_ppm=800_000)
        self.readings = street.chain.anchor(self.battery, [(0, 500_000), (400_000, 0), (1_000, 0)])
        street.issue(0)
        street.split(0, 500, 400)
        return street

    def store(self, street: Street, start: int) -> None:
        reading = self.readings[0]
        args = ClaimArgs(street.id, start, self.battery, reading, street.chain.balance(self.battery, reading))
        street.chain.call(HOMES[0], "guarantees.claim", args)

    def release(self, street: Street, interval: int) -> None:
        reading = self.readings[interval]
        args = IssueArgs(self.battery, (reading,), street.chain.balances(self.battery, reading))
        street.chain.call(HOMES[0], "guarantees.issue", args)

    def test_what_was_charged_comes_back_less_the_losses(self, street: Street) -> None:
        self.store(street, 0)
        assert street.sums() == (400, 0, 500, 0, 0, 0)
        self.release(street, 1)
        released = issuance_of(street.chain.tip.state.view(), issuance_id(self.battery, DAY_START + STEP))
        assert released is not None
        assert (released.wh, released.released) == (400, 1)
        with refused("guarantee_over_production"):
            self.release(street, 2)

    def test_losses_are_rounded_up(self, street: Street) -> None:
        """1 Wh out at 80 % needs 1.25 Wh in, so the second of two Wh is not there."""
        street.split(0, 2, 498)
        self.store(street, 0)
        self.release(street, 2)
        held = street.chain.tip.state.view().get("guarantees", b"s" + self.battery)
        assert held == encode(certs.Stored(0))

    def test_energy_that_was_charged_without_certificates_gives_none(self, street: Street) -> None:
        with refused("guarantee_over_production"):
            self.release(street, 1)


def test_opened_readings_lead_to_one_root() -> None:
    assert len({reading.path for reading in open_readings([(1, 0), (2, 0), (3, 0)])}) == 3
