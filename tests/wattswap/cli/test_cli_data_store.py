"""Meter files into stores and out of them, on the command line: said, asked, refused, drawn, repaired and run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from data.readings import MISSING
from data.store.read import load_store, read_store
from tests.kits.run_kit import call
from tests.kits.store_kit import (
    EAN,
    OTHER_EAN,
    imported,
    vendor_formats,
    write_plain_csv,
    write_vendor,
)
from wattswap.cli._data_show import picture_lines

Capture = pytest.CaptureFixture[str]
DAY = [100, 100, 100, 100] * 20 + [900, 300, 200, 100] * 4


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    with vendor_formats():
        yield


def one_object(text: str) -> dict[str, Any]:
    found = json.loads(text)
    assert isinstance(found, dict)
    assert text.count("\n") == 1
    return found


def narrow(text: str) -> None:
    assert max(map(len, text.splitlines())) <= 80, text


def test_from_three_files_to_a_run_in_three_commands(capsys: Capture) -> None:
    plain = write_plain_csv(Path("neighbours.csv"), {"anna": DAY * 4})
    vendor = write_vendor(Path(f"export_{EAN}.csv"), {EAN: DAY * 4})
    nameless = write_vendor(Path("hub.csv"), {"": [wh // 2 for wh in DAY * 4]})
    done = call(
        capsys, "data", "import", plain, vendor, nameless, "--out", "street.store", "--zone", "Europe/Berlin"
    )
    assert done.code == 0, done.err
    narrow(done.out)
    assert "street.store made: 3 files of 3 homes" in done.out
    assert EAN not in done.out + done.err
    done = call(capsys, "new", "street", "--from-data", "street.store")
    assert done.code == 0, done.err
    text = Path("street/scenario.toml").read_text()
    assert 'path = "../street.store"' in text
    assert 'zone = "Europe/Berlin"' in text
    assert call(capsys, "validate", "street").code == 0
    done = call(capsys, "run", "street", "--quiet", "--set", "time.days=1", "--set", "homes.forecast_days=1")
    assert done.code == 0, done.err
    assert "3 homes, 96 intervals of 15 min" in done.out
    assert call(capsys, "new", "street", "--from-data", "street.store").code == 3
    assert call(capsys, "new", "other", "--from-data", "street.store", "--grid", "x").code == 2


def test_what_an_import_did_is_one_object(capsys: Capture) -> None:
    file = write_vendor(Path("june.csv"), {EAN: [1, 2, 3], OTHER_EAN: [4, 5, 6]})
    done = call(capsys, "data", "import", file, "--out", "s", "--map", f"{EAN}=anna", "--json")
    found = one_object(done.out)
    assert (found["store"], found["made"], found["zone"]) == ("s", True, None)
    assert [file["format"] for file in found["files"]] == ["vendor"]
    assert [(one["home"], one["intervals"]["new"], one["energy_wh"]) for one in found["homes"]] == [
        ("anna", 3, {"import": 6}),
        ("home-1", 3, {"import": 15}),
    ]
    assert EAN not in done.out
    again = one_object(call(capsys, "data", "import", file, "--out", "s", "--json").out)
    assert [one["intervals"]["equal"] for one in again["homes"]] == [3, 3]
    assert again["made"] is False


def test_questions_are_exit_3_with_the_exact_option(capsys: Capture) -> None:
    june = write_vendor(Path("june.csv"), {"": [1, 2]})
    july = write_vendor(Path("july.csv"), {"": [3, 4]}, "2026-06-01T00:30:00")
    done = call(capsys, "data", "import", june, july, "--out", "s")
    assert done.code == 3
    assert "say --combine or --no-combine" in done.err
    assert not Path("s").exists()
    problems = one_object(call(capsys, "data", "import", june, july, "--out", "s", "--json").out)["error"][
        "problems"
    ]
    assert [problem["key"] for problem in problems] == ["--combine or --no-combine"]
    done = call(capsys, "data", "import", june, july, "--out", "s", "--combine")
    assert done.code == 0
    assert "home-1: 2 files, one after the other in time" in done.out
    local = Path("local.csv")
    local.write_text(
        "timestamp,household,import_kwh,export_kwh\n2026-06-01 00:00,a,1,0\n2026-06-01 00:15,a,1,0\n"
    )
    problems = one_object(call(capsys, "data", "import", local, "--out", "t", "--json").out)["error"][
        "problems"
    ]
    assert [(problem["key"], problem["cure"]) for problem in problems] == [("--zone", "say --zone")]


def test_errors_of_all_files_are_listed_and_are_exit_3(capsys: Capture) -> None:
    bad = Path("bad.csv")
    bad.write_text(
        "timestamp,household,import_kwh,export_kwh\n2026-06-01T00:00Z,a,-1,0\n2026-06-01T00:15Z,a,x,0\n"
    )
    done = call(capsys, "data", "import", bad, "none.csv", "--out", "s")
    assert done.code == 3
    assert "bad.csv: 2 errors" in done.err
    assert "none.csv" in done.err
    found = one_object(call(capsys, "data", "import", bad, "none.csv", "--out", "s", "--json").out)
    assert [problem.get("line") for problem in found["error"]["problems"]] == [2, 3, None]
    assert not Path("s").exists()


def test_contradictions_name_home_and_time_and_how_to_settle_them(capsys: Capture) -> None:
    call(capsys, "data", "import", write_plain_csv(Path("a.csv"), {"anna": [1, 2]}), "--out", "s")
    other = write_plain_csv(Path("b.csv"), {"anna": [1, 3]})
    done = call(capsys, "data", "import", other, "--out", "s")
    assert done.code == 3
    assert "home anna, 2026-06-01T00:15Z: import 2 Wh there and 3 Wh here" in done.err
    assert call(capsys, "data", "import", other, "--out", "s", "--prefer", "new").code == 0
    assert load_store("s").import_wh[:, 0].tolist() == [1, 3]


@pytest.mark.parametrize(("option", "value"), [("--map", "anna"), ("--map", "=import"), ("--map", "x=")])
def test_options_of_pairs_say_how_they_are_written(option: str, value: str, capsys: Capture) -> None:
    file = write_plain_csv(Path("a.csv"), {"anna": [1, 2]})
    done = call(capsys, "data", "import", file, "--out", "s", option, value)
    assert done.code == 2
    assert f"write {option} KEY=VALUE" in done.err


@pytest.fixture
def gappy(capsys: Capture) -> Path:
    """A store of two homes over two weeks, of which one lacks a day and three quarters of an hour."""
    energy = DAY * 14
    lacking = [-1 if 480 <= row < 576 or 20 <= row < 23 else wh for row, wh in enumerate(energy)]
    imported(Path("gappy"), write_plain_csv(Path("gappy.csv"), {"anna": energy, "ben": lacking}))
    capsys.readouterr()
    return Path("gappy")


def test_a_store_is_shown_in_80_letters_with_its_gaps(gappy: Path, capsys: Capture) -> None:
    done = call(capsys, "data", "show", gappy)
    narrow(done.out)
    assert "gappy: 2 homes, Mon 01 Jun 2026 00:00 to Mon 15 Jun 2026 00:00" in done.out
    done = call(capsys, "data", "show", gappy, "--home", "ben", "--zone", "Europe/Berlin")
    narrow(done.out)
    assert "2 of 99 intervals; the longest of 96 from Sat 06 Jun 2026 02:00" in done.out
    assert re.search(r"^coverage +92\.63 %$", done.out, re.MULTILINE)
    assert re.search(r"^base load +400 W$", done.out, re.MULTILINE)
    assert re.search(r"^peak +3\.60 kW, Mon 01 Jun 2026 22:00$", done.out, re.MULTILINE)
    assert re.search(r"^Sat 06 Jun +\S{4}·{44}$", done.out, re.MULTILINE)
    found = one_object(call(capsys, "data", "show", gappy, "--json").out)
    assert [(one["home"], one["missing"], one["gaps"]) for one in found["homes"]] == [
        ("anna", 0, 0),
        ("ben", 99, 2),
    ]
    assert found["homes"][0]["energy_wh"]["import"] == 14 * sum(DAY)
    file = one_object(call(capsys, "data", "show", "gappy.csv", "--json").out)
    assert file["homes"] == found["homes"], "a file is shown as the store of it"


def test_the_page_of_a_store_needs_no_network_and_is_new(gappy: Path, capsys: Capture) -> None:
    assert call(capsys, "data", "show", gappy, "--html", "page.html").code == 0
    html = Path("page.html").read_text()
    assert "default-src 'none'" in html
    ours = re.sub(r"<script>.*?</script>", "", html, flags=re.DOTALL)  # without that of the figures
    assert len(ours) < len(html) / 2
    assert not re.search(r'(?:src|href)="(?!#|data:)', ours)
    assert all(f'data-figure="home-{n}-import"' in html for n in (1, 2))
    assert "Meter data of 2 homes" in html
    done = call(capsys, "data", "show", gappy, "--html", "page.html")
    assert done.code == 3
    assert "exists already" in done.err


def test_long_times_are_drawn_by_weeks_and_months() -> None:
    from tests.kits.store_kit import series

    year = picture_lines(series("a", DAY * 200), "import", None, None)
    assert year[0].startswith("import, mean power by week")
    assert len(year) == 2 + 29 + 1
    years = picture_lines(series("a", DAY * 500), "import", None, None)
    assert years[0].startswith("import, mean power by month")
    assert {len(line) <= 80 for line in year + years} == {True}
    hours = picture_lines(series("a", [5] * 23 + [500], minutes=60), "import", None, None)
    assert hours[2].endswith("██")


def test_a_store_is_checked_as_a_file_is_and_by_home(gappy: Path, capsys: Capture) -> None:
    done = call(capsys, "data", "check", gappy)
    assert done.code == 0
    assert "format     store" in done.out
    assert re.search(r"home ben: 96 intervals from 2026-06-06T00:00Z have no row", done.out)
    found = one_object(call(capsys, "data", "check", gappy, "--json").out)
    assert found["ok"] is True
    assert [one["coverage"] for one in found["homes"]] == [1, pytest.approx(1 - 99 / 1344)]
    assert {finding["code"] for finding in found["findings"]} == {"gap"}
    done = call(capsys, "data", "check", gappy, "--fuse-kw", "3")
    assert done.code == 3
    assert "2026-06-01T20:00Z: import_wh means 3.60 kW" in done.out


def test_a_repair_is_a_layer_that_undo_takes_away(gappy: Path, capsys: Capture) -> None:
    before = read_store(gappy)
    done = call(capsys, "data", "repair", gappy, "--policy", "same-weekday", "--dry-run")
    assert done.code == 0
    narrow(done.out)
    assert "Nothing was changed" in done.err
    assert read_store(gappy).manifest == before.manifest
    found = one_object(call(capsys, "data", "repair", gappy, "--policy", "same-weekday", "--json").out)
    assert found["made"] is True
    assert found["homes"]["ben"] == {
        "gaps": 2,
        "filled": 99,
        "left": 0,
        "added_wh": {"import": sum(DAY) + 300, "export": 0},
        "kept_wh": [],
        "not_kept_wh": [],
        "without_total": 2,
    }
    assert not (read_store(gappy).series[1].quality == MISSING).any()
    done = call(capsys, "data", "undo", gappy)
    assert done.code == 0
    assert "99 intervals of 1 home are as imported again" in done.out
    after = read_store(gappy)
    assert after.series[1].quality.tobytes() == before.series[1].quality.tobytes()
    assert after.series[1].energy["import"].tobytes() == before.series[1].energy["import"].tobytes()
    assert call(capsys, "data", "undo", gappy).code == 3


def test_energy_of_a_gap_that_the_user_states_is_kept(gappy: Path, capsys: Capture) -> None:
    window = ("--home", "ben", "--from", "2026-06-01T05:00", "--to", "2026-06-01T05:45")
    done = call(
        capsys,
        "data",
        "repair",
        gappy,
        "--policy",
        "interpolate",
        *window,
        "--known-kwh",
        "import=1.001",
        "--json",
    )
    ben = one_object(done.out)["homes"]["ben"]
    assert ben["added_wh"] == {"import": 1_001, "export": 0}
    assert [(one["channel"], one["wh"], one["by"]) for one in ben["kept_wh"]] == [("import", 1_001, "stated")]
    done = call(capsys, "data", "repair", gappy, "--policy", "zero", "--known-kwh", "import=1.0001")
    assert done.code == 2
    assert call(capsys, "data", "repair", gappy, "--policy", "zero", "--from", "June").code == 2


def test_what_a_counter_shows_over_a_gap_is_kept_and_named(tmp_path: Path, capsys: Capture) -> None:
    lines = ["timestamp,household,import_kwh,export_kwh"]
    for row in range(96):
        if not 40 <= row < 44 and row != 60:
            lines.append(f"2026-06-01T{row // 4:02}:{row % 4 * 15:02}Z,anna,{500 + row * 0.2:.1f},7")
    (tmp_path / "c.csv").write_text("\n".join(lines) + "\n")
    store = tmp_path / "s"
    assert call(capsys, "data", "import", tmp_path / "c.csv", "--kind", "counter", "--out", store).code == 0
    before = read_store(store)
    part = call(capsys, "data", "repair", store, "--policy", "zero", "--to", "2026-06-01T10:15Z", "--dry-run")
    narrow(part.out)
    said = " ".join(part.out.split())
    assert (
        "Not kept: import of anna from 2026-06-01T09:45Z to 2026-06-01T11:00Z is 1.000 kWh by its counter, and a part"
        " of it stays missing." in said
    )
    done = call(capsys, "data", "repair", store, "--policy", "zero")
    narrow(done.out)
    assert "Kept to the Wh over 2 gaps, as its counter shows: import 1.400 kWh" in " ".join(done.out.split())
    assert "No total is known" not in done.out
    assert read_store(store).series[0].total_wh("import") == 19_000
    assert [one.by for one in read_store(store).manifest.kept] == ["counter"] * 4
    assert call(capsys, "data", "undo", store).code == 0
    after = read_store(store)
    assert after.series[0].quality.tobytes() == before.series[0].quality.tobytes()
    assert after.series[0].energy["import"].tobytes() == before.series[0].energy["import"].tobytes()
    longer = tmp_path / "hours"
    assert call(capsys, "data", "resample", store, "--minutes", "60", "--out", longer).code == 0
    assert read_store(longer).manifest.known == ()
    assert call(capsys, "data", "assemble", store, "--out", tmp_path / "all").code == 0
    assert read_store(tmp_path / "all").manifest.known == before.manifest.known


def test_another_step_keeps_the_energy_and_nothing_is_overwritten(gappy: Path, capsys: Capture) -> None:
    found = one_object(
        call(capsys, "data", "resample", gappy, "--minutes", "60", "--out", "hours", "--json").out
    )
    assert found["energy_wh"]["anna"]["import"] == 14 * sum(DAY)
    assert load_store("hours").minutes == 60
    assert call(capsys, "data", "resample", gappy, "--minutes", "60", "--out", "hours").code == 3
    done = call(capsys, "data", "resample", "hours", "--minutes", "15", "--out", "quarters")
    assert done.code == 3
    assert "--profile flat" in done.err
    assert not Path("quarters").exists()
    assert (
        call(
            capsys, "data", "resample", "hours", "--minutes", "15", "--profile", "flat", "--out", "quarters"
        ).code
        == 0
    )
    assert load_store("quarters").import_wh.sum() == load_store(gappy).import_wh.sum()


def test_a_meter_is_known_again_in_a_store_of_another_step(capsys: Capture) -> None:
    call(
        capsys,
        "data",
        "import",
        write_vendor(Path("a.csv"), {EAN: [1, 2, 3, 4]}),
        "--out",
        "s",
        "--map",
        f"{EAN}=anna",
    )
    call(capsys, "data", "resample", "s", "--minutes", "30", "--out", "half")
    manifest = read_store(Path("half")).manifest
    assert manifest.meters[manifest.hash_of(EAN)] == "anna"


def test_export_and_import_again(gappy: Path, capsys: Capture) -> None:
    for name in ("out.csv", "out.parquet"):
        found = one_object(call(capsys, "data", "export", gappy, "--out", name, "--json").out)
        assert found["rows"] == 2 * 1_344
        assert call(capsys, "data", "export", gappy, "--out", name).code == 3
        assert call(capsys, "data", "import", name, "--out", f"{name}.store").code == 0
        for one, other in zip(
            read_store(Path(f"{name}.store")).series, read_store(gappy).series, strict=True
        ):
            assert one.quality.tolist() == other.quality.tolist()
            assert one.energy["import"].tolist() == other.energy["import"].tolist()
    assert call(capsys, "data", "export", gappy, "--out", "duckdb:a.db").code == 2
    assert call(capsys, "data", "export", gappy, "--out", "out.xlsx").code == 3


def test_homes_of_several_stores_become_a_neighbourhood_of_one_time(gappy: Path, capsys: Capture) -> None:
    later = write_plain_csv(Path("later.csv"), {"anna": DAY * 3}, "2026-06-13T00:00:00")
    imported(Path("other"), later)
    done = call(capsys, "data", "assemble", gappy, "other", "--out", "both")
    assert done.code == 3
    assert "both have a home anna: say --map other/anna=NAME" in done.err
    done = call(
        capsys,
        *["data", "assemble", gappy, "other", "--out", "both", "--scenario", "--map", "other/anna=cleo"],
        *["--battery", "cleo=10/5", "--pv", "ben=5.5", "--node", "anna=n1", "--json"],
    )
    found = one_object(done.out)
    assert found["homes"] == ["anna", "ben", "cleo"]
    assert (found["start"], found["end"]) == ("2026-06-13T00:00Z", "2026-06-15T00:00Z")
    assert found["intervals_cut"] == {"anna": 1_152, "ben": 1_152, "cleo": 96}
    homes = read_store(Path("both/meter.store")).manifest.homes
    battery = homes["cleo"].battery
    assert battery is not None
    assert (battery.capacity_wh, battery.charge_w, homes["ben"].pv_w, homes["anna"].node) == (
        10_000,
        5_000,
        5_500,
        "n1",
    )
    assert call(capsys, "validate", "both").code == 0
    text = Path("both/scenario.toml").read_text()
    assert '# "anna" = "n1"' in text
    assert "# [homes.pv." in text, "readings that show no sun may be consumption alone"
    done = call(
        capsys, "data", "assemble", gappy, "--out", "x", "--node", "nobody=n", "--battery", "anna=10/5"
    )
    assert done.code == 3
    assert "--node nobody: there is no such home" in done.err
    assert call(capsys, "data", "assemble", gappy, "--out", "x", "--battery", "anna=10").code == 2


def test_a_damaged_store_is_refused_by_every_command_in_words(gappy: Path, capsys: Capture) -> None:
    call(capsys, "new", "village", "--from-data", gappy)
    (gappy / "parts" / "0001.parquet").write_bytes(b"PAR1")
    for command in (
        ["data", "show", gappy],
        ["data", "check", gappy],
        ["data", "export", gappy, "--out", "x.csv"],
        ["data", "repair", gappy, "--policy", "zero"],
        ["data", "resample", gappy, "--minutes", "60", "--out", "x"],
        ["data", "assemble", gappy, "--out", "x"],
        ["data", "import", "gappy.csv", "--out", gappy],
        ["validate", "village"],
    ):
        done = call(capsys, *command)
        assert done.code == 3, command
        assert "parts/0001.parquet is not the file that was written" in done.out + done.err
    assert not Path("x").exists()


def test_a_folder_that_cannot_be_written_is_named(
    gappy: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = Path.open

    def refused(self: Path, *args: Any, **options: Any) -> Any:
        if self.name == "lock":
            raise PermissionError(13, "Permission denied", str(self))
        return usual(self, *args, **options)

    file = write_plain_csv(Path("b.csv"), {"cleo": [1, 2]})
    monkeypatch.setattr(Path, "open", refused)
    for out in (gappy, Path("new")):
        done = call(capsys, "data", "import", file, "--out", out)
        assert done.code == 3
        assert f"{out}/lock: Permission denied" in done.err
    assert not Path("new").exists()
    assert call(capsys, "data", "show", gappy).code == 0, "a reader needs no right to write"


def test_files_of_import_and_of_export_of_one_meter_are_said_to_be_beside_each_other(capsys: Capture) -> None:
    head = "From (date);From (time);Until (date);Until (time);EAN code;Meter;Meter type;Register;Volume;Unit"
    head += ";Validation status;Description"
    for name, register in (("in", "Offtake Day"), ("out", "Injection Day")):
        rows = [
            f'22/06/2025;0{h}:00:00;22/06/2025;0{h + 1}:00:00;="{EAN}";1SAG1;Digital meter;{register};0,{h}00;kWh;Read;'
            for h in range(1, 5)
        ]
        Path(f"{name}.csv").write_text("\n".join([head, *rows, ""]), encoding="utf-8")
    done = call(capsys, "data", "import", "in.csv", "out.csv", "--out", "s")
    assert done.code == 0, done.err
    assert "home-1: 2 files, channels beside each other" in done.out
    assert "one after the other" not in done.out
