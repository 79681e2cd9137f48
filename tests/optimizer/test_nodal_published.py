"""Prices by node and voltages against figures of others: PYPOWER on random meshes, the feeder of Baran and Wu."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from market.auctions.network import network_of
from market.auctions.nodal_proof import check
from market.book import OrderBook
from optimizer.mechanisms.nodal_price import clear
from tests.kits.grid_kit import book_of, grid_of, on

STORED = json.loads(
    (Path(__file__).parents[1] / "oracles" / "pypower" / "opf_cases.json").read_text(encoding="utf-8")
)
WH_PER_MW = 1_000_000
MICRO_PER_UNIT_OF_COST = 1_000
SERVED_AT_ANY_PRICE = 10_000


def as_book(case: dict[str, Any]) -> OrderBook:
    """Generators are offers at their cost; loads are bids far above them."""
    offers = [
        (bus, -most * WH_PER_MW, cost * MICRO_PER_UNIT_OF_COST) for bus, most, cost in case["generators"]
    ]
    high = SERVED_AT_ANY_PRICE * MICRO_PER_UNIT_OF_COST
    return book_of(*offers, *((bus, mw * WH_PER_MW, high) for bus, mw in enumerate(case["load"]) if mw))


def test_the_stored_cases_are_what_the_program_beside_them_says() -> None:
    assert STORED["made_by"] == "PYPOWER 5.1.21, rundcopf"
    spreads = [max(c["pypower"]["price"]) - min(c["pypower"]["price"]) for c in STORED["cases"]]
    assert len(spreads) >= 30
    assert sum(spread > 1 for spread in spreads) >= 20


@pytest.mark.parametrize("number", range(len(STORED["cases"])))
def test_prices_flows_and_cost_are_those_of_pypower(number: int) -> None:
    """Its interior point leaves about 1e-5, whole micro half a micro."""
    case = STORED["cases"][number]
    ends, x, limit = zip(*(((a, b), x, mw * WH_PER_MW) for a, b, x, mw in case["lines"]), strict=True)
    grid, book, theirs = grid_of(ends, limit, x=x), as_book(case), case["pypower"]
    found = clear(book, on(grid))
    assert check(book, grid, found).holds
    bids = book.side > 0
    assert found.accepted_wh[bids].tolist() == book.energy_wh[bids].tolist()
    for one, price in zip(found.node_price, theirs["price"], strict=True):
        assert one is not None
        # Where several prices are optimal, as without congestion, theirs is one of ours.
        assert one.lo - 1 <= price * MICRO_PER_UNIT_OF_COST <= one.hi + 1
        if one.lo == one.hi:
            assert one.price == pytest.approx(price * MICRO_PER_UNIT_OF_COST, abs=1)
    assert found.details["line_flow_wh"] / WH_PER_MW == pytest.approx(np.array(theirs["flow"]), abs=0.001)
    output = found.accepted_wh[~bids] / WH_PER_MW
    assert output == pytest.approx(np.array(theirs["output"]), abs=0.001)
    cost = float(np.dot(output, [cost for *_, cost in case["generators"]]))
    assert cost == pytest.approx(theirs["cost"], rel=1e-5)


FEEDER = """
1 2 .0922 .0470 100 60|2 3 .4930 .2511 90 40|3 4 .3660 .1864 120 80|4 5 .3811 .1941 60 30|5 6 .8190 .7070 60 20
6 7 .1872 .6188 200 100|7 8 .7114 .2351 200 100|8 9 1.0300 .7400 60 20|9 10 1.0440 .7400 60 20|10 11 .1966 .0650 45 30
11 12 .3744 .1238 60 35|12 13 1.4680 1.1550 60 35|13 14 .5416 .7129 120 80|14 15 .5910 .5260 60 10
15 16 .7463 .5450 60 20|16 17 1.2890 1.7210 60 20|17 18 .7320 .5740 90 40|2 19 .1640 .1565 90 40
19 20 1.5042 1.3554 90 40|20 21 .4095 .4784 90 40|21 22 .7089 .9373 90 40|3 23 .4512 .3083 90 50
23 24 .8980 .7091 420 200|24 25 .8960 .7011 420 200|6 26 .2030 .1034 60 25|26 27 .2842 .1447 60 25
27 28 1.0590 .9337 60 20|28 29 .8042 .7006 120 70|29 30 .5075 .2585 200 600|30 31 .9744 .9630 150 70
31 32 .3105 .3619 210 100|32 33 .3410 .5302 60 40
"""
"""The 33 buses of M. E. Baran, F. F. Wu, Network reconfiguration in distribution systems for loss reduction and load
balancing, IEEE Trans. Power Delivery 4 (1989), 1401-1407, as in MATPOWER's case33bw: from, to, ohm, ohm, kW, kvar."""
LINES = np.array([row.split() for row in FEEDER.strip().replace("\n", "|").split("|")], dtype=np.float64)
OHM_PER_UNIT = 12.66**2 * 1_000
"""Base impedance at 12.66 kV and 1 kVA. [ohm]"""


def ac_power_flow(p_kw: np.ndarray, q_kvar: np.ndarray) -> tuple[np.ndarray, float]:
    """Voltages and losses [kW] of the feeder by sweeps over its currents: the full equations, not the linear ones."""
    ends = LINES[:, :2].astype(int) - 1
    z = (LINES[:, 2] + 1j * LINES[:, 3]) / OHM_PER_UNIT
    v = np.ones(33, dtype=complex)
    for _ in range(100):
        current = np.conj((p_kw + 1j * q_kvar) / v)
        through = np.zeros(len(ends), dtype=complex)
        for i in range(len(ends) - 1, -1, -1):
            after = [j for j, pair in enumerate(ends) if pair[0] == ends[i][1]]
            through[i] = current[ends[i][1]] + through[after].sum()
        for i, (a, b) in enumerate(ends):
            v[b] = v[a] - z[i] * through[i]
    return np.abs(v), float((np.abs(through) ** 2 * z.real).sum())


def test_the_linear_voltages_of_the_33_buses_are_near_the_published_ones() -> None:
    """Published: 3,715 kW and 2,300 kvar, losses of 202.7 kW, lowest voltage .9131 at bus 18 (full equations).

    The linear equations leave losses out, so that their voltages are a little higher; the exact linear figures are
    computed here along the path to each bus.
    """
    p_kw, q_kvar = np.zeros(33), np.zeros(33)
    to = LINES[:, 1].astype(int) - 1
    p_kw[to], q_kvar[to] = LINES[:, 4], LINES[:, 5]
    assert (p_kw.sum(), q_kvar.sum()) == (3_715, 2_300)
    full, losses_kw = ac_power_flow(p_kw, q_kvar)
    assert losses_kw == pytest.approx(202.7, abs=0.1)
    assert (int(full.argmin()), full.min()) == (17, pytest.approx(0.9131, abs=5e-5))

    ends = [(int(a) - 1, int(b) - 1) for a, b in LINES[:, :2]]
    r, x = ((LINES[:, column] / OHM_PER_UNIT).tolist() for column in (2, 3))
    grid = grid_of(ends, None, "lindistflow", r=r, x=x, reactive=q_kvar.tolist())
    loads = [(bus, int(1_000 * kw), 300_000) for bus, kw in enumerate(p_kw) if kw]
    book = book_of((0, -4_000_000, 100_000), *loads)
    found = clear(book, on(grid))
    assert found.accepted_wh[0] == 3_715_000
    v = np.sqrt(found.details["v_squared"])
    parent = {b: (a, i) for i, (a, b) in enumerate(ends)}

    def behind(bus: int) -> set[int]:
        return {bus}.union(*(behind(b) for a, b in ends if a == bus))

    for bus in range(33):
        squared, at = 1.0, bus
        while at:
            before, line = parent[at]
            some = list(behind(at))
            squared -= 2 * (r[line] * p_kw[some].sum() + x[line] * q_kvar[some].sum())
            at = before
        assert v[bus] ** 2 == pytest.approx(squared, abs=1e-9)
    assert (v >= full - 1e-9).all()
    assert (v - full).max() < 0.006
    assert int(v.argmin()) == 17


def test_a_voltage_limit_on_the_33_buses_raises_the_prices_of_the_far_ends() -> None:
    """vmin at .95: sun at bus 18 sells at the price of its bus, which is above that of the substation."""
    to = LINES[:, 1].astype(int) - 1
    q = np.zeros(33)
    q[to] = LINES[:, 5]
    ends = [(int(a) - 1, int(b) - 1) for a, b in LINES[:, :2]]
    r, x = ((LINES[:, column] / OHM_PER_UNIT).tolist() for column in (2, 3))
    grid = grid_of(ends, None, "lindistflow", r=r, x=x, reactive=q.tolist(), vmin=0.95**2)
    loads = [
        (int(b), int(1_000 * kw), 300_000 + 1_000 * int(b)) for b, kw in zip(to, LINES[:, 4], strict=True)
    ]
    book = book_of((0, -9_000_000, 100_000), (17, -200_000, 150_000), *loads)
    found = clear(book, on(grid))
    assert check(book, grid, found).holds
    prices = [one.price for one in found.node_price if one is not None]
    assert prices[0] == 100_000
    assert prices[0] == min(prices)
    assert prices[17] > 250_000
    assert found.accepted_wh[1] == 200_000
    assert float(found.details["v_squared"].min()) == pytest.approx(0.95**2, abs=1e-6)
    assert (np.array(network_of(grid).rows(np.array([2 * 32 + 17]))) >= 0).all()
