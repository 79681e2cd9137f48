"""The plan of a comparison and its cells: every point of the grid under every mechanism and every seed.

The baseline comes first and the upper bound last.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any

from wattswap.canonical_json import canonical_json
from wattswap.errors import InvalidScenario, Problem, UsageError
from wattswap.runs.manifest import code_sha256
from wattswap.scenario.grid import faults_of_grid
from wattswap.scenario.load import BUNDLED, TEMPLATES, Scenario
from wattswap.scenario.time import Faults
from wattswap.scenario.zones import faults_of_zones
from wattswap.selection import Choice

BASE = "base"


@dataclass(frozen=True, slots=True)
class Point:
    """One scenario of a sweep; a plain comparison has one, called base.

    Args:
        name: The settings in one word, such as "market.k=0.3".
        settings: Key and value of each varied key, as written.
        scenario: The scenario with these settings.
    """

    name: str
    settings: dict[str, str]
    scenario: Scenario


@dataclass(frozen=True, slots=True)
class CellKey:
    """The key of a cell in a comparison."""

    point: str
    mechanism: str
    seed: int


def name_of(cell: CellKey) -> str:
    """The key of a cell in `scenarios` of comparison.json."""
    return f"{cell.point} {cell.mechanism} {cell.seed}"


@dataclass(frozen=True)
class Plan:
    """A comparison to run.

    Args:
        points: The scenarios.
        choices: The mechanisms.
        seeds: Of all random draws.
        modules: Files of plug-ins; every process imports them.
    """

    points: tuple[Point, ...]
    choices: tuple[Choice, ...]
    seeds: tuple[int, ...]
    modules: tuple[Path, ...] = ()

    @property
    def cells(self) -> list[CellKey]:
        """All cells, seed by seed, so that an interrupted comparison has whole seeds."""
        return [CellKey(p.name, c.label, s) for s, p, c in product(self.seeds, self.points, self.choices)]

    def scenario_of(self, cell: CellKey) -> Scenario:
        """The scenario that a cell runs."""
        point = next(p for p in self.points if p.name == cell.point)
        choice = next(c for c in self.choices if c.label == cell.mechanism)
        return choice.of(point.scenario, cell.seed)

    def command(self, labels: Sequence[str], seeds: Sequence[int]) -> str:
        """The command line that reproduces the comparison of these mechanisms and seeds."""
        first = self.points[0]
        source = first.scenario.source
        name = source.file or "SCENARIO"
        if Path(name).parent == TEMPLATES:
            name = next((known for known, file in BUNDLED.items() if file == Path(name).name), name)
        varied = {key: list(dict.fromkeys(p.settings[key] for p in self.points)) for key in first.settings}
        settled = [
            text for text in source.overrides if text.partition("=")[0].strip() not in {*varied, "seed"}
        ]
        words = ["sweep" if varied else "compare", name]
        words += ["--case", source.case] if source.case and "case" not in varied else []
        words += [word for text in settled for word in ("--set", text)]
        words += [word for key, values in varied.items() for word in ("--vary", f"{key}={','.join(values)}")]
        words += [word for label in labels for word in ("-m", label)]
        words += [word for module in self.modules for word in ("--module", str(module))]
        # A command takes seeds that follow each other; others take one command each.
        runs: list[list[int]] = []
        for seed in sorted(seeds):
            if runs and seed == runs[-1][-1] + 1:
                runs[-1].append(seed)
            else:
                runs.append([seed])
        lines = [["wattswap", *words, "--seed", str(run[0]), "--seeds", str(len(run))] for run in runs]
        return " && ".join(map(shlex.join, lines))

    def digest(self, data_sha256: Sequence[str]) -> str:
        """SHA-256 of what all cells share: the scenarios without mechanism and seed, the data, and this program."""
        shared = [{"settings": point.settings, **_without_market(point.scenario)} for point in self.points]
        return sha256(canonical_json([shared, list(data_sha256), code_sha256()]).encode()).hexdigest()

    def cell_sha256(self, cell: CellKey) -> str:
        """SHA-256 of what a cell depends on beyond that: mechanism with parameters, seed, the mechanism's code."""
        choice = next(c for c in self.choices if c.label == cell.mechanism)
        parts = [self.scenario_of(cell).digest(), choice.version()]
        return sha256(canonical_json(parts).encode()).hexdigest()


def _faults_of_places(scenario: Scenario, mechanism: str) -> Faults:
    """What a scenario lacks of grid and zones for a mechanism, or has beside them that it cannot use."""
    rounds = scenario.market.rounds
    return [
        *faults_of_grid(scenario.grid, mechanism, rounds, bool(scenario.homes.tariffs)),
        *faults_of_zones(scenario.zones, mechanism, rounds),
    ]


def make_plan(
    points: Sequence[Point], choices: tuple[Choice, ...], seeds: Sequence[int], modules: Sequence[Path] = ()
) -> Plan:
    """Check seeds and points.

    Raises:
        UsageError: No seed, a seed twice or below 0, or two points of one name.
        InvalidScenario: A mechanism needs a grid or zones that a point does not have, or cannot use what it has.
    """
    problems = []
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds, default=0) < 0:
        given = ", ".join(map(str, seeds)) or "none"
        problems.append(Problem("seeds", f"are {given}", "give at least one, each once, from 0 up"))
    if len({point.name for point in points}) < len(points):
        problems.append(Problem("--vary", "names the same setting twice", "give each value once"))
    off_grid = [
        problem
        for point in points
        for choice in choices
        for key, what, cure in _faults_of_places(point.scenario, choice.mechanism.name)
        for problem in point.scenario.invalid(key, what, cure).problems
    ]
    if problems:
        raise UsageError(*problems)
    if off_grid:
        raise InvalidScenario(*dict.fromkeys(off_grid))
    return Plan(tuple(points), choices, tuple(seeds), tuple(modules))


def _without_market(scenario: Scenario) -> dict[str, Any]:
    shared = scenario.resolved()
    shared.pop("seed")
    shared["market"].pop(
        "mechanism"
    )  # its params stay: they are those of the scenario's own mechanism in its cells
    return shared
