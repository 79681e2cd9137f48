"""Whether another process clears the same books identically: set order and string hashes must not matter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from market.checking.check import MOST_ORDERS, Counterexample, Finding, fingerprints
from market.checking.random_books import random_case
from wattswap.errors import ExitCode, WattswapError
from wattswap.plugins import import_files
from wattswap.selection import Choice, choice_of

MOST_BOOKS = 100
SAYS = "another process clears the same books in the same way"
_PROGRAM = "import sys; from wattswap.check.other_process import main; main(sys.argv[1:])"


class OtherProcessFailed(WattswapError):
    """The second process failed where ours did not."""

    exit_code = ExitCode.CHECK_FAILED


def same_elsewhere(choice: Choice, books: int, seed: int, modules: Sequence[Path] = ()) -> Finding:
    """Clear the random books here and in a process with other hashes of strings, and compare.

    Args:
        choice: Its mechanism is registered under its name there, too: by a package, or by one of `modules`.
        books: At most `MOST_BOOKS` of them are cleared.
        seed: Of the books.
        modules: Files of plug-ins to import there first.

    Raises:
        OtherProcessFailed: The mechanism is not available there.
    """
    count = min(books, MOST_BOOKS)
    mechanism, given = choice.mechanism, choice.values()
    here = fingerprints(mechanism, count, seed, given)
    arguments = [choice.label, str(count), str(seed), *map(str, modules)]
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
    if not different:
        return Finding("same_elsewhere", SAYS, True, count)
    cases = [random_case(mechanism, seed, number, MOST_ORDERS, given=given) for number in different]
    book, rules = min(cases, key=lambda case: len(case[0]))
    found = Counterexample(
        book, rules, "another process gives another clearing; the smallest book that shows it"
    )
    return Finding("same_elsewhere", SAYS, True, count, len(different), found)


def main(arguments: list[str]) -> None:
    """Print the fingerprints of a mechanism: name with parameters, books, seed, and perhaps files to import."""
    name, books, seed, *modules = arguments
    import_files(list(map(Path, modules)))
    choice = choice_of(name, name)
    print(json.dumps(fingerprints(choice.mechanism, int(books), int(seed), choice.values())))
