"""Read the values of a JSON case, and report all of its errors at once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from numbers import Integral
from typing import Any

from market.errors import printable
from market.units import INT64_SAFE, micro_from_price, wh_from_kwh
from wattswap.errors import InvalidData, Problem, suggest

_LARGEST = Decimal(10) ** 15
"""Larger numbers do not fit into 64 bits, and 1e999999999 must never become an integer."""


_LONGEST = 400
"""Most characters of each part of a sentence; a list of known names may be as long as a file."""


class InvalidCase(InvalidData):
    """A case that breaks the contract; `problems` lists every rule it breaks."""

    @property
    def code(self) -> int:
        """Exit code of the command."""
        return int(self.exit_code)


class CaseReader:
    """Reads values of a case and collects their errors."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def note(self, where: str, message: str, cure: str = "") -> None:
        """Add one problem."""
        where, message, cure = (printable(text, _LONGEST) for text in (where, message, cure))
        self.problems.append(Problem(where, message, cure))

    def refuse(self) -> None:
        """Raise if there are problems so far."""
        if self.problems:
            raise InvalidCase(*self.problems)

    def mapping(self, value: Any, where: str, required: set[str], optional: set[str]) -> Mapping[str, Any]:
        """Read an object with these keys and no others; an empty one where it is none."""
        if not isinstance(value, Mapping):
            self.note(where, f"must be an object, not {shown(value)}")
            return {}
        known = sorted(required | optional)
        for key in value:
            if key not in known:
                self.note(where, f"unknown key {shown(key)}", suggest(str(key), known) or "it takes none")
        for key in sorted(required.difference(value)):
            self.note(where, f"{key!r} is missing")
        return value

    def anything_named(self, value: Any, where: str) -> Mapping[str, Any]:
        """Read an object with any keys."""
        return value if isinstance(value, Mapping) else self.mapping(value, where, set(), set())

    def number(self, value: Any, where: str) -> Decimal | None:
        """Read a finite decimal number."""
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal | Integral):
            self.note(where, f"must be a number, not {shown(value)}")
            return None
        found = Decimal(int(value)) if isinstance(value, Integral) else Decimal(str(value))
        if not found.is_finite():
            self.note(where, f"is {value}", "give a finite number")
        elif found.copy_abs() > _LARGEST:
            self.note(where, "is beyond 1e15, which cannot be cleared", "use a larger unit or split the case")
        else:
            return found
        return None

    def energy_wh(self, value: Any, where: str) -> int:
        """Read an energy of at least 0. [kWh -> Wh]"""
        found = self.number(value, where)
        if found is None:
            return 0
        if found < 0:
            self.note(where, f"is {found}", "give at least 0; the sign never gives the direction")
        return wh_from_kwh(found)

    def micro(self, value: Any, where: str) -> int:
        """Read a price, which may be negative. [currency/kWh -> micro-currency/kWh]"""
        found = self.number(value, where)
        if found is None:
            return 0
        micro = micro_from_price(found)
        if abs(micro) >= INT64_SAFE:
            self.note(where, "is a price beyond what 64 bits hold", "use a larger currency unit")
            return 0
        return micro

    def whole(self, value: Any, where: str) -> int:
        """Read a whole number."""
        if isinstance(value, bool) or not isinstance(value, Integral):
            self.note(where, f"must be a whole number, not {shown(value)}")
            return 0
        return int(value)

    def name(self, value: Any, where: str) -> str:
        """Read a name: text that is not empty, or a whole number."""
        if isinstance(value, bool) or not isinstance(value, str | Integral) or value == "":
            self.note(where, f"must be a name, not {shown(value)}")
        elif not str(value).isascii() and str(value).encode("utf-8", "replace").decode() != value:
            self.note(where, "holds half of a character pair", "write it in UTF-8")
        return str(value)

    def choice(self, value: Any, where: str, choices: tuple[str, ...]) -> Any:
        """Read one of several words."""
        if not isinstance(value, str) or value not in choices:
            self.note(where, f"is {shown(value)}", suggest(str(value), choices))
            return choices[0]
        return value

    def items(self, value: Any, where: str) -> list[Any]:
        """Read a list; an empty one where it is none."""
        if isinstance(value, list | tuple):
            return list(value)
        self.note(where, f"must be a list, not {shown(value)}")
        return []


def shown(value: Any) -> str:
    """Write a value as its author would recognise it."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, list | dict):
        return f"{json.dumps(value, default=float, ensure_ascii=False):.60}"
    return str(value) if isinstance(value, int | float | Decimal) else f"{value!r:.60}"
