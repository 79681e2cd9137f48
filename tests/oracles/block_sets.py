"""Blocks by trying every set of them: the most welfare of each, and whether prices exist at which none of it loses.

Nothing here comes from the search: welfare is a small program of its own with one column an order, and prices are the
solutions of the optimality conditions written out.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np

from market.book import OrderBook
from market.horizon import starts_of
from market.orders import NONE, Block, Flexible
from market.units import PPM
from optimizer.blocks.hot import Answer, HotModel
from optimizer.solver.builder import ModelBuilder


class OneBlock(NamedTuple):
    """A block, or one start of a flexible order."""

    row: int
    value: float
    energy: np.ndarray
    least: float
    parent: int
    group: object


class Best(NamedTuple):
    """The best supported set, and the most welfare of any set."""

    welfare_nano: float
    rows: frozenset[int]
    without_prices_nano: float


def best_of_all_sets(book: OrderBook, periods: int) -> Best:
    """Try every set that families allow, the most welfare first, until prices support one."""
    simple, blocks = _read(book, periods)
    hot, columns = _program(book, periods, simple, blocks)
    least = np.array([one.least for one in blocks])
    found: list[tuple[float, tuple[int, ...], Answer]] = []
    for on in product((0, 1), repeat=len(blocks)):
        if _allowed(on, blocks):
            chosen = np.array(on)
            answer = hot.solve(columns, least * chosen, chosen.astype(np.float64))
            if answer is not None:
                found.append((answer.welfare_nano, on, answer))
    found.sort(key=lambda one: -one[0])
    for welfare, on, answer in found:
        if _has_prices(book, periods, simple, blocks, answer):
            return Best(welfare, frozenset(b.row for b, x in zip(blocks, on, strict=True) if x), found[0][0])
    raise AssertionError("not even the empty set has prices")


def _read(book: OrderBook, periods: int) -> tuple[list[tuple[int, int]], list[OneBlock]]:
    simple, blocks = [], []
    place = {(int(book.participant[r]), t.label): r for r, t in book.terms.items() if isinstance(t, Block)}
    for row in range(len(book)):
        terms = book.terms.get(row)
        side, energy, limit = (
            int(book.side[row]),
            int(book.energy_wh[row]),
            int(book.limit_micro_per_kwh[row]),
        )
        if terms is None:
            simple.append((row, 0))
        elif isinstance(terms, Flexible) and terms.interruptible:
            assert terms.first == terms.last
            simple.append((row, terms.first))
        elif isinstance(terms, Flexible):
            for start, energies in starts_of(energy, terms):
                profile = np.zeros(periods)
                profile[start : start + len(energies)] = energies
                blocks.append(
                    OneBlock(row, side * energy * limit, side * profile, 1.0, NONE, ("flexible", row))
                )
        elif isinstance(terms, Block):
            profile = np.zeros(periods)
            profile[terms.first : terms.first + len(terms.profile_wh)] = terms.profile_wh
            who = int(book.participant[row])
            parent = NONE if terms.parent == NONE else place[who, terms.parent]
            group = None if terms.group == NONE else (who, terms.group)
            share = terms.least_ppm / PPM
            blocks.append(OneBlock(row, side * energy * limit, side * profile, share, parent, group))
    return simple, blocks


def _allowed(on: tuple[int, ...], blocks: list[OneBlock]) -> bool:
    rows = {b.row for b, x in zip(blocks, on, strict=True) if x}
    groups = [b.group for b, x in zip(blocks, on, strict=True) if x and b.group is not None]
    parents = {b.parent for b, x in zip(blocks, on, strict=True) if x and b.parent != NONE}
    return len(set(groups)) == len(groups) and parents <= rows


def _program(
    book: OrderBook, periods: int, simple: list[tuple[int, int]], blocks: list[OneBlock]
) -> tuple[HotModel, np.ndarray]:
    model = ModelBuilder()
    rows = [row for row, _ in simple]
    signed = (book.side[rows] * book.energy_wh[rows]).astype(np.float64)
    x = model.variables(
        "x",
        len(rows),
        np.minimum(signed, 0),
        np.maximum(signed, 0),
        -book.limit_micro_per_kwh[rows].astype(float),
    )
    s = model.variables("s", len(blocks), 0.0, 1.0, -np.array([one.value for one in blocks]))
    for t in range(periods):
        terms = [(x[i], 1.0) for i, (_, at) in enumerate(simple) if at == t]
        terms += [(s[j], float(one.energy[t])) for j, one in enumerate(blocks) if one.energy[t]]
        model.constraint(f"balance {t}", terms, 0.0, 0.0)
    for j, one in enumerate(blocks):
        if one.parent != NONE:
            above = next(i for i, b in enumerate(blocks) if b.row == one.parent)
            model.constraint(f"parent {j}", [(s[j], 1.0), (s[above], -1.0)], upper=0.0)
    return HotModel(model.compile()), s


def _has_prices(
    book: OrderBook, periods: int, simple: list[tuple[int, int]], blocks: list[OneBlock], answer: Answer
) -> bool:
    """Whether the conditions of an optimum have a solution in which no accepted block loses.

    value - energy x price of an accepted block is what it keeps, plus what it hands up to its parent, less what its
    children hand up to it; a block keeps something only where its share is one, and hands something up only where its
    share is its parent's.
    """
    rows = [row for row, _ in simple]
    limits = [*book.limit_micro_per_kwh[rows].tolist()]
    limits += [int(book.limit_micro_per_kwh[one.row]) for one in blocks]
    lowest, highest = np.full(periods, float(min(limits))), np.full(periods, float(max(limits)))
    quantity, share = answer.x[: len(simple)], answer.x[len(simple) :]
    for (row, t), q in zip(simple, quantity, strict=True):
        side, limit = int(book.side[row]), float(book.limit_micro_per_kwh[row])
        some, all_ = abs(q) > 1e-6, abs(q) > book.energy_wh[row] - 1e-6
        if some if side > 0 else not all_:
            highest[t] = min(highest[t], limit)
        if some if side < 0 else not all_:
            lowest[t] = max(lowest[t], limit)
    if (lowest > highest).any():
        raise AssertionError("an allocation that is not the optimum of its set")
    model = ModelBuilder()
    p = model.variables("p", periods, lowest, highest)
    on = [j for j in range(len(blocks)) if share[j] > 1e-7]
    keep = {j: model.variables(f"k{j}", 1, 0.0, np.inf if share[j] > 1 - 1e-7 else 0.0)[0] for j in on}
    up = {}
    for j in on:
        above = [i for i in on if blocks[i].row == blocks[j].parent]
        if above:
            same = share[j] > share[above[0]] - 1e-7
            up[j] = above[0], model.variables(f"u{j}", 1, 0.0, np.inf if same else 0.0)[0]
    for j in on:
        terms = [(p[t], float(blocks[j].energy[t])) for t in range(periods)] + [(keep[j], 1.0)]
        terms += [(up[j][1], 1.0)] if j in up else []
        terms += [(column, -1.0) for above, column in up.values() if above == j]
        model.constraint(f"gain {j}", terms, blocks[j].value, blocks[j].value)
    nothing = np.zeros(0)
    return HotModel(model.compile()).solve(nothing.astype(np.int32), nothing, nothing) is not None
