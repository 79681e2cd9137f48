"""Every fixture, changed in every way: what is made of each change, and how many are read wrong in silence: 0.

Usage: python -m tests.kits.never_misread [NAME ...]; a minute for all of them.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

from data.errors import DataError
from data.formats import FileReading, read, recognise
from data.readings import MeterData
from tests.kits.fixture_kit import Fixture, fixtures
from tests.kits.mutation_kit import mutants
from tests.kits.mutation_structured_kit import structured_mutants

OUTCOMES = ("right", "asked", "refused", "wrong")


@dataclass
class Outcome:
    """What was made of all changes of a fixture; names of those that were read wrong."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def changeable() -> list[Fixture]:
    """Fixtures of one file that is read."""
    return [fixture for fixture in fixtures() if "expected" in fixture.said and fixture.path.is_file()]


def outcome_of(fixture: Fixture, folder: Path) -> Outcome:
    """Read every change of a fixture, written to a folder."""
    path, found = folder / fixture.path.name, Outcome()

    def reading_of(content: bytes) -> FileReading | None:
        path.write_bytes(content)
        try:
            return read(path, recognise(path), fixture.hints)
        except DataError:
            return None

    def data_of(content: bytes) -> MeterData | None:
        reading = reading_of(content)
        return None if reading is None else reading.data

    for mutant in chain(mutants(fixture, data_of), structured_mutants(fixture, data_of)):
        reading = reading_of(mutant.content)
        if reading is None or reading.data is None:
            found.counts["asked" if reading is not None and reading.questions else "refused"] += 1
        elif mutant.accepts(fixture, reading.data):
            found.counts["right"] += 1
        else:
            found.counts["wrong"] += 1
            found.wrong.append(mutant.name)
    return found


def main(names: Sequence[str]) -> int:
    """Print the table; the number of silent wrongs is the exit code, at most 1."""
    total: Counter[str] = Counter()
    print(f"{'fixture':34}" + "".join(f"{outcome:>9}" for outcome in OUTCOMES))
    for fixture in changeable():
        name = fixture.folder.name
        if names and name not in names:
            continue
        with TemporaryDirectory() as folder:
            found = outcome_of(fixture, Path(folder))
        total += found.counts
        line = "".join(f"{found.counts[outcome]:9,}" for outcome in OUTCOMES)
        print(f"{name:34}{line}  {'; '.join(found.wrong)}".rstrip(), flush=True)
    print(f"{'all ' + format(sum(total.values()), ','):34}" + "".join(f"{total[o]:9,}" for o in OUTCOMES))
    print(f"silent wrongs: {total['wrong']}")
    return min(total["wrong"], 1)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
