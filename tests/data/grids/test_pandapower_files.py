"""Networks of pandapower become grids: per-unit values by hand, switches, parallel lines, taps, and what is refused."""

from __future__ import annotations

import json
from math import sqrt
from pathlib import Path
from typing import Any

import pytest

from data.errors import InvalidGridFile, MissingFile, UnrecognisedGrid
from data.grids.files import read_grid_file
from data.grids.per_unit import GridFile
from tests.kits.network_kit import (
    BUS,
    LINE,
    PANDAPOWER,
    SIMBENCH,
    SWITCH,
    TRAFO,
    saved,
    street,
    table,
    with_networks,
)


def read(folder: Path, **tables: Any) -> GridFile:
    return read_grid_file(saved(folder, {**street(), **tables}))


def lines(found: GridFile) -> dict[str, Any]:
    return {line["id"]: line for line in found.grid["lines"]}


def test_ohms_and_ratings_become_per_unit_values_and_limits_as_by_hand(tmp_path: Path) -> None:
    """At 0.4 kV and 100 kVA one per unit is 0.4^2 / 0.1 = 1.6 ohm; 0.1 km at 0.2 ohm/km are 0.02 ohm."""
    found = read(tmp_path)
    assert found.grid["base_kva"] == 100
    c1, c2, t = (lines(found)[name] for name in ("c1", "c2", "t"))
    assert (c1["r"], c1["x"]) == pytest.approx((0.02 / 1.6, 0.008 / 1.6))
    assert c1["limit_kw"] == pytest.approx(0.5 * 200 * sqrt(3) * 0.4, abs=1e-3)
    assert (c2["r"], c2["x"]) == pytest.approx((0.01 / 1.6, 0.004 / 1.6))
    assert c2["limit_kw"] == pytest.approx(2 * 200 * sqrt(3) * 0.4, abs=1e-3)
    # 3 % and sqrt(5^2 - 3^2) = 4 % on 400 kVA are a quarter of that on 100 kVA.
    assert (t["r"], t["x"], t["limit_kw"]) == pytest.approx((0.0075, 0.01, 400))
    assert t["transformer"] is True
    assert "transformer" not in c1
    assert c1["length_m"] == 100


def test_a_radial_network_has_bounds_of_voltage_loads_and_homes(tmp_path: Path) -> None:
    found = read(tmp_path)
    grid = found.grid
    assert (grid["kind"], grid["root"], grid["nodes"]) == ("lindistflow", "mv", ["mv", "lv", "a", "b"])
    assert (grid["vmin"], grid["vmax"]) == pytest.approx((0.81, 1.21))
    assert grid["homes"] == {"anna": "a", "ben": "b"}
    assert grid["reactive_load"] == {"a": 1.0}
    assert found.load_kw == {"mv": 0, "lv": 0, "a": 4, "b": 4}


def test_the_voltage_of_the_source_and_a_tap_move_the_base_and_the_bounds(tmp_path: Path) -> None:
    """1.03 outside and a tap of -1 step of 2.5 % at the high side: the street rests at 1.03 / 0.975 of 0.4 kV."""
    tap = table(TRAFO, ["t", 0, 1, 0.4, 20.0, 0.4, 5.0, 3.0, "hv", 0, 2.5, -1, 1, True])
    found = read(tmp_path, trafo=tap, ext_grid=table(("bus", "vm_pu", "in_service"), [0, 1.03, True]))
    rest = 1.03 / 0.975
    assert lines(found)["c1"]["r"] == pytest.approx(0.02 / 1.6 / rest**2)
    assert (found.grid["vmin"], found.grid["vmax"]) == pytest.approx(((0.9 / rest) ** 2, (1.1 / rest) ** 2))


def test_a_street_that_rests_outside_its_bounds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidGridFile, match="without any load the voltage is outside its bounds"):
        read(tmp_path, ext_grid=table(("bus", "vm_pu", "in_service"), [0, 1.2, True]))


def test_open_switches_leave_lines_out_and_closed_ones_join_buses(tmp_path: Path) -> None:
    more = {
        "bus": table(BUS, ["mv", 20.0, True], *([name, 0.4, True] for name in ("lv", "a", "b", "b2"))),
        "line": table(
            LINE,
            *(
                [name, *ends, 0.1, 0.2, 0.08, 0.2, 1.0, 1, True, 100.0]
                for name, ends in (("c1", (1, 2)), ("c2", (2, 3)), ("tie", (1, 3)))
            ),
        ),
        "switch": table(SWITCH, [1, 2, "l", False], [3, 4, "b", True]),
    }
    found = read(tmp_path, **more)
    assert set(lines(found)) == {"c1", "c2", "t"}
    assert found.grid["nodes"] == ["mv", "lv", "a", "b"]
    assert "closed switches join 1 buses with others" in found.notes
    more["switch"] = table(SWITCH, [3, 4, "b", True])
    meshed = read(tmp_path, **more)
    assert meshed.grid["kind"] == "dc"
    assert "vmin" not in meshed.grid


def test_parallel_lines_become_one_whose_limit_is_that_of_the_first_to_be_full(tmp_path: Path) -> None:
    """20 and 60 mOhm share a current as 3 to 1: at 1 per unit of the first, 4/3 flow."""
    pair = table(
        LINE,
        ["c1", 1, 2, 0.1, 0.2, 0.08, 0.2, 1.0, 1, True, 100.0],
        ["c1b", 2, 1, 0.3, 0.2, 0.08, 0.2, 1.0, 1, True, 100.0],
        ["c2", 2, 3, 0.1, 0.2, 0.08, 0.2, 1.0, 2, True, None],
    )
    found = read(tmp_path, line=pair)
    both = lines(found)["c1+c1b"]
    assert (both["r"], both["x"]) == pytest.approx((0.015 / 1.6, 0.006 / 1.6))
    assert both["limit_kw"] == pytest.approx(4 / 3 * 200 * sqrt(3) * 0.4, abs=1e-3)
    assert "c1, c1b are parallel and become one line" in found.notes


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    wrong = table(
        LINE,
        ["c1", 1, 2, 0.1, -0.2, 0.08, 0.2, 1.0, 1, True, 100.0],
        ["c2", 2, 3, 0.0, 0.2, 0.08, 0.0, 1.0, 1, True, 100.0],
        ["c3", 0, 2, 0.1, 0.2, 0.08, 0.2, 1.0, 1, True, 100.0],
    )
    with pytest.raises(InvalidGridFile) as refused:
        read(tmp_path, line=wrong)
    said = str(refused.value)
    for sentence in (
        "line c1: its resistance is -0.02 ohm; give at least 0",
        "line c2 has no impedance; make it a closed switch, or give its ohms",
        "line c2 may carry 0 kA; give a rating above 0, or none",
        "line c3 connects mv at 20 kV with a at 0.4 kV; make it a transformer, or correct a voltage",
    ):
        assert sentence in said
    assert "4 errors" in said


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"ext_grid": table(("bus", "vm_pu", "in_service"))}, "0 external grids are in service"),
        ({"trafo3w": table(("name", "in_service"), ["x", True])}, "1 in table 'trafo3w' cannot be read"),
        (
            {"switch": table(SWITCH, [1, 0, "l", False])},
            r"no closed line connects a \(anna\) with the source",
        ),
        ({"line": table(LINE[:-6], ["c1", 1, 2, 0.1, 0.2])}, "a table lacks column 'x_ohm_per_km'"),
    ],
)
def test_a_network_that_cannot_be_a_grid_is_refused(tmp_path: Path, tables: Any, said: str) -> None:
    with pytest.raises(InvalidGridFile, match=said):
        read(tmp_path, **tables)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.json"
    with pytest.raises(MissingFile):
        read_grid_file(path)
    path.write_text('{"orders": []}', encoding="utf-8")
    with pytest.raises(UnrecognisedGrid, match="csv_pair, opendss, pandapower, simbench"):
        read_grid_file(path)
    path.write_text('{"_class": "pandapowerNet", "_object": ', encoding="utf-8")
    with pytest.raises(InvalidGridFile, match="the file is no network of pandapower"):
        read_grid_file(path)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    """An object that pandapower would build from a module it names stays text."""
    harmful = {"_module": "os", "_class": "system", "_object": "touch " + str(tmp_path / "made")}
    found = read(tmp_path, std_types=harmful, more=harmful)
    assert len(found.grid["lines"]) == 3
    assert not (tmp_path / "made").exists()
    broken = json.loads(saved(tmp_path, street()).read_text(encoding="utf-8"))
    broken["_object"]["line"]["_object"] = "80049525"
    with pytest.raises(InvalidGridFile, match="is no network of pandapower"):
        read_grid_file(saved(tmp_path, broken["_object"]))


def test_asymmetric_loads_are_on_the_phases_that_take_power(tmp_path: Path) -> None:
    columns = (
        "name",
        "bus",
        *(f"{q}_{phase}_{unit}" for q, unit in (("p", "mw"), ("q", "mvar")) for phase in "abc"),
    )
    three = [0.001, 0.001, 0.001, 0, 0, 0]
    loads = table(
        (*columns, "scaling", "in_service"),
        ["cleo", 2, 0, 0.002, 0, 0, 0.001, 0, 1.0, True],
        ["dora", 3, *three, 1.0, True],
    )
    found = read(tmp_path, asymmetric_load=loads)
    assert found.grid["phases"] == {"cleo": "b"}
    assert found.phase_kw["a"] == pytest.approx([4 / 3, 4 / 3 + 2, 4 / 3])
    assert found.phase_kvar["a"] == pytest.approx([1 / 3, 1 / 3 + 1, 1 / 3])


@with_networks
@pytest.mark.parametrize(
    ("name", "nodes", "homes", "transformers"),
    [
        ("case33bw.json", 33, 32, 0),
        ("create_cigre_network_lv.json", 41, 15, 3),
        ("create_kerber_landnetz_kabel_1.json", 18, 8, 1),
        ("IEEE_European_LV_On_Peak_566.json", 907, 55, 1),
    ],
)
def test_published_networks_are_radial(name: str, nodes: int, homes: int, transformers: int) -> None:
    grid = read_grid_file(PANDAPOWER / name).grid
    assert (grid["kind"], len(grid["nodes"]), len(grid["homes"])) == ("lindistflow", nodes, homes)
    assert len(grid["lines"]) == nodes - 1
    assert sum(line.get("transformer", False) for line in grid["lines"]) == transformers


@with_networks
def test_values_of_published_networks_are_those_by_hand() -> None:
    """Baran, Wu 1989: line 1 has 0.0922 + j0.0470 ohm at 12.66 kV; the CIGRE trafo has 1 % and 4 % on 500 kVA."""
    ieee33 = lines(read_grid_file(PANDAPOWER / "case33bw.json"))["line 0"]
    ohm = 1_000 * 12.66**2 / 100
    assert (ieee33["r"], ieee33["x"]) == pytest.approx((0.0922 / ohm, 0.0470 / ohm))
    assert ieee33["limit_kw"] is None
    cigre = lines(read_grid_file(PANDAPOWER / "create_cigre_network_lv.json"))
    trafo, cable = cigre["Trafo R0-R1"], cigre["Line R1-R2"]
    assert (trafo["r"], trafo["x"], trafo["limit_kw"]) == pytest.approx((0.002, 0.008, 500), rel=1e-6)
    assert (cable["r"], cable["x"]) == pytest.approx((0.162 * 0.035 / 1.6, 0.0832 * 0.035 / 1.6))
    assert cable["limit_kw"] == pytest.approx(1_000 * sqrt(3) * 0.4, abs=1e-3)


@with_networks
def test_a_simbench_network_keeps_its_bounds_around_the_voltage_of_its_source() -> None:
    grid = read_grid_file(SIMBENCH).grid
    assert (grid["vmin"], grid["vmax"]) == pytest.approx(((0.9 / 1.025) ** 2, (1.1 / 1.025) ** 2))
    assert len(grid["nodes"]) == 15
