"""What is asked of a study of sizes: read from text and the scenario, everything that is wrong at once."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Final

from market.units import WH_PER_KWH, is_exact
from wattswap.errors import Problem, UsageError, suggest
from wattswap.scenario.community import GOALS, POWER_W_PER_KWH, CommonBattery
from wattswap.scenario.load import Scenario
from wattswap.sizing.sizes import Asked

RANGE: Final = "0:60:10"
MOST_SIZES: Final = 200
LARGEST_KWH: Final = Decimal(1_000_000)
MOST_KW_PER_KWH: Final = 1_000
_NUMBER = r"(-?\d+(?:\.\d+)?)"
_STEPS = re.compile(rf"{_NUMBER}:{_NUMBER}:{_NUMBER}")


def asked_of(
    scenario: Scenario,
    sizes: str | Iterable[float] | None = None,
    power_per_kwh: float | None = None,
    goal: str | None = None,
    share_at: float | None = None,
) -> tuple[Asked, int | None]:
    """Read what is asked.

    Args:
        scenario: Its table [community.battery] says what the options do not.
        sizes: LOW:HIGH:STEP, or sizes separated by commas, or numbers; `RANGE` where None. [kWh]
        power_per_kwh: Power of each kWh; the scenario's where None, or 0.5. [kW]
        goal: One of GOALS; the scenario's where None.
        share_at: The size at which savings are shared. [kWh]

    Returns:
        What is asked, and the size at which savings are shared; None where the study chooses it. [Wh]

    Raises:
        UsageError: Everything that is wrong.
    """
    battery = scenario.community.battery or CommonBattery()
    problems: list[Problem] = []
    capacities = set(_sizes(sizes, problems))
    if battery.capacity_wh is not None:
        capacities.add(battery.capacity_wh)
    shared = None
    if share_at is not None:
        shared = _wh(Decimal(str(share_at)), "--share-at", problems)
        if shared == 0:
            problems.append(Problem("--share-at", "is no battery", "give a size above 0"))
        capacities.add(shared)
    if goal is not None and goal not in GOALS:
        problems.append(Problem("--goal", f"no goal {goal!r}", suggest(goal, GOALS)))
    power = _power(power_per_kwh, battery, problems)
    if problems:
        raise UsageError(*problems)
    return Asked(sorted(capacities), power, battery, goal or battery.run_for), shared


def _sizes(given: str | Iterable[float] | None, problems: list[Problem]) -> list[int]:
    """The sizes of a text or list. [Wh]"""
    if given is None:
        given = RANGE
    if not isinstance(given, str):
        texts = [str(one) for one in given]
    elif (steps := _STEPS.fullmatch(given.replace(" ", ""))) is not None:
        low, high, step = (Decimal(text) for text in steps.groups())
        if step <= 0 or high < low:
            problems.append(Problem("--range", f"{given} has no sizes", "write LOW:HIGH:STEP, as in 0:60:10"))
            return []
        count = int((high - low) / step) + 1
        texts = [str(low + step * i) for i in range(min(count, MOST_SIZES + 1))]
    else:
        texts = [text.strip() for text in given.split(",")]
    wrong = [text for text in texts if not re.fullmatch(rf"{_NUMBER}(?:e-?\d+)?", text)]
    if wrong or not texts:
        what = f"{wrong[0]!r} is no size" if wrong else "has no sizes"
        problems.append(Problem("--range", what, "write 0:60:10, or sizes in kWh as in 0,10,25"))
        return []
    if len(texts) > MOST_SIZES:
        problems.append(Problem("--range", f"has more than {MOST_SIZES} sizes", "give a larger step"))
        return []
    return [_wh(Decimal(text), "--range", problems) for text in texts]


def _wh(size: Decimal, where: str, problems: list[Problem]) -> int:
    """A size in whole Wh."""
    if not (size.is_finite() and 0 <= size <= LARGEST_KWH and is_exact(size, WH_PER_KWH)):
        problems.append(
            Problem(where, f"{size} kWh is no size", f"give whole Wh from 0 to {LARGEST_KWH} kWh")
        )
        return 0
    return int(size * WH_PER_KWH)


def _power(given: float | None, battery: CommonBattery, problems: list[Problem]) -> Fraction:
    """Power of each kWh of capacity. [W]"""
    if given is None:
        if battery.power_w is None or not battery.capacity_wh:
            return POWER_W_PER_KWH
        return Fraction(battery.power_w * WH_PER_KWH, battery.capacity_wh)
    kilowatt = Decimal(str(given))
    if not (kilowatt.is_finite() and 0 < kilowatt <= MOST_KW_PER_KWH):
        cure = f"give kW for each kWh, above 0 and at most {MOST_KW_PER_KWH}, as in 0.5"
        problems.append(Problem("--power-per-kwh", f"is {given:g}", cure))
        return POWER_W_PER_KWH
    return Fraction(kilowatt) * 1_000
