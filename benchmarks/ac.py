"""How far the linear equations of `nodal_price` are from an AC power flow where limits bind, on published networks.

For each network, homes buy (evening) or sell (noon) more than it can carry: the load that first meets a limit, times
1.5, shared by the loads of the file and drawn between 0 and 2 times their share. The market clears it; the AC power
flow of pandapower takes what was cleared, with the reactive loads of the file. Reported over all markets in which a
limit binds: the error of the linear voltages, how far AC voltages are beyond a bound, and the AC loading of the fullest
line.

Usage: python -m benchmarks.ac [NETWORKS] [--json]; NETWORKS is a folder with pandapower_json/, opendss/ and a SimBench
network, ../shared/data/networks if left out. Needs the extra `ac`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from market.book import OrderBook
from market.grid import Grid
from market.mechanism import MECHANISMS
from market.rules import MarketRules
from market.units import WH_PER_KWH
from optimizer.power_flow import AcNetwork, PowerFlow, linear_power_flow
from wattswap.cases.grid_file import LoadedGrid, load_grid

MARKETS = 24
BEYOND = 1.5
IMPORT_MICRO, EXPORT_MICRO = 300_000, 80_000
TARGET = 0.005
NETWORKS = (
    ("IEEE 33 buses, 12.66 kV", "pandapower_json/case33bw.json"),
    ("CIGRE low voltage", "pandapower_json/create_cigre_network_lv.json"),
    ("Kerber, rural cable", "pandapower_json/create_kerber_landnetz_kabel_1.json"),
    ("SimBench rural1", "simbench_1-LV-rural1--0-sw/net.json"),
    ("European LV (pandapower)", "pandapower_json/IEEE_European_LV_On_Peak_566.json"),
    ("European LV (OpenDSS)", "opendss/LVTestCase"),
    ("IEEE 13 buses, 4.16 kV", "opendss/13Bus"),
)


def shares_of(loaded: LoadedGrid) -> np.ndarray:
    """Share of each node in the load of the homes."""
    names = loaded.grid.nodes.names
    homes = set(loaded.homes.values())
    load = np.array([max(float(loaded.load_kw[name]), 1.0) if name in homes else 0.0 for name in names])
    return load / load.sum()


def slack(grid: Grid, flow: PowerFlow) -> float:
    """Least room that is left, of limits as shares and of voltages per unit; below 0 where one is passed."""
    rooms = 1 - np.append(flow.loading[np.isfinite(flow.loading)], 0.0)
    return min(
        float(rooms.min()),
        float(flow.voltage.min()) - grid.vmin**0.5,
        grid.vmax**0.5 - float(flow.voltage.max()),
    )


def first_limit_kw(grid: Grid, shares: np.ndarray, sign: float) -> float:
    """Load of all homes that first meets a limit, by the linear equations."""
    low, high = 0.0, 1e6
    for _ in range(60):
        middle = (low + high) / 2
        fits = slack(grid, linear_power_flow(grid, sign * middle * shares, grid.nodes.reactive_load)) >= 0
        low, high = (middle, high) if fits else (low, middle)
    return low


def cleared(grid: Grid, wish_kw: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Net consumption of each node after clearing what the homes want to buy or, below 0, sell. [kW]"""
    nodes = np.flatnonzero(wish_kw)
    enough = round(float(np.abs(wish_kw).sum()) * 2 * WH_PER_KWH)
    node = np.array([*nodes, grid.root, grid.root])
    side = np.array([*np.sign(wish_kw[nodes]), -1, 1]).astype(np.int8)
    energy = np.array([*np.rint(np.abs(wish_kw[nodes]) * WH_PER_KWH), enough, enough]).astype(np.int64)
    private = random.integers(EXPORT_MICRO, IMPORT_MICRO, len(nodes))
    limit = np.where(
        side[:-2] > 0, private + IMPORT_MICRO - EXPORT_MICRO, private - IMPORT_MICRO + EXPORT_MICRO
    )
    limits = np.array([*limit, IMPORT_MICRO, EXPORT_MICRO]).astype(np.int64)
    book = OrderBook.from_columns(np.arange(len(node)), side, energy, limits, node)
    found = MECHANISMS.get("nodal_price").clear(book, MarketRules(grid=grid))
    taken = np.bincount(book.node, book.side * found.accepted_wh, len(grid.nodes))
    return taken / WH_PER_KWH


def measure(loaded: LoadedGrid, sign: float, seed: int = 0) -> Iterator[dict[str, float]]:
    """Figures of each market in which a limit binds."""
    grid, random = loaded.grid, np.random.default_rng(seed)
    shares, network = shares_of(loaded), AcNetwork(loaded.grid)
    total = BEYOND * first_limit_kw(grid, shares, sign)
    for _ in range(MARKETS):
        kw = cleared(grid, sign * total * shares * 2 * random.random(len(shares)), random)
        linear = linear_power_flow(grid, kw, grid.nodes.reactive_load)
        if slack(grid, linear) > 1e-3:
            continue
        begun = time.process_time()
        ac = network.solve(kw, grid.nodes.reactive_load)
        outside = max(grid.vmin**0.5 - ac.voltage.min(), ac.voltage.max() - grid.vmax**0.5, 0.0)
        loads = ac.loading[np.isfinite(ac.loading)]
        yield {
            "error": float(np.abs(ac.voltage - linear.voltage).max()),
            "beyond_bound": float(outside),
            "loading": float(loads.max()) if len(loads) else float("nan"),
            "lowest": float(linear.voltage.min()),
            "highest": float(linear.voltage.max()),
            "losses": ac.losses_kw / float(np.abs(kw).sum() / 2),
            "seconds": time.process_time() - begun,
        }


def rows(folder: Path) -> Iterator[dict[str, Any]]:
    """One row a network and direction."""
    for name, path in NETWORKS:
        loaded = load_grid(folder / path)
        for what, sign in (("buying", 1.0), ("selling", -1.0)):
            found = list(measure(loaded, sign))
            column = {key: np.array([one[key] for one in found]) for key in (found[0] if found else ())}
            if not found:
                continue
            yield {
                "network": name,
                "homes": what,
                "markets": len(found),
                "largest_error": float(column["error"].max()),
                "median_error": float(np.median(column["error"])),
                "beyond_bound": float(column["beyond_bound"].max()),
                "loading": float(column["loading"].max()),
                "lowest": float(column["lowest"].min()),
                "highest": float(column["highest"].max()),
                "losses": float(np.median(column["losses"])),
                "ms": 1_000 * float(np.median(column["seconds"])),
            }


def main(argv: list[str]) -> None:
    """Print the table."""
    named = [Path(one) for one in argv if not one.startswith("-")]
    folder = named[0] if named else Path(__file__).parents[2] / "shared" / "data" / "networks"
    if not folder.exists():
        print(f"no networks in {folder}; name their folder")
        return
    found = list(rows(folder))
    if "--json" in argv:
        print(json.dumps(found))
        return
    print(
        "| network | homes are | markets | largest error | median | beyond a bound | loading | voltages | losses | ms |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for row in found:
        loading = f"{row['loading']:.0%}" if row["loading"] == row["loading"] else "no limits"
        print(
            f"| {row['network']} | {row['homes']} | {row['markets']} | {row['largest_error']:.2%} |"
            f" {row['median_error']:.2%} | {row['beyond_bound']:.2%} | {loading} |"
            f" {row['lowest']:.3f} to {row['highest']:.3f} | {row['losses']:.1%} | {row['ms']:.0f} |"
        )
    within = sum(row["largest_error"] <= TARGET for row in found)
    print(f"\nlargest error at most {TARGET:.1%} in {within} of {len(found)} rows")


if __name__ == "__main__":
    main(sys.argv[1:])
