"""The command that checks a scenario."""

from __future__ import annotations

from wattswap.cli.command import COMMANDS, Command
from wattswap.cli.options import (
    CaseOption,
    JsonOption,
    ModuleOption,
    ScenarioArgument,
    SetOption,
    load_scenario,
)


def validate(
    scenario: ScenarioArgument,
    case: CaseOption = None,
    settings: SetOption = None,
    module: ModuleOption = None,
    json: JsonOption = False,
) -> None:
    """Check a scenario and its data without running it; all errors are listed with their lines."""
    from wattswap.cli.output import print_json
    from wattswap.runs.prepare import prepare
    from wattswap.scenario.basis import member_words, moment

    loaded = load_scenario(scenario, case, settings, module=module)
    setup = prepare(loaded)
    resolved = loaded.resolved()
    notes = [*setup.meter.source.notes, *setup.community().notes()]
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
        "members": resolved["homes"].get("members", {}),
        "notes": notes,
    }
    if json:
        print_json(facts)
        return
    first = f"{moment(setup.interval(0).start.isoformat(), setup.zone)} ({setup.zone})"
    print(
        f"{loaded.name} is valid: {facts['homes']} homes ({facts['batteries']} with a battery),"
        f" {setup.intervals} intervals of {setup.minutes} min from {first}, {setup.mechanism.name};"
        f" {facts['history_days']:.1f} days of history for the forecasts."
    )
    if setup.dropped_homes:
        print(f"  left out for missing readings: {', '.join(setup.dropped_homes)}")
    for name, words in member_words(resolved).items():
        print(f"  {name} is a member {words}")
    for text in notes:
        print(f"  note: {text}")


COMMANDS.register(Command("validate", validate, 3))
