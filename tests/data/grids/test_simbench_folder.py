"""A SimBench folder becomes the grid that its types, switches and the voltage of its source say."""

from __future__ import annotations

from math import sqrt
from pathlib import Path

import pytest

from data.errors import InvalidGridFile
from data.grids.files import read_grid_file

FILES = {
    "Node": """\
id;type;vmSetp;vaSetp;vmR;vmMin;vmMax;substation;coordID;subnet;voltLvl
MV;busbar;1.02;0;20;0.965;1.055;NULL;NULL;s;5
LV;busbar;NULL;NULL;0.4;0.9;1.1;NULL;NULL;s;7
LV_1;auxiliary;NULL;NULL;0.4;0.9;1.1;NULL;NULL;s;7
A;busbar;NULL;NULL;0.4;0.9;1.1;NULL;NULL;s;7
A_1;auxiliary;NULL;NULL;0.4;0.9;1.1;NULL;NULL;s;7
""",
    "Line": """\
id;nodeA;nodeB;type;length;loadingMax;subnet;voltLvl
cable;LV_1;A;N;0.05;80;s;7
tie;A_1;LV;N;0.05;80;s;7
""",
    "LineType": "id;r;x;b;iMax;type\nN;0.2;0.08;260;270;cable\n",
    "Transformer": """\
id;nodeHV;nodeLV;type;tappos;autoTap;autoTapSide;loadingMax;substation;subnet;voltLvl
T;MV;LV;K;1;0;NULL;100;NULL;s;6
""",
    "TransformerType": """\
id;sR;vmHV;vmLV;va0;vmImp;pCu;pFe;iNoLoad;tapable;tapside;dVm;dVa;tapNeutr;tapMin;tapMax
K;0.16;20;0.4;150;4;2.4;0.46;0.3;1;HV;2.5;0;0;-2;2
""",
    "Switch": """\
id;nodeA;nodeB;type;cond;substation;subnet;voltLvl
s1;LV;LV_1;LS;1;NULL;s;7
s2;A;A_1;LS;0;NULL;s;7
""",
    "ExternalNet": "id;node;calc_type\nnet;MV;vavm\n",
    "Load": "id;node;profile;pLoad;qLoad;sR;subnet;voltLvl\nhome;A;H0-A;0.004;0.001;0.0041;s;7\n",
    "RES": "id;node;type;profile;calc_type;pRES;qRES;sR;subnet;voltLvl\nsun;A;PV;PV1;pq;0.01;0;0.01;s;7\n",
}


def written(folder: Path, **changed: str) -> Path:
    for name, text in {**FILES, **changed}.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return folder


def test_a_folder_becomes_a_grid_as_by_hand(tmp_path: Path) -> None:
    """The tap of one step of 2.5 % at the high side and 1.02 outside: the street rests at 1.02 / 1.025 of 0.4 kV."""
    found = read_grid_file(written(tmp_path))
    grid, rest = found.grid, 1.02 / 1.025
    assert (grid["kind"], grid["nodes"], grid["root"]) == ("lindistflow", ["MV", "LV", "A"], "MV")
    cable, trafo = (next(line for line in grid["lines"] if line["id"] == name) for name in ("cable", "T"))
    ohm = 1.6 * rest**2
    assert (cable["r"], cable["x"]) == pytest.approx((0.01 / ohm, 0.004 / ohm))
    assert cable["limit_kw"] == pytest.approx(0.8 * 270 * sqrt(3) * 0.4, abs=1e-3)
    # 2.4 kW of copper loss are 1.5 % of 160 kVA.
    assert (trafo["r"], trafo["x"]) == pytest.approx(
        (0.015 / 1.6 / rest**2, sqrt(0.04**2 - 0.015**2) / 1.6 / rest**2)
    )
    assert (grid["vmin"], grid["vmax"]) == pytest.approx(((0.9 / rest) ** 2, (1.1 / rest) ** 2))
    assert grid["homes"] == {"home": "A"}
    assert found.load_kw["A"] == pytest.approx(4 - 10)
    assert "1 buses without load or supply are left out" in found.notes


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"ExternalNet": "id;node;calc_type\na;MV;vavm\nb;LV;vavm\n"}, "2 external nets"),
        ({"LineType": "id;r;x;b;iMax;type\nM;0.2;0.08;260;270;cable\n"}, "lacks the column or entry 'N'"),
        ({"Load": "id;node;pLoad;qLoad\nhome;A;much;0\n"}, "could not convert string to float"),
        ({"Switch": FILES["Switch"].replace("LS;1", "LS;0")}, "no closed line connects A"),
    ],
)
def test_a_folder_that_cannot_be_a_grid_is_refused(
    tmp_path: Path, changed: dict[str, str], said: str
) -> None:
    with pytest.raises(InvalidGridFile, match=said):
        read_grid_file(written(tmp_path, **changed))
