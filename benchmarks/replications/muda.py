"""MUDA on random multi-unit traders: half of them buy, each has 10 units with values uniform on 250..750.

Published: the binned results in the public repository erelsgl/double-auction, 10 markets a size. Means of the gain from
trade over its maximum.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import market.mechanisms  # noqa: F401  (registers them)
from benchmarks.replications.table import Replication
from market.auctions.uniform import clear_exact
from market.book import OrderBook
from market.mechanism import MECHANISMS
from market.rules import MarketRules

PUBLISHED = {
    40: {"lottery": 0.755, "vickrey, traders": 0.630, "vickrey, total": 0.907},
    200: {"lottery": 0.868, "vickrey, traders": 0.773, "vickrey, total": 0.973},
    760: {"lottery": 0.953, "vickrey, traders": 0.909, "vickrey, total": 0.996},
}
UNITS, BAND = 10, 0.06
MARKETS = 200


def random_traders(random: np.random.Generator, traders: int) -> OrderBook:
    """A book of one order of 1 kWh for each unit."""
    who = np.repeat(np.arange(traders), UNITS)
    side = np.where(who < traders // 2, 1, -1).astype(np.int8)
    limit = random.integers(250_000_000, 750_000_001, len(who))
    return OrderBook.from_columns(who, side, np.full(len(who), 1_000), limit)


def results(markets: int = MARKETS, sizes: tuple[int, ...] = tuple(PUBLISHED)) -> Iterator[Replication]:
    """Three lines for each number of traders."""
    for traders in sizes:
        random, ratios = np.random.default_rng(traders), []
        for seed in range(markets):
            book = random_traders(random, traders)
            best = clear_exact(book, MarketRules()).welfare_nano
            lottery, vickrey = (
                MECHANISMS.get(f"muda_{kind}").clear(book, MarketRules(seed=seed))
                for kind in ("lottery", "vickrey")
            )
            kept = vickrey.welfare_nano - vickrey.operator_surplus_nano
            ratios.append((lottery.welfare_nano / best, kept / best, vickrey.welfare_nano / best))
        means, errors = np.mean(ratios, axis=0), np.std(ratios, axis=0) / markets**0.5
        for (what, published), mean, error in zip(PUBLISHED[traders].items(), means, errors, strict=True):
            yield Replication(
                source="erelsgl",
                what=f"muda {what}, {traders} traders, share of the gain",
                published=published,
                ours=float(mean),
                error=float(error),
                band=BAND,
                digits=3,
            )
