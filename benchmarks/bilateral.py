"""Bilateral trades: CPU of the central optimum and of a negotiation, and the messages of one over a network.

Targets at 500 agents: central under 2 s of CPU at a gap of 1e-8, negotiated under 8 s within 1e-4 of the optimum.

Usage: python -m benchmarks.bilateral [--sizes 100 500] [--seeds 3] [--agents 20 50] [--libp2p 6]
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
import trio

from market.units import FloatArray, IntArray
from optimizer.bilateral.admm import Negotiated, negotiate, terms_of
from optimizer.bilateral.central import Optimum, solve
from optimizer.bilateral.market import Agents, Market, everybody
from optimizer.bilateral.whole import whole_trades
from wattswap.nodes.negotiation import Traffic, negotiate_in_memory, negotiate_over_libp2p

DEGREE = 6
"""Partners of each agent in a partner graph, about."""


def random_market(n: int, seed: int, degree: int = 0) -> Market:
    """Half producers and half consumers with quadratic costs, and costs of each pair on both sides.

    Args:
        n: Agents.
        seed: Of the draws.
        degree: Partners of each agent, about; 0 for everybody of the other half.
    """
    draw = np.random.default_rng(seed)
    sells = np.arange(n) < n // 2
    most = np.rint(draw.uniform(1_000, 5_000, n))
    agents = Agents(
        draw.uniform(0.01, 0.1, n) / 1_000,
        np.where(sells, draw.uniform(0.05, 0.2, n), draw.uniform(0.2, 0.5, n)),
        np.where(sells, 0.0, -most),
        np.where(sells, most, 0.0),
    )
    seller, buyer = everybody(agents)
    if degree:
        known = draw.random(len(seller)) < 2 * degree / n
        seller, buyer = seller[known], buyer[known]
    m = len(seller)
    return Market(agents, seller, buyer, draw.uniform(0, 0.05, m), draw.uniform(0, 0.05, m))


def error_of(market: Market, found: Negotiated, best: Optimum) -> float:
    """What the trades in whole Wh cost above the optimum, relative to all costs."""
    pair, energy_wh = settled_of(market, found)
    cost = cost_of(market, np.array(pair, dtype=np.int64), np.array(energy_wh, dtype=np.int64))
    size = market.size(best.trades.p, best.trades.quantity, best.trades.pair)
    return (cost - best.objective) / size


def settled_of(market: Market, found: Negotiated) -> tuple[list[int], list[int]]:
    """Pairs that trade, and their whole Wh."""
    near = 1e-3 * found.terms.energy_wh
    pair, energy_wh = whole_trades(market, found.trades.pair, found.trades.quantity, near)
    return pair.tolist(), energy_wh.tolist()


def cost_of(market: Market, pair: IntArray, energy_wh: IntArray) -> float:
    """Cost of trades in whole Wh. [thousandths of currency]"""
    quantity: FloatArray = energy_wh.astype(np.float64)
    return market.objective(market.net(quantity, pair), quantity, pair)


def _computed(sizes: list[int], seeds: int) -> None:
    head = f"{'agents':>6} {'pairs':>6} | {'central CPU s':>13} {'gap':>8} {'programs':>8} {'columns':>7} {'trades':>6}"
    print(f"{head} | {'negotiated CPU s':>16} {'rounds':>6} {'error':>9}", flush=True)
    for n in sizes:
        for seed in range(seeds):
            market = random_market(n, seed)
            begun = time.process_time()
            best = solve(market)
            central_s = time.process_time() - begun
            begun = time.process_time()
            found = negotiate(market, terms_of(market))
            error = error_of(market, found, best)
            negotiated_s = time.process_time() - begun
            print(
                f"{n:6} {len(market.seller):6} | {central_s:13.2f} {best.gap:8.0e} {best.programs:8}"
                f" {best.columns:7} {len(best.trades.pair):6} | {negotiated_s:16.2f} {found.rounds:6} {error:9.1e}",
                flush=True,
            )


def _sent(counts: list[int], libp2p: int) -> None:
    print(
        f"\n{'agents':>6} {'partners':>8} {'over':>8} {'rounds':>6} {'messages':>9} {'kB':>8} {'kB/agent':>8}"
        f" {'CPU s':>6}  the same to the Wh as in one process",
        flush=True,
    )
    jobs = [(n, degree, "memory") for n in counts for degree in (0, DEGREE)]
    for n, degree, over in [*jobs, *((libp2p, degree, "libp2p") for degree in (0, 2) if libp2p)]:
        market = random_market(n, 1, degree)
        terms = terms_of(market)
        begun = time.process_time()
        way = negotiate_in_memory if over == "memory" else negotiate_over_libp2p
        found, traffic = trio.run(way, market, terms)
        cpu_s = time.process_time() - begun
        alone = negotiate(market, terms)
        same = found.rounds == alone.rounds and settled_of(market, found) == settled_of(market, alone)
        print(_row(n, len(market.seller), over, found.rounds, traffic, cpu_s, same), flush=True)


def _row(n: int, pairs: int, over: str, rounds: int, traffic: Traffic, cpu_s: float, same: bool) -> str:
    kilobytes = traffic.bytes / 1_000
    return (
        f"{n:6} {2 * pairs / n:8.1f} {over:>8} {rounds:6} {traffic.frames:9,} {kilobytes:8,.0f}"
        f" {kilobytes / n:8.1f} {cpu_s:6.1f}  {'yes' if same else 'NO'}"
    )


def main(argv: list[str]) -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bilateral")
    parser.add_argument("--sizes", type=int, nargs="*", default=[100, 500])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--agents", type=int, nargs="*", default=[20, 50])
    parser.add_argument("--libp2p", type=int, default=6, help="Agents over libp2p; 0 for none.")
    given = parser.parse_args(argv)
    solve(random_market(20, 0))  # what is imported and compiled once does not count
    _computed(given.sizes, given.seeds)
    _sent(given.agents, given.libp2p)


if __name__ == "__main__":
    main(sys.argv[1:])
