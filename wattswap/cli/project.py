"""Commands before a run: new, validate, list, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wattswap.cli.options import (
    CaseOption,
    JsonOption,
    ScenarioArgument,
    SetOption,
    load_scenario,
)


def new(
    folder: Annotated[Path, typer.Argument(help="Folder to make.", metavar="DIR")],
    template: Annotated[
        str, typer.Option("--template", "-t", help="See `wattswap list templates`.")
    ] = "street",
    grid: Annotated[
        str | None,
        typer.Option(
            "--grid",
            help="A SimBench grid, as in 1-LV-rural2--2-sw; needs the extra `grids`.",
            metavar="CODE",
        ),
    ] = None,
) -> None:
    """Write a commented scenario to start from, for bundled or own data or any SimBench low-voltage grid."""
    from wattswap.scenario.from_grid import write_grid
    from wattswap.scenario.load import write_new

    for path in write_new(folder, template) if grid is None else write_grid(folder, grid):
        print(path)
    typer.echo(f"Next: wattswap run {folder}", err=True)


def secret(
    file: Annotated[Path, typer.Argument(help="File to make; nothing is overwritten.", metavar="FILE")],
) -> None:
    """Write a new random secret for chain.secret_file, so that keys and salts of a run cannot be guessed."""
    import secrets

    from p2p.wire.identity import SEED_BYTES, Identity, save_key_file

    save_key_file(file, Identity.from_seed(secrets.token_bytes(SEED_BYTES)))
    print(file)
    typer.echo(
        f'Next: write secret_file = "{file.name}" under [chain], and keep the file as safe as a key', err=True
    )


def validate(
    scenario: ScenarioArgument,
    case: CaseOption = None,
    settings: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Check a scenario and its data without running it; every mistake is listed with its line."""
    from wattswap.cli.output import print_json
    from wattswap.runs.prepare import prepare

    loaded = load_scenario(scenario, case, settings)
    setup = prepare(loaded)
    facts = {
        "name": loaded.name,
        "homes": len(setup.roster),
        "start": setup.interval(0).start.isoformat(),
        "intervals": setup.intervals,
        "interval_minutes": setup.minutes,
        "history_days": setup.first_row / setup.steps_per_day,
        "batteries": sum(spec is not None for spec in setup.devices["battery"]),
        "mechanism": setup.mechanism.name,
        "scenario_sha256": loaded.digest(),
        "dropped_homes": list(setup.dropped_homes),
        "notes": list(setup.meter.source.notes),
    }
    if json:
        print_json(facts)
        return
    print(
        f"{loaded.name} is valid: {facts['homes']} homes ({facts['batteries']} with a battery),"
        f" {setup.intervals} intervals of {setup.minutes} min from {facts['start']}, {setup.mechanism.name};"
        f" {facts['history_days']:.1f} days of history for the forecasts."
    )
    if setup.dropped_homes:
        print(f"  left out for missing readings: {', '.join(setup.dropped_homes)}")
    for text in setup.meter.source.notes:
        print(f"  note: {text}")


def list_(
    what: Annotated[
        str,
        typer.Argument(
            help="mechanisms, formats, strategies, forecasters, devices, controllers, samples or templates.",
            metavar="WHAT",
        ),
    ] = "",
    json: JsonOption = False,
) -> None:
    """List what can be chosen by name, with one line on each."""
    from wattswap.catalogue import catalogue
    from wattswap.cli.output import note, print_json
    from wattswap.plugins import load_all

    for broken in load_all().values():
        note(f"warning: {broken}")
    entries = catalogue(what)
    if json:
        print_json({what: entries})
        return
    width = max((len(entry["name"]) for entry in entries), default=0)
    for entry in entries:
        print(f"{entry['name']:<{width}}  {entry['summary']}")
        if entry.get("parameters"):
            print(f"{'':<{width}}    {entry['parameters']}")


def doctor(json: JsonOption = False) -> None:
    """Check this installation: Python, packages, solver, libp2p, shadowed packages, the bundled data."""
    from wattswap.cli.output import print_json
    from wattswap.doctor import examine
    from wattswap.errors import CheckFailed, ExitCode

    findings = examine()
    broken = [finding for finding in findings if not finding.ok]
    if json:
        print_json({"ok": not broken, "checks": [finding._asdict() for finding in findings]})
        raise typer.Exit(int(ExitCode.CHECK_FAILED if broken else ExitCode.OK))
    for finding in findings:
        print(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.what:<22} {finding.detail}")
    if broken:
        raise CheckFailed.of("doctor", f"{len(broken)} of {len(findings)} checks failed", broken[0].cure)


def add_commands(app: typer.Typer) -> None:
    """Hang these commands into the command line."""
    app.command()(new)
    app.command()(secret)
    app.command()(validate)
    app.command("list")(list_)
    app.command()(doctor)
