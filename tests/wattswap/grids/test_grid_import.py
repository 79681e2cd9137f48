"""`wattswap grid import`: the file it writes, what it says, and that a case takes the file as it is."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path

import pytest

from tests.kits.network_kit import PANDAPOWER, saved, street, with_networks
from tests.kits.run_kit import call, files_below, one_object, refused
from wattswap.cases.contract import clear_case

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "grid-files.md"
Capture = pytest.CaptureFixture[str]


def order(name: str, side: str, kwh: float, price: float, **more: str) -> dict[str, object]:
    return {
        "id": name,
        "participant": name,
        "side": side,
        "quantity_kwh": kwh,
        "price_per_kwh": price,
        **more,
    }


def test_the_grid_of_the_page_is_what_its_script_gives(tmp_path: Path, capsys: Capture) -> None:
    text = PAGE.read_text(encoding="utf-8")
    ((script, shown),) = re.findall(r"```text street.dss\n(.*?)```.*?```json\n(.*?)```", text, re.S)
    (tmp_path / "street.dss").write_text(script, encoding="utf-8")
    out = tmp_path / "made" / "grid.json"
    done = call(capsys, "grid", "import", tmp_path / "street.dss", "--out", out)
    assert (done.code, done.out) == (0, f"{out}\n")
    assert out.read_text(encoding="utf-8") == shown
    assert "note: the network is taken as balanced" in done.err


def test_a_case_takes_the_grid_and_orders_stand_at_their_homes(tmp_path: Path, capsys: Capture) -> None:
    """The first cable carries 100 A of 200 allowed: 69.282 kW, so that Ben and Anna share it."""
    out = tmp_path / "grid.json"
    assert call(capsys, "grid", "import", saved(tmp_path, street()), "--out", out).code == 0
    grid = json.loads(out.read_text(encoding="utf-8"), parse_float=Decimal)
    orders = [
        order("outside", "sell", 500, 0.2, node="mv"),
        order("anna", "buy", 60, 0.3),
        order("ben", "buy", 60, 0.4),
    ]
    found = clear_case({"orders": orders, "grid": grid}, "nodal_price")
    assert found["traded_kwh"] == pytest.approx(69.282, abs=1e-3)
    accepted = {one["id"]: one["accepted_kwh"] for one in found["orders"]}
    assert accepted == pytest.approx({"outside": 69.282, "anna": 9.282, "ben": 60}, abs=1e-3)
    prices = {one["node"]: one["price"] for one in found["nodes"]}
    assert prices == {"mv": 0.2, "lv": 0.2, "a": 0.3, "b": 0.3}


def test_a_home_at_no_node_and_an_order_of_nobody_are_refused(tmp_path: Path) -> None:
    grid = {
        "kind": "dc",
        "nodes": ["a", "b"],
        "lines": [{"id": "l", "from": "a", "to": "b"}],
        "homes": {"anna": "c"},
    }
    case = {"orders": [order("anna", "buy", 1, 0.3), order("ben", "sell", 1, 0.1)], "grid": grid}
    with pytest.raises(Exception, match=r"grid\.homes\.anna: 'c' is not a node of the grid") as refusal:
        clear_case(case, "nodal_price")
    assert "orders[1]: 'node' is missing, and nodal_price needs it" in str(refusal.value)


def test_nothing_is_overwritten_and_nothing_is_left_of_a_bad_network(tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "grid.json"
    out.write_text("mine", encoding="utf-8")
    network = saved(tmp_path, street())
    refused(call(capsys, "grid", "import", network, "--out", out), 3, "exists already")
    assert out.read_text(encoding="utf-8") == "mine"
    folder = tmp_path / "bad"
    folder.mkdir()
    bad = saved(folder, {name: table for name, table in street().items() if name != "ext_grid"})
    refused(call(capsys, "grid", "import", bad, "--out", folder / "grid.json"), 3, "0 external grids")
    assert files_below(folder) == ["net.json"]
    refused(call(capsys, "grid", "import", network, "--base-kva", 0, "--out", tmp_path / "g"), 2, "no power")
    refused(
        call(capsys, "grid", "import", network, "--format", "opends", "--out", tmp_path / "g"), 2, "opendss"
    )
    refused(
        call(capsys, "grid", "import", tmp_path / "none", "--out", tmp_path / "g"), 3, "no file or folder"
    )


@with_networks
def test_json_has_the_grid_and_the_notes(tmp_path: Path, capsys: Capture) -> None:
    path, out = PANDAPOWER / "create_cigre_network_lv.json", tmp_path / "grid.json"
    found = one_object(call(capsys, "grid", "import", path, "--out", out, "--json"))
    assert found["grid"] == json.loads(out.read_text(encoding="utf-8"))
    assert found["notes"][0] == "closed switches join 3 buses with others"
