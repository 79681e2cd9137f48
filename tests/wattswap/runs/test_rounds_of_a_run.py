"""Runs of markets that are open for several rounds: recorded, verified, resumed, and refused where they cannot be."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import wattswap as ws
from market.rounds import ROUND, clear_rounds
from tests.kits.resume_kit import killed
from tests.kits.run_kit import write_street
from wattswap.check.game import Game
from wattswap.comparison.cells import book_at, run_cell
from wattswap.comparison.effects import effects
from wattswap.errors import InvalidScenario, UsageError
from wattswap.runs import engine
from wattswap.runs.interval import step
from wattswap.runs.prepare import Setup, prepare

ROUNDS = "market.rounds=4"
MIXED = (
    'homes.strategies={zip=["home-1"], gd=["home-2"], aa=["home-3"], roth_erev=["home-4"], shader=["home-5"]}'
)
OF_MIXED = (ROUNDS, "market.mechanism=continuous", "homes.strategy=zi_c", MIXED)


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_street(tmp_path_factory.mktemp("street"), homes=6, days=2)


def setup_of(street: Path, *overrides: str) -> Setup:
    return prepare(ws.load(street, overrides=list(overrides)))


def test_a_run_with_rounds_is_verified_and_its_tables_hold_every_round(street: Path, tmp_path: Path) -> None:
    run = ws.run(ws.load(street, overrides=list(OF_MIXED)), out=tmp_path)
    assert ws.verify(run.path)["ok"]
    orders = run.table("orders")
    rounds = orders["sequence"] // ROUND
    assert set(rounds) == {0, 1, 2, 3}
    accepted = orders.groupby(rounds)["accepted_wh"].sum()
    assert accepted[1:].sum() > 0, "later rounds trade nothing, so the test shows little"
    # No home buys or sells more than it planned: what it ordered first.
    by_home = orders.groupby(["interval_start", "household", "side"])
    first = orders[rounds == 0].groupby(["interval_start", "household", "side"])["energy_wh"].sum()
    assert (by_home["accepted_wh"].sum() <= first).all()


def test_the_recorded_book_has_the_recorded_clearing(street: Path) -> None:
    setup = setup_of(street, *OF_MIXED)
    community, traded = setup.community(), 0
    for i in range(24):
        record = step(setup, community, i)
        again = clear_rounds(setup.mechanism, record.book, setup.rules_at(i), setup.rounds)
        assert again.accepted_wh.tolist() == record.clearing.accepted_wh.tolist()
        assert again.payment_nano(record.book).tolist() == record.clearing.payment_nano(record.book).tolist()
        traded += record.traded_wh
    assert traded


def test_more_rounds_trade_more_of_what_could_be_traded(street: Path) -> None:
    shares = []
    for rounds in (1, 2, 5):
        cell = run_cell(
            setup_of(street, "homes.strategy=zi_c", "market.mechanism=continuous", f"market.rounds={rounds}")
        )
        columns = {name: np.array(cell.intervals[name]) for name in ("traded_wh", "demand_wh", "supply_wh")}
        possible = np.minimum(columns["demand_wh"], columns["supply_wh"])
        assert (columns["traded_wh"] <= possible).all()  # no energy counts in two rounds
        shares.append(columns["traded_wh"].sum() / possible.sum())
    assert shares[0] < shares[1] < shares[2]
    assert shares[2] > 0.97


def test_a_run_with_rounds_is_resumed_to_the_same_hashes(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "CHECKPOINT_S", 0.0)
    scenario = ws.load(street, overrides=list(OF_MIXED))
    whole = ws.run(scenario, out=tmp_path / "whole")
    resumed = ws.resume(killed(scenario, tmp_path / "killed", 31))
    for name in ("replay_sha256", "chain"):
        assert resumed.manifest[name] == whole.manifest[name]
    shutil.rmtree(resumed.path)


@pytest.mark.parametrize("mechanism", ["uniform_price", "pay_as_bid", "mid_market_rate", "vcg"])
def test_call_auctions_clear_each_round_on_what_is_left(street: Path, mechanism: str) -> None:
    setup = setup_of(street, "homes.strategy=zi_c", ROUNDS, f"market.mechanism={mechanism}")
    community, rounds = setup.community(), set[int]()
    for i in range(30):
        record = step(setup, community, i)
        rounds |= set((record.book.sequence[record.clearing.accepted_wh > 0] // ROUND).tolist())
    assert len(rounds) > 1


def test_every_mechanism_has_its_own_homes_where_they_react(street: Path) -> None:
    setups = {
        name: setup_of(street, *OF_MIXED[:1], "homes.strategy=zi_c", f"market.mechanism={name}")
        for name in ("continuous", "uniform_price")
    }
    found = effects(setups, "continuous")
    assert found["continuous"].saving_nano.tolist() == [0] * 6


def test_one_round_is_not_written_into_the_scenario(street: Path) -> None:
    scenario = ws.load(street)
    assert "rounds" not in scenario.resolved()["market"]
    assert ws.load(street, overrides=["market.rounds=1"]).digest() == scenario.digest()
    assert ws.load(street, overrides=["market.rounds=2"]).digest() != scenario.digest()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("market.rounds=0",), "the smallest is 1"),
        (("market.rounds=65",), "the largest is 64"),
        ((ROUNDS, "market.quantities=metered"), 'rounds: is not used with quantities = "metered"'),
        (
            ("homes.strategy=gd",),
            "'gd' reacts between rounds, and there is one; give market.rounds = 2 to 64",
        ),
        (("homes.strategies={linear_ramp=0.5}",), "'linear_ramp' reacts between rounds"),
    ],
)
def test_impossible_rounds_are_refused(street: Path, overrides: tuple[str, ...], words: str) -> None:
    with pytest.raises(InvalidScenario) as caught:
        ws.load(street, overrides=list(overrides))
    assert words in str(caught.value)


def test_what_cannot_play_rounds_says_so(street: Path) -> None:
    setup = setup_of(street, ROUNDS)
    with pytest.raises(UsageError, match=r"market.rounds: is 4"):
        Game(setup)
    with pytest.raises(UsageError, match="another book under each mechanism"):
        book_at(setup, 1)
