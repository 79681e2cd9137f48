"""Neighbourhoods of any size for benchmarks: days of the bundled homes, shuffled and scaled; not real homes.

Usage: python -m benchmarks.neighbourhood HOMES DAYS FOLDER [MINUTES]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

SCENARIO = """\
schema = 1
name = "{name}"
currency = "EUR"

[data]
path = "meter.parquet"

[tariff]
import_per_kwh = 0.32
feed_in_per_kwh = 0.08

[homes]
forecast_days = 7
"""


CHUNK = 5_000
"""Homes whose readings are made at once, which bounds memory."""


def write_neighbourhood(folder: Path, homes: int, days: int, seed: int = 1, minutes: int = 15) -> Path:
    """Write `meter.parquet` (the documented plain format) and a scenario for it, and return the scenario's path.

    Each home takes the days of one bundled home, shifted by whole weeks and scaled by 0.7 to 1.3, so that load and
    sun keep their shape over the day and the week.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from data import samples

    village = samples.load("village")
    draw = np.random.default_rng(seed)
    rows, joined = days * 96, minutes // 15
    # Farms and shops of the grid draw more than a household's fuse lets through, which the reader would refuse.
    peak_wh = np.maximum(village.import_wh.max(axis=0), village.export_wh.max(axis=0))
    source = draw.choice(np.flatnonzero(peak_wh * 1.3 < 43_000 / 4), homes)
    shift = draw.integers(0, 52, homes) * 7 * 96
    scale = draw.integers(700, 1_301, homes)
    registers = {name: np.empty((rows // joined, homes)) for name in ("import_kwh", "export_kwh")}
    for first in range(0, homes, CHUNK):
        some = slice(first, first + CHUNK)
        time = (np.arange(rows)[:, None] + shift[None, some]) % (364 * 96)
        for name, wh in (("import_kwh", village.import_wh), ("export_kwh", village.export_wh)):
            quarters = wh[time, source[some]] * scale[some] // 1_000
            registers[name][:, some] = quarters.reshape(-1, joined, quarters.shape[1]).sum(axis=1) / 1_000
    rows //= joined
    names = pa.array([f"home-{i:04d}" for i in range(homes)])
    start = np.datetime64("2016-01-04T00:00", "s") + np.arange(rows) * np.timedelta64(60 * minutes, "s")
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.table(
        {
            "timestamp": pa.array(np.repeat(start, homes)).cast(pa.timestamp("s", tz="UTC")),
            "household": pa.DictionaryArray.from_arrays(
                pa.array(np.tile(np.arange(homes, dtype=np.int32), rows)), names
            ),
            **{name: values.ravel() for name, values in registers.items()},
        }
    )
    pq.write_table(table, folder / "meter.parquet")
    scenario = folder / "scenario.toml"
    scenario.write_text(SCENARIO.format(name=f"homes-{homes}"), encoding="utf-8")
    return scenario


if __name__ == "__main__":
    length = int(sys.argv[4]) if len(sys.argv) > 4 else 15
    print(write_neighbourhood(Path(sys.argv[3]), int(sys.argv[1]), int(sys.argv[2]), minutes=length))
