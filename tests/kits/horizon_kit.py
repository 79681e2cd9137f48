"""Random orders of a horizon: simple orders, blocks in families, flexible orders and storages."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from market.book import OrderBook
from market.orders import NONE, Block, Flexible, Storage, Terms
from market.units import PPM


class Row(NamedTuple):
    """One order before it stands in a book."""

    participant: int
    side: int
    energy_wh: int
    limit: int
    terms: Terms | None = None


def book_of(rows: list[Row]) -> OrderBook:
    """The book of these orders, with their places as ids."""
    return OrderBook.from_columns(
        np.array([row.participant for row in rows], dtype=np.int64),
        np.array([row.side for row in rows], dtype=np.int8),
        np.array([row.energy_wh for row in rows], dtype=np.int64),
        np.array([row.limit for row in rows], dtype=np.int64),
        ids=[str(i) for i in range(len(rows))],
        terms={i: row.terms for i, row in enumerate(rows) if row.terms is not None},
    )


def simple(participant: int, interval: int, side: int, energy_wh: int, limit: int) -> Row:
    """A simple order of an interval."""
    terms = Flexible(interval, interval, 0, energy_wh, 1) if interval else None
    return Row(participant, side, energy_wh, limit, terms)


def hourly(rng: np.random.Generator, periods: int, count: int, energy_wh: int = 1_000) -> list[Row]:
    """Bids around .06 and offers around .04 in every interval."""
    rows = []
    for t in range(periods):
        for i in range(count):
            side = 1 if i < count // 2 else -1
            limit = int(rng.integers(20, 100) if side > 0 else rng.integers(5, 80)) * 1_000
            rows.append(simple(len(rows), t, side, int(rng.integers(1, energy_wh)), limit))
    return rows


def blocks(
    rng: np.random.Generator,
    periods: int,
    count: int,
    energy_wh: int = 1_500,
    *,
    families: bool = True,
    partial: bool = True,
) -> list[Row]:
    """Blocks of one participant: some with a parent, some in exclusive groups, some with a least share below one."""
    rows: list[Row] = []
    for label in range(count):
        side = -1 if rng.random() < 0.6 else 1
        length = int(rng.integers(1, periods + 1))
        first = int(rng.integers(0, periods - length + 1))
        profile = tuple(int(x) for x in rng.integers(1, energy_wh, length))
        least = int(rng.choice([PPM, PPM, PPM // 2, PPM // 5])) if partial else PPM
        parent = group = NONE
        if families and label and rng.random() < 0.35:
            parent = int(rng.integers(0, label))
        elif families and rng.random() < 0.4:
            group = int(rng.integers(0, 2))
        terms = Block(first, least, label, parent, group, profile)
        limit = int(rng.integers(30, 70)) * 1_000
        rows.append(Row(10_000, side, sum(profile), limit, terms))
    groups = [row.terms.group for row in rows if isinstance(row.terms, Block)]
    return [_in_company(row, groups) for row in rows]


def _in_company(row: Row, groups: list[int]) -> Row:
    """The same block, without its group where it is the only one of it."""
    assert isinstance(row.terms, Block)
    return row if groups.count(row.terms.group) > 1 else row._replace(terms=replace(row.terms, group=NONE))


def storages(rng: np.random.Generator, periods: int, count: int, power_wh: int = 800) -> list[Row]:
    """Storages with two efficiencies and a cost of wear, which need not end fuller than they began."""
    rows = []
    for i in range(count):
        capacity = int(rng.integers(2, 6)) * power_wh
        initial = int(rng.integers(0, capacity))
        terms = Storage(
            0,
            periods - 1,
            capacity,
            initial,
            int(rng.integers(0, initial + 1)),
            power_wh,
            power_wh,
            int(rng.choice([900_000, 950_000, PPM])),
            int(rng.choice([930_000, PPM])),
            int(rng.choice([0, 2_000])),
        )
        rows.append(Row(20_000 + i, 1, power_wh, int(rng.choice([0, 30_000])), terms))
    return rows
