"""MUDA against a slow rule on listed units, by hand, by a published example, and against every misreport."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import market.mechanisms  # noqa: F401  (registers them)
from market.auctions.uniform import clear_exact
from market.book import Order, OrderBook, Side
from market.errors import InvalidRules
from market.mechanism import MECHANISMS
from market.rules import MarketRules, Value
from tests.kits.sample_kit import some
from tests.kits.unit_books import Row, best_lie, book_of, cleared, efficient, rows_of, units

BUY, SELL = 1, -1
BOTH = pytest.mark.parametrize("name", ["muda_lottery", "muda_vickrey"])


def rules_with(seed: int = 0, **params: Value) -> MarketRules:
    return MarketRules(seed=seed, params=params, rationing="time")


def drawn(rows: list[Row], seed: int) -> tuple[dict[int, bool], dict[int, int]]:
    """Who is in the left half, and the turn of each in a lottery, from the words of the generator."""
    present = sorted({who for who, _, energy, _ in rows if energy})
    words = np.random.PCG64(seed).random_raw(len(present)).tolist() if present else []
    return (
        {who: word < 2**63 for who, word in zip(present, words, strict=True)},
        {who: word * 2 % 2**64 for who, word in zip(present, words, strict=True)},
    )


def price_of(rows: list[Row], rule: str) -> int | None:
    """The price that these rows make for the other half."""
    if rule == "walras_k":
        interval = clear_exact(book_of(rows), MarketRules()).node_price[0]
        return None if interval is None else interval.price
    buys, sells = units(rows, BUY), units(rows, SELL)
    k = efficient(buys, sells)
    return (buys[k - 1][0] + sells[k - 1][0] + 1) // 2 if k else None


def slow(
    rows: list[Row], seed: int, rule: str, strict: bool, lottery: bool
) -> tuple[list[int], dict[int, int]]:
    """Accepted energy of each row and fee of each participant, unit by unit."""
    left, turn = drawn(rows, seed)
    accepted, fees = [0] * len(rows), dict.fromkeys((row[0] for row in rows), 0)
    for inside in (True, False):
        price = price_of([row for row in rows if row[2] and left[row[0]] != inside], rule)
        if price is None:
            continue
        takers = []
        for side in (BUY, SELL):
            listed = [u for u in units(rows, side) if left[rows[u[1]][0]] == inside]
            takers.append([u for u in listed if side * (u[0] - price) > (0 if strict else -1)])
        traded = min(len(side) for side in takers)
        for side in takers:
            if lottery:
                side.sort(key=lambda unit: turn[rows[unit[1]][0]])  # stable: its own best limits stay first
            for _, row in side[:traded]:
                accepted[row] += 1
            if lottery:
                continue
            for who in fees:
                others = [abs(limit - price) for limit, row in side if rows[row][0] != who]
                with_it = [abs(limit - price) for limit, row in side[:traded] if rows[row][0] != who]
                fees[who] += sum(others[:traded]) - sum(with_it)
    return accepted, fees


@BOTH
@settings(max_examples=some(200, 66))
@given(
    rows=rows_of(10),
    seed=st.integers(0, 40),
    rule=st.sampled_from(["walras_k", "marginal_midpoint"]),
    strict=st.booleans(),
)
def test_it_is_the_rule_unit_by_unit(name: str, rows: list[Row], seed: int, rule: str, strict: bool) -> None:
    """The slow fee clears a side again without each participant."""
    rows = sorted(rows, key=lambda r: r[0])
    rules = rules_with(seed, price_rule=rule, boundary="strict" if strict else "weak")
    book, clearing = cleared(MECHANISMS.get(name), rows, rules)
    accepted, fees = slow(rows, seed, rule, strict, name == "muda_lottery")
    assert clearing.accepted_wh.tolist() == accepted
    charge = np.zeros(len(book), dtype=np.int64) if clearing.charge_nano is None else clearing.charge_nano
    charged = dict.fromkeys(fees, 0)
    for who, amount in zip(book.participant.tolist(), charge.tolist(), strict=True):
        charged[who] += amount
    assert charged == fees


@BOTH
@settings(max_examples=some(150, 50))
@given(
    rows=rows_of(7, limits=(0, 4)).filter(bool),
    index=st.integers(0, 6),
    seed=st.integers(0, 20),
    exogenous=st.none() | st.integers(0, 4),
    strict=st.booleans(),
)
def test_no_participant_of_one_side_gains_by_any_joint_misreport(
    name: str, rows: list[Row], index: int, seed: int, exogenous: int | None, strict: bool
) -> None:
    """More than is promised: several orders, as long as all of them buy or all of them sell."""
    who = rows[index % len(rows)][0]
    own = [row for row in rows if row[0] == who][:3]
    rows = [row for row in rows if row[0] != who] + [(who, own[0][1], *row[2:]) for row in own]
    rules = rules_with(seed, exogenous_price_micro_per_kwh=exogenous, boundary="strict" if strict else "weak")
    truth, lie = best_lie(lambda book: MECHANISMS.get(name).clear(book, rules), rows, who, range(-1, 6))
    assert lie <= truth


def test_who_buys_and_sells_may_gain_by_a_false_offer() -> None:
    """Why only single orders are promised: an offer made below its cost opens room for the own bid behind it."""
    rows = [(0, BUY, 1, 9), (1, BUY, 1, 8), (1, SELL, 1, 6), (2, SELL, 1, 1)]
    rules = rules_with(exogenous_price_micro_per_kwh=5)
    truth, lie = best_lie(
        lambda book: MECHANISMS.get("muda_vickrey").clear(book, rules), rows, 1, [0, 4, 6, 8]
    )
    assert lie > truth


def published() -> tuple[OrderBook, tuple[tuple[int, ...], tuple[int, ...]]]:
    """The example of PyMarket's documentation: its eleven orders, its halves; 1 unit is 1 kWh."""
    bids = [6.7, 6.6, 6.5, 6.4, 6.3, 6.0]
    offers = [(1, 1.0), (1, 2.0), (2, 3.0), (2, 4.0), (1, 6.1)]
    orders = [(Side.BUY, 1, limit) for limit in bids] + [(Side.SELL, q, limit) for q, limit in offers]
    book = OrderBook.from_orders(
        Order(str(i), i, side, q * 1_000, round(limit * 1_000_000), i)
        for i, (side, q, limit) in enumerate(orders)
    )
    return book, ((1, 3, 4, 7, 8, 9), (0, 2, 5, 6, 10))


def test_the_published_example_of_vickrey_fees() -> None:
    """Prices 6.3 and 4.65, two thirds of the volume, .7907 of the gain, fees 2.3 and 4.6 of sellers 7 and 8."""
    book, partition = published()
    rules = rules_with(partition=partition, price_rule="marginal_midpoint", boundary="weak")
    clearing = MECHANISMS.get("muda_vickrey").clear(book, rules)
    assert [half["price_micro_per_kwh"] for half in clearing.details["halves"]] == [6_300_000, 4_650_000]
    best = clear_exact(book, MarketRules())
    assert clearing.traded_wh(book) / best.traded_wh(book) == pytest.approx(2 / 3)
    assert clearing.welfare_nano / best.welfare_nano == pytest.approx(0.7906976744)
    assert clearing.charge_nano is not None
    fees = {row: fee for row, fee in enumerate((clearing.charge_nano / 1e9).tolist()) if fee}
    assert fees == {0: 1.85, 7: 2.3, 8: 4.6}
    assert clearing.operator_surplus_nano == 8_750_000_000


def test_a_strict_boundary_keeps_the_order_at_the_price_out() -> None:
    """Bid 4 of the same example sits at the price of its half, 6.3."""
    book, partition = published()
    rules = rules_with(partition=partition, price_rule="marginal_midpoint")
    accepted = MECHANISMS.get("muda_vickrey").clear(book, rules).accepted_wh
    assert accepted[4] == 0
    assert accepted[[1, 3]].tolist() == [1_000, 1_000]


@BOTH
def test_a_half_without_trade_makes_no_price_and_the_other_does_not_trade(name: str) -> None:
    rows = [(0, BUY, 1, 9), (1, SELL, 1, 1), (2, BUY, 1, 9), (3, SELL, 1, 20)]
    _, clearing = cleared(MECHANISMS.get(name), rows, rules_with(partition=((0, 1), (2, 3))))
    left, right = clearing.details["halves"]
    assert (left["price_micro_per_kwh"], left["traded_wh"]) == (None, 0)
    assert right["price_micro_per_kwh"] == 5  # made by the left half, but offer 3 asks more
    assert not clearing.accepted_wh.any()
    assert clearing.node_price == (None,)


@BOTH
def test_everybody_in_one_half_trades_nothing(name: str) -> None:
    rows = [(0, BUY, 1, 9), (1, SELL, 1, 1)]
    _, clearing = cleared(MECHANISMS.get(name), rows, rules_with(partition=((0, 1), ())))
    assert not clearing.accepted_wh.any()


@BOTH
def test_orders_of_one_participant_stay_together(name: str) -> None:
    rows = [(who, side, 1, 5 + side) for who in range(12) for side in (BUY, SELL)]
    for seed in range(20):
        _, clearing = cleared(MECHANISMS.get(name), rows, rules_with(seed))
        members = [set(half["members_participants"].tolist()) for half in clearing.details["halves"]]
        assert members[0] | members[1] == set(range(12))
        assert not members[0] & members[1]


def test_halves_are_drawn_evenly_and_apart_from_prices() -> None:
    rows = [(who, BUY if who % 2 else SELL, 1, who) for who in range(200)]
    sizes, seen = [], set()
    for seed in range(50):
        halves = cleared(MECHANISMS.get("muda_lottery"), rows, rules_with(seed))[1].details["halves"]
        other = [(who, side, 1, 200 - limit) for who, side, _, limit in rows]
        again = cleared(MECHANISMS.get("muda_lottery"), other, rules_with(seed))[1].details["halves"]
        assert halves[0]["members_participants"].tolist() == again[0]["members_participants"].tolist()
        sizes.append(len(halves[0]["members_participants"]))
        seen.add(tuple(halves[0]["members_participants"].tolist()))
    assert len(seen) == 50
    assert abs(np.mean(sizes) - 100) < 4 * (200 / 4 / 50) ** 0.5


def test_one_half_at_a_given_price_by_hand() -> None:
    """Price 5: bids 9, 8, 6 want 3; offers 1 and 2 bring 2. Bids 9 and 8 win and each keeps out bid 6: fee 1."""
    rows = [(0, BUY, 1, 9), (1, BUY, 1, 8), (2, BUY, 1, 6), (3, SELL, 1, 1), (4, SELL, 1, 2), (5, SELL, 1, 6)]
    book, clearing = cleared(
        MECHANISMS.get("muda_vickrey"), rows, rules_with(exogenous_price_micro_per_kwh=5)
    )
    assert clearing.accepted_wh.tolist() == [1, 1, 0, 1, 1, 0]
    assert clearing.payment_nano(book).tolist() == [6, 6, 0, -5, -5, 0]
    assert clearing.operator_surplus_nano == 2


def test_the_lottery_serves_everybody_alike() -> None:
    rows = [(0, BUY, 1, 9), (1, BUY, 1, 6), (2, SELL, 1, 1)]
    first = [
        int(
            cleared(MECHANISMS.get("muda_lottery"), rows, rules_with(seed, exogenous_price_micro_per_kwh=5))[
                1
            ].accepted_wh[0]
        )
        for seed in range(1_000)
    ]
    assert abs(np.mean(first) - 0.5) < 4 * (0.25 / 1_000) ** 0.5


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"partition": ((0,), ())}, "exactly one"),
        ({"partition": ((0, 1), (1,))}, "exactly one"),
        ({"partition": ((0,), (1,)), "exogenous_price_micro_per_kwh": 5}, "leave the partition out"),
        ({"exogenous_price_micro_per_kwh": -(2**62)}, "passes 2\\^62"),
    ],
)
def test_a_parameter_that_does_not_fit_is_refused(params: dict[str, Value], says: str) -> None:
    with pytest.raises(InvalidRules, match=says):
        MECHANISMS.get("muda_lottery").clear(book_of([(0, BUY, 1, 9), (1, SELL, 1, 1)]), rules_with(**params))


@BOTH
def test_an_order_without_energy_is_no_participant(name: str) -> None:
    """It neither moves the words of the others nor has to be in the partition."""
    rows = [(who, BUY if who % 2 else SELL, 2, 4 + who % 3) for who in range(1, 9)]
    clear: Callable[[OrderBook, MarketRules], object] = MECHANISMS.get(name).clear
    for seed in range(10):
        without = cleared(MECHANISMS.get(name), rows, rules_with(seed))[1].accepted_wh.tolist()
        assert cleared(MECHANISMS.get(name), [(0, BUY, 0, 9), *rows], rules_with(seed))[
            1
        ].accepted_wh.tolist() == [
            0,
            *without,
        ]
    clear(book_of([(0, BUY, 0, 9), *rows]), rules_with(partition=((1, 2, 3, 4), (5, 6, 7, 8))))


def test_a_fee_is_charged_to_the_orders_that_keep_others_out() -> None:
    """Participant 0 wins on the long side and sells on the other; its fee must not press the limit of its offer."""
    orders = [
        Order("bid", 0, Side.BUY, 10, 100, 0),
        Order("offer", 0, Side.SELL, 10, 49, 1),
        Order("loser", 1, Side.BUY, 10, 90, 2),
    ]
    book = OrderBook.from_orders(orders)
    rules = MarketRules(params={"exogenous_price_micro_per_kwh": 50})
    clearing = MECHANISMS.get("muda_vickrey").clear(book, rules)
    assert clearing.accepted_wh.tolist() == [10, 10, 0]
    assert clearing.charge_nano is not None
    assert clearing.charge_nano.tolist() == [400, 0, 0]
    assert clearing.operator_surplus_nano == 400
