"""Repairs as layers over the readings: what was replaced by what, so that taking a layer away gives the import back.

A row holds one channel of an interval: `household`, `time`, `channel`, `before_wh`, `after_wh`, `quality_before`,
`quality_after`. A layer replaces a reading only where it still is what the layer found: readings that were imported
later count more than a repair.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from data.intake.file import sha256_of
from data.readings import QualityArray
from data.store import disk
from data.store.errors import DamagedStore
from data.store.manifest import LAYERS, Layer
from data.store.parts import checked
from data.store.series import HomeSeries
from market.units import IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """What a repair does to some intervals of a home; columns have one entry an interval.

    Args:
        home: Its name.
        time_s: Start of each interval, in the order of time. [s since 1970]
        before: Energy by channel as it was. [Wh]
        after: Energy by channel as it shall be. [Wh]
        quality_before: Flags as they were.
        quality_after: Flags as they shall be.
    """

    home: str
    time_s: IntArray
    before: Mapping[str, IntArray]
    after: Mapping[str, IntArray]
    quality_before: QualityArray
    quality_after: QualityArray

    def added_wh(self) -> dict[str, int]:
        """What each channel has more than before. [Wh]"""
        return {name: int((self.after[name] - self.before[name]).sum()) for name in self.after}


def patched(series: HomeSeries, patch: Patch) -> HomeSeries:
    """A series with a repair, where its readings still are what the repair found."""
    row = (patch.time_s - series.start_s) // series.step_s
    inside = (row >= 0) & (row < series.intervals) & (patch.time_s == series.start_s + row * series.step_s)
    same = inside.copy()
    at = row[inside]
    same[inside] &= series.quality[at] == patch.quality_before[inside]
    for name, before in patch.before.items():
        column = series.energy.get(name)
        same[inside] &= (column[at] if column is not None else 0) == before[inside]
    at = row[same]
    quality = series.quality.copy()
    quality[at] = patch.quality_after[same]
    energy = dict(series.energy)
    for name, after in patch.after.items():
        column = energy[name].copy() if name in energy else np.zeros(series.intervals, dtype=np.int64)
        column[at] = after[same]
        energy[name] = column
    return replace(series, energy=energy, quality=quality)


def write_layer(folder: Path, number: int, patches: Sequence[Patch], policy: str) -> Layer:
    """Write the file of a repair; it counts once the manifest names it."""
    name = f"{LAYERS}/{number:04d}.parquet"
    disk.write_whole(folder / name, lambda path: _write(path, patches))
    added: dict[str, int] = {}
    for patch in patches:
        for channel, energy in patch.added_wh().items():
            added[channel] = added.get(channel, 0) + energy
    return Layer(
        name=name,
        sha256=sha256_of(folder / name),
        rows=sum(len(patch.time_s) * len(patch.after) for patch in patches),
        policy=policy,
        homes=tuple(patch.home for patch in patches),
        intervals=sum(len(patch.time_s) for patch in patches),
        added_wh=added,
    )


def _write(path: Path, patches: Sequence[Patch]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    tables = [_table(patch, channel) for patch in patches for channel in patch.after]
    parquet.write_table(pa.concat_tables(tables), path, compression="zstd")


def _table(patch: Patch, channel: str) -> Any:
    import pyarrow as pa

    count = len(patch.time_s)

    def word(text: str) -> Any:
        return pa.DictionaryArray.from_arrays(np.zeros(count, dtype=np.int32), pa.array([text])).cast(
            pa.string()
        )

    return pa.table(
        {
            "household": word(patch.home),
            "time": pa.array(patch.time_s, pa.int64()).cast(pa.timestamp("s", "UTC")),
            "channel": word(channel),
            "before_wh": pa.array(patch.before[channel]),
            "after_wh": pa.array(patch.after[channel]),
            "quality_before": pa.array(patch.quality_before),
            "quality_after": pa.array(patch.quality_after),
        }
    )


def read_layer(folder: Path, layer: Layer) -> Iterator[Patch]:
    """Read a repair, home by home, after its hash was checked.

    Raises:
        DamagedStore: It is missing or is not what the manifest says.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import ArrowException, parquet

    path = checked(folder, layer.name, layer.sha256)
    try:
        table = parquet.read_table(path)
        for home in layer.homes:
            of_home = table.filter(pc.equal(table.column("household"), home))
            before, after = {}, {}
            for channel in pc.unique(of_home.column("channel")).to_pylist():
                rows = of_home.filter(pc.equal(of_home.column("channel"), channel))
                before[channel] = rows.column("before_wh").to_numpy()
                after[channel] = rows.column("after_wh").to_numpy()
            yield Patch(
                home=home,
                time_s=rows.column("time").cast(pa.timestamp("s", "UTC")).cast(pa.int64()).to_numpy(),
                before=before,
                after=after,
                quality_before=rows.column("quality_before").to_numpy(),
                quality_after=rows.column("quality_after").to_numpy(),
            )
    except (ArrowException, KeyError) as problem:
        raise DamagedStore(folder, f"{layer.name} cannot be read ({problem})") from None
