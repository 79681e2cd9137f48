"""Damaged network files: whatever a byte or a number is changed to, there is a grid or a sentence, never a crash."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from data.errors import DataError
from data.grids.files import read_grid_file
from tests.data.grids import test_csv_pairs, test_simbench_folder
from tests.kits.network_kit import saved, street
from wattswap.cases.grid_file import load_grid
from wattswap.errors import WattswapError

SCRIPT = """\
New Circuit.c basekv=11 pu=1.0 bus1=src
New Transformer.T buses=[src lv] kvs=[11 0.4] kvas=[400 400] xhl=4 %rs=[0.5 0.5]
New Linecode.m nphases=3 units=km
~ rmatrix=[0.3 | 0.1 0.4 | 0.1 0.1 0.5] xmatrix=[0.8 | 0.4 0.9 | 0.4 0.4 1.0]
New Line.m bus1=lv bus2=a linecode=m length=0.1 units=km normamps=200
New Line.s bus1=a bus2=b switch=y
New Load.l bus1=b.1 phases=1 kw=2 pf=0.95
New Capacitor.c bus1=lv kvar=(1 2 +)
"""
TOKENS = (
    *(
        "0",
        "-1",
        "1e400",
        "nan",
        "",
        "null",
        "true",
        "[",
        "\\",
        "\0",
        '"',
        "x=y",
        "9" * 30,
        ";",
        ",",
        "|",
        "0.4",
    ),
    "\n",
)


def pandapower(folder: Path) -> None:
    saved(folder, street())


def opendss(folder: Path) -> None:
    (folder / "net.dss").write_text(SCRIPT, encoding="utf-8")


def simbench(folder: Path) -> None:
    test_simbench_folder.written(folder)


def csv_pair(folder: Path) -> None:
    test_csv_pairs.written(folder)


@pytest.mark.parametrize("write", [pandapower, opendss, simbench, csv_pair])
def test_a_damaged_file_is_a_grid_or_a_sentence(write: Callable[[Path], None], tmp_path: Path) -> None:
    draw = random.Random(write.__name__)
    sound, damaged = tmp_path / "sound", tmp_path / "damaged"
    sound.mkdir()
    write(sound)
    read = 0
    for _ in range(250):
        shutil.rmtree(damaged, ignore_errors=True)
        shutil.copytree(sound, damaged)
        path = draw.choice(sorted(damaged.iterdir()))
        text = path.read_text(encoding="utf-8")
        for _ in range(draw.randint(1, 3)):
            at, length = draw.randrange(len(text)), draw.choice((0, 1, 1, 2, 5, 20))
            text = text[:at] + draw.choice(TOKENS) + text[at + length :]
        path.write_text(text, encoding="utf-8")
        place = damaged / "net.json" if write is pandapower else damaged
        try:
            found = read_grid_file(place).grid
        except DataError:
            continue
        read += 1
        assert found["root"] in found["nodes"]
        with suppress(WattswapError):
            load_grid(place)
    assert read > 5
