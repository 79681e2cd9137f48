"""Readings against the settled line of their home: nothing is certified but what was settled."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2p.blocks import merkle
from p2p.blocks.block import MAX_TX_BYTES, make_tx
from p2p.blocks.genesis import MAX_MEMBERS, Genesis
from p2p.errors import BrokenInvariant, InvalidTx
from p2p.ledger.balances import Balance
from p2p.ledger.issuances import issuance_id, issuance_of
from p2p.ledger.modules import guarantees, meters, settlement
from p2p.ledger.modules.guarantees import ClaimArgs, CorrectArgs, IssueArgs, TransferArgs
from p2p.ledger.modules.meters import Reading
from p2p.ledger.state import check_invariants
from tests.kits.modules_kit import (
    DAY_START,
    HOMES,
    OPERATORS,
    STEP,
    Chain,
    make_genesis,
    refused,
    settled_args,
)
from tests.kits.sample_kit import some

ATTEMPTS = range(20)
KEPT_S = settlement.KEPT_DAYS * meters.DAY_S


class House:
    """Home 0 has settled lines (import_wh, export_wh), and meters of which nobody closes the balance."""

    def __init__(self, *lines: tuple[int, int]) -> None:
        self.chain = Chain(make_genesis(tx_quota=100_000), closes=False)
        self.chain.settle_lines(*lines)
        self.chain.settle_day()
        self.made: dict[bytes, list[Reading]] = {}

    def meter(self, name: str, kind: int, *readings: tuple[int, int]) -> bytes:
        """A meter of 10 kW with (production_mwh, consumption_mwh) of the first intervals."""
        efficiency_ppm = 900_000 if kind == meters.STORAGE else 0
        meter = self.chain.register(name, 0, kind, efficiency_ppm=efficiency_ppm)
        self.made[meter] = self.chain.anchor(meter, list(readings))
        return meter

    def issue(self, meter: bytes, interval: int = 0, **changes: Any) -> None:
        """Issue one reading; changes are of its balance."""
        reading = self.made[meter][interval]
        balance = msgspec.structs.replace(self.chain.balance(meter, reading), **changes)
        self.chain.enter(0)
        before, args = self.chain.tip.state.trees, IssueArgs(meter, (reading,), (balance,))
        try:
            self.chain.call(OPERATORS[1], "guarantees.issue", args)
        except InvalidTx:
            assert self.chain.tip.state.trees == before, "a refusal has changed the state"
            raise

    def wh(self, meter: bytes, interval: int = 0) -> int:
        record = issuance_of(self.chain.tip.state.view(), issuance_id(meter, DAY_START + interval * STEP))
        assert record is not None
        return record.wh


# --- meters behind the connection ----------------------------------------------------------------------


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_home_and_an_operator_together_certify_no_generation_that_was_not_settled(attempt: int) -> None:
    """Both signed what the settled line of the home does not show."""
    random = Random(attempt)
    export_wh = random.randint(0, 2_000)
    house = House((0, export_wh))
    invented_mwh = export_wh * 1_000 + random.randint(2_000, 400_000)
    roof = house.meter("roof", meters.PRODUCTION, (invented_mwh, 0))
    with refused("balance_open"):
        house.issue(roof)


def test_meters_behind_the_connection_close_the_balance_of_the_home() -> None:
    """2,000 generated and 300 discharged are 900 exported, 1,150 used and 250 charged."""
    house = House((0, 900), (700, 0))
    roof = house.meter("roof", meters.PRODUCTION, (2_000_000, 0), (300_000, 0))
    house.meter("load", meters.CONSUMPTION, (0, 1_150_000), (0, 1_000_000))
    house.meter("battery", meters.STORAGE, (300_000, 250_000), (0, 0))
    house.issue(roof)
    house.issue(roof, 1)
    assert (house.wh(roof), house.wh(roof, 1)) == (2_000, 300)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("which", [0, 1, 2, 3])
def test_two_registers_of_a_line_round_by_less_than_two_wh(which: int, sign: int) -> None:
    for off_mwh, is_open in ((1_999, False), (2_000, True)):
        shown = [2_000_000, 1_150_000, 300_000, 250_000]
        shown[which] += sign * off_mwh
        house = House((0, 900))
        roof = house.meter("roof", meters.PRODUCTION, (shown[0], 0))
        house.meter("load", meters.CONSUMPTION, (0, shown[1]))
        house.meter("battery", meters.STORAGE, (shown[2], shown[3]))
        if is_open:
            with refused("balance_open"):
                house.issue(roof)
        else:
            house.issue(roof)


flow = st.integers(0, 600_000)


@settings(max_examples=some(60, 20), deadline=None)
@given(flow, flow, flow, flow, st.sampled_from([0, 1, 2, 3]), st.integers(4_000, 500_000), st.booleans())
def test_what_a_connection_rounds_is_certified_and_what_it_does_not_show_is_not(
    made: int, used: int, out: int, into: int, which: int, more: int, both_ways: bool
) -> None:
    """The connection shows whole Wh of the net, or of both ways where it turned within the interval."""
    net = made + out - used - into
    import_mwh, export_mwh = max(-net, 0) + 70_300 * both_ways, max(net, 0) + 70_300 * both_ways
    for invented in (0, more):
        shown = [made, used, out, into]
        shown[which] += invented
        house = House((import_mwh // 1_000, export_mwh // 1_000))
        roof = house.meter("roof", meters.PRODUCTION, (shown[0], 0))
        house.meter("load", meters.CONSUMPTION, (0, shown[1]))
        house.meter("battery", meters.STORAGE, (shown[2], shown[3]))
        if invented:
            with refused("balance_open"):
                house.issue(roof)
        else:
            house.issue(roof)
            assert house.wh(roof) == made // 1_000


def test_no_meter_of_the_home_is_left_out() -> None:
    """A storage that charged is hidden behind a generation that there was not."""
    house = House((0, 0))
    roof = house.meter("roof", meters.PRODUCTION, (500_000, 0))
    load = house.meter("load", meters.CONSUMPTION, (0, 500_000))
    battery = house.meter("battery", meters.STORAGE, (0, 200_000))
    by_name = {name: house.made[name][0] for name in (load, battery)}
    for left_out in (load, battery):
        others = tuple(by_name[name] for name in sorted(by_name) if name != left_out)
        with refused("balance_open"):
            house.issue(roof, others=others)
    swapped = tuple(by_name[name] for name in sorted(by_name, reverse=True))
    with refused("reading_proof"):
        house.issue(roof, others=swapped)


def test_the_other_readings_are_anchored_twice_and_of_the_same_interval() -> None:
    house = House((0, 0), (0, 0))
    roof = house.meter("roof", meters.PRODUCTION, (500_000, 0), (500_000, 0))
    load = house.meter("load", meters.CONSUMPTION, (0, 500_000), (0, 500_000))
    with refused("guarantee_interval"):
        house.issue(roof, others=(house.made[load][1],))
    edited = msgspec.structs.replace(house.made[load][0], consumption_mwh=500_001)
    with refused("reading_proof"):
        house.issue(roof, others=(edited,))
    edited = msgspec.structs.replace(house.made[load][0], consumption_mwh=-1)
    with refused("reading_range"):
        house.issue(roof, others=(edited,))
    same = [(0, 500_000)] * 2
    house.chain.anchor(load, same, confirmed=False)
    with refused("anchor_unconfirmed"):
        house.issue(roof)


# --- the meter at the connection -----------------------------------------------------------------------


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("register", [0, 1])
def test_the_meter_at_the_connection_shows_what_was_settled(register: int, sign: int) -> None:
    for off_mwh, is_other in ((999, False), (1_000, True)):
        shown = [900_000, 400_000]
        shown[register] += sign * off_mwh
        house = House((400, 900))
        gate = house.meter("gate", meters.BOTH, (shown[0], shown[1]))
        if is_other:
            with refused("reading_unsettled"):
                house.issue(gate)
        else:
            house.issue(gate)
            assert house.wh(gate) == shown[0] // 1_000


def test_the_same_energy_is_not_certified_at_the_connection_and_behind_it() -> None:
    house = House((0, 900), (0, 300))
    gate = house.meter("gate", meters.BOTH, (900_000, 0), (0, 0))
    roof = house.meter("roof", meters.PRODUCTION, (900_000, 0), (300_000, 0))
    for meter in (gate, roof):
        with refused("balance_open"):
            house.issue(meter)
    house.issue(roof, 1)  # here the one at the connection is anchored with zeros
    with refused("balance_open"):
        house.issue(gate, 1)


# --- the line ------------------------------------------------------------------------------------------


def test_the_line_is_that_of_the_home_and_interval() -> None:
    house = House((0, 900), (0, 900))
    roof = house.meter("roof", meters.PRODUCTION, (900_000, 0), (900_000, 0))
    batch, other = (settled_args(DAY_START + i * STEP, 0, 900)[0] for i in (0, 1))
    right = house.chain.balance(roof, house.made[roof][0])
    wrong: tuple[dict[str, Any], ...] = (
        {"entry": right.entry[:-1] + b"\1"},
        {"entry": right.entry[:-1]},
        {"entry": batch.entry(len(HOMES))},
        {"salt": right.salt[:-1]},
        {"salt": bytes(16)},
        {"path": right.path[:-1]},
        {"path": right.path + bytes(32)},
        {"path": b""},
        {"entry": batch.entry(1), "salt": batch.salt(1)},
        {"entry": other.entry(0), "salt": other.salt(0)},
    )
    for changes in wrong:
        with refused("line_proof"):
            house.issue(roof, **changes)
    house.issue(roof)


def test_another_home_cannot_show_its_line() -> None:
    """Home 3 imports what home 0 exports: its line is in the batch, and is not that of the meter."""
    house = House((900, 0))
    roof = house.meter("roof", meters.PRODUCTION, (900_000, 0))
    batch = house.chain.batches[DAY_START]
    path = b"".join(merkle.path_in(batch.tree, 3))
    with refused("line_proof"):
        house.issue(roof, entry=batch.entry(3), salt=batch.salt(3), path=path)


def test_a_line_is_kept_until_another_interval_has_its_slot() -> None:
    """The first interval of the day still counts one interval before, and not any more."""
    assert settlement.KEPT_DAYS == meters.CORRECTION_DAYS + 2
    for later_s, is_kept in ((KEPT_S - STEP, True), (KEPT_S, False)):
        house = House((0, 900), (0, 900))
        roof = house.meter("roof", meters.PRODUCTION, (900_000, 0), (900_000, 0))
        house.chain.settle_day(DAY_START + later_s)
        if is_kept:
            house.issue(roof)
        else:
            with refused("line_unknown"):
                house.issue(roof)
        house.issue(roof, 1)


def test_the_ring_of_roots_is_bounded_and_forgets_only_what_a_newer_interval_replaces() -> None:
    random, chain = Random(7), Chain(make_genesis())
    at, settled, model = DAY_START, list[int](), dict[int, tuple[int, bytes]]()
    for _ in range(40):
        args = settled_args(at, random.randint(0, 9), 0)[1]
        chain.call(OPERATORS[0], "settlement.batch", args)
        model[at % KEPT_S] = (at, args.postings_root)
        settled.append(at)
        at += random.choice((STEP, STEP, KEPT_S - STEP, KEPT_S, KEPT_S + STEP))
    view = chain.tip.state.view()
    for start in settled:
        newest, root = model[start % KEPT_S]
        assert settlement.kept_root(view, chain.genesis, start) == (root if newest == start else None)
    assert len(model) < len(settled)
    slots = [key for key, _ in chain.tip.state.trees["settlement"].items() if key[:1] == b"p"]
    assert len(slots) == len(model) <= KEPT_S // STEP


def test_a_settled_interval_without_its_root_stops_the_node() -> None:
    house = House((0, 900))
    view = house.chain.tip.state.view()
    for key, _ in house.chain.tip.state.trees["settlement"].items():
        if key[:1] == b"p":
            view.put("settlement", key, None)
    view.accept()
    with pytest.raises(BrokenInvariant, match="settled without the root"):
        check_invariants(view, house.chain.genesis, house.chain.tip.height)


# --- claims and corrections ----------------------------------------------------------------------------


def test_a_claim_is_for_consumption_that_was_settled() -> None:
    """Home 0 imports 500, and shows 500 for its load, or 600 that both signed."""
    for shown_mwh, is_open in ((500_000, False), (600_000, True)):
        house = House((500, 0))
        load = house.meter("load", meters.CONSUMPTION, (0, shown_mwh))
        gate = house.chain.register("gate", 3, meters.BOTH)
        reading, *_ = house.chain.anchor(gate, [(500_000, 0)])
        args = IssueArgs(gate, (reading,), house.chain.balances(gate, reading))
        house.chain.call(HOMES[3], "guarantees.issue", args)
        name, used = issuance_id(gate, DAY_START), house.made[load][0]
        house.chain.call(HOMES[3], "guarantees.transfer", TransferArgs(name, 0, 0, -1))
        claim = ClaimArgs(name, 0, load, used, house.chain.balance(load, used))
        if is_open:
            with refused("balance_open"):
                house.chain.call(HOMES[0], "guarantees.claim", claim)
        else:
            house.chain.call(HOMES[0], "guarantees.claim", claim)


def test_a_correction_upwards_is_what_was_settled_and_one_downwards_shows_no_line() -> None:
    house = House((0, 900))
    roof = house.meter("roof", meters.PRODUCTION, (900_000, 0))
    house.issue(roof)

    def correct(mwh: int, *, shows: bool) -> None:
        reading, *_ = house.chain.anchor(roof, [(mwh, 0)])
        balance = house.chain.balance(roof, reading) if shows else None
        house.chain.call(OPERATORS[0], "guarantees.correct", CorrectArgs(roof, reading, balance))

    for shows in (False, True):
        with refused("balance_open"):
            correct(1_000_000 + shows, shows=shows)
    correct(500_000, shows=False)
    with refused("balance_open"):
        correct(900_000, shows=False)
    correct(900_001, shows=True)
    assert house.wh(roof) == 1_300  # 400 of them are corrected


# --- what fits into a transaction ----------------------------------------------------------------------


def largest(readings: int, others: int) -> IssueArgs:
    """Readings with the longest numbers and paths that any chain could have."""
    leaves, accounts = meters.DAY_S // 300, MAX_MEMBERS + 32
    path = bytes(32 * (leaves - 1).bit_length())
    reading = Reading(2**36, 3_600, 2**62, 2**62, bytes(16), leaves - 1, path)
    line = bytes(100), bytes(16), bytes(32 * (accounts - 1).bit_length())
    return IssueArgs(
        bytes(32), (reading,) * readings, (Balance(*line, others=(reading,) * others),) * readings
    )


@pytest.mark.parametrize("others", [0, 1, 3, meters.MAX_METERS - 1])
def test_as_many_readings_as_a_transaction_may_bring_fit_into_it(others: int) -> None:
    readings = guarantees.MAX_READINGS // (1 + others)
    args = largest(readings, others)
    tx = make_tx(HOMES[0], bytes(32), 2**62, 2**62, "guarantees", "issue", args)
    assert len(tx.raw) <= MAX_TX_BYTES


@pytest.mark.parametrize("others", [0, 1, 3])
def test_more_readings_are_refused(others: int) -> None:
    genesis: Genesis = make_genesis()
    check = guarantees.MODULE.methods["issue"].check
    most = guarantees.MAX_READINGS // (1 + others)
    with refused("guarantee_interval"):  # of another length, which is looked at next
        check(largest(most, others), genesis)
    with refused("tx_args"):
        check(largest(most + 1, others), genesis)


def test_each_reading_comes_with_its_balance() -> None:
    house = House((0, 900), (0, 900))
    roof = house.meter("roof", meters.PRODUCTION, (900_000, 0), (900_000, 0))
    first, second, *_ = house.made[roof]
    for balances in ((), house.chain.balances(roof, first), house.chain.balances(roof, *[first] * 3)):
        with refused("tx_args"):
            house.chain.call(OPERATORS[0], "guarantees.issue", IssueArgs(roof, (first, second), balances))
    with refused("line_proof"):
        swapped = house.chain.balances(roof, second, first)
        house.chain.call(OPERATORS[0], "guarantees.issue", IssueArgs(roof, (first, second), swapped))


def test_a_home_has_so_many_meters() -> None:
    house = House((0, 0))
    for i in range(meters.MAX_METERS):
        house.chain.register(f"meter {i}", 0, meters.CONSUMPTION)
    with refused("meter_limit"):
        house.chain.register("one more", 0, meters.CONSUMPTION)
    house.chain.register("of another home", 1, meters.CONSUMPTION)
    names = meters.names_of(house.chain.tip.state.view(), 0)
    assert (len(names), list(names)) == (meters.MAX_METERS, sorted(names))


def test_a_meter_beside_the_list_of_its_home_stops_the_node() -> None:
    house = House((0, 0))
    view = house.chain.tip.state.view()
    view.write("meters", b"m" + bytes(32), meters.Meter(0, meters.BOTH, 1, 0))
    view.accept()
    with pytest.raises(BrokenInvariant, match="not among those of its home"):
        check_invariants(view, house.chain.genesis, house.chain.tip.height)
