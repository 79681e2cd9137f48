"""Meter files as vendors write them, in tests/data/meters/, with what each holds, computed by hand."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from data.intake.profile import Profile
from data.intake.raw import Hints
from data.readings import ESTIMATED, MEASURED, MISSING, MeterData

METERS = Path(__file__).parents[1] / "data" / "meters"
EXPECTED = "expected.toml"
QUALITY = {"m": MEASURED, "e": ESTIMATED, "x": MISSING}


@dataclass(frozen=True)
class Fixture:
    """A file, or a folder of files that belong together, and what reading it must give.

    Args:
        folder: Where both lie.
    """

    folder: Path

    @cached_property
    def said(self) -> Mapping[str, Any]:
        """All of expected.toml."""
        return tomllib.loads((self.folder / EXPECTED).read_text(encoding="utf-8"))

    @property
    def path(self) -> Path:
        """The file; the folder where there are several."""
        files = [path for path in sorted(self.folder.iterdir()) if path.name != EXPECTED]
        return files[0] if len(files) == 1 else self.folder

    @property
    def hints(self) -> Hints:
        """What the user has to say."""
        said = dict(self.said.get("hints", {}))
        if "profile" in said:
            said["profile"] = Profile.from_text(said["profile"])
        return Hints(**said)

    def assert_holds(self, data: MeterData) -> None:
        """Compare every integer and flag that expected.toml states, and that no home is there beside them."""
        wanted = self.said["expected"]
        start: datetime = wanted["start"]
        assert (data.minutes, data.start_s) == (wanted["minutes"], int(start.timestamp()))
        assert data.households == tuple(wanted["homes"])
        for h, home in enumerate(wanted["homes"].values()):
            found = {"import_wh": data.import_wh, "export_wh": data.export_wh}
            found |= {f"{name}_wh": energy for name, energy in data.sub_meters.items()}
            assert {name for name, energy in found.items() if energy[:, h].any()} <= home.keys()
            for name, energy in home.items():
                if name != "quality":
                    assert name in found, name
                    assert found[name][:, h].tolist() == energy, name
            quality = home.get("quality", "m" * data.intervals)
            assert data.quality[:, h].tolist() == [QUALITY[flag] for flag in quality]


def fixtures() -> list[Fixture]:
    """All of them, by name."""
    return [Fixture(path.parent) for path in sorted(METERS.glob(f"*/{EXPECTED}"))]
