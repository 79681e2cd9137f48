"""How every figure looks: the palette, the axes, lines and points.

Colours are those of Okabe and Ito, distinguishable with any colour vision; lines differ in dash
and points in symbol as well. Backgrounds are transparent and text is grey: a figure can be shown on light and on dark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape as escape_html
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, YELLOW, GREY = "#CC79A7", "#56B4E9", "#F0E442", "#8A8A8A"
SERIES: Final = (BLUE, ORANGE, GREEN, PURPLE, VERMILION, SKY)
SYMBOLS: Final = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star")
"""One more than colours, so that both together repeat only after 42 series."""
LONGEST_NAME = 22
"""Characters of a name beside an axis; a longer one is cut, and is whole in the data and when pointed at."""


def escape(text: str) -> str:
    """Text as Plotly shows it: it reads some HTML, but no entity for a quotation mark."""
    return escape_html(text, quote=False)


def new_figure(x: str, y: str, height: int) -> go.Figure:
    """An empty figure.

    Args:
        x: Title of the horizontal axis.
        y: Title of the vertical axis.
        height: In pixels; the width is that of the page.
    """
    import plotly.graph_objects as go

    axis = {"gridcolor": "rgba(138,138,138,.25)", "zerolinecolor": "rgba(138,138,138,.6)", "automargin": True}
    # The layout is given to the constructor: a figure without one first copies the large default template.
    return go.Figure(
        layout={
            "template": None,
            "height": height,
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"color": "#6b6b6b", "size": 13, "family": "system-ui, sans-serif"},
            "margin": {"l": 56, "r": 12, "t": 12, "b": 48},
            "hovermode": "closest",
            "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
            "xaxis": {**axis, "title": {"text": x}},
            "yaxis": {**axis, "title": {"text": y}},
        }
    )


def line(
    figure: go.Figure,
    x: pd.Index[Any],
    y: Sequence[float | None],
    name: str,
    colour: str,
    dash: str = "solid",
    marker: str | None = None,
) -> None:
    """Draw one value an interval as steps; the line breaks where a value is missing."""
    figure.add_scatter(
        x=[f"{moment:%Y-%m-%d %H:%M}" for moment in x],
        y=y,
        name=escape(name),
        mode="lines" if marker is None else "lines+markers",
        line={"color": colour, "dash": dash, "shape": "hv", "width": 1.5},
        marker={"symbol": marker or "circle", "size": 5},
        hovertemplate="%{x}: %{y:.4f}<extra>" + escape(name) + "</extra>",
    )


def points(
    figure: go.Figure,
    x: Sequence[float],
    y: Sequence[str],
    name: str,
    marker: Mapping[str, Any],
    cents: Sequence[float],
) -> None:
    """Draw one point a name; its label says the amount in cents as tables do."""
    figure.add_scatter(
        x=x,
        y=[escape(n) for n in y],
        mode="markers",
        name=escape(name),
        marker=marker,
        customdata=cents,
        hovertemplate="%{y}: %{customdata:.2f}<extra>" + escape(name) + "</extra>",
    )


def numbers(values: pd.Series[Any]) -> list[float | None]:
    """Floats of five decimals, None where a value is missing: a line breaks there."""
    return [None if missing else round(float(v), 5) for v, missing in zip(values, values.isna(), strict=True)]


def colour_of(i: int) -> str:
    """Colour of the i-th series."""
    return SERIES[i % len(SERIES)]


def symbol_of(i: int) -> str:
    """Symbol of the i-th series."""
    return SYMBOLS[i % len(SYMBOLS)]


def dash_of(i: int) -> str:
    """Dash of the i-th series."""
    return ("solid", "dash", "dashdot", "longdash")[i % 4]


def faint(colour: str) -> str:
    """A colour that lets others shine through."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},.4)"


def name_axis(figure: go.Figure, names: Sequence[str], *, upside_down: bool = False) -> None:
    """Put names, all of them, beside the vertical axis; the first one at the bottom, or on top."""
    short = [n if len(n) <= LONGEST_NAME else n[: LONGEST_NAME - 1] + "…" for n in names]
    figure.update_yaxes(
        type="category",
        automargin=True,
        tickmode="array",
        tickvals=[escape(n) for n in names],
        ticktext=[escape(n) for n in short],
        autorange="reversed" if upside_down else True,
    )
