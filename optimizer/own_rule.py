"""A mechanism of one's own written in Pyomo: what the rule demands, and nothing else.

The rule is a function from the structure of a book (whose orders, buying or selling, at which nodes) to a model with
one quantity for each order. Limits and energies of the orders are put in here, and welfare is the objective. So the
model of a structure is built and compiled once, and afterwards only numbers change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from threading import local
from typing import Any, Literal, NamedTuple

import numpy as np

from market.book import OrderBook
from market.certificate import WithinRule
from market.clearing import Clearing, PriceInterval, no_trade
from market.mechanism import Mechanism, Promises
from market.parameters import K
from market.rules import MarketRules
from market.units import FloatArray, IntArray
from optimizer.errors import Infeasible, NotLinear, SolverFailed
from optimizer.solver.compile import CompiledModel, compile_model
from optimizer.solver.irreducible import irreducible
from optimizer.solver.rounding import whole_wh
from optimizer.solver.session import OPTIONS, Session

COST_PER_MICRO = 1e-3
"""Costs are in thousands of micro-currency: around 1e5 the simplex's tolerance of 1e-7 is beyond a float's digits."""
KEPT = 256
"""Structures whose compiled model a thread keeps."""
BALANCED_WH = 1e-3
"""What bought and sold may be apart by the solver's noise. [Wh]"""
TIME_LIMIT_S = 60.0
"""How long a model with whole numbers may take for one book; after it, nothing is published. [s]"""
_NAMED = 5

Prices = Literal["one_price", "own_limit"]


@dataclass(frozen=True, slots=True)
class Structure:
    """What a book has beside its numbers; a rule may depend on all of it.

    Args:
        participant: Of each order, whose it is: an index into the roster.
        side: Of each order, +1 buys, -1 sells.
        node: Of each order, its node; all 0 without a grid.
    """

    participant: tuple[int, ...]
    side: tuple[int, ...]
    node: tuple[int, ...]

    @classmethod
    def of_book(cls, book: OrderBook) -> Structure:
        """The structure of a book."""
        return cls(tuple(book.participant.tolist()), tuple(book.side.tolist()), tuple(book.node.tolist()))

    @property
    def orders(self) -> range:
        """The orders, which index the variables `quantity`."""
        return range(len(self.side))

    @property
    def bids(self) -> list[int]:
        """The orders that buy."""
        return [order for order in self.orders if self.side[order] > 0]

    @property
    def offers(self) -> list[int]:
        """The orders that sell."""
        return [order for order in self.orders if self.side[order] < 0]

    @property
    def participants(self) -> list[int]:
        """Everybody who has an order, in order of the roster."""
        return sorted(set(self.participant))

    def of(self, participant: int) -> list[int]:
        """The orders of one participant."""
        return [order for order in self.orders if self.participant[order] == participant]


Build = Callable[[Structure], Any]
"""A rule: a ConcreteModel with variables `quantity` by order and a constraint `balance`, see `own_rule`."""


def own_rule(name: str, build: Build, source: str, *, prices: Prices = "one_price") -> Mechanism:
    """Make a mechanism of a rule written in Pyomo; register it with `MECHANISMS.register`.

    The most welfare within the rule is found: of all quantities that satisfy the constraints of the model, those for
    which accepted energy times limit is largest, plus what an objective of the model itself adds.

    Args:
        name: What a scenario and the command line call it.
        build: Writes the model of a structure: `quantity[i]` for each order, above 0 where energy is bought and below 0
            where it is sold [Wh]; a constraint `balance` that what is bought is sold; and the constraints and further
            variables of the rule. An objective, if there is one, is added to the welfare [nano-currency]. A pure
            function. Bounds of `quantity` need not be written: those of the orders hold.
        source: Where the rule is defined: paper and equation, or a sentence.
        prices: one_price: everybody trades at one price, lo + k (hi - lo), and the quantities are the best for which
            there is one; own_limit: everybody pays or gets its own limit, and the operator keeps the difference.
    """
    promises = Promises(
        source=source,
        uniform_price=prices == "one_price",
        budget_balance="strong" if prices == "one_price" else "weak",
    )
    return Mechanism(name, partial(_clear, build, prices), promises, (K,))


def _clear(build: Build, prices: Prices, book: OrderBook, rules: MarketRules) -> Clearing:
    accepted, certificate = allocate(build, book)
    if prices == "one_price" and (accepted.any() and not _one_price_suits(book, accepted)):
        accepted, certificate = _best_at_one_price(build, book), None
    if not accepted.any():
        return replace(no_trade(book), certificate=certificate)
    of_node: tuple[PriceInterval | None, ...] = (None,)
    paid = book.limit_micro_per_kwh.copy()
    if prices == "one_price":
        found = _price_interval(book, accepted, rules.k_ppm)
        paid, of_node = np.full(len(book), found.price, dtype=np.int64), (found,)
    signed = book.side * accepted
    welfare = int(signed.dot(book.limit_micro_per_kwh))
    surplus = int(signed.dot(paid))
    return Clearing(accepted, paid, of_node, surplus, welfare, certificate=certificate)


def _extremes(book: OrderBook, accepted: IntArray) -> tuple[int, int]:
    """The highest limit of an accepted offer, and the lowest of an accepted bid. [micro-currency/kWh]"""
    limit, buys, some = book.limit_micro_per_kwh, book.side > 0, accepted > 0
    return int(limit[some & ~buys].max()), int(limit[some & buys].min())


def _one_price_suits(book: OrderBook, accepted: IntArray) -> bool:
    lo, hi = _extremes(book, accepted)
    return lo <= hi


def _best_at_one_price(build: Build, book: OrderBook) -> IntArray:
    """The best accepted energies of those at one price, by trying every limit; of equally good ones the lowest price.

    Under a rule of proportions the most welfare may need trades that lose, so that others may gain more. A price whose
    orders cannot satisfy the rule is no candidate.

    Raises:
        Infeasible: The orders that suit a price cannot satisfy the rule, whatever the price is.
    """
    best, refused = None, None
    for price in np.unique(book.limit_micro_per_kwh).tolist():
        suits = book.side * (book.limit_micro_per_kwh - price) >= 0
        try:
            found = _solved(build, replace(book, energy_wh=np.where(suits, book.energy_wh, 0)))
        except Infeasible as infeasible:
            refused = infeasible
            continue
        worth = int((book.side * found.accepted_wh).dot(book.limit_micro_per_kwh)) + found.added_nano
        if best is None or worth > best[0]:
            best = worth, found.accepted_wh
    if best is None:
        raise Infeasible(
            f"no one price suits quantities that satisfy the rule; at the highest limit {refused}"
        )
    return best[1]


def _price_interval(book: OrderBook, accepted: IntArray, k_ppm: int) -> PriceInterval:
    """The prices at which nobody would have it otherwise; where the rule leaves none, those at which nobody loses."""
    limit, buys, rest = book.limit_micro_per_kwh, book.side > 0, accepted < book.energy_wh
    lo, hi = _extremes(book, accepted)
    lowest = max([lo, *limit[rest & buys].tolist()])
    highest = min([hi, *limit[rest & ~buys].tolist()])
    return PriceInterval.at(lowest, highest, k_ppm) if lowest <= highest else PriceInterval.at(lo, hi, k_ppm)


def allocate(build: Build, book: OrderBook) -> tuple[IntArray, WithinRule | None]:
    """Find how much of each order a rule accepts; for a mechanism with prices of its own.

    A linear model is compiled once for each structure, and solved cold, so that of several optima the same one is
    found whatever was cleared before. Any other model is built and solved again for each book, through Pyomo.

    Args:
        build: As for `own_rule`.
        book: Orders of one interval. Not changed.

    Returns:
        Accepted energy of each order, less than 1 Wh away from what the solver found [Wh], and the solver-free proof
        that it is the optimum; None where the model is not linear.

    Raises:
        NotLinear: The rule returns no model, or one that lacks `quantity` or is of a kind that HiGHS cannot solve.
        Infeasible: No quantities satisfy the rule; the sentence names an irreducible set of its constraints.
        SolverFailed: The solver gave no proven optimum, or what is bought is not what is sold.
    """
    found = _solved(build, book)
    return found.accepted_wh, found.certificate


class _Solved(NamedTuple):
    """Accepted energies [Wh], what the model's own objective adds to their welfare [nano-currency], and the proof."""

    accepted_wh: IntArray
    added_nano: int
    certificate: WithinRule | None


def _solved(build: Build, book: OrderBook) -> _Solved:
    """The best quantities of a book; see `allocate`."""
    if not len(book):
        return _Solved(np.zeros(0, dtype=np.int64), 0, None)
    structure = Structure.of_book(book)
    rule = _compiled(build, structure)
    certificate = None
    if rule is None:
        quantity, added_nano = _solved_by_pyomo(_built(build, structure), book)
    else:
        quantity, added_nano, certificate = rule.solve(book)
    off_wh = float(quantity.sum())
    if abs(off_wh) > BALANCED_WH:
        raise SolverFailed(f"the rule buys {off_wh:g} Wh more than it sells; write a constraint `balance`")
    return _Solved(np.abs(whole_wh(quantity)), round(added_nano), certificate)


class _Rule:
    """The compiled model of one structure, and its session."""

    def __init__(self, model: Any, structure: Structure) -> None:
        from pyomo.environ import Constraint, Var

        _require_quantities(model, structure)
        column = {id(v): i for i, v in enumerate(model.component_data_objects(Var, active=True))}
        self.column = np.array([column[id(model.quantity[i])] for i in structure.orders])
        self.row_names = [c.name for c in model.component_data_objects(Constraint, active=True)]
        self.model = compile_model(model)
        self.session = Session(self.model)

    def solve(self, book: OrderBook) -> tuple[FloatArray, float, WithinRule]:
        """Quantity of each order [Wh, above 0 where bought], what the own objective adds [nano], and the proof."""
        cost, lower, upper = self.model.cost.copy(), self.model.lower.copy(), self.model.upper.copy()
        signed = book.side * book.energy_wh
        cost[self.column] -= book.limit_micro_per_kwh
        cost *= COST_PER_MICRO
        lower[self.column] = np.maximum(lower[self.column], np.minimum(signed, 0))
        upper[self.column] = np.minimum(upper[self.column], np.maximum(signed, 0))
        self.session.forget_basis()
        try:
            solution = self.session.resolve(cost, lower, upper)
        except Infeasible:
            asked = replace(self.model, cost=cost, lower=lower, upper=upper)
            raise Infeasible(self._in_words(asked)) from None
        added_nano = -float(self.model.cost @ solution.x)
        return solution.x[self.column], added_nano, WithinRule(solution.certificate)

    def _in_words(self, model: CompiledModel) -> str:
        rows, columns = irreducible(model, *self.session.irreducible())
        order_of = {column: order for order, column in enumerate(self.column.tolist())}
        named = [self.row_names[row] for row in rows]
        bounds = [f"the energy of order {order_of[c]}" for c in columns if c in order_of]
        words = [*named, *bounds]
        more = f" and {len(words) - _NAMED} more" if len(words) > _NAMED else ""
        return f"no quantities satisfy {', '.join(words[:_NAMED])}{more} together; without any one of them some do"


class _Kept(local):
    """The compiled rules of this thread, the newest last: HiGHS objects must not be shared between threads."""

    def __init__(self) -> None:
        self.of: dict[tuple[Build, Structure], _Rule | None] = {}


_KEPT = _Kept()


def _compiled(build: Build, structure: Structure) -> _Rule | None:
    """The compiled rule; None where its model is not linear."""
    kept, key = _KEPT.of, (build, structure)
    if key not in kept:
        if len(kept) >= KEPT:
            del kept[next(iter(kept))]
        model = _built(build, structure)
        kept[key] = _Rule(_with_objective(model), structure) if _is_linear(model) else None
    return kept[key]


def _built(build: Build, structure: Structure) -> Any:
    from pyomo.environ import ConcreteModel

    model = build(structure)
    if not isinstance(model, ConcreteModel):
        what = f"the rule returned a {type(model).__name__} instead of a ConcreteModel of Pyomo"
        raise NotLinear(f"{what}; end it with `return model`")
    return model


def _is_linear(model: Any) -> bool:
    from pyomo.environ import Var

    return all(v.is_continuous() for v in model.component_data_objects(Var, active=True))


def _with_objective(model: Any) -> Any:
    """The model with an objective of 0 where it has none."""
    from pyomo.environ import Objective

    if not list(model.component_data_objects(Objective, active=True)):
        model.nothing_added_to_welfare = Objective(expr=0.0)
    return model


def _require_quantities(model: Any, structure: Structure) -> None:
    found = getattr(model, "quantity", None)
    missing = found is None or any(i not in found for i in structure.orders)
    if missing:
        raise NotLinear("the model has no variables `quantity` by order; write Var(structure.orders)")


def solve_with_pyomo(model: Any, book: OrderBook) -> FloatArray:
    """Quantity of each order by a model that is built for this book. [Wh, above 0 where bought]

    Args:
        model: As `Build` writes it; its bounds and objective become those of the book.
        book: Orders of one interval. Not changed.

    Raises:
        NotLinear: The model lacks `quantity`.
        Infeasible: No quantities satisfy its constraints.
        SolverFailed: Pyomo's solver ended without an optimum.
    """
    return _solved_by_pyomo(model, book)[0]


def _solved_by_pyomo(model: Any, book: OrderBook) -> tuple[FloatArray, float]:
    """As `solve_with_pyomo`, and what the model's own objective adds to the welfare. [nano-currency]"""
    from pyomo.contrib.solver.common.results import TerminationCondition
    from pyomo.contrib.solver.solvers.highs import Highs
    from pyomo.environ import Objective, maximize, value

    _require_quantities(model, Structure.of_book(book))
    signed = (book.side * book.energy_wh).tolist()
    for i, most in enumerate(signed):
        quantity = model.quantity[i]
        quantity.setlb(max(x for x in (min(most, 0), quantity.lb) if x is not None))
        quantity.setub(min(x for x in (max(most, 0), quantity.ub) if x is not None))
    welfare = sum(limit * model.quantity[i] for i, limit in enumerate(book.limit_micro_per_kwh.tolist()))
    added: Any = 0.0
    for own in model.component_data_objects(Objective, active=True):
        added += own.expr if own.sense == maximize else -own.expr
        own.deactivate()
    model.welfare_of_the_book = Objective(expr=welfare + added, sense=maximize)
    result = Highs().solve(
        model,
        solver_options={"threads": OPTIONS["threads"], "mip_rel_gap": 0.0, "mip_abs_gap": 1e-4},
        time_limit=TIME_LIMIT_S,
        load_solutions=False,
        raise_exception_on_nonoptimal_result=False,
    )
    outcome = result.termination_condition
    if outcome == TerminationCondition.provenInfeasible:
        raise Infeasible("no quantities satisfy the constraints of the rule")
    if outcome != TerminationCondition.convergenceCriteriaSatisfied:
        raise SolverFailed(f"HiGHS, called by Pyomo, stopped with {outcome.name}")
    result.solution_loader.load_vars()
    return np.array([model.quantity[i].value for i in range(len(book))]), float(value(added))
