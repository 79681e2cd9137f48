"""Settlement: double entry, energy balance, nobody worse off but for its own imbalance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.book import Order, OrderBook, Side
from market.clearing import Clearing, PriceInterval, check_feasible
from market.errors import AmountTooLarge, InvalidBook, UnbalancedPostings
from market.settlement.accounts import COLUMNS, MONEY_COLUMNS, Postings, check_balanced
from market.settlement.baseline import baseline_nano, imbalance_cost_nano
from market.settlement.imbalance import Imbalance, ImbalanceRule
from market.settlement.settle import settle
from market.settlement.tariff import IntervalPrices
from market.units import INT64_SAFE

PRICES = IntervalPrices(300_000, 100_000, 20_000, 50_000)
MIDDLE, RETAILER = ImbalanceRule(Imbalance.MIDDLE), ImbalanceRule(Imbalance.RETAILER)
WRAPS_TO_LITTLE = 2**64 // 300_000 + 1
"""Energy that costs almost nothing at 0.30 a kWh when the product wraps around. [Wh]"""


def cleared(bought: list[int], sold: list[int], price: int) -> tuple[OrderBook, Clearing]:
    """A book whose orders are all accepted: home i buys bought[i] or sells sold[i]."""
    orders = [
        Order(f"o{i}", i, Side.BUY if b else Side.SELL, b or s, price)
        for i, (b, s) in enumerate(zip(bought, sold, strict=True))
        if b or s
    ]
    book = OrderBook.from_orders(orders)
    full = np.full(len(book), price, dtype=np.int64)
    return book, Clearing(book.energy_wh, full, (PriceInterval(price, price, price),), 0, 0)


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def test_a_hand_checked_interval_is_posted_line_by_line() -> None:
    """Home 0 buys 240 of home 1's energy at 0.20, uses 263; home 1 delivers 250: the numbers can be done on paper."""
    book, clearing = cleared([240, 0], [0, 240], 200_000)
    postings = settle(book, clearing, ints(263, 0), ints(0, 250), PRICES)
    # Short 23, long 10: 10 Wh netted. The buyer pays the cap of 0.33 (0.30 + 0.05 - 0.02), the seller gets 0.10,
    # and the gain of 10 x 0.23 is shared equally.
    assert postings.column("local_wh").tolist() == [10, -10, 0, 0, 0]
    assert postings.column("trade_nano").tolist() == [-48_000_000, 48_000_000, 0, 0, 0]
    assert postings.column("imbalance_nano").tolist() == [-2_150_000, 2_150_000, 0, 0, 0]
    assert postings.column("retail_nano").tolist() == [-3_900_000, 0, 3_900_000, 0, 0]
    # 250 Wh came from the neighbour at 0.02, 13 Wh from outside at 0.05.
    assert postings.column("grid_fee_nano").tolist() == [-5_650_000, 0, 0, 5_650_000, 0]
    assert postings.total_nano.sum() == 0


def test_a_perfect_forecast_pays_exactly_its_trade_and_local_fee() -> None:
    book, clearing = cleared([500, 0], [0, 500], 150_000)
    postings = settle(book, clearing, ints(500, 0), ints(0, 500), PRICES)
    assert postings.total_nano.tolist() == [-85_000_000, 75_000_000, 0, 10_000_000, 0]


def test_with_the_retailer_alone_every_home_settles_all_energy_with_the_retailer() -> None:
    book, clearing = cleared([0, 0], [0, 0], 0)
    imported, exported = ints(263, 10), ints(5, 250)
    postings = settle(book, clearing, imported, exported, PRICES, rule=RETAILER)
    assert postings.total_nano[:2].tolist() == baseline_nano(imported, exported, PRICES).tolist()
    assert not postings.column("local_wh").any()


def test_fees_above_the_spread_stop_netting_inside() -> None:
    """If inside costs a buyer more than outside, imbalance goes to the retailer."""
    dear = IntervalPrices(110_000, 100_000, 50_000, 0)
    book, clearing = cleared([0, 0], [0, 0], 0)
    postings = settle(book, clearing, ints(100, 0), ints(0, 100), dear)
    assert not postings.column("local_wh").any()


homes = st.integers(1, 8).flatmap(
    lambda n: st.tuples(
        *(st.lists(st.integers(0, 5_000), min_size=n, max_size=n) for _ in range(2)),
        st.lists(st.tuples(st.booleans(), st.integers(0, 3_000)), min_size=n, max_size=n),
        st.integers(100_000, 330_000),
        st.tuples(*(st.integers(-50_000, 50_000) for _ in range(4))),
    )
)


def balanced_trades(wanted: list[tuple[bool, int]]) -> tuple[list[int], list[int]]:
    """Cut the longer side of a random wish list so that bought equals sold."""
    bought = [e if buys else 0 for buys, e in wanted]
    sold = [0 if buys else e for buys, e in wanted]
    excess = sum(bought) - sum(sold)
    longer = bought if excess > 0 else sold
    for i, energy in enumerate(longer):
        cut = min(energy, abs(excess))
        longer[i] -= cut
        excess = excess - cut if excess > 0 else excess + cut
    return bought, sold


@given(homes)
def test_money_and_energy_sum_to_zero_and_no_home_loses_more_than_its_imbalance(case: tuple) -> None:
    imported, exported, wanted, price, jitter = case
    prices = IntervalPrices(300_000 + jitter[0], 100_000 + jitter[1], 20_000, 50_000 + abs(jitter[2]))
    price = min(max(price, prices.feed_in_micro_per_kwh), prices.buy_cap_micro_per_kwh)
    bought, sold = balanced_trades(wanted)
    book, clearing = cleared(bought, sold, price)
    imported_wh, exported_wh = ints(*imported), ints(*exported)
    postings = settle(book, clearing, imported_wh, exported_wh, prices, rule=MIDDLE)
    for column in MONEY_COLUMNS:
        assert int(postings.column(column).sum()) == 0
    members = postings.lines[: len(imported)]
    index = {name: i for i, name in enumerate(COLUMNS)}
    inflow = members[:, index["bought_wh"]] + members[:, index["retail_import_wh"]]
    outflow = members[:, index["sold_wh"]] + members[:, index["retail_export_wh"]]
    assert (inflow - outflow + members[:, index["local_wh"]] == imported_wh - exported_wh).all()
    loss = baseline_nano(imported_wh, exported_wh, prices) - postings.total_nano[: len(imported)]
    assert (loss <= np.maximum(imbalance_cost_nano(postings, prices), 0)).all()


@given(homes)
def test_the_grid_operator_gets_the_local_fee_for_local_and_the_remote_fee_for_remote_flow(
    case: tuple,
) -> None:
    imported, exported, wanted, price, _ = case
    bought, sold = balanced_trades(wanted)
    book, clearing = cleared(bought, sold, price)
    postings = settle(book, clearing, ints(*imported), ints(*exported), PRICES)
    remote = int(postings.column("retail_import_wh").sum())
    local = sum(imported) - remote
    assert local >= 0
    income = int(postings.column("grid_fee_nano")[len(imported) + 1])
    assert income == local * 20_000 + remote * 50_000


@pytest.mark.parametrize("column", [*MONEY_COLUMNS, "bought_wh", "local_wh", "retail_import_wh"])
def test_one_unit_too_much_in_any_column_stops_the_run(column: str) -> None:
    book, clearing = cleared([240, 0], [0, 240], 200_000)
    lines = settle(book, clearing, ints(263, 0), ints(0, 250), PRICES).lines.copy()
    lines[0, COLUMNS.index(column)] += 1
    with pytest.raises(UnbalancedPostings):
        check_balanced(Postings(lines, 2))


@given(
    st.integers(1, 6),
    st.data(),
    st.integers(0, 50_000),
    st.integers(0, 50_000),
    st.tuples(*(st.integers(-400_000, 400_000) for _ in range(2))),
    st.tuples(*(st.integers(0, 90_000) for _ in range(2))),
)
def test_a_home_alone_pays_the_retailer_whatever_its_two_registers_say(
    members: int, data: st.DataObject, import_wh: int, export_wh: int, outside: tuple, fees: tuple
) -> None:
    """Both registers can move in one interval; a home must not sell its own export to itself at a better price."""
    prices = IntervalPrices(*outside, *fees)
    home = data.draw(st.integers(0, members - 1))
    imported, exported = np.zeros(members, dtype=np.int64), np.zeros(members, dtype=np.int64)
    imported[home], exported[home] = import_wh, export_wh
    book, clearing = cleared([0] * members, [0] * members, 0)
    postings = settle(book, clearing, imported, exported, prices)
    assert postings.total_nano[:members].tolist() == baseline_nano(imported, exported, prices).tolist()
    assert not postings.column("local_wh").any()


def test_a_home_short_and_long_at_once_nets_only_the_difference() -> None:
    """Home 0 needs 80 and gives 50 in the same interval: 30 come from home 1, and 50 each way stay at the retailer."""
    book, clearing = cleared([0, 0], [0, 0], 0)
    postings = settle(book, clearing, ints(80, 0), ints(50, 100), PRICES, rule=MIDDLE)
    assert postings.column("local_wh").tolist() == [30, -30, 0, 0, 0]
    assert postings.column("retail_import_wh").tolist() == [50, 0, 0, 0, 0]
    assert postings.column("retail_export_wh").tolist() == [50, 70, 0, 0, 0]
    assert postings.column("imbalance_nano").tolist() == [-6_450_000, 6_450_000, 0, 0, 0]
    assert postings.column("retail_nano").tolist() == [-10_000_000, 7_000_000, 3_000_000, 0, 0]
    # 30 Wh from the neighbour at 0.02, 50 Wh from outside at 0.05.
    assert postings.column("grid_fee_nano").tolist() == [-3_100_000, 0, 0, 3_100_000, 0]


@pytest.mark.parametrize("energy_wh", [INT64_SAFE // 300_000 + 1, WRAPS_TO_LITTLE, 2**62])
@pytest.mark.parametrize("rule", [MIDDLE, RETAILER])
def test_amounts_beyond_2_62_are_refused_before_a_product_can_wrap(
    energy_wh: int, rule: ImbalanceRule
) -> None:
    """A wrapped amount can be small and balance: nothing that is looked at afterwards would show it."""
    assert 0 < WRAPS_TO_LITTLE * 300_000 - 2**64 < 300_000
    book, clearing = cleared([0, 0], [0, 0], 0)
    prices = IntervalPrices(300_000, 100_000)
    with pytest.raises(AmountTooLarge, match=r"the amounts of one interval pass 2\^62 nano-currency"):
        settle(book, clearing, ints(energy_wh, 0), ints(0, 0), prices, rule=rule)


def test_stored_postings_beyond_2_62_are_refused() -> None:
    lines = np.zeros((5, len(COLUMNS)), dtype=np.int64)
    lines[:2, COLUMNS.index("retail_nano")] = 2**61, -(2**61)
    with pytest.raises(AmountTooLarge):
        check_balanced(Postings(lines, 2))
    lines[:2, COLUMNS.index("retail_nano")] = 2**60, -(2**60)
    check_balanced(Postings(lines, 2))


def test_several_orders_of_one_member_are_added_up() -> None:
    book = OrderBook.from_orders(
        [
            Order("a", 0, Side.BUY, 100, 200_000, 0),
            Order("b", 0, Side.BUY, 50, 200_000, 1),
            Order("c", 1, Side.SELL, 150, 200_000, 0),
        ]
    )
    price = np.full(3, 200_000, dtype=np.int64)
    postings = settle(
        book, Clearing(book.energy_wh, price, (None,), 0, 0), ints(150, 0), ints(0, 150), PRICES
    )
    assert postings.column("bought_wh").tolist()[:2] == [150, 0]
    assert postings.column("trade_nano").tolist()[:2] == [-30_000_000, 30_000_000]


def with_grid(losses_wh: int) -> tuple[OrderBook, Clearing]:
    """Home 0 buys 300 of home 1's 100 Wh and the rest of the grid, participant 2, which also sells what is lost."""
    orders = [
        Order("buy", 0, Side.BUY, 300, 300_000),
        Order("sell", 1, Side.SELL, 100, 100_000),
        Order("grid", 2, Side.SELL, 200 + losses_wh, 250_000),
    ]
    book = OrderBook.from_orders(orders)
    price = ints(250_000, 250_000, 250_000)
    surplus = -250_000 * losses_wh
    interval = (PriceInterval(250_000, 250_000, 250_000),)
    return book, Clearing(book.energy_wh, price, interval, surplus, 0, losses_wh=losses_wh)


@pytest.mark.parametrize("losses_wh", [0, 7])
def test_an_order_of_an_external_account_settles(losses_wh: int) -> None:
    book, clearing = with_grid(losses_wh)
    check_feasible(book, clearing)
    postings = settle(book, clearing, ints(300, 0), ints(0, 100), PRICES, external=1)
    assert (postings.members, postings.external, len(postings.lines)) == (2, 1, 6)
    assert postings.column("sold_wh").tolist() == [0, 100, 200 + losses_wh, 0, 0, 0]
    assert postings.column("export_wh").tolist() == [0, 100, 200 + losses_wh, 0, 0, 0]
    assert postings.column("loss_wh").tolist() == [0, 0, 0, 0, losses_wh, 0]
    assert postings.column("trade_nano").tolist() == [
        -75_000_000,
        25_000_000,
        250_000 * (200 + losses_wh),
        0,
        0,
        -250_000 * losses_wh,
    ]
    assert not postings.column("retail_nano").any()
    assert all(postings.column(name).sum() == 0 for name in MONEY_COLUMNS)


def test_an_order_of_nobody_who_has_an_account_is_refused() -> None:
    book, clearing = with_grid(0)
    with pytest.raises(InvalidBook, match="an order of participant 2; there are 2 accounts that trade"):
        settle(book, clearing, ints(300, 0), ints(0, 100), PRICES)


def test_what_an_external_account_trades_leaves_the_imbalance_of_homes_alone() -> None:
    book, clearing = with_grid(0)
    postings = settle(book, clearing, ints(330, 0), ints(0, 90), PRICES, external=1)
    assert postings.column("local_wh").tolist() == [0, 0, 0, 0, 0, 0]
    assert postings.column("retail_import_wh").tolist() == [30, 10, 0, 0, 0, 0]
