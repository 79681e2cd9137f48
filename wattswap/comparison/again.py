"""What an interval over other homes runs: as many homes drawn again, each draw a market of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wattswap.comparison.plan import Plan, Point, make_plan
from wattswap.comparison.resample import MIN_HOMES, Resample, refuse_few, whole_weeks
from wattswap.errors import UsageError
from wattswap.runs.prepare import prepare
from wattswap.scenario.load import changed

SEED_KEY = "homes.population_seed"
DRAWN = ("homes.sample_homes", "homes.sample_with_replacement", SEED_KEY)
"""The keys that a draw sets."""


def drawn_plan(plan: Plan, resample: Resample | None) -> Plan | None:
    """The plan of all draws of the homes of a comparison; None where nothing has to run for its intervals.

    Raises:
        UsageError: There are too few weeks or homes to draw from, or the plan varies what the draws vary.
        InvalidScenario: Homes are named one by one, which a home that is drawn twice cannot be.
    """
    if resample is None:
        return None
    if resample.kind == "weeks":
        setup = prepare(plan.points[0].scenario)
        start_s = setup.start_s + np.arange(setup.intervals, dtype=np.int64) * setup.minutes * 60
        refuse_few(len(whole_weeks(start_s, setup.zone)))
        return None
    if SEED_KEY in plan.points[0].settings:
        raise UsageError.of(
            "--resample homes", f"draws homes by {SEED_KEY} itself", f"do not vary {SEED_KEY}"
        )
    return make_plan(
        [draw for point in plan.points for draw in _draws(point, resample.draws)],
        plan.choices,
        plan.seeds,
        plan.modules,
    )


def _draws(point: Point, count: int) -> Sequence[Point]:
    homes = len(prepare(point.scenario).roster)
    if homes < MIN_HOMES:
        cure = f"take {MIN_HOMES} or more, or draw weeks"
        raise UsageError.of("--resample homes", f"{homes} homes are too few to draw from", cure)
    found = []
    for seed in range(1, count + 1):
        settings = dict(zip(DRAWN, (str(homes), "true", str(seed)), strict=True))
        texts = [f"{key}={value}" for key, value in settings.items()]
        scenario = changed(point.scenario, texts, dict.fromkeys(texts, "--resample homes"))
        settings = {**point.settings, **settings}
        name = " ".join(f"{key}={value}" for key, value in settings.items())
        found.append(Point(name, settings, scenario))
    return found
