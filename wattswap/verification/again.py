"""A run made again: a live one from its signed messages, and every one whose homes were all there from its scenario."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p2p.blocks.members import read_members
from wattswap.errors import Interrupted, Problem, VerificationFailed
from wattswap.runs import engine
from wattswap.runs.chain_reader import genesis_of
from wattswap.runs.folder import RunFolder
from wattswap.runs.layout import (
    BLOBS,
    CHAIN,
    GENESIS,
    HASHED_FILES,
    LIVE,
    MANIFEST,
    MEMBERS,
    NETWORK,
    PARTIAL,
    SCENARIO,
    table_file,
)
from wattswap.runs.manifest import write_json
from wattswap.runs.prepare import prepare
from wattswap.runs.stored import CURE
from wattswap.verification.chain_file import compare_certificates
from wattswap.verification.differences import difference

if TYPE_CHECKING:
    from p2p.blocks.members import Members
    from wattswap.runs.prepare import Setup
    from wattswap.scenario.load import Scenario

REPEATED = (
    *("name", "currency", "mechanism", "homes", "start", "intervals", "interval_minutes", "seed", "forecast"),
    *("quantities", "imbalance", "scenario_sha256", "modules", "data", "chain", "replay_sha256"),
)
"""Manifest entries that a second run must repeat exactly."""
INTERVALS = table_file("intervals")
NETWORK_COLUMNS = ("height", "block_hash")
"""Columns of INTERVALS that depend on how a network's validators voted."""


def reassemble(folder: Path, scenario: Scenario, manifest: dict[str, Any], prepared: Setup) -> list[str]:
    """Reassemble a live run from its signed messages, and compare all results.

    Every interval is recomputed as a validator did before it voted, and a message must be the one that the home's data
    and strategy give, so that a run cannot be fabricated by declaring a home absent.

    Args:
        prepared: The scenario, prepared.

    Returns:
        The homes that were absent from intervals, as the blobs show them.

    Raises:
        VerificationFailed: Lists every difference.
    """
    from wattswap.nodes.assemble import assemble

    with tempfile.TemporaryDirectory(prefix="wattswap-verify-") as scratch:
        partial = Path(scratch) / f"again{PARTIAL}"
        partial.mkdir()
        prepared.write_genesis(partial)
        origin = {"resolved": scenario.resolved(), "base": str(scenario.source.base)}
        write_json(partial / SCENARIO, origin)
        for name in (MEMBERS, CHAIN, NETWORK):  # each is checked by itself
            shutil.copyfile(folder / name, partial / name)
        again = assemble(prepared, partial, 0.0, {}, checked=folder / BLOBS)
        _compare(folder, manifest, again, live=True)
        silent: list[str] = again.manifest["network"]["silent"]
        return silent


def prepared_as_stored(folder: Path, scenario: Scenario) -> tuple[Setup, Members]:
    """The scenario of a live run, prepared, and its homes: they must lead to the genesis that the folder holds.

    Raises:
        VerificationFailed: The genesis is another one.
        GenesisError: The list of homes is not that of the genesis.
    """
    prepared, genesis = prepare(scenario), genesis_of(folder)
    if prepared.genesis != genesis:
        raise VerificationFailed.of(str(folder / GENESIS), "is not the genesis of the run's scenario", CURE)
    return prepared, read_members(folder / MEMBERS, prepared.roster, genesis.members_root)


def run_again(
    folder: Path, scenario: Scenario, manifest: dict[str, Any], on_progress: engine.OnProgress | None
) -> str:
    """Run the scenario again in one process and compare all results, row by row where bytes differ.

    Raises:
        Interrupted: Ctrl-C.
        VerificationFailed: Lists every difference.
    """
    live = manifest.get("driver") == LIVE
    with tempfile.TemporaryDirectory(prefix="wattswap-verify-") as scratch:
        try:
            again = engine.run(scenario, out=scratch, on_progress=on_progress)
        except Interrupted:
            raise Interrupted.of(
                str(folder), "stopped before the second run was done", "call verify again"
            ) from None
        _compare(folder, manifest, again, live=live, skipped=NETWORK_COLUMNS if live else ())
        different = None if live else compare_certificates(folder / CHAIN, again.path / CHAIN)
    if different is not None:
        raise VerificationFailed.of(str(folder / CHAIN), different, CURE)
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
    if "network" in again.manifest:
        stored, repeated = (
            facts | {"network.silent": json.dumps(one["network"]["silent"])}
            for facts, one in ((stored, manifest), (repeated, again.manifest))
        )
    for name in sorted(stored.keys() | repeated.keys()):
        then, now = stored.get(name), repeated.get(name)
        if then != now:
            what = f"says {name} = {then}, but running it again gives {now}"
            problems.append(Problem(str(folder / MANIFEST), what, versions or CURE))
    for name in HASHED_FILES:
        if name == CHAIN:  # compared by its head, above: a resumed run leaves other free space in it
            continue
        others = skipped if name == INTERVALS else ()
        different = difference(folder / name, again.path / name, same_writer, others)
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
        inner = value if isinstance(value, dict) and value else {"": value}
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
