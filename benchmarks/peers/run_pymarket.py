"""Clear books by pymarket and print what comes out; run by the interpreter of its own environment, without wattswap.

Usage: run_pymarket.py huang|muda REPEATS < books.json > results.json
"""

from __future__ import annotations

import json
import statistics
import sys
import time
import warnings
from typing import Any

warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
import pymarket  # type: ignore[import-not-found]  # noqa: E402
from pymarket.statistics import calculate_profits  # type: ignore[import-not-found]  # noqa: E402


def clear(book: list[dict[str, Any]], mechanism: str, seed: int, repeats: int) -> dict[str, Any]:
    """Clear one book several times; what is timed is `Market.run`, without reading the orders in."""
    seconds = []
    for _ in range(repeats):
        market = pymarket.Market()
        for order in book:
            market.accept_bid(
                order["quantity_kwh"],
                order["price_per_kwh"],
                order["participant"],
                order["side"] == "buy",
                0,
            )
        options = {"r": np.random.RandomState(seed)} if mechanism == "muda" else {}
        begun = time.perf_counter()
        transactions, extra = market.run(mechanism, **options)
        seconds.append(time.perf_counter() - begun)
    rows = transactions.get_df()
    profits = calculate_profits(market.bm.get_df(), rows, fees=extra.get("fees")) if len(rows) else {}
    accepted = [0.0] * len(book)
    prices: list[float | None] = [None] * len(book)
    for bid, quantity, price in zip(rows.bid, rows.quantity, rows.price, strict=True):
        accepted[int(bid)] += float(quantity)
        prices[int(bid)] = float(price)
    return {
        "seconds": statistics.median(seconds),
        "accepted_kwh": accepted,
        "price_per_kwh": prices,
        "profits": {name: plain(value) for name, value in profits.items()},
        "extra": {name: plain(value) for name, value in extra.items()},
    }


def plain(value: Any) -> Any:
    """A value of numpy as JSON holds it; infinity as a word."""
    if isinstance(value, list | np.ndarray):
        return [plain(item) for item in value]
    if value is None:
        return None
    number = float(value)
    return number if np.isfinite(number) else "inf"


def main() -> None:
    """Clear every book of stdin; a book that pymarket cannot clear gives the error."""
    mechanism, repeats = sys.argv[1], int(sys.argv[2])
    found = []
    for seed, book in enumerate(json.load(sys.stdin)):
        try:
            found.append(clear(book, mechanism, seed, repeats))
        except Exception as error:
            found.append({"error": f"{type(error).__name__}: {error}"})
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
