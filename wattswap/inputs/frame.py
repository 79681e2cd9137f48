"""A pandas frame of meter readings as a plain Parquet file, which a scenario names and every check reads."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

from p2p.disk import DISK
from wattswap.errors import InvalidData

if TYPE_CHECKING:
    import pandas as pd

LONG = ("timestamp", "household", "import_kwh", "export_kwh")
_CURE = (
    f"give the columns {', '.join(LONG)}, one row per interval and home; or an index of timestamps and one column"
    " per home with its net energy in kWh, positive where it is drawn from the grid"
)


def write_frame(frame: pd.DataFrame, folder: Path) -> Path:
    """Write readings into a folder, under a name that follows from them.

    Args:
        frame: Long, with the columns of the plain format, or wide: interval starts as the index and one column per
            home with its net energy, import > 0 and export < 0; NaN is a missing reading. [kWh]
        folder: Where the file goes; made where it is missing.

    Returns:
        The file.

    Raises:
        InvalidData: The frame is neither.
    """
    import pandas as pd

    if frame.index.name == "timestamp" and "household" in frame.columns:
        frame = frame.reset_index()
    if not set(LONG) <= set(frame.columns):
        if not isinstance(frame.index, pd.DatetimeIndex) or frame.empty:
            raise InvalidData.of("the frame", "is neither long nor wide", _CURE)
        frame = _long(frame)
    content = io.BytesIO()
    frame.to_parquet(content, index=False)
    data = content.getvalue()
    path = folder / f"meter_{hashlib.sha256(data).hexdigest()[:12]}.parquet"
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        DISK.write_whole(path, data)
    return path


def _long(wide: pd.DataFrame) -> pd.DataFrame:
    """One row per interval and home that has a reading."""
    import pandas as pd

    texts = [str(name) for name in wide.columns if not pd.api.types.is_numeric_dtype(wide[name])]
    if texts:
        raise InvalidData.of(
            "the frame", f"column {texts[0]!r} holds {wide[texts[0]].dtype}, not numbers", _CURE
        )
    wide = wide.rename_axis(index="timestamp").set_axis([str(name) for name in wide.columns], axis=1)
    rows = wide.reset_index().melt("timestamp", var_name="household", value_name="net_kwh").dropna()
    net = rows.pop("net_kwh")
    return rows.assign(import_kwh=net.clip(lower=0), export_kwh=(-net).clip(lower=0))
