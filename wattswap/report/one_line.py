"""The one-line diagram of a radial grid as SVG: the root at the left, lines by their loading, nodes by their price.

Lines differ in width as well as in colour, and nodes have their figures beside them where there is room: nothing
depends on colour alone. What is pointed at says its figures in full.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from math import isfinite
from typing import Final

import numpy as np

from market.auctions.network import Network, Tree
from market.grid import NO_LIMIT, Grid
from market.units import WH_PER_KWH, FloatArray
from wattswap.errors import InvalidData
from wattswap.report.drawing import GREY, LONGEST_NAME, ORANGE, SKY, VERMILION

WIDTH: Final = 960
"""Least width of a picture. [px]"""
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 130, 46, 66
_STEP, _PRICED_STEP = 80, 104
"""Width that a node with a voltage, or also a price, needs beside its neighbour. [px]"""
_ROW, _FIGURE_ROW = 38, 12
"""Height of a row with names, and what each line of figures adds. [px]"""
_TIGHT_ROW: Final = 5
"""Height of a row without names. [px]"""
_LETTER: Final = 6.8
"""Width of a letter of a name. [px]"""
MOST_NAMED: Final = 40
"""Rows up to which nodes are named; a larger grid has names where it is pointed at."""
_TEXT: Final = "#6b6b6b"
_CLASSES: Final = (
    (0.5, "below 50 %", GREY, 2.0),
    (0.8, "50 to 80 %", SKY, 3.0),
    (1.0 - 1e-3, "80 to 100 %", ORANGE, 4.0),
    (float("inf"), "full", VERMILION, 5.5),
)
"""Loading below which a line has a class, its name, colour and width."""
_PRICES: Final = ("#440154", "#3b528b", "#21918c", "#5ec962", "#fde725")
"""From the lowest price to the highest: five steps of viridis, which grow lighter for any colour vision."""


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """What a diagram shows beside the lines.

    Args:
        title: Above it.
        flow_kw: Power of each line, in the direction from start to end; None without a state. [kW]
        loading: Share of its limit that each line uses, NaN without one; None without a state.
        voltage: Voltage of each node per unit; None without a state.
        price: Price of each node, None where it has none; None without a market.
        currency: Unit of the prices.
        homes: Node of each home.
        transformers: Rows of the lines that are transformers.
    """

    title: str
    flow_kw: FloatArray | None = None
    loading: FloatArray | None = None
    voltage: FloatArray | None = None
    price: Sequence[float | None] | None = None
    currency: str = ""
    homes: Mapping[str, str] = field(default_factory=dict)
    transformers: Sequence[int] = ()


def one_line(grid: Grid, drawing: Drawing) -> str:
    """The diagram as SVG text.

    Raises:
        InvalidData: The grid is meshed.
    """
    tree = Network(grid).tree
    if tree is None:
        raise InvalidData.of(
            "", "a one-line diagram is of a radial grid, and this one has loops", "open a line"
        )
    places = _places(grid, tree, drawing)
    body = [
        *_lines(grid, tree, drawing, places),
        *_nodes(grid, drawing, places),
        *_legend(drawing, places.height),
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {places.width:.0f} {places.height:.0f}" role="img"'
            f' font-family="system-ui, sans-serif" font-size="13" fill="{_TEXT}">',
            f"<title>{escape(drawing.title)}</title>",
            f'<text x="20" y="24" font-size="15">{escape(drawing.title)}</text>',
            *body,
            "</svg>\n",
        ]
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Places:
    """Where each node is, and how large the picture; `step` is the distance of a node from the next. [px]"""

    x: FloatArray
    y: FloatArray
    width: float
    height: float
    step: float
    is_named: bool


def _places(grid: Grid, tree: Tree, drawing: Drawing) -> _Places:
    """A row for each end of the grid; a node is half way between the first and the last of those next to it."""
    count = len(grid.nodes)
    depth = tree.paths(np.concatenate(([0.0], np.ones(count - 1))))
    is_end = tree.end == np.arange(count) + 1
    is_named = int(is_end.sum()) <= MOST_NAMED
    figures = (drawing.voltage is not None) + (drawing.price is not None)
    row = _ROW + _FIGURE_ROW * figures if is_named else _TIGHT_ROW
    at = np.zeros(count)
    at[is_end] = np.arange(int(is_end.sum()))
    next_to: list[list[int]] = [[] for _ in range(count)]
    for place in range(1, count):
        next_to[int(tree.parent[place])].append(place)
    for place in range(count - 1, -1, -1):
        if next_to[place]:
            at[place] = (at[next_to[place][0]] + at[next_to[place][-1]]) / 2
    deepest = max(float(depth.max()), 1.0)
    least = 0 if not is_named else _STEP if drawing.price is None else _PRICED_STEP
    step = max((WIDTH - _LEFT - _RIGHT) / deepest, float(least))
    x, y = np.empty((2, count))
    x[tree.order] = _LEFT + depth * step
    y[tree.order] = _TOP + (at + 0.7) * row
    height = _TOP + (float(at.max()) + 1.4) * row + _BOTTOM
    return _Places(x, y, _LEFT + deepest * step + _RIGHT, height, step, is_named)


def _lines(grid: Grid, tree: Tree, drawing: Drawing, places: _Places) -> list[str]:
    parts = []
    x, y = places.x, places.y
    # The widest last: what is full must not be covered where lines leave a node together.
    loaded = np.zeros(len(grid.lines)) if drawing.loading is None else np.nan_to_num(drawing.loading)
    for place in sorted(range(1, len(tree.order)), key=lambda place: float(loaded[tree.line[place]])):
        line, node = int(tree.line[place]), int(tree.order[place])
        before = int(tree.order[tree.parent[place]])
        loading = float("nan") if drawing.loading is None else float(drawing.loading[line])
        _, _, colour, width = _class_of(loading)
        middle = (x[before] + x[node]) / 2
        parts.append(
            f'<path d="M{x[before]:.1f} {y[before]:.1f}H{middle:.1f}V{y[node]:.1f}H{x[node]:.1f}" fill="none"'
            f' stroke="{colour}" stroke-width="{width:g}"{_dash(grid, drawing, line)}>'
            f"<title>{escape(_line_words(grid, drawing, line))}</title></path>"
        )
        if line in drawing.transformers:
            radius = min(7.0, places.step / 6)
            parts += [
                f'<circle cx="{middle + places.step / 4 + shift * radius:.1f}" cy="{y[node]:.1f}"'
                f' r="{radius:.1f}" fill="none" stroke="{colour}" stroke-width="2"/>'
                for shift in (-0.65, 0.65)
            ]
    return parts


def _dash(grid: Grid, drawing: Drawing, line: int) -> str:
    """Dots for an open line, dashes for one without a limit among others that have a loading."""
    if grid.lines.limit_wh[line] == 0:
        return ' stroke-dasharray="2 4"'
    if drawing.loading is not None and not isfinite(drawing.loading[line]):
        return ' stroke-dasharray="7 3"'
    return ""


def _class_of(loading: float) -> tuple[float, str, str, float]:
    if not isfinite(loading):
        return _CLASSES[0]
    return next(one for one in _CLASSES if loading < one[0])


def _line_words(grid: Grid, drawing: Drawing, line: int) -> str:
    limit = int(grid.lines.limit_wh[line])
    words = [grid.lines.names[line]]
    if drawing.flow_kw is not None:
        words.append(f"{abs(float(drawing.flow_kw[line])):.1f} kW")
    words.append("no limit" if limit == NO_LIMIT else f"limit {limit / WH_PER_KWH:.1f} kW")
    if drawing.loading is not None and isfinite(drawing.loading[line]):
        words.append(f"{drawing.loading[line]:.0%}")
    return ", ".join(words)


def _nodes(grid: Grid, drawing: Drawing, places: _Places) -> list[str]:
    prices = [] if drawing.price is None else [price for price in drawing.price if price is not None]
    low, high = (min(prices), max(prices)) if prices else (0.0, 0.0)
    homes = Counter(drawing.homes.values())
    radius, stroke = (6, 1.2) if places.is_named else (2.5, 0.6)
    last = float(places.x.max())
    parts = []
    for i, name in enumerate(grid.nodes.names):
        if not places.is_named and homes and not homes[name]:
            continue  # in a large grid only nodes with homes: the others would cover the lines
        price = None if drawing.price is None else drawing.price[i]
        fill = "#ffffff" if price is None else _PRICES[_step(price, low, high)]
        figures, x, y = _figures(drawing, i), float(places.x[i]), float(places.y[i])
        words = [name, *figures, *([f"homes: {homes[name]}"] if homes[name] else [])]
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{fill}" stroke="{_TEXT}"'
            f' stroke-width="{stroke:g}"><title>{escape(", ".join(words))}</title></circle>'
        )
        if places.is_named:
            parts += _label(name, figures, x, y, places.step, is_last=x > last - 1)
    return parts


def _figures(drawing: Drawing, node: int) -> list[str]:
    """Price and voltage of a node, in words."""
    found = []
    price = None if drawing.price is None else drawing.price[node]
    if price is not None:
        found.append(_priced(price, drawing))
    if drawing.voltage is not None and isfinite(drawing.voltage[node]):
        found.append(f"{drawing.voltage[node]:.3f} per unit")
    return found


def _priced(price: float, drawing: Drawing) -> str:
    return f"{price:.4f} {drawing.currency}/kWh" if drawing.currency else f"{price:.4f}"


def _label(name: str, figures: Sequence[str], x: float, y: float, step: float, *, is_last: bool) -> list[str]:
    """The name above a node and its figures below, or all of it to the right of the last ones."""
    letters = LONGEST_NAME if is_last else min(LONGEST_NAME, max(4, int(step / _LETTER)))
    short = name if len(name) <= letters else name[: letters - 1] + "…"
    across, above, below, anchor = (
        (x + 11, y - 2, y + 11, "start") if is_last else (x, y - 11, y + 19, "middle")
    )
    parts = [
        f'<text x="{across:.1f}" y="{above:.1f}" text-anchor="{anchor}" font-size="12">{escape(short)}</text>'
    ]
    for i, figure in enumerate(figures):
        parts.append(
            f'<text x="{across:.1f}" y="{below + _FIGURE_ROW * i:.1f}" text-anchor="{anchor}" font-size="10.5">'
            f"{escape(figure)}</text>"
        )
    return parts


def _step(price: float, low: float, high: float) -> int:
    """Which of the colours a price has."""
    if high <= low:
        return len(_PRICES) // 2
    return min(int((price - low) / (high - low) * len(_PRICES)), len(_PRICES) - 1)


def _legend(drawing: Drawing, height: float) -> list[str]:
    parts, across, y = [], 20.0, height - 40
    if drawing.loading is not None:
        parts.append(f'<text x="{across}" y="{y + 4:.0f}">lines, by loading:</text>')
        across += 120
        entries = [(name, colour, width, "") for _, name, colour, width in _CLASSES]
        if not np.isfinite(drawing.loading).all():
            entries.append(("no limit", GREY, 2.0, ' stroke-dasharray="7 3"'))
        for name, colour, width, dash in entries:
            parts.append(
                f'<path d="M{across:.0f} {y:.0f}h28" stroke="{colour}" stroke-width="{width:g}"{dash}/>'
                f'<text x="{across + 34:.0f}" y="{y + 4:.0f}">{name}</text>'
            )
            across += 50 + 7.2 * len(name)
    prices = [] if drawing.price is None else [price for price in drawing.price if price is not None]
    if prices:
        y += 24
        parts.append(f'<text x="20" y="{y + 4:.0f}">nodes, by price:</text>')
        low, high = min(prices), max(prices)
        colours = _PRICES if high > low else (_PRICES[_step(low, low, low)],)
        if high > low:
            parts.append(f'<text x="140" y="{y + 4:.0f}">{low:.4f}</text>')
        across = 200 if high > low else 140
        for i, colour in enumerate(colours):
            parts.append(
                f'<rect x="{across + 22 * i}" y="{y - 6:.0f}" width="22" height="12" fill="{colour}"/>'
            )
        behind = across + 22 * len(colours) + 8
        parts.append(f'<text x="{behind}" y="{y + 4:.0f}">{escape(_priced(high, drawing))}</text>')
    return parts
