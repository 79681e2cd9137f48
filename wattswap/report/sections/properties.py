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
    """What was observed and what is promised, one row a mechanism and one column a property."""
    import pandas as pd

    shown = [o for o in story.outcomes if o.label != story.reference or len(story.outcomes) == 1]
    rows = {o.label: _properties(o) for o in shown}
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=list(_PROPERTIES))
    frame.index.name = "mechanism"
    html = {(i, j): _cell(*pair) for i, pairs in enumerate(rows.values()) for j, pair in enumerate(pairs)}
    note = "Efficiency and volume are held against the largest welfare at the limits that were stated, without a grid."
    return table("Observed over all intervals, below it what is promised.", frame, html) + paragraph(
        note, "note"
    )


_PROPERTIES = ("budget", "nobody trades worse than the limit", "efficiency", "volume")


def _cell(promised: str, observed: str) -> str:
    css = "bad" if observed.startswith("broken") else "long"
    return f'<td class="{css}">{escape(observed)}<small>promised: {escape(promised)}</small></td>'


def _properties(o: Outcome) -> list[tuple[str, str]]:
    """What is promised and what was observed, for each property."""
    p, seen = o.promises, o.observed
    strong = p is not None and p.budget_balance == "strong"
    rational = p is not None and p.individually_rational
    no_deficit = p is not None and p.budget_balance in ("strong", "weak")
    return [
        (
            "not registered" if p is None else _BUDGET[p.budget_balance],
            _budget(seen.deficit_intervals, seen.surplus_intervals, strong, no_deficit),
        ),
        (_yes(None if p is None else rational), _rational(seen.worse_than_limit, rational)),
        (
            "not registered" if p is None else "the optimum" if p.efficient else "nothing",
            _efficiency(seen.efficiency, p is not None and p.efficient),
        ),
        ("nothing", _share(seen.volume_share, "of the volume of the optimum")),
    ]


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
