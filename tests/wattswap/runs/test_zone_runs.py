"""Runs with zones: a fee for what is traded between them, for the grid operator; deviations net inside of a zone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import wattswap as ws
from tests.kits.run_kit import MONEY, call, write_street
from wattswap.errors import InvalidScenario
from wattswap.scenario.load import load
from wattswap.verification.run import verify_run

OVER = ["homes.strategy=truthful"]


def street(folder: Path, fee: float = 0.03, homes: str = "nns") -> Path:
    """Three homes in zones n and s."""
    names = ", ".join(f'home-{i} = "{zone}"' for i, zone in enumerate(homes, 1))
    more = (
        'mechanism = "zonal_price"\n[zones]\nnames = ["n", "s"]\n'
        f"fee_per_kwh = [[0, {fee}], [{fee}, 0]]\nhomes = {{ {names} }}\n"
    )
    return write_street(folder, more=more)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ws.RunResult:
    folder = street(tmp_path_factory.mktemp("zones"))
    return ws.run(ws.load(folder, overrides=OVER), out=folder / "runs")


def test_the_grid_operator_gets_the_fee_of_what_crosses_and_nobody_else_keeps_anything(
    run: ws.RunResult,
) -> None:
    orders = run.table("orders")
    signed = orders["side"].astype(int) * orders["accepted_wh"]
    south = signed[orders["node"] == 1].groupby(orders["interval_start"]).sum()
    assert set(orders[orders["household"] == "home-3"]["node"]) == {1}
    postings = run.table("postings")
    assert (postings.groupby("interval_start")[MONEY].sum() == 0).all().all()
    system = postings[postings["account_kind"] == "system"].set_index("account")
    fees = system.loc["grid_operator"].set_index("interval_start")["trade_nano"]
    crossing = south.reindex(fees.index, fill_value=0).abs()
    assert (fees == crossing * 30_000).all()
    assert fees.sum() > 0
    assert (system.loc["market_operator"]["trade_nano"] == 0).all()


def test_deviations_of_two_zones_do_not_net_with_each_other(run: ws.RunResult) -> None:
    table = run.table("postings")
    homes = table[table["account_kind"] == "home"]
    south = homes[homes["account"] == "home-3"]
    # Alone in its zone, home 3 has nobody to net with.
    assert (south["local_wh"] == 0).all()
    assert (homes[homes["account"] != "home-3"]["local_wh"] != 0).any()


def test_without_fees_and_in_one_zone_it_is_the_uniform_price(tmp_path: Path) -> None:
    one = ws.run(ws.load(street(tmp_path, 0, "nnn"), overrides=OVER), out=tmp_path / "runs")
    other = ["market.mechanism=uniform_price", *OVER]
    known = ws.run(ws.load(tmp_path, overrides=other), out=tmp_path / "runs")
    assert one.bills().equals(known.bills())
    assert one.table("intervals")["price_micro_per_kwh"].equals(
        known.table("intervals")["price_micro_per_kwh"]
    )


def test_nothing_crosses_where_the_fee_is_beyond_what_a_trade_gains(tmp_path: Path) -> None:
    crossing = []
    for fee in (0, 0.25, 0.27):
        folder = street(tmp_path / str(fee), fee)
        orders = ws.run(ws.load(folder, overrides=OVER), out=folder / "runs").table("orders")
        south = orders[orders["node"] == 1]
        signed = (south["side"].astype(int) * south["accepted_wh"]).groupby(south["interval_start"]).sum()
        crossing.append(int(np.abs(signed).sum()))
    # Homes buy at .34 at most, the local fee included, and sell from .08.
    assert crossing[0] == crossing[1] > crossing[2] == 0


def test_a_run_is_verified_and_its_manifest_names_the_zones(run: ws.RunResult) -> None:
    assert verify_run(run.path)["ok"]
    stated = json.loads((run.path / "scenario.json").read_text("utf-8"))["resolved"]["zones"]
    assert [[float(fee) for fee in row] for row in stated["fee_per_kwh"]] == [[0, 0.03], [0.03, 0]]
    assert stated["homes"] == {"home-1": "n", "home-2": "n", "home-3": "s"}


def test_mistakes_are_found_together(tmp_path: Path) -> None:
    folder = street(tmp_path)
    over = ["zones.homes.home-2=m", "zones.homes.home-9=n", "zones.names=['n','s']"]
    with pytest.raises(InvalidScenario) as caught:
        ws.run(load(folder, overrides=over), out=tmp_path / "runs")
    said = str(caught.value)
    assert "zones.homes.home-2: 'm' is not a zone" in said
    assert "zones.homes.home-9: the data have no home 'home-9'; did you mean 'home-" in said
    with pytest.raises(InvalidScenario, match=r"zones\.fee_per_kwh: must be 3 rows of 3 fees"):
        load(folder, overrides=["zones.names=['n','s','e']"])
    with pytest.raises(InvalidScenario) as caught:
        ws.run(load(folder, overrides=["zones.names=['n','n']"]), out=tmp_path / "runs")
    # One cause, one sentence: not also that the homes of s are in no zone.
    assert str(caught.value).endswith("zones.names: zone 'n' is named twice; name each zone once")
    with pytest.raises(InvalidScenario, match=r"zones\.homes: home 'home-3' mapped to no zone"):
        ws.run(load(street(tmp_path / "two", homes="nn")), out=tmp_path / "runs")
    with pytest.raises(InvalidScenario, match=r"clears an interval once, and market\.rounds is 2"):
        load(folder, overrides=["market.rounds=2"])
    bare = write_street(tmp_path / "bare")
    with pytest.raises(InvalidScenario, match="zonal_price needs zones, and the scenario has none"):
        load(bare, overrides=["market.mechanism=zonal_price"])


def test_a_comparison_has_it_beside_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = street(tmp_path)
    done = call(
        capsys,
        "compare",
        folder,
        "-m",
        "uniform_price",
        "-m",
        "zonal_price",
        "--out",
        tmp_path / "c",
        "--quiet",
    )
    assert done.code == 0
    assert "zonal_price" in done.out
