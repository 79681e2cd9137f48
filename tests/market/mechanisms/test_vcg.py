"""VCG against clearing again without each participant, by hand, and against every joint misreport."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import market.mechanisms  # noqa: F401  (registers them)
from market.auctions.clarke_pivot import curve_of, members_of, spread, worth_without_own
from market.mechanism import MECHANISMS
from market.rules import MarketRules
from tests.kits.sample_kit import some
from tests.kits.unit_books import Row, best_lie, book_of, by_row, cleared, efficient, rows_of, units

RULES = MarketRules()
VCG = MECHANISMS.get("vcg")
BUY, SELL = 1, -1


def welfare(rows: list[Row]) -> int:
    """Maximum welfare: pair off listed units, best with best."""
    buys, sells = units(rows, BUY), units(rows, SELL)
    k = efficient(buys, sells)
    return sum(b for b, _ in buys[:k]) - sum(s for s, _ in sells[:k])


def gains(rows: list[Row]) -> tuple[dict[int, int], int]:
    """What each participant keeps by the mechanism, and what the operator adds."""
    book, clearing = cleared(VCG, rows, RULES)
    accepted, paid = (
        by_row(rows, book, x.tolist()) for x in (clearing.accepted_wh, clearing.payment_nano(book))
    )
    kept: dict[int, int] = {}
    for i, (who, side, _, limit) in enumerate(rows):
        kept[who] = kept.get(who, 0) + side * accepted[i] * limit - paid[i]
    return kept, -clearing.operator_surplus_nano


@given(rows_of(9))
def test_everybody_keeps_what_would_be_lost_without_it(rows: list[Row]) -> None:
    """Participants hold several orders, of both sides too."""
    kept, added = gains(rows)
    best = welfare(rows)
    assert kept == {who: best - welfare([row for row in rows if row[0] != who]) for who in kept}
    assert added == sum(kept.values()) - best


@given(rows_of(9, energy=(0, 2 * 10**8), limits=(-(10**9), 10**9), alone=True))
def test_with_one_order_each_it_is_the_same_in_large_numbers(rows: list[Row]) -> None:
    kept, _ = gains(rows)

    def best(of: list[Row]) -> int:
        return MECHANISMS.get("welfare_optimum").clear(book_of(of), RULES).welfare_nano

    assert kept == {who: best(rows) - best([row for row in rows if row[0] != who]) for who in kept}


@settings(max_examples=some(100, 33))
@given(rows_of(6, limits=(0, 3)).filter(bool), st.integers(0, 5))
def test_no_participant_gains_by_any_joint_misreport(rows: list[Row], index: int) -> None:
    who = rows[index % len(rows)][0]
    rows = [row for row in rows if row[0] != who] + [row for row in rows if row[0] == who][:3]
    truth, lie = best_lie(lambda book: VCG.clear(book, RULES), rows, who, range(-1, 5))
    assert lie <= truth


def test_removing_an_order_is_not_removing_a_participant() -> None:
    """Ben sells both units that Anna could buy: without one order she would buy the other, without Ben nothing."""
    rows = [(0, BUY, 1, 9), (1, SELL, 1, 2), (1, SELL, 1, 3)]
    kept, added = gains(rows)
    assert kept == {0: 7, 1: 7}
    assert added == 7


def test_a_pair_alone_gets_its_whole_gain_twice() -> None:
    """Myerson and Satterthwaite: buyer pays 2, seller gets 9, the operator adds 7."""
    book, clearing = cleared(VCG, [(0, BUY, 1, 9), (1, SELL, 1, 2)], RULES)
    assert clearing.payment_nano(book).tolist() == [2, -9]
    assert clearing.operator_surplus_nano == -7


def test_competitors_end_the_deficit() -> None:
    """With two equal buyers and two equal sellers on each side of the margin nobody is missed."""
    kept, added = gains([(0, BUY, 1, 9), (1, BUY, 1, 9), (2, SELL, 1, 9), (3, SELL, 1, 9)])
    assert set(kept.values()) == {0}
    assert added == 0


def test_the_allocation_is_proven_and_has_no_single_price() -> None:
    _, clearing = cleared(VCG, [(0, BUY, 2, 9), (1, SELL, 3, 2)], RULES)
    assert clearing.certificate is not None
    assert clearing.certificate.gap_nano == 0
    assert clearing.node_price == (None,)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(-2, 4)), max_size=8),
    st.lists(st.integers(0, 9), min_size=4, max_size=4),
)
def test_a_curve_without_the_entries_of_one(entries: list[tuple[int, int, int]], first: list[int]) -> None:
    """The slow way: list the units of the others."""
    columns = [np.array([entry[i] for entry in entries], dtype=np.int64) for i in range(3)]
    curve = curve_of(columns[0], columns[1], columns[2])
    worth = worth_without_own(curve, np.array(first), single=False).tolist()
    for who in range(4):
        others = [price for owner, energy, price in entries if owner != who for _ in range(energy)]
        assert worth[who] == sum(others[: first[who]])


@given(rows_of(9, energy=(0, 9)), st.lists(st.integers(0, 50), min_size=9, max_size=9), st.booleans())
def test_an_amount_is_spread_by_largest_remainder(rows: list[Row], amounts: list[int], huge: bool) -> None:
    """In proportion within one nano per order, exact in sum, also where products pass 64 bits."""
    scale = 2**40 if huge else 1
    book = book_of([(who, side, energy * scale, 0) for who, side, energy, limit in rows])
    members = members_of(book.participant)
    energy = members.sum(book.energy_wh)
    amount = np.array(amounts[: len(energy)], dtype=np.int64) * scale * (energy > 0)
    share = spread(amount, book.energy_wh, members)
    assert members.sum(share).tolist() == amount.tolist()
    for row, part in enumerate(share.tolist()):
        who = int(members.of_row[row])
        if energy[who]:
            exact = int(amount[who]) * int(book.energy_wh[row]) / int(energy[who])
            assert abs(part - exact) <= 1 + abs(exact) * 1e-12
