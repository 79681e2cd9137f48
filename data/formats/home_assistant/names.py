"""What the names of statistics say: which are import and export at the grid beyond doubt, which may be."""

from __future__ import annotations

import re
from collections.abc import Sequence

GRID = {"p1", "grid", "tariff", "tarif", "dsmr", "smartmeter"}
"""Words that, beside import or export, leave no doubt that the meter at the grid is meant."""

OTHER = frozenset(
    "battery batt ev car charger wallbox solar pv inverter heat pump cost price costs compensation forecast today"
    " daily day hourly monthly month weekly week yearly year peak virtual".split()
)
"""Words that, beside them, leave doubt."""

LIKELY = {
    "export": {
        "export",
        "exported",
        "returned",
        "return",
        "feedin",
        "injection",
        "produced",
        "teruglevering",
    },
    "pv": {"solar", "pv", "yield", "production", "inverter", "photovoltaic"},
    "import": {
        "import",
        "imported",
        "grid",
        "delivered",
        "consumed",
        "consumption",
        "offtake",
        "levering",
        "mains",
    },
}


def words_of(name: str) -> list[str]:
    """Words and numbers of a statistic_id, in lower case, without its domain; `p1` is a word."""
    return re.findall(r"p1|[a-z]+|\d+", name.lower().partition(".")[2] or name.lower())


def channels_by_name(names: Sequence[str]) -> dict[str, str]:
    """The channels of the names that leave no doubt: parts of one register that differ by a number alone.

    A total beside its tariffs would count energy twice, so then all of them are in doubt.
    """
    found: dict[str, list[str]] = {"import": [], "export": []}
    for name in names:
        words = set(words_of(name))
        named = [channel for channel in found if channel in words]
        if len(named) == 1 and words & GRID and not words & OTHER:
            found[named[0]].append(name)
    return {
        name: channel
        for channel, group in found.items()
        if len({tuple(word for word in words_of(name) if not word.isdigit()) for name in group}) == 1
        for name in group
    }


def proposal(name: str) -> str:
    """What a name makes most likely."""
    words = set(words_of(name))
    if words & {"battery", "batt", "cost", "price", "forecast"}:
        return "ignore"
    return next((channel for channel, likely in LIKELY.items() if words & likely), "ignore")
