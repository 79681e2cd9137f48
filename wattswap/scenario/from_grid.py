"""A scenario of any SimBench low-voltage grid, written as a meter file and a scenario beside it."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from market.files import naming
from market.units import PPM, WH_PER_KWH
from p2p.files import write_new
from wattswap.errors import AlreadyExists
from wattswap.scenario.load import SCENARIO_FILE, TEMPLATES

METER_FILE = "meter.parquet"
_ABOUT = """\
# A wattswap scenario of the SimBench grid {code}, a year of {homes} homes at 15 minutes; SimBench, ODbL 1.0.
# Every key is explained in docs/reference/scenario.md; `wattswap validate FILE` checks this file.

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
    scenario = tomllib.loads((TEMPLATES / "street.toml").read_text(encoding="utf-8"))
    scenario["name"] = re.sub("[^A-Za-z0-9]+", "-", code)
    scenario["data"] = {"path": METER_FILE, "fuse_kw": max(43, peak_w // 1_000 + 1)}
    scenario["homes"] |= {
        "batteries": "none",  # the meter file has none: they are given one by one
        "battery": {
            name: {
                "capacity_kwh": spec.capacity_wh / WH_PER_KWH,
                "charge_kw": spec.charge_w / 1_000,
                "discharge_kw": spec.discharge_w / 1_000,
                "charge_efficiency": spec.charge_efficiency_ppm / PPM,
                "discharge_efficiency": spec.discharge_efficiency_ppm / PPM,
            }
            for name, spec in zip(meter.households, meter.batteries, strict=True)
            if spec is not None
        },
    }
    about = _ABOUT.format(code=code, homes=len(meter.households))
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with naming(folder):
            plain.write(meter, paths[1])
            write_new(paths[0], (about + toml_text(scenario)).encode())
    except BaseException:
        for path in paths:
            path.unlink(missing_ok=True)
        if made:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    return paths


def toml_text(table: Mapping[str, Any], path: tuple[str, ...] = ()) -> str:
    """A table as TOML: its values first, then its tables, each under its heading."""
    values = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    lines = [f"[{'.'.join(map(_key, path))}]\n"] if path and (values or not table) else []
    lines += [f"{_key(key)} = {_value(value)}\n" for key, value in values.items()]
    tables = [toml_text(value, (*path, key)) for key, value in table.items() if isinstance(value, Mapping)]
    return "\n".join(["".join(lines), *tables] if lines else tables)


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, date):  # also a moment
        return value.isoformat().replace("+00:00", "Z")
    return json.dumps(value)
