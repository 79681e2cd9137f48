"""Clear one case, given as a dict or a JSON file: decimal numbers outside, integers inside.

All errors of a case are collected and raised at once; no key or parameter is ignored. Numbers are read
from the text of the JSON and rounded once, half to even: energy to Wh, prices to micro-currency per kWh.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from market.errors import UnknownName
from market.mechanism import MECHANISMS, Mechanism
from wattswap.cases.bilateral import clear_bilateral
from wattswap.cases.book import clear_book_case
from wattswap.cases.community_manager import clear_community
from wattswap.cases.cooperative import METHODS, clear_cooperative
from wattswap.cases.events import clear_event_case
from wattswap.cases.horizon import clear_horizon_case
from wattswap.cases.metered import clear_sharing_case
from wattswap.cases.retailer import clear_retailer_case
from wattswap.cases.storage import clear_storage
from wattswap.errors import Problem, exit_code_of, is_expected, problems_of
from wattswap.inputs.collector import InvalidCase
from wattswap.inputs.json_text import parsed
from wattswap.inputs.no_run import OF_AGENTS, OF_STORAGES

Result = dict[str, Any]
Tell = Callable[[str, list[Problem]], None]
"""Called with the place of a case, and what is wrong with it."""
_QUANTITIES = {"load_kwh", "generation_kwh", "supply_kwh", "demand_kwh"}
"""Keys of metered quantities, which a case may hold instead of orders."""


def clear_case(case: Mapping[str, Any], mechanism: str) -> Result:
    """Clear one case of the contract.

    Args:
        case: As read from JSON; a number may be an int, a float or a Decimal. Not changed.
        mechanism: A registered name.

    Returns:
        The result of the contract, ready for JSON.

    Raises:
        InvalidCase: Lists everything that is wrong with the case.
        UnknownName: Names the nearest match.
    """
    if mechanism in METHODS:
        return clear_cooperative(case, mechanism)
    if mechanism in OF_AGENTS:
        return (clear_bilateral if mechanism == "bilateral" else clear_community)(case)
    if mechanism in OF_STORAGES:
        return clear_storage(case, mechanism)
    found = _named(mechanism)
    keys = set(case) if isinstance(case, Mapping) else set()
    if found.inputs == "metered" and ("orders" not in keys or keys & _QUANTITIES):
        return (clear_sharing_case if found.share else clear_retailer_case)(case, found)
    if found.inputs == "events" and "orders" not in keys:
        return clear_event_case(case, found)
    if found.inputs == "horizon" and "orders" not in keys:
        return clear_horizon_case(case, found)
    return clear_book_case(case, found)


def clear_file(path: Path, mechanism: str, tell: Tell = lambda where, problems: None) -> Iterator[Result]:
    """Clear the case of a .json file, or one case per line of a .jsonl file.

    Args:
        path: The file.
        mechanism: Its name.
        tell: Called with the place and the problems of each case that cannot be cleared.

    Yields:
        A result per case, in order; for a case that cannot be cleared {"error": {"code", "message"}} with the exit
        code of the command.

    Raises:
        InvalidCase: The file is neither, or cannot be read.
        UnknownName: Names the nearest match.
    """
    if mechanism not in (*METHODS, *OF_AGENTS, *OF_STORAGES):
        _named(mechanism)
    if path.suffix not in (".json", ".jsonl"):
        raise InvalidCase.of(str(path), "is neither a .json nor a .jsonl file", "name it by what it holds")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as unreadable:
        raise InvalidCase.of(str(path), f"cannot be read: {unreadable.strerror}", "name a file") from None
    except UnicodeDecodeError as unreadable:
        raise InvalidCase.of(str(path), f"is not UTF-8 text: {unreadable}", "save it as UTF-8") from None
    if path.suffix == ".json":
        yield _clear_text(text, mechanism, path.name, tell)
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield _clear_text(line, mechanism, f"{path.name}:{number}", tell)


def _named(mechanism: str) -> Mechanism:
    """The mechanism of this name; the nearest name may be that of a cooperative method."""
    try:
        return MECHANISMS.get(mechanism)
    except UnknownName as unknown:
        raise UnknownName(
            "mechanism", mechanism, [*unknown.known, *METHODS, *OF_AGENTS, *OF_STORAGES]
        ) from None


def _clear_text(text: str, mechanism: str, where: str, tell: Tell) -> Result:
    try:
        case, twice = parsed(text)
        if twice:
            raise InvalidCase(*twice, *_wrong_with(case, mechanism))
        return clear_case(case, mechanism)
    except Exception as error:
        if not is_expected(error):
            raise
        problems = problems_of(error)
        tell(where, problems)
        sentences = "; ".join(str(problem) for problem in problems)
        return {"error": {"code": int(exit_code_of(error)), "message": f"{where}: {sentences}"}}


def _wrong_with(case: Any, mechanism: str) -> list[Problem]:
    """What else is wrong with a case that is refused anyway."""
    try:
        clear_case(case, mechanism)
    except InvalidCase as invalid:
        return invalid.problems
    except Exception as error:
        if not is_expected(error):
            raise
    return []
