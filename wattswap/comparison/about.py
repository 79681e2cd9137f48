"""comparison.json: what was compared, as its readers rely on it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypedDict

import msgspec

from wattswap.comparison.plan import CellKey, name_of
from wattswap.runs.folder import read_object
from wattswap.runs.layout import COMPARISON
from wattswap.runs.stored import Count, Origin, Result, StoredScenario, check_form, check_times, unusable


class _Point(TypedDict):
    point: str
    settings: dict[str, str | float | int | bool | None]


class _Cell(msgspec.Struct, forbid_unknown_fields=True):
    point: str
    mechanism: str
    seed: Count


class Compared(Result):
    """The entries of comparison.json that readers use."""

    mechanisms: list[str]
    reference: str
    bound: str
    seeds: list[Count]
    points: Annotated[list[_Point], msgspec.Meta(min_length=1)]
    scenario: StoredScenario
    scenarios: dict[str, Origin]
    cells: list[_Cell]
    missing: list[_Cell]
    command: str


def read_about(folder: Path) -> dict[str, Any]:
    """Read the comparison.json of a folder.

    Raises:
        VerificationFailed: It is damaged.
        InvalidData: Another version of wattswap wrote it in another form.
    """
    path = folder / COMPARISON
    about = read_object(path)
    check_form(path, about, Compared)
    origins = [about["scenario"], *(origin["resolved"] for origin in about["scenarios"].values())]
    check_times(path, about["start"], origins)
    _check_references(path, about)
    return about


def _check_references(path: Path, about: Mapping[str, Any]) -> None:
    """Check that the cells of a comparison, its points and its mechanisms know each other."""
    points = [point["point"] for point in about["points"]]
    keys = [set(point["settings"]) for point in about["points"]]
    lost = [
        cell
        for cell in about["cells"]
        if cell["point"] not in points
        or cell["mechanism"] not in about["mechanisms"]
        or name_of(CellKey(**cell)) not in about["scenarios"]
    ]
    if lost:
        raise unusable(path, f"its cell {name_of(CellKey(**lost[0]))} has no point, mechanism or scenario")
    if len(set(points)) < len(points) or any(other != keys[0] for other in keys):
        raise unusable(path, "points must have names of their own, and settings of the same keys")
