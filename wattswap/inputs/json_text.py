"""JSON as its author wrote it: exact decimals, and no key twice."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any

from wattswap.errors import Problem
from wattswap.inputs.collector import CaseReader, InvalidCase


def parsed(text: str, what: str = "a case") -> tuple[Any, list[Problem]]:
    """Read JSON; also a problem for every key that one of its objects holds twice.

    Args:
        text: The JSON.
        what: What it should be, for messages.

    Raises:
        InvalidCase: It is no JSON that can be read.
    """
    read = CaseReader()
    try:
        return json.loads(text, parse_float=Decimal, object_pairs_hook=partial(_object, read)), read.problems
    except json.JSONDecodeError as broken:
        place = f"line {broken.lineno}, column {broken.colno}"
        raise InvalidCase.of(place, f"this is not JSON: {broken.msg}") from None
    except InvalidOperation:
        raise InvalidCase.of("", "the JSON holds a number beyond all bounds") from None
    except RecursionError:
        raise InvalidCase.of("", f"the JSON is nested too deeply to be {what}") from None
    except ValueError as broken:  # a whole number of thousands of digits
        raise InvalidCase.of("", f"the JSON cannot be read: {broken}") from None


def _object(read: CaseReader, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        for key in sorted(key for key, times in Counter(key for key, _ in pairs).items() if times > 1):
            read.note(key, "this key is given twice", "keep one")
    return found
