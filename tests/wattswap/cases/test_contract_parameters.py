"""Every parameter of the clear contract: taken in its range, refused beyond it in a sentence that names it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kits.clear_cases import (
    book,
    put,
)
from tests.kits.refusal_kit import INFINITY, NAN, VALID, one, sentences
from wattswap.cases.contract import clear_case

MUDA: dict[str, tuple[Any, ...]] = {
    "partition": (None, {"left": ["anna"], "right": ["cleo"]}, {"left": [], "right": ["cleo", "anna"]}),
    "seed": (0, 5),
    "price_rule": ("walras_k", "marginal_midpoint"),
    "k": (0.5, 0, 1),
    "boundary": ("strict", "weak"),
    "exogenous_price": (None, 0.2, 0),
}


TABLE: dict[str, dict[str, tuple[Any, ...]]] = {
    "uniform_price": {
        "k": (0.5, 0, 1, 0.25),
        "rationing": ("pro_rata", "time", "random"),
        "seed": (0, 1, 2**70),
        "solver": ("highs", "exact", "pyomo"),
    },
    "pay_as_bid": {"price_rule": ("midpoint", "bid", "offer", "both_as_bid"), "k": (0.5, 0, 1)},
    "mcafee": {"b_missing": (None, 0.1, -1), "s_missing": (None, 0.4, 9), "unit_kwh": (1, 0.5, 0.001, 2)},
    "trade_reduction": {"unit_kwh": (1, 0.001), "seed": (0, 7)},
    "sbba": {"unit_kwh": (1, 0.001), "seed": (0, 7)},
    "huang": {"ties": ("merge",)},
    "vcg": {"outside": ({}, None)},
    "gsy_pay_as_bid": {},
    "gsy_pay_as_clear": {},
    "preferred_partners": {"residual": ("touched_leave", "carry_over")},
    "random_bilateral": {"seed": (0, 3)},
    "posted_price": {"price": (0.2, -0.1, 0)},
    "welfare_optimum": {},
    "continuous": {"self_trade": ("allow", "skip")},
    "muda_lottery": MUDA,
    "muda_vickrey": MUDA,
}


@pytest.mark.parametrize("name", sorted(TABLE))
def test_every_parameter_of_the_contract_is_taken(name: str) -> None:
    if name != "posted_price":  # which cannot do without a price
        assert sentences(book(name), name) == []
    for key, values in TABLE[name].items():
        for value in values:
            assert sentences(book(name, **{key: value}), name) == []
    default = {key: values[0] for key, values in TABLE[name].items()}
    assert sentences(book(name, **default), name) == []


@pytest.mark.parametrize("name", sorted(TABLE))
def test_the_defaults_of_the_contract_change_nothing(name: str) -> None:
    default = {key: values[0] for key, values in TABLE[name].items()}
    assert clear_case(book(name), name) == clear_case(book(name, **default), name)


@pytest.mark.parametrize("name", sorted(TABLE))
def test_a_parameter_of_a_wrong_type_or_beyond_its_range_gets_a_sentence_that_names_it(name: str) -> None:
    wrong: dict[str, tuple[Any, ...]] = {
        "k": (-0.1, 1.1, "0.5", None, NAN, [], True),
        "seed": (-1, 1.5, "1", None, {}),
        "unit_kwh": (0, -1, 0.0001, "1", None, INFINITY, 1e16),
        "price": ("x", NAN, 1e15, {}),
        "b_missing": ("x", NAN, -1e15, []),
        "s_missing": ("x", INFINITY, 1e15, False),
        "exogenous_price": ("x", NAN, 1e15, {}),
        "outside": ({"price": 1}, [], 0, "none"),
    }
    for key, values in TABLE[name].items():
        words = (*(value.upper() for value in values if isinstance(value, str)), "", 1, [], {})
        for value in wrong.get(key, () if key == "partition" else words):
            assert any(
                line.startswith(f"params.{key}") for line in sentences(book(name, **{key: value}), name)
            )
    assert "unknown key 'sead'" in one(book(name, sead=1), name)
    for params in (None, [], "k", 3):
        assert sentences({**book(name), "params": params}, name)[0].startswith("params: must be an object")


@pytest.mark.parametrize("name", ["muda_lottery", "muda_vickrey"])
@pytest.mark.parametrize(
    ("partition", "wrong"),
    [
        ({"left": ["anna"], "right": []}, ["params.partition: cleo in neither half"]),
        ({"left": ["anna", "cleo"], "right": ["zoe"]}, ["params.partition.right[0]: 'zoe' has no order"]),
        ({"left": ["anna", "cleo"], "right": ["anna"]}, ["params.partition.right[0]: 'anna' is in left"]),
        ({"left": ["anna", "cleo"]}, ["params.partition: 'right' is missing"]),
        ({"left": ["anna"], "right": ["cleo"], "top": []}, ["params.partition: unknown key 'top'"]),
        (
            {"left": "anna", "right": ["cleo"]},
            ["params.partition.left: must be", "params.partition: anna in"],
        ),
        ({"left": [None, "anna"], "right": ["cleo"]}, ["params.partition.left[0]: must be a name"]),
    ],
    ids=str,
)
def test_a_partition_that_is_none_is_refused(name: str, partition: Any, wrong: list[str]) -> None:
    said = sentences(book(name, partition=partition), name)
    assert all(any(line.startswith(start) for line in said) for start in wrong)


def test_a_partition_says_nothing_about_an_order_without_participant() -> None:
    halves = {"left": ["anna"], "right": ["cleo"]}
    case = book("muda_lottery", partition=halves)
    case["orders"].append({**case["orders"][1], "id": "t"})
    del case["orders"][2]["participant"]
    assert one(case, "muda_lottery") == "orders[2]: 'participant' is missing"


def test_a_price_beyond_64_bits_is_refused_for_every_rule_that_takes_one() -> None:
    """Found here: 1e15 was taken and ended as an OverflowError."""
    for name, case in VALID:
        for key, value in case.get("params", {}).items():
            if isinstance(value, float):
                for beyond in (1e15, -1e15, 4.7e12):
                    said = sentences(put(case, ("params", key), beyond), name)
                    assert any(line.startswith(f"params.{key}: is a price beyond") for line in said)
