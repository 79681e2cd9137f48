"""The long run: `python -m tests.fuzz --seconds 600`; a failing input is saved and its seed printed."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

from tests.fuzz import conftest  # noqa: F401  # the kits of tests/p2p
from tests.fuzz.mutate import mutated
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
        targets = [target for target in targets if given.only in target.name]
        while time.monotonic() - began < given.seconds and targets:
            target = rng.choice(targets)
            try:
                seen.update(hammer(rng, target, 50, given.failures))
            except AssertionError as error:
                traceback.print_exception(error, limit=-4)
                targets.remove(target)
                failed.add(target.name)
    took_s = time.monotonic() - began
    total = seen.total()
    print(f"{total} inputs in {took_s:.0f} s ({total / took_s:.0f}/s); {dict(seen.most_common())}")
    print(f"failed: {', '.join(sorted(failed)) or 'nothing'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
