"""Policies: whole numbers, a plain file that gives the same policy back, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from agents.bidding import View
from agents.errors import InvalidPolicy
from agents.observation import OBSERVED, SCALE, observe, orders, start
from agents.policy import FORMAT, Policy, read_policy, strategy_of, write_policy
from agents.rules import AgentRules
from market.settlement.tariff import IntervalPrices
from tests.kits.community_kit import view_of

PRICES = IntervalPrices(300_000, 100_000)
WIDTH = len(OBSERVED)


def two_layers() -> Policy:
    draw = np.random.default_rng(3)
    return Policy.of(
        [(draw.normal(size=(4, WIDTH)), draw.normal(size=4)), (draw.normal(size=(2, 4)), [0.1, -2.0])]
    )


def seen(homes: int = 50) -> np.ndarray:
    return np.random.default_rng(9).integers(-3 * SCALE, 3 * SCALE, (homes, WIDTH))


def test_a_file_gives_the_same_policy_back(tmp_path: Path) -> None:
    policy = two_layers()
    write_policy(policy, tmp_path / "policy.json")
    found = read_policy(tmp_path / "policy.json")
    assert (found.decide(seen()) == policy.decide(seen())).all()
    assert found.limits == 2
    assert json.loads((tmp_path / "policy.json").read_text())["format"] == FORMAT


def test_a_home_decides_alone_as_among_others_and_within_the_range() -> None:
    policy, rows = two_layers(), seen()
    together = policy.decide(rows)
    assert together.dtype == np.int64
    assert (np.abs(together) <= SCALE).all()
    assert len(np.unique(together)) > 20
    for row, decided in zip(rows, together, strict=True):
        assert (policy.decide(row) == decided).all()
        assert (np.rint(policy.act(row / SCALE) * SCALE) == decided).all()


def test_one_layer_is_a_weighted_sum() -> None:
    weights = np.zeros((1, WIDTH))
    weights[0, 0], weights[0, -1] = 0.5, -0.25
    policy, rows = Policy.of([(weights, [0.125])]), np.zeros((1, WIDTH), dtype=np.int64)
    rows[0, 0], rows[0, -1] = 800_000, 400_000
    assert policy.decide(rows).tolist() == [[800_000 // 2 - 400_000 // 4 + 125_000]]


def no_layers() -> dict[str, object]:
    return {"format": FORMAT, "observed": list(OBSERVED)}


ROW = [0.0] * WIDTH


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("\x80\x04K\x01.", "is no policy: "),
        ("[1]", "is no policy: its format is 'list' and not 'wattswap policy 1'"),
        ({"format": "wattswap policy 2"}, "is no policy: its format is 'wattswap policy 2' and not"),
        ({"format": FORMAT, "observed": ["x"]}, "was learnt from other observations than forecast_net_kw, "),
        (no_layers(), "is no policy: it needs layers, each with weights and bias"),
        ({**no_layers(), "layers": [{"weights": [ROW]}]}, "it needs layers, each with weights and bias"),
        ({**no_layers(), "layers": []}, "is no policy: it has 0 layers and 10 limits"),
        (
            {**no_layers(), "layers": [{"weights": [ROW[1:]], "bias": [0]}]},
            "layer 1 has 1 rows of 9 weights; it needs 1 to 100 rows of 10",
        ),
        ({**no_layers(), "layers": [{"weights": [ROW], "bias": [0, 0]}]}, "layer 1 is no matrix of numbers"),
        ({**no_layers(), "layers": [{"weights": [ROW], "bias": ["0"]}]}, "layer 1 is no matrix of numbers"),
        (
            {**no_layers(), "layers": [{"weights": [ROW], "bias": [float("nan")]}]},
            "layer 1 is no matrix of numbers",
        ),
        (
            {**no_layers(), "layers": [{"weights": [ROW], "bias": [101]}]},
            "no matrix of numbers from -100 to 100",
        ),
        (
            {**no_layers(), "layers": [{"weights": [ROW] * 65, "bias": [0] * 65}]},
            "and 65 limits; it needs a layer",
        ),
    ],
)
def test_what_is_no_policy_is_refused_in_one_sentence(tmp_path: Path, content: object, sentence: str) -> None:
    path = tmp_path / "policy.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    with pytest.raises(InvalidPolicy) as caught:
        read_policy(path)
    assert str(caught.value).startswith(str(path))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidPolicy, match=r"none\.json is no policy: .*No such file"):
        read_policy(tmp_path / "none.json")


def view(*net_wh: int) -> View:
    return view_of(np.array(net_wh), PRICES)


def test_limits_go_from_the_worth_of_energy_to_the_other_end() -> None:
    decided = np.array([[SCALE, 0, -SCALE]] * 2)
    found = orders(view(100, -101), decided)
    assert found.home.tolist() == [0, 0, 0, 1, 1, 1]
    assert found.side.tolist() == [1, 1, 1, -1, -1, -1]
    assert found.energy_wh.tolist() == [34, 33, 33, 34, 34, 33]
    assert found.limit_micro_per_kwh.tolist() == [300_000, 200_000, 100_000, 100_000, 200_000, 300_000]


def test_a_strategy_orders_what_its_policy_decides() -> None:
    policy = Policy.of([(np.zeros((2, WIDTH)), [1.0, -0.5])])
    strategy = strategy_of("mine", policy)
    assert strategy.several_orders
    state = strategy.start(np.arange(2), AgentRules())
    found = strategy.bid(state, view(100, -100))
    assert found.limit_micro_per_kwh.tolist() == [300_000, 150_000, 100_000, 250_000]


def test_before_any_price_the_middle_is_seen() -> None:
    row = observe(start(np.arange(1), AgentRules()), view(1_000))[0]
    assert dict(zip(OBSERVED, row.tolist(), strict=True)) == {
        "forecast_net_kw": 4 * SCALE,
        "day_sin": 0,
        "day_cos": SCALE,
        "week_sin": round(np.sin(6 / 7 * np.pi) * SCALE),  # Thursday, the first of 1970
        "week_cos": round(np.cos(6 / 7 * np.pi) * SCALE),
        "outside_per_kwh": 300_000,
        "feed_in_per_kwh": 100_000,
        "last_price_per_kwh": 200_000,
        "price_a_day_ago_per_kwh": 200_000,
        "stored_share": 0,
    }
