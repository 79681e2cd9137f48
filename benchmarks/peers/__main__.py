"""Huang and MUDA beside pymarket: times in the same run, and where results differ, why.

pymarket is installed into an environment of its own. Where it cannot be, that is reported and nothing is measured.

Usage: python -m benchmarks.peers [--json] [--cap SECONDS]
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.compare import HALVES, compare, pays_too_much_out
from benchmarks.peers.environment import NotInstalled, python_of_peer, run_peer
from benchmarks.peers.ours import Row, book_of, clear_ours, made_up

SIZES = (100, 1_000, 10_000)
REPEATS = {100: 5, 1_000: 3, 10_000: 1}
OURS = {"huang": "huang", "muda": "muda_vickrey"}
TARGET = 100
BOOKS, ORDERS = 300, 12
KINDS: dict[str, dict[str, Any]] = {
    "one order each": {},
    "one order of 1 kWh each": {"units": True},
    "two orders each": {"participants": ORDERS // 2},
}


def times(python: Path, cap_s: float) -> list[dict[str, Any]]:
    """Median time of both on the same books, one row for each mechanism and size."""
    random, found = np.random.default_rng(1), []
    for mechanism, name in OURS.items():
        for orders in SIZES:
            rows = made_up(random, orders)
            answer = run_peer(python, mechanism, [rows], REPEATS[orders], cap_s)
            theirs = None if answer is None else answer[0]
            seconds = cap_s if theirs is None else theirs["seconds"]
            ours = _seconds_of_ours(rows, name, theirs)
            found.append(
                {
                    "mechanism": name,
                    "orders": orders,
                    "pymarket_ms": round(seconds * 1e3, 1),
                    "beyond_cap": theirs is None,
                    "ours_ms": round(ours * 1e3, 3),
                    "ratio": round(seconds / ours),
                    "result": None if theirs is None else compare(rows, mechanism, theirs),
                }
            )
    return found


def _seconds_of_ours(rows: list[Row], name: str, theirs: dict[str, Any] | None) -> float:
    book, params = book_of(rows), {}
    if theirs is not None and "left" in theirs["extra"]:  # the same halves
        params["partition"] = tuple(tuple(int(i) for i in theirs["extra"][half]) for half in HALVES)
    seconds = []
    for _ in range(21):
        begun = time.perf_counter()
        clear_ours(book, name, **params)
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds)


def results(python: Path, cap_s: float) -> list[dict[str, Any]]:
    """How results relate on small books, one row for each mechanism and kind of book."""
    random, found = np.random.default_rng(2), []
    for kind, options in KINDS.items():
        books = [made_up(random, ORDERS, **options) for _ in range(BOOKS)]
        for mechanism, name in OURS.items():
            answers = run_peer(python, mechanism, books, 1, cap_s) or []
            pairs = list(zip(books, answers, strict=True))
            said = Counter(compare(rows, mechanism, theirs) for rows, theirs in pairs)
            found.append(
                {
                    "mechanism": name,
                    "books": kind,
                    "said": dict(said.most_common()),
                    "profits_above_gain": sum(pays_too_much_out(rows, theirs) for rows, theirs in pairs),
                }
            )
    return found


def main(arguments: list[str]) -> None:
    """Print both tables, or one JSON object."""
    cap_s = float(arguments[arguments.index("--cap") + 1]) if "--cap" in arguments else 300.0
    try:
        python = python_of_peer()
    except NotInstalled as why:
        print(f"pymarket cannot be installed here, so nothing is compared: {why}")
        return
    speed, small = times(python, cap_s), results(python, cap_s)
    if "--json" in arguments:
        print(json.dumps({"times": speed, "results": small}))
        return
    print(f"{'mechanism':<14}{'orders':>8}{'pymarket ms':>14}{'ours ms':>10}{'ratio':>10}  target    result")
    for row in speed:
        more = ">" if row["beyond_cap"] else ""
        target = f">= {TARGET}" if row["orders"] == max(SIZES) else ""
        numbers = f"{more}{row['pymarket_ms']:,.1f}".rjust(14) + f"{row['ours_ms']:>10.3f}"
        ratio = f"{more}{row['ratio']:,}"
        print(
            f"{row['mechanism']:<14}{row['orders']:>8,}{numbers}{ratio:>10}  {target:<8}  {row['result'] or ''}"
        )
    for row in small:
        print(f"\n{row['mechanism']}, {BOOKS} books of {ORDERS} orders, {row['books']}")
        for what, count in row["said"].items():
            print(f"  {count:>5}  {what}")
        if row["profits_above_gain"]:
            print(
                f"  {row['profits_above_gain']:>5}  (of all) profits stated by pymarket pass the gain from trade"
            )


if __name__ == "__main__":
    main(sys.argv[1:])
