"""Horizons: the exact search with block orders, and the linear program with storages against a bare `run()`.

Twelve instances of 100 fill-or-kill blocks over 24 periods with 2,400 hourly orders, three of 200 blocks, and a day of
96 periods with 20 orders each and 30 or 100 storages. What is timed is the whole `clear(book, rules)` in CPU seconds,
search, rounding, prices and proof included. Loss is the welfare below that of divisible blocks.

Usage: python -m benchmarks.blocks [--json]
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable
from time import process_time
from typing import Any, NamedTuple

import numpy as np

from market.book import OrderBook
from market.horizon import read_horizon
from market.orders import NONE, Block, Flexible, Storage, Terms
from market.parameters import rules_with
from market.rules import MarketRules
from market.units import PPM
from optimizer.blocks.clear import Limits, solve
from optimizer.blocks.hot import HotModel
from optimizer.mechanisms.multi_interval import check, clear, price_range_of
from optimizer.models.multi_interval import compiled

TARGET_S, TARGET_MEDIAN_S, TARGET_GAP = 5.0, 0.5, 1e-4
TARGET_RATIO = 1.05
REPEATS = 5
LIMIT_S = 30
"""Of the search, as other work on the machine counts against it."""


class Rows(NamedTuple):
    """Columns of a book that grows."""

    side: list[int]
    energy_wh: list[int]
    limit: list[int]
    terms: dict[int, Terms]

    def add(self, side: int, energy_wh: int, limit: float, terms: Terms | None) -> None:
        """Add an order of a participant of its own."""
        if terms is not None:
            self.terms[len(self.side)] = terms
        self.side.append(side)
        self.energy_wh.append(energy_wh)
        self.limit.append(int(limit))

    def book(self) -> OrderBook:
        """The book."""
        who = np.arange(len(self.side))
        columns = (np.array(column) for column in (self.side, self.energy_wh, self.limit))
        return OrderBook.from_columns(who, *columns, terms=self.terms)


def with_blocks(seed: int, blocks: int, periods: int = 24, orders: int = 100) -> OrderBook:
    """Hourly orders around a daily shape of prices, and blocks of 3 to 12 periods, three in five of them selling."""
    rng = np.random.default_rng(seed)
    shape = 1 + 0.3 * np.sin(np.arange(periods) / periods * 2 * np.pi)
    rows = Rows([], [], [], {})
    for t in range(periods):
        for i in range(orders):
            side = 1 if i < orders // 2 else -1
            energy, price = int(rng.integers(100, 1_000)), rng.normal(60 if side > 0 else 40, 15) * shape[t]
            rows.add(side, energy, price * 1_000, Flexible(t, t, 0, energy, 1) if t else None)
    for _ in range(blocks):
        side, length = (-1 if rng.random() < 0.6 else 1), int(rng.integers(3, periods // 2 + 1))
        first = int(rng.integers(0, periods - length + 1))
        profile = (int(rng.integers(200, 4_000)),) * length
        price = rng.normal(50, 8) * shape[first : first + length].mean()
        rows.add(side, sum(profile), price * 1_000, Block(first, PPM, NONE, NONE, NONE, profile))
    return rows.book()


def with_storages(seed: int, storages: int, periods: int = 96, orders: int = 20) -> OrderBook:
    """Orders of a day in quarters of an hour, and storages with losses and wear that end as full as they began."""
    rng = np.random.default_rng(seed)
    rows = Rows([], [], [], {})
    for t in range(periods):
        level = 1 + 0.4 * np.sin(t / periods * 4 * np.pi)
        for i in range(orders):
            side = 1 if i < orders // 2 else -1
            energy, price = int(rng.integers(500, 4_000)), rng.normal(60 if side > 0 else 45, 15) * level
            rows.add(side, energy, max(1.0, price) * 1_000, Flexible(t, t, 0, energy, 1) if t else None)
    for _ in range(storages):
        power, hours = int(rng.integers(300, 1_200)), int(rng.integers(4, 12))
        half = power * hours // 2
        rates = (int(rng.integers(900_000, 980_000)), int(rng.integers(900_000, 980_000)))
        wear = int(rng.integers(500, 3_000))
        terms = Storage(0, periods - 1, power * hours, half, half, power, power, *rates, wear)
        rows.add(1, power, 0.0, terms)
    return rows.book()


def timed(what: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of a call, and what it returns."""
    begun = process_time()
    found = what()
    return process_time() - begun, found


def of_blocks(seed: int, blocks: int) -> dict[str, Any]:
    """One instance, cleared and checked."""
    book = with_blocks(seed, blocks)
    rules = rules_with(MarketRules(), {"time_limit_s": LIMIT_S})
    took_s, clearing = timed(lambda: clear(book, rules))
    check_s, _ = timed(lambda: check(book, clearing, rules))
    root = solve_root(book, rules)
    proof: Any = clearing.certificate
    return {
        "blocks": blocks,
        "seed": seed,
        "clear_s": round(took_s, 3),
        "check_s": round(check_s, 3),
        "nodes": len(proof.nodes),
        "gap": proof.gap_nano / clearing.welfare_nano,
        "loss": 1 - clearing.welfare_nano / root,
        "rejected_in_the_money": len(clearing.details["paradoxically_rejected_rows"]),
    }


def solve_root(book: OrderBook, rules: MarketRules) -> float:
    """Welfare of divisible blocks. [nano-currency]"""
    horizon, prices = read_horizon(book), price_range_of(book, rules)
    return solve(horizon, Limits(prices, 0.0)).found.root_bound_nano


def of_storages(storages: int) -> dict[str, Any]:
    """A day with storages: from the orders to the proven answer, and the whole clearing, against `run()`."""
    book, rules = with_storages(1, storages), MarketRules()
    horizon, prices = read_horizon(book), price_range_of(book, rules)
    runs, answers, wholes = [], [], []
    for _ in range(REPEATS):
        bare = HotModel(compiled(horizon, prices).arrays)
        runs.append(timed(bare._highs.run)[0])
        answers.append(timed(lambda: solve(horizon, Limits(prices, 60.0)))[0])
        took_s, clearing = timed(lambda: clear(book, rules))
        wholes.append(took_s)
    proof: Any = clearing.certificate
    run_s = statistics.median(runs)
    return {
        "storages": storages,
        "run_s": round(run_s, 3),
        "answer_ratio": round(statistics.median(a / r for a, r in zip(answers, runs, strict=True)), 2),
        "clear_ratio": round(statistics.median(w / r for w, r in zip(wholes, runs, strict=True)), 2),
        "gap": proof.gap_nano / clearing.welfare_nano,
    }


def main(arguments: list[str]) -> None:
    """Print the tables, or everything as JSON."""
    found = [of_blocks(seed, 100) for seed in range(12)] + [of_blocks(seed, 200) for seed in range(3)]
    days = [of_storages(30), of_storages(100)]
    if "--json" in arguments:
        print(json.dumps({"blocks": found, "storages": days}))
        return
    print("| blocks | seed | clear s | check s | nodes | gap | loss | rejected in the money |")
    print("|---|---|---|---|---|---|---|---|")
    for row in found:
        print(
            f"| {row['blocks']} | {row['seed']} | {row['clear_s']} | {row['check_s']} | {row['nodes']} |"
            f" {row['gap']:.1e} | {row['loss']:.3%} | {row['rejected_in_the_money']} |"
        )
    hundred = [row["clear_s"] for row in found if row["blocks"] == 100]
    median, longest = statistics.median(hundred), max(hundred)
    print(f"100 blocks: median {median:.2f} s (target {TARGET_MEDIAN_S}), longest {longest:.2f} s")
    print(f"target of each: {TARGET_S} s to a gap of {TARGET_GAP:g}")
    print("| storages | run() s | program / run() | clear / run() | gap after rounding |")
    print("|---|---|---|---|---|")
    for row in days:
        ratios = f"{row['answer_ratio']} | {row['clear_ratio']}"
        print(f"| {row['storages']} | {row['run_s']} | {ratios} | {row['gap']:.1e} |")
    print(f"target of program / run(): {TARGET_RATIO}")


if __name__ == "__main__":
    main(sys.argv[1:])
