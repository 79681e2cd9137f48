"""What each node of a network stores and receives of readings: no more than docs/explanation/privacy.md says."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import SimpleNamespace

import numpy as np
import pytest

import wattswap as ws
from p2p.blocks.genesis import read_genesis
from p2p.transports.base import peer_id_of
from tests.kits.readings_kit import SMALLEST_WH, RecordingNetwork, readings_below, readings_in
from tests.kits.town_kit import play_in_memory
from wattswap.errors import InvalidData
from wattswap.nodes.assemble import assemble, take_over
from wattswap.nodes.bundle import load_bundle, setup_of
from wattswap.nodes.config import NodeConfig
from wattswap.nodes.keys import open_keys
from wattswap.nodes.live import Topology, compare_runs
from wattswap.nodes.provision import KeyPlan, NetworkSpec, init_nodes
from wattswap.nodes.report import network_facts, write_network
from wattswap.nodes.stats import read_stats
from wattswap.runs import engine
from wattswap.runs.interval import sent_orders
from wattswap.runs.layout import LIVE
from wattswap.runs.prepare import Setup, prepare

HOMES, BEFORE, INTERVALS = 4, 48, 3
"""Homes, hours of history, hours that run."""
FIRST_S = 1_772_323_200
SCENARIO = f"""
schema = 1
name = "large-numbers"
currency = "EUR"
seed = 5

[time]
start = 2026-03-03T00:00:00Z
intervals = {INTERVALS}

[data]
path = "meter.csv"
fuse_kw = 1000

[homes]
forecast = "same_hour_mean"
forecast_days = 2

[tariff]
import_per_kwh = 0.32
feed_in_per_kwh = 0.08

[market]
gate_closure_minutes = 60
"""


@dataclass(frozen=True)
class Street:
    """A scenario whose readings are all different, and too large to be found by chance.

    Attributes:
        history_wh: Registers of the hours before the run, by home.
        lived_wh: Registers of the hours that run, by home.
        later_wh: Registers of hours after the run.
    """

    folder: Path
    history_wh: dict[str, set[int]]
    lived_wh: dict[str, set[int]]
    later_wh: set[int]

    @property
    def all_wh(self) -> set[int]:
        return set().union(*self.history_wh.values(), *self.lived_wh.values(), self.later_wh)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Street:
    folder = tmp_path_factory.mktemp("large")
    numbers = iter(Random(3).sample(range(SMALLEST_WH, 900_000), 2 * HOMES * (BEFORE + INTERVALS + 24)))
    history: dict[str, set[int]] = {f"home-{home}": set() for home in range(HOMES)}
    lived: dict[str, set[int]] = {home: set() for home in history}
    later, lines = set[int](), ["timestamp,household,import_kwh,export_kwh"]
    for hour in range(BEFORE + INTERVALS + 24):
        for home in history:
            both = next(numbers), next(numbers)
            stamp = np.datetime64(FIRST_S + 3_600 * hour, "s")
            lines.append(f"{stamp}Z,{home},{both[0] / 1_000:.3f},{both[1] / 1_000:.3f}")
            part = history[home] if hour < BEFORE else lived[home] if hour < BEFORE + INTERVALS else later
            part.update(both)
    (folder / "meter.csv").write_text("\n".join([*lines, ""]))
    (folder / "scenario.toml").write_text(SCENARIO)
    return Street(folder, history, lived, later)


@dataclass(frozen=True)
class Played:
    """A network that has run to its end."""

    setup: Setup
    configs: tuple[NodeConfig, ...]
    network: RecordingNetwork

    def received_by(self, config: NodeConfig) -> bytes:
        keys = open_keys(config, {}, read_genesis(config.genesis_path))
        return self.network.bytes_of(peer_id_of(keys[config.key_names[0]].public_key))


@pytest.fixture(scope="module", params=[0, 2], ids=["a node a home", "gateways"])
def played(request: pytest.FixtureRequest, large: Street, tmp_path_factory: pytest.TempPathFactory) -> Played:
    scenario = ws.load(large.folder)
    spec = NetworkSpec(0, gateways=request.param, observers=1, pace_s=0.0, gate_s=20.0)
    folder = tmp_path_factory.mktemp("net") / "nodes"
    chain = scenario.chain.model_copy(update={"authorities": spec.validators})
    scenario = scenario.model_copy(update={"chain": chain})
    configs = init_nodes(scenario, folder, spec, KeyPlan(derived=True))
    network = RecordingNetwork()
    play_in_memory(configs, Topology(), INTERVALS, None, network=network)
    return Played(prepare(scenario), configs, network)


def sees(large: Street, config: NodeConfig) -> set[int]:
    """The readings that a node has a part in, by the table of privacy.md: of the hours that were settled. [Wh]"""
    if config.role in ("operator", "validator"):
        return set().union(*large.lived_wh.values())
    return set().union(*(large.lived_wh[home] for home in config.households))


def test_a_node_stores_readings_of_its_own_homes_and_collectors_those_that_were_settled(
    played: Played, large: Street
) -> None:
    for config in played.configs:
        own = set().union(*(large.history_wh[home] for home in config.households))
        assert readings_below(config.folder, large.all_wh) == sees(large, config) | own, config.name


def test_a_node_receives_lines_of_its_own_homes_and_collectors_the_readings_as_they_are_settled(
    played: Played, large: Street
) -> None:
    for config in played.configs:
        found = readings_in(played.received_by(config), large.all_wh)
        assert found == sees(large, config), config.name


NAMED = {
    "operator": {"scenario/homes.json", "data/journal.db"},
    "validator": {"scenario/homes.json", "data/journal.db"},
    "observer": {"scenario/homes.json"},
    "household": {"scenario/homes.json"},
    "gateway": {"scenario/homes.json"},
}
"""Files of a node that may have ids of homes for which it does not act."""


def test_ids_of_other_homes_are_in_the_files_that_the_page_names(played: Played) -> None:
    for config in played.configs:
        others = [home.encode() for home in played.setup.roster if home not in config.households]
        found = {
            path.relative_to(config.folder).as_posix()
            for path in config.folder.rglob("*")
            if path.is_file() and any(home in path.read_bytes() for home in others)
        }
        assert "scenario/homes.json" in found
        assert found <= NAMED[config.role], config.name


def test_nothing_in_the_folder_of_an_operator_before_it_runs(large: Street, tmp_path: Path) -> None:
    made = init_nodes(ws.load(large.folder), tmp_path / "nodes", NetworkSpec(0, observers=1), KeyPlan())
    for config in made:
        own = [large.history_wh[home] | large.lived_wh[home] for home in config.households]
        assert readings_below(config.folder, large.all_wh) == set().union(*own), config.name


FORMS: Mapping[str, Callable[[int, int], bytes]] = {
    "text in Wh": lambda wh, _: b"home,%d\n" % wh,
    "text in kWh": lambda wh, _: f"x {wh / 1_000:.3f},".encode(),
    "MessagePack": lambda wh, _: struct.pack(">BI", 0xCE, wh),
    "int64": lambda wh, _: struct.pack("<q", wh),
    "float64 in kWh": lambda wh, _: struct.pack("<d", wh / 1_000),
    "float64 in Wh": lambda wh, _: struct.pack(">d", float(wh)),
    "columns of int32": lambda wh, other: struct.pack("<ii", wh, other),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_planted_reading_is_found_in_every_form(form: str, played: Played, large: Street) -> None:
    """The control of the tests above: one reading of another home in an observer's folder, and in its traffic."""
    observer = next(config for config in played.configs if config.role == "observer")
    wh, other = sorted(large.history_wh["home-2"])[:2]
    planted = b"\x01odd" + FORMS[form](wh, other) + b"\x02"
    file = observer.folder / "data" / "planted.bin"
    file.write_bytes(planted)
    try:
        assert wh in readings_below(observer.folder, large.all_wh)
    finally:
        file.unlink()
    assert wh in readings_in(played.received_by(observer) + planted, large.all_wh)


def test_the_run_folder_of_such_a_network_is_that_of_a_run_with_all_data(
    played: Played, tmp_path: Path
) -> None:
    setup, folder = played.setup, tmp_path / "collected"
    partial = engine.begin(setup, folder, driver=LIVE)
    lines = list(read_stats(config.data_path for config in played.configs))
    collectors = [c.data_path for c in played.configs if c.role in ("operator", "validator")]
    take_over(setup, partial, collectors)
    write_network(partial, lines)
    live = assemble(setup, partial, 0.0, network_facts(played.configs, lines, {}))
    again = engine.run(setup.scenario, out=tmp_path / "again")
    assert len(compare_runs(live, again)) == INTERVALS
    assert ws.verify(live.path)["ok"]


def test_a_home_orders_by_its_own_readings_what_it_would_by_those_of_all(
    played: Played, large: Street
) -> None:
    for config in played.configs:
        own = setup_of(config, read_genesis(config.genesis_path))
        for home in config.households:
            place = own.roster.index(home)
            mine, whole = (
                sent_orders(setup, setup.community(place), 0).energy_wh.tolist()
                for setup in (own, played.setup)
            )
            assert mine == whole
            assert any(mine)


def test_collectors_share_a_pool_by_the_weights_of_all_data_and_homes_have_none(played: Played) -> None:
    for config in played.configs:
        own = setup_of(config, read_genesis(config.genesis_path))
        if config.role in ("operator", "validator"):
            for i in range(INTERVALS):
                assert own.weight_wh(i).tolist() == played.setup.weight_wh(i).tolist()
                assert own.weight_wh(i).all()
        else:
            assert not config.scenario_path.with_name("weights.json").exists()
            with pytest.raises(Exception, match="does not hold those of the pool"):
                own.weight_wh(0)


@pytest.fixture
def fresh(large: Street, tmp_path: Path) -> SimpleNamespace:
    made = init_nodes(ws.load(large.folder), tmp_path / "nodes", NetworkSpec(0), KeyPlan())
    by_name = {config.name: config for config in made}
    return SimpleNamespace(home=by_name["home-1"], validator=by_name["validator-0"])


def test_other_readings_than_the_genesis_commits_to_are_named(fresh: SimpleNamespace) -> None:
    path = fresh.home.scenario_path.parent / "readings" / "1.csv"
    text = path.read_text()
    last = text.splitlines()[-1]
    start_s, wh, *rest = last.split(",")
    path.write_text(text.replace(last, ",".join([start_s, str(int(wh) + 1), *rest])))
    with pytest.raises(InvalidData, match="other readings than the genesis commits to"):
        setup_of(fresh.home, read_genesis(fresh.home.genesis_path))


@pytest.mark.parametrize("text", ["", "# salt 00\nx\n", "# salt " + "00" * 32 + "\nstart_s\n1\n"])
def test_a_damaged_file_of_readings_is_named(text: str, fresh: SimpleNamespace) -> None:
    (fresh.home.scenario_path.parent / "readings" / "1.csv").write_text(text)
    with pytest.raises(InvalidData, match="is no file of readings"):
        setup_of(fresh.home, read_genesis(fresh.home.genesis_path))


def test_a_missing_file_of_readings_is_named_with_its_home(fresh: SimpleNamespace) -> None:
    (fresh.home.scenario_path.parent / "readings" / "1.csv").unlink()
    with pytest.raises(InvalidData, match="the readings of home 'home-1', for which this node acts"):
        setup_of(fresh.home, read_genesis(fresh.home.genesis_path))


def test_other_weights_than_the_genesis_commits_to_are_named(fresh: SimpleNamespace) -> None:
    path = fresh.validator.scenario_path.with_name("weights.json")
    content = json.loads(path.read_text())
    content["weight_wh"][0][1] += 1
    path.write_text(json.dumps(content))
    with pytest.raises(InvalidData, match=r"is not what homes\.json has the digest of"):
        setup_of(fresh.validator, read_genesis(fresh.validator.genesis_path))


def test_a_scenario_without_the_data_of_all_homes_says_so(fresh: SimpleNamespace) -> None:
    with pytest.raises(InvalidData, match="holds the readings of its own homes at most"):
        load_bundle(fresh.validator.scenario_path)


def test_digests_of_two_networks_of_the_same_homes_differ_by_their_salts(
    large: Street, tmp_path: Path
) -> None:
    """So a guess of a home's readings cannot be confirmed by what every node has."""
    made = [init_nodes(ws.load(large.folder), tmp_path / name, NetworkSpec(0), KeyPlan())[0] for name in "ab"]
    first, second = (
        json.loads(config.scenario_path.with_name("homes.json").read_text())["readings"] for config in made
    )
    assert len(set(first) | set(second)) == 2 * HOMES
