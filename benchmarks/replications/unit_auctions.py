"""McAfee, trade reduction and SBBA on pairs of unit traders whose values are uniform on 1..1000.

Published: the result tables of the experiments in the public repository erelsgl/auctions, 50,000 markets a line, the
set-up of Table I of McAfee 1992. Shares of the maximum gain from trade, in percent, as ratios of sums.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import market.mechanisms  # noqa: F401  (registers them)
from benchmarks.replications.table import Replication
from market.book import OrderBook
from market.mechanism import MECHANISMS
from market.rules import MarketRules
from market.units import IntArray

PUBLISHED: dict[tuple[str, str], dict[int, float]] = {
    ("mcafee", "total gain"): {2: 77.18, 5: 94.61, 10: 98.37, 25: 99.71, 100: 99.98},
    ("mcafee", "traders' gain"): {2: 69.01, 5: 86.08, 10: 91.78, 25: 96.35, 100: 99.01},
    ("sbba", "total gain"): {2: 62.69, 5: 88.03, 10: 94.53, 25: 97.92, 100: 99.49},
    ("trade_reduction", "total gain"): {2: 24.96, 5: 79.11, 10: 94.32, 25: 99.06, 100: 99.94},
}
LOSS_TIMES_PAIRS = {2: 45.6, 5: 27.0, 10: 16.3, 25: 7.3, 50: 4.0, 100: 2.0}
"""(100 - total gain of McAfee) x pairs."""

ITERATIONS = {2: 50_000, 5: 50_000, 10: 50_000, 25: 20_000, 50: 20_000, 100: 20_000}
HIGHEST = 1_000


def band_of(pairs: int) -> float:
    """Percentage points that ours may lie off."""
    return 1.0 if pairs <= 5 else 0.4


def gains(name: str, pairs: int, iterations: int, seed: int) -> tuple[IntArray, IntArray, IntArray]:
    """Total gain, the traders' part of it and the maximum, of markets drawn from a seed. [nano, shape (iterations,)]"""
    words = np.random.PCG64(seed).random_raw(iterations * 2 * pairs).reshape(iterations, 2 * pairs)
    values = (words % np.uint64(HIGHEST)).astype(np.int64) + 1
    side = np.where(np.arange(2 * pairs) < pairs, 1, -1).astype(np.int8)
    one, row = np.ones(2 * pairs, dtype=np.int64), np.arange(2 * pairs)
    clear, found = MECHANISMS.get(name).clear, np.zeros((2, iterations), dtype=np.int64)
    for i in range(iterations):
        # Sorted and checked columns: the bare constructor may be used.
        book = OrderBook(row, side, one, values[i], 0 * one, row)
        clearing = clear(book, MarketRules(seed=i, params={"unit_wh": 1}))
        found[:, i] = clearing.welfare_nano, clearing.operator_surplus_nano
    bids, offers = -np.sort(-values[:, :pairs], axis=1), np.sort(values[:, pairs:], axis=1)
    return found[0], found[0] - found[1], np.maximum(bids - offers, 0).sum(axis=1)


def share(gain: IntArray, best: IntArray) -> tuple[float, float]:
    """Ratio of the sums and its standard error (of a ratio of means, to first order). [percent]"""
    ratio = float(gain.sum() / best.sum())
    spread = float(np.std(gain - ratio * best) / best.mean() / len(best) ** 0.5)
    return 100 * ratio, 100 * spread


def results(fraction: float = 1.0, pairs: tuple[int, ...] = tuple(ITERATIONS)) -> Iterator[Replication]:
    """All lines of these sizes, with a fraction of the iterations."""
    losses = {}
    for n in pairs:
        drawn = {
            name: gains(name, n, round(ITERATIONS[n] * fraction), seed=n)
            for name in ("mcafee", "sbba", "trade_reduction")
        }
        for (name, what), published in PUBLISHED.items():
            total, traders, best = drawn[name]
            ours, error = share(traders if what == "traders' gain" else total, best)
            if (name, what) == ("mcafee", "total gain"):
                losses[n] = (100 - ours) * n, error * n
            if n in published:
                said = f"{name}, {n} pairs, {what}, %"
                yield Replication(
                    source="erelsgl",
                    what=said,
                    published=published[n],
                    ours=ours,
                    error=error,
                    band=band_of(n),
                )
    for n, (loss, error) in losses.items():
        # Both sides are samples of 50,000 at most, and a published share is rounded to .01 %.
        band = 4 * 2**0.5 * error + 0.005 * n + 0.05
        said = f"mcafee, {n} pairs, lost % x pairs"
        yield Replication(
            source="erelsgl",
            what=said,
            published=LOSS_TIMES_PAIRS[n],
            ours=loss,
            error=error,
            band=band,
            digits=1,
        )
