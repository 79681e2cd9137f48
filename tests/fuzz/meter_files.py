"""Hostile files against every reader of meter, price and weather data and of recipes: read, asked or refused, no more.

`python -m tests.fuzz.meter_files --files 10000` reads that many, in processes with limits of time and memory.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from data.formats import FORMATS, check, read
from data.formats.tables import format_of_file
from data.intake.file import MeterFile
from data.intake.raw import Hints
from data.prices import load_price_series
from data.recipes.draft import draft
from data.recipes.infer import NoTable
from data.recipes.infer_file import inferred
from data.sniffing import sniff
from data.store.imports import Options, import_files
from data.store.incoming import Unanswered
from data.store.read import read_store
from data.weather import load_weather
from tests.fuzz.meter_attacks import attacked
from tests.fuzz.meter_seeds import Seed
from tests.fuzz.meter_seeds import seeds as all_seeds
from wattswap.errors import exit_code_of, is_expected, render

LONGEST_S = 10
"""Longest that reading a file may take, of processor time; three times that of any time. [s]"""

MOST_BYTES = 2 << 30
"""Most memory of a process that reads. [bytes]"""

BATCH = 50
"""Files that a process reads before the next one is started: the most memory of one hides that of others."""

NAMES = (
    "-rf",
    "a\nb.csv",
    "a\x1b[2J.csv",
    ".hidden",
    "a'; DROP TABLE x;--.csv",
    "a#b?c.db",
    "a%41.csv",
    "\u202ea.csv",
)
CHOICES = {"unit": ("Wh", "kWh", "W", None), "stamp": ("start", "end", None), "dates": ("dmy", "mdy", None)}


class Broken(AssertionError):
    """A file that broke a rule."""


def try_file(seed: int, seeds: list[Seed], folder: Path) -> tuple[str, str]:
    """Make the file of a seed in an empty folder and let a reader have it.

    Returns:
        How it came out, "read", "asked" or "refused", and what it was.

    Raises:
        Broken: A crash, or something that was left behind.
    """
    rng = random.Random(seed)
    chosen = rng.choice(seeds)
    way, content = attacked(rng, chosen.content)
    name = rng.choice(NAMES) if rng.random() < 0.05 else chosen.name
    inbox = folder / "in"
    inbox.mkdir()
    path = inbox / name
    path.write_bytes(content)
    what = f"seed {seed}: {chosen.kind} {chosen.name} {way}"
    store = folder / "store"
    try:
        outcome = _reader(rng, chosen, path, store)
    except Unanswered:
        outcome = "asked"
    except Exception as error:
        if not is_expected(error) or exit_code_of(error) == 1:
            raise Broken(f"{what}: {type(error).__name__}: {str(error)[:300]}") from error
        if any(not (letter.isprintable() or letter == "\n") for letter in render(error)):
            raise Broken(f"{what}: the error would command a terminal") from error
        outcome = "refused"
    left = sorted(one.name for one in folder.iterdir() if one.name != "in")
    if left != (["store"] if outcome == "read" and store.exists() else []):
        raise Broken(f"{what}: {left} is left of what was {outcome}")
    if [one.name for one in inbox.iterdir()] != [name]:
        raise Broken(f"{what}: files are written beside it")
    return outcome, what


def _reader(rng: random.Random, seed: Seed, path: Path, store: Path) -> str:
    if seed.kind == "recipe" and rng.random() < 0.9:
        format_of_file(path)
        return "read"
    if seed.kind == "price" and rng.random() < 0.9:
        load_price_series(path, zone="UTC")
        return "read"
    if seed.kind == "weather" and rng.random() < 0.9:
        load_weather(path, 1_780_272_000, 15, 96, zone="UTC")
        return "read"
    hints = Hints(seed.zone or rng.choice(("Europe/Berlin", "UTC", None)), yes=rng.random() < 0.5)
    if rng.random() < 0.3:
        hints = replace(hints, **{name: rng.choice(values) for name, values in CHOICES.items()})  # type: ignore[arg-type]
    way = rng.random()
    if way < 0.5:
        import_files([path], store, Options(None, hints, combine=rng.choice((True, None))))
        read_store(store)
        return "read"
    sniff(path)
    if way < 0.7:
        report = check(path, answers=hints)
        return "read" if report.ok else "refused"
    if way < 0.8:
        found = inferred(MeterFile(path), hints)
        if isinstance(found, NoTable) or found.refusals:
            return "refused"
        draft(found, "Any")
        return "asked" if found.questions else "read"
    names = sorted(FORMATS.all())
    reading = read(path, FORMATS.get(rng.choice(names)), hints)
    return "read" if reading.data is not None else "asked" if reading.questions else "refused"


def _batch(first: int, count: int, seeds: list[Seed], pipe: int) -> None:
    """Try files one after another, and tell of each before it and after it."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    for seed in range(first, first + count):
        os.write(pipe, f"begin {seed}\n".encode())
        signal.alarm(3 * LONGEST_S)
        began = time.process_time()
        try:
            with tempfile.TemporaryDirectory() as folder:
                outcome, what = try_file(seed, seeds, Path(folder))
            took_s = time.process_time() - began
            used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1_024
            if took_s > LONGEST_S:
                outcome = f"broken {what} took {took_s:.1f} s"
            elif used > MOST_BYTES:
                outcome = f"broken {what} took {used / 1e9:.2f} GB"
        except BaseException as error:
            outcome = f"broken {traceback.format_exception_only(error)[-1]!r}"
            with suppress(OSError):
                traceback.print_exception(error, limit=-4)
        os.write(pipe, f"{outcome[:900]}\n".encode())


def run(files: int, first: int) -> tuple[Counter[str], list[str]]:
    """Try so many files, each batch in a process; return outcomes, and what broke a rule."""
    seeds = all_seeds()
    counts, broken = Counter[str](), []
    at, last = first, first + files
    sniff(Path(__file__))  # loads what all of them need, once
    while at < last:
        reads, writes = os.pipe()
        sys.stdout.flush()
        child = os.fork()
        if not child:
            code = 1
            with suppress(BaseException):
                os.close(reads)
                _batch(at, min(BATCH, last - at), seeds, writes)
                code = 0
            os._exit(code)
        os.close(writes)
        with os.fdopen(reads, errors="replace") as told:
            for line in told:
                outcome = line.rstrip("\n")
                if outcome.startswith("begin "):
                    at = int(outcome.split()[1]) + 1
                    pending = True
                    continue
                pending = False
                counts[outcome.split()[0]] += 1
                if outcome.startswith("broken"):
                    broken.append(f"{at - 1}: {outcome}")
        _, status = os.waitpid(child, 0)
        if status and pending:
            counts["broken"] += 1
            how = (
                "a hang"
                if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM
                else f"status {status}"
            )
            broken.append(f"{at - 1}: {how}")
    return counts, broken


def main() -> int:
    """Run; the exit code is 1 where a file broke a rule."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.meter_files", description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first file; each has its own")
    given = parser.parse_args()
    began = time.monotonic()
    counts, broken = run(given.files, given.seed)
    print("\n".join(broken))
    print(
        f"{counts.total()} files in {time.monotonic() - began:.0f} s: {counts['read']} read, {counts['asked']} asked,"
        f" {counts['refused']} refused, {counts['broken']} broken"
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
