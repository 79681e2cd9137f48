"""The page on rationing is right in every row, and its sentences name figures that it shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from market.mechanism import MECHANISMS
from tests.docs.test_mechanism_pages import OURS
from wattswap.cases.contract import clear_case
from wattswap.inputs.collector import InvalidCase

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "price-and-rationing.md"
TEXT = PAGE.read_text(encoding="utf-8")
ROWS = {
    name: (reaches.strip(), case.strip())
    for name, _, reaches, case in re.findall(r"^\| `(\w+)` \|(.*)\|(.*)\|(.*)\|$", TEXT, re.MULTILINE)
}


def test_every_mechanism_has_a_row_that_says_whether_the_market_decides() -> None:
    assert set(ROWS) == set(OURS)
    for name, (reaches, _) in ROWS.items():
        assert reaches == ("reaches it" if MECHANISMS.get(name).follows_rationing else "own rule"), name


@pytest.mark.parametrize("name", [n for n in OURS if MECHANISMS.get(n).follows_rationing])
def test_a_single_case_is_cleared_as_its_row_says(name: str) -> None:
    """6 kWh ordered late and 2 kWh ordered early at one limit, for 4 kWh."""
    bids = [
        {
            "id": who,
            "participant": who,
            "side": "buy",
            "quantity_kwh": kwh,
            "price_per_kwh": 0.2,
            "time": time,
        }
        for who, kwh, time in (("early", 2, 1), ("late", 6, 2))
    ]
    offer = {
        **bids[0],
        "id": "s",
        "participant": "s",
        "side": "sell",
        "quantity_kwh": 4,
        "price_per_kwh": 0.1,
    }
    params = {"posted_price": {"price": 0.15}, "muda_vickrey": {"exogenous_price": 0.15}}.get(name, {})
    promises = MECHANISMS.get(name).promises
    grid: dict[str, Any] = (
        {"grid": {"kind": "dc", "nodes": ["n1"], "lines": []}} if promises.needs_grid else {}
    )
    if promises.needs_zones:
        grid = {"zones": {"names": ["n1"], "fee_per_kwh": [[0]]}}
    orders = [{**order, "node": "n1"} for order in (*bids, offer)]
    case = {"orders": orders, "params": params, **grid}
    early = next(
        order["accepted_kwh"] for order in clear_case(case, name)["orders"] if order["id"] == "early"
    )
    assert (early == 2) == (ROWS[name][1] == "the earliest first")
    if name not in ("uniform_price", "nodal_price", "zonal_price"):
        with pytest.raises(InvalidCase, match="unknown key 'rationing'"):
            clear_case({**case, "params": {**params, "rationing": "pro_rata"}}, name)


def test_the_sentences_name_figures_that_the_page_shows() -> None:
    outputs = " ".join(re.findall(r"^```text\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL))
    told = re.findall(r"(\d+\.\d\d) EUR", re.sub(r"^```.*?^```", "", TEXT, flags=re.MULTILINE | re.DOTALL))
    assert len(told) >= 4
    assert not [amount for amount in told if not re.search(rf"(?<![\d.]){re.escape(amount)}(?!\d)", outputs)]
