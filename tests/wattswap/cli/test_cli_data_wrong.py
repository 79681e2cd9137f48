"""What a user gets wrong of a meter file, on the command line: said in words, and nothing is imported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.kits.run_kit import call

METERS = Path(__file__).resolve().parents[2] / "data" / "meters"
Capture = pytest.CaptureFixture[str]

HUB = """time,Import T1 kWh,Import T2 kWh,Export T1 kWh,Export T2 kWh
2022-09-01 00:00,8350.274,4650.277,3095.077,7450.128
2022-09-01 00:15,8350.385,4650.468,3095.078,7450.301
2022-09-01 00:30,8350.705,4650.591,3095.197,7450.502
2022-09-01 00:45,8350.905,4650.991,3095.297,7450.602
"""
BELGIAN = """From (date);From (time);Until (date);Until (time);EAN code;Meter;Meter type;Register;Volume;Unit;\
Validation status;Description
01/09/2022;00:00:00;01/09/2022;00:15:00;="541448800000000001";1SAG1100000001;Digital meter;Offtake Night;0,100;kWh;Read;
01/09/2022;00:15:00;01/09/2022;00:30:00;="541448800000000001";1SAG1100000001;Digital meter;Offtake Night;0,200;kWh;Read;
01/09/2022;00:30:00;01/09/2022;00:45:00;="541448800000000001";1SAG1100000001;Digital meter;Offtake Night;0,300;kWh;Read;
"""


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    Path("hub.csv").write_text(HUB)
    Path("belgian.csv").write_text(BELGIAN)


def imported(capsys: Capture, *arguments: str) -> tuple[int, str]:
    """Exit code and words of an import that must leave nothing behind."""
    done = call(capsys, "data", "import", *arguments, "--out", "street.store")
    assert not Path("street.store").exists()
    assert done.out == ""
    return done.code, " ".join(done.err.split())


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        (
            "--channel",
            "Import T1 kWh=imprt",
            "'imprt', given for 'Import T1 kWh', is no channel; did you mean 'import'?",
        ),
        ("--channel", "Export T1 kWh=-exprt", "did you mean 'export'?"),
        ("--encoding", "utf-99", "no code page 'utf-99'"),
        ("--encoding", "base64", "no code page 'base64'"),
        ("--unit", "kwh", "'kwh' is not one of 'Wh', 'kWh'"),
    ],
)
def test_a_typo_in_an_answer_is_no_answer(option: str, value: str, says: str, capsys: Capture) -> None:
    code, words = imported(capsys, "hub.csv", "--zone", "Europe/Amsterdam", option, value)
    assert code == 2
    assert says in words


@pytest.mark.parametrize(
    ("option", "value"),
    [("--unit", "MWh"), ("--stamp", "end"), ("--dates", "mdy"), ("--channel", "Import T9=import")],
)
def test_an_answer_to_what_no_file_asks_is_refused(option: str, value: str, capsys: Capture) -> None:
    code, words = imported(capsys, "hub.csv", "--zone", "Europe/Amsterdam", option, value)
    assert code == 3
    assert f"{option} {value} changes nothing: hub.csv" in words


def test_a_unit_that_the_head_of_an_unknown_file_contradicts_is_refused(
    tmp_path: Path, capsys: Capture
) -> None:
    """Found by hand: the head said kWh and `--unit` kW, so kWh were read and kW recorded as the answer."""
    hours = [f"2025-01-{day:02} {hour:02}" for day in (1, 2, 3) for hour in range(24)]
    quarters = [f"{hour}:{minute:02}" for hour in hours for minute in (0, 15, 30, 45)]
    for head, code in (("kWh", 3), ("load", 0)):
        path = tmp_path / f"{head}.csv"
        rows = [f"{at},{(i * 7 % 5 + 1) / 10}" for i, at in enumerate(quarters)]
        path.write_text("\n".join([f"time,{head}", *rows]) + "\n")
        given = ("--zone", "Europe/Berlin", "--unit", "kW", "--channel", f"{head}=import", "--stamp", "start")
        done = call(capsys, "data", "import", str(path), "--out", str(tmp_path / f"{head}.store"), *given)
        assert done.code == code
        assert (f"--unit kW changes nothing: {head}.csv" in done.err) == (code == 3)


def test_an_answer_that_changes_a_file_is_taken(capsys: Capture) -> None:
    done = call(
        capsys,
        *("data", "import", "hub.csv", "--out", "street.store", "--zone", "Europe/Amsterdam"),
        *("--channel", "Import T1 kWh=ignore", "--json"),
    )
    assert done.code == 0, done.out
    energy = json.loads(done.out)["homes"][0]["energy_wh"]
    assert energy == {"import": 714, "export": 694}  # of the second registers, and of both of export


def test_the_zone_of_one_file_does_not_move_another(capsys: Capture) -> None:
    code, words = imported(capsys, "hub.csv", "belgian.csv", "--zone", "Europe/London")
    assert code == 3
    assert "belgian.csv is read in Europe/London, and fluvius has the clock of Europe/Brussels" in words
    assert "by a command of their own, into the same --out" in words


def test_a_zone_of_the_same_clock_is_good_for_both(capsys: Capture) -> None:
    done = call(
        capsys,
        "data",
        "import",
        "hub.csv",
        "belgian.csv",
        "--zone",
        "Europe/Amsterdam",
        "--out",
        "street.store",
    )
    assert done.code == 0, done.err
    assert "zone: Europe/Amsterdam (the format itself: Europe/Brussels)" in done.out
    assert "zone: Europe/Brussels, as the format lays down" not in done.out


def test_a_zone_that_nobody_gave_is_said_to_be_of_the_format(capsys: Capture) -> None:
    done = call(capsys, "data", "import", "belgian.csv", "--out", "street.store")
    assert done.code == 0, done.err
    assert "zone: Europe/Brussels, as the format lays down" in done.out


@pytest.mark.parametrize("command", ["sniff", "check", "show", "recipe"])
def test_a_missing_file_is_one_object_too(command: str, capsys: Capture) -> None:
    done = call(capsys, "data", command, "none.csv", "--json")
    assert (done.code, done.err) == (3, "")
    assert json.loads(done.out)["error"]["message"] == "no file or folder 'none.csv'; check the path"


def test_undo_without_a_repair_is_no_mistake_of_the_command_line(capsys: Capture) -> None:
    arguments = ("data", "import", "hub.csv", "--zone", "Europe/Amsterdam", "--out", "street.store")
    assert call(capsys, *arguments).code == 0
    done = call(capsys, "data", "undo", "street.store")
    assert done.code == 3
    assert "has no repair that could be taken away" in done.err


def test_a_draft_of_a_recipe_is_one_object_too(capsys: Capture) -> None:
    Path("odd.csv").write_text("Tag;Uhrzeit;Bezug in kWh\n01.09.2022;00:00;0,1\n01.09.2022;00:15;0,2\n" * 1)
    done = call(capsys, "data", "recipe", "odd.csv", "--json")
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert found["recipe"].startswith(("#", "contract"))
    assert "--zone" in {one["option"] for one in found["needs"]}


def test_a_new_scenario_is_one_object_too(capsys: Capture) -> None:
    arguments = ("data", "import", "hub.csv", "--zone", "Europe/Amsterdam", "--out", "street.store")
    assert call(capsys, *arguments).code == 0
    done = call(capsys, "new", "street", "--from-data", "street.store", "--json")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out) == {"folder": "street", "written": ["street/scenario.toml"]}


def test_a_file_of_one_home_is_named_by_its_file(capsys: Capture) -> None:
    done = call(capsys, "data", "import", "belgian.csv", "--out", "street.store", "--map", "belgian.csv=anna")
    assert done.code == 0, done.err
    assert "3 rows of anna" in done.out


def test_a_question_can_be_copied_to_the_command_line(capsys: Capture) -> None:
    Path("consumption.csv").write_text(
        "Consumption (kwh), Start, End\n"
        "0.25, 2024-10-27T00:30:00+01:00, 2024-10-27T01:00:00+01:00\n"
        "0.25, 2024-10-27T01:00:00+01:00, 2024-10-27T01:30:00+01:00\n"
    )
    code, words = imported(capsys, "consumption.csv")
    assert code == 3
    assert 'say --channel "Consumption (kwh)"={import|export' in words


def test_a_column_that_is_called_by_a_number_of_a_meter_is_in_no_store(capsys: Capture) -> None:
    column = "AT0051000000000000000000000000001 ab 21.02.2024 23:30"
    Path("ikb.csv").write_text((METERS / "at_ikb_2024" / "IKB.csv").read_text())
    done = call(capsys, "data", "import", "ikb.csv", "--out", "street.store", "--channel", f"{column}=import")
    assert done.code == 0, done.err
    assert "AT0051" not in done.out + done.err + Path("street.store/manifest.json").read_text()
