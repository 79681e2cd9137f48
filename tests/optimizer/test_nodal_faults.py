"""A solver that goes wrong: its answer is caught, solved again from a cold start or reported, and never published."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from market.auctions.nodal_proof import check
from market.book import OrderBook
from market.certificate import NodalPrices
from market.clearing import Clearing, PriceInterval
from market.errors import InfeasibleClearing
from market.grid import Grid
from market.units import FloatArray
from optimizer.errors import SolverFailed, Unproven
from optimizer.mechanisms.nodal_price import clear
from optimizer.nodal.program import Slots, slots_for
from optimizer.solver.session import Session
from tests.kits.grid_kit import book_of, grid_of, on, random_book, random_grid

KINDS = ("tree", "voltage", "mesh")


def congested(kind: str, count: int) -> list[tuple[OrderBook, Grid, Clearing]]:
    """Cases with different prices."""
    rng, found = np.random.default_rng(11), []
    while len(found) < count:
        grid = random_grid(rng, kind)
        book = random_book(rng, grid, 16, 1_000)
        clearing = clear(book, on(grid))
        if len(set(clearing.node_price)) > 1:
            found.append((book, grid, clearing))
    return found


def shifted(x: FloatArray) -> FloatArray:
    """Another allocation: the first two accepted orders give and take 40 Wh."""
    at = np.flatnonzero(x > 50)[:2]
    x = x.copy()
    x[at] += (-40.0, -40.0)
    return x


MUTANTS: dict[str, Callable[[FloatArray], FloatArray]] = {
    "perturbed": shifted,
    "nothing": np.zeros_like,
    "twice": lambda x: 2 * x + 1,
    "not a number": lambda x: x * np.nan,
    "reversed": lambda x: x[::-1].copy(),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_answer_is_solved_again_cold_and_the_clearing_is_the_right_one(
    kind: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for book, grid, right in congested(kind, 6):
        calls: list[str] = []
        solve, forget = Slots.solve, Session.forget_basis

        def wrong_once(
            self: Slots, book: OrderBook, calls: list[str] = calls, solve: Any = solve
        ) -> FloatArray:
            calls.append("solve")
            x: FloatArray = solve(self, book)
            return MUTANTS[name](x) if len(calls) == 1 else x

        def noted(self: Session, calls: list[str] = calls, forget: Any = forget) -> None:
            calls.append("cold")
            forget(self)

        with monkeypatch.context() as patch:
            patch.setattr(Slots, "solve", wrong_once)
            patch.setattr(Session, "forget_basis", noted)
            found = clear(book, on(grid))
        assert found.accepted_wh.tolist() == right.accepted_wh.tolist()
        assert found.node_price == right.node_price
        assert calls in (["solve", "cold", "solve"], ["solve"])
        if name != "reversed":
            assert calls == ["solve", "cold", "solve"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["perturbed", "nothing", "twice", "not a number"])
def test_an_answer_that_stays_wrong_is_an_error_and_no_clearing(
    kind: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = congested(kind, 4)
    solve = Slots.solve
    monkeypatch.setattr(Slots, "solve", lambda self, book: MUTANTS[name](solve(self, book)))
    for book, grid, _ in cases:
        with pytest.raises(Unproven):
            clear(book, on(grid))


class Stub:
    """A HiGHS object of which one method says something else."""

    def __init__(self, highs: Any, **other: Any) -> None:
        self._highs, self._other = highs, other

    def __getattr__(self, name: str) -> Any:
        return self._other.get(name) or getattr(self._highs, name)


CONGESTED = book_of((0, -8_000, 60_000), (1, 8_000, 240_000))


@pytest.mark.parametrize("status", ["kTimeLimit", "kNotset", "kUnbounded", "kIterationLimit"])
def test_another_status_is_never_read_as_an_answer(status: str) -> None:
    """Numbers of the right length are there after each of them."""
    import highspy

    grid = grid_of([(0, 1)], [5_000])
    clear(CONGESTED, on(grid))
    session = slots_for_grid(grid).session
    session._highs = Stub(session._highs, getModelStatus=lambda: getattr(highspy.HighsModelStatus, status))
    with pytest.raises(SolverFailed, match="status"):
        clear(CONGESTED, on(grid))


def test_a_time_limit_is_an_error_and_no_clearing() -> None:
    grid = grid_of([(0, 1)], [5_000])
    clear(CONGESTED, on(grid))
    session = slots_for_grid(grid).session
    session._highs.setOptionValue("time_limit", 0.0)
    session.forget_basis()
    with pytest.raises(SolverFailed, match="Time limit"):
        clear(replace(CONGESTED, limit_micro_per_kwh=CONGESTED.limit_micro_per_kwh + 1), on(grid))


def test_changed_threads_are_an_error_with_what_to_do() -> None:
    grid = grid_of([(0, 1)], [5_000])
    clear(CONGESTED, on(grid))
    session = slots_for_grid(grid).session
    import highspy

    session._highs = Stub(session._highs, run=lambda: highspy.HighsStatus.kError)
    with pytest.raises(SolverFailed, match="`threads` option"):
        clear(CONGESTED, on(grid))


def slots_for_grid(grid: Grid) -> Slots:
    from market.auctions.network import network_of

    return slots_for(network_of(grid), CONGESTED)


# ---- the check of others


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_clearing_is_never_proven(kind: str) -> None:
    """Energy moved from one order to another, prices moved, flows, voltages and rent misstated: each is found.

    What is moved costs more than whole Wh and whole micro may: 0.5 kWh at 0.05 a kWh at least.
    """
    for book, grid, right in congested(kind, 8):
        assert check(book, grid, right).holds
        for wrong in changed(book, grid, right):
            with suppress(InfeasibleClearing):
                assert not check(book, grid, wrong).holds


def changed(book: OrderBook, grid: Grid, right: Clearing) -> list[Clearing]:
    found = []
    proof = right.certificate
    assert isinstance(proof, NodalPrices)
    # Orders of one side exchange energy, and all that follows from it is stated as it then is.
    for side in (1, -1):
        some = np.flatnonzero((book.side == side) & (right.accepted_wh > 500))
        room = np.flatnonzero((book.side == side) & (right.accepted_wh <= book.energy_wh - 500))
        pairs = [
            (a, b) for a in some for b in room if abs(gain(book, right, a) - gain(book, right, b)) > 50_000
        ]
        for a, b in pairs[:2]:
            accepted = right.accepted_wh.copy()
            accepted[a] -= 500
            accepted[b] += 500
            found.append(restated(book, replace(right, accepted_wh=accepted)))
    # A price of its own at one node, for all its orders.
    for node in range(len(grid.nodes)):
        price = proof.price_micro_per_kwh.copy()
        price[node] += 60_000
        at = right.node_price[node]
        if at is None or regret(book, right, node, int(price[node])) <= 3 * proof.allowed_gap_nano + 10**7:
            continue  # hardly anybody there would want anything else
        prices = list(right.node_price)
        prices[node] = PriceInterval(at.lo, int(price[node]), int(price[node]))
        paid = np.where(book.node == node, price[node], right.price_micro_per_kwh)
        moved = replace(right, price_micro_per_kwh=paid, node_price=tuple(prices))
        found.append(restated(book, replace(moved, certificate=replace(proof, price_micro_per_kwh=price))))
    details = dict(right.details)
    for flow in (details["line_flow_wh"] + 1, details["line_flow_wh"] * np.nan):
        found.append(replace(right, details={**details, "line_flow_wh": flow}))
    found.append(replace(right, details={**details, "congestion_rent_nano": 1 + right.operator_surplus_nano}))
    if "v_squared" in details:
        found.append(replace(right, details={**details, "v_squared": details["v_squared"] * 1.001}))
    found.append(replace(right, welfare_nano=right.welfare_nano + 10**9))
    found.append(replace(right, certificate=None))
    return found


def gain(book: OrderBook, clearing: Clearing, row: int) -> int:
    assert isinstance(clearing.certificate, NodalPrices)
    price = clearing.certificate.price_micro_per_kwh[book.node[row]]
    return int(book.side[row] * (book.limit_micro_per_kwh[row] - price))


def regret(book: OrderBook, clearing: Clearing, node: int, price: int) -> int:
    """What the orders of a node would gain in all by what they want at a price. [nano]"""
    gain = book.side * (book.limit_micro_per_kwh - price)
    lost = np.maximum(gain, 0) * book.energy_wh - gain * clearing.accepted_wh
    return int(lost[book.node == node].sum())


def restated(book: OrderBook, clearing: Clearing) -> Clearing:
    """The clearing with welfare and surplus as they are, and without figures of the grid."""
    surplus = int(clearing.payment_nano(book).sum())
    welfare = int(np.dot(book.side * clearing.accepted_wh, book.limit_micro_per_kwh))
    return replace(clearing, welfare_nano=welfare, operator_surplus_nano=surplus, details={})


@pytest.mark.parametrize("by", [-1, 1])
def test_each_end_of_each_interval_of_a_tree_is_recomputed(by: int) -> None:
    tried = 0
    for book, grid, right in congested("tree", 8):
        if len({one.price for one in right.node_price if one is not None}) == 1:
            continue  # lines that are just full leave more than the interval of one price
        for node, one in enumerate(right.node_price):
            if one is None:
                continue
            for lo, hi in ((one.lo + by, one.hi), (one.lo, one.hi + by)):
                if lo <= one.price <= hi:
                    prices = list(right.node_price)
                    prices[node] = PriceInterval(lo, hi, one.price)
                    with pytest.raises(InfeasibleClearing, match="orders and lines leave"):
                        check(book, grid, replace(right, node_price=tuple(prices)))
                    tried += 1
    assert tried > 20


@pytest.mark.parametrize("kind", ["voltage", "mesh"])
def test_no_interval_passes_an_order_of_its_node(kind: str) -> None:
    tried = 0
    for book, grid, right in congested(kind, 8):
        for node, one in enumerate(right.node_price):
            limits = book.limit_micro_per_kwh[(book.node == node) & (book.energy_wh > 0)]
            above = limits[limits > (one.price + 1 if one else 0)]
            if one is not None and len(above):
                prices = list(right.node_price)
                prices[node] = PriceInterval(one.lo, int(above.min()) + 1, one.price)
                with pytest.raises(InfeasibleClearing, match="past an order at"):
                    check(book, grid, replace(right, node_price=tuple(prices)))
                tried += 1
    assert tried > 10
