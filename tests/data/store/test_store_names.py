"""Whose readings a file holds: ids leave a salted hash and nothing else, and what cannot be known is asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from data.store.errors import Mismatch
from data.store.incoming import Unanswered, clean_name
from data.store.read import read_store
from tests.kits.store_kit import (
    EAN,
    OTHER_EAN,
    files_of,
    imported,
    vendor_formats,
    write_plain_csv,
    write_vendor,
)


@pytest.fixture(autouse=True)
def _formats() -> Iterator[None]:
    with vendor_formats():
        yield


def options_of(error: pytest.ExceptionInfo[Unanswered]) -> list[str]:
    return [question.option for _, question in error.value.questions]


def test_homes_with_an_id_are_numbered_and_found_again_by_a_hash(tmp_path: Path) -> None:
    june = write_vendor(tmp_path / "june.csv", {EAN: [1, 2], OTHER_EAN: [3, 4]})
    july = write_vendor(
        tmp_path / "july.csv", {OTHER_EAN: [5], EAN: [6], "541448": [7]}, "2026-06-01T00:30:00"
    )
    found = imported(tmp_path / "s", june)
    assert [one.home for one in found.homes] == ["home-1", "home-2"]
    more = imported(tmp_path / "s", july, hints=hints_of(minutes=15))
    assert [(one.home, one.new) for one in more.homes] == [
        ("home-2", False),
        ("home-1", False),
        ("home-3", True),
    ]
    content = read_store(tmp_path / "s")
    assert [one.energy["import"].tolist() for one in content.series] == [[1, 2, 6], [3, 4, 5], [7]]


def hints_of(**options: object):  # type: ignore[no-untyped-def]
    from data.intake.raw import Hints

    return Hints(**options)  # type: ignore[arg-type]


def test_no_id_is_anywhere_in_a_store(tmp_path: Path) -> None:
    file = write_vendor(tmp_path / f"export_{EAN}_2026.csv", {EAN: [1, 2], OTHER_EAN: [3, 4]})
    found = imported(tmp_path / "s", file)
    assert found.sources[0].file == "export_#_2026.csv"
    for name, content in files_of(tmp_path / "s").items():
        assert EAN.encode() not in content, name
        assert OTHER_EAN.encode() not in content, name
    manifest = read_store(tmp_path / "s").manifest
    assert manifest.meters[manifest.hash_of(EAN)] == "home-1"
    imported(tmp_path / "other", file)
    other = read_store(tmp_path / "other").manifest
    assert not set(other.meters) & set(manifest.meters), "another store has another salt"


def test_long_numbers_in_the_name_of_a_file_are_left_out() -> None:
    assert clean_name("Verbruik_541448820099887766_2023-10-01.csv", ()) == "Verbruik_#_2023-10-01.csv"
    assert clean_name("20231001.csv", ()) == "20231001.csv"


def test_a_home_is_named_by_its_id_or_by_its_number_in_the_file(tmp_path: Path) -> None:
    file = write_vendor(tmp_path / "june.csv", {EAN: [1, 2], OTHER_EAN: [3, 4]})
    found = imported(tmp_path / "s", file, given={EAN: "anna", "home-2": "ben"})
    assert [one.home for one in found.homes] == ["anna", "ben"]
    again = imported(tmp_path / "s", file)
    assert [one.home for one in again.homes] == ["anna", "ben"]
    with pytest.raises(Mismatch, match="this meter is anna in this store already"):
        imported(tmp_path / "s", file, given={EAN: "cleo"})
    with pytest.raises(Mismatch, match="--map nobody=x: no home and no file is called nobody"):
        imported(tmp_path / "s", file, given={"nobody": "x"})


def test_named_homes_keep_their_names(tmp_path: Path) -> None:
    file = write_plain_csv(tmp_path / "a.csv", {"anna": [1, 2], "ben": [3, 4]})
    found = imported(tmp_path / "s", file, given={"ben": "the-bens"})
    assert [one.home for one in found.homes] == ["anna", "the-bens"]


def test_one_file_without_a_home_is_one_home(tmp_path: Path) -> None:
    found = imported(tmp_path / "s", write_vendor(tmp_path / "a.csv", {"": [1, 2]}))
    assert [one.home for one in found.homes] == ["home-1"]
    named = imported(tmp_path / "t", write_vendor(tmp_path / "b.csv", {"": [1, 2]}), given={"b.csv": "anna"})
    assert [one.home for one in named.homes] == ["anna"]


def test_files_of_one_time_without_a_home_are_a_home_each_unless_they_are_combined(tmp_path: Path) -> None:
    files = [write_vendor(tmp_path / f"{n}.csv", {"": [n, n, n + 1]}) for n in (1, 2, 3)]
    each = imported(tmp_path / "s", *files)
    assert [one.home for one in each.homes] == ["home-1", "home-2", "home-3"]
    one = imported(tmp_path / "t", *files, combine=True)
    assert [(one.home, one.how, one.files) for one in one.homes] == [
        ("home-1", ("summed",), ("1.csv", "2.csv", "3.csv"))
    ]
    assert read_store(tmp_path / "t").series[0].energy["import"].tolist() == [6, 6, 9]


def test_files_that_follow_each_other_without_a_home_are_asked_about(tmp_path: Path) -> None:
    june = write_vendor(tmp_path / "june.csv", {"": [1, 2]})
    july = write_vendor(tmp_path / "july.csv", {"": [3, 4]}, "2026-06-01T00:30:00")
    with pytest.raises(Unanswered, match="of one home, or of one each") as error:
        imported(tmp_path / "s", june, july)
    assert options_of(error) == ["--combine or --no-combine"]
    assert not (tmp_path / "s").exists()
    one = imported(tmp_path / "s", june, july, combine=True)
    assert read_store(tmp_path / "s").series[0].energy["import"].tolist() == [1, 2, 3, 4]
    assert one.homes[0].how == ("continued",)
    two = imported(tmp_path / "t", june, july, combine=False)
    assert [one.home for one in two.homes] == ["home-1", "home-2"]


def test_months_that_share_a_day_are_asked_about(tmp_path: Path) -> None:
    """An export often has its last day again in the next file; two homes of it would count that energy twice."""
    june = write_vendor(tmp_path / "june.csv", {"": [1, 2, 3, 4]})
    july = write_vendor(tmp_path / "july.csv", {"": [4, 5, 6]}, "2026-06-01T00:45:00")
    with pytest.raises(
        Unanswered, match="have the same readings where they overlap: they are of one home"
    ) as error:
        imported(tmp_path / "s", june, july)
    assert options_of(error) == ["--combine or --no-combine"]
    imported(tmp_path / "s", june, july, combine=True)
    assert read_store(tmp_path / "s").series[0].energy["import"].tolist() == [1, 2, 3, 4, 5, 6]
    other = write_vendor(tmp_path / "other.csv", {"": [9, 5, 6]}, "2026-06-01T00:45:00")
    with pytest.raises(Unanswered, match="follow each other in time"):
        imported(tmp_path / "t", june, other)


def test_a_file_that_grew_is_asked_about(tmp_path: Path) -> None:
    """The year to date, exported twice: the second holds the first."""
    june = write_vendor(tmp_path / "june.csv", {"": [1, 2]})
    grown = write_vendor(tmp_path / "grown.csv", {"": [1, 2, 3]})
    with pytest.raises(Unanswered, match="have the same readings where they overlap"):
        imported(tmp_path / "s", june, grown)
    imported(tmp_path / "s", june, grown, combine=True)
    assert read_store(tmp_path / "s").series[0].energy["import"].tolist() == [1, 2, 3]


def test_files_of_one_time_without_energy_are_not_asked_about(tmp_path: Path) -> None:
    """That both read nothing does not say that they are one."""
    files = [write_vendor(tmp_path / f"{n}.csv", {"": [0, 0, *range(n)]}) for n in (1, 2)]
    assert [one.home for one in imported(tmp_path / "s", *files).homes] == ["home-1", "home-2"]


def test_a_later_file_without_a_home_is_asked_about(tmp_path: Path) -> None:
    june = write_vendor(tmp_path / "june.csv", {"": [1, 2]})
    july = write_vendor(tmp_path / "july.csv", {"": [3, 4]}, "2026-06-01T00:30:00")
    imported(tmp_path / "s", june)
    with pytest.raises(Unanswered) as error:
        imported(tmp_path / "s", july)
    assert options_of(error) == ["--map"]
    assert "july.csv=home-1|july.csv=NEW-NAME" in str(error.value)
    imported(tmp_path / "s", july, given={"july.csv": "home-1"})
    assert read_store(tmp_path / "s").series[0].energy["import"].tolist() == [1, 2, 3, 4]
    august = write_vendor(tmp_path / "august.csv", {"": [9, 9]}, "2026-06-01T01:00:00")
    imported(tmp_path / "s", august, combine=True)
    assert read_store(tmp_path / "s").series[0].intervals == 6
    imported(tmp_path / "s", write_vendor(tmp_path / "other.csv", {"": [7, 7, 8]}), combine=False)
    assert set(read_store(tmp_path / "s").manifest.homes) == {"home-1", "home-2"}


def write_sheet(path: Path, first: str, values: Sequence[float]) -> Path:
    """A table that no format knows and that names no home."""
    start = datetime.fromisoformat(first)
    rows = [
        f"{start + timedelta(minutes=15 * at):%Y-%m-%d %H:%M};{v:.3f};{v / 3:.3f}"
        for at, v in enumerate(values)
    ]
    path.write_text("\n".join(["Zeit;Bezug (kWh);Einspeisung (kWh)", *rows]) + "\n")
    return path


def test_tables_of_no_known_format_are_not_one_home_because_none_names_it(tmp_path: Path) -> None:
    """Two members' own sheets look alike: without this the second one is added to the home of the first."""
    hints = hints_of(zone="Europe/Berlin", kind="energy", stamp="start")
    values = [0.11, 0.25, 0.13, 0.42, 0.17, 0.38, 0.21, 0.33]
    anna = write_sheet(tmp_path / "anna.csv", "2026-06-20 00:00", values)
    ben = write_sheet(tmp_path / "ben.csv", "2026-06-20 00:00", values[::-1])
    july = write_sheet(tmp_path / "july.csv", "2026-06-20 02:00", values)
    each = imported(tmp_path / "s", anna, ben, hints=hints)
    assert [one.home for one in each.homes] == ["home-1", "home-2"]
    imported(tmp_path / "t", anna, hints=hints, given={"anna.csv": "anna"})
    with pytest.raises(Unanswered) as error:
        imported(tmp_path / "t", july, hints=hints)
    assert "july.csv=anna|july.csv=NEW-NAME" in str(error.value)
    imported(tmp_path / "t", july, ben, hints=hints, given={"july.csv": "anna", "ben.csv": "ben"})
    found = {one.home: one.energy["import"].sum() for one in read_store(tmp_path / "t").series}
    assert found == {"anna": 4000, "ben": 2000}


def test_answers_about_one_table_of_no_known_format_are_not_used_for_another(tmp_path: Path) -> None:
    """The stamps of the first name starts; of the second, which is laid out in another way, they may name ends."""
    values = [0.11, 0.25, 0.13, 0.42, 0.17, 0.38, 0.21, 0.33]
    anna = write_sheet(tmp_path / "anna.csv", "2026-06-20 00:00", values)
    ben = write_sheet(tmp_path / "ben.csv", "2026-06-20 00:15", values)
    ben.write_text(ben.read_text().replace("Zeit;", "Ablesung;"))
    hints = hints_of(zone="Europe/Berlin", kind="energy", stamp="start")
    imported(tmp_path / "s", anna, hints=hints, given={"anna.csv": "anna"})
    with pytest.raises(Unanswered) as error:
        imported(tmp_path / "s", ben, hints=hints_of(kind="energy"), given={"ben.csv": "ben"})
    assert set(options_of(error)) == {"--zone", "--stamp"}


def test_import_and_export_of_one_home_in_two_files(tmp_path: Path) -> None:
    drawn = write_vendor(tmp_path / "import.csv", {EAN: [1, 2]})
    given = write_vendor(tmp_path / "export.csv", {OTHER_EAN: [5, 6]}, register="export")
    with pytest.raises(Mismatch, match="home home-2 has export and neither import nor load"):
        imported(tmp_path / "s", drawn, given)
    found = imported(tmp_path / "s", drawn, given, given={EAN: "anna", OTHER_EAN: "anna"})
    assert [one.home for one in found.homes] == ["anna"]
    one = read_store(tmp_path / "s").series[0]
    assert {name: column.tolist() for name, column in one.energy.items()} == {
        "import": [1, 2],
        "export": [5, 6],
    }
    later = write_vendor(
        tmp_path / "later.csv", {OTHER_EAN: [6, 7]}, "2026-06-01T00:15:00", register="export"
    )
    imported(tmp_path / "s", later)
    one = read_store(tmp_path / "s").series[0]
    assert one.energy["export"].tolist() == [5, 6, 7]


def test_answers_are_used_again_for_the_same_meter_and_for_no_other(tmp_path: Path) -> None:
    june = write_vendor(tmp_path / "june.csv", {EAN: [1, 2]})
    june.write_text(june.read_text().replace("#vendor import", "#vendor ask"))
    with pytest.raises(Unanswered) as error:
        imported(tmp_path / "s", june)
    assert options_of(error) == ["--stamp"]
    first = imported(tmp_path / "s", june, hints=hints_of(stamp="start", channels={"Wh": "import"}))
    assert first.sources[0].answers["stamp"] == "start"
    july = write_vendor(tmp_path / "july.csv", {EAN: [3, 4]}, "2026-06-01T00:30:00")
    july.write_text(july.read_text().replace("#vendor import", "#vendor ask"))
    again = imported(tmp_path / "s", july)
    assert again.files[0].earlier == {"channel Wh": "import", "stamp": "start"}
    assert read_store(tmp_path / "s").series[0].energy["import"].tolist() == [1, 2, 3, 4]
    stranger = write_vendor(tmp_path / "ben.csv", {OTHER_EAN: [3, 4]})
    stranger.write_text(stranger.read_text().replace("#vendor import", "#vendor ask"))
    with pytest.raises(Unanswered):
        imported(tmp_path / "s", stranger)
