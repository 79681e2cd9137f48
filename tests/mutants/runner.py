"""Run the tests of mutants in a copy of the repository in which one file is replaced."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from queue import SimpleQueue
from time import monotonic

from tests.mutants.mutant import ROOT, Mutant

COPIED = ("agents", "data", "market", "optimizer", "p2p", "tests", "wattswap", "pyproject.toml")
"""What the tests of mutants need."""
WORKERS = 2
TIMEOUT_S = 120.0
"""How long the tests of a mutant may take; one that lets them run for ever is not killed. [s]"""
FAILED = 1
"""Exit code of pytest where tests failed; 2 and more where they could not be collected or run."""
BROKEN = re.compile(r"^E +(?:NameError|UnboundLocalError|ImportError|ModuleNotFoundError|SyntaxError):", re.M)
"""A mutant that cannot run at all is none: it shows no rule."""


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant.

    Args:
        problem: Why it does not count as killed; empty where it is.
        failed: The first test that failed for it.
        seconds: For its tests.
    """

    mutant: Mutant
    problem: str
    failed: str
    seconds: float

    @property
    def is_killed(self) -> bool:
        """Whether a test failed that passes without the mutant."""
        return not self.problem


@dataclass(frozen=True)
class _Result:
    code: int | None
    output: str


class Copy:
    """A copy of the repository, in which the file of one mutant at a time is another."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "node_modules")
                shutil.copytree(source, folder / name, ignore=ignored)
            else:
                shutil.copy2(source, folder / name)

    @contextmanager
    def with_mutant(self, mutant: Mutant) -> Iterator[None]:
        """The copy with the file of a mutant replaced."""
        path = self.folder / mutant.file
        right = path.read_bytes()
        try:
            path.write_text(mutant.source, encoding="utf-8")
            self._drop_bytecode(path)
            yield
        finally:
            path.write_bytes(right)
            self._drop_bytecode(path)

    def _drop_bytecode(self, path: Path) -> None:
        """Python goes by seconds and size: two mutants of a file may agree in both."""
        for stale in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
            stale.unlink()

    def run(self, tests: Sequence[str]) -> _Result:
        """Run tests in the copy; the exit code is None where they did not end in time."""
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-n", "0", *tests]
        # The copy comes first, also for processes that tests start. Properties draw the same examples each time.
        environment = os.environ | {"PYTHONPATH": str(self.folder), "CI": "1"}
        environment |= {"PYTHONDONTWRITEBYTECODE": "", "PYTEST_ADDOPTS": ""}
        for name in [name for name in environment if name.startswith("PYTEST_XDIST")]:
            del environment[name]
        try:
            done = subprocess.run(
                command,
                cwd=self.folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            return _Result(None, str(error))
        return _Result(done.returncode, done.stdout)


class Runner:
    """Runs mutants in copies of the repository.

    Args:
        copies: One for each worker.
    """

    def __init__(self, copies: Iterable[Copy]) -> None:
        self._copies: SimpleQueue[Copy] = SimpleQueue()
        for copy in copies:
            self._copies.put(copy)
        self._failing: dict[str, str] = {}

    def check_without(self, tests: Collection[str]) -> None:
        """Run tests of one file without a mutant: those that fail then show nothing."""
        with self._copy() as copy:
            result = copy.run(sorted(tests))
        if result.code != 0:
            self._failing |= dict.fromkeys(tests, f"its tests fail without it: {_tail(result)}")

    def outcome(self, mutant: Mutant) -> Outcome:
        """Run the tests of a mutant, after `check_without`."""
        begun = monotonic()
        with self._copy() as copy, copy.with_mutant(mutant):
            result = copy.run(mutant.tests)
        without = next((self._failing[test] for test in mutant.tests if test in self._failing), "")
        return Outcome(mutant, _problem(result) or without, _first_failed(result.output), monotonic() - begun)

    @contextmanager
    def _copy(self) -> Iterator[Copy]:
        copy = self._copies.get()
        try:
            yield copy
        finally:
            self._copies.put(copy)


def _problem(result: _Result) -> str:
    if result.code is None:
        return f"its tests did not end within {TIMEOUT_S:g} s"
    if result.code == 0:
        return "it survives: its tests pass"
    if result.code != FAILED or BROKEN.search(result.output):
        return f"its tests could not run, exit code {result.code}: {_tail(result)}"
    return ""


def _tail(result: _Result) -> str:
    return " | ".join(result.output.strip().splitlines()[-4:])


def _first_failed(output: str) -> str:
    found = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", output, re.M)
    return found[1] if found else ""


def outcomes(mutants: Sequence[Mutant], workers: int = WORKERS) -> Iterator[Outcome]:
    """Run the tests of mutants without any, by files, and then with each mutant, in their order.

    Args:
        workers: How many run at a time, each in a copy of the repository.
    """
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, ThreadPoolExecutor(workers) as pool:
        runner = Runner(Copy(Path(folder) / str(number)) for number in range(workers))
        list(pool.map(runner.check_without, by_file(mutants).values()))
        yield from pool.map(runner.outcome, mutants)


def by_file(mutants: Iterable[Mutant]) -> dict[str, set[str]]:
    """The tests of mutants by the file that they are in."""
    found: dict[str, set[str]] = {}
    for test in (test for mutant in mutants for test in mutant.tests):
        found.setdefault(test.partition("::")[0], set()).add(test)
    return found


def drawn(mutants: Sequence[Mutant], number: int) -> list[Mutant]:
    """So many mutants, drawn by the commit that is checked out."""
    seed = commit()
    return sorted(mutants, key=lambda mutant: sha256(f"{seed} {mutant.name}".encode()).digest())[:number]


def commit() -> str:
    """Hash of the newest commit; without git, of the files of the packages."""
    try:
        asked = ["git", "rev-parse", "HEAD"]
        return subprocess.run(asked, cwd=ROOT, capture_output=True, check=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return _hash_of_packages()


def _hash_of_packages() -> str:
    found = sha256()
    for name in COPIED:
        for path in sorted((ROOT / name).rglob("*.py")):
            found.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return found.hexdigest()
