"""How evenly the gain is spread, and who loses."""

from __future__ import annotations

from typing import Any

from wattswap.report import figures, words
from wattswap.report.page import Section, figure, paragraph, table
from wattswap.report.section import section
from wattswap.report.story import Story
from wattswap.report.words import DASH, number
from wattswap.runs.shown import adding_up


@section("fairness", 70)
def fairness(story: Story) -> Section:
    """How evenly the gain is spread, and who loses."""
    import pandas as pd

    why = "A market that saves much on the whole may still leave some homes worse off."
    shown = story.shown
    rows: dict[str, list[Any]] = {}
    sentences: list[str] = []
    for o in shown:
        savings = o.bills["saving"]
        cents = dict(zip(map(str, savings.index), adding_up(savings.tolist()), strict=True))
        losers = savings[savings < -5e-10]
        gini, jain = o.value("gini_saving"), o.value("jain_saving")
        rows[o.label] = [gini, jain, len(losers), (worst := str(savings.idxmin())), cents[worst]]
        if len(shown) <= 3 or len(losers):
            sentences += [f"{o.label}: {words.worst_off(o, story.currency)}"]
        if len(losers) < 2:
            continue
        named = [
            f"{home} by {words.amount(-cents[str(home)], story.currency, value)}"
            for home, value in losers.nsmallest(10).items()
        ]
        also = f" and {len(losers) - 10} more" if len(losers) > 10 else ""
        sentences += [f"{o.label} leaves worse off: {', '.join(named)}{also}."]
    losing = "homes worse off" if len(story.seeds) < 2 else "homes worse off by their mean bill"
    heads = ["Gini of savings", "Jain of savings", losing, "worst-off home", f"its saving, {story.currency}"]
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=heads)
    frame.index.name = "mechanism"
    html = {(i, 4): f'<td class="number">{number(row[4])}</td>' for i, row in enumerate(rows.values())}
    body = table("Gini: 0 when all homes save the same. Jain: 1 when all do.", frame, html)
    if any(row[0] is None or row[0] != row[0] for row in rows.values()):
        body += paragraph(
            f"{DASH} means that an index is undefined: both need savings of at least 0, not all 0.", "note"
        )
    body += "".join(paragraph(s) for s in sentences)
    drawn = {o.label: o.bills["saving"] for o in shown}
    data = pd.DataFrame(drawn)
    data.index.name = "home"
    if not data.to_numpy().any():
        body += paragraph("No home saves or loses anything: there is nothing to draw.", "note")
        return Section("fairness", "Fairness", why, body, {})
    caption = f"Saving of each home in {story.currency}, from the least to the most; below 0 is a loss."
    body += figure("savings", f"Points of sorted savings. {' '.join(sentences)}", caption, data)
    return Section(
        "fairness", "Fairness", why, body, {"savings": figures.savings_figure(drawn, story.currency)}
    )
