"""Whether another process clears the same books in the same way: a set or a hash must decide nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from market.judge import MOST_ORDERS, Counterexample, Finding, fingerprints
from market.mechanism import Mechanism
from market.random_books import random_case
from wattswap.errors import ExitCode, WattswapError
from wattswap.plugins import import_file
from wattswap.plugins import mechanism as mechanism_named

MOST_BOOKS = 100
_PROGRAM = "import sys; from wattswap.other_process import main; main(sys.argv[1:])"


class OtherProcessFailed(WattswapError):
    """The second process ended with an error, which ours did not."""

    exit_code = ExitCode.CHECK_FAILED


def same_elsewhere(mechanism: Mechanism, books: int, seed: int, module: Path | None = None) -> Finding:
    """Clear the random books here and in a process with other hashes of strings, and compare.

    Args:
        mechanism: Registered under its name there, too: by a package, or by `module`.
        books: At most `MOST_BOOKS` of them are cleared.
        seed: Of the books.
        module: File to import there first.

    Raises:
        OtherProcessFailed: The mechanism cannot be had there.
    """
    count = min(books, MOST_BOOKS)
    here = fingerprints(mechanism, count, seed)
    arguments = [mechanism.name, str(count), str(seed), *([] if module is None else [str(module)])]
    other = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *arguments],
        env={**os.environ, "PYTHONHASHSEED": other, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        raise OtherProcessFailed.of(mechanism.name, f"cannot be cleared in another process: {last}")
    there = json.loads(done.stdout.splitlines()[-1])
    different = [number for number, pair in enumerate(zip(here, there, strict=True)) if pair[0] != pair[1]]
    says = "another process clears the same books in the same way"
    if not different:
        return Finding("same_elsewhere", says, True, count)
    cases = [random_case(mechanism, seed, number, MOST_ORDERS) for number in different]
    book, rules = min(cases, key=lambda case: len(case[0]))
    found = Counterexample(
        book, rules, "another process gives another clearing; the smallest book that shows it"
    )
    return Finding("same_elsewhere", says, True, count, len(different), found)


def main(arguments: list[str]) -> None:
    """Print the fingerprints of a mechanism: name, books, seed, and perhaps a file to import."""
    name, books, seed, *module = arguments
    for path in module:
        import_file(Path(path))
    print(json.dumps(fingerprints(mechanism_named(name), int(books), int(seed))))
