"""The command that compares over a parameter grid."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wattswap.cli.command import COMMANDS, Command
from wattswap.cli.compare import (
    ComparisonsOption,
    FailIfOption,
    JobsOption,
    MechanismsOption,
    ResampleOption,
    SeedsOption,
    compare_points,
)
from wattswap.cli.options import (
    AgainstOption,
    CaseOption,
    JsonOption,
    ModuleOption,
    QuietOption,
    ScenarioArgument,
    SeedOption,
    SetOption,
    WideOption,
    load_scenario,
)
from wattswap.runs.layout import COMPARISONS

if TYPE_CHECKING:
    from wattswap.scenario.load import Scenario


def sweep(
    scenario: ScenarioArgument,
    vary: Annotated[
        list[str],
        typer.Option(
            "--vary",
            help="A key and its values: a list as in market.k=0,0.5,1, a range as in homes.battery_kwh=0:20:5, or"
            " case=NAME,NAME; several make a grid.",
            metavar="KEY=VALUES",
        ),
    ],
    mechanism: MechanismsOption = None,
    seeds: SeedsOption = 1,
    jobs: JobsOption = 1,
    case: CaseOption = None,
    settings: SetOption = None,
    seed: SeedOption = None,
    fail_if: FailIfOption = None,
    against: AgainstOption = None,
    resample: ResampleOption = None,
    module: ModuleOption = None,
    out: ComparisonsOption = Path(COMPARISONS),
    quiet: QuietOption = False,
    wide: WideOption = False,
    json: JsonOption = False,
) -> None:
    """Compare over a parameter grid: any key of the scenario takes several values."""
    from wattswap.cli.output import form_of
    from wattswap.comparison.grid import CASE, points_of, read_axes
    from wattswap.errors import UsageError

    axes = read_axes(vary)
    if case is not None and CASE in axes:
        raise UsageError.of(f"--case {case}", "is what --vary case=... varies", "keep one of the two")

    def load(other: str | None, extra: list[str], typed: Mapping[str, str]) -> Scenario:
        return load_scenario(
            scenario, other or case, [*(settings or []), *extra], seed, module=module, typed=typed
        )

    compare_points(
        points_of(axes, load),
        mechanism,
        seeds,
        jobs,
        fail_if,
        against,
        module,
        out,
        quiet,
        form_of(json, wide=wide),
        resample,
    )


COMMANDS.register(Command("sweep", sweep, 11))
