"""Figures of physics are those of the meters: equal under every trade and imbalance rule, whatever is settled."""

from __future__ import annotations

from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from market.book import Order, OrderBook, Side
from market.clearing import Clearing
from market.metrics.table import METRICS, Figure, Result
from market.settlement.accounts import COLUMN_INDEX
from market.settlement.imbalance import Imbalance, ImbalanceRule
from market.settlement.settle import settle
from market.settlement.tariff import IntervalPrices
from market.units import IntArray

PHYSICAL = (
    "co2_kg", "metered_export_kwh", "metered_import_kwh", "peak_export_kw", "peak_import_kw", "peak_to_average",
    "ramping_kw", "self_consumption", "self_sufficiency", "self_sufficiency_alone",
)  # fmt: skip
SETTLED = ("settled_with_retailer_import_kwh", "settled_with_retailer_export_kwh")
PRICES = IntervalPrices(300_000, 100_000, 20_000, 50_000)
COLUMNS = ("import_wh", "export_wh", "retail_import_wh", "retail_export_wh")


def traded(rng: Random, homes: int) -> tuple[OrderBook, Clearing]:
    """A trade of anybody with anybody, or none; the meters know nothing of it."""
    if homes < 2 or rng.random() < 0.3:
        nobody = OrderBook.from_orders([])
        return nobody, Clearing(nobody.energy_wh, nobody.energy_wh, (None,), 0, 0)
    buyer, seller = rng.sample(range(homes), 2)
    energy = rng.randrange(1, 500)
    book = OrderBook.from_orders(
        [Order("b", buyer, Side.BUY, energy, 200_000), Order("s", seller, Side.SELL, energy, 200_000)]
    )
    return book, Clearing(book.energy_wh, np.full(2, 200_000), (None,), 0, 0)


def result(rng: Random, meters: list[tuple[IntArray, IntArray]], rule: ImbalanceRule) -> Result:
    """The energy columns of a run with these meters and trades of its own."""
    sums: dict[str, list[int]] = {name: [] for name in COLUMNS}
    for imported, exported in meters:
        lines = settle(*traded(rng, len(imported)), imported, exported, PRICES, rule=rule).lines
        for name in COLUMNS:
            sums[name].append(int(lines[: len(imported), COLUMN_INDEX[name]].sum()))
    columns = {name: np.array(values, dtype=np.int64) for name, values in sums.items()}
    behind = {"load_wh": columns["import_wh"] + 70, "pv_wh": columns["export_wh"] + 70}
    return Result(columns | behind, {}, {"minutes": 15, "emission_g_per_kwh": 400})


def figures_of(made: Result, names: tuple[str, ...]) -> dict[str, Figure]:
    return {name: METRICS.get(name).of(made) for name in names}


@given(st.randoms(use_true_random=False), st.integers(1, 5), st.integers(1, 6))
def test_equal_meters_have_equal_physical_figures(rng: Random, homes: int, intervals: int) -> None:
    def wh() -> IntArray:
        return np.array([rng.choice((0, 0, 1, rng.randrange(1_000))) for _ in range(homes)], dtype=np.int64)

    meters = [(wh(), wh()) for _ in range(intervals)]
    found = [figures_of(result(rng, meters, ImbalanceRule(i)), PHYSICAL) for i in Imbalance]
    assert all(figures == found[0] for figures in found)
    net = [int((imported - exported).sum()) for imported, exported in meters]
    assert found[0]["peak_import_kw"] == max(0, *net) * 4 / 1_000
    assert found[0]["peak_export_kw"] == max(0, *(-n for n in net)) * 4 / 1_000


def test_settled_figures_depend_on_the_rule_and_say_so() -> None:
    meters = [(np.array([300, 0]), np.array([0, 200]))]
    alone, pooled = (
        figures_of(result(Random(3), meters, ImbalanceRule(rule)), SETTLED)
        for rule in (Imbalance.RETAILER, Imbalance.POOLED)
    )
    assert alone != pooled
    assert pooled == dict(zip(SETTLED, (0.1, 0.0), strict=True))
