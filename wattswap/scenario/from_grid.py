"""A scenario of any SimBench low-voltage grid, written as a meter file and a scenario beside it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from market.units import PPM, WH_PER_KWH
from wattswap.errors import AlreadyExists
from wattswap.scenario.load import SCENARIO_FILE, TEMPLATES

METER_FILE = "meter.parquet"
_DATA_TABLE = """\
[data]
path = "{meter}"              # a year of {code}, {homes} homes, at 15 minutes; SimBench, ODbL 1.0
fuse_kw = {fuse_kw}                      # farms and shops draw more than a household
"""
_BATTERY = """\

[homes.battery.{name}]
capacity_kwh = {capacity_kwh:g}
charge_kw = {charge_kw:g}
discharge_kw = {discharge_kw:g}
charge_efficiency = {charge_efficiency:g}
discharge_efficiency = {discharge_efficiency:g}
"""


def write_grid(folder: Path, code: str) -> list[Path]:
    """Write the meter data and a scenario of a SimBench grid; needs the optional package `wattswap[grids]`.

    Args:
        folder: Where the two files go; nothing is overwritten.
        code: A SimBench code such as 1-LV-rural2--2-sw (13 to 135 connections).

    Raises:
        AlreadyExists: A file to be written is there already.
        DataError: The package is missing, or there is no such grid; nothing is left on disk.
    """
    from data.formats import plain
    from data.grids.simbench import load_simbench_grid

    paths = [folder / SCENARIO_FILE, folder / METER_FILE]
    for path in paths:
        if path.exists():
            raise AlreadyExists.of(str(path), "exists already", "choose another folder")
    meter = load_simbench_grid(code)
    peak_w = max(int(meter.import_wh.max()), int(meter.export_wh.max())) * 60 // meter.minutes
    text = (TEMPLATES / "street.toml").read_text(encoding="utf-8")
    text = text.replace('name = "street"', f'name = "{re.sub("[^A-Za-z0-9]+", "-", code)}"')
    table = _DATA_TABLE.format(
        meter=METER_FILE, code=code, homes=len(meter.households), fuse_kw=max(43, peak_w // 1_000 + 1)
    )
    text = re.sub(r"\[data\]\n(?:[^\n]+\n)+", lambda _: table, text)
    batteries = "".join(
        _BATTERY.format(
            name=name,
            capacity_kwh=spec.capacity_wh / WH_PER_KWH,
            charge_kw=spec.charge_w / 1_000,
            discharge_kw=spec.discharge_w / 1_000,
            charge_efficiency=spec.charge_efficiency_ppm / PPM,
            discharge_efficiency=spec.discharge_efficiency_ppm / PPM,
        )
        for name, spec in zip(meter.households, meter.batteries, strict=True)
        if spec is not None
    )
    text = text.replace(
        'batteries = "data"                  # as the data say; "none" leaves them out',
        'batteries = "none"                  # the meter file tells none: they stand below',
    )
    text = text.replace("\n[tariff]", f"{batteries}\n[tariff]", 1)
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        plain.write(meter, paths[1])
        paths[0].write_text(text, encoding="utf-8")
    except BaseException:
        if made:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    return paths
