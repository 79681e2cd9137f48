"""The verdict of `wattswap check market` as text."""

from __future__ import annotations

from textwrap import wrap
from typing import Any

from wattswap.check.market import GAIN_PERCENT, MOST_HOMES_PERCENT, WASH_UNITS, WORST_PERCENT
from wattswap.cli.output import Form
from wattswap.cli.tables import Column, fixed, print_columns, screen_width

WIDTH = 80
"""Most letters of a line of a sentence, also in a pipe and on a wide screen."""
MARK = 8
"""Letters before a sentence that has a verdict."""
TRIED = "instead of its own orders"


def print_market(result: dict[str, Any], currency: str, form: Form) -> None:
    """Print what every deviation brings, which of them decide, and what cannot be tried."""
    head = "every check that decides holds" if result["holds"] else "a check failed"
    if not result["orders"]:
        head = "nobody orders anything in this time, so nothing can be tested; choose another one"
    _say(f"{result['mechanism']}: {head}. What this rests on:")
    for topic, text in result["rests_on"].items():
        _say(f"{topic}: {text}", "-")
    _say(
        f"{result['homes']} homes, {result['intervals']} intervals. One home deviates, all others order as they do;"
        f" gains in % of what it imports and exports at the retailer's prices."
    )
    if result["reacts"]:
        _say(
            "The homes react to what they trade, so each line is lived again for every home; what batteries hold at"
            " the end counts at the value that their plan puts on it, and what cars, tanks and rooms hold is not"
            " counted."
        )
    _print_deviations(result["deviations"], currency, form)
    _say_wash_trades(result["wash_trades"], currency)
    _say_best_responses(result)
    print()
    _say_limits(result, currency)


def _print_deviations(found: list[dict[str, Any]], currency: str, form: Form) -> None:
    verdict = Column("", [_mark(one["holds"]) for one in found], right=False)
    tried = Column(TRIED, [one["name"] for one in found], right=False)
    above = Column(f"homes above {GAIN_PERCENT:g} %", [str(one["homes_above"]) for one in found])
    most = Column("most, %", [fixed(one["largest_percent"]) for one in found])
    by = Column("by", [one["worst_home"] or "" for one in found], right=False)
    gains = [fixed(one["largest_gain"]) if one["worst_home"] else "" for one in found]
    columns = [tried, above, most, by, Column(f"its gain, {currency}", gains)]
    keep = (tried.head, most.head, above.head, by.head)
    print_columns("", verdict, columns, keep=keep, wide=form == "wide")


def _say_wash_trades(wash: dict[str, Any] | None, currency: str) -> None:
    if wash is None or not wash["pairs"]:
        return
    gained = (
        f"{' and '.join(wash['worst_pair'])} gain {wash['largest_beyond_retailer']:.2f} {currency} beyond what"
        f" they gain if each home settles with the retailer, the most of {wash['pairs']} pairs."
        if wash["largest_gain"] > 0
        else f"none of {wash['pairs']} pairs gains."
    )
    what = f"Two homes of one owner trade {wash['energy_wh']} Wh of nothing in every interval"
    _say(f"{what}: {gained}", _mark(wash["holds"]))


def _say_best_responses(result: dict[str, Any]) -> None:
    best = result["best_responses"]
    if best is None:
        return
    state = "settled after" if best["settled"] else "not settled in"
    volume = (
        "" if best["volume_percent"] is None else f" and order {best['volume_percent']:.0f} % of the energy"
    )
    length = "1 round" if best["rounds"] == 1 else f"{best['rounds']} rounds"
    deviate = f"{best['homes_that_deviate']} of {result['homes']} homes deviate{volume}"
    _say(f"Best responses: {state} {length}; {deviate}.", "-")


def _say_limits(result: dict[str, Any], currency: str) -> None:
    _say(f"What decides: {', '.join(result['decides'])}. The lines with - do not.")
    if result["cannot_exist"]:
        _say(
            f"Cannot exist here, where quantities come from the meters and homes state limits alone:"
            f" {', '.join(result['cannot_exist'])}."
        )
    pair = "" if result["wash_trades"] is None else f", or a pair more than {WASH_UNITS:g} {currency}"
    _say(
        f"Fails if a home gains more than {WORST_PERCENT:g} %, or more than {MOST_HOMES_PERCENT:g} % of the homes"
        f" gain more than {GAIN_PERCENT:g} %{pair}. Gains are lower bounds: homes may deviate in other ways."
    )


def _mark(holds: bool | None) -> str:
    return "-" if holds is None else "ok" if holds else "FAILED"


def _say(text: str, mark: str = "") -> None:
    """Print a sentence in lines that fit, behind a verdict if it has one."""
    before = f"{mark:<{MARK}}" if mark else ""
    width = min(WIDTH, screen_width(WIDTH))
    print(
        "\n".join(
            wrap(
                text,
                width,
                initial_indent=before,
                subsequent_indent=" " * len(before),
                break_long_words=False,
            )
        )
    )
