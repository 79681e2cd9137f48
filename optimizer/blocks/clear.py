"""Clear a horizon: search, round to whole Wh, choose prices, settle to the nano, and prove the result."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from typing import Any, NamedTuple

import numpy as np

from market.book import OrderBook
from market.clearing import Clearing, PriceInterval, averaged, no_trade
from market.errors import InfeasibleClearing, InvalidBook
from market.horizon import Horizon, problems_of, read_horizon
from market.orders import NONE
from market.rules import MarketRules
from market.schedule import (
    check_schedule,
    losses_nano,
    moved_nano,
    parents_of,
    rounding_nano,
    values_nano,
)
from market.units import PPM, BoolArray, FloatArray, IntArray, largest_remainder
from optimizer.blocks.hot import Clock
from optimizer.blocks.infeasible import Unreachable, culprits, refuse_unreachable
from optimizer.blocks.prices import best_flow, nearest_prices
from optimizer.blocks.proof import ProofNode, ProvenAnswer, SearchedGap, proven_bound
from optimizer.blocks.region import Space, space_of
from optimizer.blocks.search import Found, Search
from optimizer.blocks.whole import Market, Schedule, clear_interval, planned_of, whole_schedule
from optimizer.errors import Infeasible, SolverFailed
from optimizer.fleet.market import coordinated, is_for_many
from optimizer.fleet.response import batteries_of, best_response, surplus
from optimizer.models.multi_interval import HorizonModel, compiled

AT_ONCE_WH = 1e-3
"""A storage charges and discharges at once where it loses more than this by it."""


class Limits(NamedTuple):
    """What the market asks of a clearing.

    Args:
        price_range: Lowest and highest price. [micro-currency/kWh]
        time_limit_s: Of all searches.
        most_nodes: Of the trees of all searches, which then end at the same clearing on every machine; None for any
            number.
    """

    price_range: tuple[int, int]
    time_limit_s: float
    most_nodes: int | None = None


class Solved(NamedTuple):
    """The answer of the search before rounding.

    Args:
        model: The program.
        found: Its answer and proof.
        no_discharge: Intervals in which storages do not discharge.
        coordinated: Whether many storages were coordinated by prices; these then are the prices of the market.
        answers: Of all searches, the last one included; see `SearchedGap`.
        given: Whether somebody wrote the answer down, who may have chosen its row prices among all that support it.
    """

    model: HorizonModel
    found: Found
    no_discharge: BoolArray
    coordinated: bool = False
    answers: tuple[ProvenAnswer, ...] = ()
    given: bool = False


def clear_horizon(book: OrderBook, rules: MarketRules, limits: Limits) -> Clearing:
    """Clear all intervals of a horizon at once.

    Args:
        book: Orders of a horizon. Not changed.
        rules: Uses `k_ppm` and `rationing`.
        limits: Prices and time.

    Returns:
        A clearing with a schedule, prices of all intervals, and the tree of the search as its certificate.

    Raises:
        InvalidBook: Orders name others that do not exist.
        Infeasible: No clearing exists.
        SolverFailed: The solver gave no answer, or rounding costs more than it may.
    """
    if problems := problems_of(book):
        raise InvalidBook(problems)
    horizon = read_horizon(book)
    if not len(horizon.simple.row) + len(horizon.lumps.row) + len(horizon.stores):
        return no_trade(book)
    return made(book, horizon, rules, limits, solve(horizon, limits) if is_searched(horizon) else None)


def is_searched(horizon: Horizon) -> bool:
    """Whether there is more than simple orders, which the prices of their intervals decide alone."""
    return bool(len(horizon.lumps.row) or horizon.stores)


def made(
    book: OrderBook, horizon: Horizon, rules: MarketRules, limits: Limits, solved: Solved | None
) -> Clearing:
    """The clearing to which the answer of a search leads, without a solver; None where there is nothing to search.

    Raises:
        SolverFailed: Rounding costs more than it may.
    """
    if solved is not None:
        schedule = whole_schedule(horizon, solved.model, solved.found.best.x, solved.no_discharge)
        supporting = -solved.found.best.row_price[: horizon.intervals]
    else:
        schedule, supporting = _nothing(horizon), None
    most_moved_wh = _most_moved_wh(horizon, solved, schedule)
    markets = [
        clear_interval(
            horizon,
            t,
            int(schedule.net_wh[t]),
            None if supporting is None else float(supporting[t]),
            book.sequence,
            limits.price_range,
            rules,
            most_moved_wh[t],
        )
        for t in range(horizon.intervals)
    ]
    energy = _by_row(book, horizon, schedule, markets)
    price = _prices(horizon, solved, markets, rules)
    return _clearing(book, horizon, limits, solved, energy, markets, price)


def _most_moved_wh(horizon: Horizon, solved: Solved | None, schedule: Schedule) -> list[int]:
    """By interval, the most that rounding can have moved of what is bought net. [Wh]

    Without it, a row price a thousandth beside the limit of an order that is served in part would count as one that
    serves it in full, with another interval of prices.
    """
    if solved is None:
        return [0] * horizon.intervals
    if solved.coordinated:
        return [len(horizon.stores)] * horizon.intervals
    planned = sum(part.sum(axis=0) for part in planned_of(horizon, solved.model, solved.found.best.x))
    found: list[int] = (np.ceil(np.abs(schedule.net_wh - planned)) + 1).astype(np.int64).tolist()
    return found


def solve(horizon: Horizon, limits: Limits) -> Solved:
    """Search for the best clearing, or coordinate many storages by prices where there is nothing to search.

    Raises:
        Unreachable: Storages cannot reach their final contents.
        Infeasible: No clearing exists.
        SolverFailed: The solver gave no answer.
    """
    refuse_unreachable(horizon)
    if not is_for_many(horizon):
        return searched(horizon, limits)
    try:
        model, found, done = coordinated(horizon, limits.time_limit_s)
    except Infeasible:
        return searched(horizon, limits)  # which says which storages make it so
    return Solved(model, found, done.no_discharge, True, (_answer_of(found),))


def _answer_of(found: Found) -> ProvenAnswer:
    return ProvenAnswer(found.best.x, found.best.row_price, found.nodes)


def searched(horizon: Horizon, limits: Limits) -> Solved:
    """As `solve`, by one linear program, or a tree of them, whatever there is in the horizon.

    Intervals in which a storage would do both at once become ones without discharging.
    """
    stopped = np.zeros(horizon.intervals, dtype=np.bool_)
    answers: list[ProvenAnswer] = []
    clock, left = Clock(limits.time_limit_s), limits.most_nodes
    while True:
        model = compiled(horizon, limits.price_range, stopped)
        try:
            found = Search(space_of(horizon, model, limits.price_range), clock, left).run()
        except Infeasible:
            if rows := culprits(horizon, limits.price_range):
                raise Unreachable(rows, alone=False) from None
            raise
        answers.append(_answer_of(found))
        left = None if left is None else left - len(found.nodes)
        both = stopped_next(horizon, model, found.best.x, stopped)
        if (both == stopped).all():
            return Solved(model, found, stopped, answers=tuple(answers))
        stopped = both


def stopped_next(horizon: Horizon, model: HorizonModel, x: FloatArray, stopped: BoolArray) -> BoolArray:
    """Intervals in which storages must not discharge, after an answer in which they do not in some.

    Those in which a storage does both at once become some of them.
    """
    both = stopped.copy()
    if horizon.stores:
        terms = [store.terms for store in horizon.stores]
        rates = [1 - t.charge_ppm * t.discharge_ppm / PPM**2 for t in terms]
        lost = np.repeat(rates, [len(columns) for columns in model.charge])
        lost = np.minimum(x[np.concatenate(model.charge)], x[np.concatenate(model.discharge)]) * lost
        interval = np.concatenate([np.arange(t.first, t.last + 1) for t in terms])
        both[interval[lost > AT_ONCE_WH]] = True
    return both


def check_clearing(book: OrderBook, clearing: Clearing, price_range: tuple[int, int]) -> None:
    """Check a clearing of a horizon and the bound that it claims with numpy alone, whoever made it.

    Args:
        book: The orders.
        clearing: With a schedule and the tree of a search as its certificate.
        price_range: Lowest and highest price of the market. [micro-currency/kWh]

    Raises:
        InfeasibleClearing: A quantity, price, payment, or the bound does not hold.
    """
    proof = clearing.certificate
    if not isinstance(proof, SearchedGap):
        raise InfeasibleClearing("the clearing carries no proof of its bound")
    check_schedule(book, clearing)
    horizon = read_horizon(book)
    if proof.welfare_nano != clearing.welfare_nano:
        raise InfeasibleClearing("the proof is of another welfare than the clearing's")
    stopped = np.zeros(horizon.intervals, dtype=np.bool_)
    stopped[list(proof.no_discharge)] = True
    bound = proven_bound(
        rounded_space(horizon, price_range, stopped), proof.nodes, float(clearing.welfare_nano)
    )
    if bound > proof.bound_nano:
        raise InfeasibleClearing(
            f"the tree proves that no clearing has more than {bound:.0f} nano, not {proof.bound_nano}"
        )
    _check_responses(horizon, clearing, stopped, price_range)
    if proof.allowed_gap_nano > allowed_nano(horizon, _scheduled(clearing), price_range):
        raise InfeasibleClearing("the proof allows a larger gap than rounding explains")


def _check_responses(
    horizon: Horizon, clearing: Clearing, no_discharge: BoolArray, price_range: tuple[int, int]
) -> None:
    """Raise where a storage or an accepted flow would gain more by another plan, beyond what rounding explains.

    An interval in which nothing trades has no price, so that nobody knows what it could be otherwise.
    """
    energy, known = _scheduled(clearing), [nodes[0] for nodes in clearing.prices]
    if not (horizon.flows or horizon.stores) or None in known:
        return
    price = np.array([one.price for one in known if one is not None], dtype=np.float64)
    lacking = 0.0
    for flow in horizon.flows:
        if energy[flow.row].any() or not flow.terms.least_wh:
            limit = horizon.lumps.value_nano[flow.lump] / flow.energy_wh
            other = best_flow(flow.side, flow.energy_wh, flow.terms.power_wh, limit, price, flow.terms)
            lacking += float((other - energy[flow.row]) @ (limit * flow.side - price))
    if horizon.stores:
        fleet = batteries_of(horizon.stores, horizon.intervals, no_discharge)
        moved = energy[[store.row for store in horizon.stores]].astype(np.float64)
        best = surplus(fleet, price, *best_response(fleet, price))
        mine = surplus(fleet, price, np.maximum(moved, 0), np.maximum(-moved, 0))
        lacking += float((best - mine).sum())
    if lacking > rounding_nano(horizon, energy, 2 * (price_range[1] - price_range[0])):
        raise InfeasibleClearing(
            f"flexible orders and storages would gain {lacking:.0f} nano more by other plans; rounding explains less"
        )


def rounded_space(horizon: Horizon, price_range: tuple[int, int], no_discharge: BoolArray) -> Space:
    """The horizon as its bound sees it: final contents may be short by what rounding takes."""
    return space_of(horizon, compiled(horizon, price_range, no_discharge, rounded=True), price_range)


def _scheduled(clearing: Clearing) -> IntArray:
    assert clearing.schedule_wh is not None  # `check_schedule` has seen it
    return clearing.schedule_wh


def allowed_nano(horizon: Horizon, schedule_wh: IntArray, price_range: tuple[int, int]) -> int:
    """Greatest gap that counts as proven: what rounding and floats may cost. [nano-currency]"""
    simple, lumps = horizon.simple, horizon.lumps
    accepted = np.any(schedule_wh[lumps.row] != 0, axis=1)
    size = int(np.abs(simple.energy_wh * simple.limit_micro_per_kwh).sum())
    size += int(np.abs(lumps.value_nano[accepted]).sum())
    return moved_nano(horizon, schedule_wh, price_range[1] - price_range[0]) + 2 + size // 10**9


def _nothing(horizon: Horizon) -> Schedule:
    nothing = np.zeros((0, horizon.intervals), dtype=np.int64)
    return Schedule(nothing, nothing, nothing)


def _by_row(book: OrderBook, horizon: Horizon, schedule: Schedule, markets: list[Market]) -> IntArray:
    """Energy of each row of the book in each interval, bought positive. [Wh]"""
    energy = np.zeros((len(book), horizon.intervals), dtype=np.int64)
    np.add.at(energy, horizon.lumps.row, schedule.lump)
    for f, flow in enumerate(horizon.flows):
        energy[flow.row] += schedule.flow[f]
    for s, store in enumerate(horizon.stores):
        energy[store.row] += schedule.store[s]
    simple = horizon.simple
    accepted = np.concatenate([market.accepted_wh for market in markets])
    energy[simple.row, simple.interval] = accepted * simple.side
    return energy


def _prices(horizon: Horizon, solved: Solved | None, markets: list[Market], rules: MarketRules) -> IntArray:
    """The price of each interval: as near to lo + k (hi - lo) as the other orders allow. [micro-currency/kWh]"""
    wanted = np.array([PriceInterval.at(m.lo, m.hi, rules.k_ppm).price for m in markets], dtype=np.int64)
    if solved is None:
        return wanted
    lo, hi = (
        np.array(column, dtype=np.int64) for column in zip(*((m.lo, m.hi) for m in markets), strict=True)
    )
    best = solved.found.best
    if solved.coordinated:
        at: IntArray = np.clip(np.rint(-best.row_price[: horizon.intervals]).astype(np.int64), lo, hi)
        return at
    near = nearest_prices(
        horizon,
        solved.model,
        best.x,
        best.row_price,
        (lo, hi),
        wanted.astype(np.float64),
        solved.no_discharge,
    )
    if near is None:
        if solved.given:
            raise SolverFailed("no prices follow from the row prices")
        near = -best.row_price[: horizon.intervals]
    found: IntArray = np.clip(np.rint(near).astype(np.int64), lo, hi)
    return found


def _clearing(
    book: OrderBook,
    horizon: Horizon,
    limits: Limits,
    solved: Solved | None,
    energy: IntArray,
    markets: list[Market],
    price: IntArray,
) -> Clearing:
    value, paid = values_nano(book, horizon, energy), energy @ price
    paid = paid + _transfers(book, horizon, energy, value - paid, limits)
    accepted = np.abs(energy).sum(axis=1)
    side = book.side
    per_kwh, charge = averaged(side, accepted, side * paid)
    stores = [store.row for store in horizon.stores]
    per_kwh[stores], charge[stores] = 0, paid[stores]
    traded: list[bool] = (energy != 0).any(axis=0).tolist()
    prices = tuple(
        (PriceInterval(m.lo, m.hi, int(p)) if there else None,)
        for m, p, there in zip(markets, price.tolist(), traded, strict=True)
    )
    welfare = int(value.sum())
    proof = _proof(horizon, limits, solved, energy, price, welfare)
    return Clearing(
        accepted,
        per_kwh,
        prices[0],
        0,
        welfare,
        None,
        proof,
        charge if charge.any() else None,
        _details(book, horizon, energy, price, proof),
        0,
        prices[1:],
        energy,
    )


def _transfers(
    book: OrderBook, horizon: Horizon, energy: IntArray, gain: IntArray, limits: Limits
) -> IntArray:
    """What rounding makes orders lose is paid by those that gain, in proportion; sums to 0. [nano-currency]

    Raises:
        SolverFailed: They lose more than rounding explains, or nobody gains as much.
    """
    missing = losses_nano(book, horizon, gain)
    total = int(missing.sum())
    if not total:
        return missing
    able = np.maximum(gain, 0)
    able[list(parents_of(book))] = 0  # a block's gain may carry its parent
    if total > rounding_nano(horizon, energy, limits.price_range[1] - limits.price_range[0]) or total > int(
        able.sum()
    ):
        raise SolverFailed(f"accepted orders lose {total} nano at the prices; rounding explains less")
    return largest_remainder(able, total) - missing


def _proof(
    horizon: Horizon,
    limits: Limits,
    solved: Solved | None,
    energy: IntArray,
    price: IntArray,
    welfare: int,
) -> SearchedGap:
    stopped = np.zeros(horizon.intervals, dtype=np.bool_) if solved is None else solved.no_discharge
    nodes: list[ProofNode]
    if solved is None:
        nodes = [ProofNode(-price.astype(np.float64))]
        space = rounded_space(horizon, limits.price_range, stopped)
    else:
        nodes, arrays = solved.found.nodes, solved.model.arrays
        lower = arrays.lower.copy()
        for s, store in enumerate(horizon.stores):
            last = solved.model.content[s][-1]
            lower[last] = max(0.0, store.terms.final_wh - 1e6 / store.terms.discharge_ppm)
        model = replace(solved.model, arrays=replace(arrays, lower=lower))
        space = space_of(horizon, model, limits.price_range)
    bound = ceil(proven_bound(space, nodes, float(welfare)))
    complete = solved is None or solved.found.complete
    # What rounding may cost can be more than what a search that a limit ended has left open, and must not hide it.
    allowed = allowed_nano(horizon, energy, limits.price_range) if complete else 0
    known = () if solved is None else solved.answers
    return SearchedGap(
        welfare,
        bound,
        allowed,
        complete,
        nodes,
        tuple(np.flatnonzero(stopped).tolist()),
        known,
        solved is not None and solved.coordinated,
    )


def _details(
    book: OrderBook, horizon: Horizon, energy: IntArray, price: IntArray, proof: SearchedGap
) -> dict[str, Any]:
    gap = proof.gap_nano / abs(proof.bound_nano) if proof.bound_nano else 0.0
    return {
        "welfare_bound_nano": proof.bound_nano,
        "gap": gap,
        "paradoxically_rejected_rows": paradoxically_rejected(horizon, energy, price),
    }


def paradoxically_rejected(horizon: Horizon, energy: IntArray, price: IntArray) -> list[int]:
    """Rows of rejected lumps that would gain at the prices, though nothing of their own rules them out."""
    lumps = horizon.lumps
    accepted: BoolArray = (energy[lumps.row] != 0).any(axis=1)
    gain = lumps.value_nano - lumps.profile_wh @ price
    of_group = set(lumps.group[accepted & (lumps.group != NONE)].tolist())
    free = ~accepted & (gain > 0) & lumps.profile_wh.any(axis=1)
    free &= ~np.isin(lumps.group, list(of_group))
    free &= (lumps.parent == NONE) | accepted[lumps.parent]
    return sorted(set(lumps.row[free].tolist()))
