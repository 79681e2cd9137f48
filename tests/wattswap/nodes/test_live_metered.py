"""Live runs whose quantities come from the meters: the roots of a run in process, and homes that send no reading."""

from __future__ import annotations

from pathlib import Path

import pytest

import wattswap as ws
from tests.kits.plugin_kit import own_registries, written
from tests.kits.run_kit import FIRST, call, refused, write_street
from tests.kits.sample_kit import sample_of
from tests.kits.town_kit import assert_as_in_process, lived_in_memory, playing
from wattswap.nodes.live import Topology, compare_runs, run_live
from wattswap.results import RunResult
from wattswap.runs import engine
from wattswap.runs.folder import stored_scenario

DAYLIGHT_S = int(FIRST.timestamp()) + 86_400 + 9 * 3_600
LEARNER = '''
"""A strategy that learns from its own results and states no limits."""

from agents.bidding import STRATEGIES, Strategy, truthful

STRATEGIES.register(
    Strategy(
        "learner",
        lambda state, view: truthful.bid(state, view),
        "a test",
        start=lambda homes, rules: {"seen": 0 * homes},
        learn_own=lambda state, results: {"seen": state["seen"] + 1},
    ),
    contract=2,
)
'''


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six homes whose meters give the quantities."""
    return write_street(tmp_path_factory.mktemp("street"), homes=6, more='quantities = "metered"\n')


def lived(street: Path, out: Path, topology: Topology, **options: object) -> RunResult:
    """Three intervals of daylight, in memory."""
    return run_live(
        ws.load(street),
        topology=topology,
        intervals=3,
        start_s=DAYLIGHT_S,
        out=out,
        run_nodes=playing(**options),
    )


def test_limits_are_stated_before_the_interval_is_lived(street: Path, tmp_path: Path) -> None:
    """Those of this strategy are drawn for each interval: stated later, they are those of the next."""
    scenario = ws.load(street, overrides=["homes.strategy=zi_c"])
    result = assert_as_in_process(lived_in_memory(scenario, tmp_path, 3, DAYLIGHT_S, Topology()), tmp_path, 3)
    assert len(set(result.table("orders")["limit_micro_per_kwh"])) > 3


@pytest.mark.parametrize("gateways", sample_of([0, 2], [2]))
def test_metered_quantities_give_the_roots_of_a_run_in_process(
    gateways: int, street: Path, tmp_path: Path
) -> None:
    result = lived(street, tmp_path, Topology(gateways=gateways))
    again = engine.run(stored_scenario(result.path), out=tmp_path / "again")
    assert len(compare_runs(result, again)) == 3
    for name in ("orders", "postings", "bills", "readings"):
        assert (result.path / f"{name}.parquet").read_bytes() == (again.path / f"{name}.parquet").read_bytes()
    assert ws.verify(result.path)["ok"]
    assert result.metrics["traded_kwh"] > 0
    assert (result.table("orders")["energy_wh"] > 1).all(), "the energy of a limit is that of the meter"
    assert result.metrics["saving_by_imbalance_rule"] == 0


def test_a_home_without_a_reading_trades_nothing(
    street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = lived(street, tmp_path / "whole", Topology())
    result = lived(street, tmp_path / "less", Topology(gate_s=1.0), absent=["home-2"])
    assert "home-2" in set(whole.table("orders")["household"])
    assert "home-2" not in set(result.table("orders")["household"])
    bills = result.table("bills").set_index("household")
    away = bills.loc["home-2"]
    assert not away[["bought_wh", "sold_wh", "local_wh", "trade_nano", "imbalance_nano"]].any()
    assert away["import_wh"] == away["retail_import_wh"] > 0, "its deemed use"
    assert result.metrics["traded_kwh"] > 0
    silent = result.manifest["network"]["silent"]
    assert {line.split()[1] for line in silent} == {"home-2"}
    assert f"{len(silent)} times a home; " in call(capsys, "show", result.path).out
    network = call(capsys, "show", result.path, "network").out
    assert "home-2 2026-06-0" in network
    assert silent[0].split()[0] not in network


def test_a_strategy_without_limits_is_refused_in_one_sentence(
    street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = written(tmp_path, "learner.py", LEARNER)
    for command in (["validate"], ["run", "--out", tmp_path / "out"], ["live", "--out", tmp_path / "out"]):
        with own_registries(monkeypatch):
            words = [command[0], street, *command[1:], "--module", module, "--set", "homes.strategy=learner"]
            outcome = call(capsys, *words)
        refused(
            outcome, 3, "'learner' states no limits for metered quantities; choose", 'quantities = "ordered"'
        )
        assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
