"""Small stores of readings, formats that know homes by an id or not at all, and processes that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from data.formats import FORMATS, Format
from data.intake.claims import NO_CLAIM, Claim, Question
from data.intake.file import MeterFile
from data.intake.raw import Channel, Hints, IntakeLog, RawReadings, labels, numbers, stamps
from data.readings import MEASURED
from data.store.imports import Imported, Options, import_files
from data.store.series import HomeSeries

ROOT = Path(__file__).resolve().parents[2]
START = 1_780_272_000
"""2026-06-01T00:00Z. [s since 1970]"""
EAN = "541448820099887766"
OTHER_EAN = "541448820011223344"


def series(
    home: str = "anna",
    energy: Sequence[int] = (1, 2, 3, 4),
    quality: Sequence[int] | None = None,
    *,
    start_s: int = START,
    minutes: int = 15,
    export: Sequence[int] | None = None,
    **subs: Sequence[int],
) -> HomeSeries:
    """Readings of a home; all are measured where nothing else is said."""
    flags = [MEASURED] * len(energy) if quality is None else quality
    columns: Mapping[str, Sequence[int]] = {
        "import": energy,
        "export": [0] * len(energy) if export is None else export,
        **subs,
    }
    return HomeSeries(
        home,
        start_s,
        minutes,
        {name: np.array(column, dtype=np.int64) for name, column in columns.items()},
        np.array(flags, dtype=np.uint8),
    )


def write_plain_csv(
    path: Path, homes: Mapping[str, Sequence[int]], start: str = "2026-06-01T00:00:00"
) -> Path:
    """A plain file of quarter hours; energy in Wh, -1 for a row that is not there."""
    first = np.datetime64(start, "s")
    lines = ["timestamp,household,import_wh,export_wh"]
    for home, energy in homes.items():
        for row, wh in enumerate(energy):
            if wh >= 0:
                lines.append(f"{first + np.timedelta64(900 * row, 's')}Z,{home},{wh},0")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_vendor(
    path: Path,
    meters: Mapping[str, Sequence[int]],
    start: str = "2026-06-01T00:00:00",
    register: str = "import",
) -> Path:
    """A file of a vendor: `#vendor` or `#nameless`, then time, number of the meter and Wh."""
    first = np.datetime64(start, "s")
    lines = [f"#{'nameless' if set(meters) == {''} else 'vendor'} {register}"]
    for meter, energy in meters.items():
        lines += [f"{first + np.timedelta64(900 * row, 's')}Z;{meter};{wh}" for row, wh in enumerate(energy)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _parse(file: MeterFile, hints: Hints, log: IntakeLog) -> Iterator[RawReadings]:
    head, *lines = file.path.read_text(encoding="utf-8").splitlines()
    register = hints.channels.get("Wh", head.split()[1])
    when, meter, wh = zip(*(line.split(";") for line in lines), strict=True)
    yield RawReadings(
        line=np.arange(2, len(lines) + 2),
        meter=labels(list(meter)),
        stamp=stamps(labels(list(when))),
        values={Channel(register, "Wh"): numbers(list(wh))},
    )


def _asks(file: MeterFile, hints: Hints) -> tuple[Question, ...]:
    if b"#vendor ask" in file.head and hints.stamp is None:
        return (Question("--stamp", "the file does not say what its stamps name", ("start", "end")),)
    return ()


@contextmanager
def vendor_formats() -> Iterator[None]:
    """Two formats: one whose homes are numbers of meters, and one that names no home."""
    for name, meters, head in (("vendor", "id", b"#vendor"), ("nameless", "none", b"#nameless")):
        FORMATS.register(
            Format(
                name=name,
                summary="a vendor's file",
                unit="Wh per interval",
                sniff=lambda file, head=head: Claim(1.0) if file.head.startswith(head) else NO_CLAIM,  # type: ignore[misc]
                parse=_parse,
                asks=_asks,
                meters=meters,  # type: ignore[arg-type]
            )
        )
    try:
        yield
    finally:
        FORMATS.forget("vendor")
        FORMATS.forget("nameless")


def imported(out: Path, *files: Path, **options: object) -> Imported:
    """Import files into a store."""
    return import_files(list(files), out, Options(**options))  # type: ignore[arg-type]


def files_of(store: Path) -> dict[str, bytes]:
    """Every file of a store but its lock, by its place."""
    return {
        str(file.relative_to(store)): file.read_bytes()
        for file in sorted(store.rglob("*"))
        if file.is_file() and file.name != "lock"
    }


KILLED = """
import os, signal, sys
from pathlib import Path
from data.store import layers, manifest, parts, write
from data.store.imports import Options, import_files

steps, at = [0], int(sys.argv[3])

def counted(function):
    def call(*arguments, **options):
        if steps[0] == at:
            os.kill(os.getpid(), signal.SIGKILL)
        steps[0] += 1
        return function(*arguments, **options)
    return call

os.fsync = counted(os.fsync)
Path.replace = counted(Path.replace)
Path.mkdir = counted(Path.mkdir)
Path.unlink = counted(Path.unlink)
parts.sha256_of = counted(parts.sha256_of)
layers.sha256_of = counted(layers.sha256_of)
import_files([Path(sys.argv[1])], Path(sys.argv[2]), Options())
print(steps[0])
"""
"""An import that is killed before its n-th step on the disk; one that ends prints how many it took."""


def import_killed(file: Path, store: Path, at: int) -> int | None:
    """Import a file in a process that is killed before a step; the number of steps where it ended before."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(file), str(store), str(at)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    if done.returncode == -signal.SIGKILL:
        return None
    assert done.returncode == 0, done.stderr
    return int(done.stdout)
