"""Checks of the installation: one finding each, with what to do."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from market.errors import one_line
from wattswap.installation import shadow_warning


class Check(NamedTuple):
    """The finding of one check."""

    what: str
    ok: bool
    detail: str
    cure: str = ""


def examine() -> list[Check]:
    """Run every check."""
    checks: list[Check] = []
    for question in (_python, _shadows, _packages, _plugins, _solver, _libp2p, _samples):
        try:
            checks.extend(question())
        except Exception as error:
            name = question.__name__.strip("_")
            checks.append(Check(name, False, one_line(error), "install wattswap again"))
    return checks


def _python() -> Iterator[Check]:
    version = sys.version.split()[0]
    good = (3, 11) <= sys.version_info[:2] < (3, 14)
    yield Check("python", good, version, "use Python 3.11, 3.12 or 3.13")


def _shadows() -> Iterator[Check]:
    warning = shadow_warning()
    yield Check(
        "package names", warning is None, warning or "no package of ours is hidden by another", warning or ""
    )


def _packages() -> Iterator[Check]:
    from wattswap.runs.manifest import versions

    for name, version in versions().items():
        if name != "python":
            yield Check(name, version is not None, version or "not installed", "install wattswap again")


def _plugins() -> Iterator[Check]:
    from wattswap.plugins import broken_plugins

    broken = broken_plugins(every=True)
    yield Check("plugins", not broken, "; ".join(map(str, broken)) or "none is broken", "see above")


def _solver() -> Iterator[Check]:
    """Clear the smallest book with HiGHS and compare with the closed form."""
    from market.auctions.uniform import clear_exact
    from market.book import Order, OrderBook, Side
    from market.mechanism import MECHANISMS
    from market.rules import MarketRules

    book = OrderBook.from_orders(
        [Order("bid", 0, Side.BUY, 1_000, 300_000), Order("offer", 1, Side.SELL, 1_000, 100_000)]
    )
    by_highs = MECHANISMS.get("uniform_price").clear(book, MarketRules(solver="highs"))
    same = by_highs.node_price == clear_exact(book, MarketRules()).node_price
    yield Check(
        "HiGHS clears", same, "agrees with the closed form" if same else "disagrees with the closed form"
    )


def _libp2p() -> Iterator[Check]:
    import libp2p

    yield Check("libp2p imports", True, str(Path(libp2p.__file__).parent.name))


def _samples() -> Iterator[Check]:
    from data import samples

    for name in samples.names():
        meter = samples.load(name)
        yield Check(f"sample {name}", True, f"{len(meter.households)} homes, {meter.intervals} intervals")
