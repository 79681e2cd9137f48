"""The command of the simulation: runs seeds or a plan, and prints what was violated."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from market.errors import counted
from market.files import naming
from wattswap.cli.tables import wrapped
from wattswap.errors import ExitCode, Interrupted
from wattswap.simulation.base import base_of
from wattswap.simulation.byzantine import LIES, check_lies
from wattswap.simulation.options import PROGRAM, Options, read_options, words_of
from wattswap.simulation.oracles import ORACLES, Violation, judge
from wattswap.simulation.plan import Plan, check_plan, check_shape, plan_json, read_plan
from wattswap.simulation.run import simulated
from wattswap.simulation.shrink import shrink
from wattswap.simulation.story import story
from wattswap.simulation.sweep import ROOT, Draw, Kept, Result, code_hash, sweep

RESULTS = ROOT / "build" / "simulation"
STORIES: Final = 3
"""Failing seeds whose stories are shown."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run what a command line asks for, and return the exit code: 6 where something is violated.

    Raises:
        WattswapError: The words or the plan cannot be used.
        Interrupted: Ctrl-C among the seeds; what has been run is kept.
        OSError: A file cannot be written; what has been run was printed.
    """
    options = read_options(arguments)
    if options is None:
        return int(ExitCode.OK)
    return _run_seeds(options) if options.plan is None else _run_plan(options.plan, options)


def _run_seeds(options: Options) -> int:
    seeds, draw = options.seeds, options.draw
    _check(draw.plan(seeds[0]))
    kept = Kept(RESULTS / f"{code_hash()}.jsonl")
    if options.again and kept.path.exists():
        kept.path.unlink()
        kept = Kept(kept.path)
    results: list[Result] = []
    known = 0

    def on_result(result: Result, was_kept: bool) -> None:
        nonlocal known
        known += was_kept
        results.append(result)
        if len(results) % 100 == 0:
            print(f"{len(results)} of {counted(len(seeds), 'seed')}", file=sys.stderr)

    try:
        sweep(seeds, draw, workers=options.workers, kept=kept, on_result=on_result)
    except KeyboardInterrupt:
        same = "the same command without --again" if options.again else "the same command"
        what = f"stopped after {len(results)} of {counted(len(seeds), 'seed')}"
        raise Interrupted.of("", what, f"{same} continues where it stopped") from None
    return _report(options, sorted(results, key=lambda one: one.seed), known)


def _report(options: Options, results: list[Result], known: int) -> int:
    _summarize(options.draw, results, known)
    failing = [result for result in results if result.error or result.violated]
    for result in [one for one in failing if one.error][:STORIES]:
        _show([f"seed {result.seed}: the simulation ended with {result.error}"])
    unwritten = None
    for number, result in enumerate([one for one in failing if not one.error][:STORIES]):
        plan = options.draw.plan(result.seed)
        if number == 0:
            plan = _shrunk(plan) if options.shrink else plan
            unwritten = _unwritten(options.save, plan_json(plan))
        with simulated(plan) as outcome:
            _show(story(outcome.history, judge(outcome.history)))
        _print(f"again: {PROGRAM} --seeds {result.seed}{words_of(options.draw)} --again")
        if number == 0 and options.save is not None and unwritten is None:
            _print(f"its plan is in {options.save}")
    if failing:
        first = ", ".join(str(one.seed) for one in failing[:20])
        _show([f"violated in {len(failing)} of {counted(len(results), 'seed')}: {first}"])
    return _end(bool(failing), unwritten)


def _summarize(draw: Draw, results: list[Result], known: int) -> None:
    """Print how many seeds there are, what they took, and in how many of them what was violated."""
    counts = Counter(name for result in results for name in result.violated)
    cpu_s = sum(result.cpu_s for result in results)
    intervals = draw.shape.intervals * len(results)
    _show(
        [
            f"{counted(len(results), 'seed')}, {known} of them from earlier slices of this code",
            f"  {cpu_s:.0f} CPU s, {intervals / cpu_s if cpu_s else 0:.1f} intervals a CPU s",
            *(f"  {name}: violated in {counted(counts[name], 'seed')}" for name in ORACLES if counts[name]),
        ]
    )
    for name in sorted({lie for result in results for lie in result.told}):
        reached = sum(result.told.get(name, 0) > 0 for result in results)
        _print(f"  lie {name}: reaches somebody in {counted(reached, 'seed')}")


def _run_plan(path: Path, options: Options) -> int:
    plan = read_plan(path)
    _check(plan)
    if options.shrink:
        plan = _shrunk(plan)
    with simulated(plan, with_lines=options.trace is not None) as outcome:
        violations = judge(outcome.history)  # of every oracle: a plan is kept for what it shows
        unwritten = _unwritten(options.save if violations else None, plan_json(plan))
        untraced = _unwritten(options.trace, "\n".join(outcome.lines) + "\n")
        _show([f"trace {outcome.trace}", counted(outcome.events, "message")])
        if violations:
            _show(story(outcome.history, violations))
            _print(f"again: {PROGRAM} --plan {shlex.quote(str(path))}")
            if options.save is not None and unwritten is None:
                _print(f"its plan is in {options.save}")
    return _end(bool(violations), unwritten or untraced)


def _unwritten(path: Path | None, text: str) -> OSError | None:
    """Write a file, where one is asked for; what keeps it from being written, to be raised after the report."""
    if path is None:
        return None
    try:
        with naming(path):
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        return error
    return None


def _end(is_violated: bool, unwritten: OSError | None) -> int:
    """End a report: with the exit code, or with the file that could not be written."""
    if not is_violated:
        _print("nothing is violated")
    if unwritten is not None:
        raise unwritten
    return int(ExitCode.CHECK_FAILED if is_violated else ExitCode.OK)


def _check(plan: Plan) -> None:
    check_shape(plan.shape)
    configs = base_of(plan.shape, plan.signatures).configs
    check_plan(plan, list(configs), list(LIES))
    check_lies(plan, configs)


def _shrunk(plan: Plan) -> Plan:
    """A plan with less in it that violates the same; one that violates nothing as it is."""
    wanted = {one.oracle for one in _violations(plan)}
    if not wanted:
        return plan
    return shrink(plan, lambda smaller: bool(wanted & {one.oracle for one in _violations(smaller)}))


def _violations(plan: Plan) -> list[Violation]:
    with simulated(plan) as outcome:
        return judge(outcome.history)


def _show(lines: Sequence[str]) -> None:
    """Print lines: on a terminal as wide as that, elsewhere one each."""
    if sys.stdout.isatty():
        lines = [wrapped(line, len(line) - len(line.lstrip()) + 2) for line in lines]
    _print("\n".join(lines))


def _print(text: str) -> None:
    """Print a text, which nobody may read any more (`| head -1`): the exit code counts all the same."""
    with suppress(BrokenPipeError):
        print(text)
