"""What a search over a horizon found, in bytes, and the clearing that follows from it without a solver.

The answer before rounding is written down, with the tree that proves it. Prices, whole Wh and payments are computed
from it by the same functions as after a search, so nobody who writes it can choose them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from market.book import OrderBook
from market.clearing import Clearing, no_trade
from market.errors import InvalidBook
from market.horizon import Horizon, problems_of, read_horizon
from market.rules import MarketRules
from market.units import BoolArray, FloatArray
from market.witness import Reader, counted, numbers, refuse
from optimizer.blocks.clear import (
    Limits,
    Solved,
    check_clearing,
    is_searched,
    made,
    stopped_next,
)
from optimizer.blocks.proof import (
    FEASIBLE,
    ProofNode,
    ProvenAnswer,
    SearchedGap,
    is_within,
    proven_bound,
)
from optimizer.blocks.region import Region, Space, space_of
from optimizer.blocks.search import Found, Supported
from optimizer.errors import OptimizerError
from optimizer.fleet.market import is_for_many, unsettled_nano
from optimizer.models.multi_interval import HorizonModel, compiled

MOST_NODES: Final = 5_000
"""Nodes of all trees that are read: what one takes to check is what it took to search, without the solver."""
NODES_OF_A_VISIT: Final = 3
"""A node and the two halves into which it is divided."""
HAS_PRICES, HAS_CHILDREN, HAS_POINT, IS_EMPTY, AS_ANSWER = 1, 2, 4, 8, 16
"""What a node holds, as bits; AS_ANSWER: the row prices of the answer itself."""


def to_bytes(clearing: Clearing) -> bytes | None:
    """What the search found for a clearing; nothing where simple orders alone decide it.

    None where nobody could check it: trees of more nodes than are read, a clearing that is not proven, or coordinated
    storages that do not discharge in some intervals, as nothing shows which those are.
    """
    proof = clearing.certificate
    if not isinstance(proof, SearchedGap) or not proof.answers:
        return b""
    too_many = _nodes_of(proof.answers) > MOST_NODES
    if too_many or not proof.holds or (proof.coordinated and proof.no_discharge):
        return None
    return counted(len(proof.answers)) + b"".join(_of_answer(answer) for answer in proof.answers)


def derive(book: OrderBook, rules: MarketRules, limits: Limits, data: bytes) -> Clearing:
    """The clearing to which a witness leads, checked and proven with numpy alone.

    Args:
        book: Orders of a horizon. Not changed.
        rules: As for `clear_horizon`.
        limits: Prices of the market.
        data: As `to_bytes` wrote them, or anything.

    Raises:
        InvalidBook: Orders name others that do not exist.
        InfeasibleClearing: They prove no clearing of this book.
    """
    if problems := problems_of(book):
        raise InvalidBook(problems)
    horizon, reader = read_horizon(book), Reader(data)
    with np.errstate(all="ignore"):
        solved = _solved(horizon, limits, reader) if is_searched(horizon) else None
        reader.end()
        if not is_searched(horizon) and not len(horizon.simple.row):
            return no_trade(book)
        try:
            clearing = made(book, horizon, rules, limits, solved)
        except OptimizerError as error:
            refuse(f"leads to no clearing: {error}")
        check_clearing(book, clearing, limits.price_range)
    if clearing.certificate is None or not clearing.certificate.holds:
        refuse("leads to a clearing that is not proven to be the best")
    return clearing


def _solved(horizon: Horizon, limits: Limits, reader: Reader) -> Solved:
    """The answer of a witness as the search would give it, proven to be optimal before anything is rounded."""
    count = reader.count(horizon.intervals + 1, "searches")
    stopped = np.zeros(horizon.intervals, dtype=np.bool_)
    if is_for_many(horizon):
        return _coordinated(horizon, limits, reader, count)
    answers: list[ProvenAnswer] = []
    most_nodes = _most_nodes(limits, count)
    while True:
        if len(answers) == count:
            refuse("ends before storages no longer charge and discharge at once")
        model = compiled(horizon, limits.price_range, stopped)
        space = space_of(horizon, model, limits.price_range)
        answer = _answer(model, reader, most_nodes - _nodes_of(answers))
        found = _proven(space, answer, 2 * space.tolerance_nano)
        answers.append(answer)
        both = stopped_next(horizon, model, answer.x, stopped)
        if (both == stopped).all():
            break
        stopped = both
    if len(answers) < count:
        refuse("holds another search behind the last one")
    return Solved(model, found, stopped, answers=tuple(answers), given=True)


def _coordinated(horizon: Horizon, limits: Limits, reader: Reader, count: int) -> Solved:
    """The answer of a coordination, which is as near to its bound as a coordination has to be."""
    if count != 1:
        refuse("holds several searches, where storages are coordinated once")
    model = compiled(horizon, horizon.price_range)
    space = space_of(horizon, model, limits.price_range)
    answer = _answer(model, reader, MOST_NODES)
    found = _proven(space, answer, unsettled_nano(horizon) + 2 * space.tolerance_nano, supported=False)
    return Solved(model, found, np.zeros(horizon.intervals, dtype=np.bool_), True, (answer,), True)


def _proven(space: Space, answer: ProvenAnswer, allowed_nano: float, *, supported: bool = True) -> Found:
    """The answer as the search would give it.

    Args:
        space: The horizon.
        answer: Of the program before rounding.
        allowed_nano: By how much a better one may exist. [nano-currency]
        supported: Whether its row prices must prove it too, as those at which no accepted lump loses.

    Raises:
        InfeasibleClearing: It breaks a bound or a row, is not the best, or has prices that do not support it.
    """
    arrays, share, on = space.model.arrays, answer.x[space.model.share], _accepted(space, answer)
    if not is_within(arrays, answer.x, arrays.lower, arrays.upper):
        refuse("is no point of the horizon's program: it breaks a limit of an order, or does not balance")
    if (share[on] < space.horizon.lumps.least[on] - FEASIBLE).any():
        refuse("accepts less of an order than the order takes at least")
    if not space.decided.any() and [_bits(node) for node in answer.nodes] != [0]:
        refuse("holds a tree, where nothing is to be decided")
    root = space.root
    if (on & root.off).any():
        refuse("accepts an order that all others together cannot balance")
    welfare = -float(arrays.cost @ answer.x)
    bound = proven_bound(space, answer.nodes, welfare)
    if not bound - welfare <= allowed_nano:
        refuse(f"is not proven to be the best: there may be {bound - welfare:.0f} nano more")
    if supported:
        nothing = np.zeros_like(on)
        most = space.bound(answer.row_price, Region(nothing, space.decided & ~on))
        if not most - welfare <= allowed_nano:
            refuse(f"has prices that do not support it: orders would gain {most - welfare:.0f} nano more")
    best = Supported(on, answer.x, answer.row_price, welfare)
    return Found(best, bound, bound, True, list(answer.nodes), 0)


def _accepted(space: Space, answer: ProvenAnswer) -> BoolArray:
    found: BoolArray = space.decided & (answer.x[space.model.share] > FEASIBLE)
    return found


def _of_answer(answer: ProvenAnswer) -> bytes:
    parts = [numbers(answer.x), numbers(answer.row_price), counted(len(answer.nodes))]
    for node in answer.nodes:
        as_answer = numbers(node.row_price) == parts[1]
        has_prices = not as_answer and bool(node.row_price.any())
        parts.append(bytes([_bits(node) + AS_ANSWER * as_answer + HAS_PRICES * has_prices]))
        if has_prices:
            parts.append(numbers(node.row_price))
        if node.lump >= 0:
            parts += [counted(number) for number in (node.lump, *node.children)]
        if node.point is not None:
            parts.append(numbers(node.point))
    return b"".join(parts)


def _bits(node: ProofNode) -> int:
    """What a node holds beside prices."""
    point = node.point is not None
    return IS_EMPTY * node.empty + HAS_CHILDREN * (node.lump >= 0) + HAS_POINT * point


def _nodes_of(answers: Sequence[ProvenAnswer]) -> int:
    return sum(len(answer.nodes) for answer in answers)


def _most_nodes(limits: Limits, searches: int) -> int:
    """Of all trees together. A search that has a limit ends with the node that reaches it, and the next has a root."""
    if limits.most_nodes is None:
        return MOST_NODES
    return min(MOST_NODES, limits.most_nodes + NODES_OF_A_VISIT * searches)


def _answer(model: HorizonModel, reader: Reader, most_nodes: int) -> ProvenAnswer:
    columns, rows = len(model.arrays.cost), len(model.arrays.row_lower)
    x, row_price = reader.numbers(columns), reader.numbers(rows)
    # A node without prices is one byte, and must not take the memory of a row of zeros.
    nothing = np.zeros(rows)
    nothing.setflags(write=False)
    nodes = [_node(columns, row_price, nothing, reader) for _ in range(reader.count(most_nodes, "nodes"))]
    return ProvenAnswer(x, row_price, nodes)


def _node(columns: int, answer_price: FloatArray, nothing: FloatArray, reader: Reader) -> ProofNode:
    bits = reader.byte(2 * AS_ANSWER - 1)
    prices = nothing
    if bits & AS_ANSWER:
        prices = answer_price
    if bits & HAS_PRICES:
        prices = reader.numbers(len(answer_price))
        same = bits & AS_ANSWER or not prices.any() or np.array_equal(prices, answer_price)
        if same:
            refuse("writes down prices that have a shorter form")
    lump, children, point = -1, (-1, -1), None
    if bits & HAS_CHILDREN:
        lump, *both = (reader.index() for _ in range(3))
        children = both[0], both[1]
    if bits & HAS_POINT:
        point = reader.numbers(columns)
    return ProofNode(prices, lump, children, point, bool(bits & IS_EMPTY))
