"""Verify a run: what its folder holds, the chain itself, the tables against it, and all of it made again.

Nothing in the folder switches a check off: what the manifest says is recomputed, or listed as unchecked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from market.mechanism import MECHANISMS
from optimizer.solver.session import solver_is_installed
from wattswap.runs import engine
from wattswap.runs.chain_reader import genesis_of, verified_chain
from wattswap.runs.folder import RunFolder, stored_scenario
from wattswap.runs.keys import Keys
from wattswap.runs.layout import LIVE, SCENARIO
from wattswap.runs.manifest import versions
from wattswap.verification.again import prepared_as_stored, reassemble, run_again
from wattswap.verification.chain_file import check_chain_file, check_header
from wattswap.verification.claims import check_chain_facts, check_claims, check_provenance, check_scenario
from wattswap.verification.entries import check_blobs, check_entries
from wattswap.verification.network import check_network
from wattswap.verification.omissions import check_omissions
from wattswap.verification.postings import check_postings
from wattswap.verification.unchecked import unchecked


def verify_run(path: Path | str, *, on_progress: engine.OnProgress | None = None) -> dict[str, Any]:
    """Verify a finished run.

    Args:
        path: The run's folder; nothing in it is changed.
        on_progress: See `engine.OnProgress`, for the second run.

    Returns:
        One sentence per check, and what is unchecked. A live run in which a home was absent is not run again: with that
        home its result would differ. Without a solver one is not run again whose blobs prove what the solver found.

    Raises:
        VerificationFailed: Names the file, row or block that does not fit.
    """
    result = RunFolder(path)
    folder, manifest = result.path, result.manifest
    checks = {"files": check_entries(folder, manifest)}
    genesis = genesis_of(folder)  # a chain of another format says so, whether its data are still there or not
    check_scenario(folder / SCENARIO, manifest)
    scenario = stored_scenario(folder)
    check_provenance(folder, scenario, manifest)
    check_claims(folder, manifest)
    check_header(folder)
    facts = verified_chain(folder)
    check_chain_facts(folder, facts, manifest["chain"])
    check_chain_file(folder, genesis)
    checks["chain"] = f"{facts['blocks']} blocks, {facts['signatures']} signatures"
    checks["tables"] = check_postings(folder, Keys.of(scenario).salts)
    live, same_writer = manifest["driver"] == LIVE, manifest["versions"]["pyarrow"] == versions()["pyarrow"]
    absent: list[str] = []
    if live:
        prepared, members = prepared_as_stored(folder, scenario)
        checks["blobs"] = check_blobs(folder)
        checks["omissions"] = check_omissions(folder, genesis, members)
        absent = reassemble(folder, scenario, manifest, prepared)
        what = f"{prepared.intervals} intervals, tables and metrics follow"
        checks["messages"] = f"{what} from the signed messages of the homes"
        checks["statistics"] = check_network(folder, genesis, manifest, same_writer)
    if absent:
        checks["again"] = f"left out: homes were absent {len(absent)} times, which only the live run knows"
    elif live and MECHANISMS.get(scenario.market.mechanism).witness is not None and not solver_is_installed():
        checks["again"] = "left out: no solver is installed; its answers are in the blobs, and proven there"
    else:
        checks["again"] = run_again(folder, scenario, manifest, on_progress)
    free = unchecked(folder, live=live, same_writer=same_writer)
    return {"run": str(folder), "ok": True, "checks": checks, "unchecked": free}
