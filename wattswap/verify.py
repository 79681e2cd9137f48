"""Proof of a run: every stored byte against the manifest, the chain against itself, the tables against the
chain, and all of it again from the scenario."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from market.settlement import COLUMNS, Postings, check_balanced
from p2p.chain.settlement import postings_root
from p2p.errors import StoreError
from wattswap import engine
from wattswap.errors import Problem, VerificationFailed
from wattswap.explorer import CHAIN, batch_of, genesis_of, open_chain, stamp, verified_chain
from wattswap.manifest import file_sha256
from wattswap.results import CURE, MANIFEST, RunResult
from wattswap.setup import Keys

if TYPE_CHECKING:
    import pyarrow as pa

    from market.units import IntArray

REPEATED = (
    *("name", "currency", "mechanism", "homes", "start", "intervals", "interval_minutes", "seed", "forecast"),
    *("scenario_sha256", "data", "chain", "replay_sha256"),
)
"""What a second run must say in its manifest, word for word."""


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
    """Run the scenario once more and compare everything that came out, row by row where bytes differ."""
    scenario = engine.stored_scenario(folder)
    with tempfile.TemporaryDirectory(prefix="wattswap-verify-") as scratch:
        again = engine.run(scenario, out=scratch, on_progress=on_progress)
        hint = _version_hint(manifest, again.manifest)
        problems = [
            Problem(
                str(folder / MANIFEST),
                f"says {name} {_short(manifest.get(name))}; running it again gives {_short(again.manifest[name])}",
                hint,
            )
            for name in REPEATED
            if manifest.get(name) != again.manifest[name]
        ]
        for name in engine.HASHED_FILES:
            difference = None if name == CHAIN else _difference(folder / name, again.path / name)
            if difference is not None:
                problems.append(Problem(str(folder / name), difference, hint))
    if problems:
        raise VerificationFailed(*problems)
    return f"a second run gives the same data, orders, clearings, postings, blocks and tables: {len(REPEATED)} facts"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 90 else f"{text[:90]}..."


def _difference(stored: Path, again: Path) -> str | None:
    """Say where a stored file differs from that of the second run, or None."""
    if file_sha256(stored) == file_sha256(again):
        return None
    if stored.suffix != ".parquet":
        return "is not what running it again gives"
    return first_difference(stored, again) or (
        "holds the rows that running it again gives, but its bytes differ: the file was written anew"
    )


def first_difference(stored: Path, again: Path) -> str | None:
    """Name the first row and column in which two Parquet tables differ; None when all rows are the same."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(stored) as a, pq.ParquetFile(again) as b:
            if a.schema_arrow != b.schema_arrow:
                return f"has the columns {a.schema_arrow.names}, not {b.schema_arrow.names}, or other types"
            rows = [[f.metadata.row_group(i).num_rows for i in range(f.num_row_groups)] for f in (a, b)]
            if rows[0] != rows[1]:
                return f"has {sum(rows[0])} rows in {len(rows[0])} groups, not {sum(rows[1])} in {len(rows[1])}"
            for group in range(a.num_row_groups):
                x, y = a.read_row_group(group), b.read_row_group(group)
                if not x.equals(y):
                    return _differing_cell(x, y)
    except (OSError, pa.ArrowException) as error:
        return f"cannot be read: {error}"
    return None


def _differing_cell(stored: pa.Table, again: pa.Table) -> str:
    for name in stored.column_names:
        if stored[name].equals(again[name]):
            continue
        pairs = zip(stored[name].to_pylist(), again[name].to_pylist(), strict=True)
        row, x, y = next((row, x, y) for row, (x, y) in enumerate(pairs) if x != y)
        place = [
            stamp(int(value.timestamp())) if key == "interval_start" else str(value)
            for key in ("interval_start", "household", "account")
            if key in again.column_names
            for value in [again[key][row].as_py()]
        ]
        return f"at {', '.join(place)}: {name} is {_cell(x)}; running it again gives {_cell(y)}"
    return "differs in its metadata from what running it again gives"


def _cell(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _version_hint(manifest: dict[str, Any], again: dict[str, Any]) -> str:
    then, now = manifest.get("versions", {}), again["versions"]
    changed = [
        f"{name} {then.get(name)} then, {now[name]} now" for name in now if then.get(name) != now[name]
    ]
    return "versions differ: " + "; ".join(changed) if changed else CURE
