"""What rows mean: words that choose channels, units, factors, signs, wide files, idle tariffs; and what is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.formats import FORMATS, claims_on, read, recognise
from data.intake.claims import RECOGNISED
from data.intake.file import MeterFile
from data.intake.raw import Hints
from data.recipes.toml import recipe_to_toml
from tests.kits.recipe_kit import UTC, codes, given, imported, own, try_text

HEAD = 'contract = 1\ntitle = "t"\nabout = "a"\n'
LONG = (
    HEAD
    + """
[columns]
time = "time"
what = "what"
energy = "energy"
unit = "unit"
factor = "factor"
[stamp]
column = "time"
is = "start"
[[value]]
column = "energy"
unit_column = "unit"
factor_column = "factor"
by = "what"
channels = {{ In = "import", Out = "-export", Cost = "ignore" }}
"""
)
T0, T1 = "2026-01-01 00:00", "2026-01-01 00:30"


def long(*rows: str) -> str:
    return "time,what,energy,unit,factor\n" + "".join(f"{row}\n" for row in rows)


def test_words_units_factors_and_signs(tmp_path: Path) -> None:
    content = long(
        f"{T0},in,1.5,kWh,1",
        f"{T0},OUT,-250,Wh,1",
        f"{T0},Cost,9,kWh,1",
        f"{T1},in,2000,kwh,0.001",
        f"{T1},Out,-0.001,MWH,1",
    )
    reading = try_text(tmp_path / "m.csv", content, own(instead=LONG))
    assert imported(reading) == [1500, 2000]
    assert reading.data is not None
    assert reading.data.export_wh[:, 0].tolist() == [250, 1000]
    assert "rows of 'Cost' are not read" in reading.data.source.notes


def test_a_word_that_is_not_known_is_asked_about_and_can_be_answered(tmp_path: Path) -> None:
    content = long(f"{T0},in,1,kWh,1", f"{T0},Solar,1,kWh,1", f"{T1},in,1,kWh,1", f"{T1},Solar,2,kWh,1")
    reading = try_text(tmp_path / "m.csv", content, own(instead=LONG))
    assert [question.option for question in reading.questions] == ["--channel Solar"]
    said = try_text(
        tmp_path / "m.csv", content, own(instead=LONG), Hints(zone="UTC", channels={"solar": "pv"})
    )
    assert said.data is not None
    assert said.data.sub_meters["pv"][:, 0].tolist() == [1000, 2000]


@pytest.mark.parametrize("unit", ["m3", "kVArh", "EUR", "", "kW h", "k", "mW"])
def test_a_unit_that_is_not_exactly_one_of_energy_is_refused(tmp_path: Path, unit: str) -> None:
    assert codes(
        try_text(tmp_path / "m.csv", long(f"{T0},in,1,{unit},1", f"{T1},in,1,kWh,1"), own(instead=LONG))
    ) == {"unit"}


def test_energy_and_power_in_one_column_are_refused(tmp_path: Path) -> None:
    content = long(f"{T0},in,1,kW,1", f"{T1},in,1,kWh,1")
    assert codes(try_text(tmp_path / "m.csv", content, own(instead=LONG))) == {"unit"}


def test_a_factor_that_is_no_number_is_an_error(tmp_path: Path) -> None:
    content = long(f"{T0},in,1,kWh,x", f"{T1},in,1,kWh,1")
    assert "not_a_number" in codes(try_text(tmp_path / "m.csv", content, own(instead=LONG)))


ENDS = "time,energy\n2026-01-01 00:30,1\n2026-01-01 01:00,2\n"


def test_what_a_recipe_leaves_open_is_asked_all_at_once(tmp_path: Path) -> None:
    recipe = (
        HEAD
        + '[columns]\ntime = "time"\nenergy = "energy"\n[stamp]\ncolumn = "time"\n[[value]]\ncolumn = "energy"\n'
    )
    reading = try_text(tmp_path / "m.csv", ENDS, own(instead=recipe), Hints())
    assert {question.option for question in reading.questions} == {"--channel energy", "--unit", "--stamp"}
    hints = Hints(zone="UTC", unit="kW", stamp="end", channels={"Energy": "import"})
    said = try_text(tmp_path / "m.csv", ENDS, own(instead=recipe), hints)
    assert imported(said) == [500, 1000]
    assert said.data is not None
    assert said.data.start_s == 1767225600


WIDE = (
    HEAD
    + """
zone = "Europe/Berlin"
[columns]
day = "day"
[stamp]
column = "day"
format = "%Y-%m-%d"
is = "{ends}"
[times]
pattern = '(?P<time>\\d+:\\d\\d)'
[[value]]
unit = "kWh"
channel = "import"
"""
)


def wide(ends: str, cells: dict[str, str], day: str) -> str:
    hours = [f"{h}:00" for h in range(24)] if ends == "start" else [f"{h % 24}:00" for h in range(1, 25)]
    return f"day,{','.join(hours)}\n{day},{','.join(cells.get(hour, '0') for hour in hours)}\n"


def test_the_last_column_of_ends_is_the_end_of_the_day(tmp_path: Path) -> None:
    recipe = own(instead=WIDE.replace("{ends}", "end"))
    reading = try_text(
        tmp_path / "m.csv", wide("end", {"1:00": "1", "0:00": "2"}, "2026-01-01"), recipe, Hints()
    )
    assert imported(reading) == [1000, *[0] * 22, 2000]
    assert reading.data is not None
    assert reading.data.start_s == 1767222000


def test_a_column_for_an_hour_that_the_clock_jumps_over_is_left_out_where_it_is_empty(tmp_path: Path) -> None:
    recipe = own(instead=WIDE.replace("{ends}", "start"))
    for cell in ("", "0"):
        reading = try_text(
            tmp_path / "m.csv", wide("start", {"2:00": cell, "3:00": "1"}, "2026-03-29"), recipe, Hints()
        )
        assert imported(reading) == [0, 0, 1000, *[0] * 20]
    energy = try_text(tmp_path / "m.csv", wide("start", {"2:00": "0.5"}, "2026-03-29"), recipe, Hints())
    assert codes(energy) == {"impossible_time"}


IDLE = (
    HEAD
    + """
[columns]
time = "time"
high = "high"
low = "low"
[stamp]
column = "time"
is = "start"
[[value]]
column = "high"
unit = "kWh"
channel = "import.high"
empty = "zero"
[[value]]
column = "low"
unit = "kWh"
channel = "import.low"
empty = "zero"
"""
)


def test_an_idle_tariff_is_zero_and_two_idle_ones_are_no_reading(tmp_path: Path) -> None:
    content = f"time,high,low\n{T0},1,\n{T1},,2\n2026-01-01 01:00,,\n2026-01-01 01:30,1,1\n"
    reading = try_text(tmp_path / "m.csv", content, own(instead=IDLE))
    assert imported(reading) == [1000, 2000, 0, 2000]
    assert reading.data is not None
    assert reading.data.quality[:, 0].tolist() == [0, 0, 2, 0]


def test_rows_of_other_words_are_left_out_or_refuse_the_file(tmp_path: Path) -> None:
    content = f"time,energy,kind\n{T0},1,E\n{T0},7,G\n{T1},2,E\n"
    only = own(columns='kind = "kind"', value='[rows]\nonly = { kind = "e" }')
    assert imported(try_text(tmp_path / "m.csv", content, only)) == [1000, 2000]
    refuse = own(
        columns='kind = "kind"',
        value='[rows]\nrefuse = [{ column = "kind", words = "G", says = "it holds gas", code = "gas" }]',
    )
    reading = try_text(tmp_path / "m.csv", content, refuse)
    assert codes(reading) == {"gas"}
    assert "it holds gas" in reading.findings[0].message


def test_a_state_that_no_recipe_names_is_an_error(tmp_path: Path) -> None:
    content = f"time,energy,state\n{T0},1,ok\n{T1},2,odd\n"
    quality = '[quality]\ncolumn = "state"\nmeasured = "ok"'
    assert codes(try_text(tmp_path / "m.csv", content, own(columns='state = "state"', value=quality))) == {
        "unknown_quality"
    }
    other = own(columns='state = "state"', value=f'{quality}\nother = "estimated"')
    reading = try_text(tmp_path / "m.csv", content, other)
    assert reading.data is not None
    assert reading.data.quality[:, 0].tolist() == [0, 1]


def test_columns_of_one_thing_are_told_apart_by_what_their_names_say(tmp_path: Path) -> None:
    recipe = (
        HEAD
        + """
meters = "name"
[columns]
time = "time"
energy = '/(?P<meter>house \\d) \\((?P<unit>.+)\\)/'
[stamp]
column = "time"
is = "start"
[[value]]
column = "energy"
channel = "import"
"""
    )
    content = f"time,House 1 (kWh),House 2 (Wh)\n{T0},1,20\n{T1},2,30\n"
    reading = try_text(tmp_path / "m.csv", content, own(instead=recipe))
    assert reading.data is not None
    assert reading.data.households == ("House 1", "House 2")
    assert (imported(reading), imported(reading, 1)) == ([1000, 2000], [20, 30])
    odd = try_text(tmp_path / "m.csv", content.replace("(Wh)", "(therm)"), own(instead=recipe))
    assert codes(odd) == {"unit"}


def test_a_column_that_a_recipe_does_not_know_keeps_it_from_being_sure(tmp_path: Path) -> None:
    path = given(tmp_path / "m.csv", f"time,energy,colour\n{T0},1,red\n{T1},2,red\n")
    claim = own().sniff(MeterFile(path))
    assert claim.confidence <= 0.7
    assert any("'colour'" in why for why in claim.why)
    assert codes(read(path, own(), UTC)) == {"unknown_column"}
    assert own(columns='ignore = "col*"').sniff(MeterFile(path)).confidence <= 0.7
    assert own(columns='ignore = "/col.*/"').sniff(MeterFile(path)).confidence == 1


def test_a_file_without_a_header_is_not_sure(tmp_path: Path) -> None:
    path = given(tmp_path / "m.csv", f"{T0},1\n{T1},2\n")
    format = own(file='header = ["time", "energy"]')
    assert format.sniff(MeterFile(path)).confidence < RECOGNISED
    assert imported(read(path, format, UTC)) == [1000, 2000]


def test_two_equal_headers_are_told_apart_by_their_number(tmp_path: Path) -> None:
    path = given(tmp_path / "m.csv", f"time,energy,energy\n{T0},1,5\n{T1},2,6\n")
    assert own().sniff(MeterFile(path)).confidence <= 0.7
    assert imported(read(path, own(columns='ignore = "energy (2)"'), UTC)) == [1000, 2000]


@pytest.mark.parametrize(
    "name", sorted(n for n, f in FORMATS.all().items() if FORMATS.origin(n) == "data.formats.tables")
)
def test_a_vendor_recipe_says_where_it_was_found_and_shows_a_file_that_it_claims(
    name: str, tmp_path: Path
) -> None:
    format = FORMATS.get(name)
    assert format.source
    path = given(
        tmp_path / "sample.csv",
        format.sample.lstrip("\n") if name != "energie_manager_online" else format.sample,
    )
    claims = claims_on(MeterFile(path))
    assert [other for other, claim in claims.items() if claim.confidence >= RECOGNISED] == [name]
    assert recognise(path) is format


def test_every_vendor_recipe_is_written_as_it_was_read() -> None:
    from importlib.resources import files

    from data.recipes.toml import recipe_from_toml

    folder = [
        entry for entry in (files("data.recipes") / "vendors").iterdir() if entry.name.endswith(".toml")
    ]
    assert len(folder) > 20
    for entry in folder:
        recipe = recipe_from_toml(entry.read_text(encoding="utf-8"))
        assert recipe_from_toml(recipe_to_toml(recipe)) == recipe, entry.name
