"""`wattswap grid ac`: published power flows, a cleared market beside AC, and what is refused."""

from __future__ import annotations

import json
import re
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optimizer.power_flow import ac_power_flow
from tests.kits.network_kit import OPENDSS, PANDAPOWER, SIMBENCH, saved, street, with_networks
from tests.kits.run_kit import call, one_object, refused
from tests.oracles.sweep import sweep
from wattswap.cases.ac_check import check_ac
from wattswap.cases.grid_file import load_grid
from wattswap.cases.grid_loads import loads_of

Capture = pytest.CaptureFixture[str]
with_pandapower = pytest.mark.skipif(
    find_spec("pandapower") is None, reason="the optional package pandapower is not installed"
)
IEEE33 = PANDAPOWER / "case33bw.json"


def swept(path: Path) -> tuple[dict[str, float], float]:
    """Voltages and losses of a network file by the oracle."""
    loaded = load_grid(path)
    return sweep(loaded.given, loaded.load_kw, loaded.load_kvar)


@with_networks
def test_the_33_buses_of_baran_and_wu_by_sweeps() -> None:
    """Network Reconfiguration in Distribution Systems for Loss Reduction and Load Balancing, IEEE Trans. Power Delivery
    4 (1989), 1401-1407: losses of 202.7 kW and a lowest voltage of 0.9131, at bus 18 (17 counted from 0)."""
    voltage, losses = swept(IEEE33)
    assert round(losses, 1) == 202.7
    lowest = min(voltage, key=lambda node: voltage[node])
    assert (lowest, round(voltage[lowest], 4)) == ("17", 0.9131)


@with_networks
@with_pandapower
def test_the_33_buses_of_baran_and_wu_by_pandapower(capsys: Capture) -> None:
    found = one_object(call(capsys, "grid", "ac", IEEE33, "--json"))
    assert round(found["losses_kw"], 1) == 202.7
    assert (found["lowest_voltage"]["node"], round(found["lowest_voltage"]["voltage"], 4)) == ("17", 0.9131)
    assert found["largest_voltage_error"] < 0.003


def solved_by_pandapower(path: Path) -> dict[str, float]:
    """Voltage of each bus over its voltage without load; unbalanced loads count as balanced."""
    import pandapower as pp

    net = pp.from_json(str(path))
    for row in net.asymmetric_load.itertuples():
        p, q = row.p_a_mw + row.p_b_mw + row.p_c_mw, row.q_a_mvar + row.q_b_mvar + row.q_c_mvar
        pp.create_load(net, row.bus, p, q)
    net.asymmetric_load["in_service"] = False
    pp.runpp(net, numba=False, tolerance_mva=1e-9)
    source = net.ext_grid.iloc[0]
    rest_kv = {float(kv): float(kv * source.vm_pu) for kv in net.bus.vn_kv.unique()}
    for row in net.trafo.itertuples():
        at_source = source.vm_pu * net.bus.vn_kv[source.bus]
        rest_kv[float(net.bus.vn_kv[row.lv_bus])] = at_source * row.vn_lv_kv / row.vn_hv_kv
    rows = zip(net.bus["name"].items(), net.res_bus.vm_pu, net.bus.vn_kv, strict=True)
    return {
        f"bus {i}" if name is None else str(name): float(vm * kv / rest_kv[float(kv)])
        for (i, name), vm, kv in rows
    }


@with_networks
@with_pandapower
@pytest.mark.parametrize(
    ("path", "within"),
    [
        (IEEE33, 1e-6),
        (PANDAPOWER / "create_cigre_network_lv.json", 1e-6),
        (PANDAPOWER / "IEEE_European_LV_On_Peak_566.json", 1e-6),
        # Here capacitances and iron losses are left out.
        (PANDAPOWER / "create_kerber_landnetz_kabel_1.json", 5e-4),
        (SIMBENCH, 5e-4),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_grid_has_the_voltages_that_pandapower_gives_the_whole_network(path: Path, within: float) -> None:
    """pandapower reads and solves the file by itself; voltages are compared in kV over the voltage without load."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        by_name = solved_by_pandapower(path)
    loaded = load_grid(path)
    check = check_ac(loaded, loads_of(loaded))
    ours = dict(zip(check.loaded.grid.nodes.names, check.ac.voltage.tolist(), strict=True))
    assert max(abs(voltage - by_name[name]) for name, voltage in ours.items()) < within


@with_networks
@with_pandapower
def test_both_files_of_the_european_feeder_have_one_power_flow() -> None:
    """The script of OpenDSS and the network of pandapower, with the loads of the script: 1 kW at each of 55 homes."""
    script, saved_one = (
        load_grid(OPENDSS / "LVTestCase"),
        load_grid(PANDAPOWER / "IEEE_European_LV_On_Peak_566.json"),
    )
    state = check_ac(script, loads_of(script))
    names = [{"SOURCEBUS": "sourcebus"}.get(name, name) for name in saved_one.grid.nodes.names]
    kw, kvar = (
        np.array([float(load.get(name, 0)) for name in names]) for load in (script.load_kw, script.load_kvar)
    )
    other = ac_power_flow(saved_one.grid, kw, kvar)
    assert other.losses_kw == pytest.approx(state.ac.losses_kw, rel=1e-5)
    assert other.voltage.min() == pytest.approx(state.ac.voltage.min(), abs=1e-7)


def a_case(folder: Path) -> Path:
    """Anna and Ben buy from outside through a cable that carries 69.282 kW."""
    from wattswap.cases.grid_file import import_grid

    grid = import_grid(saved(folder, street()), folder / "grid.json").grid
    orders: list[dict[str, Any]] = [
        {
            "id": "out",
            "participant": "out",
            "side": "sell",
            "quantity_kwh": 500,
            "price_per_kwh": 0.2,
            "node": "mv",
        },
        {"id": 1, "participant": "anna", "side": "buy", "quantity_kwh": 60, "price_per_kwh": 0.3},
        {"id": 2, "participant": "ben", "side": "buy", "quantity_kwh": 60, "price_per_kwh": 0.4},
    ]
    path = folder / "case.json"
    path.write_text(json.dumps({"orders": orders, "grid": grid}), encoding="utf-8")
    return path


@with_pandapower
def test_a_cleared_case_stands_beside_its_ac_state(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = a_case(tmp_path)
    found = one_object(call(capsys, "grid", "ac", path, "--json"))
    loads = {node["node"]: node["load_kw"] for node in found["nodes"]}
    assert loads == pytest.approx({"mv": -69.282, "lv": 0, "a": 9.282, "b": 60}, abs=1e-3)
    assert {node["node"]: node["price"] for node in found["nodes"]} == {
        "mv": 0.2,
        "lv": 0.2,
        "a": 0.3,
        "b": 0.3,
    }
    c1 = next(line for line in found["lines"] if line["id"] == "c1")
    assert c1["loading_market"] == pytest.approx(1, abs=1e-5)
    assert c1["loading_ac"] > 1.01
    assert found["lines_overloaded"] == ["c1"]
    assert found["nodes_out_of_bounds"] == []
    grid = json.loads(path.read_text(encoding="utf-8"))["grid"]
    voltage, losses = sweep(grid, {"a": loads["a"], "b": loads["b"]}, grid["reactive_load"])
    assert {node["node"]: node["voltage_ac"] for node in found["nodes"]} == pytest.approx(voltage, abs=1e-6)
    assert found["losses_kw"] == pytest.approx(losses, abs=1e-5)
    monkeypatch.setenv("COLUMNS", "80")
    shown = call(capsys, "grid", "ac", path, "--rows", 2)
    assert max(map(len, shown.out.splitlines())) <= 80
    assert "2 of 4 nodes, by the distance of the voltage from 1" in shown.out
    assert "lines overloaded        1: c1" in shown.out


@with_pandapower
def test_what_the_page_shows_is_what_comes_out(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "grid-files.md").read_text(encoding="utf-8")
    for name, text in re.findall(r"```text (\S+)\n(.*?)```", page, re.S):
        (tmp_path / name).write_text(text, encoding="utf-8")
    grid = tmp_path / "grid.json"
    assert call(capsys, "grid", "import", tmp_path / "street.dss", "--out", grid).code == 0
    monkeypatch.setenv("COLUMNS", "100")
    found = re.findall(r"\$ wattswap grid ac grid.json --loads loads.csv(.*?)\n(.*?)```", page, re.S)
    assert len(found) == 2
    for options, expected in found:
        shown = call(capsys, "grid", "ac", grid, "--loads", tmp_path / "loads.csv", *options.split())
        assert shown.out.rstrip() == expected.rstrip()


@with_pandapower
def test_loads_come_from_a_table_or_are_scaled(tmp_path: Path, capsys: Capture) -> None:
    network, table = saved(tmp_path, street()), tmp_path / "loads.csv"
    table.write_text("node,kw,kvar\na,8,2\nben,8,0\n", encoding="utf-8")
    double = one_object(call(capsys, "grid", "ac", network, "--scale", 2, "--json"))
    from_table = one_object(call(capsys, "grid", "ac", network, "--loads", table, "--json"))
    assert double == from_table
    table.write_text("node,kw\na,8\n", encoding="utf-8")
    without = one_object(call(capsys, "grid", "ac", network, "--loads", table, "--json"))
    assert {node["node"]: node["load_kvar"] for node in without["nodes"]} == {
        "mv": 0,
        "lv": 0,
        "a": 1,
        "b": 0,
    }


def test_what_cannot_be_checked_is_refused(tmp_path: Path, capsys: Capture) -> None:
    path, table = a_case(tmp_path), tmp_path / "loads.csv"
    table.write_text("node,kw\nc,1\na,much\n", encoding="utf-8")
    refused(
        call(capsys, "grid", "ac", tmp_path / "grid.json"), 2, "has no loads; give them by --loads FILE.csv"
    )
    refused(call(capsys, "grid", "ac", path, "--loads", table), 2, "--loads: is for a grid without orders")
    refused(call(capsys, "grid", "ac", path, "--scale", 2), 2, "--scale: is for a grid without orders")
    refused(
        call(capsys, "grid", "ac", tmp_path / "grid.json", "--loads", table),
        3,
        "loads.csv:2: 'c' is no node of the grid",
        "loads.csv:3: needs a number in 'kw'",
    )
    refused(call(capsys, "grid", "ac", path, "-m", "nodal_prise"), 2, "nodal_price")
    case = json.loads(path.read_text(encoding="utf-8"))
    case["grid"]["reactive_load"] = {"b": 5_000}
    path.write_text(json.dumps(case), encoding="utf-8")
    refused(call(capsys, "grid", "ac", path), 4, "the case cannot be cleared")


@pytest.mark.skipif(find_spec("pandapower") is not None, reason="pandapower is installed")
def test_without_pandapower_the_sentence_names_the_extra(tmp_path: Path, capsys: Capture) -> None:
    refused(call(capsys, "grid", "ac", saved(tmp_path, street())), 4, "pip install 'wattswap[ac]'")


def on_phases(folder: Path, **grid_keys: Any) -> Path:
    """The case with zero-sequence impedances, Anna on phase b."""
    path = a_case(folder)
    case = json.loads(path.read_text(encoding="utf-8"))
    for line in case["grid"]["lines"]:
        if not line.get("transformer"):
            line |= {"r0": 4 * line["r"], "x0": 3 * line["x"]}
    case["grid"] |= {"phases": {"anna": "b"}, **grid_keys}
    path.write_text(json.dumps(case), encoding="utf-8")
    return path


def test_a_cleared_case_in_three_phases_needs_no_package(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anna's 9.282 kW are on phase b, as is her node's reactive load; Ben's 60 kW are spread."""
    path = on_phases(tmp_path)
    found = one_object(call(capsys, "grid", "ac", path, "--three-phase", "--json"))
    loads = {node["node"]: node["load_kw"] for node in found["nodes"]}
    assert loads["a"] == pytest.approx([0, 9.282, 0], abs=1e-3)
    assert loads["b"] == pytest.approx([20, 20, 20], abs=1e-3)
    assert (found["lowest_voltage"]["node"], found["lowest_voltage"]["phase"]) == ("b", "b")
    assert found["lines_overloaded"] == ["c1"]
    at_b = next(node for node in found["nodes"] if node["node"] == "b")
    assert at_b["voltage_ac"][1] < at_b["voltage_market"] < at_b["voltage_ac"][0]
    assert found["largest_voltage_error"] > 0.005
    monkeypatch.setenv("COLUMNS", "80")
    shown = call(capsys, "grid", "ac", path, "--three-phase")
    assert max(map(len, shown.out.splitlines())) <= 80
    assert "phase b" in shown.out


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        ({"phases": {"anna": "d"}}, "grid.phases.anna: is 'd'; give one of a, b, c, ab, ac, bc, abc"),
        ({"phases": {"dora": "a"}}, "grid.phases: 'dora' is not among 'homes'"),
    ],
)
def test_phases_that_cannot_be_are_refused(tmp_path: Path, grid: Any, said: str, capsys: Capture) -> None:
    refused(call(capsys, "grid", "ac", on_phases(tmp_path, **grid), "--three-phase"), 3, said)
    refused(call(capsys, "clear", tmp_path / "case.json", "-m", "nodal_price"), 3, said)


def test_lines_without_a_zero_sequence_are_named(tmp_path: Path, capsys: Capture) -> None:
    said = (
        "c1, c2 (2 lines) have no zero sequence; give r0 and x0, or compare balanced, without --three-phase"
    )
    refused(call(capsys, "grid", "ac", a_case(tmp_path), "--three-phase"), 3, said)


@with_networks
def test_a_script_and_its_import_have_one_state_in_three_phases(tmp_path: Path, capsys: Capture) -> None:
    script, out, table = OPENDSS / "LVTestCase", tmp_path / "grid.json", tmp_path / "loads.csv"
    assert call(capsys, "grid", "import", script, "--out", out).code == 0
    homes = json.loads(out.read_text(encoding="utf-8"))["homes"]
    table.write_text("node,kw\n" + "".join(f"{home},1\n" for home in homes), encoding="utf-8")
    first = one_object(call(capsys, "grid", "ac", script, "--three-phase", "--json"))
    again = one_object(call(capsys, "grid", "ac", out, "--loads", table, "--three-phase", "--json"))
    assert first["losses_kw"] == pytest.approx(again["losses_kw"], abs=1e-6)
    assert first["lowest_voltage"] == again["lowest_voltage"]
