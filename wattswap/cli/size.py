"""The command that sizes what homes have in common."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wattswap.cli.command import COMMANDS, Command
from wattswap.cli.options import (
    CaseOption,
    CsvOption,
    JsonOption,
    ModuleOption,
    QuietOption,
    ScenarioArgument,
    SeedOption,
    SetOption,
    WideOption,
    load_scenario,
)

if TYPE_CHECKING:
    from wattswap.results import BatterySizes

app = typer.Typer(help="Size what homes have in common.", no_args_is_help=True)


@app.callback()
def size() -> None:
    """Size what homes have in common."""


@app.command()
def battery(
    scenario: ScenarioArgument,
    sizes: Annotated[
        str,
        typer.Option(
            "--range", help="Sizes in kWh: LOW:HIGH:STEP, or a list as in 0,10,25.", metavar="SIZES"
        ),
    ] = "0:60:10",
    power_per_kwh: Annotated[
        float | None,
        typer.Option(
            "--power-per-kwh", help="Power in kW of each kWh; default: the scenario's, or 0.5.", metavar="KW"
        ),
    ] = None,
    goal: Annotated[
        str | None,
        typer.Option(
            "--goal", help="welfare, peak or self_consumption; default: the scenario's.", metavar="GOAL"
        ),
    ] = None,
    share_at: Annotated[
        float | None,
        typer.Option(
            "--share-at",
            help="Size whose saving is shared; default: the scenario's, or that which nets most by rule.",
            metavar="KWH",
        ),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Also run each size by plans from forecasts, day by day; slow.")
    ] = False,
    samples: Annotated[
        int, typer.Option("--samples", min=10, help="Orders drawn for Shapley shares of many homes.")
    ] = 1_000,
    figure: Annotated[
        Path | None, typer.Option("--figure", help="Write a figure into this SVG file.", metavar="FILE")
    ] = None,
    case: CaseOption = None,
    settings: SetOption = None,
    seed: SeedOption = None,
    module: ModuleOption = None,
    quiet: QuietOption = False,
    wide: WideOption = False,
    csv: CsvOption = False,
    json: JsonOption = False,
) -> None:
    """Show for each size of a common battery what it saves, costs and pays back, and who gains how much."""
    from wattswap.api import size_battery
    from wattswap.cli._sizing import StudyProgress, print_sizes
    from wattswap.cli.output import form_of, note, print_csv, print_json, searches_told
    from wattswap.report.sizing import refuse_figure

    form = form_of(json, csv, wide)
    if figure is not None:
        refuse_figure(figure)
    with searches_told(quiet=quiet):
        found: BatterySizes = size_battery(
            load_scenario(scenario, case, settings, seed, module=module, in_common=False),
            sizes,
            power_per_kwh=power_per_kwh,
            goal=goal,
            share_at=share_at,
            plan=plan,
            samples=samples,
            on_step=StudyProgress(quiet),
        )
    if form == "json":
        print_json(found.to_dict())
    elif form == "csv":
        print_csv(found.frame)
    else:
        print_sizes(found.to_dict(), wide=form == "wide")
    if figure is not None:
        note(f"Figure in {found.draw(figure)}")


COMMANDS.register(Command("size", app, 12))
