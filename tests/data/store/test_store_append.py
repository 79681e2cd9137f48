"""A store is appended to: what is new, what is there, what is better, and what contradicts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.readings import ESTIMATED, MEASURED, MISSING
from data.store.append import Counts, appended
from data.store.errors import Mismatch
from data.store.read import load_store, read_store
from data.store.rows import placed, rows_of, whole
from tests.kits.store_kit import START, files_of, imported, series, write_plain_csv


def after(old, new, prefer=None):  # type: ignore[no-untyped-def]
    found = appended(old, new, prefer)
    return whole(placed([*rows_of(old), *found.rows], old.minutes)), found


def test_a_new_month_is_appended_and_the_overlap_is_counted(tmp_path: Path) -> None:
    first = write_plain_csv(tmp_path / "june.csv", {"anna": range(10), "ben": range(10)})
    second = write_plain_csv(
        tmp_path / "july.csv", {"anna": [8, 9, 50, 51], "ben": [8, 9, 60]}, "2026-06-01T02:00:00"
    )
    imported(tmp_path / "s", first)
    before = files_of(tmp_path / "s")
    found = imported(tmp_path / "s", second)
    assert [one.counts for one in found.homes] == [Counts(new=2, equal=2), Counts(new=1, equal=2)]
    data = load_store(tmp_path / "s")
    assert data.import_wh[:, 0].tolist() == [*range(10), 50, 51]
    assert data.import_wh[:, 1].tolist() == [*range(10), 60, 0]
    assert data.quality[-1].tolist() == [MEASURED, MISSING]
    now = files_of(tmp_path / "s")
    assert all(now[name] == content for name, content in before.items() if name != "manifest.json")
    part = read_store(tmp_path / "s").manifest.parts[1]
    assert part.rows == 3, "what is there already is not written again"


def test_the_same_file_again_changes_no_reading(tmp_path: Path) -> None:
    file = write_plain_csv(tmp_path / "june.csv", {"anna": range(10)})
    imported(tmp_path / "s", file)
    found = imported(tmp_path / "s", file)
    assert found.homes[0].counts == Counts(equal=10)
    manifest = read_store(tmp_path / "s").manifest
    assert len(manifest.parts) == 1
    assert [source.file for source in manifest.sources] == ["june.csv", "june.csv"]


def test_different_readings_are_refused_by_home_and_time_with_their_number(tmp_path: Path) -> None:
    imported(tmp_path / "s", write_plain_csv(tmp_path / "a.csv", {"anna": [1, 5] * 15, "ben": [3, 2] * 15}))
    before = files_of(tmp_path / "s")
    other = write_plain_csv(tmp_path / "b.csv", {"anna": [2, 6] * 15, "ben": [3, 2] * 15})
    with pytest.raises(Mismatch) as error:
        imported(tmp_path / "s", other)
    assert error.value.total == 30
    text = str(error.value)
    assert "home anna, 2026-06-01T00:15Z: import 5 Wh there and 6 Wh here" in text
    assert "and 10 more" in text
    assert "--prefer new or --prefer old" in text
    assert files_of(tmp_path / "s") == before


@pytest.mark.parametrize(("prefer", "kept"), [("new", [9, 9]), ("old", [1, 2])])
def test_prefer_settles_which_reading_counts(prefer: str, kept: list[int], tmp_path: Path) -> None:
    imported(tmp_path / "s", write_plain_csv(tmp_path / "a.csv", {"anna": [1, 2]}))
    found = imported(tmp_path / "s", write_plain_csv(tmp_path / "b.csv", {"anna": [9, 9]}), prefer=prefer)
    assert found.homes[0].counts == Counts(preferred=2)
    assert load_store(tmp_path / "s").import_wh[:, 0].tolist() == kept


def test_a_measured_reading_replaces_an_estimated_one_and_never_the_other_way_round() -> None:
    old = series(energy=[10, 20, 30, 0], quality=[ESTIMATED, MEASURED, MEASURED, MISSING])
    new = series(energy=[11, 21, 30, 40], quality=[MEASURED, ESTIMATED, ESTIMATED, ESTIMATED])
    now, found = after(old, new)
    assert now.energy["import"].tolist() == [11, 20, 30, 40]
    assert now.quality.tolist() == [MEASURED, MEASURED, MEASURED, ESTIMATED]
    assert found.counts == Counts(new=1, equal=1, measured=1, kept=1)
    assert found.conflict_count == 0


def test_a_reading_that_is_lost_in_a_later_file_stays() -> None:
    old = series(energy=[10, 20, 30])
    now, found = after(old, series(energy=[10, 0, 30], quality=[MEASURED, MISSING, MEASURED]))
    assert now.energy["import"].tolist() == [10, 20, 30]
    assert found.counts == Counts(equal=2, kept=1)


def test_a_gap_is_filled_by_what_comes_later() -> None:
    old = series(energy=[10, 0, 30], quality=[MEASURED, MISSING, MEASURED])
    now, found = after(old, series(energy=[20], start_s=START + 900))
    assert now.energy["import"].tolist() == [10, 20, 30]
    assert found.counts == Counts(new=1)


def test_a_channel_that_is_new_stands_beside_those_that_are_there() -> None:
    old = series(energy=[10, 20, 30, 40])
    new = series(energy=[20, 30], start_s=START + 900, pv=[7, 8])
    now, found = after(old, new)
    assert now.energy["import"].tolist() == [10, 20, 30, 40]
    assert now.energy["pv"].tolist() == [0, 7, 8, 0]
    assert now.quality.tolist() == [MEASURED, MEASURED, MEASURED, MISSING], (
        "the production is lacking at the end"
    )
    assert found.counts == Counts(new=2)


def test_import_and_export_are_appended_month_by_month_in_any_order(tmp_path: Path) -> None:
    from tests.kits.store_kit import EAN, OTHER_EAN, vendor_formats, write_vendor

    june, july = "2026-06-01T00:00:00", "2026-06-01T00:30:00"
    with vendor_formats():
        files = [
            write_vendor(tmp_path / "1", {EAN: [1, 2]}, june),
            write_vendor(tmp_path / "2", {OTHER_EAN: [5, 6]}, june, "export"),
            write_vendor(tmp_path / "3", {EAN: [3, 4]}, july),
            write_vendor(tmp_path / "4", {OTHER_EAN: [7, 8]}, july, "export"),
        ]
        imported(tmp_path / "s", *files[:2], given={EAN: "anna", OTHER_EAN: "anna"})
        imported(tmp_path / "s", files[2])
        assert load_store(tmp_path / "s").quality[:, 0].tolist() == [0, 0, MISSING, MISSING]
        imported(tmp_path / "s", files[3])
    data = load_store(tmp_path / "s")
    assert data.import_wh[:, 0].tolist() == [1, 2, 3, 4]
    assert data.export_wh[:, 0].tolist() == [5, 6, 7, 8]
    assert data.quality[:, 0].tolist() == [0, 0, 0, 0]


def test_another_step_or_other_boundaries_are_refused() -> None:
    with pytest.raises(Mismatch, match="home anna reads every 15 minutes in the store, and every 30 here"):
        appended(series(), series(minutes=30))
    with pytest.raises(Mismatch, match="begin 300 s after a multiple"):
        appended(series(), series(start_s=START + 300))


def test_all_errors_of_all_files_come_at_once_and_nothing_is_made(tmp_path: Path) -> None:
    from data.store.incoming import Unreadable

    good = write_plain_csv(tmp_path / "good.csv", {"anna": range(4)})
    one = tmp_path / "one.csv"
    one.write_text(
        "timestamp,household,import_kwh,export_kwh\n2026-06-01T00:00Z,anna,-1,0\n2026-06-01T00:15Z,anna,x,0\n"
    )
    two = tmp_path / "two.csv"
    two.write_text(
        "timestamp,household,import_kwh,export_kwh\n2026-06-01 00:00,anna,1,0\n2026-06-01 00:15,anna,1,0\n"
    )
    with pytest.raises(Unreadable) as error:
        imported(tmp_path / "s", good, one, tmp_path / "none.csv")
    assert "none.csv" in str(error.value)
    assert "[negative]" in str(error.value)
    assert "[not_a_number]" in str(error.value)
    assert not (tmp_path / "s").exists()
    with pytest.raises(Exception, match="--zone"):
        imported(tmp_path / "s", good, two)
    assert not (tmp_path / "s").exists()


def test_two_copies_of_one_file_are_refused(tmp_path: Path) -> None:
    one = write_plain_csv(tmp_path / "a.csv", {"anna": range(4)})
    two = write_plain_csv(tmp_path / "b.csv", {"anna": range(4)})
    with pytest.raises(Mismatch, match="have the same content"):
        imported(tmp_path / "s", one, two)
    with pytest.raises(Mismatch, match="is named twice"):
        imported(tmp_path / "s", one, one)


def test_months_of_one_home_in_one_import_follow_each_other(tmp_path: Path) -> None:
    one = write_plain_csv(tmp_path / "a.csv", {"anna": [1, 2, 3, 4]})
    two = write_plain_csv(tmp_path / "b.csv", {"anna": [4, 5]}, "2026-06-01T00:45:00")
    found = imported(tmp_path / "s", two, one)
    assert found.homes[0].how == ("continued",)
    assert found.homes[0].counts == Counts(new=5, equal=1)
    assert load_store(tmp_path / "s").import_wh[:, 0].tolist() == [1, 2, 3, 4, 5]


def test_the_first_appended_reading_of_a_listener_is_one_small_file(tmp_path: Path) -> None:
    """As a listener does it, one interval at a time."""
    from data.store.append import appended as compared
    from data.store.write import writing

    imported(tmp_path / "s", write_plain_csv(tmp_path / "a.csv", {"anna": [1, 2]}))
    for number in range(3):
        with writing(tmp_path / "s") as writer:
            old = read_store(tmp_path / "s").one("anna")
            new = series(energy=[10 + number], start_s=START + 900 * (2 + number))
            writer.append(compared(old, new).rows, [], "one reading")
    assert load_store(tmp_path / "s").import_wh[:, 0].tolist() == [1, 2, 10, 11, 12]
    assert np.unique(load_store(tmp_path / "s").quality).tolist() == [MEASURED]
