"""The figure of a study of sizes: what a common battery saves a year and costs, by its capacity, as an SVG file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import floor, log10
from pathlib import Path
from typing import Any, Final, NamedTuple

from p2p import files as disk
from wattswap.errors import AlreadyExists, Problem, UsageError
from wattswap.report.drawing import BLUE, GREEN, GREY, ORANGE
from wattswap.runs.shown import days_text

WIDTH, HEIGHT = 720, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 168, 44, 48
_TEXT: Final = "#6b6b6b"
_TICKS: Final = 5
_APART: Final = 16
"""Least distance of two names at the ends of lines. [px]"""


class _Line(NamedTuple):
    name: str
    values: Sequence[float | None]
    colour: str
    dash: str


def refuse_figure(path: Path) -> None:
    """Refuse a figure that could not be written, before the work is done.

    Raises:
        UsageError: It is no SVG file.
        AlreadyExists: The file is there.
    """
    if path.suffix != ".svg":
        raise UsageError.of(f"--figure {path}", "is no SVG file", "name it FILE.svg")
    if path.exists():
        raise AlreadyExists(Problem(str(path), "exists already", "choose another name"))


def write_figure(found: Mapping[str, Any], path: Path) -> Path:
    """Write the figure of a study, given as `to_dict` gives it.

    Raises:
        UsageError, AlreadyExists: See `refuse_figure`.
    """
    refuse_figure(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    disk.write_new(path, figure_of(found).encode())
    return path


def figure_of(found: Mapping[str, Any]) -> str:
    """The figure as SVG text."""
    sizes = found["sizes"]
    by_rule = [size["rule"]["saving_per_year"] for size in sizes]
    plans = [None if size["plan"] is None else size["plan"]["saving_per_year"] for size in sizes]
    lines = [
        _Line("saved at most", [size["saving_per_year"] for size in sizes], BLUE, ""),
        _Line("saved by plan", plans, GREEN, "8 3 2 3"),
        _Line("saved by rule", by_rule, ORANGE, "6 4"),
        _Line("cost of the battery", [size["battery_cost_per_year"] for size in sizes], GREY, "2 4"),
    ]
    drawn = [line for line in lines if any(value is not None for value in line.values)]
    if not found["perfect_foresight"]:
        drawn = drawn[1:]
    capacities = [size["capacity_kwh"] for size in sizes]
    basis = f" (from {days_text(found['days'])})" * found["year_is_extrapolated"]
    text = f"{found['currency']} a year{basis}, by capacity in kWh: {found['title']}, {found['homes']} homes"
    return _drawn(text, capacities, drawn)


def _drawn(title: str, across: Sequence[float], lines: Sequence[_Line]) -> str:
    values = [value for line in lines for value in line.values if value is not None]
    low, high, step = _nice(min(0.0, *values), max(0.0, *values))
    left, right = min(across), max(max(across), min(across) + 1)

    def x(value: float) -> float:
        return _LEFT + (value - left) / (right - left) * (WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return HEIGHT - _BOTTOM - (value - low) / (high - low) * (HEIGHT - _TOP - _BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        f' font-family="system-ui, sans-serif" font-size="13" fill="{_TEXT}">',
        f"<title>{escape(title)}</title>",
        f'<text x="{_LEFT - 40}" y="20">{escape(title)}</text>',
    ]
    for i in range(round((high - low) / step) + 1):
        value = low + step * i
        grey = "rgba(138,138,138,.6)" if abs(value) < step / 1e6 else "rgba(138,138,138,.25)"
        parts.append(
            f'<path d="M{_LEFT} {y(value):.1f}H{WIDTH - _RIGHT}" stroke="{grey}"/>'
            f'<text x="{_LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:,.{_decimals(step)}f}</text>'
        )
    for value in across if len(across) <= 2 * _TICKS else across[:: -(-len(across) // (2 * _TICKS))]:
        parts.append(
            f'<text x="{x(value):.1f}" y="{HEIGHT - _BOTTOM + 20}" text-anchor="middle">{value:g}</text>'
        )
    for line, name_y in zip(lines, _apart([_last(line, y) for line in lines]), strict=True):
        points = [(x(a), y(b)) for a, b in zip(across, line.values, strict=True) if b is not None]
        path = "L".join(f"{a:.1f} {b:.1f}" for a, b in points)
        dash = f' stroke-dasharray="{line.dash}"' if line.dash else ""
        parts.append(f'<path d="M{path}" fill="none" stroke="{line.colour}" stroke-width="2"{dash}/>')
        parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{line.colour}"/>' for a, b in points]
        parts.append(f'<text x="{WIDTH - _RIGHT + 10}" y="{name_y + 4:.1f}">{escape(line.name)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _last(line: _Line, y: Any) -> float:
    """Height of the end of a line."""
    return float(y([value for value in line.values if value is not None][-1]))


def _apart(heights: Sequence[float]) -> list[float]:
    """Heights of names, moved up where they would lie over each other; the lowest stays."""
    found, above = list(heights), float("inf")
    for i in sorted(range(len(heights)), key=lambda i: -heights[i]):
        found[i] = above = min(heights[i], above - _APART)
    return found


def _nice(low: float, high: float) -> tuple[float, float, float]:
    """Ends of an axis and the step of its ticks, of 1, 2 or 5 times a power of ten."""
    span = max(high - low, 1e-9)
    power = 10.0 ** floor(log10(span / _TICKS))
    step = next(power * factor for factor in (1, 2, 5, 10) if span <= power * factor * _TICKS)
    return floor(low / step + 1e-9) * step, -floor(-high / step + 1e-9) * step or step, step


def _decimals(step: float) -> int:
    return max(0, -floor(log10(step) + 1e-9))
