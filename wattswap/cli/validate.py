"""The command that checks a scenario."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from wattswap.cli.command import COMMANDS, Command
from wattswap.cli.options import (
    CaseOption,
    JsonOption,
    ModuleOption,
    ScenarioArgument,
    SetOption,
    load_scenario,
)

if TYPE_CHECKING:
    from wattswap.runs.prepare import Setup
    from wattswap.scenario.load import Scenario


def validate(
    scenario: ScenarioArgument,
    case: CaseOption = None,
    settings: SetOption = None,
    module: ModuleOption = None,
    json: JsonOption = False,
) -> None:
    """Check a scenario and its data without running it; all errors are listed with their lines."""
    from wattswap.cli.output import print_json
    from wattswap.cli.tables import ONE_LINE, wrapped
    from wattswap.scenario.basis import member_words, moment

    loaded = load_scenario(scenario, case, settings, module=module)
    setup = _prepared(loaded)
    resolved = loaded.resolved()
    notes = [*setup.meter.source.notes, *setup.data_provenance(setup.community())["bidding_notes"]]
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
    found = [
        f"{loaded.name} is valid: {facts['homes']} homes ({facts['batteries']} with a battery),"
        f" {setup.intervals} intervals of {setup.minutes} min from {first}, {setup.mechanism.name};"
        f" {facts['history_days']:.1f} days of history for the forecasts.",
        *([f"  left out for missing readings: {', '.join(setup.dropped_homes)}"] * bool(setup.dropped_homes)),
        *(f"  {name} is a member {words}" for name, words in member_words(resolved).items()),
        *(f"  note: {text}" for text in notes),
    ]
    for line in found:
        print(wrapped(line, 4, ONE_LINE))


def _prepared(loaded: Scenario) -> Setup:
    """A scenario with its data; each other case of its file is tried on its own data too.

    Raises:
        WattswapError, DataError: What is wrong with the scenario, where its other cases are sound.
        InvalidScenario: What is wrong with other cases, and with the scenario.
    """
    from wattswap.errors import InvalidScenario, is_expected, problems_of
    from wattswap.runs.prepare import prepare
    from wattswap.scenario.load import other_cases

    setups, errors = [], {}
    for name, scenario in {"": loaded, **other_cases(loaded)}.items():
        try:
            battery = scenario.community.battery
            undecided = battery is not None and battery.capacity_wh is None
            setups.append(prepare(scenario.without_common_battery() if undecided else scenario))
        except Exception as error:
            if not is_expected(error):
                raise
            errors[name] = error
    if list(errors) == [""]:
        raise errors[""]
    problems = {
        problem if problem.where else replace(problem, where=f"{loaded.source.file}: case.{name}".rstrip("."))
        for name, error in errors.items()
        for problem in problems_of(error)
    }
    if problems:
        raise InvalidScenario(*sorted(problems, key=lambda problem: (problem.line or 0, str(problem))))
    return setups[0]


COMMANDS.register(Command("validate", validate, 3))
