"""`wattswap check market`: gains against a whole replay, and markets that must pass or fail."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wattswap as ws
from agents.bidding import Orders
from market.settlement.accounts import TRADE
from tests.kits.run_kit import call, checked_once, markets_checked, write_street
from wattswap.check.deviations import DEVIATIONS, joined, of_home
from wattswap.check.game import Game
from wattswap.check.market import WASH
from wattswap.runs.interval import step
from wattswap.runs.prepare import prepare

__all__ = ["checked_once", "markets_checked"]
pytestmark = pytest.mark.usefixtures("checked_once")
NAMES = {d.name: d for d in DEVIATIONS}
SHORT = ("time.days=2",)


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_street(tmp_path_factory.mktemp("street"), homes=4, days=4)


@pytest.fixture(scope="module")
def game(street: Path) -> Game:
    return Game(prepare(ws.load(street)))


def test_the_honest_game_is_the_run(street: Path, game: Game) -> None:
    setup = prepare(ws.load(street))
    community = setup.community()
    for i, credited in enumerate(game.honest()):
        postings = step(setup, community, i).settled.postings
        assert credited.tolist() == postings.lines[: postings.members, TRADE:].sum(axis=1).tolist()


@pytest.mark.parametrize("name", list(NAMES))
def test_what_a_deviation_gains_is_that_of_a_whole_replay(game: Game, name: str) -> None:
    """Each interval played again with orders joined by hand, not by the shortcuts of the game."""
    honest, home = game.honest(), 2
    credited = game.credited_by_interval(honest, {}, {home: NAMES[name]})
    changed = 0
    for i, moment in enumerate(game.moments):
        own = of_home(moment.orders, home)
        new = NAMES[name].of(home, own, moment.prices)
        others = [moment.orders.of_rows(moment.orders.home == h) for h in range(4) if h != home]
        again = game.credited_nano(i, joined(*others, new))
        assert again.tolist() == credited[i].tolist()
        changed += again.tolist() != honest[i].tolist()
    assert changed, "the deviation changes nothing here, so the test shows nothing"


def test_a_second_deviation_is_played_against_the_first(game: Game) -> None:
    honest = game.honest()
    never, double = NAMES["never order"], NAMES["double"]
    first = game.credited_by_interval(honest, {}, {0: never})
    both = game.credited_by_interval(first, {0: never}, {1: double})
    at_once = game.credited_by_interval(honest, {}, {0: never, 1: double})
    assert [x.tolist() for x in both] == [x.tolist() for x in at_once]
    back = game.credited_by_interval(
        both, {0: never, 1: double}, {1: replace(never, of=lambda h, own, p: own)}
    )
    assert [x.tolist() for x in back] == [x.tolist() for x in first]


def test_deviations_do_what_their_names_say(game: Game) -> None:
    prices = game.moments[0].prices
    own = Orders(
        np.array([2]), np.array([1], dtype=np.int8), np.array([301]), np.array([prices.buy_cap_micro_per_kwh])
    )
    assert len(NAMES["never order"].of(2, own, prices).home) == 0
    assert NAMES["double"].of(2, own, prices).energy_wh.tolist() == [602]
    assert NAMES["half"].of(2, own, prices).energy_wh.tolist() == [150]
    gain = prices.local_gain_micro_per_kwh
    shaded = NAMES["limits shaded 25 %"].of(2, own, prices).limit_micro_per_kwh.tolist()
    assert shaded == [prices.buy_cap_micro_per_kwh - -(-gain * 25 // 100)]
    more = NAMES["sell 500 Wh of nothing"].of(2, own, prices)
    assert sorted(zip(more.side.tolist(), more.energy_wh.tolist(), strict=True)) == [(-1, 500), (1, 301)]


def check(capsys: pytest.CaptureFixture[str], street: Path, *settings: str) -> tuple[int, dict[str, Any]]:
    words = [word for setting in (*SHORT, *settings) for word in ("--set", setting)]
    done = call(capsys, "check", "market", street, *words, "--rounds", "1", "-q", "--json")
    return done.code, json.loads(done.out)


def test_with_metered_quantities_nobody_gains_by_staying_out(
    capsys: pytest.CaptureFixture[str], street: Path
) -> None:
    code, found = check(capsys, street, 'market.quantities="metered"')
    never = found["deviations"][0]
    assert (code, never["name"], never["homes_that_gain"]) == (0, "never order", 0)
    assert found["wash_trades"] is None
    assert found["imbalance"] is None
    assert found["decides"] == ["never order"]
    assert {"double", "half", "buy 100 Wh of nothing", WASH} <= set(found["cannot_exist"])
    tried = {one["name"] for one in found["deviations"]}
    assert tried.isdisjoint(found["cannot_exist"])
    assert tried | set(found["cannot_exist"]) == {*NAMES, WASH}


@pytest.mark.parametrize(
    ("settings", "said", "unsaid"),
    [
        ([], "What decides: never order, double, buy 100 Wh of nothing,", "Cannot exist here"),
        (
            ["--set", "market.quantities=metered"],
            "What decides: never order. The lines with - do not. Cannot exist here, where quantities come from the"
            " meters and homes state limits alone: double,",
            "or a pair more than",
        ),
    ],
)
def test_the_text_says_what_decides_and_what_cannot_be_tried(
    settings: list[str], said: str, unsaid: str, capsys: pytest.CaptureFixture[str], street: Path
) -> None:
    done = call(capsys, "check", "market", street, "--set", "time.days=1", *settings, "--rounds", "1", "-q")
    text = " ".join(done.out.split())
    assert said in text
    assert unsaid not in text


def test_a_gameable_share_fails_the_check(capsys: pytest.CaptureFixture[str], street: Path) -> None:
    """Shares by delivered trade pay for energy that nobody needs; the check must see it and end with code 6."""
    code, found = check(capsys, street, 'market.imbalance_shares="delivered"')
    failed = [one["name"] for one in found["deviations"] if one["holds"] is False]
    assert (code, found["holds"]) == (6, False)
    assert failed


def test_a_pair_that_loses_less_than_elsewhere_gains_nothing(
    capsys: pytest.CaptureFixture[str], street: Path
) -> None:
    """Trading nothing costs these pairs more under `retailer` than in a pool; that is no reason to do it."""
    _, found = check(capsys, street)
    wash = found["wash_trades"]
    assert wash["largest_gain"] < 0
    assert wash["largest_beyond_retailer"] == wash["largest_gain"]
    assert wash["holds"]
    done = call(capsys, "check", "market", street, "--set", *SHORT, "--rounds", "1", "-q")
    assert f"none of {wash['pairs']} pairs gains." in " ".join(done.out.split())


def test_the_text_fits_a_terminal_and_names_the_worst_home(
    capsys: pytest.CaptureFixture[str], street: Path
) -> None:
    done = call(capsys, "check", "market", street, "--set", *SHORT, "--rounds", "1", "-q")
    lines = done.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "limits shaded 50 %" in done.out
    assert "Two homes of one owner" in done.out
