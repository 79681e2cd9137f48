"""The exact optimum of trades between pairs: linear programs on shrinking windows, finished in closed form.

Each agent's cost is replaced by a few straight segments on a window round the last answer, and pairs come in as columns
only where the prices say that they would gain. Every answer gives prices, prices give a bound without a solver, and the
active pairs give a candidate in closed form. It ends where candidate and bound meet.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from market.units import FloatArray, IntArray
from optimizer.bilateral.forest import Settled, canonical_prices, finish
from optimizer.bilateral.market import WH_PER_KWH, Market, bound, refuse_isolated
from optimizer.errors import Infeasible, SolverFailed
from optimizer.progress import Teller
from optimizer.solver.builder import Columns, ModelBuilder
from optimizer.solver.compile import CompiledModel, by_column
from optimizer.solver.session import Session

SEGMENTS = 6
"""Straight pieces of a cost curve on its window."""

SHRINK = 3.0
"""What a window is divided by once the answer lies inside it."""

GAP = 1e-9
"""Relative gap at which an optimum counts as found."""

LP_MAX = 200
_CHEAPEST = 4
"""Pairs per agent to begin with, and pairs that a buyer may get per program."""

NANO = 1e6
"""Nano-currency of a thousandth of currency."""

_GAINS = 1e-9
"""A reduced cost below minus this, relative to the spread of prices, is a gain."""


class Optimum(NamedTuple):
    """Trades with their proof.

    Args:
        trades: Trades, and prices that share the gain by rule.
        proof: Prices that prove the bound, shape (n,). [currency/kWh]
        objective: Their cost. [thousandths of currency]
        bound: What no trades can cost less than. [thousandths of currency]
        gap: (objective - bound) / sum of the absolute costs.
        programs: Linear programs solved.
        columns: Pairs that came into them.
    """

    trades: Settled
    proof: FloatArray
    objective: float
    bound: float
    gap: float
    programs: int
    columns: int


def solve(market: Market, gap: float = GAP) -> Optimum:
    """The trades of least cost.

    Args:
        market: n agents, m pairs.
        gap: Relative gap at which to stop.

    Returns:
        The best trades found; their `gap` is proven, also where it is above the one asked for.

    Raises:
        Infeasible: No trades satisfy all limits.
        SolverFailed: HiGHS gave no answer, and there are no trades yet.
    """
    refuse_isolated(market)
    search, tell = _Search(market, gap), Teller()
    try:
        while search.best.gap > gap and search.programs < LP_MAX and search.step():
            tell(search.best.objective * NANO, search.best.bound * NANO, search.programs)
    except SolverFailed:
        if not np.isfinite(search.best.gap):  # otherwise the best so far has a proof of its own
            raise
    best = search.best
    ruled = proven(market, best.trades._replace(price=canonical_prices(market, best.trades)))
    own = best.trades._replace(price=best.proof)
    # Prices by rule, unless they prove clearly less than those of the search.
    best = ruled if ruled.gap <= max(2.0 * best.gap, gap) else best._replace(trades=own)
    return best._replace(programs=search.programs, columns=len(search.pairs))


def proven(market: Market, trades: Settled, proof: FloatArray | None = None) -> Optimum:
    """Trades with the gap that prices prove: their own, or `proof`."""
    proof = trades.price if proof is None else proof
    objective = market.objective(trades.p, trades.quantity, trades.pair)
    least = bound(market, proof)
    size = max(market.size(trades.p, trades.quantity, trades.pair), abs(least))
    gap = max(0.0, objective - least) / size if size else 0.0
    return Optimum(trades, proof, objective, least, gap, 0, 0)


class _Search:
    """The programs of one market, one after another."""

    def __init__(self, market: Market, gap: float) -> None:
        self.market, self.gap = market, gap
        agents = market.agents
        n = len(agents)
        self.energy = float(max(np.abs(agents.least).max(initial=0), agents.most.max(initial=0), 1.0))
        limits = np.concatenate((agents.marginal(agents.least), agents.marginal(agents.most)))
        spread = float(np.ptp(limits)) if n else 0.0
        self.money = spread or float(np.abs(limits).max(initial=0)) or 1.0
        self.low, self.high = agents.least.copy(), agents.most.copy()
        nobody = np.zeros(n)
        idle = Settled(nobody, np.zeros(0, dtype=np.int64), np.zeros(0), agents.start.copy())
        self.best = proven(market, idle)
        self.pairs = _first_pairs(market)
        if (agents.least > 0).any() or (agents.most < 0).any():
            self.pairs = np.union1d(self.pairs, feasible_pairs(market))
            self.best = self.best._replace(gap=np.inf, objective=np.inf)
        self.session = Session(self._model())
        self.programs = 0

    def step(self) -> bool:
        """Solve one program, look for better trades and a better bound; False where nothing is left to try."""
        market, n = self.market, len(self.market.agents)
        answer = self.session.resolve(*self._columns())
        x = answer.x * self.energy
        price = answer.row_price[:n] * self.money
        quantity = np.maximum(x[n * (1 + SEGMENTS) :], 0.0)
        p = x[:n] + x[n : n * (1 + SEGMENTS)].reshape(SEGMENTS, n).sum(axis=0)
        self.programs += 1
        self._keep(proven(market, Settled(p, self.pairs, quantity, price)))
        if self._grow(price):
            return True
        finished = finish(market, self.pairs, quantity)
        if finished is not None:
            self._keep(proven(market, finished))
            if self.best.gap > self.gap:  # where whole groups are at their limits, one price is not enough
                self._keep(proven(market, finished, canonical_prices(market, finished)))
        return self._windows(p)

    def _keep(self, new: Optimum) -> None:
        """Keep the better trades and the better bound, whichever answer each came from."""
        trades = min((self.best, new), key=lambda one: one.objective).trades
        proof = max((self.best, new), key=lambda one: one.bound).proof
        both = proven(self.market, trades, proof)
        self.best = min((new, both, self.best), key=lambda one: one.gap)

    def _windows(self, p: FloatArray) -> bool:
        """Shrink the windows round an answer inside, move those that it pushes against; False at floating point."""
        agents = self.market.agents
        width = self.high - self.low
        edge = 1e-9 * self.energy
        pushed = (p <= self.low + edge) & (self.low > agents.least)
        pushed |= (p >= self.high - edge) & (self.high < agents.most)
        half = 0.5 * np.where(pushed, 2 * width, width / SHRINK)
        self.low = np.clip(p - half, agents.least, agents.most)
        self.high = np.clip(p + half, agents.least, agents.most)
        return bool((width > 1e-13 * self.energy).any())

    def _grow(self, price: FloatArray) -> bool:
        """Bring in the pairs that gain most at a price, at most a few a buyer."""
        market = self.market
        reduced = market.pair_cost + price[market.seller] - price[market.buyer]
        reduced[self.pairs] = 0.0
        gaining = np.flatnonzero(reduced < -_GAINS * self.money)
        if not len(gaining):
            return False
        self._add(gaining[_least_of_each(market.buyer[gaining], reduced[gaining])])
        return True

    def _add(self, fresh: IntArray) -> None:
        count, market = len(fresh), self.market
        column = np.tile(np.arange(count, dtype=np.int32), 2)
        row = np.concatenate((market.seller[fresh], market.buyer[fresh])).astype(np.int32)
        entries = by_column(column, row, np.repeat((-1.0, 1.0), count), count, len(market.agents))
        self.session.add_columns(
            market.pair_cost[fresh] / self.money, np.zeros(count), np.full(count, np.inf), entries
        )
        self.pairs = np.concatenate((self.pairs, fresh))

    def _columns(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Costs and bounds: what each agent holds, its segments, the pairs; in units of energy and money."""
        agents, n = self.market.agents, len(self.market.agents)
        ends = self.low + (self.high - self.low) * np.arange(SEGMENTS + 1)[:, None] / SEGMENTS
        chord = 0.5 * agents.slope * (ends[1:] + ends[:-1]) + agents.start
        cost = np.concatenate((np.zeros(n), chord.ravel(), self.market.pair_cost[self.pairs])) / self.money
        lower = np.concatenate((self.low / self.energy, np.zeros(SEGMENTS * n + len(self.pairs))))
        length = np.diff(ends, axis=0).ravel() / self.energy
        upper = np.concatenate((self.low / self.energy, length, np.full(len(self.pairs), np.inf)))
        return cost, lower, upper

    def _model(self) -> CompiledModel:
        n = len(self.market.agents)
        cost, lower, upper = self._columns()
        own = n * (1 + SEGMENTS)
        model = ModelBuilder()
        held = model.variables("held", own, lower[:own], upper[:own], cost[:own])
        traded = model.variables("traded", len(self.pairs), 0.0, upper[own:], cost[own:])
        ends = _ends(self.market, self.pairs, traded)
        model.sums("balance", n, [(held, np.tile(np.arange(n), 1 + SEGMENTS), 1.0), *ends], 0.0, 0.0)
        return model.compile()


def _ends(market: Market, pair: IntArray, traded: Columns) -> list[tuple[Columns, IntArray, float]]:
    """What pairs trade, in the rows of agents: it takes from its seller's and adds to its buyer's."""
    return [(traded, market.seller[pair], -1.0), (traded, market.buyer[pair], 1.0)]


def _entries(market: Market, pair: IntArray) -> dict[str, IntArray | FloatArray]:
    """The columns of pairs: each takes from its seller's row and adds to its buyer's."""
    count = len(pair)
    return {
        "start": np.arange(0, 2 * count + 1, 2, dtype=np.int32),
        "index": np.column_stack((market.seller[pair], market.buyer[pair])).ravel().astype(np.int32),
        "value": np.tile((-1.0, 1.0), count),
    }


def _first_pairs(market: Market) -> IntArray:
    """The pairs of least cost of each agent; the middle of its marginal costs is what it brings itself."""
    agents = market.agents
    middle = agents.marginal(0.5 * (agents.least + agents.most))
    loss = market.pair_cost + middle[market.seller] - middle[market.buyer]
    ends = (market.seller, market.buyer)
    return np.unique(np.concatenate([_least_of_each(end, loss) for end in ends]))


def _least_of_each(key: IntArray, loss: FloatArray) -> IntArray:
    """Positions of the few least losses of each key."""
    order = np.lexsort((loss, key))
    ranked = key[order]
    first = np.concatenate(([True], np.diff(ranked) > 0)) if len(ranked) else np.zeros(0, dtype=np.bool_)
    start = np.maximum.accumulate(np.where(first, np.arange(len(ranked)), 0))
    found: IntArray = order[np.arange(len(ranked)) - start < _CHEAPEST]
    return found


def feasible_pairs(market: Market) -> IntArray:
    """Pairs on which all limits can be kept.

    Raises:
        Infeasible: On no pairs at all; says how much must be produced or consumed and cannot be traded.
    """
    agents, n, m = market.agents, len(market.agents), len(market.seller)
    energy = float(max(np.abs(agents.least).max(), agents.most.max()))
    model, row = ModelBuilder(), np.arange(n)
    own = model.variables("own", n, agents.least / energy, agents.most / energy)
    from_nowhere = model.variables("from_nowhere", n, cost=1.0)
    to_nowhere = model.variables("to_nowhere", n, cost=1.0)
    traded = model.variables("traded", m)
    parts = [(own, row, 1.0), (from_nowhere, row, 1.0), (to_nowhere, row, -1.0)]
    model.sums("balance", n, [*parts, *_ends(market, np.arange(m), traded)], 0.0, 0.0)
    program = model.compile()
    x = Session(program).resolve(program.cost, program.lower, program.upper).x * energy
    made, lost = x[from_nowhere].sum(), x[to_nowhere].sum()
    if lost > 0.5:
        raise Infeasible(
            f"{lost / WH_PER_KWH:g} kWh that must be produced have no partner with room for them"
        )
    if made > 0.5:
        raise Infeasible(
            f"{made / WH_PER_KWH:g} kWh that must be consumed have no partner who can produce them"
        )
    return np.flatnonzero(x[traded] > 0)
