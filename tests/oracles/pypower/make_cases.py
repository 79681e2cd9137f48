"""Make opf_cases.json: random meshed grids, and what the DC optimal power flow of PYPOWER says about them.

PYPOWER (R. Lincoln; a port of MATPOWER: Zimmerman, Murillo-Sanchez, Thomas, IEEE Trans. Power Systems 26 (2011), 12-19)
is another model by other people with another solver, a primal-dual interior point method. It is no dependency of the
tests: to make the file again, `pip install pypower==5.1.21 numpy scipy` into an environment of its own and run

    python tests/oracles/pypower/make_cases.py > tests/oracles/pypower/opf_cases.json

Loads are fixed there; in a book they are bids far above every offer. Costs are different for every generator, and only
cases with a unique answer are kept: the same prices after each load is moved by a little.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import pypower
from pypower.api import ppoption, rundcopf

CASES = 36
BASE_MVA = 100.0


def drawn(random: np.random.Generator) -> dict[str, Any]:
    """A random ring with chords, a generator at about half of the buses and a load at most of them."""
    buses = int(random.integers(3, 15))
    lines = [(i, (i + 1) % buses) for i in range(buses)]
    for _ in range(int(random.integers(0, buses))):
        a, b = sorted(random.choice(buses, 2, replace=False).tolist())
        lines += [(a, b)] if b - a > 1 else []
    load = [int(random.integers(5, 60)) if random.random() < 0.8 else 0 for _ in range(buses)]
    generators = []
    for bus in range(buses):
        if random.random() < 0.6 or bus == 0:
            generators.append([bus, int(random.integers(30, 150)), 0])
    costs = random.choice(np.arange(10, 100), len(generators), replace=False).tolist()
    for generator, cost in zip(generators, costs, strict=True):
        generator[2] = cost
    branches = [
        [a, b, round(float(random.uniform(0.05, 0.5)), 3), int(random.integers(15, 80))] for a, b in lines
    ]
    return {"buses": buses, "load": load, "generators": generators, "lines": branches}


def solved(case: dict[str, Any], more: float = 0.0) -> dict[str, Any] | None:
    """Prices, flows, outputs and cost by PYPOWER; None where it finds none."""
    n = case["buses"]
    bus = np.zeros((n, 13))
    bus[:, 0], bus[:, 1] = np.arange(n) + 1, 1
    bus[0, 1] = 3
    bus[:, 2] = np.array(case["load"], dtype=float) + more * (np.arange(n) + 1)
    bus[:, [6, 7, 9, 10, 11, 12]] = [1, 1, 0, 1, 1.1, 0.9]
    gen = np.zeros((len(case["generators"]), 21))
    gencost = np.zeros((len(gen), 6))
    for i, (at, most, cost) in enumerate(case["generators"]):
        gen[i, [0, 5, 6, 7, 8]] = [at + 1, 1, BASE_MVA, 1, most]
        gencost[i] = [2, 0, 0, 2, cost, 0]
    branch = np.zeros((len(case["lines"]), 13))
    for i, (a, b, x, limit) in enumerate(case["lines"]):
        branch[i, [0, 1, 3, 5, 10, 11, 12]] = [a + 1, b + 1, x, limit, 1, -360, 360]
    ppc = {"version": "2", "baseMVA": BASE_MVA, "bus": bus, "gen": gen, "branch": branch, "gencost": gencost}
    result = rundcopf(
        ppc, ppoption(VERBOSE=0, OUT_ALL=0, PDIPM_GRADTOL=1e-9, PDIPM_COMPTOL=1e-9, PDIPM_FEASTOL=1e-9)
    )
    if not result["success"]:
        return None
    return {
        "cost": float(result["f"]),
        "price": [round(float(p), 5) for p in result["bus"][:, 13]],
        "flow": [round(float(p), 4) for p in result["branch"][:, 13]],
        "output": [round(float(p), 4) for p in result["gen"][:, 1]],
    }


def is_unique(case: dict[str, Any], found: dict[str, Any]) -> bool:
    """Whether the prices stay where they are when the loads move a little up and a little down."""
    for more in (0.001, -0.001):
        other = solved(case, more)
        if other is None or np.abs(np.array(other["price"]) - found["price"]).max() > 1e-2:
            return False
    return True


def main() -> None:
    """Print the cases: at least two thirds of them congested."""
    random, cases, plain = np.random.default_rng(20_26), [], 0
    while len(cases) < CASES:
        case = drawn(random)
        found = solved(case)
        if found is None or not is_unique(case, found):
            continue
        if max(found["price"]) - min(found["price"]) < 1e-3:
            plain += 1
            if plain > CASES // 3:
                continue
        cases.append({**case, "pypower": found})
    made = {"made_by": f"PYPOWER {pypower_version()}, rundcopf", "base_mva": BASE_MVA, "cases": cases}
    json.dump(made, sys.stdout, separators=(",", ":"))
    sys.stdout.write("\n")


def pypower_version() -> str:
    from importlib.metadata import version

    assert pypower
    return version("pypower")


if __name__ == "__main__":
    main()
