"""Homes whose names are words of the program, or one name written in two ways: told apart by kind, never by text."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pandas as pd
import pytest

import wattswap as ws
from market.settlement.accounts import SYSTEM_ACCOUNTS
from tests.kits.run_kit import call, one_object
from wattswap.report.write import html_of, story_of
from wattswap.results import RunResult

NAMES = ("all", *SYSTEM_ACCOUNTS, "total", "sum", "external", "household", "home", "account", "Jürgen")
"""Each home imports as many hundred Wh an hour as its place says; "Jürgen" exports 1 kWh."""

SCENARIO = """\
schema = 1
name = "names"
currency = "EUR"

[data]
path = "meter.csv"

[homes]
strategy = "truthful"
forecast = "perfect_foresight"

[homes.battery.all]
capacity_kwh = 0

[tariff]
import_per_kwh = 0.32
feed_in_per_kwh = 0.08
"""
Capture = pytest.CaptureFixture[str]


def decomposed(name: str) -> str:
    return unicodedata.normalize("NFD", name)


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    folder = tmp_path_factory.mktemp("names")
    lines = ["timestamp,household,import_kwh,export_kwh"]
    for hour in range(6):
        for place, name in enumerate(NAMES[:-1]):
            lines.append(f"2026-05-04T{hour:02d}:00:00Z,{name},{(place + 1) / 10},0")
        written = decomposed(NAMES[-1]) if hour % 2 else NAMES[-1]
        lines.append(f"2026-05-04T{hour:02d}:00:00Z,{written},0,1")
    (folder / "meter.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "scenario.toml").write_text(SCENARIO, encoding="utf-8")
    chosen = f"data.households={[*NAMES[:-1], decomposed(NAMES[-1])]!r}"
    return ws.run(ws.load(folder, overrides=[chosen]), out=folder / "runs")


def test_two_spellings_of_one_name_are_one_home(named: RunResult) -> None:
    bills = named.bills()
    assert list(bills.index) == list(NAMES)
    assert bills.loc["Jürgen", "export_kwh"] == 6


def test_every_home_has_its_own_bill_in_every_table(named: RunResult, capsys: Capture) -> None:
    expected = {name: round(0.6 * (place + 1), 1) for place, name in enumerate(NAMES[:-1])}
    bills = named.bills()["import_kwh"].round(9)
    assert {name: bills[name] for name in expected} == expected
    shown = call(capsys, "show", named.path, "bills").out
    rows = [line.split() for line in shown.splitlines() if line.strip()]
    lines = [i for i, row in enumerate(rows) if row[0].startswith("─")]
    homes, (total,) = rows[lines[0] + 1 : lines[1]], rows[lines[1] + 1 :]
    assert [(row[0], float(row[1])) for row in homes] == [*expected.items(), ("Jürgen", 0.0)]
    assert (total[0], float(total[1])) == ("all", pytest.approx(sum(expected.values())))
    given = one_object(call(capsys, "show", named.path, "bills", "--json"))["rows"]
    assert [row["household"] for row in given] == list(NAMES)


def test_the_sum_of_the_bills_is_the_foot_of_a_table_and_no_home(named: RunResult, capsys: Capture) -> None:
    page = html_of(story_of(named.path))
    (body,) = re.findall(r"<caption>Bills with .*?</table>", page, re.S)
    homes, total = (
        re.findall(r'<th scope="row">([^<]+)</th>', part.replace("<wbr>", ""))
        for part in body.split("<tfoot>")
    )
    assert (sorted(homes), total) == (sorted(NAMES), ["all homes"])
    given = call(capsys, "show", named.path, "bills", "--csv").out.splitlines()
    assert [line.split(",")[0] for line in given[1:]] == list(NAMES)  # no sum to be taken for a home
    why = call(capsys, "show", named.path, "why", "all").out.splitlines()
    assert why[-4].startswith(" ─")
    assert why[-3].split()[0] == "all"


def test_postings_say_what_kind_each_account_is(named: RunResult, capsys: Capture) -> None:
    postings = pd.read_parquet(named.path / "postings.parquet").astype({"account": str, "account_kind": str})
    per_kind = postings.groupby("account_kind")["account"].nunique().to_dict()
    assert per_kind == {"home": len(NAMES), "system": 3}
    retailer = postings[postings["account"] == "retailer"].groupby("account_kind")["import_wh"].sum()
    assert retailer["home"] == 1200
    why = one_object(call(capsys, "show", named.path, "why", "retailer", "--json"))["rows"]
    assert len(why) == 6
    assert {row["import_kwh"] for row in why} == {0.2}
    text = call(capsys, "show", named.path, "why", decomposed("Jürgen"))
    assert text.code == 0
    assert "Jürgen" in text.out


@pytest.mark.parametrize("name", ["retailer", decomposed("Jürgen")])
def test_the_line_of_a_home_is_proven_and_not_that_of_the_retailer(
    named: RunResult, capsys: Capture, tmp_path: Path, name: str
) -> None:
    proof, genesis = tmp_path / "proof.json", named.path / "genesis.bin"
    done = call(capsys, "chain", "prove", named.path, name, "2026-05-04T01:00Z")
    assert done.code == 0
    proof.write_text(done.out, encoding="utf-8")
    facts = one_object(call(capsys, "chain", "check-proof", proof, "--genesis", genesis, "--json"))
    assert facts["account"] == NAMES.index(unicodedata.normalize("NFC", name))


@pytest.mark.parametrize("command", ["report", "verify"])
def test_report_and_verify_take_such_names(named: RunResult, capsys: Capture, command: str) -> None:
    assert call(capsys, command, named.path).code == 0
