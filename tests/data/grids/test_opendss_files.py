"""Scripts of OpenDSS become balanced grids: units, matrices, transformers, switches, and what is refused."""

from __future__ import annotations

from math import acos, sqrt, tan
from pathlib import Path
from typing import Any

import pytest

from data.errors import InvalidGridFile
from data.grids.files import read_grid_file
from data.grids.per_unit import GridFile
from tests.kits.network_kit import OPENDSS, PANDAPOWER, with_networks

HEAD = "Clear\nNew Circuit.c basekv=11 pu=1.0 bus1=src\n"
LV = "New Transformer.T buses=[src lv] kvs=[11 0.4] kvas=[400 400] xhl=4 %rs=[0.5 0.5]\n"


def read(folder: Path, text: str, head: str = HEAD + LV) -> GridFile:
    path = folder / "net.dss"
    path.write_text(head + text, encoding="utf-8")
    return read_grid_file(path)


def lines(found: GridFile) -> dict[str, Any]:
    return {line["id"]: line for line in found.grid["lines"]}


def test_a_transformer_and_a_line_of_sequence_values_are_as_by_hand(tmp_path: Path) -> None:
    """1 % and 4 % on 400 kVA; 250 m at 0.4 ohm/km are 0.1 ohm, of 1.6 ohm a unit; 200 A at 0.4 kV."""
    code = "New LineCode.k R1=0.4 X1=0.08 R0=1 X0=0 Units=km NormAmps=200\n"
    found = read(tmp_path, code + "New Line.A bus1=lv.1.2.3 bus2=E linecode=k length=250 units=m\n")
    t, a = lines(found)["T"], lines(found)["A"]
    assert (t["r"], t["x"], t["limit_kw"], t["transformer"]) == pytest.approx((0.0025, 0.01, 400, True))
    assert (a["r"], a["x"]) == pytest.approx((0.1 / 1.6, 0.02 / 1.6))
    assert a["limit_kw"] == pytest.approx(0.2 * sqrt(3) * 0.4 * 1_000, abs=1e-3)
    assert (a["from"], a["to"], a["length_m"]) == ("lv", "E", 250)
    assert (a["r0"], a["x0"]) == pytest.approx((0.25 / 1.6, 0))


def test_a_matrix_gives_the_positive_sequence_and_one_phase_three_times_its_own(tmp_path: Path) -> None:
    """Mean of the diagonal less the mean beside it: 0.4 - 0.1 and 0.9 - 0.4."""
    three = "rmatrix=[0.3 | 0.1 0.4 | 0.1 0.1 0.5] xmatrix=[0.8 | 0.4 0.9 | 0.4 0.4 1.0]"
    found = read(
        tmp_path,
        f"New Linecode.m nphases=3 units=km\n~ {three}\n"
        "New Linecode.s nphases=1 units=km rmatrix=[0.3] xmatrix=(0.1)\n"
        "New Line.m bus1=lv bus2=a linecode=M length=0.1 units=km\n"
        "New Line.s phases=1 bus1=a.2 bus2=b.2 linecode=s length=0.1 units=km\n",
    )
    assert (lines(found)["m"]["r"], lines(found)["m"]["x"]) == pytest.approx((0.03 / 1.6, 0.05 / 1.6))
    assert (lines(found)["s"]["r"], lines(found)["s"]["x"]) == pytest.approx((0.09 / 1.6, 0.03 / 1.6))
    assert lines(found)["m"]["limit_kw"] is None
    # The zero sequence: the mean of the diagonal and twice the mean beside it; none of one phase.
    assert (lines(found)["m"]["r0"], lines(found)["m"]["x0"]) == pytest.approx((0.06 / 1.6, 0.17 / 1.6))
    assert "r0" not in lines(found)["s"]
    assert any("taken as balanced" in note for note in found.notes)


def test_three_transformers_of_one_phase_are_one_of_three(tmp_path: Path) -> None:
    one = "New Transformer.R{0} phases=1 bank=r buses=[src.{0} mv.{0}] kvs=[6.35 6.35] kvas=[100 100] xhl=3 %rs=[0 1]\n"
    found = read(tmp_path, "".join(one.format(i) for i in (1, 2, 3)), HEAD)
    bank = lines(found)["R1+R2+R3"]
    # kV to ground: 6.35 sqrt(3) = 10.998, at a base of 11.
    assert (bank["r"], bank["x"]) == pytest.approx((0.01 / 3, 0.03 / 3), rel=1e-3)
    assert bank["limit_kw"] == pytest.approx(300)


def test_numbers_may_be_sums_and_the_last_property_counts(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "New Line.a bus1=lv bus2=a r1=(1 4 /) x1=0.1 length=(2 3 *) units=m ! a remark\n"
        "Edit Line.a length=0.5 units=km\n",
        HEAD + LV,
    )
    assert (lines(found)["a"]["r"], lines(found)["a"]["length_m"]) == pytest.approx((0.125 / 1.6, 500))


def test_loads_have_a_power_factor_or_kvar_and_capacitors_are_no_homes(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "New Line.a bus1=lv bus2=a r1=0.1 x1=0.1\n"
        "New Load.One bus1=a.1 phases=1 kw=2 pf=0.8\nNew Load.two bus1=a kw=1 kvar=0.25\n"
        "New Load.three bus1=a kva=1.25 pf=-0.8\nNew Capacitor.c bus1=lv kvar=3\n",
    )
    assert found.grid["homes"] == {"One": "a", "two": "a", "three": "a"}
    assert found.load_kw["a"] == pytest.approx(4)
    assert found.grid["phases"] == {"One": "a"}
    assert found.phase_kw["a"] == pytest.approx([2 + 2 / 3, 2 / 3, 2 / 3])
    assert found.load_kvar == pytest.approx({"src": 0, "lv": -3, "a": tan(acos(0.8)) + 0.25})


def test_switches_open_lines_and_redirected_scripts(tmp_path: Path) -> None:
    (tmp_path / "Lines.TXT").write_text(
        "New Line.a bus1=lv bus2=a r1=0.1 x1=0.1\nNew Line.s bus1=a bus2=b switch=y\n"
        "New Line.tie bus1=lv bus2=b r1=0.1 x1=0.1\nNew Line.off bus1=lv bus2=b r1=0.1 x1=0.1 enabled=no\n",
        encoding="utf-8",
    )
    found = read(tmp_path, "Redirect lines.txt\nOpen Line.tie 1\nNew Load.l bus1=b kw=1\nSolve\n")
    assert set(lines(found)) == {"T", "a"}
    assert found.grid["homes"] == {"l": "a"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("New Line.a bus1=lv bus2=a linecode=nope\n", "net.dss:4: line a: there is no line code 'nope'"),
        ("New Line.a bus1=lv bus2=a geometry=g\n", "line a: its impedance comes from geometry"),
        ("New Line.a bus1=lv bus2=a\n", "line a: it has neither a line code nor R1 and X1"),
        ("New Line.a bus1=lv bus2=a r1=0.1\n", "line a: it has only one of R1 and X1"),
        ("New Line.a bus1=lv r1=0.1 x1=0.1\n", "line a: it names no bus"),
        ("New Line.a bus1=lv bus2=a r1=x x1=1\n", "line a: could not convert string to float"),
        (
            "New LineCode.k r1=1 x1=1 units=km\nNew Line.a bus1=lv bus2=a linecode=k length=1 units=yd\n",
            "line a: its unit of length is 'yd', and known are mi",
        ),
        ("New Transformer.b windings=3 buses=[a b c]\n", "transformer b: it has more than two windings"),
        ("New Line.a like=b bus1=lv bus2=a\n", "line a: it takes its properties by like; write them out"),
        ("New Transformer.b buses=[lv x] xhl=4\n", "transformer b: a winding lacks its bus or kV"),
        ("New Load.l bus1=lv\n", "load l: it has neither kW nor kVA"),
        ("New Load.l bus1=lv kw=1 pf=0\n", "load l: its power factor is 0"),
        ("Redirect nowhere.txt\n", "nowhere.txt cannot be read"),
        ("Redirect net.dss\n", "scripts redirect in circles"),
        ("BatchEdit Line..* units=km\n", "BatchEdit of lines, transformers and loads is not read"),
    ],
)
def test_a_script_that_cannot_be_a_grid_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InvalidGridFile, match=said):
        read(tmp_path, text)


@with_networks
def test_the_european_feeder_has_the_impedances_of_the_same_feeder_in_pandapower() -> None:
    """905 lines and a transformer, whose resistance OpenDSS takes as 0.2 % a winding where a script gives none."""
    ours, other = (
        {line["id"].upper(): line for line in read_grid_file(path).grid["lines"]}
        for path in (OPENDSS / "LVTestCase", PANDAPOWER / "IEEE_European_LV_On_Peak_566.json")
    )
    assert len(ours) == len(other) == 906
    for name, line in ours.items():
        same = other[{"TR1": "TRAFO"}.get(name, name)]
        assert (line["r"], line["x"]) == pytest.approx((same["r"], same["x"]), rel=1e-6, abs=1e-12)


@with_networks
def test_the_thirteen_bus_feeder_is_read_whole() -> None:
    found = read_grid_file(OPENDSS / "13Bus")
    grid = found.grid
    assert (grid["kind"], len(grid["nodes"]), grid["root"]) == ("lindistflow", 15, "SourceBus")
    assert sum(found.load_kw.values()) == 3_466
    assert sum(found.load_kvar.values()) == 2_102 - 700
    assert grid["homes"]["675a"] == "675"
    # 2,000 ft of mtx601: mean of the diagonal less the mean beside it, in ohm a mile.
    r = ((0.3465 + 0.3375 + 0.3414) - (0.1560 + 0.1580 + 0.1535)) / 3 * 2_000 / 5_280
    ohm = 1_000 * (4.16 * 1.0001) ** 2 / 100
    assert lines(found)["650632"]["r"] == pytest.approx(r / ohm)
