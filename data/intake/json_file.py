"""JSON from unknown sources, loaded whole; each error is a finding."""

from __future__ import annotations

import json
from typing import Any

from data.findings import FindingLog
from data.intake.file import MeterFile

LARGEST_BYTES = 256 << 20
"""A year of readings has some megabytes; what is larger is not what it seems to be."""


class _RepeatedKey(Exception):
    """The key that an object has twice."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of its keys; of a key that is there twice the json module would take the last value."""
    found = dict(pairs)
    if len(found) < len(pairs):
        for n, (key, value) in enumerate(pairs):
            if any(key == earlier and value != other for earlier, other in pairs[:n]):
                raise _RepeatedKey(repr(key[:40]))
    return found


def load_json(file: MeterFile, log: FindingLog) -> Any | None:
    """Return what a file holds, None after an error."""
    if file.path.is_dir():
        log.add("error", "unreadable", "this is a folder; name the JSON file in it")
        return None
    if file.path.stat().st_size > LARGEST_BYTES:
        log.add("error", "unreadable", f"the file has more than {LARGEST_BYTES >> 20} MB; split it by year")
        return None
    try:
        value = json.loads(file.path.read_text(encoding="utf-8-sig"), object_pairs_hook=_object)
    except _RepeatedKey as repeated:
        message = f"an object of the JSON has {repeated} twice, with two values; download the file again"
        log.add("error", "conflict", message)
    except json.JSONDecodeError as problem:
        message = f"the JSON cannot be read to its end ({problem.msg}); download the file again"
        log.add("error", "unreadable", message, line=problem.lineno)
    except (UnicodeDecodeError, RecursionError, ValueError):
        log.add("error", "unreadable", "the file is no JSON in UTF-8; download it again")
    else:
        if value is None:
            log.add("error", "unreadable", "the file holds nothing but null; download it again")
        return value
    return None


def text_of(value: object) -> str:
    """A JSON value as a cell of a table: "" for null, and nothing that is no number looks like one."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return f"({type(value).__name__})"
    return str(value)
