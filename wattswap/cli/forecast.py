"""The command that measures how good forecasts are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from wattswap.cli.command import COMMANDS, Command
from wattswap.cli.options import (
    CaseOption,
    CsvOption,
    JsonOption,
    ModuleOption,
    ScenarioArgument,
    SetOption,
    WideOption,
    load_scenario,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wattswap.evaluation import Gain, Score
    from wattswap.runs.prepare import Setup

app = typer.Typer(help="Measure how good forecasts are.", no_args_is_help=True)


@app.callback()
def forecast() -> None:
    """Measure how good forecasts are."""


@app.command()
def evaluate(
    scenario: ScenarioArgument,
    forecaster: Annotated[
        list[str] | None,
        typer.Option(
            "--forecaster",
            help="A forecaster of consumption; may be given several times; default: the scenario's.",
            metavar="NAME",
        ),
    ] = None,
    horizon: Annotated[
        str,
        typer.Option("--horizon", help="How long before an interval its forecast is made.", metavar="HOURS"),
    ] = "1h,24h",
    case: CaseOption = None,
    settings: SetOption = None,
    module: ModuleOption = None,
    wide: WideOption = False,
    csv: CsvOption = False,
    json: JsonOption = False,
) -> None:
    """Score forecasts of the homes' net energy against persistence and the 14-day mean."""
    from agents import residuals
    from wattswap.cli.output import form_of, print_json
    from wattswap.evaluation import evaluate as scores_of
    from wattswap.evaluation import known_forecasters
    from wattswap.runs.prepare import prepare

    form = form_of(json, csv, wide)
    loaded, horizons_h = load_scenario(scenario, case, settings, module=module), _hours(horizon)
    names = list(dict.fromkeys(forecaster or [loaded.homes.forecast]))
    # The day more is for the hour that the clock skips in spring, the last ones for the longest horizon.
    days = max(one.history_days for one in known_forecasters(names)) + residuals.DAYS + 1
    setup = prepare(loaded, days + int(max(horizons_h) // 24) + 1)
    scores = scores_of(setup, names, horizons_h)
    if form == "json":
        print_json({**_window(setup), "scores": [score.row for score in scores]})
    elif form == "csv":
        import pandas as pd

        print(pd.DataFrame([score.row for score in scores]).to_csv(index=False), end="")
    else:
        _print_text(setup, scores, names, wide=form == "wide")


def _hours(text: str) -> list[float]:
    """The hours of `1h,24h` or `90m`.

    Raises:
        UsageError: All parts that are neither hours nor minutes.
    """
    from wattswap.errors import Problem, UsageError

    parts = [part.strip() for part in text.split(",")]
    wrong = [part for part in parts if not re.fullmatch(r"\d+(\.\d+)?h?|\d+m", part)]
    if wrong:
        cure = "write hours or minutes, as in 1h,24h or 90m"
        found = "is no number of hours or minutes"
        raise UsageError(*(Problem("--horizon", f"{part!r} {found}", cure) for part in wrong))
    hours = [int(one[:-1]) / 60 if one.endswith("m") else float(one.removesuffix("h")) for one in parts]
    return list(dict.fromkeys(hours))


def _window(setup: Setup) -> dict[str, object]:
    return {
        "scenario": setup.scenario.name,
        "homes": len(setup.roster),
        "start": setup.interval(0).start.isoformat(),
        "intervals": setup.intervals,
        "interval_minutes": setup.minutes,
        "zone": setup.zone,
        "history_days": setup.first_row / setup.steps_per_day,
    }


def _print_text(setup: Setup, scores: Sequence[Score], names: Sequence[str], *, wide: bool) -> None:
    from wattswap.cli.tables import Column, print_columns, wrapped
    from wattswap.evaluation import ALL
    from wattswap.scenario.basis import moment

    start = moment(setup.interval(0).start.isoformat(), setup.zone)
    print(
        wrapped(
            f"Forecasts of the net energy of {len(setup.roster)} homes, {setup.intervals} intervals of"
            f" {setup.minutes} min from {start} ({setup.zone}), with {setup.first_row / setup.steps_per_day:.0f}"
            " days of history. MAE and pinball loss in kW; 80 % should lie in the band; the 95 % intervals come from"
            " weeks drawn again."
        )
    )
    for hours in dict.fromkeys(score.horizon_h for score in scores):
        of_hours = [score for score in scores if score.horizon_h == hours]
        tables = [("all homes", "forecaster", [score for score in of_hours if score.home == ALL])]
        tables += [
            (name, "home", [score for score in of_hours if score.forecaster == name and score.home != ALL])
            for name in names
        ]
        for title, head, rows in tables:
            key = Column(
                head, [row.forecaster if head == "forecaster" else row.home for row in rows], right=False
            )
            columns = [
                Column("MAE", [_figure(row.mae_kw, 3) for row in rows]),
                Column("nRMSE", [_figure(row.nrmse, 2) for row in rows]),
                Column("pinball", [_figure(row.pinball_kw, 3) for row in rows]),
                Column("in band %", [_figure(row.coverage, 0, 100) for row in rows]),
                Column("% below persistence", [_gain(row.against_persistence) for row in rows]),
                Column("% below mean of 14 days", [_gain(row.against_mean) for row in rows]),
            ]
            keep = ("MAE", "% below persistence", "% below mean of 14 days", "nRMSE", "in band %")
            print_columns(f"\n{hours:g} h ahead, {title}", key, columns, keep=keep, wide=wide)


def _figure(value: float | None, decimals: int, times: int = 1) -> str:
    return "" if value is None else f"{value * times:.{decimals}f}"


def _gain(gain: Gain) -> str:
    if gain.percent is None:
        return ""
    if gain.low is None:
        return f"{gain.percent:.1f}"
    return f"{gain.percent:.1f} ({gain.low:.1f} to {gain.high:.1f})"


COMMANDS.register(Command("forecast", app, 2))
