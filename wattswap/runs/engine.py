"""The in-process run: a scenario simulated interval by interval into a run folder.

The folder is built under NAME.partial and renamed when everything is written. Checkpoints are written after a
simulated day, twice a second at most, and after Ctrl-C; `resume` cuts back to the last one and continues, to the same
hashes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from agents.errors import AgentError, InvalidSnapshot, reading_snapshot
from data.store import columns
from market.errors import MarketError
from market.files import naming
from market.metrics.table import Result, figures
from p2p.blocks.genesis import read_genesis
from p2p.errors import OtherFormat
from wattswap.canonical_json import canonical_json
from wattswap.errors import Interrupted, RunNotFound, VerificationFailed
from wattswap.runs.chain_writer import ChainWriter, Committed
from wattswap.runs.disk import Stopped, continuable
from wattswap.runs.folder import RunFolder, read_object, read_table, stored_scenario
from wattswap.runs.interrupt import Interrupt
from wattswap.runs.interval import IntervalRecord, step
from wattswap.runs.layout import (
    CHAIN,
    CHECKPOINT,
    COMPARISON,
    GENESIS,
    IN_PROCESS,
    LIVE,
    LIVE_MARK,
    LOCK,
    MANIFEST,
    METRICS,
    PARTIAL,
    PARTS,
    RUNS,
    SCENARIO,
    hashed_files,
)
from wattswap.runs.lock import folder_lock
from wattswap.runs.manifest import SCHEMA, file_hashes, log_event, source_commit, versions, write_json
from wattswap.runs.missing import UNFINISHED, not_found
from wattswap.runs.prepare import Setup, prepare
from wattswap.runs.stored import CURE
from wattswap.runs.tables import Tables
from wattswap.runs.totals import Totals, result_of
from wattswap.scenario.load import Scenario

OnProgress = Callable[[int, int, float | None], None]
"""Called after each interval with the number done, the total number and the last price. [currency/kWh]"""
CHECKPOINT_VERSION = 8
CHECKPOINT_S = 0.5
"""Least time between checkpoints, each of which waits for the disk; a killed run loses little more than this. [s]"""


class RunChain(Protocol):
    """The chain of a run: written during the run, or made by a network before."""

    def add(self, record: IntervalRecord) -> Committed: ...

    def summary(self) -> dict[str, Any]: ...

    def close(self) -> None: ...


def own_chain(setup: Setup, folder: Path) -> ChainWriter:
    """Open the chain that this process writes into a run folder."""
    if not (folder / CHECKPOINT).exists():  # killed before its first checkpoint: discard it
        for leftover in folder.glob(f"{CHAIN}*"):
            leftover.unlink()
    return ChainWriter(setup, folder / CHAIN)


class Run:
    """A run in progress: the homes, and the sinks of one folder: chain, tables and totals.

    Args:
        setup: The prepared scenario.
        folder: The .partial folder.
        chain: Where settled intervals go.
    """

    def __init__(self, setup: Setup, folder: Path, chain: RunChain) -> None:
        self.setup, self.folder, self.chain = setup, folder, chain
        self.community = setup.community()
        self.tables = Tables(folder, setup.roster, setup.scenario.currency)
        self.totals = Totals(setup, "run")
        self.replay = hashlib.sha256()
        self.clear_ns: list[int] = []
        self.done = self.parts = 0

    def close(self) -> None:
        """Close the chain file."""
        self.chain.close()

    def step(self) -> float | None:
        """Simulate one interval in process and return its price, if any. [currency/kWh]"""
        record = step(self.setup, self.community, self.done, signed=self.setup.sign_orders)
        self.add(record)
        return record.price_per_kwh

    def add(self, record: IntervalRecord) -> None:
        """Put an interval on the chain, into the tables and into the totals."""
        block = self.chain.add(record)
        self.tables.add(record, block)
        self.totals.add(record)
        self.clear_ns.append(record.clear_ns)
        self.replay.update(record.book_root + record.clearing_root + block.postings_root)
        self.done += 1

    def flush(self) -> None:
        """Write the tables since the last time as one part, and give back the pages of the readings."""
        columns.release(self.setup.meter)
        self.tables.flush(self.parts)
        self.parts += 1

    def checkpoint(self) -> None:
        """Write the tables since the last checkpoint as one part, then the checkpoint that counts it."""
        self.flush()
        content = {
            "done": self.done,
            "parts": self.parts,
            "version": CHECKPOINT_VERSION,
            "homes": self.community.snapshot(),
            **self.totals.saved(),
        }
        write_json(self.folder / CHECKPOINT, {**content, "sha256": _sha256_of(content)})
        log_event(self.folder, "checkpoint", done=self.done)

    def restore(self, chain: ChainWriter) -> None:
        """Cut the folder and its chain back to the last checkpoint, or to nothing.

        Raises:
            VerificationFailed: The checkpoint is damaged or edited, or tables or chain end before it.
        """
        if (self.folder / CHECKPOINT).exists():
            self._read_checkpoint()
        chain.cut_back(self.done)
        self.tables.drop_parts_from(self.parts)
        if self.done:
            for root in chain.roots():
                self.replay.update(root)
            log_event(self.folder, "resumed", done=self.done)

    def _read_checkpoint(self) -> None:
        """Take over what the last checkpoint keeps; who edited it may have given it a hash that fits."""
        path = self.folder / CHECKPOINT
        saved = read_object(path)
        if saved.get("version") != CHECKPOINT_VERSION:
            raise _of_another_version(self.folder)
        if saved.pop("sha256", None) != _sha256_of(saved):
            raise VerificationFailed.of(str(path), "is damaged: its content has another hash", CURE)
        try:
            with reading_snapshot():
                self.done, self.parts = (
                    _count(name, saved[name], self.setup.intervals) for name in ("done", "parts")
                )
                self.community.restore(saved["homes"])
                if self.community.lived != self.done:
                    raise ValueError(
                        f"its homes have lived {self.community.lived} intervals, not {self.done}"
                    )
                self.totals.restore(saved)
                stored = self.tables.intervals(self.parts)
                if stored != self.done:
                    raise ValueError(f"{stored} intervals are in its {self.parts} parts, not {self.done}")
        except InvalidSnapshot as error:
            raise VerificationFailed.of(str(path), f"is damaged: {error}", CURE) from None


def _count(name: str, saved: Any, most: int) -> int:
    """A number of a checkpoint from 1 to the number of intervals.

    Raises:
        ValueError: It is none.
    """
    if type(saved) is not int or not 1 <= saved <= most:
        raise ValueError(f"{name} is {saved!r}, and can be 1 to {most}")
    return saved


def _sha256_of(content: dict[str, Any]) -> str:
    """Hash of what a checkpoint keeps."""
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()


def new_run_folder(scenario: Scenario, out: Path) -> Path:
    """Choose `out`/DATE_NAME_DIGEST, the digest being the scenario's; runs of the same second get a number."""
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S")
    name, number = f"{stamp}_{scenario.name}_{scenario.digest()[:6]}", 1
    folder = out / name
    while folder.exists() or folder.with_name(folder.name + PARTIAL).exists():
        number += 1
        folder = out / f"{name}-{number}"
    return folder


def run(scenario: Scenario, *, out: Path | str = RUNS, on_progress: OnProgress | None = None) -> RunFolder:
    """Run a scenario in process.

    Args:
        scenario: What to run.
        out: Folder under which the run's own folder is made.
        on_progress: See `OnProgress`.

    Returns:
        The finished run.

    Raises:
        Interrupted: Ctrl-C; the checkpoint is written and the sentence names the resume command.
        WattswapError: The scenario or its data cannot be run; nothing is left on disk.
    """
    setup = prepare(scenario)
    partial = begin(setup, Path(out))
    try:
        with folder_lock(partial):
            return _drive(setup, partial, on_progress)
    except (Interrupted, Stopped):
        raise
    except BaseException as error:
        # From a checkpoint on, `resume` continues once the cause is mended; but not with a corrected file of plug-ins,
        # because the chain commits to the one that was used.
        final = bool(scenario.modules) and isinstance(error, MarketError | AgentError)
        if final or not _begun(partial):
            shutil.rmtree(partial, ignore_errors=True)
        raise


def _begun(partial: Path) -> bool:
    """Whether `resume` finds something to continue from."""
    return (partial / CHECKPOINT).exists() or (partial / MANIFEST).exists()


def begin(setup: Setup, out: Path, driver: str = IN_PROCESS) -> Path:
    """Make the .partial folder of a new run, with its genesis and scenario; where that fails nothing is left."""
    folder = new_run_folder(setup.scenario, out)
    partial = folder.with_name(folder.name + PARTIAL)
    partial.mkdir(parents=True)
    scenario = setup.scenario
    try:
        with naming(partial):
            setup.write_genesis(partial)
            if driver == LIVE:
                (partial / LIVE_MARK).touch()
                setup.write_members(partial)
            # Last, because a folder with a scenario is one that `resume` takes.
            write_json(
                partial / SCENARIO, {"resolved": scenario.resolved(), "base": str(scenario.source.base)}
            )
            log_event(
                partial,
                "began",
                driver=driver,
                scenario=scenario.name,
                intervals=setup.intervals,
                homes=len(setup.roster),
            )
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return partial


def resume(path: Path | str, *, on_progress: OnProgress | None = None) -> RunFolder:
    """Continue a run that was interrupted or killed, to the same hashes as if it had not been.

    Raises:
        RunNotFound: The folder is not an unfinished run.
        RunBusy: Another process is working on it.
        VerificationFailed: The meter data have changed since the run began.
    """
    partial = Path(path).resolve()
    if not partial.name.endswith(PARTIAL) and partial.with_name(partial.name + PARTIAL).exists():
        partial = partial.with_name(partial.name + PARTIAL)
    if (partial / COMPARISON).is_file():
        command = read_object(partial / COMPARISON).get("command", "wattswap compare")
        raise RunNotFound.of(str(path), "a comparison is here, and no run", f"continue it with: {command}")
    begun = all((partial / name).is_file() for name in (GENESIS, SCENARIO))
    live = (partial / LIVE_MARK).exists() and not (partial / MANIFEST).exists()
    if live or not begun or not partial.name.endswith(PARTIAL):
        raise not_found(Path(path), UNFINISHED)
    with folder_lock(partial):
        setup = prepare(stored_scenario(partial))
        if setup.genesis_bytes() != (partial / GENESIS).read_bytes():
            try:
                read_genesis(partial / GENESIS)
            except OtherFormat:
                raise _of_another_version(partial) from None
            raise VerificationFailed.of(
                str(partial), "the scenario's data have changed since this run began", "start a new run"
            )
        if (partial / MANIFEST).exists():  # killed while it was renamed
            return _name_finished(partial)
        return _drive(setup, partial, on_progress)


def _of_another_version(partial: Path) -> RunNotFound:
    return RunNotFound.of(
        str(partial),
        "was interrupted by another version of wattswap",
        "start a new run, or resume it by that version",
    )


def _drive(setup: Setup, partial: Path, on_progress: OnProgress | None) -> RunFolder:
    with continuable(partial, lambda: _begun(partial), f"wattswap resume {partial}"):
        return _to_the_end(setup, partial, on_progress)


def _to_the_end(setup: Setup, partial: Path, on_progress: OnProgress | None) -> RunFolder:
    begun = time.time()
    chain = own_chain(setup, partial)
    current = Run(setup, partial, chain)
    try:
        current.restore(chain)
        with Interrupt().listening() as interrupt:
            checkpointed = time.monotonic()
            while current.done < setup.intervals:
                price = current.step()
                last = current.done == setup.intervals
                stop = interrupt.asked and not last
                day_over = current.done % setup.steps_per_day == 0
                if last or stop or (day_over and time.monotonic() - checkpointed >= CHECKPOINT_S):
                    current.checkpoint()
                    checkpointed = time.monotonic()
                if on_progress is not None:
                    on_progress(current.done, setup.intervals, price)
                if stop:
                    log_event(partial, "interrupted", done=current.done)
                    raise Interrupted.of(
                        str(partial),
                        f"stopped after {current.done} of {setup.intervals} intervals",
                        f"continue with: wattswap resume {partial}",
                    )
        return finish(current, begun, signed=setup.sign_orders, driver=IN_PROCESS)
    finally:
        current.close()


def finish(
    current: Run, begun: float, *, signed: bool, driver: str, extra: dict[str, Any] | None = None
) -> RunFolder:
    """Join the tables, write metrics and manifest, and give the folder its name."""
    setup, partial = current.setup, current.folder
    modules = setup.scenario.modules
    chain = current.chain.summary()
    current.chain.close()
    current.tables.join(current.totals.bills)
    result = _result(current)
    write_json(partial / METRICS, figures(result, measured=False))
    manifest = {
        "schema": SCHEMA,
        "name": setup.scenario.name,
        "currency": setup.scenario.currency,
        "mechanism": setup.mechanism.name,
        "homes": len(setup.roster),
        "start": datetime.fromtimestamp(setup.start_s, UTC).strftime("%Y-%m-%dT%H:%MZ"),
        "intervals": setup.intervals,
        "interval_minutes": setup.minutes,
        "seed": setup.seed,
        "driver": driver,
        "signed": signed,
        "forecast": setup.agents.forecaster,
        "quantities": setup.scenario.market.quantities,
        "imbalance": setup.imbalance_words,
        "scenario_sha256": setup.scenario.digest(),
        **({"modules": modules} if modules else {}),
        "data": setup.data_provenance(current.community),
        "chain": chain,
        "replay_sha256": current.replay.hexdigest(),
        "files": file_hashes(partial, hashed_files(driver)),
        "source": source_commit(),
        "versions": versions(),
        "platform": _platform(),
        "started": datetime.fromtimestamp(begun, UTC).isoformat(timespec="seconds"),
        "wall_s": round(time.time() - begun, 3),
        "clear_ms": None if not current.clear_ns else float(np.median(current.clear_ns)) / 1e6,
        **(extra or {}),
    }
    log_event(partial, "finished", wall_s=manifest["wall_s"], head=chain["head"])
    write_json(partial / MANIFEST, manifest)
    return _name_finished(partial)


def _name_finished(partial: Path) -> RunFolder:
    """Drop what only an unfinished run needs, and give the folder its name."""
    shutil.rmtree(partial / PARTS, ignore_errors=True)
    for name in (CHECKPOINT, LIVE_MARK, LOCK):
        (partial / name).unlink(missing_ok=True)
    folder = partial.with_name(partial.name.removesuffix(PARTIAL))
    os.rename(partial, folder)
    return RunFolder(folder)


def _result(current: Run) -> Result:
    """What metrics are computed from: the intervals as their table has them, also those before a resumption."""
    table = read_table(current.folder, "intervals")
    columns = {f.name: table[f.name].to_pylist() for f in table.schema if f.type == "int64"}
    return result_of(current.setup, columns, current.totals)


def _platform() -> str:
    import platform

    return f"{platform.system()} {platform.machine()}"
