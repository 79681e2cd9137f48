"""Seeded random zones for the property kit, with fees that some trades are worth and others not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from market.book import OrderBook
from market.zones import Zones

MOST_ZONES = 5


def in_zones(book: OrderBook, random: np.random.Generator) -> tuple[OrderBook, Zones]:
    """The same orders in random zones, between which fees are about as far apart as limits are.

    Args:
        book: Any; its nodes are replaced.
        random: Draws the zones and the fees.
    """
    count = int(random.integers(1, MOST_ZONES + 1))
    limits = book.limit_micro_per_kwh
    spread = int(limits.max() - limits.min()) if len(limits) else 0
    step = int(random.choice([1, 10_000, max(1, spread // 4)]))
    fee = step * random.integers(0, 4, (count, count))
    if random.random() < 0.5:
        np.fill_diagonal(fee, 0)
    for _ in range(count):  # no way round is cheaper
        fee = np.minimum(fee, (fee[:, :, None] + fee[None, :, :]).min(axis=1))
    node = random.integers(0, count, len(book))
    node.flags.writeable = False
    return replace(book, node=node), Zones(tuple(f"z{i}" for i in range(count)), fee)
