"""Mistakes in scenario files: each is named with its line, its key and the cure.

A case is TOML laid over a minimal scenario. The comment `#! KEY | PHRASE` is on the line that must be
named, with the key path (empty where the file is not TOML) and a phrase of the sentence.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.kits.sample_kit import some
from tests.kits.scenario_kit import DATA, HEAD, KNOWN, MINIMAL, TARIFF, read, refused
from wattswap.errors import InvalidScenario
from wattswap.scenario.load import load
from wattswap.scenario.problems import key_paths, unknown_key

IN_TARIFF = r"""
feed_in = 0                             #! tariff.feed_in | 'feed_in_per_kwh' or 'feed_in_series'

solver = "highs"                        #! tariff.solver | did you mean 'market.solver'?

grid_fee_local_per_kwh = -0.01          #! tariff.grid_fee_local_per_kwh | the smallest is 0

levy_local_per_kwh = -0.01              #! tariff.levy_local_per_kwh | the smallest is 0

levy_per_kwh = 0.01                     #! tariff.levy_per_kwh | did you mean 'levy_local_per_kwh'

vat = 19                                #! tariff.vat | did you mean 'vat_percent'

vat_percent = 119                       #! tariff.vat_percent | the largest is 100

vat_percent = 19.00001                  #! tariff.vat_percent | finer than a ten-thousandth of a percent

vat_percent = "19 %"                    #! tariff.vat_percent | 19 for a key in percent, 0.19 for a share

vat_percent = 19 %                      #!  | write a number alone: 19 for a key in percent

standing_charge = 0.3                   #! tariff.standing_charge | did you mean 'standing_per_day'

standing_per_day = -0.3                 #! tariff.standing_per_day | the smallest is 0

peak_per_kw = 3                         #! tariff.peak_per_kw | did you mean 'peak_per_kw_month'

peak_per_kw_month = 1e7                 #! tariff.peak_per_kw_month | the largest is 1000000

import_series = "."                     #! tariff.import_series | excludes import_per_kwh

feed_in_series = "."                    #! tariff.feed_in_series | excludes feed_in_per_kwh

zone = "europe/berlin"                  #! tariff.zone | did you mean 'Europe/Berlin'?

zone = "../../etc/passwd"               #! tariff.zone | no time zone

time_of_use = 3                         #! tariff.time_of_use | must be a list, not a whole number

[[tariff.time_of_use]]                  #! tariff.time_of_use | need a time zone
from = "07:00"
to = "22:00"
import_per_kwh = 1

zone = "UTC"
[[tariff.time_of_use]]
from = 7                                #! tariff.time_of_use[0].from | write "07:00"
to = "22:00"
import_per_kwh = 1

zone = "UTC"
[[tariff.time_of_use]]                  #! tariff.time_of_use[0].import_per_kwh | is missing
from = "07:00"
to = "22:00"

zone = "UTC"
[[tariff.time_of_use]]
days = "mon-fry"                        #! tariff.time_of_use[0].days | Did you mean 'fri'?
from = "07:00"
to = "22:00"
import_per_kwh = 1

zone = "UTC"
time_of_use = [
{ from = "07:00", to = "09:00", import_per_kwh = 1 },
{ import_per_kwh = 1, from = "10:00", to = "1O:00" }, #! tariff.time_of_use[1].to | not a time of day
]

zone = "UTC"
[[tariff.time_of_use]]                  #! tariff.time_of_use | two windows cover tue 08:00
from = "07:00"
to = "09:00"
import_per_kwh = 1
[[tariff.time_of_use]]
days = "tue"
from = "08:00"
to = "10:00"
import_per_kwh = 1

zone = "UTC"
[[tariff.time_of_use]]
from = "07:00"
to = "07:00"                            #! tariff.time_of_use[0].to | empty window
import_per_kwh = 1

feed_in_per_kwh = 1                     #!  | not valid TOML
"""

TABLES = r"""
[markt]                                 #! markt | did you mean 'market'?
k = 0.5

[data]                                  #! data | names no meter data

[data]
sample = "street"
path = "."                              #! data.path | excludes sample

[data]
sample = "stret"                        #! data.sample | did you mean 'street'?

[data]
sample = "street"
format = "plain"                        #! data.format | no effect on a bundled sample

[data]
path = "gone.csv"                       #! data.path | no file or folder 'gone.csv'

[data]
path = ""                               #! data.path | no file or folder ''

[data]
path = "."
format = "plane"                        #! data.format | did you mean 'plain'?

[data]
path = 3                                #! data.path | must be text in quotes, not a whole number (3)

[data]
sample = "street"
households = []                         #! data.households | at least one home

[data]
sample = "street"
households = ["a", "a"]                 #! data.households | 'a' twice

[data]
sample = "street"
households = "a"                        #! data.households | must be a list, not text

[data]
sample = "street"
households = [
  'a',
  3]                                    #! data.households[1] | must be text

[tariff]
import_per_kwh = "0.3"                  #! tariff.import_per_kwh | must be a number, not text
feed_in_per_kwh = 0

[tariff]
import_per_kwh = 0.3200001              #! tariff.import_per_kwh | is finer than a millionth
feed_in_per_kwh = 0

[tariff]
import_per_kwh = 0.32000000000000000000000000000000000000001 #! tariff.import_per_kwh | is finer than
feed_in_per_kwh = 0

[tariff]
import_per_kwh = nan                    #! tariff.import_per_kwh | not a usable number
feed_in_per_kwh = 0

[tariff]
import_per_kwh = -inf                   #! tariff.import_per_kwh | not a usable number
feed_in_per_kwh = 0

[tariff]
import_per_kwh = 1e999999               #! tariff.import_per_kwh | is too large
feed_in_per_kwh = 0

[tariff]                                #! tariff | has no feed-in price
import_per_kwh = 0.3

[tariff]                                #! tariff | has no import price
feed_in_per_kwh = 0.3

[tariff]
import_per_kwh = 1
feed_in_series = "p.csv"                #! tariff.feed_in_series | no file or folder 'p.csv'

[tariff]
feed_in_per_kwh = 0
zone = "UTC"
[[tariff.time_of_use]]                  #! tariff.time_of_use | no window covers mon 06:00
from = "07:00"
to = "06:00"
import_per_kwh = 1

[time]
start = "2016-06-06"                    #! time.start | without quotes

[time]
start = 2016-06-06                      #! time.start | without a zone

[time]
start = 2016-06-06T00:15:00Z            #! time.start | not on a 30-minute boundary
interval_minutes = 30

[time]
start = 1869-06-06T00:00:00Z            #! time.start | between the years 1970 and 2200

[time]
start = 0001-01-01                      #! time.start | between the years 1970 and 2200
zone = "Europe/Berlin"

[time]
start = 2016-06-06T00:00:00.5Z          #! time.start | fraction of a second

[time]
start = 07:00:00                        #! time.start | must be a date

[time]
start = 2016-03-27T02:30:00             #! time.start | the clock skips it
zone = "Europe/Berlin"

[time]
start = 2016-10-30T02:30:00             #! time.start | happens twice
zone = "Europe/Berlin"

[time]
start = 2016-06-06T00:00:00Z
end = 2016-06-05T00:00:00Z              #! time.end | at or before the start

[time]
start = 2016-06-06T00:00:00Z
end = 2116-06-05T00:00:00Z              #! time.end | more than 3660 days

[time]
start = 2199-06-06T00:00:00Z
days = 3000                             #! time.days | between the years 1970 and 2200

[time]
days = 1
intervals = 96                          #! time.intervals | excludes days

[time]
days = 0                                #! time.days | 0 is too small; the smallest is 1

[time]
days = 0.5                              #! time.days | must be a whole number

[time]
days = 1_000_000                        #! time.days | the largest is 3660

[time]
days = 99999999999999999999999999       #! time.days | too large

[time]
interval_minutes = 10                   #! time.interval_minutes | known: 5, 15, 30, 60

[time]
interval_minutes = true                 #! time.interval_minutes | true is not a choice

[market]
k = 1.000001                            #! market.k | the largest is 1

[market]
k = true                                #! market.k | must be a number, not true or false

[market]
mechanizm = "x"                         #! market.mechanizm | did you mean 'mechanism'?

[market]
mechanism = "mcaffee"                   #! market.mechanism | did you mean 'mcafee'?

[market]
solver = "gurobi"                       #! market.solver | known: highs, exact, pyomo

[market]
mechanism = mcafee                      #!  | texts need quotes

[market]
mechanism = "x                          #!  | not valid TOML

[homes]
strategy = "truthfull"                  #! homes.strategy | did you mean 'truthful'?

[homes]
forecast = "same_hour"                  #! homes.forecast | did you mean 'same_hour_mean' or 'same_hour_median'?

[homes.battery.h1]
capacity = 5                            #! homes.battery.h1.capacity | did you mean 'capacity_kwh'?

[homes.battery.h1]
charge_efficiency = 0.0                 #! homes.battery.h1.charge_efficiency | above 0

[homes.battery.h1]
charge_kw = 1.2345                      #! homes.battery.h1.charge_kw | finer than a W

[homes.battery." h1"]                   #! homes.battery. h1 | no blanks
capacity_kwh = 1

[homes]
batteries = "none"
battery.h1 = { capacity_kwh = 3, charge_kw = 1 } #! homes.battery.h1 | has no discharge_kw

[homes.batteriez.h1]                    #! homes.batteriez | did you mean 'battery'?
capacity_kwh = 1

[homes.batteries.h1]                    #! homes.batteries | write [homes.battery.NAME]
capacity_kwh = 1

[homes]
tariffs.night = 0.5                     #! homes.tariffs.night | write its prices in

[chain]
authorities = 26                        #! chain.authorities | the largest is 25

[chain]
authorities = 3                         #! chain.authorities | 3 validators tolerate no fault

[chain]
sign_orders = "yes"                     #! chain.sign_orders | must be true or false, not text ('yes')

[case.a]
market = 3                              #! case.a.market | must be a table, not a whole number

[case.a]
market.kk = 3                           #! case.a.market.kk | did you mean 'k'?

[case]
a = 3                                   #! case.a | must be a table
"""


def cases() -> list[str]:
    """The whole file of every case: what a case does not say itself is taken from the minimal scenario."""
    files = []
    for base, block in ((DATA + TARIFF, IN_TARIFF), ("", TABLES)):
        for case in re.split(r"\n\n+", block.strip("\n")):
            missing = "".join(table for table in (DATA, TARIFF) if not base and table[:6] not in case)
            files.append(f"{HEAD}{base or missing}{case}\n")
    return files


@pytest.mark.parametrize("text", cases(), ids=lambda text: text.split("#! ")[1].split("\n")[0])
def test_a_mistake_is_named_with_line_key_and_cure(tmp_path: Path, text: str) -> None:
    lines = text.split("\n")
    (line,) = [number for number, content in enumerate(lines, 1) if "#!" in content]
    key, phrase = lines[line - 1].split("#! ")[1].split(" | ")
    problems = refused(tmp_path, text)
    assert {(problem.line, problem.key or "") for problem in problems} == {(line, key)}
    assert problems[0].where.endswith(f"street.toml:{line}" + (f": {key}" if key else ""))
    assert phrase in str(problems[0])


def test_a_number_without_end_is_refused(tmp_path: Path) -> None:
    (problem,) = refused(tmp_path, MINIMAL + f"[time]\ndays = {'9' * 5000}\n")
    assert (problem.line, "not valid TOML" in problem.message) == (10, True)


def test_cases_that_are_no_table_are_refused(tmp_path: Path) -> None:
    (problem,) = refused(tmp_path, "case = 3\n" + MINIMAL)
    assert (problem.line, problem.key, problem.message) == (1, "case", "must be a table")


@pytest.mark.parametrize(("text", "key"), [(HEAD + DATA, "tariff"), (HEAD + TARIFF, "data")])
def test_a_missing_table_is_reported_at_the_first_line(tmp_path: Path, text: str, key: str) -> None:
    (problem,) = refused(tmp_path, text)
    assert (problem.line, problem.key, problem.message) == (1, key, "is missing")


@pytest.mark.parametrize(
    ("head", "line", "key", "phrase"),
    [
        ('name = "a"\ncurrency = "EUR"\n', 1, "schema", "is missing"),
        ('schema = 2\nname = "a"\ncurrency = "EUR"\n', 1, "schema", "this wattswap reads schema 1"),
        ('schema = 1\nname = "a b"\ncurrency = "EUR"\n', 2, "name", "letters, digits"),
        ('schema = 1\nname = "../a"\ncurrency = "EUR"\n', 2, "name", "letters, digits"),
        ('schema = 1\nname = "a"\ncurrency = "eur"\n', 3, "currency", "three capital letters"),
        ('schema = 1\nname = "a"\ncurrency = "€"\n', 3, "currency", "three capital letters"),
        ('schema = 1\nname = "a"\ncurrency = "EUR"\nseed = -1\n', 4, "seed", "the smallest is 0"),
        ('schema = 1\nname = "a"\ncurrency = "EUR"\nk = 0\n', 4, "k", "did you mean 'market.k'?"),
    ],
)
def test_a_mistake_at_the_top_is_named(tmp_path: Path, head: str, line: int, key: str, phrase: str) -> None:
    (problem,) = refused(tmp_path, head + DATA + TARIFF)
    assert (problem.line, problem.key) == (line, key)
    assert phrase in str(problem)


def test_all_mistakes_come_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = (
        HEAD + "[data]\n[tariff]\nimport_per_kwh = 1\n[chain]\nauthorities = 0\n[time]\ndays = 0\nend = 3\n"
    )
    problems = refused(tmp_path, text, case="b", overrides=("market.k=2", "nonsense"))
    assert [problem.where.rpartition("/")[2] for problem in problems] == [
        "--set nonsense",
        "--case b",
        "--set market.k=2: market.k",
        "street.toml:4: data",
        "street.toml:5: tariff",
        "street.toml:8: chain.authorities",
        "street.toml:10: time.days",
        "street.toml:11: time.end",
    ]


def test_a_mistake_shared_by_all_cases_is_said_once(tmp_path: Path) -> None:
    text = MINIMAL + "[market]\nk = 2\n[case.a]\nseed = 2\n[case.b]\nseed = 3\n"
    assert len(refused(tmp_path, text)) == 1


def test_a_file_that_cannot_be_read_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidScenario, match=r"gone\.toml: cannot be read: .*; `wattswap new DIR`"):
        load(tmp_path / "gone.toml", known_mechanisms=KNOWN)


def test_a_file_that_is_not_text_names_the_line(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_bytes(b"schema = 1\nname = '\xff'\n")
    with pytest.raises(InvalidScenario, match=r"a\.toml:2: is not UTF-8 text"):
        load(file, known_mechanisms=KNOWN)


def test_a_large_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "meter.csv"
    file.write_bytes(b"x" * 1_000_001)
    with pytest.raises(InvalidScenario, match="larger than 1000000 bytes"):
        load(file, known_mechanisms=KNOWN)


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidScenario, match="nested too deeply"):
        read(tmp_path, MINIMAL + "[market]\nk = " + "[" * 5000 + "]" * 5000)


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_bytes(b"\xef\xbb\xbf" + MINIMAL.replace("\n", "\r\n").encode())
    assert load(file, known_mechanisms=KNOWN).name == "test"


def test_a_folder_stands_for_its_scenario(tmp_path: Path) -> None:
    (tmp_path / "scenario.toml").write_text(MINIMAL, encoding="utf-8")
    assert load(tmp_path, known_mechanisms=KNOWN).name == "test"


LETTERS = "abcdefghijklmnopqrstuvwxyz_"


def one_edit_apart(a: str, b: str) -> bool:
    """One letter added, dropped or replaced, or two neighbours swapped."""
    same = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    rest_a, rest_b = a[same:], b[same:]
    swapped = rest_a[:2] == rest_b[:2][::-1] and rest_a[2:] == rest_b[2:]
    return rest_a[1:] == rest_b or rest_a == rest_b[1:] or rest_a[1:] == rest_b[1:] or swapped


@st.composite
def typos(draw: st.DrawFn) -> tuple[str, str]:
    """A known key path, and its last key with one letter dropped, doubled, swapped or replaced."""
    path = draw(st.sampled_from([p for p in key_paths() if len(p.split(".")[-1]) > 3]))
    key = path.split(".")[-1]
    at = draw(st.integers(0, len(key) - 2))
    edit = draw(st.sampled_from(["drop", "double", "swap", "replace"]))
    letter = draw(st.sampled_from(LETTERS))
    wrong = {
        "drop": key[:at] + key[at + 1 :],
        "double": key[:at] + key[at] + key[at:],
        "swap": key[:at] + key[at + 1] + key[at] + key[at + 2 :],
        "replace": key[:at] + letter + key[at + 1 :],
    }[edit]
    assume(wrong not in {known.split(".")[-1] for known in key_paths()})
    siblings = {
        known.split(".")[-1] for known in key_paths() if known.split(".")[:-1] == path.split(".")[:-1]
    }
    # `tame` may be `time` or `name`: only a typo that is nearest to one key has a right answer.
    assume([other for other in siblings if one_edit_apart(wrong, other)] == [key])
    # `ntme` shares as many letters in order with `time` as with `name`, which is one edit away: no right answer.
    shared = {other: SequenceMatcher(None, wrong, other).ratio() for other in siblings}
    assume(all(shared[other] < shared[key] for other in siblings - {key}))
    return path, wrong


@settings(max_examples=some(300, 100), deadline=None)
@given(typos())
def test_a_typo_of_any_key_suggests_the_key(typo: tuple[str, str]) -> None:
    path, wrong = typo
    *table, key = path.split(".")
    _, message, cure = unknown_key((*table, wrong))
    assert message == "unknown key"
    assert f"did you mean '{key}'?" in cure
