"""Write the bundled neighbourhoods again from the optional package simbench.

Run it as `python -m data.samples.extract_simbench [FOLDER]`; it needs `pip install 'wattswap[grids]'`. With
the same versions of simbench and pyarrow the files come out byte for byte as they are bundled.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from data.formats.simbench_extract import save_neighbourhood
from data.grids.simbench import NOTES, ZONE, read_simbench
from data.samples import FOLDER, SAMPLES


def main(folder: Path = FOLDER) -> None:
    """Write every sample into a folder and print size and hash."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, code in SAMPLES.items():
        path = folder / f"{name}.parquet"
        save_neighbourhood(read_simbench(code), path, code=code, zone=ZONE, notes=NOTES)
        content = path.read_bytes()
        print(f"{path.name}  {len(content):,} bytes  sha256 {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:2]))
