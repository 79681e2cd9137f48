"""The uniform-price call auction: maximum welfare at one price, by HiGHS, in closed form or by Pyomo.

A solver only says how much of each order is accepted. The price interval is read off that allocation, the
price and the margin come from the book and the rules. A dual value is never a price: at a degenerate
optimum it is one of many.
"""

from __future__ import annotations

from threading import local
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from market.auctions.uniform import at_one_price, clear_exact, fill
from market.book import OrderBook
from market.clearing import Clearing
from market.mechanism import MECHANISMS, Mechanism, Promises
from market.parameters import RATIONING, SEED, SOLVER, K
from market.rules import MarketRules
from market.units import FloatArray, IntArray
from optimizer.errors import SolverFailed, Unproven
from optimizer.models import uniform_price as model
from optimizer.solver.rounding import EXACT_WH, whole_wh
from optimizer.solver.session import OPTIONS, Session

GUESS_BASIS_FROM = 8_192
"""Slots from which the starting basis is guessed: the simplex pays the square of what moves in one row."""


class _Merit(NamedTuple):
    """The orders sorted by rising limit; a quantity is positive where energy is bought, negative where sold.

    Slot i is then always the i-th cheapest order, so that the basis of one interval nearly fits the next,
    and the simplex finds its ratios nearly sorted: at 1,000 orders this halves the time in HiGHS.

    Args:
        order: Row of the book of each slot.
        limit: [micro-currency/kWh]
        lower: Minus the energy of an offer, 0 for a bid. [Wh]
        upper: The energy of a bid, 0 for an offer. [Wh]
    """

    order: npt.NDArray[np.intp]
    limit: IntArray
    lower: IntArray
    upper: IntArray


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
    order = book.limit_micro_per_kwh.argsort()
    signed = (book.energy_wh * book.side)[order]
    upper = np.maximum(signed, 0)
    merit = _Merit(order, book.limit_micro_per_kwh[order], signed - upper, upper)
    if rules.solver == "pyomo":
        return _clearing_of(book, merit, _solve_pyomo(merit), rules)
    slots = _slots(len(book))
    try:
        return _clearing_of(book, merit, slots.solve(merit), rules)
    except Unproven:
        if int(book.energy_wh.sum()) >= EXACT_WH:
            raise SolverFailed(
                "energies beyond 2^53 Wh are not exact in a float; use solver 'exact'"
            ) from None
        slots.session.forget_basis()
        return _clearing_of(book, merit, slots.solve(merit), rules)


UNIFORM_PRICE = MECHANISMS.register(
    Mechanism(
        "uniform_price",
        clear,
        Promises(
            source="k-double auction: Rustichini, Satterthwaite, Williams, Econometrica 62 (1994), 1041-1063",
            uniform_price=True,
            efficient=True,
        ),
        (K, RATIONING, SEED, SOLVER),
    )
)


def _clearing_of(book: OrderBook, merit: _Merit, solved: FloatArray, rules: MarketRules) -> Clearing:
    """Read the price interval off an allocation, prove both in integers, and ration ties by the rules.

    lo is the highest limit of an accepted offer or an at least partly rejected bid, hi the lowest limit of
    an accepted bid or an at least partly rejected offer: with signed quantities, the last row below its
    upper bound and the first row above its lower bound.

    Raises:
        Unproven: The allocation is not feasible or not optimal.
    """
    limit, quantity = merit.limit, whole_wh(solved)
    below, above = (quantity < merit.upper).nonzero()[0], (quantity > merit.lower).nonzero()[0]
    if not (len(below) and len(above)):  # one side only, or no energy at all
        return clear_exact(book, rules)
    last, first = int(below[-1]), int(above[0])
    accepted = np.empty_like(quantity)
    accepted[merit.order] = quantity
    accepted *= book.side
    if np.count_nonzero(accepted > book.energy_wh) or np.count_nonzero(accepted < 0):
        raise Unproven("the solver accepts more than was ordered")
    lo, hi = int(limit[last]), int(limit[first])
    if lo > hi:
        raise Unproven(f"the solver's allocation is not optimal: no price is at least {lo} and at most {hi}")
    welfare = int(quantity.dot(limit))
    if _alone(limit, first, last):  # nothing ties, so this is the only optimum
        clearing = at_one_price(book, accepted, welfare, lo, hi, rules)
    else:
        clearing = fill(book, lo, hi, rules)
    proof = clearing.certificate
    if clearing.welfare_nano != welfare or proof is None or not proof.holds:
        raise Unproven(f"the solver's welfare of {welfare} nano is not that of {clearing}")
    return clearing


def _alone(limit: IntArray, first: int, last: int) -> bool:
    """Whether one partly filled order is the only one at its limit."""
    return (
        first == last
        and (first == 0 or bool(limit[first - 1] != limit[first]))
        and (first + 1 == len(limit) or bool(limit[first + 1] != limit[first]))
    )


class _Slots:
    """A hot session for books of up to `count` orders; slots that a book leaves over are pinned to 0."""

    def __init__(self, count: int) -> None:
        zero = np.zeros(count)
        self.session = Session(model.compiled(count))
        self.cost, self.lower, self.upper = zero, zero.copy(), zero.copy()
        self.used = 0

    def solve(self, merit: _Merit) -> FloatArray:
        count = len(merit.limit)
        self.cost[:count] = merit.limit
        np.negative(self.cost, out=self.cost)  # the compiled model minimises
        self.lower[:count] = merit.lower
        self.upper[:count] = merit.upper
        if count < self.used:
            self.lower[count:] = self.upper[count:] = 0.0
        self.used = count
        if len(self.cost) >= GUESS_BASIS_FROM:
            # Merit order: bids from the highest limit down, offers from the lowest up, to where both meet.
            supply = np.cumsum(merit.upper - merit.lower)
            self.session.start_from(int(supply.searchsorted(merit.upper.sum())))
        return self.session.answer(self.cost, self.lower, self.upper)[:count]


class _HotSlots(local):
    """The sessions of this thread by number of orders: HiGHS objects must not be shared between threads."""

    def __init__(self) -> None:
        self.of: dict[int, _Slots] = {}


_HOT = _HotSlots()


def _slots(orders: int) -> _Slots:
    found = _HOT.of.get(orders)
    if found is None:
        # Sixteen counts in each doubling: few structures to compile, and at most a sixteenth of the slots left over.
        step = max(4, 1 << max(0, (orders - 1).bit_length() - 5))
        count = max(16, -(-orders // step) * step)
        found = next((slots for slots in _HOT.of.values() if len(slots.cost) == count), None) or _Slots(count)
        _HOT.of[orders] = found
    return found


def _solve_pyomo(merit: _Merit) -> FloatArray:
    """Solve the model through Pyomo, built each time: slow, and the reference for the hot path."""
    from pyomo.contrib.solver.common.results import TerminationCondition
    from pyomo.contrib.solver.solvers.highs import Highs

    instance = model.build(merit.limit.tolist(), merit.lower.tolist(), merit.upper.tolist())
    options = {name: OPTIONS[name] for name in ("presolve", "solver", "threads")}
    result = Highs().solve(
        instance, solver_options=options, load_solutions=False, raise_exception_on_nonoptimal_result=False
    )
    outcome = result.termination_condition
    if outcome != TerminationCondition.convergenceCriteriaSatisfied:
        raise SolverFailed(f"HiGHS, called by Pyomo, stopped with {outcome.name}")
    result.solution_loader.load_vars()
    return np.array([instance.quantity[i].value for i in range(len(merit.limit))])
