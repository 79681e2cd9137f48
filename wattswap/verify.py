"""Proof of a run: every stored byte against the manifest, the chain against itself, the tables against the
chain, and all of it again from the scenario."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from market.settlement import COLUMNS, Postings, check_balanced
from p2p.chain.settlement import postings_root
from wattswap import engine
from wattswap.errors import Problem, VerificationFailed
from wattswap.explorer import batch_of, genesis_of, open_chain, stamp, verified_chain
from wattswap.manifest import file_sha256
from wattswap.results import RunResult
from wattswap.setup import Keys

if TYPE_CHECKING:
    from market.units import IntArray

CURE = "restore the folder from a copy, or run the scenario again"


def verify_run(path: Path | str, *, on_progress: engine.OnProgress | None = None) -> dict[str, Any]:
    """Prove a finished run.

    Args:
        path: The run's folder; nothing in it is changed.
        on_progress: See `engine.OnProgress`, for the second run.

    Returns:
        One sentence per check.

    Raises:
        VerificationFailed: Names the file, row or block that does not fit.
    """
    result = RunResult(path)
    folder = result.path
    checks = {"files": _check_files(folder, result.manifest)}
    facts = verified_chain(folder)
    if facts["head"] != result.manifest["chain"]["head"]:
        raise VerificationFailed.of(str(folder / "chain.db"), "its head is not the one of the manifest", CURE)
    checks["chain"] = f"{facts['blocks']} blocks, {facts['signatures']} signatures"
    checks["tables"] = _check_tables(folder)
    checks["again"] = _run_again(folder, result.manifest, on_progress)
    return {"run": str(folder), "ok": True, "checks": checks}


def _check_files(folder: Path, manifest: dict[str, Any]) -> str:
    problems = []
    for name in engine.HASHED_FILES:
        expected = manifest["files"].get(name)
        path = folder / name
        if not path.is_file():
            problems.append(Problem(str(path), "is missing", CURE))
        elif file_sha256(path) != expected:
            problems.append(
                Problem(str(path), "is not the file that the manifest names: its bytes have changed", CURE)
            )
    if problems:
        raise VerificationFailed(*problems)
    return f"{len(manifest['files'])} files as the manifest names them"


def _check_tables(folder: Path) -> str:
    """Recompute every postings root from the table and compare it with the chain, interval by interval."""
    genesis = genesis_of(folder)
    salts = Keys.of(engine.stored_scenario(folder)).salts
    accounts = genesis.members + 3
    count = 0
    with open_chain(folder) as store:
        chain = store.blocks()
        for starts, lines in _posting_chunks(folder, accounts):
            for start_s, rows in zip(starts.tolist(), lines, strict=True):
                block, _ = next(chain)
                batch = batch_of(block)
                postings = Postings(rows, genesis.members)
                check_balanced(postings)
                if batch.interval_start != start_s or batch.postings_root != postings_root(
                    postings, start_s, salts
                ):
                    raise VerificationFailed.of(
                        str(folder / "postings.parquet"),
                        f"the postings of {stamp(start_s)} are not those of block {block.header.height}",
                        CURE,
                    )
                count += 1
        if next(chain, None) is not None:
            raise VerificationFailed.of(
                str(folder / "postings.parquet"), f"ends after {count} intervals, the chain goes on", CURE
            )
    return f"postings of {count} intervals as their blocks commit to them; money and energy sum to zero"


def _posting_chunks(folder: Path, accounts: int) -> Iterator[tuple[IntArray, list[IntArray]]]:
    """Read the postings in whole intervals, some hundred thousand rows at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rest_starts, rest = np.empty(0, dtype=np.int64), np.empty((0, len(COLUMNS)), dtype=np.int64)
    for chunk in pq.ParquetFile(folder / "postings.parquet").iter_batches():
        # Parquet has no seconds: the stamps come back in milliseconds.
        starts = chunk.column("interval_start").cast(pa.timestamp("s", tz="UTC")).cast("int64").to_numpy()
        lines = np.column_stack([chunk.column(name).to_numpy() for name in COLUMNS])
        starts, lines = np.concatenate((rest_starts, starts)), np.concatenate((rest, lines))
        whole = len(lines) // accounts * accounts
        rest_starts, rest = starts[whole:], lines[whole:]
        intervals = np.ascontiguousarray(lines[:whole]).reshape(-1, accounts, len(COLUMNS))
        yield starts[:whole:accounts], list(intervals)


def _run_again(folder: Path, manifest: dict[str, Any], on_progress: engine.OnProgress | None) -> str:
    scenario = engine.stored_scenario(folder)
    with tempfile.TemporaryDirectory(prefix="wattswap-verify-") as scratch:
        again = engine.run(scenario, out=scratch, on_progress=on_progress).manifest
    expected, found = (
        {
            "data": m["data"]["sha256"],
            "orders, clearings and postings": m["replay_sha256"],
            "chain head": m["chain"]["head"],
        }
        for m in (manifest, again)
    )
    problems = [
        Problem(
            str(folder),
            f"running it again gives other {what}: {found[what][:16]}, not {expected[what][:16]}",
            _version_hint(manifest, again),
        )
        for what in expected
        if expected[what] != found[what]
    ]
    if problems:
        raise VerificationFailed(*problems)
    return f"a second run gives the same {', '.join(expected)}"


def _version_hint(manifest: dict[str, Any], again: dict[str, Any]) -> str:
    then, now = manifest["versions"], again["versions"]
    changed = [
        f"{name} {then.get(name)} then, {now[name]} now" for name in now if then.get(name) != now[name]
    ]
    return (
        "versions differ: " + "; ".join(changed)
        if changed
        else "the scenario's data or the program have changed"
    )
