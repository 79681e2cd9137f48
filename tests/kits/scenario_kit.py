"""A small valid scenario, and helpers that write and load variants of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from wattswap.errors import InvalidScenario, Problem
from wattswap.scenario.load import Scenario, load

KNOWN = ["uniform_price", "retailer_only", "mcafee", "nodal_price"]

HEAD = 'schema = 1\nname = "test"\ncurrency = "EUR"\n'
DATA = '[data]\nsample = "street"\n'
TARIFF = "[tariff]\nimport_per_kwh = 0.32\nfeed_in_per_kwh = 0.08\n"
MINIMAL = HEAD + DATA + TARIFF


def read(folder: Path, text: str, case: str | None = None, overrides: tuple[str, ...] = ()) -> Scenario:
    """Load `text` as folder/street.toml."""
    file = folder / "street.toml"
    file.write_text(text, encoding="utf-8")
    return load(file, case, overrides, KNOWN)


def refused(
    folder: Path, text: str, case: str | None = None, overrides: tuple[str, ...] = ()
) -> list[Problem]:
    """The problems with which `text` is refused."""
    with pytest.raises(InvalidScenario) as caught:
        read(folder, text, case, overrides)
    return caught.value.problems
