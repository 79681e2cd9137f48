"""Read a mechanism's parameters from a case, a scenario or the command line, for market rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from market.mechanism import Mechanism
from market.parameters import Parameter
from market.rules import Value
from market.units import PPM, WH_PER_KWH, is_exact
from wattswap.inputs.collector import CaseReader, shown

_WORDS = {
    "share": "a number from 0 to 1",
    "price": "a price per kWh",
    "energy": "an energy in kWh",
    "whole": "a whole number",
    "nothing": "an empty object",
    "halves": 'two lists of participants, as {"left": [..], "right": [..]}',
}


def read_parameters(
    read: CaseReader,
    given: Any,
    parameters: Iterable[Parameter],
    where: str = "params",
    roster: Mapping[str, int] | None = None,
) -> dict[str, Value]:
    """Read given parameters; errors, such as unknown keys, are noted.

    Args:
        read: Collects what is wrong.
        given: A mapping of names to values as JSON or TOML hold them.
        parameters: All that may be given.
        where: The place, for messages.
        roster: Index of each participant's name, for parameters that name participants.

    Returns:
        Values in the units inside, by `Parameter.field`; only those given.
    """
    known = {parameter.name: parameter for parameter in parameters}
    values: dict[str, Value] = {}
    for name, value in read.mapping(given, where, set(), set(known)).items():
        parameter = known.get(name)
        if parameter is None:
            continue
        if value is None and parameter.default is None:
            values[parameter.field] = None
        else:
            values[parameter.field] = _value(read, value, parameter, f"{where}.{name}", roster or {})
    return values


def run_defaults(mechanism: Mechanism) -> dict[str, Value]:
    """The defaults of a run, where they differ from those of a single case, by `Parameter.field`."""
    return {p.field: p.in_run for p in mechanism.parameters if p.in_run is not None}


def described(parameter: Parameter) -> str:
    """A parameter with its range and default in one line, for lists."""
    words = " | ".join(parameter.choices) if parameter.kind == "choice" else _WORDS[parameter.kind]
    default = _at_the_edge(parameter, parameter.default)
    if parameter.in_run is not None:
        default += f", in a run {_at_the_edge(parameter, parameter.in_run)}"
    only = " (cases only)" if parameter.case_only else " (runs only)" if parameter.run_only else ""
    if parameter.run_only:
        default = f"market.{parameter.name}"
    return f"{parameter.name}{only}: {words}, default {default}"


def _at_the_edge(parameter: Parameter, value: Value) -> str:
    if value is None:
        return "none"
    return f"{value / parameter.scale:g}" if parameter.scale and isinstance(value, int) else str(value)


def _value(
    read: CaseReader, value: Any, parameter: Parameter, where: str, roster: Mapping[str, int]
) -> Value:
    if parameter.kind == "choice":
        chosen: str = read.choice(value, where, parameter.choices)
        return chosen
    if parameter.kind == "whole":
        whole = read.whole(value, where)
        if whole < parameter.least:
            if whole == value:  # what is no whole number is noted already
                read.note(where, f"is {whole}", f"give at least {parameter.least}")
            return parameter.default  # the case is refused after all of it is read
        return whole
    if parameter.kind == "price":
        return read.micro(value, where)
    if parameter.kind == "halves":
        return _halves(read, value, where, roster)
    if parameter.kind == "nothing":
        read.mapping(value, where, set(), set())
        return parameter.default
    number = read.number(value, where)
    if number is None:
        return parameter.default
    if parameter.kind == "share":
        return _share(read, number, parameter, where)
    if number <= 0 or not is_exact(number, WH_PER_KWH):
        read.note(where, f"is {number}", "give a whole number of Wh above 0, in kWh")
        return parameter.default
    return int(number * WH_PER_KWH)


def _share(read: CaseReader, number: Decimal, parameter: Parameter, where: str) -> Value:
    if not 0 <= number <= 1:
        read.note(where, f"is {number}", "give a number from 0 (lowest price) to 1 (highest)")
        return parameter.default
    return round(number * PPM)


def _halves(read: CaseReader, value: Any, where: str, roster: Mapping[str, int]) -> Value:
    """Read two lists of names that hold every participant exactly once."""
    given = read.mapping(value, where, {"left", "right"}, set())
    halves: list[tuple[int, ...]] = []
    placed: dict[str, str] = {}
    for half in ("left", "right"):
        members = []
        for i, item in enumerate(read.items(given.get(half, []), f"{where}.{half}")):
            name = read.name(item, f"{where}.{half}[{i}]")
            if name in placed:
                read.note(f"{where}.{half}[{i}]", f"{shown(name)} is in {placed[name]} already")
            elif name not in roster:
                read.note(f"{where}.{half}[{i}]", f"{shown(name)} has no order in the book")
            else:
                members.append(roster[name])
            placed.setdefault(name, half)
        halves.append(tuple(sorted(members)))
    missing = sorted(set(roster) - set(placed))
    if missing:
        read.note(where, f"{', '.join(missing)} in neither half", "put every participant into one half")
    return tuple(halves)
