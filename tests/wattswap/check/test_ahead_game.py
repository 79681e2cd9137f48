"""`wattswap check market` with a market of a horizon: deviating orders of its first interval, or none at all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import wattswap as ws
from market.settlement.accounts import MONEY_COLUMNS
from tests.kits.run_kit import call, write_street
from wattswap.check.deviations import DEVIATIONS, NEVER
from wattswap.check.game import LivedGame, game_of
from wattswap.runs.interval import step
from wattswap.runs.prepare import Setup, prepare

AHEAD = (
    "market.mechanism=multi_interval",
    "homes.control=plan",
    "market.horizon_hours=8",
    "time.intervals=16",
)
METERED = "market.quantities=metered"
NAMES = {d.name: d for d in DEVIATIONS}
CAR = """
[homes.ev.home-2]
capacity_kwh = 20
charge_kw = 2.3
kwh_per_day = 3
departure = "14:00"
arrival = "15:00"
"""
HOMES = 3


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_street(tmp_path_factory.mktemp("street"), homes=HOMES, days=1, more=CAR)


def setup_of(street: Path, *more: str) -> Setup:
    return prepare(ws.load(street, overrides=[*AHEAD, *more]))


def credited_by(game: LivedGame, *names: str) -> list[list[int]]:
    """What home 2 is credited in all, by each of these deviations of it. [nano]"""
    honest = game.honest()
    plays = game.plays(honest, {}, [{1: NAMES[name]} for name in names])
    return [np.sum(credited, axis=0).tolist() for credited in plays]


@pytest.mark.parametrize("more", [(), (METERED,)])
def test_who_does_not_deviate_is_credited_what_the_run_credits(street: Path, more: tuple[str, ...]) -> None:
    setup = setup_of(street, *more)
    game, community = game_of(setup), setup.community()
    assert isinstance(game, LivedGame)
    honest = game.honest()
    for i in range(setup.intervals):
        lines = step(setup, community, i).settled.postings.lines[:HOMES]
        assert (honest[i] == lines[:, -len(MONEY_COLUMNS) :].sum(axis=1)).all()
    assert (honest[-1] == community.worth_nano()).all()
    sent = [int(moment.orders.energy_wh.sum()) for moment in game.moments]
    assert sum(sent[12:]) > 0


def test_a_home_that_never_orders_lives_as_without_a_market_and_others_trade_without_it(street: Path) -> None:
    setup = setup_of(street)
    game = game_of(setup)
    assert isinstance(game, LivedGame)
    (life,) = game._lived([{1: NEVER}], None)
    alone = setup_of(street, "market.mechanism=retailer_only")
    own = alone.community()
    assert not any((moment.orders.home == 1).any() for moment in life.moments)
    for i, moment in enumerate(life.moments):
        record = step(alone, own, i)
        assert moment.import_wh[1] == record.import_wh[1]
        assert moment.export_wh[1] == record.export_wh[1]
    assert any(moment.orders.energy_wh.any() for moment in life.moments)


def test_deviations_change_what_is_ordered_and_what_is_credited(street: Path) -> None:
    game = game_of(setup_of(street))
    assert isinstance(game, LivedGame)
    own = game.ordered_wh({})
    assert game.ordered_wh({1: NAMES["double"]}) > own > game.ordered_wh({1: NAMES["half"]})
    found = credited_by(game, "double", "buy 500 Wh of nothing", "never order")
    honest = np.sum(game.honest(), axis=0).tolist()
    assert all(one != honest for one in found)
    # Energy that nobody needs is bought at the price and sold at no more than it is worth outside.
    assert found[1][1] < honest[1]


def test_limits_deviate_where_quantities_come_from_the_meters(street: Path) -> None:
    game = game_of(setup_of(street, METERED))
    assert isinstance(game, LivedGame)
    (life,) = game._lived([{1: NAMES["limits shaded 50 %"]}], None)
    honest = game.moments
    assert [int(m.import_wh.sum()) for m in life.moments[:11]] == [
        int(m.import_wh.sum()) for m in honest[:11]
    ]
    shaded = life._ahead._limits((np.full(3, 320_000), np.full(3, 80_000))) if life._ahead else None
    assert shaded is not None
    assert shaded[0].tolist() == [320_000, 200_000, 320_000]
    assert shaded[1].tolist() == [80_000, 210_000, 80_000]


def test_the_command_says_that_each_deviation_is_a_run(
    street: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [part for one in (*AHEAD, METERED, "time.intervals=8") for part in ("--set", one)]
    found = call(capsys, "check", "market", street / "scenario.toml", "--rounds", "0", "--json", *settings)
    verdict = json.loads(found.out)
    assert verdict["reacts"] is True
    assert verdict["mechanism"] == "multi_interval"
    assert {one["name"] for one in verdict["deviations"]} >= {"never order"}
