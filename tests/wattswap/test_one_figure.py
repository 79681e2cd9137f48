"""One figure for one thing: summary, bills, why, report and comparison print the same cents, and they add up."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import wattswap as ws
from tests.kits.drawn_kit import drawn
from tests.kits.run_kit import call
from tests.kits.sample_kit import sample_of, sampled, some
from wattswap.cli._comparisons import print_comparison
from wattswap.comparison.result import ComparisonFolder
from wattswap.report.sections.bills import bills as bills_section
from wattswap.report.words import verdict
from wattswap.report.write import story_of
from wattswap.results import Comparison, RunResult

Capture = pytest.CaptureFixture[str]
SCENARIOS = range(8)
NUMBER = re.compile(r"-?[\d,]+\.\d+")


def cents(text: str) -> int:
    """A printed amount in cents."""
    return round(100 * float(text.replace(",", "").replace("*", "")))


def table_of(text: str, first: str) -> dict[str, dict[str, str]]:
    """The rows of a printed table by name and head, the sum under an empty name."""
    lines = text.splitlines()
    rule = next(i for i, line in enumerate(lines) if line.startswith(" ─") and first in "".join(lines[:i]))
    top = rule
    while lines[top - 1].strip():
        top -= 1
    spans = [(m.start(), m.end()) for m in re.finditer(r"\S+", _widest(lines[top:]))]
    heads = [" ".join(" ".join(line[a:b].strip() for line in lines[top:rule]).split()) for a, b in spans]
    found, total = {}, False
    for line in lines[rule + 1 :]:
        if not line.strip():
            break
        if line.startswith(" ─"):
            total = True
            continue
        name, *cells = (line[a:b].strip() for a, b in spans)
        found["" if total else name] = dict(zip(heads[1:], cells, strict=True))
    return found


def _widest(lines: list[str]) -> str:
    """A line with a letter wherever any line up to the next empty one has one, blanks elsewhere."""
    block = []
    for line in lines:
        if not line.strip():
            break
        if not line.startswith(" ─"):
            block.append(line)
    width = max(map(len, block))
    return "".join("x" if any(line[i : i + 1].strip() for line in block) else " " for i in range(width))


@pytest.fixture(scope="module", params=sample_of(SCENARIOS, (1, 4, 6)))
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[RunResult, Comparison]:
    """A random scenario, run, and compared under the seed of the run."""
    folder = tmp_path_factory.mktemp("one")
    street, settings, mechanism = drawn(request.param, folder / "street")
    scenario = ws.load(street, overrides=settings)
    compared = ws.compare(scenario, [mechanism], seeds=[scenario.seed], out=folder / "comparisons")
    return ws.run(scenario, out=folder / "runs"), compared


def test_every_page_prints_the_same_cents(pair: tuple[RunResult, Comparison], capsys: Capture) -> None:
    result, compared = pair
    mechanism = str(result.manifest["mechanism"])
    summary = call(capsys, "show", result.path, "--wide").out
    rows = table_of(call(capsys, "show", result.path, "bills", "--wide").out, "Bills")
    total = {head: cents(rows[""][head]) for head in ("without market", "with market", "saving")}
    homes = [{head: cents(row[head]) for head in total} for name, row in rows.items() if name]
    for head, value in total.items():
        assert sum(home[head] for home in homes) == value
    assert all(one["without market"] - one["saving"] == one["with market"] for one in (*homes, total))

    paid, without, saved = map(cents, NUMBER.findall(summary.split("All bills together")[1])[:3])
    assert (paid, without, saved) == (total["with market"], total["without market"], total["saving"])
    by_mechanism = cents(NUMBER.findall(summary.split("Saved by the mechanism")[1])[0])
    by_rule = cents(NUMBER.findall(summary.split("Saved by the imbalance rule")[1])[0])
    outside = 0
    if "Paid from outside" in summary:
        outside = cents(NUMBER.findall(summary.split("Paid from outside")[1])[0])
    assert by_mechanism + by_rule + outside == saved

    for story in (story_of(result.path), story_of(compared.path)):
        money, losers, *_ = verdict(story)
        said = [cents(text) for text in NUMBER.findall(money.split(" homes ")[1])[:3]]
        assert said == [abs(paid), abs(without), by_mechanism]
        savings = story.focused.bills["saving"]
        worst = cents(rows[str(savings.idxmin())]["saving"])
        amounts = [
            abs(cents(text)) for text in NUMBER.findall(losers.partition(" Of the mechanisms")[0])[-1:]
        ]
        assert amounts in ([abs(worst)], [], [1])  # nothing, or less than 0.01
        foot = bills_section(story).body.split("<tfoot>")[1]
        shown = [cents(text) for text in NUMBER.findall(foot.split("</tfoot>")[0])[:3]]
        assert shown == [without, paid, saved]
        figures = story.focused.cents
        names = ("cost_with_market", "saving", "saving_by_mechanism")
        assert [round(100 * figures[name]) for name in names] == [paid, saved, by_mechanism]

    line = table_of(call(capsys, "show", compared.path, "--wide").out, "The homes")[mechanism]
    assert [cents(line[head]) for head in ("saved by mechanism", "by imbalance rule", "sum")] == [
        *(by_mechanism, by_rule, saved)
    ]
    assert table_of(call(capsys, "show", compared.path, "bills", mechanism, "--wide").out, "Bills") == rows


def test_why_says_the_numbers_of_the_bills_under_their_words(
    pair: tuple[RunResult, Comparison], capsys: Capture
) -> None:
    result, _ = pair
    rows = table_of(call(capsys, "show", result.path, "bills", "--wide").out, "Bills")
    for home in result.bills().index:
        text = call(capsys, "show", result.path, "why", home, "--wide").out
        why = table_of(text, "energy in kWh")
        days, total = [row for name, row in why.items() if name], why[""]
        credits = ("for trades", "for netting", "by retailer", "grid fee gross")
        for row in why.values():
            assert sum(cents(row[head]) for head in credits) == cents(row["total"])
        for head in (*credits, "total"):
            assert sum(cents(row[head]) for row in days) == cents(total[head])
        cost, *charges = map(cents, NUMBER.findall(text.split("The bill with the market is")[1]))
        assert cost == cents(rows[home]["with market"]) == sum(charges) - cents(total["total"])
        for head in total.keys() & rows[home].keys():
            assert float(total[head]) == pytest.approx(float(rows[home][head]), abs=0.0101), head
        for name, charge in zip(("standing", "peak"), charges, strict=False):
            assert cents(rows[home][f"of which {name} charge"]) == charge


@sampled
def test_means_over_seeds_add_up_in_every_row(
    street: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = ws.compare(street, ["uniform_price", "vcg"], seeds=[1, 2], out=tmp_path)
    exact, rng = compared.summary(), np.random.default_rng(7)
    for _ in range(some(40, 8)):
        frame = _random_money(exact, rng)
        monkeypatch.setattr(ComparisonFolder, "summary", lambda *_, frame=frame: frame)
        print_comparison(compared, "wide")
        text = capsys.readouterr().out
        for label, row in table_of(text, "The homes").items():
            parts = ("saved by mechanism", "by imbalance rule", "from outside")
            amounts = [cents(row[head].split(" +-")[0]) for head in (*parts, "sum")]
            assert sum(amounts[:3]) == amounts[3], (label, row)
            if amounts[2]:
                assert cents(row["operator keeps"]) == -amounts[2]
                if label in ("uniform_price", "vcg"):
                    assert f"{label} {amounts[2] / 100:.2f}" in " ".join(text.split())


def _random_money(summary: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The summary with other money: means over two seeds of amounts in nano-units."""
    frame = summary.copy()
    own, rule, outside, without = (rng.integers(0, 3 * 10**9, (2, len(frame))).mean(axis=0) for _ in range(4))
    frame["saving_by_mechanism"], frame["saving_by_imbalance_rule"] = own / 1e9, rule / 1e9
    frame["saving_from_outside"] = outside / 1e9
    frame["saving"] = (own + rule + outside) / 1e9
    frame["cost_without_market"] = without / 1e9
    frame["cost_with_market"] = frame["cost_without_market"] - frame["saving"]
    frame["market_operator_income"] = frame["operator_surplus"] = -frame["saving_from_outside"]
    return frame
