"""Columns mapped from files: the same readings, made once, never half, and made anew where anything changed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data import formats, samples
from data.errors import InvalidMeterFile, MissingFile
from data.formats import plain
from data.readings import MeterData
from data.store import beside, columns
from tests.kits.meter_kit import TEN, rows, write

INT32_MAX = 2**31 - 1


def equal(a: MeterData, b: MeterData) -> bool:
    same = all(
        np.array_equal(getattr(a, name), getattr(b, name)) for name in ("import_wh", "export_wh", "quality")
    )
    names = ("households", "start_s", "minutes", "batteries", "source")
    subs = a.sub_meters.keys() == b.sub_meters.keys() and all(
        np.array_equal(a.sub_meters[name], b.sub_meters[name]) for name in a.sub_meters
    )
    return same and subs and all(getattr(a, name) == getattr(b, name) for name in names)


@pytest.fixture
def street() -> MeterData:
    whole = samples.load("street")
    return whole.window(whole.start_s, whole.start_s + 3 * 86_400)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file is large enough for columns."""
    monkeypatch.setattr(beside, "LEAST_READINGS", 0)
    monkeypatch.setattr(beside, "LEAST_BYTES", 0)


def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """As another process, which has hashed nothing."""
    monkeypatch.setattr(columns, "_checked", {})


def test_what_is_written_is_mapped_with_all_that_is_known_of_it(street: MeterData, tmp_path: Path) -> None:
    kept = columns.write(tmp_path, "k", street)
    assert kept is not None
    assert equal(kept, street)
    assert kept.import_wh.dtype == np.int32
    assert any(street.batteries)
    assert street.sub_meters
    with pytest.raises(ValueError, match="read-only"):
        kept.import_wh[0, 0] = 1


def test_a_column_with_one_value_beyond_int32_stays_int64(street: MeterData, tmp_path: Path) -> None:
    large = street.import_wh.copy()
    large[-1, -1] = INT32_MAX + 1
    kept = columns.write(tmp_path, "k", replace(street, import_wh=large))
    assert kept is not None
    assert (kept.import_wh.dtype, kept.export_wh.dtype) == (np.int64, np.int32)
    assert int(kept.import_wh[-1, -1]) == INT32_MAX + 1


def test_energy_that_passes_int32_together_is_summed_exactly(street: MeterData, tmp_path: Path) -> None:
    shape = street.import_wh.shape
    most = np.full(shape, INT32_MAX, dtype=np.int64)
    none = np.zeros(shape, dtype=np.int64)
    kept = columns.write(
        tmp_path, "k", replace(street, import_wh=most, export_wh=none, sub_meters={"pv": most.copy()})
    )
    assert kept is not None
    assert kept.import_wh.dtype == np.int32
    assert (kept.load_wh == 2 * INT32_MAX).all()
    assert (kept.load_of(5) == 2 * INT32_MAX).all()
    assert (kept.resample(60).import_wh == 4 * INT32_MAX).all()
    assert (replace(kept, import_wh=kept.export_wh, export_wh=kept.import_wh).net_wh() == -INT32_MAX).all()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["column-0.bin", "quality.bin", columns.ABOUT])
@pytest.mark.parametrize("spoil", [cut, flip, os.unlink])
def test_a_damaged_set_is_none_and_is_made_anew(
    spoil: Callable[[Path], None],
    name: str,
    street: MeterData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    columns.write(tmp_path, "k", street)
    spoil(tmp_path / "k" / name)
    forgotten(monkeypatch)
    assert columns.open(tmp_path, "k") is None
    made = columns.write(tmp_path, "k", street)
    assert made is not None
    assert equal(made, street)
    assert [path.name for path in tmp_path.iterdir()] == ["k"]


def test_a_set_that_says_it_is_elsewhere_is_none(street: MeterData, tmp_path: Path) -> None:
    columns.write(tmp_path / "a", "k", street)
    about = json.loads((tmp_path / "a" / "k" / columns.ABOUT).read_text(encoding="utf-8"))
    about["columns"]["import_wh"]["file"] = "../../a/k/column-0.bin"
    about["sha256"] = columns._sha256_of(about)
    (tmp_path / "a" / "k" / columns.ABOUT).write_text(json.dumps(about), encoding="utf-8")
    assert columns.open(tmp_path / "a", "k") is None


def test_files_are_hashed_once_in_a_program_and_its_workers(
    street: MeterData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns.write(tmp_path, "k", street)
    forgotten(monkeypatch)
    assert columns.open(tmp_path, "k") is not None
    marks = columns.checked()
    assert len(marks) == 2 + len(street.sub_meters) + 1
    forgotten(monkeypatch)
    columns.trust(marks)
    monkeypatch.setattr(columns.hashlib, "file_digest", None)  # would be called
    assert columns.open(tmp_path, "k") is not None


def test_a_full_disk_leaves_nothing(
    street: MeterData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(columns, "_written", full)
    assert columns.write(tmp_path, "k", street) is None
    assert not list(tmp_path.iterdir())


def test_where_there_is_little_room_nothing_is_begun(
    street: MeterData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = columns.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(columns.shutil, "disk_usage", lambda _: usage._replace(free=1_000))
    assert columns.write(tmp_path, "k", street) is None
    assert not list(tmp_path.iterdir())


def written(folder: Path, _number: int) -> int:
    kept = columns.write(folder, "k", samples.load("street"))
    return -1 if kept is None else int(kept.import_wh.sum())


def test_several_processes_at_once_make_one_whole_set(tmp_path: Path) -> None:
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
        found = list(pool.map(written, [tmp_path] * 6, range(6)))
    assert found == [int(samples.load("street").import_wh.sum())] * 6
    assert [path.name for path in tmp_path.iterdir()] == ["k"]


def test_pages_are_given_back_and_read_again(street: MeterData, tmp_path: Path) -> None:
    kept = columns.write(tmp_path, "k", street)
    assert kept is not None
    part = kept.window(kept.start_s + 86_400, kept.end_s)
    before = int(part.import_wh.sum())
    columns.release(part)
    columns.release(street)  # nothing to give back
    assert int(part.import_wh.sum()) == before


@pytest.mark.usefixtures("small")
def test_a_file_is_read_once_while_nothing_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, rows(*TEN))
    first = beside.load(path)
    assert equal(first, formats.load(path))
    assert (tmp_path / beside.FOLDER / ".gitignore").read_text(encoding="ascii") == "*\n"
    monkeypatch.setattr(formats, "load", None)  # would be called
    assert equal(beside.load(path), first)


@pytest.mark.usefixtures("small")
def test_a_file_option_or_reader_that_changed_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, [line.replace("Z,", ",") for line in rows(*TEN)])
    berlin, london = beside.load(path, zone="Europe/Berlin"), beside.load(path, zone="Europe/London")
    assert london.start_s - berlin.start_s == 3_600
    there = set((tmp_path / beside.FOLDER).iterdir())
    assert len(there) == 3
    write(tmp_path, [line.replace("Z,", ",").replace("0.4,0", "0.5,0") for line in rows(*TEN)])
    again = beside.load(path, zone="Europe/Berlin")
    assert int(again.import_wh.sum()) == int(berlin.import_wh.sum()) + 100
    (kept,) = {path for path in (tmp_path / beside.FOLDER).iterdir() if path.is_dir()}
    assert kept not in there, "the sets of the file as it was are removed"
    monkeypatch.setattr(beside, "code_sha256", lambda: "mended")
    beside.load(path, zone="Europe/Berlin")
    assert len(list((tmp_path / beside.FOLDER).iterdir())) == 3


@pytest.mark.usefixtures("small")
def test_a_file_that_changes_while_it_is_read_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, read = write(tmp_path, rows(*TEN)), formats.load

    def changing(*arguments: Any, **more: Any) -> MeterData:
        data = read(*arguments, **more)
        write(tmp_path, rows(*TEN[1:]))
        return data

    monkeypatch.setattr(formats, "load", changing)
    beside.load(path)
    assert not (tmp_path / beside.FOLDER).exists()


@pytest.mark.usefixtures("small")
def test_where_the_folder_may_not_be_written_the_users_cache_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, rows(*TEN))
    (tmp_path / beside.FOLDER).touch()  # no folder can be made here, whoever runs the test
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert equal(beside.load(path), formats.load(path))
    assert len(list((tmp_path / "cache" / "wattswap" / "columns").iterdir())) == 2
    (tmp_path / "none").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "none"))
    assert equal(beside.load(path), formats.load(path)), "in memory"


@pytest.mark.usefixtures("small")
def test_errors_are_those_of_reading_and_leave_no_columns(tmp_path: Path) -> None:
    path = write(tmp_path, rows("-1,0", *TEN))
    with pytest.raises(InvalidMeterFile, match="negative"):
        beside.load(path)
    assert not (tmp_path / beside.FOLDER).exists()
    with pytest.raises(MissingFile):
        beside.load(tmp_path / "none.csv")


def test_a_small_file_has_no_columns(street: MeterData, tmp_path: Path) -> None:
    plain.write(street, tmp_path / "meter.csv")
    beside.load(tmp_path / "meter.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["meter.csv"]
