"""data sniff and data recipe: what a file is, what is near to it, what has to be answered, and a draft."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from data.formats import FORMATS
from data.sniffing import sniff
from tests.kits.run_kit import call, one_object, refused
from tests.kits.unknown_kit import GERMAN

Capture = pytest.CaptureFixture[str]

NEAR_HOMEWIZARD = """time,Import T1 kWh,Import T2 kWh,Export T1 kWh,Export T2 kWh,Voltage L1 V
2026-01-13 00:00,8350.274,4650.277,3095.077,7450.128,230
2026-01-13 00:15,8350.385,4650.277,3095.077,7450.128,231
2026-01-13 00:30,8350.496,4650.277,3095.077,7450.128,229
"""
SPARE_S = 0.3
"""Most seconds that a sniff may take beyond the start of the program."""


@pytest.fixture
def german(tmp_path: Path) -> Path:
    path = tmp_path / "meter.csv"
    path.write_text(GERMAN, encoding="utf-8")
    return path


def test_a_known_file_is_named_with_its_reasons(street: Path, capsys: Capture) -> None:
    outcome = call(capsys, "data", "sniff", street / "meter.csv")
    assert (outcome.code, outcome.err) == (0, "")
    assert "format      plain" in outcome.out
    said = one_object(call(capsys, "data", "sniff", street / "meter.csv", "--json"))
    (one,) = said["files"]
    assert (one["format"], one["confidence"], one["needs"], one["candidates"]) == ("plain", 1.0, [], [])
    assert one["why"]


def test_an_unknown_file_has_the_nearest_formats_the_questions_and_the_way_out(
    german: Path, capsys: Capture
) -> None:
    outcome = call(capsys, "data", "sniff", german)
    assert outcome.code == 3
    assert "wattswap data recipe" in outcome.err
    assert "--stamp {start|end}" in outcome.out
    outcome = call(capsys, "data", "sniff", german, "--json")
    assert outcome.code == 3
    (one,) = json.loads(outcome.out)["files"]
    assert one["format"] == "generic"
    assert one["confidence"] < 0.8
    assert [need["option"] for need in one["needs"]] == ["--stamp", "--zone"]
    assert one["needs"][0]["choices"] == ["start", "end"]
    assert len(one["candidates"]) == 3
    assert all(near["format"] in FORMATS.all() and near["keeps"] for near in one["candidates"])


def test_the_nearest_format_comes_first_with_what_keeps_the_file_from_it(tmp_path: Path) -> None:
    path = tmp_path / "meter.csv"
    path.write_text(NEAR_HOMEWIZARD, encoding="utf-8")
    found = sniff(path)
    assert not found.recognised
    assert found.candidates[0].format == "homewizard"
    assert "Voltage L1 V" in " ".join(found.candidates[0].keeps)


def test_several_files_are_told_one_after_the_other(german: Path, street: Path, capsys: Capture) -> None:
    outcome = call(capsys, "data", "sniff", street / "meter.csv", german, "--json")
    assert outcome.code == 3
    assert [one["format"] for one in json.loads(outcome.out)["files"]] == ["plain", "generic"]
    refused(call(capsys, "data", "sniff", german, german.parent / "none.csv"), 3, "none.csv")


def test_a_file_of_a_folder_format_names_the_folder(tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "homes"
    folder.mkdir()
    (folder / "schema.json").write_text('{"buildings": {"Building_1": {}}}', encoding="utf-8")
    (folder / "Building_1.csv").write_text("month,hour,solar_generation\n7,24,0\n8,1,0\n", encoding="utf-8")
    outcome = call(capsys, "data", "sniff", folder / "Building_1.csv")
    assert outcome.code == 3
    assert f"give the folder, {folder}" in outcome.err
    assert call(capsys, "data", "sniff", folder).code == 0


@pytest.mark.parametrize(
    "content", [b"", b"\x00\x01\x02" * 99, b"<html>no table</html>", b"a\n" * 9, b"\xff\xfe\x00"]
)
def test_what_is_no_table_is_refused_in_words(content: bytes, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "odd.csv"
    path.write_bytes(content)
    outcome = call(capsys, "data", "sniff", path)
    assert outcome.code == 3
    assert re.search("ask for another export|ask for the export|export it again", outcome.err)
    refused(call(capsys, "data", "recipe", path), 3, "no recipe can be drafted")


def test_the_answers_are_options_of_data_check(german: Path, capsys: Capture) -> None:
    asked = call(capsys, "data", "check", german)
    assert asked.code == 3
    assert "--stamp {start|end}" in asked.out
    answers = ["--stamp", "end", "--zone", "Europe/Berlin"]
    read = call(capsys, "data", "check", german, *answers)
    assert read.code == 0, read.out
    assert "Fri 30 Jan 2026 23:00" in read.out
    out = german.parent / "mine.toml"
    call(capsys, "data", "recipe", german, "--out", out)
    by_recipe = call(capsys, "data", "check", german, "--recipe", out, *answers)
    assert by_recipe.code == 0, by_recipe.out
    assert "Fri 30 Jan 2026 23:00" in by_recipe.out
    refused(call(capsys, "data", "check", german, "--channel", "Netzbezug"), 2, "is not of the form")


def test_a_draft_is_printed_or_written_and_overwrites_nothing(german: Path, capsys: Capture) -> None:
    printed = call(capsys, "data", "recipe", german)
    assert printed.code == 0
    assert "# ASK whether a stamp" in printed.out
    assert "# ASK stamps have no UTC offset" in printed.out
    out = german.parent / "mine.toml"
    written = call(capsys, "data", "recipe", german, "--out", out)
    assert (written.code, written.out) == (0, f"{out}\n")
    assert out.read_text(encoding="utf-8") == printed.out
    refused(call(capsys, "data", "recipe", german, "--out", out), 3, "exists already")
    refused(call(capsys, "data", "recipe", german, "--out", german.parent / "no" / "x.toml"), 3, "no")


def test_a_large_file_is_sniffed_by_its_head_and_its_end(tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    head = GERMAN.splitlines()[0]
    with path.open("w", encoding="utf-8") as file:
        file.write(head + "\n")
        rows = [
            f"{d:02}.01.2026;{q // 4:02}:{q % 4 * 15:02};0,{q * 7 % 90};0\n"
            for d in range(1, 29)
            for q in range(96)
        ]
        block = "".join(rows)
        for _ in range(800):
            file.write(block)
        file.write("Summe;;1;0\n")
    assert path.stat().st_size > 50_000_000
    sniff(path)  # what is loaded once at the start of the program
    spent = []
    for _ in range(3):
        begun = time.process_time()
        found = sniff(path)
        spent.append(time.process_time() - begun)
    assert found.format == "generic"
    assert min(spent) <= SPARE_S
