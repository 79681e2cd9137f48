"""The uniform-price call auction (k-double auction): maximum welfare at one price, by HiGHS, in closed form or by Pyomo.

A solver only says how much of each order is accepted. The price interval is read off that allocation, the price and the
margin come from the book and the rules; a dual value is never a price, because it is one of many at a degenerate optimum.
"""

from __future__ import annotations

from threading import local
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from market.auction import at_one_price, clear_exact, fill
from market.book import OrderBook
from market.clearing import Clearing
from market.mechanism import Mechanism, Promises, register
from market.rules import MarketRules
from market.units import IntArray
from optimizer.compile import FloatArray, compile_model
from optimizer.errors import SolverFailed
from optimizer.models import uniform_price as model
from optimizer.rounding import whole_wh
from optimizer.session import OPTIONS, Session

GUESS_BASIS_FROM = 8_192
"""Slots from which a starting basis is guessed: a dual simplex step over one dense row is quadratic in what moves."""


def clear(book: OrderBook, rules: MarketRules) -> Clearing:
    """Clear at one price with the solver that the rules name; all give the same clearing.

    Args:
        book: Orders of one interval. Not changed.
        rules: Uses `solver`, `k_ppm`, `rationing` and `seed`.

    Raises:
        SolverFailed: The solver gave no answer, or one that is not the optimum.
    """
    if rules.solver == "exact" or not len(book):
        return clear_exact(book, rules)
    # Merit order: slot i is always the i-th cheapest order, so the basis of one interval nearly fits the next, and
    # the simplex has little to sort. A bid is positive and an offer negative.
    order = book.limit_micro_per_kwh.argsort()
    limit = book.limit_micro_per_kwh[order]
    signed = (book.energy_wh * book.side)[order]
    solved = _solve_hot(limit, signed) if rules.solver == "highs" else _solve_pyomo(limit, signed)
    return _clearing_of(book, order, limit, solved, rules)


UNIFORM_PRICE = register(
    Mechanism(
        "uniform_price",
        clear,
        Promises(
            source="k-double auction: Rustichini, Satterthwaite, Williams, Econometrica 62 (1994), 1041-1063",
            uniform_price=True,
            efficient=True,
        ),
    )
)


class _Solved(NamedTuple):
    """Quantities in merit order and their bounds: [0, energy] of a bid, [-energy, 0] of an offer. [Wh]"""

    quantity: FloatArray
    lower: FloatArray
    upper: FloatArray


def _clearing_of(
    book: OrderBook, order: npt.NDArray[np.intp], limit: IntArray, solved: _Solved, rules: MarketRules
) -> Clearing:
    """Read the price interval off an optimal allocation; where orders tie at the price, ration them by the rules.

    lo is the highest limit of an accepted offer or an at least partly rejected bid, hi the lowest limit of an accepted
    bid or an at least partly rejected offer: with signed quantities, the last row below its upper bound and the first
    row above its lower bound.
    """
    quantity = whole_wh(solved.quantity)
    below, above = quantity < solved.upper, quantity > solved.lower
    last, first = len(below) - 1 - int(below[::-1].argmax()), int(above.argmax())
    if not (below[last] and above[first]):  # one side only, or no energy at all
        return clear_exact(book, rules)
    lo, hi = int(limit[last]), int(limit[first])
    if lo > hi:
        raise SolverFailed(
            f"the solver's allocation is not optimal: no price is at least {lo} and at most {hi}"
        )
    welfare = int(quantity.dot(limit))
    if lo < hi or _alone(
        limit, first, last
    ):  # no choice was left to the solver: its allocation is the only optimal one
        accepted = np.empty_like(quantity)
        accepted[order] = np.abs(quantity)
        return at_one_price(book, accepted, welfare, lo, hi, rules)
    clearing = fill(book, lo, hi, rules)
    if clearing.welfare_nano != welfare:
        raise SolverFailed(
            f"the solver's welfare is {welfare} nano, that of its price interval {clearing.welfare_nano}"
        )
    return clearing


def _alone(limit: IntArray, first: int, last: int) -> bool:
    """Whether one partly filled order is the only one at its limit, in a list sorted by limit."""
    return (
        first == last
        and (first == 0 or limit[first - 1] != limit[first])
        and (first + 1 == len(limit) or limit[first + 1] != limit[first])
    )


class _Slots:
    """A hot session for books of up to `count` orders; slots that a book leaves over are pinned to 0."""

    def __init__(self, count: int) -> None:
        zero = np.zeros(count)
        self.session = Session(compile_model(model.build([1.0] * count, zero.tolist(), zero.tolist())))
        self.cost, self.lower, self.upper = zero, zero.copy(), zero.copy()
        self.used = 0

    def solve(self, limit: IntArray, signed: IntArray) -> _Solved:
        count = len(limit)
        lower, upper = self.lower[:count], self.upper[:count]
        self.cost[:count] = limit
        np.negative(self.cost, out=self.cost)
        lower[:] = upper[:] = signed
        np.minimum(lower, 0.0, out=lower)
        np.maximum(upper, 0.0, out=upper)
        if count < self.used:
            self.lower[count:] = self.upper[count:] = 0.0
        self.used = count
        if len(self.cost) >= GUESS_BASIS_FROM:
            # All energy below the balance point is offered and all above it is bid: right unless limits tie.
            self.session.start_from(int(np.cumsum(upper - lower).searchsorted(upper.sum())))
        return _Solved(self.session.resolve(self.cost, self.lower, self.upper).x[:count], lower, upper)


class _HotSlots(local):
    """The sessions of this thread by slot count: HiGHS objects must not be shared between threads."""

    def __init__(self) -> None:
        self.by_count: dict[int, _Slots] = {}


_HOT = _HotSlots()


def _slot_count(orders: int) -> int:
    """The next of 16, 20, 24, 28, 32, 40, 48, ..: few structures to compile, and at most a quarter left over."""
    step = max(4, 1 << max(0, (orders - 1).bit_length() - 3))
    return max(16, -(-orders // step) * step)


def _solve_hot(limit: IntArray, signed: IntArray) -> _Solved:
    count = _slot_count(len(limit))
    slots = _HOT.by_count.get(count)
    if slots is None:
        slots = _HOT.by_count[count] = _Slots(count)
    return slots.solve(limit, signed)


def _solve_pyomo(limit: IntArray, signed: IntArray) -> _Solved:
    """Solve the model through Pyomo, built anew: slow, and the reference for the hot path."""
    from pyomo.contrib.solver.common.results import TerminationCondition
    from pyomo.contrib.solver.solvers.highs import Highs

    lower, upper = np.minimum(signed, 0.0), np.maximum(signed, 0.0)
    instance = model.build(limit.tolist(), lower.tolist(), upper.tolist())
    options = {name: OPTIONS[name] for name in ("presolve", "solver", "threads")}
    result = Highs().solve(
        instance, solver_options=options, load_solutions=False, raise_exception_on_nonoptimal_result=False
    )
    outcome = result.termination_condition
    if outcome != TerminationCondition.convergenceCriteriaSatisfied:
        raise SolverFailed(f"HiGHS, called by Pyomo, stopped with {outcome.name}")
    result.solution_loader.load_vars()
    return _Solved(np.array([instance.quantity[i].value for i in range(len(limit))]), lower, upper)
