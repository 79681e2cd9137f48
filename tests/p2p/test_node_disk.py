"""The disk of a node: a line is added as a whole, on a line of its own, or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from p2p.disk import DISK


def test_lines_are_added_one_after_another(tmp_path: Path) -> None:
    path = tmp_path / "stats.jsonl"
    for line in (b"first", b"second"):
        DISK.append_line(path, line)
    assert path.read_bytes() == b"first\nsecond\n"


def test_a_line_after_one_that_was_cut_short_stands_for_itself(tmp_path: Path) -> None:
    path = tmp_path / "stats.jsonl"
    path.write_bytes(b"first\nsec")
    DISK.append_line(path, b"third")
    assert path.read_bytes() == b"first\nsec\nthird\n"


def test_a_disk_that_is_full_in_the_middle_of_a_line_leaves_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "stats.jsonl"
    DISK.append_line(path, b"first")
    usual = os.write

    def half(descriptor: int, data: memoryview) -> int:
        if len(data) < len(b"second\n"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return usual(descriptor, data[:3])

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(OSError, match="No space left on device") as caught:
        DISK.append_line(path, b"second")
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"first\n"


def test_a_folder_that_cannot_be_synced_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output error") as caught:
        DISK.make_folder(tmp_path / "data")
    assert caught.value.filename == str(tmp_path)
