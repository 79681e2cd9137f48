"""Simulate neighbourhoods: `python -m wattswap.simulation --seeds 0..200`."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from wattswap.cli.output import note
from wattswap.cli.tables import wrapped
from wattswap.errors import ExitCode, UsageError, WattswapError
from wattswap.simulation.base import base_of
from wattswap.simulation.byzantine import LIES, check_lies
from wattswap.simulation.oracles import ORACLES, Violation, judge
from wattswap.simulation.plan import (
    SEEDS_MAX,
    Lie,
    Plan,
    Shape,
    check_plan,
    check_shape,
    plan_json,
    read_plan,
)
from wattswap.simulation.run import simulated
from wattswap.simulation.shrink import shrink
from wattswap.simulation.story import story
from wattswap.simulation.sweep import ROOT, Draw, Kept, Result, code_hash, sweep

RESULTS = ROOT / "build" / "simulation"
STORIES = 3
"""Failing seeds whose stories are shown."""


def main(arguments: list[str] | None = None) -> int:
    """Run seeds or a plan, and return the exit code: 6 where something is violated."""
    options = _parser().parse_args(arguments)
    try:
        _check_options(options)
        if options.plan is not None:
            return _run_plan(read_plan(options.plan), options)
        return _run_seeds(options)
    except WattswapError as error:
        note(str(error))
        return int(error.exit_code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m wattswap.simulation", description=__doc__)
    parser.add_argument(
        "--seeds", default="0..20", metavar="A..B", help="seeds from A to B - 1, or one (0..20)"
    )
    parser.add_argument("--plan", type=Path, metavar="FILE", help="run this plan instead of seeds")
    parser.add_argument(
        "--validators", type=int, default=4, metavar="N", help="at least 4; of 7, two may fail (4)"
    )
    parser.add_argument(
        "--gateways", type=int, default=0, metavar="N", help="gateways for the homes (0: a node a home)"
    )
    parser.add_argument("--intervals", type=int, default=8, metavar="N", help="intervals of a run (8)")
    parser.add_argument(
        "--pace-seconds", type=float, default=10.0, metavar="S", help="length of an interval (10)"
    )
    parser.add_argument(
        "--lie",
        action="append",
        default=[],
        metavar="NAME:WHO[:VICTIM]",
        help="a node that lies, as late:operator-0:home-01",
    )
    parser.add_argument("--quiet-network", action="store_true", help="no faults besides the lies")
    parser.add_argument(
        "--byzantine",
        action="store_true",
        help="drawn lies of the operator, of validators, homes and a stranger",
    )
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes (2)")
    parser.add_argument("--again", action="store_true", help="run seeds again that this code has passed")
    parser.add_argument("--shrink", action="store_true", help="make the first failing plan small")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the plan of the first failing seed")
    parser.add_argument(
        "--trace", type=Path, metavar="FILE", help="with --plan: write a line of each message"
    )
    return parser


def _check_options(options: argparse.Namespace) -> None:
    """Refuse, before anything is run, what would fail after it, or mean nothing."""
    if options.workers < 1:
        raise UsageError.of("--workers", f"{options.workers} is out of range", "use 1 or more")
    if options.trace is not None and options.plan is None:
        cure = "write the plan of a seed with --save, and name it with --plan"
        raise UsageError.of("--trace", "needs a plan", cure)
    for name in ("save", "trace"):
        path = getattr(options, name)
        if path is not None and not path.absolute().parent.is_dir():
            raise UsageError.of(f"--{name}", f"there is no folder {path.parent}", "make it, or name another")
        if path is not None and path.is_dir():
            raise UsageError.of(f"--{name}", f"{path} is a folder", "name a file")


def _seeds(text: str) -> range:
    first, dots, last = text.partition("..")
    if not first.isdecimal() or (dots and not last.isdecimal()):
        raise UsageError.of("--seeds", f"{text!r} is no range", "write 0..200 for 0 to 199, or one number")
    begin = int(first)
    found = range(begin, int(last) if dots else begin + 1)
    if not found or found[-1] >= SEEDS_MAX:
        raise UsageError.of("--seeds", f"{text!r} has no seed", f"write A..B with A < B, up to {SEEDS_MAX}")
    return found


def _lies(options: argparse.Namespace) -> tuple[Lie, ...]:
    found = []
    for text in options.lie:
        name, _, rest = text.partition(":")
        who, _, victim = rest.partition(":")
        if not (name and who):
            missing = "node" if name else "lie"
            raise UsageError.of(
                "--lie", f"{text!r} names no {missing}", "write NAME:WHO, as late:operator-0:home-01"
            )
        found.append(Lie(name, who, victim))
    return tuple(found)


def _run_seeds(options: argparse.Namespace) -> int:
    shape = Shape(options.validators, options.gateways, options.intervals, options.pace_seconds)
    check_shape(shape)
    seeds = list(_seeds(options.seeds))
    draw = Draw(shape, _lies(options), options.quiet_network, options.byzantine)
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
            print(f"{len(results)} of {len(seeds)} seeds", file=sys.stderr)

    sweep(
        seeds,
        draw,
        workers=options.workers,
        kept=kept,
        on_result=on_result,
    )
    return _report(options, draw, sorted(results, key=lambda one: one.seed), known)


def _report(options: argparse.Namespace, draw: Draw, results: list[Result], known: int) -> int:
    counts = Counter(name for result in results for name in result.violated)
    failing = [result for result in results if result.error or result.violated]
    cpu_s = sum(result.cpu_s for result in results)
    intervals = draw.shape.intervals * len(results)
    print(
        f"{len(results)} seeds, {known} of them from earlier slices of this code\n"
        f"  {cpu_s:.0f} CPU s, {intervals / cpu_s if cpu_s else 0:.1f} intervals a CPU s"
    )
    for name in ORACLES:
        if counts[name]:
            print(f"  {name}: violated in {counts[name]} seeds")
    for name in sorted({lie for result in results for lie in result.told}):
        print(f"  lie {name}: told in {sum(result.told.get(name, 0) > 0 for result in results)} seeds")
    for result in [one for one in failing if one.error][:STORIES]:
        print(f"seed {result.seed}: the simulation ended with {result.error}")
    for number, result in enumerate([one for one in failing if not one.error][:STORIES]):
        plan = draw.plan(result.seed)
        if number == 0:
            plan = _shrunk(plan) if options.shrink else plan
            _save(plan, options)
        _tell(plan)
        print(f"again: python -m wattswap.simulation --seeds {result.seed}{_same(options)} --again")
    if failing:
        first = ", ".join(str(one.seed) for one in failing[:20])
        _show([f"violated in {len(failing)} of {len(results)} seeds: {first}"])
        return int(ExitCode.CHECK_FAILED)
    print("nothing is violated")
    return int(ExitCode.OK)


def _same(options: argparse.Namespace) -> str:
    """The options that repeat a run."""
    found = ""
    for name, usual in (("validators", 4), ("gateways", 0), ("intervals", 8), ("pace_seconds", 10.0)):
        value = getattr(options, name)
        if value != usual:
            found += f" --{name.replace('_', '-')} {value:g}"
    found += "".join(f" --lie {lie}" for lie in options.lie)
    found += " --quiet-network" if options.quiet_network else ""
    found += " --byzantine" if options.byzantine else ""
    return found


def _run_plan(plan: Plan, options: argparse.Namespace) -> int:
    _check(plan)
    if options.shrink:
        plan = _shrunk(plan)
        _save(plan, options)
    with simulated(plan, with_lines=options.trace is not None) as outcome:
        violations = judge(outcome.history)  # of every oracle: a plan is kept for what it shows
        _show([f"trace {outcome.trace}, {outcome.events} messages"])
        if options.trace is not None:
            options.trace.write_text("\n".join(outcome.lines) + "\n", encoding="utf-8")
        if violations:
            _show(story(outcome.history, violations))
            print(f"again: python -m wattswap.simulation --plan {shlex.quote(str(options.plan))}")
            return int(ExitCode.CHECK_FAILED)
    print("nothing is violated")
    return int(ExitCode.OK)


def _check(plan: Plan) -> None:
    check_shape(plan.shape)
    configs = base_of(plan.shape, plan.signatures).configs
    check_plan(plan, list(configs), list(LIES))
    check_lies(plan, configs)


def _shrunk(plan: Plan) -> Plan:
    wanted = {one.oracle for one in _violations(plan)}
    return shrink(plan, lambda smaller: bool(wanted & {one.oracle for one in _violations(smaller)}))


def _violations(plan: Plan) -> list[Violation]:
    with simulated(plan) as outcome:
        return judge(outcome.history)


def _save(plan: Plan, options: argparse.Namespace) -> None:
    if options.save is not None:
        options.save.write_text(plan_json(plan), encoding="utf-8")
        print(f"its plan is in {options.save}")


def _show(lines: Sequence[str]) -> None:
    """Print lines: on a terminal as wide as that, elsewhere one each."""
    if sys.stdout.isatty():
        lines = [wrapped(line, len(line) - len(line.lstrip()) + 2) for line in lines]
    print("\n".join(lines))


def _tell(plan: Plan) -> None:
    with simulated(plan) as outcome:
        _show(story(outcome.history, judge(outcome.history)))


if __name__ == "__main__":
    sys.exit(main())
