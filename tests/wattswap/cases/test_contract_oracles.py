"""`clear_case` against a second implementation that was written from the text of the contract alone."""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

from tests.oracles import call_market, draw, games, gsy, metered, multi_unit, stream, unit_rules
from tests.oracles.books import bids_of, micro, offers_of, rows_of, total
from tests.oracles.compare import MICRO, NANO, check_amounts, compare, exact, near, within_limits
from wattswap.cases.contract import clear_case

Case = dict[str, Any]

SEED = 20_161_105
CASES = 150


def drawn(make: Callable[[random.Random], Case], cases: int = CASES) -> list[Case]:
    """Cases of one family; the seed of each is its number."""
    return [make(random.Random(SEED + i)) for i in range(cases)]


# One price for all.


@pytest.mark.parametrize("solver", ["exact", "highs"])
@pytest.mark.parametrize("rationing", ["pro_rata", "time"])
def test_uniform_price(rationing: str, solver: str) -> None:
    def make(rng: random.Random) -> Case:
        k = rng.choice((0, 0.25, 0.5, 1, 0.3))
        return draw.book(rng, params={"k": k, "rationing": rationing, "solver": solver})

    for case in drawn(make):
        result = clear_case(case, "uniform_price")
        compare(case, result, call_market.uniform_price(case))
        assert (result["price_interval"] is None) == (result["price"] is None)
        assert result["certificate"]["gap"] == result["certificate"]["residual_kwh"] == 0


def test_uniform_price_with_prices_of_single_micros() -> None:
    def make(rng: random.Random) -> Case:
        case = draw.book(rng, params={"k": rng.choice((0, 0.333333, 0.5, 1))})
        for order in case["orders"]:
            order["price_per_kwh"] = rng.randrange(-3, 4) / 1e6
        return case

    for case in drawn(make):
        compare(case, clear_case(case, "uniform_price"), call_market.uniform_price(case))


def test_the_lottery_of_uniform_price_keeps_volume_welfare_and_price() -> None:
    def make(rng: random.Random) -> Case:
        return draw.book(rng, params={"rationing": "random", "seed": rng.randrange(99)})

    for case in drawn(make, 80):
        result, wanted = clear_case(case, "uniform_price"), call_market.uniform_price(case)
        check_amounts(case, result)
        within_limits(case, result)
        assert near(result["price"], None if wanted.price is None else wanted.price / 10**6, MICRO)
        assert exact(result["welfare"], call_market.welfare(rows_of(case)) / 10**9)
        assert exact(result["traded_kwh"], Fraction(call_market.best_volume(rows_of(case)), 1000))


def test_welfare_optimum() -> None:
    for case in drawn(draw.book):
        compare(case, clear_case(case, "welfare_optimum"), call_market.uniform_price({**case, "params": {}}))


@pytest.mark.parametrize("rule", ["midpoint", "bid", "offer", "both_as_bid"])
def test_pay_as_bid(rule: str) -> None:
    def make(rng: random.Random) -> Case:
        return draw.book(rng, params={"price_rule": rule, "k": rng.choice((0, 0.5, 0.3, 1))})

    for case in drawn(make):
        compare(case, clear_case(case, "pay_as_bid"), call_market.pay_as_bid(case))


def test_posted_price() -> None:
    def make(rng: random.Random) -> Case:
        return draw.book(rng, params={"price": rng.randrange(0, 80, 2) / 100})

    for case in drawn(make):
        compare(case, clear_case(case, "posted_price"), call_market.posted_price(case))


def test_the_mid_market_rate_of_a_book_is_a_posted_price() -> None:
    def make(rng: random.Random) -> Case:
        return draw.book(rng, params={"retail_price": rng.randrange(20, 90, 2) / 100, "feed_in_tariff": 0.08})

    for case in drawn(make):
        middle = Fraction(micro(case["params"]["retail_price"]) + 80_000, 2)
        compare(case, clear_case(case, "mid_market_rate"), call_market.posted_price(case, middle))


# Truthful rules.


def test_vcg_pays_every_participant_its_contribution() -> None:
    for case in drawn(draw.book):
        result = clear_case(case, "vcg")
        check_amounts(case, result)
        assert exact(result["welfare"], call_market.welfare(rows_of(case)) / 10**9)
        assert exact(result["traded_kwh"], Fraction(call_market.best_volume(rows_of(case)), 1000))
        gain = {row["participant"]: -row["payment"] for row in result["participants"]}
        for order, found in zip(case["orders"], result["orders"], strict=True):
            sign = 1 if order["side"] == "buy" else -1
            gain[order["participant"]] += sign * found["accepted_kwh"] * order["price_per_kwh"]
        for who, amount in call_market.vcg_contributions(case).items():
            assert near(gain[who], amount / 10**9, NANO)


def unit_book(rng: random.Random, **params: Any) -> Case:
    return draw.book(rng, units=True, most=11, lowest=rng.choice((-5, 1)), params=params)


@pytest.mark.parametrize("missing", ["none", "bid", "offer", "both"])
def test_mcafee(missing: str) -> None:
    """Most stand-ins lie outside all limits, as feed-in and retail price do."""

    def make(rng: random.Random) -> Case:
        given: Case = {"unit_kwh": rng.choice((1, 1, 0.5))}
        if missing in ("bid", "both"):
            given["b_missing"] = rng.choice((-0.2, -0.1, -0.1, 0.04))
        if missing in ("offer", "both"):
            given["s_missing"] = rng.choice((1.4, 2, 2, 0.7))
        return unit_book(rng, **given)

    for case in drawn(make, 200):
        result, wanted = clear_case(case, "mcafee"), unit_rules.mcafee(case)
        compare(case, result, wanted)
        for key in ("traded_pairs", "reduced"):
            assert result[key] == wanted.more[key]
        for key in ("buyer_price", "seller_price"):
            amount = wanted.more[key]
            assert near(result[key], None if amount is None else amount / 10**6, MICRO)


def test_trade_reduction() -> None:
    for case in drawn(lambda rng: unit_book(rng, unit_kwh=rng.choice((1, 0.5, 2)), seed=3), 200):
        compare(case, clear_case(case, "trade_reduction"), unit_rules.trade_reduction(case))


def test_sbba_apart_from_the_seller_that_is_drawn() -> None:
    for case in drawn(lambda rng: unit_book(rng, unit_kwh=rng.choice((1, 0.5)), seed=rng.randrange(9)), 200):
        result, wanted = clear_case(case, "sbba"), unit_rules.sbba(case)
        check_amounts(case, result)
        within_limits(case, result)
        price = wanted["price"]
        assert exact(result["price"], None if price is None else price / 10**6)
        assert sorted(result["buyers_certain"]) == sorted(wanted["buyers"])
        assert sorted(result["sellers_pool"]) == sorted(wanted["pool"])
        assert len(result["sellers_drawn"]) == wanted["trades"]
        pool = list(wanted["pool"])
        for name in result["sellers_drawn"]:
            pool.remove(name)
        assert len(pool) == len(wanted["pool"]) - wanted["trades"] <= 1
        assert near(result["expected_welfare"], wanted["expected_welfare"] / 10**9, NANO)
        assert exact(result["operator_surplus"], 0)
        unit = wanted.get("unit", 0) / 1000
        for order in result["orders"]:
            names = wanted["buyers"] + result["sellers_drawn"]
            assert exact(order["accepted_kwh"], names.count(order["id"]) * unit)
            assert order["price_per_kwh"] is None or exact(order["price_per_kwh"], price / 10**6)


@pytest.mark.parametrize("units", [False, True])
def test_huang_of_participants_with_one_order(units: bool) -> None:
    for case in drawn(lambda rng: draw.book(rng, single=True, units=units, most=14), 250):
        result, wanted = clear_case(case, "huang"), multi_unit.huang(case)
        compare(case, result, wanted)
        for key in ("buyer_price", "seller_price"):
            amount = wanted.more[key]
            assert exact(result[key], None if amount is None else amount / 10**6)


def muda_case(rng: random.Random) -> Case:
    case = draw.book(rng, most=18, single=rng.random() < 0.3)
    case["params"] = {
        "price_rule": rng.choice(("walras_k", "marginal_midpoint")),
        "k": rng.choice((0, 0.5, 0.25, 1)),
        "boundary": rng.choice(("strict", "weak")),
        "seed": rng.randrange(9),
    }
    if rng.random() < 0.25:
        case["params"]["exogenous_price"] = rng.randrange(-10, 60, 2) / 100
    else:
        case["params"]["partition"] = draw.partition(rng, case)
    return case


def test_muda_vickrey() -> None:
    for case in drawn(muda_case, 300):
        result, wanted = clear_case(case, "muda_vickrey"), multi_unit.muda_vickrey(case)
        compare(case, result, wanted)
        _check_halves(case, result)


def test_muda_lottery_apart_from_who_is_drawn() -> None:
    for case in drawn(muda_case, 300):
        result = clear_case(case, "muda_lottery")
        check_amounts(case, result)
        within_limits(case, result)
        assert exact(result["operator_surplus"], 0)
        _check_halves(case, result)
        got = {order["id"]: order for order in result["orders"]}
        allowed: dict[str, tuple[int, bool, Fraction]] = {}
        for rows, price in multi_unit.muda_halves(case):
            if price is None:
                continue
            sides = multi_unit.taking_part(rows, price, case["params"]["boundary"])
            volume = min(map(total, sides))
            for side in sides:
                assert exact(sum(got[row.id]["accepted_kwh"] for row in side), Fraction(volume, 1000))
                allowed |= {row.id: (row.wh, total(side) == volume, price) for row in side}
        for name, order in got.items():
            wh, whole, price = allowed.get(name, (0, True, Fraction(0)))
            assert order["accepted_kwh"] <= wh / 1000
            assert not whole or exact(order["accepted_kwh"], wh / 1000)
            assert order["price_per_kwh"] is None or near(order["price_per_kwh"], price / 10**6, MICRO)


def _check_halves(case: Case, result: Case) -> None:
    halves = multi_unit.muda_halves(case)
    assert len(result["halves"]) == len(halves)
    for found, (rows, price) in zip(result["halves"], halves, strict=True):
        assert near(found["price"], None if price is None else price / 10**6, MICRO)
        assert {row.who for row in rows} <= set(found["members"])
        if price is not None:
            sides = multi_unit.taking_part(rows, price, case["params"]["boundary"])
            assert exact(found["traded_kwh"], Fraction(min(map(total, sides)), 1000))


# Exchanges of Grid Singularity.


def test_gsy_pay_as_bid() -> None:
    for case in drawn(draw.book, 250):
        compare(case, clear_case(case, "gsy_pay_as_bid"), gsy.gsy_pay_as_bid(case))


@pytest.mark.parametrize("units", [False, True])
def test_gsy_pay_as_clear(units: bool) -> None:
    for case in drawn(lambda rng: draw.book(rng, units=units), 250):
        compare(case, clear_case(case, "gsy_pay_as_clear"), gsy.gsy_pay_as_clear(case))


@pytest.mark.parametrize("residual", ["touched_leave", "carry_over"])
def test_preferred_partners(residual: str) -> None:
    def make(rng: random.Random) -> Case:
        given = {} if residual == "touched_leave" and rng.random() < 0.5 else {"residual": residual}
        return draw.wishes(rng, draw.book(rng, most=12, params=given))

    for case in drawn(make, 250):
        compare(case, clear_case(case, "preferred_partners"), gsy.preferred_partners(case))


def test_random_bilateral_leaves_no_pair_that_suits() -> None:
    for case in drawn(lambda rng: draw.book(rng, params={"seed": rng.randrange(9)})):
        result = clear_case(case, "random_bilateral")
        check_amounts(case, result)
        within_limits(case, result)
        left = [
            order
            for order, found in zip(case["orders"], result["orders"], strict=True)
            if found["accepted_kwh"] < order["quantity_kwh"]
        ]
        rows = rows_of({"orders": left})
        bids, offers = bids_of(rows), offers_of(rows)
        assert not bids or not offers or bids[0].limit < offers[0].limit
        assert exact(result["operator_surplus"], 0)


# Metered quantities.


@pytest.mark.parametrize("name", sorted(metered.RULES))
def test_sharing_rules(name: str) -> None:
    def make(rng: random.Random) -> Case:
        case = draw.metered(rng, rng.choice((1, 2, 4)))
        if name == "bill_sharing":
            case["params"]["horizon"] = rng.choice(("interval", "sum"))
        if name == "supply_demand_ratio" and rng.random() < 0.4:
            case["params"]["compensation"] = rng.randrange(200) / 1000
        return case

    for case in drawn(make, 200):
        result, wanted = clear_case(case, name), metered.shared(case, name)
        lists = case["params"].get("horizon") != "sum"
        prices = zip(
            *(result[key] if lists else [result[key]] for key in ("buy_price", "sell_price")), strict=True
        )
        for found, right in zip(prices, wanted["prices"], strict=True):
            for a, b in zip(found, right, strict=True):
                assert exact(a, b)
        intervals = len(wanted["prices"])
        for row in result["participants"]:
            assert near(row["payment"], wanted["paid"][row["participant"]], 4 * intervals * NANO)
        assert {row["participant"] for row in result["participants"]} == set(wanted["paid"])
        if name == "supply_demand_ratio":
            sums = [
                [sum(Fraction(str(row[t])) for row in case[key].values()) for t in range(intervals)]
                for key in ("supply_kwh", "demand_kwh")
            ]
            for found, supply, demand in zip(result["sdr"], *sums, strict=True):
                assert exact(found, Fraction(supply) / demand if demand else None)


def test_retailer_only() -> None:
    for case in drawn(draw.homes):
        result, wanted = clear_case(case, "retailer_only"), metered.retailer_only(case)
        costs = wanted.pop("cost")
        assert {who: exact(result["cost"][who], x) for who, x in costs.items()} == dict.fromkeys(costs, True)
        assert set(result["cost"]) == set(costs)
        assert all(exact(result[key], x) for key, x in wanted.items())


# Streams of events.


def test_continuous() -> None:
    for case in drawn(draw.stream, 600):
        result, wanted = clear_case(case, "continuous"), stream.continuous(case)
        found = [
            (t["resting"], t["aggressor"], t["quantity_kwh"], t["price_per_kwh"]) for t in result["trades"]
        ]
        assert [row[:2] for row in found] == [row[:2] for row in wanted["trades"]]
        for ours, theirs in zip(found, wanted["trades"], strict=True):
            assert exact(ours[2], theirs[2])
            assert exact(ours[3], theirs[3])
        for side in ("bids", "offers"):
            assert [row[0] for row in result[side]] == [row[0] for row in wanted[side]]
            for left, right in zip(result[side], wanted[side], strict=True):
                assert exact(left[1], right[1])
                assert exact(left[2], right[2])


# Cooperative games.


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_shapley(size: int) -> None:
    for case in drawn(lambda rng: draw.game(rng, size), 50):
        result, wanted = clear_case(case, "shapley"), games.shapley(case)
        assert all(near(result["shares"][p], x, NANO) for p, x in wanted.items())
        assert exact(sum(result["shares"].values()), games.value_of(case)[frozenset(case["players"])])
        _check_core(case, result)


def _check_core(case: Case, result: Case) -> None:
    share = {p: Fraction(str(x)) for p, x in result["shares"].items()}
    slack = Fraction(len(share), 10**9)
    assert result["in_core"] == games.in_core(case, share, slack)
    if 2 <= len(share) <= 3:
        assert result["core_nonempty"] == games.core_of_three_nonempty(case)
    assert result["core_nonempty"] or not result["in_core"]


@pytest.mark.parametrize("size", [2, 3, 4])
def test_nucleolus(size: int) -> None:
    def make(rng: random.Random) -> Case:
        case = draw.game(rng, size)
        alone = sum(case["value"][p] for p in case["players"])
        everybody = ",".join(case["players"])
        case["value"][everybody] = round(max(case["value"][everybody], alone + 0.5), 2)
        return case

    for case in drawn(make, 40):
        result = clear_case(case, "nucleolus")
        share = {p: Fraction(str(x)) for p, x in result["shares"].items()}
        assert exact(float(sum(share.values())), games.value_of(case)[frozenset(case["players"])])
        _check_core(case, result)
        assert result["in_core"] == result["core_nonempty"]
        assert games.better_than_nucleolus(case, share, Fraction(1, 10_000)) is None


def test_sampled_shapley_sums_to_the_value_of_all() -> None:
    for case in drawn(lambda rng: draw.game(rng, 4), 20):
        case["params"] = {"samples": 400, "seed": 5}
        result = clear_case(case, "shapley_sampled")
        everybody = games.value_of(case)[frozenset(case["players"])]
        assert exact(sum(result["shares"].values()), everybody)
        _check_core(case, result)
        spread = max(abs(x) for x in games.value_of(case).values()) * 4
        wanted = games.shapley(case)
        assert all(near(result["shares"][p], x, float(spread) / 4) for p, x in wanted.items())
