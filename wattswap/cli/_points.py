"""Text output of a sweep: one row a point and mechanism, with low and high of its figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wattswap.cli.output import Form
from wattswap.cli.tables import Column, cell, print_columns, wrapped
from wattswap.comparison.plan import Plan
from wattswap.comparison.points import Figures
from wattswap.comparison.statistics import Difference

if TYPE_CHECKING:
    from wattswap.comparison.result import ComparisonFolder

SHOWN = (
    ("saving_by_mechanism", "saved by mechanism", 2),
    ("traded_kwh", "agreed ahead kWh", 1),
    ("self_sufficiency", "self-suff.", 3),
    ("peak_import_kw", "peak kW", 1),
)
"""Metric, head and decimals; the first with its interval."""
COST = "cost_with_market"


def runs_ahead(plan: Plan, again: Plan | None) -> str:
    """How many runs a sweep takes, before they start."""

    def counted(one: Plan, what: str) -> str:
        numbers = (len(one.points), what), (len(one.choices), "mechanisms"), (len(one.seeds), "seeds")
        return " x ".join(f"{n} {word}" for n, word in numbers if n > 1)

    draws = (
        ""
        if again is None
        else f", and {len(again.cells)} more for the intervals: {counted(again, 'draws of homes')}"
    )
    return (
        f"{len(plan.cells)} runs: {counted(plan, 'points')}{draws}; what is there already is not run again."
    )


def print_points(figures: Figures, form: Form, against: str | None) -> None:
    """Print one row a point and mechanism: what all pay, how much less that is than under one of them, and more.

    Args:
        figures: Of the comparison.
        form: Whether all columns are printed.
        against: The mechanism that the bills are held against; no market where intervals are over weeks or homes.
    """
    result, other = figures.comparison, against or (figures.resample and figures.comparison.reference)
    places = [
        (one, label) for one in result.about["points"] for label in result.mechanisms if label != result.bound
    ]
    keys = [
        Column(key, [str(one["settings"][key]) for one, _ in places], right=False) for key in result.varied
    ]
    columns = [*keys, Column("mechanism", [label for _, label in places], right=False)]
    bills = [figures.mean(COST, label, one["point"]) for one, label in places]
    columns.append(Column("all bills", [cell(one.mean, 2) for one in bills]))
    if other:
        less = [figures.difference(COST, other, label, one["point"]) for one, label in places]
        shown = [label != other for _, label in places]
        columns += _with_ends(less, f"less than {other}", "less", shown)
    for i, (metric, head, decimals) in enumerate(SHOWN):
        found = [figures.mean(metric, label, one["point"]) for one, label in places]
        if i == 0:
            columns += _with_ends(found, head, "saved", [label != result.reference for _, label in places])
        else:
            columns.append(Column(head, [cell(one.mean, decimals) for one in found]))
    words = [*["at every point"] * (len(result.points) > 1), *["a week"] * figures.per_week]
    title = ", ".join([*words, f"money in {result.currency}"])
    print()
    print_columns(f"{title[:1].upper()}{title[1:]}", columns[0], columns[1:], wide=form == "wide")
    _print_what_intervals_mean(figures)
    if len(result.points) > 1:
        print(wrapped(f"Tables  wattswap show {result.path}"))
        print(f"Report  wattswap report {result.path}")


def _with_ends(found: list[Difference], head: str, short: str, shown: list[bool]) -> list[Column]:
    """A figure, and its low and high where any row has them."""
    columns = [Column(head, [cell(one.mean, 2) if on else "" for one, on in zip(found, shown, strict=True)])]
    for name in ("low", "high"):
        ends = [cell(getattr(one, name), 2) if on else "" for one, on in zip(found, shown, strict=True)]
        columns += [Column(f"{short}, {name}", ends)] if any(ends) else []
    return columns


def _print_what_intervals_mean(figures: Figures) -> None:
    """Say what low and high are, where there are any."""
    result: ComparisonFolder = figures.comparison
    if figures.resample is not None:
        over = figures.resample.words
        apart = "; standing and peak charges are not in figures of a week" if figures.per_week else ""
        print(wrapped(f"low and high are the ends of the 95 % interval over {over}{apart}."))
    elif len(result.seeds) > 1:
        what = "low and high are the ends of the 95 % interval over the seeds: other random draws of the same homes"
        print(wrapped(f"{what} and weeks."))
    if figures.drawn is not None:
        print(
            wrapped("Each draw of homes is a market of its own, with homes that may be in it several times.")
        )
        print(f"Draws   {figures.drawn.path}")
