"""Every mechanism has a page, and the cases worked by hand on it come out of the code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from market.mechanism import registered
from wattswap.clear_contract import clear_case
from wattswap.plugins import load_all

load_all()

PAGES = Path(__file__).resolve().parents[1] / "docs" / "mechanisms"
OURS = sorted(
    name
    for name, mechanism in registered().items()
    if mechanism.clear.__module__.split(".")[0] in ("market", "optimizer")
)
WORKED = re.compile(r"^```json case\n(.*?)^```\n.*?^```json result\n(.*?)^```", re.MULTILINE | re.DOTALL)


def worked(name: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The cases of a page with the part of their results that the page shows."""
    text = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    return [(json.loads(case), json.loads(result)) for case, result in WORKED.findall(text)]


@pytest.mark.parametrize("name", OURS)
def test_a_mechanism_has_a_page_with_a_worked_case(name: str) -> None:
    assert (PAGES / f"{name}.md").read_text(encoding="utf-8").startswith(f"# {name}\n")
    assert worked(name)


@pytest.mark.parametrize("name", OURS)
def test_the_worked_cases_come_out_of_the_code(name: str) -> None:
    for case, shown in worked(name):
        result = clear_case(case, name)
        assert {key: result[key] for key in shown} == shown


@pytest.mark.parametrize("name", OURS)
def test_the_page_names_every_parameter_and_the_source(name: str) -> None:
    text = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    mechanism = registered()[name]
    assert not [p.name for p in mechanism.parameters if f"`{p.name}`" not in text]
    assert "Source" in text or "source" in text
    for part in ("**Promises.**", "## When to use"):
        assert part in text


def test_the_overview_has_one_row_for_each() -> None:
    text = (PAGES / "README.md").read_text(encoding="utf-8")
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("| [")
    ]
    rows = [(*re.findall(r"\w+", first)[:2], truthful, operator) for first, _, _, truthful, operator in cells]
    assert sorted(name for name, *_ in rows) == OURS
    budget = {"strong": "breaks even", "weak": "keeps", "deficit": "pays in"}
    for name, page, truthful, operator in rows:
        promises = registered()[name].promises
        assert page == name
        assert bool(truthful) == promises.truthful
        assert budget[promises.budget_balance] in operator or name == "retailer_only"
