"""Text output: tables on stdout, progress and notes on stderr."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from wattswap.runs.folder import RunFolder

Form = Literal["text", "json", "csv"]
"""Output form of a view: text, one JSON object, or CSV."""


def print_json(value: object) -> None:
    """Print one JSON object on stdout; a number that does not exist is null."""
    print(json.dumps(value, ensure_ascii=False, allow_nan=False, default=_as_text))


def _as_text(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def note(text: str) -> None:
    """Print a note on stderr."""
    print(text, file=sys.stderr)


def print_csv(frame: pd.DataFrame) -> None:
    """Print a frame as CSV on stdout, its index first; a value that does not exist is empty."""
    from wattswap.report.page import without_formulas

    print(without_formulas(frame).to_csv(index=False, lineterminator="\n"), end="")


def print_table(
    title: str, frame: pd.DataFrame, decimals: int = 2, total: Sequence[float] | None = None
) -> None:
    """Print a frame with right-aligned numbers; an empty cell is a value that does not exist.

    Columns that do not fit side by side on the terminal follow below, so that no number is cut. The total of all rows
    is a last row of its own, never one of the frame, where a home may be called as it is.
    """
    # itertuples and not iterrows, which turns integers beside floats into floats
    rows = [(str(key), *(cell(value, decimals) for value in row)) for key, *row in frame.itertuples()]
    if total is not None:
        rows.append(("all", *(cell(value, decimals) for value in total)))
    heads = [str(frame.index.name or ""), *(str(name).replace("_", " ") for name in frame.columns)]
    narrow = [max(map(_longest_word, column)) for column in zip(heads, *rows, strict=True)]
    print_columns(title, heads, rows, narrow, [dtype.kind in "ifu" for dtype in frame.dtypes])


def print_columns(
    title: str,
    heads: Sequence[str],
    rows: Sequence[tuple[str, ...]],
    narrow: Sequence[int],
    right: Sequence[bool],
) -> None:
    """Print rows of text as wide as the terminal, or 140 letters in a pipe; columns that do not fit follow below.

    Args:
        title: Above the table.
        heads: Of all columns; the first one is repeated with every part.
        rows: Texts by column.
        narrow: Least width of each column. [letters]
        right: Of all columns but the first, which are aligned to the right.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    for part in _side_by_side(narrow[1:], console.width - narrow[0]):
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column(heads[0], no_wrap=True)
        for i in part:
            justify: Literal["right", "left"] = "right" if right[i] else "left"
            table.add_column(heads[1 + i], justify=justify, min_width=narrow[1 + i])
        for key, *cells in rows:
            table.add_row(key, *(cells[i] for i in part))
        console.print(table)
        title = ""


def _longest_word(text: str) -> int:
    return max(map(len, text.split()), default=0)


def _side_by_side(widths: Sequence[int], room: int) -> list[list[int]]:
    """The columns in groups that fit into a width in characters; a wider one is a group of its own."""
    groups: list[list[int]] = [[]]
    for i in range(len(widths)):
        if groups[-1] and sum(widths[j] + 3 for j in (*groups[-1], i)) + 2 > room:
            groups.append([])
        groups[-1].append(i)
    return groups


def print_rows(frame: pd.DataFrame, form: Form, title: str = "", decimals: int = 2) -> None:
    """Print a frame in a form; as JSON its rows, the index among their values."""
    if form == "text":
        print_table(title, frame, decimals)
    elif form == "csv":
        print_csv(frame)
    else:
        rows = frame.reset_index().astype(object)
        print_json({"rows": rows.where(rows.notna(), None).to_dict(orient="records")})


def cell(value: Any, decimals: int) -> str:
    """One table cell as text."""
    if value is None or value != value:
        return ""
    return fixed(value, decimals) if isinstance(value, float) else str(value)


def fixed(value: float, decimals: int = 2) -> str:
    """A number with fixed decimals; what rounds to zero has no sign."""
    return f"{round(value, decimals) + 0.0:.{decimals}f}"


class Progress:
    """Progress on stderr: one redrawn line on a terminal, one line per tenth in a pipe, nothing when quiet."""

    def __init__(self, label: str, quiet: bool) -> None:
        self._label, self._quiet = label, quiet
        self._begun, self._first = time.monotonic(), -1
        self._tty = sys.stderr.isatty()
        self._shown_at, self._tenth = 0.0, 0

    def __call__(self, done: int, total: int, price: float | None) -> None:
        """Report that `done` of `total` intervals are finished, the last one at `price`."""
        if self._quiet:
            return
        now = time.monotonic()
        if self._first < 0:
            self._first = done - 1
        tenth = done * 10 // total
        if not (done == total or (self._tty and now - self._shown_at > 0.2) or tenth > self._tenth):
            return
        if not self._tty and tenth == self._tenth:
            return
        self._shown_at, self._tenth = now, tenth
        rate = (done - self._first) / max(now - self._begun, 1e-9)
        left = (total - done) / rate if rate else 0.0
        last = "no trade" if price is None else f"{price:.4f}/kWh"
        text = f"{self._label}: {done}/{total} intervals, {rate:.0f}/s, {left:.0f} s left, last price {last}"
        if self._tty:
            end = "\n" if done == total else ""
            print(f"\r\x1b[2K{text}", end=end, file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr)


def print_result(result: RunFolder, json: bool) -> None:
    """Print a run that has just finished."""
    if json:
        print_json({"run": str(result.path), **result.figures})
    else:
        print_run(result)


def print_run(result: RunFolder) -> None:
    """Print the summary of a run and every home's bill.

    Raises:
        VerificationFailed: The chain is damaged (only a short one is checked).
    """
    m, money = result.metrics, result.currency
    about, frame, chain = result.manifest, result.bills(), chain_line(result)
    print(
        f"{about['name']}: {m['homes']} homes, {m['intervals']} intervals of {about['interval_minutes']} min"
        f" from {about['start']}, {about['mechanism']}\n"
    )
    dropped = about["data"]["dropped_homes"]
    for label, text in [
        *summary_lines(m, money, about.get("imbalance", "shared")),
        *([("Left out for missing readings", ", ".join(dropped))] if dropped else []),
        ("Chain", chain),
        ("Folder", str(result.path)),
    ]:
        print(f"  {label:<34} {text}")
    print()
    print_bills(frame, money)


def print_bills(bills: pd.DataFrame, money: str) -> None:
    """Print every home's bill and the sum."""
    from market.metrics.fairness import percent_of

    total = bills.sum()
    percent = percent_of(float(total["saving"]), float(total["cost_without_market"]))
    total["saving_percent"] = float("nan") if percent is None else percent
    shown = bills.rename_axis("home").rename(
        columns={
            "cost_without_market": "without market",
            "cost_with_market": "with market",
            "saving_percent": "saving %",
            "imbalance_cost": "imbalance cost",
        }
    )
    print_table(f"Bills in {money}; a negative bill is income", shown, total=total.tolist())


def chain_line(result: RunFolder) -> str:
    """The chain in one line; a short one is verified first."""
    from wattswap.runs.chain_reader import VERIFIED_ON_THE_SPOT, verified_chain

    chain = result.manifest["chain"]
    about = f"{chain['blocks']} blocks by {chain['authorities']} validators"
    if chain["blocks"] > VERIFIED_ON_THE_SPOT:
        return f"{about}; verify them with: wattswap chain verify {result.path}"
    facts = verified_chain(result.path)
    return f"{about}, {facts['signatures']} signatures verified; head {facts['head'][:16]}"


def summary_lines(m: dict[str, Any], money: str, imbalance: str) -> list[tuple[str, str]]:
    """The figures of a run as text; `imbalance` as in its manifest."""
    settled = "among neighbours" if imbalance == "shared" else "with the retailer"
    price = "no trade" if m["price_per_kwh"] is None else f"{m['price_per_kwh']:.4f} {money}/kWh"
    sells, buys = f"{m['import_price_per_kwh']:.4f}", f"{m['feed_in_price_per_kwh']:.4f}"
    outside = f"(retailer sells at {sells}, buys at {buys})"
    local_fee, remote_fee = m["grid_fee_local_per_kwh"], m["grid_fee_remote_per_kwh"]
    if local_fee or remote_fee:
        fees = f"grid fee {local_fee:.4f} among neighbours"
        outside = f"(retailer sells at {sells} and grid fee {remote_fee:.4f}, buys at {buys}; {fees})"
    lines = [
        (
            "Traded between neighbours",
            f"{m['traded_kwh']:.1f} kWh in {m['intervals_with_trade']} of {m['intervals']} intervals",
        ),
        ("Average price", f"{price} {outside}"),
    ]
    if m["self_sufficiency"] is not None:
        alone = m["self_sufficiency_alone"]
        lines.append(
            (
                "Self-sufficiency",
                f"{100 * m['self_sufficiency']:.1f} % with neighbours, {100 * alone:.1f} % each home alone",
            )
        )
    percent = "" if m["saving_percent"] is None else f" ({fixed(m['saving_percent'], 1)} %)"
    by_orders, by_imbalance = fixed(m["saving"] + m["imbalance_cost"]), fixed(-m["imbalance_cost"])
    lines += [
        (
            "All bills together",
            f"{fixed(m['cost_with_market'])} {money} instead of {fixed(m['cost_without_market'])}:"
            f" {fixed(m['saving'])} {money} saved{percent}",
        ),
        ("  of this by orders", f"{by_orders} {money} by energy traded ahead and delivered"),
        ("  of this by imbalance", f"{by_imbalance} {money} by settling {settled} what the forecasts missed"),
        ("Homes worse off than without", f"{m['homes_worse_off']} of {m['homes']}"),
    ]
    return lines
