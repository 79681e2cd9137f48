"""Columns of the intervals of a day, held against the formulas for one book."""

from __future__ import annotations

from pathlib import Path

import pytest

from market.auctions.uniform import clear_exact
from market.rules import MarketRules
from tests.oracles.welfare import ordered_wh, welfare_split, worse_than_limit
from wattswap.runs.interval import step
from wattswap.runs.prepare import prepare
from wattswap.runs.totals import interval_columns
from wattswap.scenario.load import load


@pytest.mark.parametrize("mechanism", ["uniform_price", "vcg", "bill_sharing", "retailer_only", "continuous"])
def test_the_columns_of_a_day_are_the_formulas_of_each_book(mechanism: str, street_by_lot: Path) -> None:
    setup = prepare(load(street_by_lot, overrides=[f"market.mechanism={mechanism}"]))
    community = setup.community()
    records = [step(setup, community, i) for i in range(setup.intervals)]
    assert sum(len(r.book) for r in records) > 50
    columns = interval_columns(records)
    for i, record in enumerate(records):
        book, clearing = record.book, record.clearing
        row = {name: column[i] for name, column in columns.items()}
        best, split = clear_exact(book, MarketRules(solver="exact")), welfare_split(book, clearing)
        competitive = best.node_price[0]
        assert (row["demand_wh"], row["supply_wh"]) == ordered_wh(book)
        assert row["traded_wh"] == clearing.traded_wh(book)
        assert row["buyer_surplus_nano"] == split.buyers_nano
        assert row["seller_surplus_nano"] == split.sellers_nano
        assert row["operator_surplus_nano"] == split.operator_nano
        assert (row["bought_nano"], row["sold_nano"]) == clearing.turnover_nano(book)
        assert row["worse_orders"] == len(worse_than_limit(book, clearing))
        assert (row["optimum_nano"], row["optimum_wh"]) == (best.welfare_nano, best.traded_wh(book))
        assert row["competitive_micro_per_kwh"] == (None if competitive is None else competitive.price)
        assert row["import_wh"] == record.import_wh.sum()
        assert row["members_nano"] == record.settled.postings.total_nano[: len(record.roster)].sum()
