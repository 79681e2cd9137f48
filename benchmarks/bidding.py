"""What bidding costs: 10,000 homes in one round of a market.

A round is all that a strategy is asked for in it: it sees the round before, in which every home ordered, or the
results of the interval before, and orders. Clearing is timed apart. CPU times, the median of nine.

Usage: python -m benchmarks.bidding [STRATEGY ...]
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median
from time import process_time

import numpy as np

from agents.bidders import Round
from agents.bidding import STRATEGIES, OwnResults
from benchmarks.replications.classroom import Classroom, drawn
from market.clearing import PriceInterval
from market.mechanism import MECHANISMS
from market.rounds import Session
from market.rules import MarketRules

HOMES, REPEATS, MOST_MS = 10_000, 9, 20.0
LIMITED = ("zi_c", "zip", "newsvendor")
"""Strategies that must stay below `MOST_MS`."""


def cpu_ms(call: Callable[[], object]) -> float:
    """CPU time of a call, the median of several. [ms]"""
    times = []
    for _ in range(REPEATS):
        begun = process_time()
        call()
        times.append(1_000 * (process_time() - begun))
    return median(times)


def round_ms(strategy: str, homes: int = HOMES) -> float:
    """CPU time of a round of these homes, half of them buyers, with all that they remember. [ms]"""
    room = Classroom(drawn(1, homes // 2), strategy, 2, 1)
    bidders, view = room.bidders, room.view(0)
    levels = bidders.strategy.quantiles_ppm
    if levels:
        quantiles_wh = view.net_wh + np.linspace(-400, 400, len(levels)).astype(np.int64)[:, None]
        view = replace(view, quantiles_wh=quantiles_wh, has_quantiles=np.ones(homes, dtype=np.bool_))
    session = Session(MECHANISMS.get("continuous"), MarketRules())
    session.clear(room.book(bidders.order(view), 0, 0))
    bought_wh = session.bought_wh(homes)
    opened = Round(1, session.tape(), bought_wh)
    learn = bidders.strategy.learn_own
    results = OwnResults(
        start_s=0,
        bought_wh=np.maximum(bought_wh, 0),
        sold_wh=np.maximum(-bought_wh, 0),
        payment_nano=200_000 * bought_wh,
        price=PriceInterval(200_000, 200_000, 200_000),
    )

    def later() -> None:
        if learn is not None:
            bidders.keep(learn(bidders.state, results))
        bidders.view = view
        bidders.order_again(opened)

    return cpu_ms(later)


def clearing_ms(homes: int = HOMES) -> float:
    """CPU time of clearing one round of `continuous`. [ms]"""
    room = Classroom(drawn(1, homes // 2), "zi_c", 2, 1)
    book = room.book(room.bidders.order(room.view(0)), 0, 0)
    return cpu_ms(lambda: Session(MECHANISMS.get("continuous"), MarketRules()).clear(book))


def main(arguments: Sequence[str]) -> int:
    """Print the table; 1 where a strategy is too slow."""
    late = []
    for name in arguments or [n for n in STRATEGIES.all() if n != "best_response"]:
        found = round_ms(name)
        limit = f"  at most {MOST_MS:g}" if name in LIMITED else ""
        print(f"{name:<20} {found:7.1f} ms{limit}", flush=True)
        late += [name] if name in LIMITED and found > MOST_MS else []
    print(f"{'clearing a round':<20} {clearing_ms():7.1f} ms")
    return int(bool(late))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
