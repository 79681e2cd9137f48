"""Every registered mechanism, third-party ones included, is held to what it promises."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.auction import clear_exact
from market.book import Order, OrderBook, Side
from market.clearing import Clearing, check_feasible
from market.errors import DuplicateMechanism, UnknownMechanism
from market.mechanism import Mechanism, get, register, registered
from market.rules import MarketRules
from wattswap.plugins import load_all

load_all()

MECHANISMS = [m for m in registered().values() if not m.promises.needs_grid]

RULES = MarketRules(retail_micro_per_kwh=40, feed_in_micro_per_kwh=0)

every_mechanism = pytest.mark.parametrize("mechanism", MECHANISMS, ids=lambda m: m.name)


def promising(**promise: object) -> pytest.MarkDecorator:
    chosen = [m for m in MECHANISMS if all(getattr(m.promises, k) == v for k, v in promise.items())]
    return pytest.mark.parametrize("mechanism", chosen, ids=lambda m: m.name)


@st.composite
def books(draw: st.DrawFn) -> list[Order]:
    """Small books full of ties; each participant may hold two orders of one side."""
    orders = []
    for participant in range(draw(st.integers(0, 7))):
        side = draw(st.sampled_from(list(Side)))
        for _ in range(draw(st.integers(1, 2))):
            energy, limit = draw(st.integers(0, 4)), draw(st.integers(0, 8))
            orders.append(Order(f"o{len(orders)}", participant, side, energy, 5 * limit, len(orders)))
    return orders


def run(mechanism: Mechanism, orders: list[Order]) -> tuple[OrderBook, Clearing]:
    book = OrderBook.from_orders(orders)
    return book, mechanism.clear(book, RULES)


@every_mechanism
@given(orders=books())
def test_nobody_trades_beyond_an_order_or_its_limit_and_energy_balances(
    mechanism: Mechanism, orders: list[Order]
) -> None:
    book, clearing = run(mechanism, orders)
    if mechanism.promises.individually_rational:
        check_feasible(book, clearing)
    assert ((clearing.accepted_wh >= 0) & (clearing.accepted_wh <= book.energy_wh)).all()
    assert int((book.side * clearing.accepted_wh).sum()) == 0


@every_mechanism
@given(orders=books())
def test_the_operator_account_keeps_the_promised_budget(mechanism: Mechanism, orders: list[Order]) -> None:
    book, clearing = run(mechanism, orders)
    paid = int((book.side * clearing.accepted_wh * clearing.price_micro_per_kwh).sum())
    assert paid == clearing.operator_surplus_nano
    if mechanism.promises.budget_balance == "strong":
        assert paid == 0
    elif mechanism.promises.budget_balance == "weak":
        assert paid >= 0


@promising(uniform_price=True)
@given(orders=books())
def test_a_uniform_price_is_one_price(mechanism: Mechanism, orders: list[Order]) -> None:
    _, clearing = run(mechanism, orders)
    prices = set(clearing.price_micro_per_kwh[clearing.accepted_wh > 0].tolist())
    assert prices == ({clearing.node_price[0].price} if clearing.node_price[0] else set())


@every_mechanism
@given(orders=books())
def test_welfare_is_stated_right_and_never_above_the_call_market(
    mechanism: Mechanism, orders: list[Order]
) -> None:
    book, clearing = run(mechanism, orders)
    assert clearing.welfare_nano == int((book.side * clearing.accepted_wh * book.limit_micro_per_kwh).sum())
    best = clear_exact(book, RULES).welfare_nano
    assert clearing.welfare_nano == best if mechanism.promises.efficient else clearing.welfare_nano <= best


@promising(efficient=True)
@given(orders=books())
def test_an_efficient_mechanism_proves_it(mechanism: Mechanism, orders: list[Order]) -> None:
    _, clearing = run(mechanism, orders)
    assert clearing.certificate is not None
    assert (clearing.certificate.gap_nano, clearing.certificate.residual_wh) == (0, 0)


@promising(truthful=True)
@settings(max_examples=25)
@given(orders=books().filter(bool), lie=st.integers(-1, 41), index=st.integers(0, 20))
def test_no_participant_of_a_truthful_mechanism_gains_by_another_limit(
    mechanism: Mechanism, orders: list[Order], lie: int, index: int
) -> None:
    alone = [replace(order, participant=i) for i, order in enumerate(orders)]
    who = index % len(alone)
    lying = [replace(o, limit_micro_per_kwh=lie) if i == who else o for i, o in enumerate(alone)]

    def utility(reported: list[Order]) -> int:
        _, clearing = run(mechanism, reported)
        gain = alone[who].side * (alone[who].limit_micro_per_kwh - int(clearing.price_micro_per_kwh[who]))
        return int(clearing.accepted_wh[who]) * gain

    assert utility(lying) <= utility(alone)


@promising(local_market=False)
@given(orders=books())
def test_without_a_local_market_nothing_trades_between_members(
    mechanism: Mechanism, orders: list[Order]
) -> None:
    _, clearing = run(mechanism, orders)
    assert not clearing.accepted_wh.any()
    assert clearing.node_price == (None,)


@every_mechanism
@given(orders=books(), random=st.randoms(use_true_random=False))
def test_the_order_in_which_orders_are_listed_changes_nothing(
    mechanism: Mechanism, orders: list[Order], random: object
) -> None:
    shuffled = list(orders)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    (_, a), (_, b) = run(mechanism, orders), run(mechanism, shuffled)
    assert a.accepted_wh.tolist() == b.accepted_wh.tolist()
    assert a.node_price == b.node_price


@every_mechanism
@given(orders=books())
def test_clearing_twice_gives_the_same(mechanism: Mechanism, orders: list[Order]) -> None:
    (_, a), (_, b) = run(mechanism, orders), run(mechanism, orders)
    assert a.accepted_wh.tolist() == b.accepted_wh.tolist()
    assert a.price_micro_per_kwh.tolist() == b.price_micro_per_kwh.tolist()


def test_the_mechanisms_of_both_folders_are_registered() -> None:
    assert {"retailer_only", "uniform_price"} <= set(registered())


def test_an_unknown_name_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(UnknownMechanism, match="Did you mean 'uniform_price'"):
        get("uniform_prize")


def test_a_name_is_registered_once() -> None:
    with pytest.raises(DuplicateMechanism, match="retailer_only"):
        register(get("retailer_only"))
