"""Clear one case that a JSON file or a dict describes: the edge between decimal numbers and the integers inside.

docs/reference/clear-contract.md lists the inputs and outputs. Everything wrong with a case is collected and
raised at once; no key and no parameter is ignored.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from importlib import import_module
from itertools import repeat
from numbers import Integral, Rational
from pathlib import Path
from typing import Any, get_args

from market.book import Order, OrderBook, Side
from market.clearing import Clearing
from market.errors import InvalidBook, InvalidRules, MarketError, UnknownMechanism, did_you_mean
from market.mechanism import get
from market.rules import MarketRules, Rationing, Solver
from market.units import PPM, kwh, micro_from_price, money, price, wh_from_kwh

INVALID, UNSOLVED = 3, 4
"""Exit codes: an invalid case, and one that no solver could clear."""

_LIMIT = Decimal(10) ** 15  # beyond it nothing fits into 64 bits, and 1e999999999 must not become an integer


class InvalidCase(ValueError):
    """A case that breaks the contract; `problems` lists every rule it breaks, one sentence each."""

    code = INVALID

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


def clear_case(case: Mapping[str, Any], mechanism: str) -> dict[str, Any]:
    """Clear one case of the contract.

    Args:
        case: As read from JSON; numbers may be int, float or Decimal. Not changed.
        mechanism: A registered name.

    Returns:
        The result of the contract, ready for JSON.

    Raises:
        InvalidCase: Lists everything that is wrong with the case.
    """
    for package in ("market.mechanisms", "optimizer.mechanisms"):
        import_module(package)
    try:
        get(mechanism)
    except UnknownMechanism as unknown:
        raise InvalidCase([str(unknown)]) from None
    return _SHARING.get(mechanism, _clear_book)(case, mechanism)


def clear_file(path: Path, mechanism: str) -> Iterator[dict[str, Any]]:
    """Clear the case of a .json file, or one case per line of a .jsonl file.

    Yields:
        A result per case, in order; for a case that cannot be cleared {"error": {"code", "message"}}, with the exit
        code of the command and one sentence per problem.

    Raises:
        InvalidCase: The file has another suffix, or cannot be read.
    """
    if path.suffix not in (".json", ".jsonl"):
        raise InvalidCase([f"{path.name}: a case is a .json or a .jsonl file"])
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as unreadable:
        raise InvalidCase([f"{path}: cannot be read as UTF-8 text: {unreadable}"]) from None
    if path.suffix == ".json":
        yield _clear_text(text, mechanism, path.name)
    else:
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                yield _clear_text(line, mechanism, f"{path.name} line {number}")


def _clear_text(text: str, mechanism: str, where: str) -> dict[str, Any]:
    from optimizer.errors import OptimizerError

    try:
        case = json.loads(text, parse_float=Decimal, object_pairs_hook=_no_duplicate_keys)
        return clear_case(case, mechanism)
    except InvalidCase as invalid:
        return _error(INVALID, f"{where}: {invalid}")
    except json.JSONDecodeError as broken:
        return _error(INVALID, f"{where}: no JSON at line {broken.lineno}, column {broken.colno}: {broken.msg}")
    except (ValueError, RecursionError) as broken:  # an integer of thousands of digits, or brackets as deep
        return _error(INVALID, f"{where}: JSON that cannot be read: {broken}")
    except OptimizerError as unsolved:
        return _error(UNSOLVED, f"{where}: {unsolved}")


def _error(code: int, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


def _no_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise InvalidCase([f"key {key!r} is given twice" for key in twice])
    return dict(pairs)


class _Reader:
    """Reads values out of a case and collects what is wrong with them."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def note(self, problem: str) -> None:
        self.problems.append(problem)

    def refuse(self) -> None:
        """Raise if anything was wrong so far."""
        if self.problems:
            raise InvalidCase(self.problems)

    def mapping(self, value: Any, where: str, required: set[str], optional: set[str]) -> Mapping[str, Any]:
        """Check that a value is an object with these keys; return it, or an empty one."""
        if not isinstance(value, Mapping):
            self.note(f"{where} must be an object, not {_kind(value)}")
            return {}
        known = sorted(required | optional)
        for key in value:
            if key not in known:
                names = f"Known: {', '.join(known)}." if known else "It takes none."
                self.note(f"unknown key {str(key)!r} in {where}.{did_you_mean(str(key), known)} {names}")
        for key in sorted(required - set(value)):
            self.note(f"{where} lacks {key!r}")
        return value

    def number(self, value: Any, where: str) -> Decimal | None:
        """Read a finite decimal number."""
        if isinstance(value, bool) or not isinstance(value, (int, float, Decimal, Rational)):
            self.note(f"{where} must be a number, not {_kind(value)}")
            return None
        found = Decimal(int(value)) if isinstance(value, Integral) else Decimal(str(value))
        if not found.is_finite():
            self.note(f"{where} is {value}; it must be finite")
            return None
        if abs(found) > _LIMIT:
            self.note(f"{where} is {value}; nothing beyond 1e15 can be cleared")
            return None
        return found

    def energy_wh(self, value: Any, where: str) -> int:
        """Read an energy >= 0. [kWh -> Wh]"""
        found = self.number(value, where)
        if found is not None and found < 0:
            self.note(f"{where} is {value}; it must not be negative, the direction is not a sign")
        return 0 if found is None else wh_from_kwh(found)

    def micro(self, value: Any, where: str) -> int:
        """Read a price. [currency/kWh -> micro-currency/kWh]"""
        found = self.number(value, where)
        return 0 if found is None else micro_from_price(found)

    def whole(self, value: Any, where: str) -> int:
        """Read a whole number."""
        if isinstance(value, bool) or not isinstance(value, Integral):
            self.note(f"{where} must be a whole number, not {_kind(value)}")
            return 0
        return int(value)

    def name(self, value: Any, where: str) -> str:
        """Read the name of something: text that is not empty, or a whole number."""
        if isinstance(value, bool) or not isinstance(value, (str, Integral)) or value == "":
            self.note(f"{where} must be a text that is not empty, not {_kind(value)}")
        return str(value)

    def choice(self, value: Any, where: str, choices: tuple[str, ...]) -> str:
        """Read one of several words."""
        if value not in choices:
            hint = did_you_mean(str(value), choices)
            self.note(f"{where} is {value!r}.{hint} Known: {', '.join(choices)}.")
            return choices[0]
        return str(value)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    return repr(value) if isinstance(value, (str, int, float, Decimal)) else f"a {type(value).__name__}"


# ---------------------------------------------------------------------------------------------------- order books

_ORDER_KEYS = {"id", "participant", "side", "quantity_kwh", "price_per_kwh"}
_ORDER_KEYS_OPTIONAL = {"time", "node", "attributes", "requirements"}
_SIDES = {"buy": Side.BUY, "sell": Side.SELL}


@dataclass(frozen=True)
class _BookCase:
    """A book with the names that the case uses: ids by position in the case, participants by roster index."""

    ids: list[Any]
    participants: list[Any]
    book: OrderBook
    row_of: list[int]


def _clear_book(case: Mapping[str, Any], mechanism: str) -> dict[str, Any]:
    read = _Reader()
    top = read.mapping(case, "the case", {"orders"}, {"params"})
    rules = _rules(read, top.get("params", {}), mechanism)
    orders = top.get("orders", [])
    if not isinstance(orders, list):
        read.note(f"'orders' must be a list, not {_kind(orders)}")
        orders = []
    book_case = _book(read, orders, rules)
    clearing = get(mechanism).clear(book_case.book, rules)
    return _book_result(book_case, clearing, mechanism)


_BOOK_PARAMS: dict[str, Callable[[_Reader, Any, str], dict[str, Any]]] = {
    "k": lambda read, value, where: {"k_ppm": int(((read.number(value, where) or 0) * PPM).to_integral_value())}
}


def _rules(read: _Reader, params: Any, mechanism: str) -> MarketRules:
    given = read.mapping(params, "params", set(), {"k", "rationing", "seed", "solver"})
    rules = MarketRules()
    return rules
