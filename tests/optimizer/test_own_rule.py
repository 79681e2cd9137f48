"""Rules written in Pyomo: the best clearing within them, the same whatever was cleared before, and refused in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyomo.environ import Binary, ConcreteModel, Constraint, NonNegativeReals, Objective, Var, maximize

from market.book import Order, OrderBook, Side
from market.mechanism import clear_checked
from market.rules import MarketRules
from optimizer import own_rule as own
from optimizer.errors import Infeasible, NotLinear, SolverFailed
from optimizer.mechanisms.uniform_price import clear as clear_uniform
from optimizer.own_rule import Structure, allocate, own_rule

RULES = MarketRules()


def plain(structure: Structure) -> Any:
    """No rule at all."""
    model = ConcreteModel()
    model.quantity = Var(structure.orders)
    model.balance = Constraint(expr=sum(model.quantity[i] for i in structure.orders) == 0)
    return model


def two_fifths(structure: Structure) -> Any:
    """No participant sells more than two fifths of what is sold."""
    model = plain(structure)
    sold = -sum(model.quantity[i] for i in structure.offers)

    def share(model: Any, home: int) -> Any:
        rows = set(structure.of(home)) & set(structure.offers)
        return -sum(model.quantity[i] for i in rows) <= 0.4 * sold if rows else Constraint.Skip

    model.share = Constraint(structure.participants, rule=share)
    return model


def whole_offers(structure: Structure) -> Any:
    """An offer sells 100 Wh or nothing."""
    model = plain(structure)
    model.sells = Var(structure.offers, within=Binary)
    model.all_or_nothing = Constraint(
        structure.offers, rule=lambda model, i: model.quantity[i] == -100 * model.sells[i]
    )
    return model


def orders(bids: list[tuple[int, int]], offers: list[tuple[int, int]]) -> OrderBook:
    """A book of (Wh, limit), a participant each."""
    rows = [(Side.BUY, *one) for one in bids] + [(Side.SELL, *one) for one in offers]
    return OrderBook.from_orders(
        Order(str(i), i, side, energy, limit) for i, (side, energy, limit) in enumerate(rows)
    )


one_order = st.tuples(st.integers(0, 9), st.integers(1, 6).map(lambda tens: tens * 10_000))
books = st.builds(
    orders, st.lists(one_order, min_size=1, max_size=5), st.lists(one_order, min_size=1, max_size=5)
)


@given(book=books)
def test_a_rule_that_demands_nothing_has_the_welfare_and_the_price_of_the_auction(book: OrderBook) -> None:
    found = clear_checked(own_rule("plain", plain, "none"), book, RULES)
    known = clear_uniform(book, RULES)
    assert found.welfare_nano == known.welfare_nano
    assert found.certificate is not None
    assert found.certificate.holds
    if found.accepted_wh.any():
        # Of several optimal quantities that without trade at one limit may be found: then there is no price.
        assert known.node_price[0] is not None
        assert found.node_price[0] is not None
        assert known.node_price[0].lo <= found.node_price[0].price <= known.node_price[0].hi


def brute_force(book: OrderBook, *, at_one_price: bool = False) -> int:
    """The most welfare of whole quantities within two fifths, if asked of those that a price suits. [nano]"""
    spans = [range(int(energy) + 1) for energy in book.energy_wh]
    taken = np.array(np.meshgrid(*spans)).reshape(len(book), -1).T
    sells, limit = book.side < 0, book.limit_micro_per_kwh
    sold = taken[:, sells]
    fits = (sold.sum(1) == taken[:, ~sells].sum(1)) & (5 * sold <= 2 * sold.sum(1)[:, None]).all(1)
    if at_one_price:
        asked = np.where(sold > 0, limit[sells], -1).max(1)
        bid = np.where(taken[:, ~sells] > 0, limit[~sells], 1_000_000).min(1)
        fits &= asked <= bid
    return int((taken[fits] * book.side).dot(limit).max(initial=0))


@given(
    bids=st.lists(st.tuples(st.integers(0, 6), st.integers(1, 9)), min_size=1, max_size=1),
    offers=st.lists(st.tuples(st.integers(0, 4), st.integers(1, 9)), min_size=3, max_size=3),
)
def test_no_whole_quantities_within_the_rule_are_better(
    bids: list[tuple[int, int]], offers: list[tuple[int, int]]
) -> None:
    book = orders(bids, offers)
    accepted, proof = allocate(two_fifths, book)
    assert proof is not None
    assert proof.holds
    signed = accepted * book.side
    assert signed.sum() == 0
    sold = accepted[book.side < 0]
    assert all(one <= 0.4 * sold.sum() + 2 for one in sold)
    # Rounding moves each of the 4 orders by less than 1 Wh at limits of at most 9.
    assert int(signed.dot(book.limit_micro_per_kwh)) > brute_force(book) - 4 * 9


def test_the_rule_binds_where_it_should() -> None:
    book = orders([(1000, 300_000)], [(1000, 80_000), (1000, 100_000), (1000, 120_000)])
    found = clear_checked(own_rule("two_fifths", two_fifths, "none"), book, RULES)
    assert found.accepted_wh.tolist() == [1000, 400, 400, 200]
    assert found.node_price[0] is not None
    assert (found.node_price[0].lo, found.node_price[0].hi) == (120_000, 300_000)


def test_own_limits_leave_the_difference_with_the_operator() -> None:
    book = orders([(1000, 300_000)], [(1000, 80_000), (1000, 100_000), (1000, 120_000)])
    found = clear_checked(own_rule("two_fifths", two_fifths, "none", prices="own_limit"), book, RULES)
    assert found.operator_surplus_nano == 1000 * 300_000 - 400 * 80_000 - 400 * 100_000 - 200 * 120_000


def test_an_objective_of_the_model_is_added_to_welfare() -> None:
    def without_the_first(structure: Structure) -> Any:
        model = plain(structure)
        model.dear = Objective(expr=50_000 * model.quantity[structure.offers[0]], sense=maximize)
        return model

    book = orders([(100, 300_000)], [(100, 80_000), (100, 100_000)])
    assert allocate(without_the_first, book)[0].tolist() == [100, 0, 100]
    assert allocate(plain, book)[0].tolist() == [100, 100, 0]


def test_whole_numbers_are_solved_through_pyomo() -> None:
    book = orders([(250, 300_000)], [(100, 80_000), (100, 100_000), (100, 120_000)])
    accepted, proof = allocate(whole_offers, book)
    assert accepted.tolist() == [200, 100, 100, 0]
    assert proof is None


def test_the_answer_does_not_depend_on_what_was_cleared_before() -> None:
    tied = orders([(5, 30_000), (5, 30_000)], [(4, 10_000), (4, 10_000)])
    before = allocate(two_fifths, tied)[0].tolist()
    for limit in (20_000, 40_000, 10_000):
        allocate(two_fifths, orders([(5, limit), (3, 30_000)], [(4, 10_000), (2, 10_000)]))
    assert allocate(two_fifths, tied)[0].tolist() == before
    own._KEPT.of.clear()
    assert allocate(two_fifths, tied)[0].tolist() == before


def test_a_model_is_built_once_for_a_structure() -> None:
    built: list[Structure] = []

    def counted(structure: Structure) -> Any:
        built.append(structure)
        return plain(structure)

    for energy in (3, 5, 7):
        allocate(counted, orders([(energy, 30_000)], [(4, 10_000)]))
    allocate(counted, orders([(3, 30_000)], [(4, 10_000), (1, 5_000)]))
    assert len(built) == 2


def test_a_rule_that_nothing_satisfies_names_its_constraints() -> None:
    def at_least(structure: Structure) -> Any:
        model = plain(structure)
        model.loose = Constraint(expr=model.quantity[0] <= 50)
        model.at_least_9 = Constraint(expr=model.quantity[0] >= 9)
        return model

    with pytest.raises(Infeasible) as caught:
        allocate(at_least, orders([(5, 30_000)], [(4, 10_000)]))
    assert "at_least_9, the energy of order 0 together" in str(caught.value)
    assert "loose" not in str(caught.value)


def test_a_forced_trade_that_loses_has_no_price_and_no_quantities() -> None:
    def force(structure: Structure) -> Any:
        model = plain(structure)
        model.both = Constraint(expr=model.quantity[0] == 4)
        return model

    with pytest.raises(Infeasible, match="both"):
        clear_checked(own_rule("force", force, "none"), orders([(5, 10_000)], [(4, 30_000)]), RULES)


@given(
    bids=st.lists(
        st.tuples(st.integers(0, 6).map(lambda x: 10 * x), st.integers(1, 5)), min_size=1, max_size=1
    ),
    offers=st.lists(
        st.tuples(st.integers(1, 2).map(lambda x: 10 * x), st.integers(0, 9)), min_size=3, max_size=3
    ),
)
@settings(max_examples=15)
def test_at_one_price_the_best_of_those_at_one_price_are_found(
    bids: list[tuple[int, int]], offers: list[tuple[int, int]]
) -> None:
    book = orders(bids, offers)
    found = clear_checked(own_rule("two_fifths", two_fifths, "none"), book, RULES)
    assert found.welfare_nano > brute_force(book, at_one_price=True) - 4 * 9


def test_a_rule_of_proportions_gives_up_what_no_price_suits() -> None:
    # The best of all: 1000 Wh, 400 of A and B each and 200 of C, which loses .1 a kWh. No price suits C and the bid.
    book = orders([(1000, 100_000)], [(1000, 0), (1000, 0), (1000, 200_000)])
    assert allocate(two_fifths, book)[0].tolist() == [1000, 400, 400, 200]
    found = clear_checked(own_rule("two_fifths", two_fifths, "none"), book, RULES)
    assert not found.accepted_wh.any()
    assert found.certificate is None


@pytest.mark.parametrize("bought", [None, Binary])
def test_the_best_at_one_price_counts_what_an_objective_adds(bought: Any) -> None:
    """All four trade without a price, and 60 is no price for the second bid. With 70 more a kWh it is worth 110."""

    def for_the_second(structure: Structure) -> Any:
        model = plain(structure)
        if bought is not None:
            model.bought = Var(within=bought)
            model.all_or_nothing = Constraint(expr=model.quantity[1] == 10 * model.bought)
        model.more = Objective(expr=-70_000 * model.quantity[1])
        return model

    book = orders([(10, 100_000), (10, 40_000)], [(10, 20_000), (10, 60_000)])
    assert allocate(for_the_second, book)[0].tolist() == [10, 10, 10, 10]
    found = clear_checked(own_rule("for_the_second", for_the_second, "none"), book, RULES)
    assert found.accepted_wh.tolist() == [0, 10, 10, 0]


def test_a_price_whose_orders_cannot_satisfy_the_rule_is_no_candidate() -> None:
    def supplied(structure: Structure) -> Any:
        model = plain(structure)
        model.supplied = Constraint(expr=model.quantity[0] == 4)
        return model

    # The first bid has to be served. At 30 and 50 it would not buy; at 5 the second offer serves it.
    book = orders([(4, 10_000), (10, 50_000)], [(10, 30_000), (4, 5_000)])
    assert allocate(supplied, book)[0].tolist() == [4, 10, 10, 4]
    found = clear_checked(own_rule("supplied", supplied, "none"), book, RULES)
    assert found.accepted_wh.tolist() == [4, 0, 0, 4]


def test_a_model_without_quantities_is_refused() -> None:
    with pytest.raises(NotLinear, match="no variables `quantity`"):
        allocate(lambda _: ConcreteModel(), orders([(5, 30_000)], [(4, 10_000)]))


@pytest.mark.parametrize("returned", [None, 5, "a model", ConcreteModel])
def test_a_rule_that_returns_no_model_is_refused(returned: Any) -> None:
    with pytest.raises(NotLinear, match=f"returned a {type(returned).__name__} .*return model"):
        allocate(lambda _: returned, orders([(5, 30_000)], [(4, 10_000)]))


def test_a_rule_with_a_number_that_is_none_is_refused_by_name() -> None:
    def above_nothing(structure: Structure) -> Any:
        model = plain(structure)
        model.at_most = Constraint(expr=model.quantity[0] <= float("nan"))
        return model

    with pytest.raises(NotLinear, match="at_most holds NaN"):
        allocate(above_nothing, orders([(5, 30_000)], [(4, 10_000)]))


def test_an_objective_without_a_bound_is_refused_with_a_cure() -> None:
    def endless(structure: Structure) -> Any:
        model = plain(structure)
        model.fee = Var()
        model.earned = Objective(expr=model.fee, sense=maximize)
        return model

    with pytest.raises(SolverFailed, match=r"nbounded.*give bounds to the variables of the objective"):
        allocate(endless, orders([(5, 30_000)], [(4, 10_000)]))


def test_a_model_without_balance_is_refused() -> None:
    def open_ended(structure: Structure) -> Any:
        model = ConcreteModel()
        model.quantity = Var(structure.orders)
        return model

    with pytest.raises(SolverFailed, match="balance"):
        allocate(open_ended, orders([(5, 30_000)], [(4, 10_000)]))


def test_variables_of_its_own_are_kept() -> None:
    def with_shortfall(structure: Structure) -> Any:
        """The first bid gets 8 Wh, or pays for what is missing."""
        model = plain(structure)
        model.missing = Var(within=NonNegativeReals)
        model.wanted = Constraint(expr=model.quantity[0] + model.missing >= 8)
        model.price = Objective(expr=-90_000 * model.missing, sense=maximize)
        return model

    accepted, _ = allocate(with_shortfall, orders([(10, 1_000)], [(10, 50_000)]))
    assert accepted.tolist() == [8, 8]
