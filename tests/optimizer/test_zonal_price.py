"""Prices by zone: against the Pyomo model, brute force and the auction without fees; exact proofs; shares of ties."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.auctions.zonal import check
from market.book import Order, OrderBook, Side
from market.certificate import ZonePrices
from market.checking.random_books import random_case
from market.clearing import Clearing, PriceInterval
from market.errors import InfeasibleClearing, InvalidBook, InvalidRules, InvalidZones
from market.mechanism import clear_checked
from market.rules import MarketRules
from market.units import PPM
from market.zones import Zones
from optimizer.mechanisms.uniform_price import clear as clear_uniform
from optimizer.mechanisms.zonal_price import ZONAL_PRICE, clear
from optimizer.models import zonal_price as model
from optimizer.solver.compile import compile_model


def zones(*fees: list[int]) -> Zones:
    return Zones(tuple("nsew"[: len(fees)]), np.array(fees, dtype=np.int64))


TWO = zones([0, 40_000], [40_000, 0])


def book(*rows: tuple[Side, int, int, int]) -> OrderBook:
    """Orders of (side, Wh, limit, zone), a participant each."""
    return OrderBook.from_orders(
        Order(str(i), i, side, energy, limit, i, zone) for i, (side, energy, limit, zone) in enumerate(rows)
    )


def cases(count: int) -> list[tuple[OrderBook, MarketRules]]:
    return [random_case(ZONAL_PRICE, 5, number, 30) for number in range(count)]


def test_the_compiled_arrays_are_the_pyomo_model() -> None:
    for some, rules in cases(30):
        if not len(some):
            continue
        assert rules.zones is not None
        ours, theirs = model.compiled(some, rules.zones), compile_model(model.build(some, rules.zones))
        for name in ("cost", "lower", "upper", "row_lower", "row_upper"):
            assert np.allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-12, atol=1e-12), name
        x = np.random.default_rng(1).random(len(ours.cost))
        assert np.allclose(ours.times(x), theirs.times(x))


def test_the_welfare_is_that_of_pyomo_and_highs() -> None:
    from pyomo.contrib.solver.solvers.highs import Highs
    from pyomo.environ import value

    for some, rules in cases(60):
        if not len(some):
            continue
        assert rules.zones is not None
        reference = model.build(some, rules.zones)
        Highs().solve(reference)
        found = clear_checked(ZONAL_PRICE, some, rules)
        assert isinstance(found.certificate, ZonePrices)
        fees = int((rules.zones.fee_micro_per_kwh * found.certificate.flow_wh).sum())
        assert fees == found.operator_surplus_nano
        best = value(reference.welfare) / model.COST_PER_MICRO
        assert found.welfare_nano - fees == pytest.approx(best, rel=1e-9, abs=1e-3)


def test_every_clearing_is_proven_exactly_and_a_changed_one_is_not() -> None:
    changed = 0
    for some, rules in cases(200):
        assert rules.zones is not None
        found = clear_checked(ZONAL_PRICE, some, rules)
        assert check(some, rules.zones, found).holds
        traded = np.flatnonzero(found.accepted_wh)
        if len(traded):
            changed += 1
            proof = found.certificate
            assert isinstance(proof, ZonePrices)
            # Another flow, another fee, or another price of a zone: none of these is proven.
            assert not check(some, rules.zones, with_proof(found, flow_wh=proof.flow_wh + 1)).holds
            higher = replace(rules.zones, fee_micro_per_kwh=rules.zones.fee_micro_per_kwh + 7)
            assert not check(some, higher, found).holds
            other = with_proof(found, buy_micro_per_kwh=proof.buy_micro_per_kwh + 1)
            with pytest.raises(InfeasibleClearing, match="another price"):
                check(some, rules.zones, other)
    assert changed > 80


def with_proof(found: Clearing, **changes: object) -> Clearing:
    assert isinstance(found.certificate, ZonePrices)
    return replace(found, certificate=replace(found.certificate, **changes))


@pytest.mark.parametrize(
    "interval", [PriceInterval(100_000, 260_000, 160_000), PriceInterval(60_000, 250_000, 160_000), None]
)
def test_an_interval_that_is_not_that_of_all_supporting_prices_is_refused(
    interval: PriceInterval | None,
) -> None:
    """Whoever reads the interval sees how far the price could be moved: it has to be proven as the price is."""
    some = book((Side.SELL, 1000, 60_000, 0), (Side.BUY, 1000, 300_000, 1))
    found = clear(some, MarketRules(zones=TWO))
    assert found.node_price == (PriceInterval(60_000, 260_000, 160_000), None)
    assert check(some, TWO, found).holds
    with pytest.raises(InfeasibleClearing, match="'n' has the interval"):
        check(some, TWO, replace(found, node_price=(interval, None)))
    with pytest.raises(InfeasibleClearing, match="zone 's' has"):
        check(some, TWO, replace(found, node_price=(found.node_price[0], PriceInterval.at(0, 0, 0))))


small = st.tuples(
    st.sampled_from([Side.BUY, Side.SELL]), st.integers(0, 3), st.integers(1, 6), st.integers(0, 1)
)


@given(rows=st.lists(small, min_size=1, max_size=6), there=st.integers(0, 3), back=st.integers(0, 3))
def test_no_whole_quantities_have_more_welfare_after_fees(
    rows: list[tuple[Side, int, int, int]], there: int, back: int
) -> None:
    some, of = book(*rows), zones([0, there], [back, 0])
    found = clear(some, MarketRules(zones=of))
    spans = [range(int(energy) + 1) for energy in some.energy_wh]
    taken = np.array(np.meshgrid(*spans)).reshape(len(some), -1).T
    signed = taken * some.side
    taken_by_zone = [signed[:, some.node == zone].sum(1) for zone in (0, 1)]
    balanced = taken_by_zone[0] + taken_by_zone[1] == 0
    # What a zone buys more than it sells comes from the other one.
    fees = there * np.maximum(taken_by_zone[1], 0) + back * np.maximum(taken_by_zone[0], 0)
    best = int((signed.dot(some.limit_micro_per_kwh) - fees)[balanced].max())
    assert found.welfare_nano - found.operator_surplus_nano == best


@given(rows=st.lists(small, min_size=1, max_size=8), k=st.integers(0, PPM))
def test_without_fees_it_is_the_auction(rows: list[tuple[Side, int, int, int]], k: int) -> None:
    some = book(*rows)
    found = clear(some, MarketRules(k_ppm=k, zones=zones([0, 0], [0, 0])))
    known = clear_uniform(some, MarketRules(k_ppm=k))
    assert found.welfare_nano == known.welfare_nano
    assert found.accepted_wh.sum() == known.accepted_wh.sum()
    assert found.operator_surplus_nano == 0
    for price in found.node_price:
        assert price is None or price == known.node_price[0]


def test_prices_of_two_zones_differ_by_the_fee_at_every_k() -> None:
    some = book((Side.SELL, 1000, 60_000, 0), (Side.BUY, 1000, 300_000, 1))
    for k in range(0, PPM + 1, 111_111):
        found = clear(some, MarketRules(k_ppm=k, zones=TWO))
        sell, buy = (int(found.price_micro_per_kwh[row]) for row in (0, 1))
        assert buy - sell == 40_000
        assert sell == 60_000 + (200_000 * k + PPM // 2) // PPM


def test_zones_that_tie_share_equally_as_far_as_fees_let_energy_flow() -> None:
    three = zones([0, 10, 90], [10, 0, 90], [90, 90, 0])
    # North has 90 Wh at 100; at a limit of 110 south pays the fee of 10, east cannot pay 90.
    rows = [
        (Side.SELL, 90, 100, 0),
        (Side.BUY, 200, 110, 1),
        (Side.BUY, 100, 110, 2),
        (Side.BUY, 100, 100, 0),
    ]
    accepted = clear(book(*rows), MarketRules(k_ppm=0, zones=three)).accepted_wh.tolist()
    assert accepted == [90, 60, 0, 30]


def test_the_order_of_listing_changes_nothing_where_energies_are_whole_shares() -> None:
    rng = np.random.default_rng(3)
    for some, rules in cases(60):
        if not len(some):
            continue
        order = rng.permutation(len(some))
        again = OrderBook.from_columns(
            *(
                column[order]
                for column in (some.participant, some.side, some.energy_wh, some.limit_micro_per_kwh)
            ),
            some.node[order],
            some.sequence[order],
        )
        found, other = clear(some, rules), clear(again, rules)
        assert found.node_price == other.node_price
        assert np.array_equal(found.accepted_wh, other.accepted_wh)


def test_a_higher_fee_never_raises_what_flows_between_zones_or_the_welfare_after_it() -> None:
    some = book(
        *((Side.SELL, 100, 10_000 * i, 0) for i in range(1, 8)),
        *((Side.BUY, 100, 15_000 * i, 1) for i in range(1, 8)),
    )
    flows, worth = [], []
    for fee in range(0, 120_000, 5_000):
        found = clear(some, MarketRules(zones=zones([0, fee], [fee, 0])))
        assert isinstance(found.certificate, ZonePrices)
        flows.append(int(found.certificate.flow_wh[0, 1]))
        worth.append(found.welfare_nano - found.operator_surplus_nano)
    assert flows == sorted(flows, reverse=True)
    assert flows[0] > flows[-1] == 0
    assert worth == sorted(worth, reverse=True)


def test_wrong_zones_are_refused_in_words() -> None:
    with pytest.raises(InvalidZones) as caught:
        zones([0, 5, 20], [5, 0, 5], [20, 5, 0])
    assert caught.value.problems == [
        "the fee from 'n' to 'e' is higher than that by way of 's'",
        "the fee from 'e' to 'n' is higher than that by way of 's'",
    ]
    with pytest.raises(InvalidZones, match="must lie between 0 and 1000"):
        zones([0, -5], [5, 0])
    with pytest.raises(InvalidZones, match="2 rows of 2"):
        Zones(("a", "b"), np.zeros((2, 3), dtype=np.int64))
    with pytest.raises(InvalidZones, match="named twice"):
        Zones(("a", "a"), np.zeros((2, 2), dtype=np.int64))
    some = book((Side.SELL, 1000, 60_000, 2))
    with pytest.raises(InvalidBook, match="rows \\[0\\]"):
        clear(some, MarketRules(zones=TWO))
    with pytest.raises(InvalidRules, match="needs zones"):
        clear(some, MarketRules())


def test_an_empty_book_is_proven_too() -> None:
    found = clear(OrderBook.from_orders([]), MarketRules(zones=TWO))
    assert found.certificate is not None
    assert found.certificate.holds
