"""The story of a comparison: every mechanism on the same homes, mean over seeds, against no market and the optimum."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from market.units import MICRO_PER_UNIT, WH_PER_KWH
from wattswap.comparison.cells import cleared_at
from wattswap.comparison.plan import CellKey, name_of
from wattswap.comparison.result import ComparisonFolder
from wattswap.errors import UsageError, suggest
from wattswap.report.of_run import orders_frame, promises_of, provenance, row_of
from wattswap.report.story import Curve, Observed, Outcome, Spread, Story, Sweep, energy_flows
from wattswap.report.words import merit, needs_money

if TYPE_CHECKING:
    import pandas as pd

SWEPT = ("saving", "traded_kwh", "price_per_kwh", "self_sufficiency", "homes_worse_off")
"""Metrics that a report draws over a sweep."""


def story_of_comparison(
    comparison: ComparisonFolder, point: str | None = None, against: str | None = None
) -> Story:
    """Read a comparison; of a sweep one point in full, by default the first.

    Args:
        comparison: The comparison.
        point: Name of the point.
        against: The mechanism with which all others are compared, saving by saving; none by default.

    Raises:
        UsageError: It has no finished cells to compare, or no such point.
        VerificationFailed: A file of it is damaged.
    """
    about, point = comparison.about, point or comparison.points[0]
    labels = list(dict.fromkeys(key.mechanism for key in comparison.cell_keys(point=point)))
    if comparison.reference not in labels or len(labels) < 2:
        cure = "call the same `wattswap compare` again, which continues"
        raise UsageError.of(str(comparison.path), "has no finished cells to compare", cure)
    cells = comparison.cells()
    cells = cells[(cells["point"] == point) & cells["seed"].isin(comparison.seeds)]
    best = cells.loc[cells["mechanism"] == comparison.bound, "traded_kwh"].mean()
    outcomes = tuple(
        _outcome(comparison, label, point, cells[cells["mechanism"] == label], best) for label in labels
    )
    bound = comparison.bound if comparison.bound in labels else None
    focus = _focus(outcomes, comparison.reference, bound)
    seeds = tuple(comparison.seeds)
    time = outcomes[0].intervals.index  # the points of a sweep may differ in time and homes
    scenario = about["scenario"]
    if comparison.varied:
        scenario = about["scenarios"][name_of(CellKey(point, focus, seeds[0]))]["resolved"]
    return Story(
        kind="comparison",
        title=comparison.title,
        currency=comparison.currency,
        homes=len(outcomes[0].bills),
        start=time[0].tz_convert("UTC").strftime("%Y-%m-%dT%H:%MZ"),
        intervals=len(time),
        interval_minutes=_minutes(time, int(about["interval_minutes"])),
        seeds=seeds,
        outcomes=outcomes,
        reference=comparison.reference,
        bound=bound,
        focus=focus,
        curve=lambda start: _curve(comparison, focus, point, seeds[0], start),
        flows=_flows(next(o for o in outcomes if o.label == focus)),
        seconds=float(about["wall_s"]),
        chain=None,
        provenance=provenance(about) | {"folder": comparison.path.name},
        repeat=str(about["command"]),
        scenario=scenario,
        notes=_notes(comparison, point),
        metered_pv=bool(about["data"].get("metered_pv", True)),
        history=tuple(str(note) for note in about["data"].get("bidding_notes", ())),
        point=point if comparison.varied else "",
        sweep=sweep_of(comparison, SWEPT),
        effects=None if against is None else comparison.effects(against, point=point),
        rationing={label: comparison.rationing(label, point) for label in labels},
    )


def _minutes(time: pd.Index[Any], given: int) -> int:
    return int((time[1] - time[0]).total_seconds()) // 60 if len(time) > 1 else given


def _outcome(
    comparison: ComparisonFolder, label: str, point: str, cells: pd.DataFrame, best_kwh: float
) -> Outcome:
    names = [name for name in cells.columns if name not in ("point", "mechanism", "seed")]
    numbers = cells[names].select_dtypes("number")
    figures = {str(name): Spread.of(numbers[name].tolist()) for name in numbers.columns}
    frames = [comparison.intervals(label, seed, point).astype(float) for seed in comparison.seeds]
    kept = [frame["operator_surplus"].to_numpy() for frame in frames]
    traded = figures["traded_kwh"].mean
    observed = Observed(
        deficit_intervals=sum(int((surplus < -5e-10).sum()) for surplus in kept),
        surplus_intervals=sum(int((surplus > 5e-10).sum()) for surplus in kept),
        worse_than_limit=sum(int(frame["worse_orders"].sum()) for frame in frames),
        efficiency=figures["allocative_efficiency"].mean,
        volume_share=traded / best_kwh if traded is not None and best_kwh > 0 else None,
    )
    name = label.partition(":")[0]
    bills = comparison.bills(label, point=point)
    return Outcome(
        label, figures, _mean(frames).tz_convert(comparison.zone), bills, observed, promises_of(name)
    )


def _mean(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Mean of each interval over the seeds; a price counts by the energy traded at it."""
    import pandas as pd

    joined = pd.concat(frames)
    out = joined.groupby(level=0).mean()
    value = (joined["price_per_kwh"] * joined["traded_kwh"]).groupby(level=0).sum()
    traded = joined["traded_kwh"].where(joined["price_per_kwh"].notna()).groupby(level=0).sum()
    out["price_per_kwh"] = (value / traded).where(traded > 0)
    return out


def _focus(outcomes: tuple[Outcome, ...], reference: str, bound: str | None) -> str:
    """The mechanism that saves the homes most, if possible without money from its operator.

    Of equal ones, the one with fewer losers, and then the first.
    """
    rivals = [o for o in outcomes if o.label not in (reference, bound)]
    others = [o for o in outcomes if o.label != reference]
    entrants = [o for o in rivals if not needs_money(o)] or rivals or others
    return max(entrants, key=lambda o: (round(merit(o), 2), -(o.value("homes_worse_off") or 0.0))).label


def _curve(comparison: ComparisonFolder, label: str, point: str, seed: int, start: datetime | None) -> Curve:
    """The book of one interval and its clearing, recomputed from the scenario."""
    import pandas as pd

    intervals = comparison.intervals(label, seed, point)
    starts = pd.DatetimeIndex(intervals.index)
    row = row_of(starts, start, intervals["traded_kwh"], intervals["orders"])
    setup = comparison.setup(label, seed, point)
    book, clearing = cleared_at(setup, row)
    rows = pd.DataFrame(
        {
            "household": np.array([*setup.roster, *setup.accounts])[book.participant],
            "side": book.side,
            "energy_wh": book.energy_wh,
            "limit_micro_per_kwh": book.limit_micro_per_kwh,
            "accepted_wh": clearing.accepted_wh,
            "price_micro_per_kwh": clearing.price_micro_per_kwh,
        }
    )
    price = clearing.average_price_micro_per_kwh(book)
    return Curve(
        starts[row].to_pydatetime().astimezone(UTC),
        orders_frame(rows),
        None if price is None else price / MICRO_PER_UNIT,
        clearing.traded_wh(book) / WH_PER_KWH,
    )


def _flows(outcome: Outcome) -> pd.DataFrame:
    known = outcome.value("self_sufficiency") is not None  # what is behind the meters is in the data
    names = ("import", "export", "retail_import", "retail_export", "load", "pv")
    sums: dict[str, float | None] = {f"{n}_kwh": float(outcome.intervals[f"{n}_kwh"].sum()) for n in names}
    sums |= {} if known else {"load_kwh": None, "pv_kwh": None}
    return energy_flows(sums, in_common=outcome.value("battery_gain") is not None)


def _notes(comparison: ComparisonFolder, point: str) -> tuple[str, ...]:
    about = comparison.about
    notes = [str(note) for note in about["data"].get("notes", ())]
    if about["missing"]:
        notes.append(f"{len(about['missing'])} cells are not finished and left out")
    if len(comparison.seeds) < len(about["seeds"]):
        seeds = ", ".join(map(str, comparison.seeds))
        notes.append(f"all figures are over the seeds that every mechanism has: {seeds}")
    if len(comparison.points) > 1:
        notes.append(f"of the {len(comparison.points)} points of the sweep this is {point}")
    return tuple(notes)


def sweep_of(comparison: ComparisonFolder, metrics: Sequence[str]) -> Sweep | None:
    """Means of some metrics at every point; None where there is one point only.

    Raises:
        UsageError: There is no such metric.
    """
    if len(comparison.points) < 2:
        return None
    cells = comparison.cells()
    known = [name for name in cells.columns[3:] if name not in comparison.varied]
    for metric in metrics:
        if metric not in known:
            raise UsageError.of("metric", f"no metric {metric!r}", suggest(metric, known))
    cells = cells[cells["seed"].isin(comparison.seeds) & (cells["mechanism"] != comparison.reference)]
    frames = {metric: _means(cells, metric, comparison.varied) for metric in metrics}
    return Sweep(
        tuple(comparison.varied),
        tuple(comparison.points),
        frames,
        comparison.bound,
        len(comparison.seeds),
    )


def _means(cells: pd.DataFrame, metric: str, keys: list[str]) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for (_, mechanism), group in cells.groupby(["point", "mechanism"], sort=False):
        spread = Spread.of(group[metric].tolist())
        settings = {key: group[key].iloc[0] for key in keys}
        rows.append(
            {**settings, "mechanism": mechanism, "mean": spread.mean, "low": spread.low, "high": spread.high}
        )
    frame = pd.DataFrame(rows)
    return frame.astype(dict.fromkeys(("mean", "low", "high"), float))
