"""Many seeds on several workers, with what passed kept for the same code, so that a night can be done in slices."""

from __future__ import annotations

import json
import multiprocessing
import signal
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from multiprocessing.pool import Pool
from pathlib import Path

import msgspec

from wattswap.simulation.base import base_of
from wattswap.simulation.byzantine import draw_lies
from wattswap.simulation.oracles import judge
from wattswap.simulation.plan import Lie, Plan, Shape, draw_plan
from wattswap.simulation.run import simulated, work_folder, work_in

PACKAGES = ("market", "optimizer", "data", "p2p", "agents", "wattswap")
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Result:
    """A checked seed.

    Args:
        violated: Violations by oracle.
        told: How often each lie reached somebody it can hurt.
        cpu_s: CPU time. [s]
        error: What the simulation itself ended with; empty where it did not.
    """

    seed: int
    violated: dict[str, int]
    told: dict[str, int]
    events: int
    cpu_s: float
    error: str = ""


@dataclass(frozen=True, slots=True)
class Draw:
    """What a plan is drawn from, besides its seed.

    Args:
        shape: The neighbourhood.
        lies: Of byzantine nodes, besides the faults.
        quiet: Without faults.
        byzantine: With drawn lies; then no validator is gone for good, as those that lie are as many as may fail.
    """

    shape: Shape
    lies: tuple[Lie, ...] = ()
    quiet: bool = False
    byzantine: bool = False

    def plan(self, seed: int) -> Plan:
        """The plan of a seed."""
        nodes = list(base_of(self.shape, False).configs)
        plan = Plan(seed=seed, shape=self.shape) if self.quiet else draw_plan(seed, self.shape, nodes)
        if not self.byzantine:
            return msgspec.structs.replace(plan, lies=self.lies)
        acts = tuple(act for act in plan.acts if act.kind != "gone" or act.who == ("operator-0",))
        return msgspec.structs.replace(
            plan, lies=(*self.lies, *draw_lies(seed, nodes, sealed=self.shape.sealed)), acts=acts
        )


def run_seed(draw: Draw, seed: int) -> Result:
    """Draw, run and check a seed."""
    begun = time.process_time()
    try:
        with simulated(draw.plan(seed)) as outcome:
            violated = Counter(violation.oracle for violation in judge(outcome.history))
            told, events = dict(outcome.history.truth.lies), outcome.events
    except Exception as error:  # a seed that the simulation cannot run is a finding, too
        return Result(seed, {}, {}, 0, time.process_time() - begun, f"{type(error).__name__}: {error}")
    return Result(seed, dict(violated), told, events, round(time.process_time() - begun, 4))


def run_seeds(seeds: Iterable[int], draw: Draw, *, workers: int = 1) -> Generator[Result, None, None]:
    """Run seeds; the results come in any order."""
    run = partial(run_seed, draw)
    if workers == 1:
        yield from map(run, seeds)
        return
    with _pool(workers) as pool:
        yield from pool.imap_unordered(run, seeds)  # one by one: what Ctrl-C ends is run again


@contextmanager
def _pool(workers: int) -> Iterator[Pool]:
    """Workers that are ended by this process alone, which deletes their folders: Ctrl-C reaches it as well as them."""
    with work_folder() as folder:
        before = signal.signal(
            signal.SIGINT, signal.SIG_IGN
        )  # what a process ignores, its children do from the begin
        try:
            pool = multiprocessing.get_context("spawn").Pool(workers, work_in, (folder,))
        finally:
            signal.signal(signal.SIGINT, before)
        with pool:
            yield pool


def code_hash() -> str:
    """Hash of all code that a run depends on."""
    digest = sha256()
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


@dataclass(slots=True)
class Kept:
    """The results of a sweep of one code, in a file of a line each.

    Args:
        path: Made when it is missing.
    """

    path: Path
    _found: dict[tuple[str, int], Result] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.path.exists():
            return
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                content = json.loads(line)
            except ValueError:
                continue  # cut short by a kill: its seed is run again
            sweep = content.pop("sweep")
            self._found[sweep, content["seed"]] = Result(**content)

    def of(self, sweep: str, seed: int) -> Result | None:
        """The result of a seed, where it is there."""
        return self._found.get((sweep, seed))

    def add(self, sweep: str, result: Result) -> None:
        """Keep a result."""
        self._found[sweep, result.seed] = result
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = {"sweep": sweep} | {name: getattr(result, name) for name in Result.__slots__}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def sweep(
    seeds: Sequence[int],
    draw: Draw,
    *,
    workers: int,
    kept: Kept,
    on_result: Callable[[Result, bool], None],
) -> None:
    """Run the seeds that no earlier slice has run.

    Args:
        on_result: Called with each result, and whether an earlier slice had it.
    """
    shape = [getattr(draw.shape, key) for key in draw.shape.__struct_fields__]
    name = json.dumps([shape, [str(lie) for lie in draw.lies], draw.quiet, draw.byzantine])
    missing = []
    for seed in seeds:
        found = kept.of(name, seed)
        if found is None:
            missing.append(seed)
        else:
            on_result(found, True)
    with closing(run_seeds(missing, draw, workers=workers)) as results:
        for result in results:
            kept.add(name, result)
            on_result(result, False)
