"""Lines.csv and LineCodes.csv become the same grid as the OpenDSS script that they come from."""

from __future__ import annotations

import re
from math import acos, sqrt, tan
from pathlib import Path

import pytest

from data.errors import InvalidGridFile
from data.grids.files import read_grid_file
from tests.kits.network_kit import OPENDSS, with_networks

FILES = {
    "Lines.csv": """\
Lines of a street
Name,Bus1,Bus2,Phases,Length,Units,Code
west,street,corner,ABC,120,m,cable
north,corner,farm,A,0.1,km,cable
""",
    "LineCodes.csv": "Name,nphases,R1,X1,R0,X0,C1,C0,Units,NormAmps\ncable,3,0.2,0.08,0.8,0.3,0,0,km,200\n",
    "Transformer.csv": """\
#
Name,phases,bus1,bus2,kV_pri,kV_sec,MVA,Conn_pri,Conn_sec,%XHL,% resistance
station,3,mv,street,10,0.4,0.16,Delta,Wye,4,1
""",
    "Loads.csv": "Name,numPhases,Bus,phases,kV,Model,Connection,kW,PF,Yearly\nanna,1,farm,A,0.23,1,wye,2,0.8,s\n",
}


def written(folder: Path, **changed: str) -> Path:
    for name, text in {**FILES, **{f"{key}.csv": value for key, value in changed.items()}}.items():
        if text:
            (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_tables_become_a_grid_as_by_hand(tmp_path: Path) -> None:
    """1.6 ohm are one per unit; what is on one phase has three times the impedance and a third of the limit."""
    found = read_grid_file(written(tmp_path))
    lines = {line["id"]: line for line in found.grid["lines"]}
    west, north, station = (lines[name] for name in ("west", "north", "station"))
    assert (west["r"], west["x"]) == pytest.approx((0.024 / 1.6, 0.0096 / 1.6))
    assert west["limit_kw"] == pytest.approx(0.2 * sqrt(3) * 400, abs=1e-3)
    assert (north["r"], north["limit_kw"]) == pytest.approx(
        (3 * 0.02 / 1.6, 0.2 * sqrt(3) * 400 / 3), abs=1e-3
    )
    assert (station["r"], station["x"], station["limit_kw"]) == pytest.approx((0.01 / 1.6, 0.04 / 1.6, 160))
    assert (west["r0"], west["x0"], "r0" in north) == pytest.approx((0.096 / 1.6, 0.036 / 1.6, False))
    assert found.grid["phases"] == {"anna": "a"}
    assert (found.grid["root"], found.grid["homes"]) == ("mv", {"anna": "farm"})
    assert found.load_kvar["farm"] == pytest.approx(2 * tan(acos(0.8)))
    assert any("taken as balanced" in note for note in found.notes)


def test_a_source_names_the_bus_and_the_voltage(tmp_path: Path) -> None:
    at_street = read_grid_file(written(tmp_path, Transformer="", Source="bus,kv,pu\nstreet,0.4,1.05\n"))
    assert (at_street.grid["root"], at_street.grid["vmax"]) == ("street", pytest.approx((1.1 / 1.05) ** 2))
    ieee = read_grid_file(written(tmp_path, Source="Voltage=10 kV\npu=1.02\nISC3=3000 A\n"))
    assert (ieee.grid["root"], ieee.grid["vmax"]) == ("mv", pytest.approx((1.1 / 1.02) ** 2))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"Transformer": ""}, "where the outside is connected is not clear; add Source.csv"),
        (
            {"Lines": "Name,From,To\na,b,c\n"},
            "Lines.csv has no header with the columns bus1, bus2, length, linecode",
        ),
        ({"Lines": "Name,Bus1,Bus2,Length,Code\na,b,c,1,d\n"}, "Lines.csv:2: there is no line code 'd'"),
        (
            {"LineCodes": "Name,R1,X1\ncable,much,1\n"},
            "LineCodes.csv:2: could not convert string to float: 'much'",
        ),
        (
            {"Loads": "name,bus,kw,pf\na,farm,1,2\n"},
            "Loads.csv:2: the power factor is 2, not between -1 and 1",
        ),
        ({"Lines": "Name,Bus1,Bus2,Phases,Length,Code\na,b,c,XY,1,cable\n"}, "the phases are 'XY'"),
        ({"Lines": "Name,Bus1,Bus2,Length,Units,Code\na,b,c,1,yd,cable\n"}, "its unit of length is 'yd'"),
    ],
)
def test_tables_that_cannot_be_a_grid_are_refused(tmp_path: Path, changed: dict[str, str], said: str) -> None:
    with pytest.raises(InvalidGridFile, match=re.escape(said)):
        read_grid_file(written(tmp_path, **changed))


@with_networks
def test_the_european_feeder_as_tables_is_the_one_of_its_script(tmp_path: Path) -> None:
    folder = OPENDSS / "LVTestCase"

    def columns(name: str, *keys: str) -> str:
        text = (folder / f"{name}.txt").read_text(encoding="utf-8")
        rows = []
        for line in filter(None, text.splitlines()):
            values = dict(re.findall(r"(\w+)=(\S+)", re.sub(r"New \w+\.", "Name=", line)))
            rows.append(",".join(values[key] for key in keys))
        return "\n".join([",".join(keys), *rows]) + "\n"

    tables = written(
        tmp_path,
        Lines=columns("Lines", "Name", "Bus1", "Bus2", "phases", "Length", "Units", "Linecode"),
        LineCodes=columns("LineCode", "Name", "R1", "X1", "Units"),
        Loads=re.sub(r"\.[123],", ",", columns("Loads", "Name", "Bus1", "kW", "PF").replace("Bus1", "Bus")),
        Transformer="name,bus1,bus2,kv_pri,kv_sec,kva,xhl,resistance\nTR1,sourcebus,1,11,0.416,800,4,0.4\n",
        Source="Voltage=11 kV\npu=1.05\n",
    )
    ours, script = read_grid_file(tables).grid, read_grid_file(folder).grid
    by_id = {line["id"]: line for line in script["lines"]}
    assert len(ours["lines"]) == len(by_id) == 906
    for line in ours["lines"]:
        same = by_id[line["id"]]
        assert (line["r"], line["x"]) == pytest.approx((same["r"], same["x"]), rel=1e-9)
        assert all(line[key] == same[key] for key in ("from", "to", "limit_kw"))
    assert (ours["homes"], ours["vmin"], ours["root"]) == (script["homes"], script["vmin"], script["root"])
