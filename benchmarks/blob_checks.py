"""What a validator takes to check an interval from the solution in its blob, and to compute it again, and the bytes.

A live run of a template in which a solver is asked, over libp2p; then every blob is checked twice in this process, as
it is and without its solution. Both times hold messages, signatures and settlement. [CPU, medians]

Usage: python -m benchmarks.blob_checks [--template NAME] [--from TIME] [--intervals N] [--pace SECONDS] [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from p2p.batches.batch import batches
from p2p.batches.blob import with_solution
from p2p.roles.replica.blobs import FolderBlobs
from wattswap.nodes.batch_checker import BatchChecker
from wattswap.nodes.live import Topology, compare_runs, run_live
from wattswap.runs import engine
from wattswap.runs.chain_reader import open_chain
from wattswap.runs.folder import stored_scenario
from wattswap.runs.layout import BLOBS
from wattswap.runs.prepare import prepare
from wattswap.scenario.load import BUNDLED, TEMPLATES, load


def measure(template: str, start: str, intervals: int, pace_s: float, overrides: list[str]) -> dict[str, Any]:
    """Run it, and check all blobs; raises when a root differs from the run in process."""
    with tempfile.TemporaryDirectory(prefix="wattswap-blobs-") as folder:
        scenario = load(
            TEMPLATES / BUNDLED[template], overrides=[f"time.start={start}", "time.days=1", *overrides]
        )
        result = run_live(
            scenario,
            topology=Topology(gateways=1, pace_s=pace_s),
            intervals=intervals,
            out=Path(folder) / "runs",
        )
        again = engine.run(stored_scenario(result.path), out=Path(folder) / "again")
        equal = compare_runs(result, again)
        blobs = FolderBlobs(result.path / BLOBS)
        with open_chain(result.path) as store:
            found = [args for block, _ in store.blocks() for _, args in batches(block.txs)]
        held = [blob for blob in (blobs.get(args.blob_hash) for args in found) if blob is not None]
        bare = [with_solution(blob, b"") for blob in held]
        setup = prepare(stored_scenario(result.path))
        _times_s(BatchChecker(setup), bare)  # what is computed once
        check_s = _times_s(BatchChecker(setup), held)
        compute_s = _times_s(BatchChecker(setup), bare)
        return {
            "template": template,
            "intervals": len(held),
            "equal_intervals": len(equal),
            "orders": int(statistics.median(row["orders"] for row in equal)),
            "blob_bytes": int(statistics.median(map(len, held))),
            "blob_bytes_without": int(statistics.median(map(len, bare))),
            "check_ms": 1e3 * statistics.median(check_s),
            "compute_ms": 1e3 * statistics.median(compute_s),
        }


def _times_s(checker: BatchChecker, blobs: list[bytes]) -> list[float]:
    times = []
    for blob in blobs:
        begun = time.process_time()
        checker.recompute(blob)
        times.append(time.process_time() - begun)
    return times


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--template", default="street_grid")
    parser.add_argument("--from", dest="start", default="2016-05-18T11:00:00")
    parser.add_argument("--intervals", type=int, default=8)
    parser.add_argument("--pace", type=float, default=4.0)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found = measure(asked.template, asked.start, asked.intervals, asked.pace, asked.set)
    if asked.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:<20} {round(value, 3) if isinstance(value, float) else value}")


if __name__ == "__main__":
    main()
