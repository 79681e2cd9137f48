"""A folder that is no store, or not as it was written, is refused in words that name the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from data import formats
from data.errors import InvalidMeterFile, UnknownHousehold
from data.store.errors import DamagedStore, NewerStore, NoStore, StoreError, StoreExists
from data.store.manifest import MANIFEST
from data.store.read import is_store, load_store, read_store
from data.store.write import making, writing
from tests.kits.store_kit import imported, write_plain_csv


@pytest.fixture
def store(tmp_path: Path) -> Path:
    imported(tmp_path / "s", write_plain_csv(tmp_path / "a.csv", {"anna": [1, 2, 3], "ben": [4, 5, 6]}))
    return tmp_path / "s"


def changed(store: Path, change: Any) -> None:
    content = json.loads((store / MANIFEST).read_text())
    change(content)
    (store / MANIFEST).write_text(json.dumps(content))


def test_folders_and_files_that_are_no_store(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x")
    for name in ("folder", "file", "none"):
        with pytest.raises(NoStore, match=f"{name} is no store of readings"):
            load_store(tmp_path / name)
        with pytest.raises(NoStore), writing(tmp_path / name):
            pass
    (tmp_path / "folder" / MANIFEST).write_text('{"name": "of something else"}')
    with pytest.raises(NoStore, match="of something else"):
        load_store(tmp_path / "folder")
    assert sorted(file.name for file in (tmp_path / "folder").iterdir()) == [MANIFEST]


def test_a_newer_store_is_refused_before_anything_else_is_read(store: Path) -> None:
    changed(store, lambda content: content.update(store_version=2, homes="something new"))
    with pytest.raises(NewerStore, match="store_version 2, and this version of wattswap reads up to 1"):
        load_store(store)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "[" * 100_000,
        lambda text: text.replace('"homes"', '"house"', 1),
        lambda text: text.replace('"minutes": 15', '"minutes": 7', 1),
        lambda text: text.replace("parts/0001.parquet", "../../etc/passwd"),
        lambda text: text.replace("parts/0001.parquet", "/etc/passwd"),
        lambda text: text.replace('"rows"', '"rowz"', 1),
        lambda text: text.replace('"name": "anna"', '"name": "nobody"', 1),
    ],
)
def test_a_damaged_manifest_is_refused(damage: Any, store: Path) -> None:
    file = store / MANIFEST
    file.write_text(damage(file.read_text()))
    with pytest.raises(DamagedStore, match=r"manifest\.json"):
        load_store(store)
    with pytest.raises(InvalidMeterFile, match=r"manifest\.json"):
        formats.load(store)


def test_a_part_that_is_missing_or_another_is_named(store: Path) -> None:
    part = store / "parts" / "0001.parquet"
    content = part.read_bytes()
    part.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DamagedStore, match=r"parts/0001\.parquet is not the file that was written"):
        load_store(store)
    part.unlink()
    with pytest.raises(DamagedStore, match=r"parts/0001\.parquet is missing"):
        load_store(store)
    report = formats.check(store)
    assert [finding.code for finding in report.findings] == ["damaged_store"]
    assert not report.ok


def test_an_unknown_home_names_the_nearest(store: Path) -> None:
    with pytest.raises(UnknownHousehold, match=r"no home .ana. in these 2 homes.* Did you mean 'anna'"):
        read_store(store, ["ana"])


def test_a_place_that_is_taken_is_left_alone(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "letter.txt").write_text("dear")
    with pytest.raises(StoreExists, match="taken exists already"), making(taken):
        pass
    file = write_plain_csv(tmp_path / "a.csv", {"anna": [1, 2]})
    with pytest.raises(StoreExists):
        imported(taken, file)
    with pytest.raises(StoreExists):
        imported(file, write_plain_csv(tmp_path / "b.csv", {"anna": [1, 2]}))
    assert [one.name for one in taken.iterdir()] == ["letter.txt"]
    assert not is_store(taken)


def test_an_empty_store_says_so(tmp_path: Path) -> None:
    with making(tmp_path / "s"):
        pass
    with pytest.raises(StoreError, match="no home has a reading"):
        load_store(tmp_path / "s")
