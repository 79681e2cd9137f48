"""The section of a sweep: metrics against the varied keys, one line a mechanism."""

from __future__ import annotations

from html import escape as escape_html
from math import ceil, isfinite
from typing import TYPE_CHECKING, Any

from market.metrics.table import Metric
from wattswap.report.drawing import GREY, colour_of, dash_of, escape, new_figure, numbers, symbol_of
from wattswap.report.page import Section, figure, paragraph, table
from wattswap.report.section import section
from wattswap.report.story import Spread, Story, Sweep
from wattswap.report.words import DASH, interval, measure_of, missing, number

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

MAX_PANELS = 12
"""Panels of one figure; of more, the first are drawn, and the data have all."""
_SEEDS_DRAWN = 3
"""Seeds from which on intervals are drawn: those of two reach 12.7 times as far as their standard error."""
_COLUMNS, _GAP = 3, 0.05
_TITLE_CHARACTERS = 120
"""Characters of panel titles that fit beside each other."""
_PANEL_PX = 270
_TITLE, _TICKS = 0.1, 0.15
"""Shares of a panel that its title and the numbers below it take."""


@section("sweep", 0)
def sweep(story: Story) -> Section | None:
    """Some metrics over all points of a sweep, below each other."""
    found = story.sweep
    if found is None:
        return None
    why = f"What changes with {' and '.join(found.keys)}, and what does not, by mechanism."
    body, drawn = _table(found, measure_of(next(iter(found.frames))), story.currency), {}
    for metric, frame in found.frames.items():
        measure = measure_of(metric)
        heading = measure.heading.format(money=story.currency)
        if frame["mean"].isna().all():
            body += paragraph(f"No figure of {heading}: {measure.undefined_because}.", "note")
            continue
        name = f"sweep-{metric.replace('_', '-')}"
        drawn[name] = sweep_figure(found, measure, story.currency)
        alt = f"Lines of {heading} against {', '.join(found.keys)}. {_range(found, measure)}"
        body += figure(name, alt, _caption(found, measure, heading), frame_of(frame))
    body += paragraph(f"All sections below are those of the point {story.point}.")
    return Section("sweep", "Sweep", why, body, drawn)


def sweep_figure(found: Sweep, measure: Metric, currency: str) -> go.Figure:
    """A metric against a varied key, one line a mechanism, one panel for each setting of the other keys.

    Values that are not numbers are shown as categories, without lines between them. `meta.narrow` of the layout has
    the panels below each other, for a narrow page.
    """
    frame, x_key = found.frames[measure.name], _x_key(found)
    panels, numeric = _panels(found, frame)[:MAX_PANELS], _is_numeric(found, x_key)
    # The bound goes below the lines that reach it.
    labels = sorted(dict.fromkeys(frame["mechanism"]), key=lambda label: label != found.bound)
    columns = min(
        len(panels), _COLUMNS, max(1, _TITLE_CHARACTERS // max(len(title) + 1 for title, _ in panels))
    )
    drawn = _panelled(found, measure, currency, [title for title, _ in panels], columns)
    if columns > 1:
        below = _panelled(found, measure, currency, [title for title, _ in panels], 1).layout.to_plotly_json()
        moved = ("xaxis", "yaxis", "annotations", "height")
        drawn.update_layout(meta={"narrow": {k: v for k, v in below.items() if k.startswith(moved)}})
    for place, (_, part) in enumerate(panels):
        for i, label in enumerate(labels):
            own = part[part["mechanism"] == label]
            if numeric:
                own = own.assign(**{x_key: own[x_key].map(_number)}).sort_values(x_key, kind="stable")
            look = _look(i - (labels[0] == found.bound))
            _line(drawn, own, x_key, look, place, measure, intervals=found.seeds >= _SEEDS_DRAWN)
    if not numeric:
        drawn.update_layout(scattermode="group", scattergap=0.4)
    return drawn


def _panelled(found: Sweep, measure: Metric, currency: str, titles: list[str], columns: int) -> go.Figure:
    """An empty figure with a panel for each title."""
    labels = found.frames[measure.name]["mechanism"].nunique()
    height = 110 + _PANEL_PX * ceil(len(titles) / columns) + 17 * (labels // 5)
    drawn = new_figure(_x_key(found), measure.heading.format(money=currency), height)
    drawn.update_xaxes(type="linear" if _is_numeric(found, _x_key(found)) else "category")
    if measure.name == "homes_worse_off":
        drawn.update_yaxes(rangemode="nonnegative")
    axes = {a: drawn.layout[f"{a}axis"].to_plotly_json() for a in "xy"}
    for place, title in enumerate(titles):
        _place(drawn, axes, place, (len(titles), columns), title)
    return drawn


def frame_of(frame: pd.DataFrame) -> pd.DataFrame:
    """The data beside a figure; the first key leads."""
    return frame.set_index(frame.columns[0])


def _x_key(found: Sweep) -> str:
    """The key along the axis: the first whose values are numbers, else the first."""
    return next((key for key in found.keys if _is_numeric(found, key)), found.keys[0])


def _is_numeric(found: Sweep, key: str) -> bool:
    return all(_number(value) is not None for value in next(iter(found.frames.values()))[key])


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if isfinite(value) else None


def _panels(found: Sweep, frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """What is drawn into each panel, under the settings of the keys that are not along the axis."""
    others = [key for key in found.keys if key != _x_key(found)]
    if not others:
        return [("", frame)]
    return [
        (", ".join(f"{key} = {row[key]}" for key in others), part)
        for _, part in frame.groupby(others, sort=False)
        for row in [part.iloc[0]]
    ]


def _place(drawn: go.Figure, axes: dict[str, Any], place: int, grid: tuple[int, int], title: str) -> None:
    """Give a panel its axes and its title; all panels have the same scale."""
    panels, columns = grid
    rows = ceil(panels / columns)
    column, row, end = place % columns, place // columns, "" if place == 0 else str(place + 1)
    width, height = (1 - _GAP * (columns - 1)) / columns, 1 / rows
    left, top = column * (width + _GAP), 1 - row * height
    above, below = _TITLE if title else 0.0, 0.0 if row == rows - 1 else _TICKS
    x, y = ({**axes[a], **({"matches": a} if place else {})} for a in "xy")
    x |= {"domain": [left, left + width], "anchor": f"y{end}"}
    y |= {"domain": [top - height * (1 - below), top - height * above], "anchor": f"x{end}"}
    x |= {} if place + columns >= panels else {"title": None}
    y |= {"showticklabels": column == 0} | ({"title": None} if column else {})
    drawn.update_layout({f"xaxis{end}": x, f"yaxis{end}": y})
    if title:
        at: dict[str, Any] = {"xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "top"}
        drawn.add_annotation(text=escape(title), x=left, y=top, showarrow=False, **at)


def _look(i: int) -> dict[str, str]:
    """Colour, dash and symbol of the i-th mechanism, or of the bound where i is below 0."""
    if i < 0:
        return {"color": GREY, "dash": "dot", "symbol": "circle-open"}
    return {"color": colour_of(i), "dash": dash_of(i), "symbol": symbol_of(i)}


def _line(
    drawn: go.Figure,
    part: pd.DataFrame,
    x_key: str,
    look: dict[str, str],
    place: int,
    measure: Metric,
    *,
    intervals: bool,
) -> None:
    """One mechanism in one panel, with its intervals."""
    label, end = str(part["mechanism"].iloc[0]), "" if place == 0 else str(place + 1)
    mean, low, high = (part[name] * measure.factor for name in ("mean", "low", "high"))
    error = None
    if (
        intervals and measure.name != "homes_worse_off" and not high.isna().all()
    ):  # an interval of counts would pass 0
        above, below = numbers(high - mean), numbers(mean - low)
        error = {"array": above, "arrayminus": below, "thickness": 1, "width": 3, "color": look["color"]}
    drawn.add_scatter(
        x=part[x_key].tolist(),
        y=numbers(mean),
        name=escape(label),
        legendgroup=label,
        showlegend=place == 0,
        offsetgroup=label,
        mode="lines+markers" if drawn.layout.xaxis.type == "linear" else "markers",
        line={"color": look["color"], "dash": look["dash"], "width": 1.5},
        marker={"color": look["color"], "symbol": look["symbol"], "size": 8},
        error_y=error,
        xaxis=f"x{end}",
        yaxis=f"y{end}",
        hovertemplate="%{x}: %{y}<extra>" + escape(label) + "</extra>",
    )


def _table(found: Sweep, measure: Metric, currency: str) -> str:
    """A metric at every point, one row a point with its settings, one column a mechanism."""
    import pandas as pd

    frame = found.frames[measure.name]
    labels, keys = list(dict.fromkeys(frame["mechanism"])), list(found.keys)
    rows, html = [], {}
    for i, (_, part) in enumerate(frame.groupby(keys, sort=False)):
        by_label = part.set_index("mechanism")
        rows.append([*part.iloc[0][keys], *(by_label["mean"].get(label) for label in labels)])
        for j, label in enumerate(labels, len(keys) - 1):
            if label in by_label.index and not missing(by_label["mean"][label]):
                html[i, j] = _cell(by_label.loc[label], measure)
    shown = frame_of(pd.DataFrame(rows, columns=[*keys, *labels]))
    heading = measure.heading.format(money=currency)
    return table(f"{heading[:1].upper()}{heading[1:]}, at every point.", shown, html, exact=True)


def _cell(row: pd.Series[Any], measure: Metric) -> str:
    mean, low, high = (None if missing(row[name]) else float(row[name]) for name in ("mean", "low", "high"))
    around = interval(Spread(mean, low, high), measure.decimals, measure.factor)
    shown = number(None if mean is None else mean * measure.factor, measure.decimals)
    small = f"<small>{escape_html(around)}</small>" if around else ""
    return f'<td class="number">{shown}{small}</td>'


def _caption(found: Sweep, measure: Metric, heading: str) -> str:
    frame = found.frames[measure.name]
    text = f"{heading[:1].upper()}{heading[1:]}, against {', '.join(found.keys)}."
    if found.seeds > 1:
        bars = "Bars are 95 % intervals."
        if found.seeds < _SEEDS_DRAWN:
            bars = "The 95 % intervals of so few are too wide to be drawn; the data have them."
        text += (
            f" Means over {found.seeds} seeds. {'' if measure.name == 'homes_worse_off' else bars}".rstrip()
        )
    if frame["mean"].isna().any():
        text += f" A point is missing where {measure.undefined_because}."
    if len(_panels(found, frame)) > MAX_PANELS:
        text += f" Drawn are the first {MAX_PANELS} panels; the data have all."
    return text


def _range(found: Sweep, measure: Metric) -> str:
    """The least and the most of every mechanism, for those who cannot see the lines."""
    parts = []
    for label, part in found.frames[measure.name].groupby("mechanism", sort=False):
        values = part["mean"].dropna() * measure.factor
        ends = (
            [number(float(v), measure.decimals) for v in (values.min(), values.max())]
            if len(values)
            else [DASH]
        )
        parts.append(f"{label}: {' to '.join(dict.fromkeys(ends))}")
    return f"{'; '.join(parts)}."
