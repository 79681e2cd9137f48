"""What is left of a faulty scenario without its faulty keys, so that later checks can say what else is wrong.

Something that no check finds fault with takes the place of each: the default, or a value such as a price of 0; of the
table of a home or another retailer all is left out. What a check then says of a key that was left out is not said.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, Final

from wattswap.scenario.layers import related
from wattswap.scenario.lines import KeyPath

Fault = tuple[KeyPath, str, str]
"""(key path, message, what to do)."""
ROUNDS: Final = 6
"""What one round of checks finds is left out for the next; tables nest less deep than this."""
_TOP: Final[dict[str, Any]] = {"schema": 1, "name": "rest", "currency": "EUR"}
_FLAT: Final = {"import_per_kwh": 0, "feed_in_per_kwh": 0}
_PRICES: Final = (
    ("import_per_kwh", ("import_per_kwh", "import_series", "time_of_use")),
    ("feed_in_per_kwh", ("feed_in_per_kwh", "feed_in_series")),
)
"""A price, and the keys that each give it."""
_NEED: Final = {
    ("market", "mechanism"): "params",
    ("homes", "battery_kwh"): "battery_kw",
    ("homes", "sample_homes"): "sample_with_replacement",
}
"""Keys without which another one of their table means nothing."""


def rest_of(
    content: dict[str, Any], faults: Sequence[Fault], check: Callable[[dict[str, Any]], Sequence[Fault]]
) -> tuple[list[Fault], dict[str, Any] | None]:
    """Check what is left of a scenario again and again, until there is nothing to find.

    Args:
        content: The scenario as TOML has it; not changed.
        faults: What a check has found in it.
        check: Finds faults in a content.

    Returns:
        Further faults that do not follow from the ones before, and a content without any; None if there is none.
    """
    rest, more, found = copy.deepcopy(content), list[Fault](), list(faults)
    named = [path for path, _, _ in faults]
    for _ in range(ROUNDS):
        before = copy.deepcopy(rest)
        for path, _, _ in found:
            leave_out(rest, path)
        if rest == before:
            return more, None
        found = list(check(rest))
        if not found:
            return more, rest
        fresh = [fault for fault in found if not related(fault[0], named)]
        more += fresh
        named += [path for path, _, _ in fresh]
    return more, None


def leave_out(content: dict[str, Any], path: KeyPath) -> None:
    """Put what no check finds fault with in the place of a faulty key."""
    top, *inside = (str(part) for part in path)
    table = content.get(top)
    if top in _TOP:
        content[top] = _TOP[top]
    elif not inside or not isinstance(table, dict):
        content.pop(top, None)
        if top == "tariff":
            content[top] = dict(_FLAT)
        if top in ("tariff", "homes"):  # the names of other retailers are in both
            _without_retailers(content)
    elif inside[0] == "zone" and top != "homes":
        table["zone"] = "UTC"
    elif (top, inside[0]) == ("market", "rounds"):
        table["rounds"] = 2  # some strategies need several
    elif top == "tariff":
        _leave_out_of_tariff(content, table, inside)
    elif (top, inside[0]) == ("homes", "tariffs"):
        _leave_out_of_tariffs(content, table, inside[1:])
    else:
        by_name = table.get(inside[0])
        if len(inside) > 1 and isinstance(by_name, dict):
            by_name.pop(inside[1], None)
        else:
            table.pop(inside[0], None)
        table.pop(_NEED.get((top, inside[0]), ""), None)


def _leave_out_of_tariff(content: dict[str, Any], table: dict[str, Any], inside: list[str]) -> None:
    key, other = inside[0], table.get("other")
    if key == "other":
        if len(inside) > 1 and isinstance(other, dict):
            other[inside[1]] = dict(_FLAT)
        else:
            _without_retailers(content)
        return
    table.pop(key, None)
    for price, keys in _PRICES:
        if key in keys:
            for one in keys:
                table.pop(one, None)
            table[price] = 0


def _leave_out_of_tariffs(content: dict[str, Any], homes: dict[str, Any], names: list[str]) -> None:
    """Give a tariff, or all of them, to no home by name, which is a list of homes as well."""
    tariff, tariffs = content.get("tariff"), homes.get("tariffs")
    other = tariff.get("other", {}) if isinstance(tariff, dict) else None
    if not isinstance(tariffs, dict) or not isinstance(other, dict):
        _without_retailers(content)
        return
    for name in names[:1] or list(tariffs):
        tariffs[name] = []
        if name not in other:  # it may be meant for one that no home has
            del tariffs[name]
            content["tariff"]["other"] = {one: other[one] for one in other if one in tariffs}


def _without_retailers(content: dict[str, Any]) -> None:
    for table, key in (("homes", "tariffs"), ("tariff", "other")):
        if isinstance(content.get(table), dict):
            content[table].pop(key, None)
