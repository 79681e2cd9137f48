"""Intervals that mean more than the draw: other weeks, or other homes, like those of a comparison."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from math import sqrt
from statistics import NormalDist, stdev
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np

from market.metrics.table import METRICS, Result
from market.settlement.accounts import MONEY_COLUMNS
from market.units import FloatArray, IntArray
from wattswap.comparison.statistics import CONFIDENCE, Difference, student_t
from wattswap.errors import UsageError, suggest

Kind = Literal["weeks", "homes"]

DAYS_OF_WEEK = 7
MIN_WEEKS = 5
"""Four weeks all lie on one side of the true mean once in eight times, so no interval within them holds 95 %."""
MIN_HOMES = 10
"""Of six homes an interval held the truth in 83 % of simulated neighbourhoods only."""
DRAWS_OF_WEEKS = 2_000
DRAWS_OF_HOMES = 20
"""New markets for each cell, unless --resample homes:N says otherwise."""
MIN_DRAWS_OF_HOMES, MAX_DRAWS_OF_HOMES = 10, 1_000
SEED = 20_250_101
"""Of the weeks that are drawn: the same for every figure, so that differences are paired."""
WEEKLY = (
    "cost_with_market",
    "saving",
    "saving_by_mechanism",
    "saving_by_imbalance_rule",
    "market_operator_income",
    "traded_kwh",
    "local_kwh",
    "metered_import_kwh",
    "settled_with_retailer_import_kwh",
    "self_sufficiency",
    "peak_import_kw",
    "welfare",
)
"""Metrics that the columns of a week's intervals give."""


@dataclass(frozen=True, slots=True)
class Resample:
    """What --resample asks for.

    Args:
        kind: Of what other draws are taken.
        draws: Number of new markets for each cell, where homes are drawn.
    """

    kind: Kind
    draws: int = DRAWS_OF_HOMES

    @property
    def words(self) -> str:
        """What an interval covers."""
        return "weeks like these" if self.kind == "weeks" else f"homes like these, {self.draws} draws of them"


def read_resample(text: str | None) -> Resample | None:
    """Read weeks, homes or homes:NUMBER.

    Raises:
        UsageError: It is none of these.
    """
    if text is None:
        return None
    kind, colon, number = text.partition(":")
    if kind == "weeks" and not colon:
        return Resample("weeks")
    if kind == "homes" and (not colon or re.fullmatch(r"\d{1,6}", number)):
        draws = int(number) if colon else DRAWS_OF_HOMES
        if MIN_DRAWS_OF_HOMES <= draws <= MAX_DRAWS_OF_HOMES:
            return Resample("homes", draws)
        cure = f"use {MIN_DRAWS_OF_HOMES} to {MAX_DRAWS_OF_HOMES}; each is a new market for every cell"
        raise UsageError.of("--resample", f"{draws} draws of homes", cure)
    cure = suggest(text, ("weeks", "homes")) or "write weeks, homes or homes:50"
    raise UsageError.of("--resample", f"{text!r} is not what can be drawn again", cure)


def whole_weeks(start_s: IntArray, zone: str) -> list[slice]:
    """The intervals of each whole week of seven local days, counted from the first local midnight.

    Args:
        start_s: Start of each interval. [s since 1970 UTC]
        zone: Time zone of the local clock.
    """
    if not len(start_s):
        return []
    clock = ZoneInfo(zone)
    step_s = int(start_s[1] - start_s[0]) if len(start_s) > 1 else 0
    first = datetime.fromtimestamp(int(start_s[0]), clock)
    midnight = datetime(first.year, first.month, first.day, tzinfo=clock)
    if midnight < first:
        midnight += timedelta(days=1)
    found: list[slice] = []
    while True:
        following = midnight + timedelta(days=DAYS_OF_WEEK)  # on the local clock
        if following.timestamp() > int(start_s[-1]) + step_s:
            return found
        low, high = np.searchsorted(start_s, [midnight.timestamp(), following.timestamp()]).tolist()
        found.append(slice(low, high))
        midnight = following


def refuse_few(weeks: int) -> None:
    """Refuse an interval over so few weeks that it could not hold what it promises.

    Raises:
        UsageError: With their number.
    """
    if weeks < MIN_WEEKS:
        what = f"the run has {weeks} whole weeks, counted from its first local midnight"
        cure = f"run at least {MIN_WEEKS}, such as time.days = {DAYS_OF_WEEK * MIN_WEEKS}"
        raise UsageError.of("--resample weeks", what, cure)


def figures_of(columns: Mapping[str, IntArray], facts: Mapping[str, int]) -> dict[str, float | None]:
    """The metrics of `WEEKLY` of some intervals, from their columns; all homes together are one account.

    Standing and peak charges, which count days and months, are not in them.
    """
    nothing = np.zeros(1, dtype=np.int64)
    sums = {name: np.array([columns[f"{name}_nano"].sum()]) for name in ("members", "baseline", "netting")}
    bills = dict.fromkeys(MONEY_COLUMNS, nothing) | {
        MONEY_COLUMNS[0]: sums["members"],
        "baseline_nano": sums["baseline"],
        "netting_nano": sums["netting"],
    }
    kept = {"market_operator_nano": int(columns["operator_surplus_nano"].sum())}
    result = Result(dict(columns), bills, {**facts, **kept})
    return {name: METRICS.get(name).of(result) for name in WEEKLY}


@lru_cache(maxsize=4)
def _drawn(n: int) -> IntArray:
    """Which of n blocks each draw holds, shape (draws, n)."""
    return np.random.default_rng(SEED).integers(n, size=(DRAWS_OF_WEEKS, n))


def block_bootstrap(values: Sequence[float]) -> Difference:
    """Mean of blocks that are alike, with its 95 % interval from drawing as many of them again, with replacement.

    The ends are those percentiles of the drawn means that allow for the number of blocks: a percentile interval of n
    values is narrower than Student's by sqrt((n - 1) / n) and by the normal distribution in place of Student's.

    Args:
        values: One a block, at least `MIN_WEEKS`.

    Source: Kuensch, Annals of Statistics 17 (1989), blocks; Hesterberg, The American Statistician 69 (2015), section
    5.3, expanded percentiles.
    """
    n = len(values)
    given: FloatArray = np.asarray(values, dtype=np.float64)
    means = given[_drawn(n)].mean(axis=1)
    tail = NormalDist().cdf(-sqrt(n / (n - 1)) * student_t(n - 1, CONFIDENCE))
    low, high = np.quantile(means, [tail, 1 - tail]).tolist()
    return Difference(float(given.mean()), low, high, n)


def spread_of_draws(estimate: float, draws: Sequence[float], homes: int) -> Difference:
    """A figure of some homes, with its 95 % interval from the same figure of homes drawn from them with replacement.

    Student's interval, around the figure itself, with the standard deviation of the draws. That is smaller than the
    figure's own by sqrt((H - 1) / H) for a sum over homes and by (H - 1) / H for what pairs of homes exchange, as two
    copies of one home trade nothing with each other; the latter is made up for.

    Args:
        estimate: Of the homes themselves.
        draws: Of the homes of each draw.
        homes: Their number, H.

    Source: Efron, Tibshirani, An Introduction to the Bootstrap (1993), chapters 6 and 12.
    """
    n = len(draws)
    half = student_t(min(n, homes) - 1, CONFIDENCE) * stdev(draws) * homes / (homes - 1)
    return Difference(estimate, estimate - half, estimate + half, n)
