"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Mapping
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from wattswap.scenario.load import Scenario

ScenarioArgument = Annotated[
    str, typer.Argument(help="A scenario file or folder, `demo`, or `street_grid`.", metavar="SCENARIO")
]
RunArgument = Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")]
AgainstOption = Annotated[
    str | None,
    typer.Option(
        "--against",
        help="Show what each saves more than this mechanism: by prices, by rationing, by the imbalance rule.",
        metavar="NAME",
    ),
]
CaseOption = Annotated[
    str | None, typer.Option("--case", help="Name of a case of the scenario, a table under case.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="Change one key, as in market.k=0.3; may be given several times.", metavar="KEY=VALUE"
    ),
]
SeedOption = Annotated[int | None, typer.Option("--seed", help="Seed of the run, instead of the scenario's.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
CsvOption = Annotated[bool, typer.Option("--csv", help="Print a table as CSV instead of text.")]
WideOption = Annotated[bool, typer.Option("--wide", help="Print all columns, however wide the screen is.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]
OutOption = Annotated[Path, typer.Option("--out", help="Folder under which the run's folder is made.")]
MechanismOption = Annotated[
    str | None,
    typer.Option(
        "--mechanism", "-m", help="Mechanism, as NAME or NAME:parameter=value,..., instead of the scenario's."
    ),
]
ModuleOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--module",
        help="Import this Python file first; it registers plug-ins. May be given several times.",
        metavar="FILE",
    ),
]


def import_modules(paths: list[Path] | None) -> dict[str, str]:
    """Import the files of `--module`, and return the SHA-256 of each by its name."""
    from wattswap.plugins import import_files

    return import_files(paths) if paths else {}


def load_scenario(
    name: str,
    case: str | None = None,
    settings: list[str] | None = None,
    seed: int | None = None,
    mechanism: str | None = None,
    module: list[Path] | None = None,
    typed: Mapping[str, str] | None = None,
    *,
    in_common: bool = True,
) -> Scenario:
    """Load a scenario with the command line's changes and modules; warnings go to stderr.

    Args:
        settings: KEY=VALUE of `--set`, or of the option that `typed` names.
        typed: The option that the user typed for a setting, where it is not `--set`.
        in_common: See `with_later_faults`.

    Raises:
        InvalidScenario: Lists what is wrong with it.
        UsageError: Nothing is wrong but values of `--mechanism`, `--case` and `--seed`.
    """
    from market.mechanism import MECHANISMS
    from wattswap.cli.output import note
    from wattswap.errors import InvalidScenario, UsageError
    from wattswap.plugins import broken_plugins
    from wattswap.runs.checked import with_later_faults
    from wattswap.scenario.load import BUNDLED, TEMPLATES, load
    from wattswap.selection import choice_of

    modules = import_modules(module)
    # The mechanism first: naming another one drops its parameters, and --set may give new ones.
    overrides: list[str] = []
    own: dict[str, str] = {}
    if mechanism is not None:
        # A bare or unknown name is checked with the scenario, so that all errors are listed together.
        name_alone, colon, _ = mechanism.partition(":")
        overrides = [f"market.mechanism={dumps(name_alone)}"]
        if colon and name_alone in MECHANISMS.all():
            overrides = choice_of(mechanism, f"-m {mechanism}").settings()
        own = dict.fromkeys(overrides, f"-m {mechanism}")
    overrides += settings or []
    if seed is not None:
        overrides.append(f"seed={seed}")
        own[overrides[-1]] = f"--seed {seed}"
    path = TEMPLATES / BUNDLED[name] if name in BUNDLED and not Path(name).exists() else Path(name)
    try:
        scenario = load(path, case, overrides, modules=modules, typed={**(typed or {}), **own})
    except InvalidScenario as found:
        error = with_later_faults(found, in_common=in_common)
        if {problem.where for problem in error.problems} <= {*own.values(), f"--case {case}"}:
            raise UsageError(*error.problems) from None
        raise error from None
    finally:
        for broken in broken_plugins():
            note(f"warning: {broken}")
    for warning in scenario.warnings():
        note(f"warning: {warning}")
    return scenario
