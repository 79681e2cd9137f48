"""Where homes of a run cannot have a battery in common, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agents.devices.battery import MAX_CAPACITY_WH
from agents.forecast import FORECASTERS, PERFECT_FORESIGHT
from market.mechanism import MECHANISMS
from wattswap.scenario.community import MOST_SHARED
from wattswap.scenario.time import Faults

if TYPE_CHECKING:
    from wattswap.scenario.load import Scenario


def refuse_common_battery(scenario: Scenario, homes: int, devices: Mapping[str, Sequence[Any]]) -> None:
    """Refuse a battery in common where a run cannot have it.

    Args:
        scenario: Which may have one.
        homes: Homes in the run.
        devices: By the name of a device, one spec per home or None.

    Raises:
        InvalidScenario: All of it, with what to do.
    """
    battery, table = scenario.community.battery, "community.battery"
    if battery is None:
        return
    faults: Faults = []
    if battery.capacity_wh is None:
        size = "give its size in kWh, or find one by `wattswap size battery`"
        faults.append((f"{table}.capacity_kwh", "is missing, and a run needs it", size))
    elif battery.capacity_wh > MAX_CAPACITY_WH:
        most = f"give at most {MAX_CAPACITY_WH / 1_000:g}"
        faults.append((f"{table}.capacity_kwh", "is too large to be simulated", most))
    without = "remove [community.battery]"
    for what, cure in _what_has_no_place_for_it(scenario, devices):
        faults.append((table, what, f"{cure}, or {without}"))
    if battery.shares != "price" and homes > MOST_SHARED:
        what = f"is {battery.shares}, which needs the value of every group, of at most {MOST_SHARED} homes"
        faults.append((f"{table}.shares", what, f'these are {homes}: write "price"'))
    if battery.shares != "price" and battery.run_for == "peak":
        what = f"is {battery.shares}, and a battery that is run for the peak need not save what a group could claim"
        faults.append((f"{table}.shares", what, 'write "price", or run it for welfare or self_consumption'))
    scenario.refuse(faults)


def _what_has_no_place_for_it(
    scenario: Scenario, devices: Mapping[str, Sequence[Any]]
) -> list[tuple[str, str]]:
    """What a scenario has beside a battery in common that does not know it, and what to do."""
    market, homes = scenario.market, scenario.homes
    mechanism = MECHANISMS.get(market.mechanism)
    found = []
    if mechanism.scope == "horizon":
        what = f"{market.mechanism} clears a horizon, to which homes submit their own batteries and none in common"
        found.append((what, "choose a mechanism of one interval"))
    if scenario.grid is not None:
        found.append(("is at no node of the grid", "remove [grid]"))
    if scenario.zones is not None:
        found.append(("is in none of the zones", "remove [zones]"))
    if market.rounds > 1:
        found.append(("orders once, and market.rounds lets homes order again", "remove market.rounds"))
    if homes.tariffs:
        what = "has one price outside, and homes.tariffs gives homes several retailers"
        found.append((what, "remove homes.tariffs"))
    moves = any(any(specs) for specs in devices.values())
    if FORECASTERS.get(homes.forecast) is PERFECT_FORESIGHT and (scenario.terms or moves):
        what = (
            "cannot foresee what devices do, or who joins or leaves, and homes.forecast is perfect_foresight"
        )
        found.append((what, "choose a forecaster"))
    return found
