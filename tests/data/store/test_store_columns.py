"""Columns in a store: made on first use, of one version, and never changed under a process that reads them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data import formats
from data.store import beside, columns, mapped, parts, read
from data.store.read import load_store, meter_data_of, read_store
from tests.kits.store_kit import ROOT, imported, write_plain_csv

READER = """
import sys
from pathlib import Path
from data.store import beside, columns
from data.store.read import load_store
beside.LEAST_READINGS = 0
data = load_store(Path(sys.argv[1]))
print(data.import_wh.base is not None, data.import_wh.sum(), data.source.sha256, flush=True)
for line in sys.stdin:
    again = load_store(Path(sys.argv[1]))
    columns.trust(columns.checked()) if line.strip() == "begin" else None
    print(data.import_wh.sum(), again.import_wh.sum(), flush=True)
"""


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every store is large enough for columns, and this process has opened none."""
    monkeypatch.setattr(beside, "LEAST_READINGS", 0)
    for name in ("_checked", "_used", "_pinned"):
        monkeypatch.setattr(columns, name, {})


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "street"
    imported(path, write_plain_csv(tmp_path / "june.csv", {"anna": range(8), "ben": range(50, 58)}))
    return path


def append(store: Path, number: int) -> None:
    """Add two hours after those that are there."""
    start = f"2026-06-01T{2 * number:02}:00:00"
    more = {"anna": range(100 * number, 100 * number + 8), "ben": range(8)}
    imported(store, write_plain_csv(store.parent / f"more-{number}.csv", more, start))


def sets(store: Path) -> set[str]:
    return {path.name for path in (store / mapped.FOLDER).iterdir()}


def test_a_store_is_read_once_and_mapped_from_then_on(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = meter_data_of(read_store(store))
    first = load_store(store)
    assert len(sets(store)) == 1
    monkeypatch.setattr(read, "read_part", lambda *_args: pytest.fail("a part is read again"))
    for data in (first, load_store(store), beside.load(store), formats.load(store)):
        assert data.import_wh.dtype == np.int32
        assert not data.import_wh.flags.writeable
        assert (data.households, data.start_s, data.source) == (plain.households, plain.start_s, plain.source)
        np.testing.assert_array_equal(data.import_wh, plain.import_wh)
        np.testing.assert_array_equal(data.quality, plain.quality)


def test_some_homes_are_read_from_the_parts(store: Path) -> None:
    load_store(store)
    assert load_store(store, ["ben"]).import_wh[:, 0].tolist() == [*range(50, 58)]


def test_each_version_has_columns_of_its_own_and_the_one_before_stays(store: Path) -> None:
    found = []
    for number in range(1, 4):
        load_store(store)
        found.append(sets(store))
        append(store, number)
    assert [len(one) for one in found] == [1, 2, 2]
    assert found[0] < found[1]
    assert not found[0] & found[2]
    np.testing.assert_array_equal(load_store(store).import_wh, meter_data_of(read_store(store)).import_wh)


def test_damaged_columns_are_made_again(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = load_store(store).import_wh.copy()
    (file,) = (store / mapped.FOLDER).glob("*/column-0.bin")
    file.write_bytes(bytes(file.stat().st_size))
    monkeypatch.setattr(columns, "_checked", {})
    np.testing.assert_array_equal(load_store(store).import_wh, before)


def test_a_process_that_reads_keeps_its_version_while_another_appends(store: Path) -> None:
    command = [sys.executable, "-c", READER, str(store)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None

        def said(line: str) -> list[str]:
            assert reader.stdin is not None
            assert reader.stdout is not None
            reader.stdin.write(f"{line}\n")
            reader.stdin.flush()
            return reader.stdout.readline().split()

        is_mapped, total, version = reader.stdout.readline().split()
        assert is_mapped == "True"
        assert said("begin") == [total, total]
        for number in (1, 2, 3):
            append(store, number)
            larger = int(load_store(store).import_wh.sum())
            assert larger > int(total)
            # What it has mapped stays, also where the set has no name any more; what it opens anew may be newer then.
            kept, again = said("look")
            assert kept == total
            assert again == (total if number == 1 else str(larger))
        reader.stdin.close()
        assert reader.wait(20) == 0
    assert load_store(store).source.sha256 != version


def test_a_process_of_a_run_opens_the_version_that_the_run_has_begun_with(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = load_store(store)
    marks = columns.checked()
    append(store, 1)
    assert load_store(store).intervals > before.intervals  # who has begun nothing gets what is there now
    monkeypatch.setattr(columns, "_checked", {})
    columns.trust(marks)
    worker = load_store(store)
    assert worker.source == before.source
    np.testing.assert_array_equal(worker.import_wh, before.import_wh)


def test_parts_are_still_checked_where_no_columns_are(store: Path) -> None:
    (part,) = (store / "parts").iterdir()
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(parts.DamagedStore):
        load_store(store)
