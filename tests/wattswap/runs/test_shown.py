"""Money on screen adds up, and the saving is shown in its parts."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattswap.cli._summary import saving_lines
from wattswap.cli.tables import fixed
from wattswap.report.words import number
from wattswap.runs.shown import adding_up, bills_with_total, money_in_cents, rounded, saving_of

AMOUNTS = st.lists(st.integers(-(10**14), 10**14), min_size=1, max_size=40)
"""Amounts in nano-units."""


@given(AMOUNTS)
def test_what_is_shown_adds_up_to_the_rounded_total(nano: list[int]) -> None:
    values = [n / 1e9 for n in nano]
    shown = [round(100 * v) for v in adding_up(values)]
    assert sum(shown) == pytest.approx(100 * sum(nano) / 1e9, abs=0.501)
    assert all(abs(cents - 100 * value) <= 1 + 1e-6 for cents, value in zip(shown, values, strict=True))


def test_the_largest_remainders_go_up_and_exact_values_stay() -> None:
    assert adding_up([0.004, 0.004, 0.004, 1.0, 0.0]) == [0.01, 0.0, 0.0, 1.0, 0.0]
    assert adding_up([-0.004, -0.003, 0.25]) == [-0.01, 0.0, 0.25]
    assert adding_up([1 / 3, 1 / 3, 1 / 3]) == [0.34, 0.33, 0.33]
    assert adding_up([]) == []


def bills(nano: list[int]) -> pd.DataFrame:
    without = [n / 1e9 for n in nano]
    saving = [abs(n) / 7e9 for n in nano]
    frame = pd.DataFrame({"cost_without_market": without, "saving": saving})
    frame["cost_with_market"] = frame["cost_without_market"] - frame["saving"]
    frame["saving_percent"] = 1.0
    frame.index = [f"home-{i}" for i in range(len(nano) - 1)] + ["all"]
    return frame


@given(AMOUNTS)
def test_bills_add_up_down_and_across(nano: list[int]) -> None:
    cents = (bills_with_total(bills(nano), "all") * 100).round().drop(columns="saving_percent").astype(int)
    homes, total = cents.iloc[:-1], cents.iloc[-1]
    assert len(homes) == len(nano)  # a home that is called like the total keeps its row
    assert (homes.sum() == total).all()
    assert (cents["cost_without_market"] - cents["saving"] == cents["cost_with_market"]).all()


def test_money_from_outside_is_no_merit_of_the_mechanism() -> None:
    figures = {
        "saving_by_mechanism": 4.0,
        "saving_by_imbalance_rule": 1.0,
        "saving_bound": 7.0,
        "saving_from_outside": 5.0,
        "cost_without_market": 100.0,
    }
    found = saving_of(figures)
    assert found is not None
    assert (found.by_mechanism, found.by_imbalance_rule, found.from_outside) == (4.0, 1.0, 5.0)
    assert (found.saved, found.paid, found.without, found.bound) == (10.0, 90.0, 100.0, 7.0)
    kept = saving_of({**figures, "saving_by_mechanism": 9.0, "saving_from_outside": 0.0})
    assert kept is not None
    assert (kept.by_mechanism, kept.from_outside) == (9.0, 0.0)


@given(*(st.integers(-(10**12), 10**12),) * 3, *(st.integers(0, 10**12),) * 3)
def test_money_of_all_homes_adds_up(
    own: int, without: int, buyers: int, rule: int, outside: int, sellers: int
) -> None:
    exact = {
        "saving_by_mechanism": own,
        "saving_by_imbalance_rule": rule,
        "saving_from_outside": outside,
        "saving": own + rule + outside,
        "saving_bound": own + rule,
        "cost_without_market": without,
        "cost_with_market": without - own - rule - outside,
        "operator_surplus": -outside,
        "market_operator_income": -outside,
        "buyer_surplus": buyers,
        "seller_surplus": sellers,
        "welfare": buyers + sellers - outside,
    }
    shown = money_in_cents({name: nano / 1e9 for name, nano in exact.items()})
    cents = {name: round(100 * value) for name, value in shown.items()}
    assert all(abs(cents[name] - nano / 1e7) < 2 for name, nano in exact.items())
    parts = [cents[f"saving_{name}"] for name in ("by_mechanism", "by_imbalance_rule", "from_outside")]
    assert sum(parts) == cents["saving"]
    assert sum(parts[:2]) == cents["saving_bound"]  # as exactly: no part passes what is possible
    assert cents["cost_without_market"] - cents["saving"] == cents["cost_with_market"]
    assert cents["operator_surplus"] == cents["market_operator_income"] == -parts[2]
    gains = cents["buyer_surplus"] + cents["seller_surplus"] + cents["operator_surplus"]
    assert gains == cents["welfare"]
    assert min(parts[1:]) >= 0


def test_money_that_is_no_sum_is_not_made_one() -> None:
    older = {"saving": 5.0, "saving_by_mechanism": 4.004, "saving_by_imbalance_rule": 0.5}
    assert money_in_cents({**older, "saving_from_outside": 2.0})["saving_by_mechanism"] == 4.0
    assert money_in_cents({**older, "saving_from_outside": None, "traded_kwh": 1.0}) == {
        **older,
        "saving_by_mechanism": 4.0,
    }


@given(AMOUNTS, st.integers(-3, 3))
def test_what_is_shown_adds_up_to_a_total_that_is_shown_already(nano: list[int], beside: int) -> None:
    values = [n / 1e9 for n in nano]
    total = rounded(sum(nano) / 1e9) + beside / 100
    shown = [round(100 * v) for v in adding_up(values, total=total)]
    assert sum(shown) == round(100 * total)
    assert sum(abs(cents - 100 * value) > 1 + 1e-6 for cents, value in zip(shown, values, strict=True)) <= 1


def test_an_amount_of_half_a_cent_is_the_same_number_however_it_was_computed() -> None:
    assert rounded(1.015) == rounded(0.7 + 0.315) == adding_up([1.015])[0] == adding_up([1.0, 0.015])[1] + 1
    assert fixed(1.015) == number(1.015) == "1.02"
    assert fixed(-0.001) == number(-0.001) == "0.00"


def test_an_older_run_is_not_taken_apart() -> None:
    assert saving_of({"saving": 1.0, "cost_without_market": 2.0}) is None


@pytest.mark.parametrize(
    ("saved", "said"), [(2.5, "2.50 EUR less (25.0 %)"), (-2.5, "2.50 EUR more (25.0 %)")]
)
def test_bills_that_grow_are_said_to_be_more(saved: float, said: str) -> None:
    figures = {
        "saving_by_mechanism": saved,
        "saving_by_imbalance_rule": 0.0,
        "saving_bound": saved,
        "saving_from_outside": 0.0,
        "cost_without_market": 10.0,
        "saving": saved,
        "saving_percent": 10 * saved,
        "homes": 2,
        "homes_worse_off": 0,
    }
    bills = dict(saving_lines(figures, "EUR"))["All bills together"]
    assert bills == f"{fixed(10 - saved)} EUR instead of 10.00: {said}"
