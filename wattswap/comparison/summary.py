"""The metrics of one cell, as one row."""

from __future__ import annotations

import numpy as np

from market.metrics import concentration, energy, fairness, grid
from market.metrics import price as prices_of
from market.metrics import welfare as welfare_of
from market.settlement.accounts import MARKET_OPERATOR
from market.units import MICRO_PER_UNIT, NANO_PER_UNIT, WH_PER_KWH, IntArray
from wattswap.comparison.cells import BILL_COLUMNS, INTERVAL_COLUMNS, Cell

Row = dict[str, float | int | None]

_MONEY = ("trade_nano", "imbalance_nano", "retail_nano", "grid_fee_nano")


def summary_of(cell: Cell, minutes: int, emission_g_per_kwh: int | None) -> Row:
    """Sum a cell up; every name is a row of docs/reference/metrics.md.

    Args:
        cell: What came out.
        minutes: Length of an interval. [min]
        emission_g_per_kwh: Of energy from outside; None where it is not known.
    """
    t = {name: cell.intervals[:, i] for i, name in enumerate(INTERVAL_COLUMNS)}
    bill = {name: cell.bills[:, i] for i, name in enumerate(BILL_COLUMNS)}
    operator_nano = int(cell.system_nano[MARKET_OPERATOR])
    return {
        **_market(t, cell),
        **_energy(t, minutes, cell.has_load, emission_g_per_kwh),
        **_money(bill, operator_nano),
        "hhi_sellers": concentration.hhi(bill["sold_wh"]),
        "hhi_buyers": concentration.hhi(bill["bought_wh"]),
        "clear_ms": float(np.median(t["clear_ns"])) / 1e6 if len(t["clear_ns"]) else None,
    }


def saving_nano(bills: dict[str, IntArray]) -> IntArray:
    """What each home pays less than without a market. [nano-currency]"""
    total: IntArray = sum((bills[name] for name in _MONEY), np.zeros_like(bills["baseline_nano"]))
    return total - bills["baseline_nano"]


def _market(t: dict[str, IntArray], cell: Cell) -> Row:
    traded, price = t["traded_wh"], t["price_micro_per_kwh"]
    welfare, optimum = _sum(t["welfare_nano"]), _sum(t["optimum_nano"])
    competitive = cell.has_value[:, INTERVAL_COLUMNS.index("competitive_micro_per_kwh")]
    priced = (traded > 0) & competitive
    vwap = prices_of.volume_weighted_price(price, traded)
    energy_wh = _sum(traded)
    return {
        "intervals_with_trade": int((traded > 0).sum()),
        "welfare": welfare / NANO_PER_UNIT,
        **{
            f"{who}_surplus": _sum(t[f"{who}_surplus_nano"]) / NANO_PER_UNIT
            for who in ("buyer", "seller", "operator")
        },
        "allocative_efficiency": welfare_of.allocative_efficiency(welfare, optimum),
        "traded_kwh": energy_wh / WH_PER_KWH,
        "traded_share": welfare_of.traded_share(traded, t["demand_wh"], t["supply_wh"]),
        "price_per_kwh": None if vwap is None else vwap / MICRO_PER_UNIT,
        "buyer_price_per_kwh": _each_kwh(t["bought_nano"], energy_wh),
        "seller_price_per_kwh": _each_kwh(t["sold_nano"], energy_wh),
        "price_volatility": prices_of.price_volatility(price, traded),
        "price_volatility_weighted": prices_of.price_volatility_weighted(price, traded),
        "smith_alpha_percent": prices_of.smith_alpha_percent(
            price[priced], t["competitive_micro_per_kwh"][priced], traded[priced]
        ),
    }


def _energy(t: dict[str, IntArray], minutes: int, has_load: bool, emission_g_per_kwh: int | None) -> Row:
    bought, sold = t["retail_import_wh"], t["retail_export_wh"]
    load, pv = t["load_wh"], t["pv_wh"]
    emission = np.full(len(bought), np.nan if emission_g_per_kwh is None else float(emission_g_per_kwh))
    return {
        "local_kwh": _sum(t["local_wh"]) / WH_PER_KWH,
        "retail_import_kwh": _sum(bought) / WH_PER_KWH,
        "retail_export_kwh": _sum(sold) / WH_PER_KWH,
        "self_sufficiency": energy.self_sufficiency_metered(load, bought) if has_load else None,
        "self_sufficiency_alone": energy.self_sufficiency_metered(load, t["import_wh"]) if has_load else None,
        "self_consumption": energy.self_consumption_metered(pv, sold) if has_load else None,
        "peak_import_kw": grid.peak_kw(bought, minutes),
        "peak_export_kw": grid.peak_kw(sold, minutes),
        "peak_to_average": grid.peak_to_average(bought),
        "ramping_kw": grid.ramping_kw(bought, sold, minutes),
        "co2_kg": grid.co2_kg(bought, emission),
    }


def _money(bill: dict[str, IntArray], operator_nano: int) -> Row:
    saving, without = saving_nano(bill), -bill["baseline_nano"]
    together = fairness.community_saving(without, without - saving, operator_nano)
    without_nano = _sum(without)
    return {
        "cost_without_market": without_nano / NANO_PER_UNIT,
        "cost_with_market": (without_nano - together.saving_nano) / NANO_PER_UNIT,
        "saving": together.saving_nano / NANO_PER_UNIT,
        "saving_percent": together.percent,
        "saving_with_operator_surplus": together.saving_with_operator_surplus_nano / NANO_PER_UNIT,
        "market_operator_income": operator_nano / NANO_PER_UNIT,
        "participation_share": fairness.participation_share(saving),
        "homes_worse_off": len(fairness.homes_worse_off(saving)),
        "gini_saving": fairness.gini(saving),
        "jain_saving": fairness.jain(saving),
        "min_max_saving": fairness.min_max_ratio(saving),
        "imbalance_cost": _sum(bill["imbalance_cost_nano"]) / NANO_PER_UNIT,
    }


def _each_kwh(turnover_nano: IntArray, energy_wh: int) -> float | None:
    return _sum(turnover_nano) / energy_wh / MICRO_PER_UNIT if energy_wh else None


def _sum(column: IntArray) -> int:
    return int(column.sum())
