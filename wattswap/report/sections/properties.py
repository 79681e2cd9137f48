"""Each mechanism against its promises."""

from __future__ import annotations

from html import escape

from wattswap.report.page import Section, paragraph, table
from wattswap.report.section import section
from wattswap.report.story import Outcome, Story
from wattswap.report.words import DASH, number


@section("properties", 90)
def properties(story: Story) -> Section:
    """Declared properties beside what was observed."""
    why = "A mechanism promises properties on paper; here is what was observed."
    return Section("properties", "Promises and what was observed", why, properties_table(story), {})


def properties_table(story: Story) -> str:
    """Promises next to what was observed, one row a mechanism and property."""
    import pandas as pd

    rows: list[tuple[str, str, str, str]] = []
    for o in story.outcomes:
        if o.label != story.reference or len(story.outcomes) == 1:
            rows += _properties(story, o)
    frame = pd.DataFrame([r[1:] for r in rows], columns=["property", "promised", "observed"])
    frame.index = pd.Index([r[0] for r in rows], name="mechanism")
    html = {
        (i, 2): f'<td class="bad">{escape(r[3])}</td>'
        for i, r in enumerate(rows)
        if r[3].startswith("broken")
    }
    note = "Efficiency and volume are held against the largest welfare at the limits that were stated, without a grid."
    return table("Observed over all intervals.", frame, html) + paragraph(note, "note")


def _properties(story: Story, o: Outcome) -> list[tuple[str, str, str, str]]:
    p, seen = o.promises, o.observed
    promised = {
        "budget": "not registered" if p is None else _BUDGET[p.budget_balance],
        "nobody trades worse than the limit": _yes(None if p is None else p.individually_rational),
        "efficiency": "not registered" if p is None else "the optimum" if p.efficient else "no promise",
        "volume": "no promise",
    }
    strong = p is not None and p.budget_balance == "strong"
    rational = p is not None and p.individually_rational
    no_deficit = p is not None and p.budget_balance in ("strong", "weak")
    observed = {
        "budget": _budget(seen.deficit_intervals, seen.surplus_intervals, strong, no_deficit),
        "nobody trades worse than the limit": _rational(seen.worse_than_limit, rational),
        "efficiency": _efficiency(seen.efficiency, p is not None and p.efficient),
        "volume": _share(seen.volume_share, "of the volume of the optimum"),
    }
    return [(o.label, name, promised[name], observed[name]) for name in promised]


_BUDGET = {
    "strong": "buyers pay what sellers get",
    "weak": "the operator never adds money",
    "deficit": "the operator may have to add money",
}


def _yes(promise: bool | None) -> str:
    return "not registered" if promise is None else "yes" if promise else "no"


def _budget(deficits: int | None, surpluses: int | None, strong: bool, no_deficit: bool) -> str:
    if deficits is None or surpluses is None:
        return f"{DASH} not observed"
    text = f"the operator added money in {deficits} and kept some in {surpluses} intervals"
    if (deficits and no_deficit) or (surpluses and strong):
        return f"broken: {text}"
    return "balanced in every interval" if not deficits and not surpluses else text


def _rational(count: int | None, promised: bool) -> str:
    if count is None:
        return f"{DASH} not observed"
    if count:
        return f"{'broken: ' if promised else ''}{count} trades worse than the limit, fees included"
    return "held by every trade, fees included"


def _efficiency(share: float | None, promised: bool) -> str:
    text = _share(share, "of the optimum")
    return f"broken: {text}" if share is not None and promised and share < 1 - 1e-9 else text


def _share(share: float | None, of: str) -> str:
    return f"{DASH} no trade was possible" if share is None else f"{number(100 * share, 2)} % {of}"
