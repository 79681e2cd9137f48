"""The page: one HTML file with style, script, figures and their data.

Self-contained: Plotly's script is embedded once, and a content security policy forbids every request.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Any, Final

from wattswap.report.words import DASH, missing, number

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

MAX_ROWS, MAX_CELLS = 1_000, 12_000
"""Rows and cells of a table that are shown; the CSV has all."""
FITS, _FITS_A_PHONE = 8, 3
"""Columns beside the row headings that fit the page, and a phone."""
_FORMULA_STARTS = "=+-@\t\r"

_PAGE: Final = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'; \
style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="wattswap $version">
<title>$title</title>
<style>
$css</style>
</head>
<body>
<a class="skip" href="#verdict">Skip to the verdict</a>
<header>
<h1>$title</h1>
<p>$about</p>
<button type="button" id="theme" hidden>Dark</button>
</header>
<nav aria-label="Sections"><ul>
$links
</ul></nav>
<noscript><p class="note">Figures need JavaScript. Their data are in the tables below them.</p></noscript>
<main>
$sections
</main>
<footer><p>Written by wattswap $version. This file needs no network.</p></footer>
$data
<script>$plotly</script>
<script>
$js</script>
</body>
</html>
""")


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page.

    Args:
        anchor: Its id.
        title: Its heading.
        why: One plain sentence: what it is good for.
        body: HTML.
        figures: Figures by id, which `body` has places for.
    """

    anchor: str
    title: str
    why: str
    body: str
    figures: Mapping[str, go.Figure]

    def rendered(self) -> Rendered:
        """The section as HTML.

        Raises:
            ValueError: It has no text, no id that a page can use, or text that is not UTF-8.
        """
        for text in (self.anchor, self.title, self.why, self.body):
            text.encode("utf-8")
        if not re.fullmatch(r"[a-z][a-z0-9-]*", self.anchor):
            raise ValueError(
                f"{self.anchor!r} is not an id of a section, of lower-case letters, digits and '-'"
            )
        title = escape(self.title)
        html = (
            f'<section id="{self.anchor}" aria-labelledby="{self.anchor}-title">\n'
            f'<h2 id="{self.anchor}-title">{title}</h2>\n<p class="why">{escape(self.why)}</p>\n{self.body}\n</section>'
        )
        data = "\n".join(_figure_data(name, drawn) for name, drawn in self.figures.items())
        return Rendered(f'<li><a href="#{self.anchor}">{title}</a></li>', html, data)


@dataclass(frozen=True, slots=True)
class Rendered:
    """HTML of one section: the link to it, its part of the page, and the data of its figures."""

    link: str
    html: str
    data: str


def page(title: str, about: str, sections: Sequence[Rendered], version: str) -> str:
    """Put the sections together."""
    from plotly.offline import get_plotlyjs

    return _PAGE.substitute(
        title=escape(title),
        about=escape(about),
        version=escape(version),
        css=_text("page.css"),
        js=_text("page.js"),
        plotly=get_plotlyjs(),
        links="\n".join(section.link for section in sections),
        sections="\n".join(section.html for section in sections),
        data="\n".join(section.data for section in sections if section.data),
    )


def figure(name: str, alt: str, caption: str, data: pd.DataFrame) -> str:
    """A place for a figure, with its data beside it.

    Args:
        name: Id of the figure; also the name of its CSV file.
        alt: Text alternative.
        caption: What is drawn.
        data: The data of the figure.
    """
    return (
        f'<figure><div class="plot" id="figure-{name}" role="img" aria-label="{escape(alt)}"></div>\n'
        f"<figcaption>{escape(caption)}</figcaption>\n{data_beside(name, caption, data)}</figure>"
    )


def data_beside(name: str, caption: str, data: pd.DataFrame) -> str:
    """A folded table of data, and the same as a CSV file inside the page."""
    rows = f"{len(data)} row{'' if len(data) == 1 else 's'}"
    shown = data.head(min(MAX_ROWS, MAX_CELLS // (1 + len(data.columns))))
    more = ""
    if len(shown) < len(data):
        more = f"<p>The first {len(shown)} rows; the CSV file has all {len(data)}.</p>"
    link = f'<a download="{name}.csv" href="{csv_uri(data)}">Download {name}.csv</a>'
    body = table(caption, shown, fits=_FITS_A_PHONE)
    return f'<details class="data"><summary>Data ({rows})</summary>\n<p>{link}</p>{more}\n{body}</details>'


def table(
    caption: str,
    data: pd.DataFrame,
    html: Mapping[tuple[int, int], str] | None = None,
    *,
    exact: bool = False,
    total: bool = False,
    fits: int = FITS,
    css: str = "",
) -> str:
    """A table that fits the page, or scrolls inside its box and says so; a missing value is a dash.

    On a narrow screen the cells of a row stand below each other, each with its heading, where there are more than fit
    beside each other.

    Args:
        caption: What it shows.
        data: Its index becomes the row headings.
        html: Cells by (row, column) that come as HTML instead of as the value.
        exact: Whether the headings are names that people type, not words.
        total: Whether the last row is the sum of the others: it becomes the foot of the table.
        fits: Columns of a table that does not scroll.
        css: Class of the table, instead of the one by its columns.
    """
    html = html or {}
    first, *names = [str(c) if exact else _words(c) for c in [data.index.name or "", *data.columns]]
    heads = "".join(
        f'<th scope="col">{_breakable(name) if exact else escape(name)}</th>' for name in (first, *names)
    )
    if len(names) > fits:
        css, caption = "wide", f"{caption} Where it is wider than the page, it scrolls sideways."
    elif not css and len(names) > _FITS_A_PHONE:
        css = "stack"
    rows = []
    columns = [data[c].tolist() for c in data.columns]
    for i, key in enumerate(data.index):
        cells = [html.get((i, j)) or _cell(column[i]) for j, column in enumerate(columns)]
        if css == "stack":
            cells = [_labelled(cell, name) for cell, name in zip(cells, names, strict=True)]
        rows.append(f'<tr><th scope="row">{_breakable(_plain(key))}</th>{"".join(cells)}</tr>')
    foot = f"\n<tfoot>\n{rows.pop()}\n</tfoot>" if total else ""
    kind = f' class="{css}"' if css else ""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table{kind}>'
        f"<caption>{escape(caption)}</caption>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n"
        + "\n".join(rows)
        + f"\n</tbody>{foot}</table></div>"
    )


def number_cells(data: pd.DataFrame) -> dict[tuple[int, int], str]:
    """Cells of a table of money: two decimals."""
    return {
        (i, j): f'<td class="number">{number(float(value))}</td>'
        for i, row in enumerate(data.to_numpy().tolist())
        for j, value in enumerate(row)
    }


def paragraph(text: str, css: str = "") -> str:
    """One paragraph of plain text."""
    return f'<p class="{css}">{escape(text)}</p>' if css else f"<p>{escape(text)}</p>"


def csv_uri(data: pd.DataFrame) -> str:
    """A frame as a CSV file in a data: URI; no cell can pass for a formula of a spreadsheet."""
    text = without_formulas(data).to_csv(index=False, lineterminator="\r\n", float_format="%.10g")
    return "data:text/csv;charset=utf-8;base64," + base64.b64encode(text.encode()).decode()


def without_formulas(data: pd.DataFrame) -> pd.DataFrame:
    """The frame with its index as columns and its texts such that no spreadsheet takes one for a formula."""
    import pandas as pd

    safe = data.reset_index()
    for name in safe.columns:
        if not pd.api.types.is_numeric_dtype(safe[name]):
            safe[name] = [None if missing(v) else _no_formula(_plain(v)) for v in safe[name]]
    return safe


def json_uri(value: object) -> str:
    """A value as a JSON file in a data: URI."""
    text = json.dumps(value, ensure_ascii=False, indent=1)
    return "data:application/json;charset=utf-8;base64," + base64.b64encode(text.encode()).decode()


def _no_formula(text: str) -> str:
    return f"'{text}" if text[:1] in _FORMULA_STARTS else text


def _figure_data(name: str, figure: go.Figure) -> str:
    # In a script element only "</script" and "<!--" could end the data early: without "<" there is neither.
    text = str(figure.to_json()).replace("<", "\\u003c")
    return f'<script type="application/json" data-figure="{name}">{text}</script>'


def _text(name: str) -> str:
    return (files("wattswap.report") / name).read_text(encoding="utf-8")


def _words(name: Any) -> str:
    return str(name).replace("_", " ")


def _breakable(name: Any) -> str:
    """A name as it is, which a narrow column may break behind a dot or an underscore."""
    return escape(str(name)).replace(".", ".<wbr>").replace("_", "_<wbr>")


def _cell(value: Any) -> str:
    if missing(value):
        return f'<td class="number">{DASH}</td>'
    if isinstance(value, bool):
        return f"<td>{'yes' if value else 'no'}</td>"
    if isinstance(value, float):
        return f'<td class="number">{number(value, 4)}</td>'
    if isinstance(value, int):
        return f'<td class="number">{value:,}</td>'
    return f"<td>{escape(_plain(value))}</td>"


def _labelled(cell: str, name: str) -> str:
    """A cell that knows its heading, for where it does not stand below it."""
    return cell.replace(">", f' data-label="{escape(name)}">', 1)


def _plain(value: Any) -> str:
    """A value as text; an instant with its offset, so that no hour is named twice where the clock goes back."""
    if not hasattr(value, "strftime"):
        return str(value)
    return str(value.isoformat(timespec="minutes")).replace("+00:00", "Z")
