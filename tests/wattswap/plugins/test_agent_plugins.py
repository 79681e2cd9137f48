"""A device, a strategy that learns and a forecaster with weather, each in one file that no other file knows."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import wattswap as ws
from agents.bidding import STRATEGIES, OwnResults, Strategy
from agents.bidding.truthful import TRUTHFUL
from agents.devices import DEVICES
from agents.forecast import FORECASTERS
from agents.state import State
from tests.kits.resume_kit import killed, same_files
from tests.kits.run_kit import call, refused, table_rows, write_street
from wattswap.errors import InvalidScenario, RunNotFound
from wattswap.runs import engine
from wattswap.runs.layout import CHECKPOINT
from wattswap.runs.prepare import Setup, prepare
from wattswap.scenario.load import from_resolved

DEVICE = '''
"""A hot-water tank: takes surplus until it is full, and cools by a tenth of an hour's power."""

from dataclasses import dataclass

import numpy as np

from agents.devices import DEVICES, Device, Key


@dataclass(frozen=True)
class Tank:
    volume_wh: int
    power_w: int
    start_ppm: int

    def __post_init__(self):
        if self.power_w > self.volume_wh:
            raise ValueError(f"a tank of {self.volume_wh} Wh cannot take {self.power_w} W")


class Tanks:
    columns = ("tank_wh",)

    def __init__(self, specs, minutes):
        def column(name):
            return np.array([0 if spec is None else getattr(spec, name) for spec in specs], dtype=np.int64)

        self.volume_wh, self.most_wh = column("volume_wh"), column("power_w") * minutes // 60
        self.initial_wh = self.volume_wh * column("start_ppm") // 1_000_000

    def start(self):
        return {"warm_wh": self.initial_wh}

    def step(self, state, command_wh, moment):
        cooled_wh = np.maximum(state["warm_wh"] - self.most_wh // 10, 0)
        taken_wh = np.clip(command_wh, 0, np.minimum(self.most_wh, self.volume_wh - cooled_wh))
        return taken_wh, {"warm_wh": cooled_wh + taken_wh}

    def read(self, state):
        return {"tank_wh": state["warm_wh"]}

    def block(self, model, home, state, moments):
        takes = model.variables(f"tank{home}.takes_wh", len(moments), upper=float(self.most_wh[home]))
        return [takes, model.variables(f"tank{home}.gives_wh", len(moments), upper=0.0)]


DEVICES.register(
    Device(
        name="tank",
        keys=(
            Key("volume_kwh", "volume_wh", "energy", "Heat that it holds, in kWh."),
            Key("power_kw", "power_w", "power", "The most it takes in, in kW."),
            Key("start_share", "start_ppm", "share", "How warm it is at the start, 0 to 1.", 500_000),
        ),
        spec=Tank,
        fleet=Tanks,
        summary="stores surplus as heat",
    )
)
'''
STRATEGY = '''
"""Two orders a home, around a limit that moves to where the last trade was."""

import numpy as np

from agents.bidding import STRATEGIES, Orders, Strategy
from market.random import whole_between, words_of


def start(homes, rules):
    drawn = whole_between(words_of(rules.seed, 0, homes), np.full(len(homes), 80_000), np.full(len(homes), 320_000))
    return {"limit": drawn, "weight": np.full(len(homes), 0.3)}


def bid(state, view):
    home = np.repeat(np.arange(len(view.net_wh)), 2)
    net, second = view.net_wh[home], np.arange(len(home)) % 2
    limit = state["limit"][home] + np.where(net > 0, -1_000, 1_000) * second
    return Orders(home, np.where(net > 0, 1, -1).astype(np.int8), np.abs(net) // 2, limit)


def learn(state, outcome):
    if outcome.price is None:
        return state
    gap = outcome.price.price - state["limit"]
    received = np.zeros(len(gap), dtype=bool)
    received[outcome.orders.home] = True
    moved = state["limit"] + np.where(received, state["weight"] * gap, 0.0).astype(np.int64)
    return {"limit": moved, "weight": state["weight"] * np.where(received, 0.999, 1.0)}


STRATEGIES.register(
    Strategy("follower", bid, "follows the price", start=start, learn=learn, several_orders=True), contract=2
)
'''
FORECASTER = '''
"""The last known day, 10 Wh more for each degree below 15 at the last measurement; .1 and .9 quantiles 50 Wh apart."""

import numpy as np

from agents.forecast import FORECASTERS, Forecast, Forecaster


def fit(known):
    day = known.steps_per_day
    return known.net_wh[-day:] if len(known.net_wh) >= day else None


def predict(day_wh, horizon):
    cold = max(15 - float(horizon.known.weather["temp_c"][-1]), 0)
    median = day_wh[np.arange(horizon.steps) % len(day_wh)] + round(10 * cold)
    return Forecast((100_000, 500_000, 900_000), np.stack([median - 50, median, median + 50]))


FORECASTERS.register(Forecaster("weather_day", fit, predict, "yesterday and the cold"), contract=2)
'''
TANK = "\n[homes.tank.home-2]\nvolume_kwh = 3\npower_kw = 1.2\n"


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """All three files, written, imported, and forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path / "theirs"))
    (tmp_path / "theirs").mkdir()
    for name, text in (("own_device", DEVICE), ("own_strategy", STRATEGY), ("own_forecaster", FORECASTER)):
        (tmp_path / "theirs" / f"{name}.py").write_text(text, encoding="utf-8")
        monkeypatch.delitem(sys.modules, name, raising=False)
        import_module(name)
    yield
    DEVICES.forget("tank")
    STRATEGIES.forget("follower")
    FORECASTERS.forget("weather_day")


@pytest.fixture(autouse=True)
def a_checkpoint_each_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny runs of these tests are over before a checkpoint is due by the clock."""
    monkeypatch.setattr(engine, "CHECKPOINT_S", 0.0)


@pytest.mark.usefixtures("plugin")
def test_a_device_of_ones_own_runs_from_its_table_and_goes_on_after_an_interruption(tmp_path: Path) -> None:
    street = write_street(tmp_path / "street", homes=4, more=TANK)
    scenario = ws.load(street)
    whole = ws.run(scenario, out=tmp_path / "runs")
    plain = ws.run(ws.load(write_street(tmp_path / "plain", homes=4)), out=tmp_path / "runs")
    rows, without = (table_rows(run.path, "readings") for run in (whole, plain))
    warm = [int(str(row["tank_wh"])) for row in rows if row["household"] == "home-2"]
    assert warm[0] >= 1_500 - 120
    assert max(warm) > 1_500
    assert {row["tank_wh"] for row in rows if row["household"] != "home-2"} == {0}
    assert "tank_wh" not in without[0]
    exported = [sum(int(str(row["export_wh"])) for row in table) for table in (rows, without)]
    assert exported[0] < exported[1], "the tank takes surplus"
    assert ws.verify(whole.path)["ok"]
    partial = killed(scenario, tmp_path / "stopped", 30)
    assert json.loads((partial / CHECKPOINT).read_text())["homes"]["devices"][-1]["tank"]["warm_wh"]
    resumed = engine.resume(partial)
    assert resumed.manifest["replay_sha256"] == whole.manifest["replay_sha256"]
    assert same_files(resumed.path, whole.path)


@pytest.mark.usefixtures("plugin")
def test_a_table_of_ones_own_is_checked_like_any_other(tmp_path: Path) -> None:
    mistakes = "\n[homes.tank.home-2]\nvolume = 3\npower_kw = 0\n[homes.tank.home-3]\nvolume_kwh = 1\n"
    with pytest.raises(InvalidScenario) as caught:
        ws.load(write_street(tmp_path / "wrong", homes=4, more=mistakes))
    sentences = str(caught.value)
    for phrase in (
        "homes.tank.home-2.volume: unknown key; did you mean 'volume_kwh'?",
        "homes.tank.home-2.power_kw: 0 is too small",
    ):
        assert phrase in sentences
    with pytest.raises(InvalidScenario, match=r"scenario.toml:\d+: homes\.tank\.home-3: has no power_kw"):
        ws.load(write_street(tmp_path / "part", homes=4, more="\n[homes.tank.home-3]\nvolume_kwh = 1\n"))
    both = "\n[homes.tank.home-2]\nvolume_kwh = 1\npower_kw = 2\n[homes.tank.home-9]\nvolume_kwh = 2\npower_kw = 1\n"
    with pytest.raises(InvalidScenario) as caught:
        prepare(ws.load(write_street(tmp_path / "data", homes=4, more=both)))
    assert "homes.tank.home-2: a tank of 1000 Wh cannot take 2000 W" in str(caught.value)
    assert "homes.tank.home-9: the data have no home 'home-9'" in str(caught.value)


def test_without_the_device_its_table_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(InvalidScenario, match=r"homes\.tank: unknown table"):
        ws.load(write_street(tmp_path, homes=4, more=TANK))


@pytest.mark.usefixtures("plugin")
def test_a_strategy_that_learns_goes_on_after_an_interruption_as_if_there_were_none(tmp_path: Path) -> None:
    street = write_street(tmp_path / "street", homes=9)
    scenario = ws.load(street, overrides=["homes.strategies={follower=0.75}"])
    whole = ws.run(scenario, out=tmp_path / "runs")
    limits = {row["limit_micro_per_kwh"] for row in table_rows(whole.path, "orders")}
    assert len(limits) > 60, "limits move from interval to interval"
    partial = killed(scenario, tmp_path / "stopped", 30)
    saved = json.loads((partial / CHECKPOINT).read_text())["homes"]["strategies"]
    assert len(saved["follower"]["limit"]["values"]) == 7
    assert saved["staircase"] == {}
    resumed = engine.resume(partial)
    assert resumed.manifest["replay_sha256"] == whole.manifest["replay_sha256"]
    assert same_files(resumed.path, whole.path)
    assert ws.verify(whole.path)["ok"]


@pytest.mark.parametrize("mechanism", ["uniform_price", "pay_as_bid"])
def test_what_a_home_learns_of_itself_is_what_its_postings_say(mechanism: str, tmp_path: Path) -> None:
    received: list[OwnResults] = []

    def listen(state: State, results: OwnResults) -> State:
        received.append(results)
        return state

    STRATEGIES.register(Strategy("self_taught", TRUTHFUL.bid, "a test", learn_own=listen))
    try:
        shares = 'homes.strategies={self_taught=["home-3", "home-1"]}'
        street = write_street(tmp_path / "street", homes=5)
        done = ws.run(ws.load(street, overrides=[shares, f"market.mechanism={mechanism}"]), out=tmp_path)
    finally:
        STRATEGIES.forget("self_taught")
    postings, intervals = done.table("postings"), done.table("intervals")
    assert len(received) == len(intervals) == 48
    traded = 0
    for results, (_, interval) in zip(received, intervals.iterrows(), strict=True):
        assert results.start_s == interval["interval_start"].timestamp()
        rows = postings[postings["interval_start"] == interval["interval_start"]].set_index("account")
        for name in ("bought_wh", "sold_wh"):
            assert getattr(results, name).tolist() == rows.loc[["home-1", "home-3"], name].tolist()
        assert results.payment_nano.tolist() == (-rows.loc[["home-1", "home-3"], "trade_nano"]).tolist()
        traded += int(results.bought_wh.sum() + results.sold_wh.sum())
        lo, hi = interval["lo_micro_per_kwh"], interval["hi_micro_per_kwh"]
        if results.price is None:
            assert pd.isna(lo)
        else:
            assert (results.price.lo, results.price.hi) == (lo, hi)
    assert traded > 0


@pytest.mark.usefixtures("plugin")
def test_homes_learn_from_the_mechanism_they_are_compared_under(tmp_path: Path) -> None:
    scenario = ws.load(write_street(tmp_path / "street", homes=6), overrides=["homes.strategy=follower"])
    done = ws.run(scenario, out=tmp_path / "runs")
    compared = ws.compare(scenario, mechanisms=["uniform_price", "pay_as_bid"], out=tmp_path / "compared")
    assert compared is not None
    assert done.metrics["traded_kwh"] > 0


@pytest.mark.usefixtures("plugin")
def test_a_network_refuses_what_a_home_does_not_hear(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    street = write_street(tmp_path / "street", homes=4)
    outcome = call(
        capsys, "live", street, "--set", "homes.strategy=follower", "--out", tmp_path / "runs", "-q"
    )
    refused(outcome, 3, "homes.strategy", "'follower' learns from the orders of all homes", "wattswap run")


@pytest.mark.parametrize("key", ["homes.forecast", "homes.forecast_pv", "homes.forecasters"])
def test_a_network_refuses_a_forecaster_that_learns_from_all_homes(
    key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    street = write_street(tmp_path / "street")
    value = "{shared_ridge=1}" if key == "homes.forecasters" else "shared_ridge"
    outcome = call(capsys, "live", street, "--set", f"{key}={value}", "--out", tmp_path / "runs", "-q")
    refused(outcome, 3, key, "'shared_ridge' learns from the readings of all homes", "wattswap run")


@pytest.mark.usefixtures("plugin")
def test_a_forecaster_of_ones_own_sees_the_weather_that_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = ws.load(write_street(tmp_path / "street"), overrides=["homes.forecast=weather_day"])

    def with_weather(scenario: ws.Scenario, degrees: float) -> Setup:
        setup = prepare(scenario)
        return replace(setup, weather={"temp_c": np.full(setup.meter.intervals, degrees)})

    ordered = {}
    for degrees in (15.0, 5.0):
        monkeypatch.setattr(engine, "prepare", lambda scenario, d=degrees: with_weather(scenario, d))
        done = ws.run(scenario, out=tmp_path / f"runs {degrees}")
        ordered[degrees] = sum(
            int(str(row["energy_wh"])) * int(str(row["side"]))
            for row in table_rows(done.path, "orders")
            if row["household"] == "home-2"
        )
    # The first of the 48 intervals has less than a day before it, and no order.
    assert ordered[5.0] == ordered[15.0] + 47 * 100


# ---- a strategy per home


def test_shares_are_drawn_by_home_and_lists_name_homes(tmp_path: Path) -> None:
    street = write_street(tmp_path, homes=10)
    text = ['homes.strategies={zi_c=0.5, truthful=["home-1", "home-2"]}', 'homes.strategy="truthful"']
    setup = prepare(ws.load(street, overrides=text))
    assert sorted(setup.strategies) == ["truthful"] * 6 + ["zi_c"] * 4
    assert setup.strategies[:2] == ("truthful", "truthful")
    again = prepare(ws.load(street, overrides=text))
    assert again.strategies == setup.strategies
    other = prepare(ws.load(street, overrides=[*text, "seed=8"]))
    assert other.strategies != setup.strategies
    names = [f'"home-{i}"' for i in (3, 9, 1, 2, 4, 5, 6, 7, 8, 10)]
    turned = prepare(ws.load(street, overrides=[*text, f"data.households=[{', '.join(names)}]"]))
    assert dict(zip(turned.roster, turned.strategies, strict=True)) == dict(
        zip(setup.roster, setup.strategies, strict=True)
    ), "the order of homes does not matter"


def test_a_scenario_with_strategies_is_stored_and_read_back(tmp_path: Path) -> None:
    text = 'homes.strategies={zi_c=0.25, truthful=["home-1"]}'
    scenario = ws.load(write_street(tmp_path), overrides=[text])
    assert scenario.resolved()["homes"]["strategies"] == {"zi_c": "0.25", "truthful": ["home-1"]}
    again = from_resolved(scenario.resolved(), tmp_path)
    assert again.resolved() == scenario.resolved()
    assert again.homes.strategies == {"zi_c": 250_000, "truthful": ("home-1",)}


def test_one_strategy_for_all_is_the_same_run_however_it_is_said(tmp_path: Path) -> None:
    street = write_street(tmp_path / "street", homes=5)
    said = [
        ["homes.strategy=zi_c"],
        ["homes.strategies={zi_c=1}"],
        ["homes.strategy=zi_c", "homes.strategies={zi_c=0.4}"],
    ]
    runs = [ws.run(ws.load(street, overrides=text), out=tmp_path / str(i)) for i, text in enumerate(said)]
    books = [table_rows(run.path, "orders") for run in runs]
    assert books[0] == books[1] == books[2]


@pytest.mark.parametrize(
    ("value", "phrase"),
    [
        ("{zi_cc=0.5}", "homes.strategies.zi_cc: no bidding strategy 'zi_cc'; did you mean 'zi_c'?"),
        ("{zi_c=0.7, truthful=0.5}", "homes.strategies: gives shares of 1.2 of the homes"),
        ("{zi_c=1.5}", "homes.strategies.zi_c: 1.5 is too large"),
        ("{zi_c=true}", "homes.strategies.zi_c: must be a share or a list of homes, not true or false"),
        ('{zi_c=["a"], truthful=["a"]}', "homes.strategies: names home 'a' twice"),
    ],
)
def test_strategies_that_make_no_sense_are_refused(tmp_path: Path, value: str, phrase: str) -> None:
    with pytest.raises(InvalidScenario) as caught:
        ws.load(write_street(tmp_path), overrides=[f"homes.strategies={value}"])
    assert phrase in str(caught.value)


def test_a_strategy_for_a_home_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    scenario = ws.load(write_street(tmp_path), overrides=['homes.strategies={zi_c=["home-9"]}'])
    with pytest.raises(InvalidScenario, match=r"homes\.strategies\.zi_c: the data have no home 'home-9'"):
        prepare(scenario)


def test_a_checkpoint_of_version_0_1_is_refused_with_what_to_do(street: Path, tmp_path: Path) -> None:
    partial = killed(ws.load(street), tmp_path, 30)
    saved = json.loads((partial / CHECKPOINT).read_text())
    del saved["version"], saved["homes"]
    (partial / CHECKPOINT).write_text(json.dumps(saved | {"stored_uwh": [[0, 0, 0]]}))
    with pytest.raises(RunNotFound, match="another version of wattswap; start a new run"):
        engine.resume(partial)
