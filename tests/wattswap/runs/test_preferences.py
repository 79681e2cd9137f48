"""Preferences: limits move by what homes state, and nothing else does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import wattswap
import wattswap as ws
from agents.bidding import STRATEGIES, Orders
from tests.kits.run_kit import write_street
from wattswap.errors import InvalidScenario
from wattswap.runs.interval import sent_orders
from wattswap.runs.prepare import Setup, prepare

GREEN = "\n[homes.preferences.green]\nhomes = {}\npremium_per_kwh = 0.04\nmarkup_per_kwh = 0.01\n"
HEEDING = sorted(name for name, one in STRATEGIES.all().items() if one.by_worth and not one.learns)
PREMIUM, MARKUP = 40_000, 10_000


def setup_of(folder: Path, homes: str, *more: str, strategy: str = "truthful") -> Setup:
    """A street of four homes, some of which prefer something; none where `homes` is empty."""
    text = GREEN.format(homes) if homes else ""
    street = write_street(folder, homes=4, more=text)
    return prepare(ws.load(street, overrides=[f"homes.strategy={strategy}", "market.rounds=2", *more]))


def orders_at(setup: Setup, row: int) -> Orders:
    community = setup.community()
    for _ in range(row):
        community.live()
    return sent_orders(setup, community, row)


@pytest.mark.parametrize(
    ("strategy", "control"), [*((name, "self_consumption") for name in HEEDING), ("staircase", "plan")]
)
def test_only_the_limits_of_the_homes_that_prefer_something_move(
    strategy: str, control: str, tmp_path: Path
) -> None:
    """Not their energy; up to the premium when they buy, up to the markup when they sell."""
    more = f"homes.control={control}"
    plain = orders_at(setup_of(tmp_path / "plain", "", more, strategy=strategy), 12)
    moved = orders_at(setup_of(tmp_path / "green", '["home-1", "home-4"]', more, strategy=strategy), 12)
    green = np.isin(plain.home, (0, 3))
    assert green.any()
    assert (~green).any()
    for name in ("home", "side", "energy_wh"):
        assert (getattr(moved, name) == getattr(plain, name)).all()
    beyond = moved.limit_micro_per_kwh - plain.limit_micro_per_kwh
    most = np.where(plain.side > 0, PREMIUM, MARKUP)
    assert not beyond[~green & (plain.energy_wh > 0)].any()
    assert (beyond >= 0).all()
    assert (beyond <= most).all()


def test_a_home_that_prefers_its_neighbours_does_not_trade_with_itself(tmp_path: Path) -> None:
    """More is paid for what it needs at any price, not for what its store takes to be given back."""
    template = Path(wattswap.__file__).parent / "scenario" / "templates" / "thinking.toml"
    green = "homes.preferences.green={homes=1,premium_per_kwh=0.04}"
    setup = prepare(ws.load(template, overrides=["time.days=1", green]))
    community, both = setup.community(), 0
    for row in range(24):
        orders = sent_orders(setup, community, row)
        for home in range(len(setup.roster)):
            own, buys = orders.home == home, orders.side > 0
            bids, offers = orders.limit_micro_per_kwh[own & buys], orders.limit_micro_per_kwh[own & ~buys]
            if len(bids) and len(offers):
                both += 1
                assert bids.max() < offers.min()
        community.live()
    assert both > 0


def test_a_truthful_home_pays_exactly_the_premium_more(tmp_path: Path) -> None:
    setup = setup_of(tmp_path, "1")
    found, prices = orders_at(setup, 12), setup.prices.at(12)
    buys = found.side > 0
    assert buys.any()
    assert (~buys).any()
    assert (found.limit_micro_per_kwh[buys] == prices.buy_cap_micro_per_kwh + PREMIUM).all()
    assert (found.limit_micro_per_kwh[~buys] == prices.feed_in_micro_per_kwh + MARKUP).all()


def test_a_home_alone_prefers_what_it_prefers_among_others(tmp_path: Path) -> None:
    setup = setup_of(tmp_path, '["home-2"]')
    together, alone = orders_at(setup, 0), setup.community(1)
    assert alone.bids(setup.prices.at(0)).limit_micro_per_kwh.tolist() == (
        together.limit_micro_per_kwh[together.home == 1].tolist()
    )


def test_a_share_is_drawn_from_the_seed_and_counted(tmp_path: Path) -> None:
    scenario = ws.demo(["homes.preferences.green={homes=0.4, premium_per_kwh=0.04}", "time.days=1"])
    found = prepare(scenario).preferences
    assert found is not None
    assert np.count_nonzero(found[0]) == 5
    assert "a share of 0.4 of the homes" in ws.run(scenario, out=tmp_path).rests_on["preferences"]


def test_a_bill_counts_money_only(tmp_path: Path) -> None:
    """Where sellers ask more than the retailer takes, buyers who prefer neighbours pay it, and are worse off."""
    text = GREEN.format("1").replace("0.04", "0.20").replace("0.01", "0.30")
    street = write_street(tmp_path / "street", homes=4, more=text)
    scenario = ws.load(street, overrides=["homes.strategy=truthful", "market.imbalance=retailer"])
    run = ws.run(scenario, out=tmp_path / "runs")
    assert run.metrics["traded_kwh"] > 0
    assert run.metrics["price_per_kwh"] > 0.34
    assert run.metrics["homes_worse_off"] > 0
    assert run.rests_on["preferences"].endswith("a bill counts the money only")
    assert ws.verify(run.path)["ok"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[homes.preferences.green]\nhomes = 0.5", "prefers nothing"),
        ("[homes.preferences.green]\npremium_per_kwh = 0.01", "homes"),
        (GREEN.format('["home-9"]'), "no home 'home-9'"),
        (
            GREEN.format("0.7") + GREEN.format("0.7").replace("green", "other"),
            "gives shares of 1.4 of the homes",
        ),
        (GREEN.format("1") + '[homes.strategies]\nzi_u = ["home-1"]', "do not follow what a home prefers"),
        (
            GREEN.format('["home-1"]') + GREEN.format('["home-1"]').replace("green", "b"),
            "names home 'home-1' twice",
        ),
    ],
)
def test_impossible_preferences_are_refused_with_a_sentence(text: str, said: str, tmp_path: Path) -> None:
    street = write_street(tmp_path, homes=2, more=f"\n{text}\n")
    with pytest.raises(InvalidScenario, match=said):
        prepare(ws.load(street))
