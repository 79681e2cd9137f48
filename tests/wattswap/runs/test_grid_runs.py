"""Runs on a grid: orders at nodes, a connection to the outside, what the lines carry by the meters, and the rent."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import wattswap as ws
from agents.community import Community
from market.auctions.network import Network
from market.book import OrderBook
from market.clearing import Clearing
from market.grid import Grid, Lines, Nodes
from tests.kits.run_kit import MONEY, call, table_rows, write_street
from wattswap.runs import engine
from wattswap.runs.grid import CONNECTION
from wattswap.runs.grid_columns import Carried
from wattswap.runs.interval import step
from wattswap.runs.prepare import prepare
from wattswap.scenario.load import load
from wattswap.verification.run import verify_run

NODES = {"home-1": "near", "home-2": "near", "home-3": "far"}
GRID = """
mechanism = "nodal_price"
imbalance = "clearing_price"

[grid]
file = "grid.json"
"""
CAP, FEED_IN, IMPORT = 340_000, 80_000, 320_000


def grid_file(folder: Path, cable_kw: float | None, **more: object) -> None:
    """Home 3 at the end of a cable; the transformer carries everything."""
    lines = [
        {"id": "transformer", "from": "station", "to": "near", "r": 0.001, "x": 0.002, "limit_kw": None},
        {"id": "cable", "from": "near", "to": "far", "r": 0.002, "x": 0.001, "limit_kw": cable_kw},
    ]
    given = {
        "kind": "lindistflow",
        "nodes": ["station", "near", "far"],
        "lines": lines,
        "base_kva": 1,
        "homes": NODES,
    }
    (folder / "grid.json").write_text(json.dumps(given | more), encoding="utf-8")


def street(folder: Path, cable_kw: float | None = None, more: str = "", minutes: int = 60) -> Path:
    """Three homes that order all they expect, two days."""
    write_street(folder, minutes=minutes, more=GRID + more)
    grid_file(folder, cable_kw)
    return folder


OVER = ["homes.strategy=truthful"]


@pytest.fixture(scope="module")
def free(tmp_path_factory: pytest.TempPathFactory) -> ws.RunResult:
    """A run on a grid that carries everything."""
    folder = street(tmp_path_factory.mktemp("free"))
    return ws.run(ws.load(folder, overrides=OVER), out=folder / "runs")


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> ws.RunResult:
    """A run where the cable to home 3 carries 0.1 kW."""
    folder = street(tmp_path_factory.mktemp("full"), 0.1)
    return ws.run(ws.load(folder, overrides=OVER), out=folder / "runs")


def test_the_retailer_is_paid_for_what_crosses_the_root_and_no_more(free: ws.RunResult) -> None:
    """Forecasts are wrong, and only outside trade differs between the run and the meters."""
    table = free.table("readings").groupby("interval_start")[["import_wh", "export_wh"]].sum()
    net = table["import_wh"] - table["export_wh"]
    postings = free.table("postings")
    system = postings[postings["account_kind"] == "system"].set_index("account")
    paid = system.loc["retailer"].groupby("interval_start")["retail_nano"].sum()
    wanted = net.clip(lower=0) * IMPORT - (-net).clip(lower=0) * FEED_IN
    assert (paid.to_numpy() == wanted.to_numpy()).all()
    fees = system.loc["grid_operator"].groupby("interval_start")["grid_fee_nano"].sum()
    assert (fees.to_numpy() == (table["import_wh"] * 10_000 + net.clip(lower=0) * 20_000).to_numpy()).all()


def test_the_connection_has_a_row_of_its_own_and_keeps_nothing(free: ws.RunResult) -> None:
    postings = free.table("postings")
    assert set(postings["account_kind"]) == {"home", "external", "system"}
    row = postings[postings["account_kind"] == "external"]
    assert set(row["account"]) == {CONNECTION}
    assert len(row) == 48
    assert row["sold_wh"].sum() > 0
    assert row["bought_wh"].sum() > 0
    assert (row[MONEY].sum(axis=1) == 0).all()
    assert (postings.groupby("interval_start")[MONEY].sum() == 0).all().all()
    sides = postings.groupby("interval_start")[["bought_wh", "sold_wh"]].sum()
    assert (sides["bought_wh"] == sides["sold_wh"]).all()
    assert list(free.table("bills")["household"]) == ["home-1", "home-2", "home-3"]


def test_its_orders_stand_in_the_book_at_the_root_and_in_no_figure_of_the_homes(free: ws.RunResult) -> None:
    orders = free.table("orders")
    outside = orders[orders["household"] == CONNECTION]
    assert set(outside["node"]) == {0}
    assert set(outside["limit_micro_per_kwh"]) == {CAP, FEED_IN}
    assert set(orders[orders["household"] == "home-3"]["node"]) == {2}
    rows = free.table("intervals")
    own = orders[orders["household"] != CONNECTION]
    assert rows["orders"].sum() == len(own)
    assert rows["demand_wh"].sum() == own[own["side"] > 0]["energy_wh"].sum()
    each = own.assign(bought=own["accepted_wh"].where(own["side"] > 0, 0)).groupby("interval_start")
    sums = each[["accepted_wh", "bought"]].sum()
    between = np.minimum(sums["bought"], sums["accepted_wh"] - sums["bought"])
    assert rows["traded_wh"].tolist() == between.reindex(rows["interval_start"], fill_value=0).tolist()


def test_without_limits_it_is_the_uniform_price_with_the_retailer_in_the_book(
    free: ws.RunResult, tmp_path: Path
) -> None:
    folder = street(tmp_path)
    other = ws.run(
        ws.load(folder, overrides=[*OVER, "market.mechanism=uniform_price"]), out=tmp_path / "runs"
    )
    for name in ("saving", "cost_with_market", "retailer_income", "grid_operator_income", "overload_hours"):
        assert free.metrics[name] == pytest.approx(other.metrics[name], abs=1e-9), name
    assert free.metrics["binding_share"] == free.metrics["congestion_rent"] == 0
    assert other.metrics["binding_share"] is other.metrics["congestion_rent"] is None
    assert free.metrics["traded_kwh"] == other.metrics["traded_kwh"]
    assert free.metrics["allocative_efficiency"] == 1


def test_noise_of_floats_is_no_wh_of_overload() -> None:
    """Shares of flows on a mesh are no exact numbers: a cable behind a ring carries its meter and some 1e-11 Wh."""
    lines = Lines(
        ("ring", "cable"), np.array([0, 1]), np.array([1, 2]), np.zeros(2), np.ones(2), np.array([100] * 2)
    )
    network = Network(Grid("dc", Nodes(("station", "near", "far"), np.zeros(3)), lines))
    flow = [[50.0, -1881.0000000000073], [100 + 1e-9, 0.0], [-100.25, 99.0]]
    assert Carried(np.array(flow), None).most_beyond_wh(network).tolist() == [1781, 0, 1]


def test_other_mechanisms_clear_without_the_grid_and_say_what_it_carries(tmp_path: Path) -> None:
    folder = street(tmp_path, 0.1)
    given = ws.run(
        ws.load(folder, overrides=[*OVER, "market.mechanism=uniform_price"]), out=tmp_path / "runs"
    )
    far = given.table("readings").query("household == 'home-3'")
    over = (far["import_wh"] - far["export_wh"]).abs() > 100
    assert given.metrics["overload_hours"] == over.sum() > 20
    assert given.table("intervals")["overloaded_lines"].tolist() == over.astype(int).tolist()
    assert given.metrics["overload_kw"] == ((far["import_wh"] - far["export_wh"]).abs() - 100).max() / 1_000
    assert CONNECTION not in set(given.table("postings")["account"])
    without = write_street(tmp_path / "without")
    bare = ws.run(ws.load(without, overrides=OVER), out=tmp_path / "runs")
    assert bare.metrics["overload_hours"] is None
    assert "line_flow_wh" not in bare.table("intervals")


def test_flows_and_voltages_are_those_of_the_meters(full: ws.RunResult) -> None:
    table = full.table("readings").assign(net=lambda f: f["import_wh"] - f["export_wh"])
    net = table.pivot(index="interval_start", columns="household", values="net")
    rows = full.table("intervals")
    flows = np.array(rows["line_flow_wh"].tolist())
    assert flows[:, 0].tolist() == net.sum(axis=1).tolist()
    assert flows[:, 1].tolist() == net["home-3"].tolist()
    fall = 2 * 0.001 * net.sum(axis=1) / 1_000
    voltages = np.array(rows["v_squared_ppm"].tolist())
    assert voltages[:, 0].tolist() == [1_000_000] * 48
    assert np.abs(voltages[:, 1] - 1e6 * (1 - fall)).max() <= 0.5
    assert np.abs(voltages[:, 2] - 1e6 * (1 - fall - 2 * 0.002 * net["home-3"] / 1_000)).max() <= 0.5


def test_no_clearing_passes_a_limit_and_prices_differ_only_where_one_binds(full: ws.RunResult) -> None:
    orders, rows = full.table("orders"), full.table("intervals")
    signed = orders["side"].astype(int) * orders["accepted_wh"]
    far = signed[orders["node"] == 2].groupby(orders["interval_start"]).sum()
    assert far.abs().max() == 100
    bound = far.reindex(rows["interval_start"], fill_value=0).abs() == 100
    assert (rows["binding_limits"] > 0).tolist() == bound.tolist()
    assert 0 < full.metrics["binding_share"] == bound.mean()
    prices = pd.DataFrame(rows["node_price_micro_per_kwh"].tolist())
    apart = prices.max(axis=1) > prices.min(axis=1)
    assert apart.sum() >= 3
    assert not (apart & ~bound.reset_index(drop=True)).any()
    rent = rows["rent_nano"].sum()
    assert rent > 0
    assert full.metrics["congestion_rent"] == rent / 1e9
    assert rows["lowest_node_micro_per_kwh"].dropna().tolist() == prices.min(axis=1).dropna().tolist()


def test_who_gets_the_rent_is_declared(full: ws.RunResult, tmp_path: Path) -> None:
    folder = street(tmp_path, 0.1, 'rent = "members"\n')
    shared = ws.run(ws.load(folder, overrides=OVER), out=tmp_path / "runs")
    rent = full.metrics["congestion_rent"]
    assert shared.metrics["congestion_rent"] == rent
    assert full.metrics["market_operator_income"] == shared.metrics["market_operator_income"] == 0
    kept = full.metrics["grid_operator_income"] - shared.metrics["grid_operator_income"]
    assert kept == pytest.approx(rent)
    more = shared.bills()["saving"] - full.bills()["saving"]
    assert more.tolist() == pytest.approx([rent / 3] * 3, abs=1e-6)


def test_verified_again_and_resumed_to_the_same_bytes(full: ws.RunResult, tmp_path: Path) -> None:
    assert verify_run(full.path)["ok"]
    folder = street(tmp_path, 0.1)
    setup = prepare(load(folder, overrides=OVER))
    partial = engine.begin(setup, tmp_path / "runs")
    chain = engine.own_chain(setup, partial)
    first = engine.Run(setup, partial, chain)
    first.restore(chain)
    for _ in range(24):
        first.step()
    first.checkpoint()
    first.close()
    again = engine.resume(partial)
    assert again.manifest["replay_sha256"] == full.manifest["replay_sha256"]
    assert table_rows(again.path, "intervals")[24:] == table_rows(full.path, "intervals")[24:]


def test_strategies_learn_of_no_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[OrderBook, Clearing]] = []
    monkeypatch.setattr(Community, "learn", lambda _, book, clearing: seen.append((book, clearing)))
    setup = prepare(load(street(tmp_path, 0.1), overrides=OVER))
    community = setup.community()
    for i in range(24):
        record = step(setup, community, i)
        book, clearing = seen[-1]
        assert (record.book.participant == 3).any() == (len(record.book) > 0)
        assert (book.participant < 3).all()
        own = record.book.participant < 3
        assert clearing.accepted_wh.tolist() == record.clearing.accepted_wh[own].tolist()
        (price,) = clearing.node_price
        known = {one for one in record.clearing.node_price if one is not None}
        assert price == (known.pop() if len(known) == 1 else None)


def test_powers_become_energies_of_the_interval(tmp_path: Path) -> None:
    write_street(tmp_path, minutes=15, more=GRID)
    grid_file(tmp_path, 0.1, reactive_load={"far": 2}, base_kva=10)
    grid = prepare(load(tmp_path)).grid
    assert grid is not None
    assert grid.grid.lines.limit_wh.tolist() == [-1, 25]
    assert grid.grid.lines.r.tolist() == pytest.approx([0.001 / 10 * 4, 0.002 / 10 * 4])
    assert grid.grid.nodes.reactive_load.tolist() == [0, 0, 0.5]


def test_a_home_drawn_again_is_where_the_home_is(tmp_path: Path) -> None:
    scenario = street(tmp_path) / "scenario.toml"
    head, _, rest = scenario.read_text().partition("[homes.battery.home-1]")
    scenario.write_text(head + rest[rest.index("[tariff]") :])
    drawn = ["homes.sample_homes=12", "homes.sample_with_replacement=true"]
    setup = prepare(load(scenario, overrides=drawn))
    assert setup.grid is not None
    where = {"near": 1, "far": 2}
    assert setup.grid.node_of_home.tolist() == [where[NODES[name.partition("#")[0]]] for name in setup.roster]


def test_check_market_plays_on_the_grid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = street(tmp_path, 0.1)
    done = call(
        capsys, "check", "market", folder, "--set", "time={start=2026-06-02T10:00:00Z, intervals=4}", "--json"
    )
    assert done.code in (0, 6), done.err
    assert json.loads(done.out)["mechanism"] == "nodal_price"


def test_parts_of_bills_count_no_fee_for_what_was_not_given(tmp_path: Path) -> None:
    """Who sold outside and gives less buys it back at the feed-in price, without remote fee, levy and VAT."""
    taxes = ["tariff.vat_percent=19", "tariff.levy_local_per_kwh=0.005", "tariff.levy_remote_per_kwh=0.02"]
    run = ws.run(ws.load(street(tmp_path), overrides=[*OVER, *taxes]), out=tmp_path / "runs")
    bills = run.table("bills")
    local, remote, levy_local, levy_remote = 10_000, 30_000, 5_000, 20_000
    energy = bills["import_wh"]
    taken, rest = divmod(-bills["grid_fee_net_nano"] - energy * local, remote - local)
    assert (rest == 0).all()
    assert (taken < bills["retail_import_wh"]).any()
    assert (bills["levy_nano"] == -((energy - taken) * levy_local + taken * levy_remote)).all()
    gross = [round((fee + levy) * 1.19) for fee, levy in ((local, levy_local), (remote, levy_remote))]
    assert (bills["grid_fee_nano"] == -((energy - taken) * gross[0] + taken * gross[1])).all()
    on_fees = bills["grid_fee_nano"] - bills["grid_fee_net_nano"] - bills["levy_nano"]
    assert (bills["vat_nano"] == on_fees - taken * round(IMPORT * 0.19)).all()
