"""`wattswap check market` with homes that react to what they trade: every choice is a whole run of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wattswap as ws
from agents.bidding import STRATEGIES, Orders, Strategy, View, one_order_a_home
from agents.state import State
from market.settlement.accounts import MONEY_COLUMNS
from tests.kits.run_kit import call, write_street
from wattswap.check.deviations import DEVIATIONS, NEVER, Deviation
from wattswap.check.game import Credited, Game, LivedGame, game_of
from wattswap.check.market import alone
from wattswap.errors import UsageError
from wattswap.runs import engine
from wattswap.runs.interval import step
from wattswap.runs.prepare import prepare

THINKING = (
    "homes.control=plan",
    "homes.battery_kwh=4",
    'tariff.zone="UTC"',
    'tariff.time_of_use=[{days="all",from="17:00",to="21:00",import_per_kwh=0.6}]',
)
SHORT = ("time.intervals=18",)
NAMES = {d.name: d for d in DEVIATIONS}
SILENT, WASTEFUL = "never_orders", "buys_3_kwh"
HOMES = 3


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_street(tmp_path_factory.mktemp("street"), homes=HOMES, days=4)


@pytest.fixture(scope="module")
def game(street: Path) -> LivedGame:
    found = game_of(prepare(ws.load(street, overrides=[*THINKING, *SHORT])))
    assert isinstance(found, LivedGame)
    return found


@pytest.fixture
def poor_bidders() -> Iterator[None]:
    """With a strategy that never orders, and one that buys 3 kWh in every interval, whatever they cost."""
    for name, energy_wh in ((SILENT, 0), (WASTEFUL, 3_000)):
        bid = partial(_same_every_hour, energy_wh=energy_wh)
        STRATEGIES.register(Strategy(name, bid, "a test"), contract=2)
    yield
    for name in (SILENT, WASTEFUL):
        STRATEGIES.forget(name)


def _same_every_hour(state: State, view: View, energy_wh: int) -> Orders:
    return one_order_a_home(view.net_wh * 0 + energy_wh, view.prices.buy_cap_micro_per_kwh, 0)


def paid(result: ws.RunResult) -> list[int]:
    bills = result.table("bills")
    return [int(paid) for paid in np.sum([bills[name] for name in MONEY_COLUMNS], axis=0)]


def summed(credited: Credited) -> list[int]:
    """Of the intervals, without what is stored at the end."""
    return [int(total) for total in np.sum(credited[:-1], axis=0)]


def test_the_honest_game_is_the_run(street: Path, game: LivedGame) -> None:
    setup = prepare(ws.load(street, overrides=[*THINKING, *SHORT]))
    community = setup.community()
    for i, moment in enumerate(game.moments):
        record = step(setup, community, i)
        assert moment.import_wh.tolist() == record.import_wh.tolist()
        assert moment.export_wh.tolist() == record.export_wh.tolist()
        kept = moment.orders.of_rows(moment.orders.energy_wh > 0)
        assert sorted(kept.energy_wh.tolist()) == sorted(record.book.energy_wh.tolist())
    assert game.honest()[-1].tolist() == community.worth_nano().tolist()


def test_never_ordering_is_a_run_in_which_the_home_never_orders(
    street: Path, game: LivedGame, poor_bidders: None, tmp_path: Path
) -> None:
    """The same by the run alone: another strategy for that home, devices that react, meters, settlement."""
    own = engine.run(ws.load(street, overrides=[*THINKING, *SHORT]), out=tmp_path / "own")
    assert paid(own) == summed(game.honest())
    for home, name in list(enumerate(own.table("bills")["household"]))[1:]:
        ways = [*THINKING, *SHORT, f'homes.strategies={{{SILENT}=["{name}"]}}']
        without = engine.run(ws.load(street, overrides=ways), out=tmp_path / str(name))
        (credited,) = game.plays(game.honest(), {}, [{home: NEVER}])
        assert paid(without) == summed(credited)
        assert paid(without) != paid(own), "the deviation changes nothing, so the test shows nothing"


def test_what_others_use_changes_too(game: LivedGame) -> None:
    (life,) = game._lived([{0: NAMES["double"]}], None)
    others = [
        (m.import_wh[1:] != own.import_wh[1:]).any()
        for m, own in zip(life.moments, game.moments, strict=True)
    ]
    assert any(others)


@pytest.mark.parametrize("name", [None, "never order", "sell 500 Wh of nothing"])
def test_lives_side_by_side_are_lives_one_by_one(game: LivedGame, name: str | None) -> None:
    own = Deviation("its own orders", lambda home, orders, prices: orders, False)
    chosen = own if name is None else NAMES[name]
    together = list(game.plays([], {}, [{home: chosen} for home in range(HOMES)]))
    apart = [next(game.plays([], {}, [{home: chosen}])) for home in range(HOMES)]
    assert [[c.tolist() for c in one] for one in together] == [[c.tolist() for c in one] for one in apart]
    same = [c.tolist() for c in together[0]] == [c.tolist() for c in game.honest()]
    assert same == (name is None)


def test_what_is_stored_counts_for_the_home_that_stores_it(street: Path) -> None:
    """At noon batteries are full of sun: worth no more than at the highest price, and nothing where they are empty."""
    setup = prepare(ws.load(street, overrides=[*THINKING, "time.intervals=14"]))
    community = setup.community()
    assert community.worth_nano().tolist() == [0] * HOMES
    for i in range(setup.intervals):
        record = step(setup, community, i)
    worth, stored = community.worth_nano(), record.columns["stored_wh"]
    assert (stored > 500).any()
    assert ((worth > 0) == (stored > 0)).all()
    assert (worth <= (stored + 1) * 600_000 * 1.01).all()
    found = LivedGame(setup)
    gain = alone(found, found.honest(), NEVER).gain_nano
    bills = [
        summed(c)[home] - summed(found.honest())[home]
        for home, c in enumerate(found.plays([], {}, [{home: NEVER} for home in range(HOMES)]))
    ]
    assert gain.tolist() != bills


def check(
    capsys: pytest.CaptureFixture[str], street: Path, intervals: int, *more: str
) -> tuple[int, dict[str, Any]]:
    words = [word for setting in (*THINKING, f"time.intervals={intervals}") for word in ("--set", setting)]
    done = call(capsys, "check", "market", street, *words, *more, "-q", "--json")
    return done.code, json.loads(done.out)


def test_every_deviation_is_tried_and_the_code_says_what_was_found(
    capsys: pytest.CaptureFixture[str], street: Path
) -> None:
    code, found = check(capsys, street, 6, "--rounds", "1")
    assert code == (0 if found["holds"] else 6)
    assert {one["name"] for one in found["deviations"]} == {*NAMES}
    assert found["wash_trades"]["pairs"] > 0
    assert found["best_responses"]["rounds"] == 1
    assert found["reacts"]
    assert found["holds"] == (
        found["wash_trades"]["holds"] and all(one["holds"] is not False for one in found["deviations"])
    )


def test_a_home_that_gains_by_not_ordering_fails_the_check(
    capsys: pytest.CaptureFixture[str], street: Path, poor_bidders: None
) -> None:
    ways = "market.imbalance=retailer", f'homes.strategies={{{WASTEFUL}=["home-3"]}}'
    code, found = check(capsys, street, 12, "--rounds", "0", *(w for way in ways for w in ("--set", way)))
    never = found["deviations"][0]
    assert (code, found["holds"], found["best_responses"]) == (6, False, None)
    assert (never["name"], never["holds"], never["worst_home"]) == ("never order", False, "home-3")


def test_the_text_says_what_is_lived_again(capsys: pytest.CaptureFixture[str], street: Path) -> None:
    words = [word for setting in (*THINKING, "time.intervals=2") for word in ("--set", setting)]
    done = call(capsys, "check", "market", street, *words, "--rounds", "0", "-q")
    text = " ".join(done.out.split())
    assert (
        "what batteries hold at the end counts at the value that their plan puts on it, and what cars" in text
    )
    assert "Best responses" not in text


def test_with_metered_quantities_homes_hold_to_no_trade(street: Path) -> None:
    found = game_of(prepare(ws.load(street, overrides=[*THINKING, *SHORT, "market.quantities=metered"])))
    assert isinstance(found, Game)
    assert (alone(found, found.honest(), NEVER).gain_nano <= 0).all()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("homes.control=plan_by_local_prices", "learns from results"),
        ("homes.strategy=shader", "learns from results"),
        ("market.rounds=3", "order again"),
    ],
)
def test_homes_that_learn_and_rounds_are_refused(setting: str, said: str, street: Path) -> None:
    with pytest.raises(UsageError, match=said):
        game_of(prepare(ws.load(street, overrides=[*THINKING, *SHORT, setting])))
