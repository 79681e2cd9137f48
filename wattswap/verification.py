"""Verification of a run: files against the manifest, the chain itself, the tables against the chain, and
all of it recomputed from the scenario."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from market.errors import AmountTooLarge, UnbalancedPostings
from market.mechanism import MECHANISMS
from market.settlement.accounts import COLUMNS, Postings, check_balanced
from optimizer.solver.session import solver_is_installed
from p2p.batches.batch import postings_root
from p2p.blocks.members import read_members
from wattswap.canonical_json import canonical_json
from wattswap.errors import Interrupted, Problem, VerificationFailed
from wattswap.runs import engine
from wattswap.runs.chain_reader import genesis_of, open_chain, settled, stamp, verified_chain
from wattswap.runs.folder import RunFolder, read_object, stored_scenario
from wattswap.runs.keys import Keys
from wattswap.runs.layout import (
    BLOBS,
    CHAIN,
    GENESIS,
    HASHED_FILES,
    IN_PROCESS,
    LIVE,
    LOG,
    MANIFEST,
    MEMBERS,
    NETWORK,
    OMISSIONS,
    PARTIAL,
    REPORT,
    SCENARIO,
    hashed_files,
    table_file,
)
from wattswap.runs.manifest import SCHEMA, file_sha256
from wattswap.runs.prepare import prepare
from wattswap.runs.stored import CURE

if TYPE_CHECKING:
    import pyarrow as pa

    from market.units import IntArray
    from wattswap.scenario.load import Scenario

REPEATED = (
    *("name", "currency", "mechanism", "homes", "start", "intervals", "interval_minutes", "seed", "forecast"),
    *("quantities", "imbalance", "scenario_sha256", "modules", "data", "chain", "replay_sha256"),
)
"""Manifest entries that a second run must repeat exactly."""
POSTINGS, INTERVALS = table_file("postings"), table_file("intervals")
NETWORK_COLUMNS = ("height", "block_hash")
"""Columns of INTERVALS that depend on how a network's validators voted."""


def verify_run(path: Path | str, *, on_progress: engine.OnProgress | None = None) -> dict[str, Any]:
    """Verify a finished run.

    Args:
        path: The run's folder; nothing in it is changed.
        on_progress: See `engine.OnProgress`, for the second run.

    Returns:
        One sentence per check. A live run in which a home was absent is not run again: with that home its
        result would differ. Without a solver one is not run again whose blobs prove what the solver found.

    Raises:
        VerificationFailed: Names the file, row or block that does not fit.
    """
    result = RunFolder(path)
    folder = result.path
    checks = {"files": _check_files(folder, result.manifest)}
    genesis_of(folder)  # a chain of another format says so, whether its data are still there or not
    _check_scenario(folder / SCENARIO, result.manifest)
    scenario = stored_scenario(folder)
    _check_provenance(folder, scenario, result.manifest)
    facts = verified_chain(folder)
    _check_chain_facts(folder, facts, result.manifest["chain"])
    checks["chain"] = f"{facts['blocks']} blocks, {facts['signatures']} signatures"
    checks["tables"] = _check_tables(folder, Keys.of(scenario).salts)
    live = result.manifest.get("driver") == LIVE
    if live:
        checks["messages"] = _check_messages(folder, scenario, result.manifest)
    absent = result.manifest.get("network", {}).get("silent")
    if absent:
        checks["again"] = f"left out: homes were absent {len(absent)} times, which only the live run knows"
    elif live and MECHANISMS.get(scenario.market.mechanism).witness is not None and not solver_is_installed():
        checks["again"] = "left out: no solver is installed; its answers are in the blobs, and proven there"
    else:
        checks["again"] = _run_again(folder, scenario, result.manifest, on_progress)
    return {"run": str(folder), "ok": True, "checks": checks}


def _check_chain_facts(folder: Path, facts: dict[str, Any], stated: dict[str, Any]) -> None:
    if facts["head"] != stated.get("head"):
        raise VerificationFailed.of(str(folder / CHAIN), "its head is not the one of the manifest", CURE)
    found = {"id": facts["chain_id"], **{name: facts[name] for name in ("blocks", "head", "authorities")}}
    says = {name: json.dumps(stated.get(name)) for name in {**stated, **found}}  # as text: True is not 1
    wrong = [
        Problem(str(folder / MANIFEST), f"says chain.{name} = {says[name]}, it must be {must}", CURE)
        for name, must in ((name, json.dumps(found.get(name))) for name in sorted(says))
        if says[name] != must
    ]
    if wrong:
        raise VerificationFailed(*wrong)


def _check_messages(folder: Path, scenario: Scenario, manifest: dict[str, Any]) -> str:
    """Reassemble a live run from its signed messages, and compare all results.

    Every interval is recomputed as a validator did before it voted, and a message must be the one that the home's data
    and strategy give, so that a run cannot be fabricated by declaring a home absent.
    """
    from wattswap.nodes.assemble import assemble

    prepared, genesis = prepare(scenario), genesis_of(folder)
    if prepared.genesis != genesis:
        raise VerificationFailed.of(str(folder / GENESIS), "is not the genesis of the run's scenario", CURE)
    if not (folder / BLOBS).is_dir():
        raise VerificationFailed.of(str(folder / BLOBS), "is missing", CURE)
    read_members(folder / MEMBERS, prepared.roster, genesis.members_root)
    with tempfile.TemporaryDirectory(prefix="wattswap-verify-") as scratch:
        partial = Path(scratch) / f"again{PARTIAL}"
        partial.mkdir()
        for name in (GENESIS, MEMBERS, SCENARIO, CHAIN, NETWORK):
            shutil.copyfile(folder / name, partial / name)
        again = assemble(prepared, partial, 0.0, {}, checked=folder / BLOBS)
        _compare(folder, manifest, again, live=True)
    return f"{prepared.intervals} intervals, tables and metrics follow from the signed messages of the homes"


def _check_files(folder: Path, manifest: dict[str, Any]) -> str:
    problems = []
    # Whether the manifest states the driver correctly is checked later.
    live, networked = manifest.get("driver") == LIVE, "network" in manifest
    names = hashed_files(LIVE if live and networked else IN_PROCESS)
    for name in names:
        expected = manifest.get("files", {}).get(name)
        path = folder / name
        if not path.is_file():
            problems.append(Problem(str(path), "is missing", CURE))
        elif file_sha256(path) != expected:
            problems.append(
                Problem(str(path), "is not the file that the manifest names: its bytes have changed", CURE)
            )
    known = {*names, MANIFEST, LOG, REPORT}
    if live or networked:
        known |= {BLOBS, MEMBERS, NETWORK, OMISSIONS}
    problems += [
        Problem(str(path), "is not part of this run", "move it elsewhere")
        for path in sorted(folder.iterdir())
        if path.name not in known
    ]
    if problems:
        raise VerificationFailed(*problems)
    return f"{len(names)} files as the manifest names them"


def _check_provenance(folder: Path, scenario: Scenario, manifest: dict[str, Any]) -> None:
    """Check the manifest's fields that a second run does not cover: who signed, and its format."""
    live = manifest.get("driver") == LIVE
    expected = {
        "schema": SCHEMA,
        "driver": LIVE if live else IN_PROCESS,
        "signed": live or scenario.chain.sign_orders,
    }
    found = {name: manifest.get(name) for name in expected}
    problems = [
        Problem(str(folder / MANIFEST), f"says {name} = {found[name]}, it must be {expected[name]}", CURE)
        for name in expected
        if json.dumps(found[name]) != json.dumps(expected[name])  # True is not 1
    ]
    files = set(hashed_files(LIVE if live and "network" in manifest else IN_PROCESS))
    for name in sorted(files ^ set(manifest.get("files", {}))):
        what = f"does not name {name}" if name in files else f"names {name}, which is no file of such a run"
        problems.append(Problem(str(folder / MANIFEST), what, CURE))
    if ("network" in manifest) != live:
        what = (
            "names no network, but a live run has one"
            if live
            else "describes a network, but this run used none"
        )
        problems.append(Problem(str(folder / MANIFEST), what, CURE))
    if problems:
        raise VerificationFailed(*problems)


def _check_scenario(path: Path, manifest: dict[str, Any]) -> None:
    """Compare the digest with the manifest before the scenario is parsed, which may fail for other reasons."""
    resolved = read_object(path).get("resolved")
    if sha256(canonical_json(resolved).encode()).hexdigest() != manifest.get("scenario_sha256"):
        raise VerificationFailed.of(str(path), "is not the scenario that the manifest names", CURE)


def _check_tables(folder: Path, salts: bytes) -> str:
    """Recompute every postings root from the table and compare it with the chain, interval by interval."""
    genesis = genesis_of(folder)
    path = folder / POSTINGS
    count = 0
    with open_chain(folder) as store:
        chain = settled(store)
        for start_s, lines in _intervals(path, genesis.members + len(genesis.account_names)):
            found = next(chain, None)
            if found is None:
                raise VerificationFailed.of(str(path), f"has intervals after the {count} of the chain", CURE)
            (height, batch), postings = found, Postings(lines, genesis.members, len(genesis.accounts))
            committed = (batch.interval_start, batch.postings_root)
            if (start_s, postings_root(postings, start_s, salts)) != committed:
                what = f"the postings of {stamp(batch.interval_start)} are not those of block {height}"
                raise VerificationFailed.of(str(path), what, CURE)
            try:
                check_balanced(postings)
            except (AmountTooLarge, UnbalancedPostings) as error:
                raise VerificationFailed.of(f"{path}, {stamp(start_s)}", str(error), CURE) from None
            count += 1
        left = sum(1 for _ in chain)
        if left:
            raise VerificationFailed.of(str(path), f"ends after {count} of {count + left} intervals", CURE)
    return f"postings of {count} intervals as their blocks commit to them; money and energy sum to zero"


def _intervals(path: Path, accounts: int) -> Iterator[tuple[int, IntArray]]:
    """Read the postings interval by interval: its start and the lines of all accounts.

    Raises:
        VerificationFailed: The table cannot be read, or ends within an interval.
    """
    import pyarrow as pa

    rows_left = 0
    try:
        for starts, lines, rest in _chunks(path, accounts):
            yield from zip(starts, lines, strict=True)
            rows_left = rest
    except (OSError, KeyError, pa.ArrowException) as error:
        raise VerificationFailed.of(str(path), f"cannot be read: {error}", CURE) from None
    if rows_left:
        raise VerificationFailed.of(str(path), f"{rows_left} rows follow the last whole interval", CURE)


def _chunks(path: Path, accounts: int) -> Iterator[tuple[list[int], IntArray, int]]:
    """Read the postings in whole intervals, about ten thousand rows at a time, and count the rows left over."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rest_starts, rest = np.empty(0, dtype=np.int64), np.empty((0, len(COLUMNS)), dtype=np.int64)
    with pq.ParquetFile(path) as file:
        for chunk in file.iter_batches():
            # Parquet has no seconds: the stamps come back in milliseconds.
            stamps = chunk.column("interval_start").cast(pa.timestamp("s", tz="UTC"))
            lines = np.column_stack([chunk.column(name).to_numpy() for name in COLUMNS])
            starts = np.concatenate((rest_starts, stamps.cast("int64").to_numpy()))
            lines = np.concatenate((rest, lines))
            whole = len(lines) // accounts * accounts
            rest_starts, rest = starts[whole:], lines[whole:]
            intervals = np.ascontiguousarray(lines[:whole]).reshape(-1, accounts, len(COLUMNS))
            yield starts[:whole:accounts].tolist(), intervals, len(rest)


def _run_again(
    folder: Path, scenario: Scenario, manifest: dict[str, Any], on_progress: engine.OnProgress | None
) -> str:
    """Run the scenario again and compare all results, row by row where bytes differ."""
    live = manifest.get("driver") == LIVE
    with tempfile.TemporaryDirectory(prefix="wattswap-verify-") as scratch:
        try:
            again = engine.run(scenario, out=scratch, on_progress=on_progress)
        except Interrupted:
            raise Interrupted.of(
                str(folder), "stopped before the second run was done", "call verify again"
            ) from None
        _compare(folder, manifest, again, live=live, skipped=NETWORK_COLUMNS if live else ())
    what = "tables and metrics" if live else "chain head, tables and metrics"
    return f"a second run gives the same data, orders, clearings, postings, {what}"


def _compare(
    folder: Path, manifest: dict[str, Any], again: RunFolder, *, live: bool, skipped: Sequence[str] = ()
) -> None:
    """Compare manifest and files of a run with those of one that was made again.

    Args:
        skipped: Columns of INTERVALS that need not be equal.

    Raises:
        VerificationFailed: Lists every difference.
    """
    problems = []
    versions = _changed_versions(manifest, again.manifest)
    same_writer = "pyarrow" not in versions
    stored, repeated = _facts(manifest, live), _facts(again.manifest, live)
    for name in sorted(stored.keys() | repeated.keys()):
        then, now = stored.get(name), repeated.get(name)
        if then != now:
            what = f"says {name} = {then}, but running it again gives {now}"
            problems.append(Problem(str(folder / MANIFEST), what, versions or CURE))
    for name in HASHED_FILES:
        if name == CHAIN:  # compared by its head, above: a resumed run leaves other free space in it
            continue
        others = skipped if name == INTERVALS else ()
        different = _difference(folder / name, again.path / name, same_writer, others)
        if different is not None:
            problems.append(Problem(str(folder / name), different, versions or CURE))
    if problems:
        raise VerificationFailed(*problems)


def _facts(manifest: dict[str, Any], live: bool) -> dict[str, str]:
    """The facts that a second run must repeat, each under its path, such as chain.head.

    A network's blocks depend on when its validators voted: nothing of a live run's chain is repeated.
    """
    facts: dict[str, str] = {}
    for name in REPEATED:
        if live and name == "chain":
            continue
        value = manifest.get(name)
        inner = value if isinstance(value, dict) else {"": value}
        facts |= {f"{name}.{key}".rstrip("."): json.dumps(x) for key, x in inner.items()}
    return facts


def _changed_versions(manifest: dict[str, Any], again: dict[str, Any]) -> str:
    then, now = manifest.get("versions", {}), again["versions"]
    commits = [str((m.get("source") or {}).get("commit", "unknown"))[:12] for m in (manifest, again)]
    changed = [f"program {commits[0]} then, {commits[1]} now"] if commits[0] != commits[1] else []
    changed += [
        f"{name} {then.get(name)} then, {now[name]} now" for name in now if then.get(name) != now[name]
    ]
    return "versions differ: " + "; ".join(changed) if changed else ""


def _difference(stored: Path, again: Path, same_writer: bool, skipped: Sequence[str] = ()) -> str | None:
    """Say where a stored file differs from that of the second run, or None.

    Args:
        skipped: Columns that need not be equal.
    """
    if file_sha256(stored) == file_sha256(again):
        return None
    if stored.suffix != ".parquet":
        return "is not what running it again gives"
    found = first_difference(stored, again, skipped)
    if (
        found is None and same_writer and not skipped
    ):  # another pyarrow may write the same rows in other bytes
        return "holds the rows that running it again gives in other bytes: something else has written it"
    return found


def first_difference(stored: Path, again: Path, skipped: Sequence[str] = ()) -> str | None:
    """Name the first row and column in which two Parquet tables differ; None when all rows are the same.

    Args:
        skipped: Columns that need not be equal.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(stored) as a, pq.ParquetFile(again) as b:
            if not a.schema_arrow.equals(b.schema_arrow, check_metadata=True):
                return f"has other columns, types or metadata: {', '.join(a.schema_arrow.names)}"
            sizes = [[f.metadata.row_group(i).num_rows for i in range(f.num_row_groups)] for f in (a, b)]
            if sizes[0] != sizes[1]:
                return f"has {sum(sizes[0])} rows, but running it again gives {sum(sizes[1])}, in groups of their own"
            for group in range(a.num_row_groups):
                x, y = (f.read_row_group(group).drop_columns(list(skipped)) for f in (a, b))
                if not x.equals(y):
                    return _differing_cell(x, y)
    except (OSError, ValueError, OverflowError, pa.ArrowException) as error:
        return f"cannot be read: {error}"
    return None


def _differing_cell(stored: pa.Table, again: pa.Table) -> str:
    name = next(name for name in stored.column_names if not stored[name].equals(again[name]))
    pairs = zip(stored[name].to_pylist(), again[name].to_pylist(), strict=True)
    row, x, y = next((row, x, y) for row, (x, y) in enumerate(pairs) if x != y)
    keys = [key for key in ("interval_start", "household", "account") if key in again.column_names]
    place = " ".join(_text(again[key][row].as_py()) for key in keys)
    return f"{place}: {name} is {_text(x)}, but running it again gives {_text(y)}"


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()
    return stamp(int(value.timestamp())) if hasattr(value, "timestamp") else str(value)
