"""A full disk: the validator stops with a sentence, the others go on, and with room again it catches up."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kits.faults_kit import HOMES, OPERATOR, VALIDATORS, town

pytestmark = [pytest.mark.live, pytest.mark.slow]
DISK = "2m"
VICTIM = VALIDATORS[3]


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A file system of its own, of a few megabytes, in place of an empty folder; skips where that is not allowed."""
    folder.mkdir(mode=0o700, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=700", "tmpfs", str(folder)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no small file system can be mounted here: {made.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(file: Path) -> None:
    """Write until the disk is full."""
    with file.open("wb", buffering=0) as filler:
        for size in (65_536, 1):
            try:
                while filler.write(os.urandom(size)):
                    pass
            except OSError:
                continue


def test_a_full_disk_stops_one_validator_and_room_brings_it_back(tmp_path: Path) -> None:
    with town(tmp_path, 16) as place, small_disk(place.data(VICTIM)):
        try:
            place.start(*VALIDATORS, OPERATOR, *HOMES)
            place.wait_settled(2, VICTIM)
            filler = place.data(VICTIM) / "filler"
            fill(filler)
            assert place.end(VICTIM) == 3, place.log(VICTIM)
            stopped_at = place.height(VICTIM)
            # Before it there may be what the transport notes of a handler that fails: a validator that takes messages
            # of homes writes promises, too.
            *_, sentence = place.log(VICTIM).splitlines()
            assert sentence.startswith("Error: ")
            assert str(place.data(VICTIM)) in sentence
            assert "disk is full" in sentence or "No space left on device" in sentence
            place.wait_settled(stopped_at + 3)
            filler.unlink()
            place.start(VICTIM)
            place.finish(OPERATOR)
            assert place.height(VICTIM) == place.height(VALIDATORS[0])
        finally:
            place.take_down()
