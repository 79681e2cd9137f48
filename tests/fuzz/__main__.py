"""The long run: `python -m tests.fuzz --seconds 600`; a failing input is saved and its seed printed."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from functools import partial
from pathlib import Path

from tests.fuzz.clear import spoil_cases
from tests.fuzz.damage import Case, cases, damage, examine
from tests.fuzz.mutate import mutated
from tests.fuzz.programs import Program
from tests.fuzz.targets import Target, attempt, checked_targets, record_targets

SLOW_S = 2.0
"""Longest that one input may take. [s]"""


def hammer(rng: random.Random, target: Target, inputs: int, failures: Path) -> Counter[str]:
    """Let a target read mutated inputs; return how often each code came, "" for what it took.

    Raises:
        AssertionError: Names the input that broke a rule, after it was saved in `failures`.
    """
    seen: Counter[str] = Counter()
    for _ in range(inputs):
        data = mutated(rng, rng.choice(target.seeds), rng.choice(target.seeds))
        began = time.perf_counter()
        try:
            code = attempt(target, data)
            took_s = time.perf_counter() - began
            assert took_s < SLOW_S, f"it took {took_s:.1f} s"
        except Exception as error:
            failures.mkdir(parents=True, exist_ok=True)
            path = failures / (target.name.replace(" ", "-") + ".bin")
            path.write_bytes(data)
            raise AssertionError(f"{target.name}: {type(error).__name__}: {error}; input {path}") from error
        seen[code] += 1
    return seen


def run_program(rng: random.Random) -> Counter[str]:
    """Run a random program for the chain; return how often each refusal came.

    Raises:
        AssertionError: Names the seed of the program.
    """
    program = Program(rng.randrange(2**32))
    try:
        program.run(25)
    except Exception as error:
        raise AssertionError(f"program of seed {program.seed}: {error}") from error
    return program.seen


def hurt(rng: random.Random, case: Case, failures: Path) -> Counter[str]:
    """Damage a file and read it; a folder that broke a rule stays in `failures`."""
    folder = failures / case.folder.name
    folder.parent.mkdir(parents=True, exist_ok=True)
    seen: Counter[str] = Counter()
    for _ in range(20):
        done = damage(rng, case, folder)
        seen[f"file {examine(case, folder, done)}"] += 1
    shutil.rmtree(folder)
    return seen


def main() -> int:
    """Run until the time is over; the exit code is 1 where an input broke a rule."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None, help="repeat a run")
    parser.add_argument("--only", default="", help="targets whose name holds this text")
    parser.add_argument("--failures", type=Path, default=Path("fuzz-failures"))
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(2**32)
    print(f"seed {seed}", flush=True)
    rng, seen, failed, began = random.Random(seed), Counter[str](), set[str](), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        targets = [*record_targets(rng), *checked_targets(Path(folder))]
        runs = {target.name: partial(hammer, rng, target, 50, given.failures) for target in targets}
        runs["programs"] = partial(run_program, rng)
        runs["clear"] = partial(spoil_cases, rng, 50, Path(folder))
        for case in cases(Path(folder) / "files"):
            runs[f"file {case.folder.name}"] = partial(hurt, rng, case, given.failures)
        runs = {name: run for name, run in runs.items() if given.only in name}
        while time.monotonic() - began < given.seconds and runs:
            name = rng.choice(list(runs))
            try:
                seen.update(runs[name]())
            except Exception as error:
                traceback.print_exception(error, limit=-4)
                del runs[name]
                failed.add(name)
    took_s = time.monotonic() - began
    total = seen.total()
    print(f"{total} inputs in {took_s:.0f} s ({total / took_s:.0f}/s); {dict(seen.most_common())}")
    print(f"failed: {', '.join(sorted(failed)) or 'nothing'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
