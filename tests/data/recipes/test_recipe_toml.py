"""A recipe is read from TOML and written back as it was; of a bad one every mistake is named."""

from __future__ import annotations

import pytest

from data.errors import InvalidRecipe
from data.recipes.model import Holds, holds
from data.recipes.toml import recipe_from_toml, recipe_to_toml

FULL = r"""
contract = 1
title = "Mijn Example"
about = "Quarter hours by register; local time of Brussels."
country = "BE"
source = "the manual of the meter"
sample = '''
Van;Tot;EAN;Register;Volume;Eenheid
01-01-2024 00:00;01-01-2024 00:15;="12";Afname Dag;0,1;kWh
'''
meters = "id"
zone = "Europe/Brussels"

[file]
encoding = "cp1252"
separator = ";"
decimal = ","
thousands = "."
end = "^Total"
skip = "^---"
units_row = true

[columns]
from_time = ["Van", "From"]
until_time = "Tot"
ean = ["EAN"]
register = ["Register"]
volume = ["Volume", '/Volume \((?P<unit>\w+)\)/']
unit = ["Eenheid"]
state = ["Status"]
ignore = ["Meter", "/Kosten.*/"]

[stamp]
column = "from_time"
format = ["%d-%m-%Y %H:%M", "iso"]
is = "start"
language = "nl"
until = ["until_time"]
minutes = 15
clock = "standard"

[meter]
column = "ean"

[[value]]
column = "volume"
unit_column = "unit"
by = "register"
channels = { "Afname Dag" = "import.day", "Injectie \"Dag\"" = "-export.day", "Piek" = "ignore" }
kind = "counter"
factor = 0.001
sign = -1
empty = "zero"
missing = ["Null", ""]
optional = true

[quality]
column = "state"
measured = ["Uitgelezen"]
missing = [""]
other = "estimated"

[rows]
omitted = "zero"
only = { unit = ["kWh", "MWh"] }
refuse = [{ column = "unit", words = ["m3"], says = "this is gas", code = "gas" }]

[[preamble]]
find = 'Unite;(?P<unit>\w+)'
required = true

[[preamble]]
find = "^Gas"
refuse = "this is gas"
"""

SMALL = """
contract = 1
title = "t"
about = "a"
[columns]
time = "Time"
energy = "Energy"
[stamp]
column = "time"
is = "start"
[[value]]
column = "energy"
unit = "kWh"
channel = "import"
"""


@pytest.mark.parametrize("text", [FULL, SMALL])
def test_a_recipe_is_written_as_it_was_read(text: str) -> None:
    recipe = recipe_from_toml(text)
    assert recipe_from_toml(recipe_to_toml(recipe)) == recipe


def test_each_key_fills_its_field() -> None:
    recipe = recipe_from_toml(FULL)
    assert recipe.stamp.ends == "start"
    assert recipe.stamp.column == ("from_time",)
    assert recipe.stamp.format == ("%d-%m-%Y %H:%M", "iso")
    assert recipe.ignore == ("Meter", "/Kosten.*/")
    assert "ignore" not in recipe.columns
    (value,) = recipe.values
    assert value.channels['Injectie "Dag"'] == "-export.day"
    assert (value.factor, value.sign, value.empty, value.missing) == (0.001, -1, "zero", ("Null", ""))
    assert recipe.rows.refuse[0].code == "gas"
    assert recipe.preamble[1].refuse == "this is gas"


BAD = [
    ("contract = 1", "contract = 2", "contract = 2: write contract = 1"),
    ("contract = 1", "", "contract = None: write contract = 1"),
    ('title = "t"', "", "title is missing"),
    ('about = "a"', 'abouts = "a"', "abouts: no such key. Did you mean 'about'?"),
    ('unit = "kWh"', 'unit = "kwh"', "value[1].unit = 'kwh': write one of"),
    ('unit = "kWh"', 'unit = "kwh"', "Did you mean 'kWh'?"),
    ('channel = "import"', 'channel = "Import"', "value[1].channel = 'Import': write a channel as in"),
    (
        'channel = "import"',
        'channels_ = "import"',
        "value[1].channels_: no such key. Did you mean 'channels'?",
    ),
    ('column = "energy"', 'column = "enregy"', "value[1].column = 'enregy': no such name in [columns]"),
    ('is = "start"', 'is = "begin"', "stamp.is = 'begin': write one of"),
    ('is = "start"', "minutes = 7", "stamp.minutes = 7: write one of"),
    ('is = "start"', 'format = "dd.mm"', "stamp.format = 'dd.mm': write a layout"),
    ('is = "start"', 'clock = "CET"', "stamp.clock = 'CET': write"),
    ('is = "start"', 'position = "time"', "stamp.minutes is missing"),
    (
        "[stamp]",
        "[times]\npattern = '(?P<hour>x)'\n[stamp]",
        "times.pattern = '(?P<hour>x)': it needs one group",
    ),
    ("[stamp]", '[file]\nencoding = "x-y"\n[stamp]', "file.encoding = 'x-y': write the name of an encoding"),
    ("[stamp]", '[file]\nthousands = "."\n[stamp]', "file.thousands = '.': that is the decimal sign"),
    ("[stamp]", "[sheets]\n[stamp]", "sheets: no such key."),
    ("[[value]]", "[value]", "value must be written [[value]]"),
    ('energy = "Energy"', 'energy = "/(/"', "columns.energy = '/(/': no pattern"),
    ('title = "t"', 'title = "t"\nzone = "Europe/Berln"', "zone = 'Europe/Berln': no time zone"),
    ('title = "t"', 'title = "t"\nmeters = "id"', "[meter] column is missing"),
    ('unit = "kWh"', 'unit = "kWh"\nunit_column = "time"', "give one of them"),
    ('unit = "kWh"', 'unit = "kW"\nkind = "counter"', "power, which no counter shows"),
    ('unit = "kWh"', 'unit = "kWh"\nfactor = 0', "value[1].factor = 0: write a number that is not 0"),
    ('unit = "kWh"', 'unit = "kWh"\nby = "time"', "give one of them"),
    ('channel = "import"', 'by = "time"', "value[1].channels is missing"),
]


@pytest.mark.parametrize(("old", "new", "says"), BAD)
def test_a_mistake_is_named_by_its_key(old: str, new: str, says: str) -> None:
    assert old in SMALL
    with pytest.raises(InvalidRecipe) as caught:
        recipe_from_toml(SMALL.replace(old, new, 1))
    assert any(says in problem for problem in caught.value.problems), caught.value.problems


def test_all_mistakes_are_named_at_once() -> None:
    text = SMALL.replace("kWh", "kwh").replace('is = "start"', 'is = "begin"').replace("title", "tilte")
    with pytest.raises(InvalidRecipe) as caught:
        recipe_from_toml(text)
    problems = " ".join(caught.value.problems)
    assert all(key in problems for key in ("value[1].unit", "stamp.is", "tilte", "title is missing"))


def test_what_is_no_toml_is_said() -> None:
    with pytest.raises(InvalidRecipe, match="it is no TOML"):
        recipe_from_toml("title = ")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("import", Holds("import")),
        ("export.night", Holds("export", "night")),
        ("import.T1", Holds("import", "T1")),
        ("-net", Holds("net", "", -1)),
        ("ignore", Holds("ignore")),
        ("-ignore", None),
        ("ignore.x", None),
        ("Import", None),
        ("", None),
        ("a b", None),
    ],
)
def test_a_channel_is_read_as_it_is_written(text: str, wanted: Holds | None) -> None:
    assert holds(text) == wanted
