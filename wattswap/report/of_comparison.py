"""The story of a comparison: every mechanism on the same homes, mean over seeds, against no market and the optimum."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from market.units import MICRO_PER_UNIT, WH_PER_KWH
from wattswap.errors import UsageError
from wattswap.explorer import stamp
from wattswap.report.of_run import orders_frame, promises_of, provenance
from wattswap.report.story import Curve, Observed, Outcome, Spread, Story, energy_flows
from wattswap.report.words import needs_money

if TYPE_CHECKING:
    import pandas as pd

    from wattswap.comparison import Comparison

BASE = "base"
KEYS = ("point", "mechanism", "seed")


def story_of_comparison(comparison: Comparison) -> Story:
    """Read a comparison; of a sweep, its first point.

    Raises:
        UsageError: No cell of it is finished.
    """
    about = comparison.about
    point = str(about["points"][0]["point"])
    cells = comparison.cells()
    cells = cells[cells["point"] == point]
    done = set(cells["mechanism"])
    labels = [label for label in comparison.mechanisms if label in done]
    outcomes = tuple(_outcome(comparison, label, cells[cells["mechanism"] == label]) for label in labels)
    if comparison.reference not in labels or len(labels) < 2:
        raise UsageError.of(
            "COMPARISON", "it has no finished cells to compare", "finish it with `wattswap compare`"
        )
    focus = _focus(outcomes, comparison.reference, comparison.bound)
    seeds = tuple(sorted(int(s) for s in cells["seed"].unique()))
    notes = [str(note) for note in (about.get("data") or {}).get("notes", ())]
    if about.get("missing"):
        notes.append(f"{len(about['missing'])} cells are not finished, and left out")
    if len(about["points"]) > 1:
        notes.append(f"of {len(about['points'])} points of the sweep this is {point}")
    return Story(
        kind="comparison",
        title=str(about["name"]),
        currency=comparison.currency,
        homes=int(about["homes"]),
        start=str(about["start"]),
        intervals=int(about["intervals"]),
        interval_minutes=int(about["interval_minutes"]),
        seeds=seeds,
        outcomes=outcomes,
        reference=comparison.reference,
        bound=comparison.bound if comparison.bound in labels else None,
        focus=focus,
        curve=lambda start: _curve(comparison, focus, seeds[0], start),
        flows=_flows(comparison, focus),
        seconds=None if about.get("wall_s") is None else float(about["wall_s"]),
        chain=None,
        provenance=provenance(about),
        repeat=_repeat(comparison, seeds),
        scenario=about.get("scenario") or {},
        notes=tuple(notes),
    )


def _outcome(comparison: Comparison, label: str, cells: pd.DataFrame) -> Outcome:
    figures = {
        str(name): Spread.of(cells[name].tolist())
        for name in cells.columns
        if name not in KEYS and cells[name].dtype.kind in "fiuO"
    }
    intervals = comparison.intervals(label)
    numeric = intervals.select_dtypes("number").astype(float)
    return Outcome(
        label,
        figures,
        numeric,
        comparison.bills(label),
        _observed(comparison, label, figures, numeric),
        promises_of(label.partition(":")[0]),
    )


def _observed(
    comparison: Comparison, label: str, figures: Mapping[str, Spread], intervals: pd.DataFrame
) -> Observed:
    """Properties of all seeds; limits were checked when each cell was cleared."""
    traded = figures.get("traded_kwh", Spread(None)).mean
    cells = comparison.cells()
    bound = (
        cells.loc[cells["mechanism"] == comparison.bound, "traded_kwh"].mean() if comparison.bound else None
    )
    surplus = intervals.get("operator_surplus")
    return Observed(
        deficit_intervals=None if surplus is None else int((surplus < -5e-10).sum()),
        surplus_intervals=None if surplus is None else int((surplus > 5e-10).sum()),
        efficiency=figures.get("allocative_efficiency", Spread(None)).mean,
        volume_share=float(traded / bound) if traded is not None and bound and bound == bound else None,
    )


def _focus(outcomes: tuple[Outcome, ...], reference: str, bound: str | None) -> str:
    """The mechanism that saves the homes most, if possible without money from its operator; the earlier of equals."""
    rivals = [o for o in outcomes if o.label not in (reference, bound)]
    entrants = (
        [o for o in rivals if not needs_money(o)] or rivals or [o for o in outcomes if o.label != reference]
    )
    return max(entrants, key=lambda o: o.value("saving") or 0.0).label


def _curve(comparison: Comparison, label: str, seed: int, start: datetime | None) -> Curve:
    """The book of one interval and what the mechanism made of it, worked out again from the scenario."""
    import numpy as np
    import pandas as pd

    intervals = comparison.intervals(label, seed)
    starts = pd.DatetimeIndex(intervals.index)
    if start is None:
        start = starts[int(intervals["traded_kwh"].argmax())].to_pydatetime()
    elif start not in starts:
        first, last, asked = (stamp(int(t.timestamp())) for t in (starts[0], starts[-1], start))
        what = f"no interval {asked} in this comparison"
        raise UsageError.of("--interval", what, f"it has {first} to {last}")
    book = comparison.book(start, label, seed)
    clearing = comparison.clearing(start, label, seed)
    homes = np.array([str(home) for home in comparison.bills(label).index])
    rows = pd.DataFrame(
        {
            "household": homes[book.participant],
            "side": book.side,
            "energy_wh": book.energy_wh,
            "limit_micro_per_kwh": book.limit_micro_per_kwh,
            "accepted_wh": clearing.accepted_wh,
            "price_micro_per_kwh": clearing.price_micro_per_kwh,
        }
    )
    price = clearing.average_price_micro_per_kwh(book)
    return Curve(
        start.astimezone(UTC),
        orders_frame(rows),
        None if price is None else price / MICRO_PER_UNIT,
        clearing.traded_wh(book) / WH_PER_KWH,
    )


def _flows(comparison: Comparison, label: str) -> pd.DataFrame:
    intervals, bills = comparison.intervals(label), comparison.bills(label)

    def total(frame: pd.DataFrame, name: str) -> float | None:
        known = name in frame and not frame[name].isna().any()
        return float(frame[name].sum()) if known else None

    return energy_flows(
        {
            "import_kwh": total(bills, "import_kwh"),
            "export_kwh": total(bills, "export_kwh"),
            "retail_import_kwh": total(intervals, "community_import_kwh"),
            "retail_export_kwh": total(intervals, "community_export_kwh"),
            "load_kwh": total(bills, "load_kwh"),
            "pv_kwh": total(bills, "pv_kwh"),
        }
    )


def _repeat(comparison: Comparison, seeds: tuple[int, ...]) -> str:
    asked: list[Any] = [m for m in comparison.mechanisms if m not in (comparison.reference, comparison.bound)]
    named = " ".join(f"-m {label}" for label in asked)
    return f"wattswap compare scenario.json {named} --seeds {len(seeds)}"
