"""Runs the cells of a plan, in one or several processes, and skips those that have a result."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from data.store import columns
from market.mechanism import MECHANISMS
from market.metrics.table import Row, figures
from wattswap.canonical_json import canonical_json
from wattswap.comparison.about import read_about
from wattswap.comparison.cells import run_cell
from wattswap.comparison.plan import CellKey, Plan, name_of
from wattswap.comparison.store import (
    DATASETS,
    SUMMARY,
    OtherColumns,
    differing,
    is_done,
    missing_cells,
    part_path,
    read_part,
    write_cell,
)
from wattswap.errors import (
    ExitCode,
    Interrupted,
    Problem,
    RunNotFound,
    UsageError,
    VerificationFailed,
    WattswapError,
    was_interrupted,
)
from wattswap.plugins import Added, added, import_files, learn
from wattswap.runs.disk import continuable
from wattswap.runs.layout import COMPARISON
from wattswap.runs.lock import folder_lock
from wattswap.runs.manifest import SCHEMA, code_sha256, source_commit, versions, write_json
from wattswap.runs.prepare import Setup, prepare, under
from wattswap.scenario.load import Scenario, from_resolved
from wattswap.selection import BOUND, REFERENCE

OnCell = Callable[[CellKey, Row, int, int, bool], None]
"""Called for each finished cell with its metrics, the number done and in total, and whether it was there before."""


class WorkerEnded(WattswapError):
    """A worker process of a comparison that ended unexpectedly."""

    exit_code = ExitCode.INVALID


@dataclass(frozen=True, slots=True)
class Job:
    """One cell as it is sent to a worker.

    A worker learns plug-ins of users from the files `modules`, or by value where a notebook has registered them. Files
    of readings are not hashed again.
    """

    folder: Path
    key: CellKey
    shared: str
    base: str
    data_sha256: str
    resolved: dict[str, Any]
    added: tuple[Added, ...]
    modules: tuple[Path, ...]
    cell_sha256: str
    hashed: Mapping[str, str]


def compare(plan: Plan, out: Path, *, jobs: int = 1, on_cell: OnCell | None = None) -> Path:
    """Run every cell of a plan that has no result yet.

    Args:
        plan: What to compare.
        out: Folder under which the comparison's own folder is made or extended.
        jobs: Number of processes.
        on_cell: See `OnCell`.

    Returns:
        The folder of the comparison.

    Raises:
        Interrupted: Ctrl-C; the finished cells are kept, and the same command continues.
        WattswapError: A scenario or its data cannot be run; nothing is written then.
    """
    if jobs < 1:
        raise UsageError.of("--jobs", f"is {jobs}", "give at least 1")
    first, data_sha256 = _prepare_all(plan)
    folder = out / f"{plan.points[0].scenario.name}_{plan.digest(list(data_sha256.values()))[:10]}"
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    kept = (folder / COMPARISON).is_file
    try:
        with continuable(folder, kept, "the same command"), folder_lock(folder):
            _compare(plan, folder, first, data_sha256, jobs, on_cell, is_new)
    except OSError:
        if not kept():
            shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def _prepare_all(plan: Plan) -> tuple[Setup, dict[str, str]]:
    """The prepared first point, and the SHA-256 of the data of each; the others are prepared where they run.

    Raises:
        WattswapError: What the first point that cannot run, by itself or under a mechanism, lacks, and what others of
            its kind lack.
    """
    first: Setup | None = None
    data_sha256: dict[str, str] = {}
    error: WattswapError | None = None
    problems: dict[tuple[str | None, str, str], Problem] = {}
    for point in plan.points:
        try:
            setup = prepare(point.scenario)
            for choice in plan.choices:  # so that none is refused after hours of others
                under(setup, choice.of(point.scenario, plan.seeds[0]))
        except WattswapError as wrong:
            error = error or wrong
            if type(wrong) is type(error):
                for problem in wrong.problems:
                    problems.setdefault((problem.key, problem.message, problem.cure), problem)
            continue
        first = first or setup
        data_sha256[point.name] = setup.meter.source.sha256
    if error is not None:
        raise type(error)(*problems.values())
    assert first is not None
    return first, data_sha256


def _compare(
    plan: Plan,
    folder: Path,
    first: Setup,
    data_sha256: Mapping[str, str],
    jobs: int,
    on_cell: OnCell | None,
    is_new: bool,
) -> None:
    """Run what is missing in the folder of a comparison, which this process alone works on."""
    begun = time.monotonic()
    hashes = {cell: plan.cell_sha256(cell) for cell in plan.cells}
    todo = [cell for cell in plan.cells if not is_done(folder, cell, hashes[cell])]
    before = read_about(folder) if (folder / COMPARISON).exists() else {}
    about = _about(plan, before, first)
    # What is recomputed, or came from a mechanism that may have changed, must not count as a result
    # of this call if it is interrupted.
    for cell in [
        *todo,
        *(CellKey(**old) for old in before.get("cells", []) if old not in about["cells"]),
    ]:
        part_path(folder, SUMMARY, cell).unlink(missing_ok=True)
    _write_about(folder, about)
    done = 0
    try:
        for cell in plan.cells:
            if cell not in todo:
                done += 1
                _report(on_cell, cell, _stored_row(folder, cell), done, len(plan.cells), True)
        for cell, row in _work(_jobs(plan, folder, todo, hashes, data_sha256), jobs):
            done += 1
            _report(on_cell, cell, row, done, len(plan.cells), False)
    except (KeyboardInterrupt, Exception) as error:
        if was_interrupted(error):
            cure = "the same command continues where it stopped"
            what = f"stopped after {done} of {len(plan.cells)} cells"
            raise Interrupted.of(str(folder), what, cure) from None
        if is_new and not done:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        about["wall_s"] = round(about["wall_s"] + time.monotonic() - begun, 3)
        if folder.is_dir():
            _write_about(folder, about)


def verify(folder: Path, *, on_cell: OnCell | None = None) -> dict[str, int]:
    """Recompute every cell of a comparison and compare all that is stored of it.

    Raises:
        RunNotFound: Another version of this program wrote it, with other columns; says what verifies it.
        VerificationFailed: Names every cell and column that differs.
    """
    about = read_about(folder)
    other_code = about.get("code_sha256") != code_sha256()
    cells = [CellKey(**cell) for cell in about["cells"]]
    named = {part_path(folder, dataset, key): key for key in cells for dataset in DATASETS}
    stray = [path for dataset in DATASETS for path in (folder / dataset).rglob("*") if path.is_file()]
    wrong = [f"{path.relative_to(folder)} belongs to no cell" for path in stray if path not in named]
    finished = [key for key in cells if any(part_path(folder, d, key).exists() for d in DATASETS)]
    missing = [key for key in cells if key not in finished]
    if [asdict(key) for key in missing] != about["missing"] or not finished:
        wrong.append(
            f"{len(missing)} of {len(cells)} cells are not there, {len(about['missing'])} are stated as missing"
        )
    for count, key in enumerate(finished, 1):
        origin = about["scenarios"][name_of(key)]
        setup = prepare(from_resolved(origin["resolved"], origin["base"]))
        cell = run_cell(setup)
        row = figures(cell.result)
        try:
            columns = differing(folder, key, cell, row, setup.roster)
        except OtherColumns as error:
            if other_code:
                raise _of_another_version(folder) from None
            columns = [str(error)]
        if columns:
            wrong.append(f"{name_of(key)}: {', '.join(columns)}")
        _report(on_cell, key, row, count, len(finished), False)
    if wrong:
        cure = "restore the folder, or compare again"
        if other_code:
            cure = "the code has changed since; verify with the wattswap whose commit is in comparison.json"
        raise VerificationFailed.of(str(folder), "; ".join(wrong), cure)
    return {"cells": len(finished)}


def _of_another_version(folder: Path) -> RunNotFound:
    what = "was made by another version of wattswap, whose cells have other columns"
    cure = f"to verify it, run `wattswap verify {folder}` with the program that wrote it, whose version"
    return RunNotFound.of(str(folder), what, f"{cure} and commit are in its comparison.json")


def _jobs(
    plan: Plan,
    folder: Path,
    todo: list[CellKey],
    hashes: Mapping[CellKey, str],
    data_sha256: Mapping[str, str],
) -> list[Job]:
    by_value = added()
    found = []
    for key in todo:
        scenario = plan.scenario_of(key)
        base = next(point.scenario for point in plan.points if point.name == key.point)
        shared = canonical_json(base.resolved())
        found.append(
            Job(
                folder,
                key,
                shared,
                str(base.source.base),
                data_sha256[key.point],
                scenario.resolved(),
                by_value,
                plan.modules,
                hashes[key],
                columns.checked(),
            )
        )
    return found


def _work(todo: list[Job], jobs: int) -> Iterator[tuple[CellKey, Row]]:
    if jobs == 1 or len(todo) < 2:
        yield from map(run_job, todo)
        return
    from joblib import Parallel, delayed

    pool = Parallel(n_jobs=min(jobs, len(todo)), return_as="generator_unordered")
    try:
        with closing(pool(delayed(run_job)(job) for job in todo)) as results:
            yield from results
    except BrokenProcessPool:
        what = "one of the processes has ended by itself, through a plug-in or for lack of memory"
        raise WorkerEnded.of("--jobs", what, "try again with --jobs 1") from None


def run_job(job: Job) -> tuple[CellKey, Row]:
    """Run one cell and write its files, in a worker process."""
    import_files(job.modules)
    columns.trust(job.hashed)
    learn(job.added)
    scenario = from_resolved(job.resolved, job.base)
    setup = under(_prepared(job.shared, job.base, job.data_sha256), scenario)
    try:
        cell = run_cell(setup)
    except Exception as error:
        error.add_note(f"in the cell {name_of(job.key)}")
        raise
    row = figures(cell.result)
    write_cell(job.folder, job.key, cell, row, setup.roster, job.cell_sha256)
    return job.key, row


@lru_cache(maxsize=2)
def _prepared(shared: str, base: str, data_sha256: str) -> Setup:
    """The data of a point, read once by each worker.

    Raises:
        VerificationFailed: The data have changed since the comparison began.
    """
    setup = prepare(from_resolved(json.loads(shared), base))
    if setup.meter.source.sha256 != data_sha256:
        raise VerificationFailed.of("data", "have changed while they were compared", "compare again")
    return setup


def _about(plan: Plan, before: Mapping[str, Any], setup: Setup) -> dict[str, Any]:
    """The contents of comparison.json, merged with those of earlier calls in the same folder.

    Cells of an earlier call under a user's own mechanism are dropped: the mechanism may have changed.
    """
    asked = [asdict(cell) for cell in plan.cells]
    changed = {choice.label for choice in plan.choices if not MECHANISMS.is_ours(choice.mechanism)}
    kept = [cell for cell in before.get("cells", []) if cell["mechanism"] not in changed]
    first: Scenario = plan.points[0].scenario
    scenarios = {
        name_of(cell): {"resolved": plan.scenario_of(cell).resolved(), "base": str(first.source.base)}
        for cell in plan.cells
    }
    middle = [
        label
        for label in _union(before.get("mechanisms", []), [c.label for c in plan.choices])
        if label not in (REFERENCE, BOUND)
    ]
    cells = _union(kept, asked)
    seeds = sorted(_union(before.get("seeds", []), list(plan.seeds)))
    return {
        "schema": SCHEMA,
        "kind": "comparison",
        "name": first.name,
        "currency": first.currency,
        "homes": len(setup.roster),
        "start": setup.interval(0).start.strftime("%Y-%m-%dT%H:%MZ"),
        "intervals": setup.intervals,
        "interval_minutes": setup.minutes,
        "mechanisms": [REFERENCE, *middle, BOUND],
        "reference": REFERENCE,
        "bound": BOUND,
        "seeds": seeds,
        "points": [{"point": p.name, "settings": p.settings} for p in plan.points],
        "scenario": first.resolved(),
        "scenario_sha256": first.digest(),
        "data": setup.data_provenance(setup.community()),
        "cells": cells,
        "scenarios": before.get("scenarios", {}) | scenarios,
        "command": plan.command(middle, seeds),
        "code_sha256": code_sha256(),
        "source": source_commit(),
        "versions": versions(),
        "wall_s": before.get("wall_s", 0.0),
        "missing": [],
    }


def _write_about(folder: Path, about: dict[str, Any]) -> None:
    """Write comparison.json; cells of this or an earlier call without a result are `missing`."""
    write_json(folder / COMPARISON, about | {"missing": missing_cells(folder, about["cells"])})


def _union(first: list[Any], second: list[Any]) -> list[Any]:
    return [*first, *(item for item in second if item not in first)]


def _stored_row(folder: Path, cell: CellKey) -> Row:
    row: Row = read_part(folder, SUMMARY, cell).to_pylist()[0]
    return row


def _report(on_cell: OnCell | None, cell: CellKey, row: Row, done: int, total: int, before: bool) -> None:
    if on_cell is not None:
        on_cell(cell, row, done, total, before)
