"""Error sentences of the scenario models: key, message, what to do, nearest known name."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from agents.devices import DEVICES
from wattswap.errors import suggest
from wattswap.scenario.fields import Wrong, kind
from wattswap.scenario.layers import dotted
from wattswap.scenario.lines import KeyPath
from wattswap.scenario.model import scenario_model
from wattswap.scenario.time import Table

Fault = tuple[KeyPath, str, str]
"""(key path, message, what to do)."""
ONE_LETTER_OFF = 0.9
"""How like a known key a word is that is no key of another table: `shares` beside `share`."""

_WANTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "string_type": "text in quotes",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}


def fields_of(table: type[Table]) -> dict[str, FieldInfo]:
    """The fields of a table by the key they have in the file."""
    return {field.alias or name: field for name, field in table.model_fields.items()}


def inner_table(annotation: Any) -> type[Table] | None:
    """The table inside an annotation such as `tuple[TimeOfUse, ...]`, if there is one."""
    if isinstance(annotation, type) and issubclass(annotation, Table):
        return annotation
    return next((found for part in get_args(annotation) if (found := inner_table(part))), None)


def key_paths(table: type[Table] | None = None, prefix: str = "") -> dict[str, FieldInfo]:
    """Every key of the file by its dotted path; NAME is a name that the user chooses.

    Args:
        table: The top of the file; a scenario when left out.
        prefix: Path of the table.
    """
    found: dict[str, FieldInfo] = {}
    for key, field in fields_of(table or scenario_model()).items():
        found[f"{prefix}{key}"] = field
        inside = inner_table(field.annotation)
        if inside is not None:
            middle = ".NAME." if get_origin(field.annotation) is dict else "."
            found.update(key_paths(inside, f"{prefix}{key}{middle}"))
    return found


def _table_at(path: KeyPath, root: type[Table]) -> type[Table] | None:
    table = root
    names_follow = False
    for part in path:
        if isinstance(part, int):
            continue
        if names_follow:
            names_follow = False
            continue
        field = fields_of(table).get(part)
        inside = inner_table(field.annotation) if field else None
        if field is None or inside is None:
            return None
        table, names_follow = inside, get_origin(field.annotation) is dict
    return table


RENAMED: Mapping[KeyPath, str] = {
    ("data", "register"): 'write kind = "counter", or kind = "energy" for energy of each interval'
}
"""What to write for keys of an earlier release."""


def unknown_key(path: KeyPath, root: type[Table] | None = None, value: object = None) -> Fault:
    """The probable meaning of an unknown key with a value, in a scenario or a file whose top is `root`."""
    root = root or scenario_model()
    table, key = _table_at(path[:-1], root), str(path[-1])
    if path in RENAMED:
        return path, "is the old name of another key", RENAMED[path]
    siblings = fields_of(table) if table else {}
    elsewhere = [known for known in key_paths(root) if known.split(".")[-1] == key]
    # A known key in the wrong table is usually a line below the wrong [header], not a typo; not so one letter off.
    if elsewhere and not get_close_matches(key, siblings, n=1, cutoff=ONE_LETTER_OFF):
        return path, "is not a key of this table", f"did you mean {' or '.join(map(repr, elsewhere))}?"
    if isinstance(value, dict):
        return path, "unknown table", _suggest_table(key, siblings)
    return path, "unknown key", suggest(key, siblings)


def _suggest_table(name: str, siblings: Mapping[str, FieldInfo]) -> str:
    """What to do about an unknown table: the nearest that there is, also where it was written in the plural."""
    tables = [
        key
        for key, field in siblings.items()
        if inner_table(field.annotation) or get_origin(field.annotation) is dict
    ]
    plural = {f"{key}s": key for key in tables}
    plural |= {one.switch: name for name, one in DEVICES.all().items() if one.switch and name in tables}
    spelt = {**plural, **dict.fromkeys(tables)}
    near = next(iter(get_close_matches(name.lower(), spelt, n=1)), None)
    meant = name if near is None else spelt[near] or near
    return suggest(meant, tables)


def faults_of(error: ValidationError, root: type[Table] | None = None) -> list[Fault]:
    """Turn what pydantic found in a file whose top is `root`, a scenario when left out, into sentences."""
    root = root or scenario_model()
    found: list[Fault] = []
    for item in error.errors(include_url=False):
        path: KeyPath = item["loc"]
        context = item.get("ctx", {})
        wrong = context.get("error")
        if isinstance(wrong, Wrong):
            for key, message, cure in wrong.faults:
                inside = key if isinstance(key, tuple) else tuple(key.split(".") if key else ())
                found.append((path + inside, message, cure))
        else:
            found.append(_sentence(item["type"], path, item.get("input"), context, item["msg"], root))
    return found


def _sentence(
    type_: str, path: KeyPath, value: Any, context: dict[str, Any], message: str, root: type[Table]
) -> Fault:
    if type_ == "extra_forbidden":
        return unknown_key(path, root, value)
    if type_ == "missing":
        table = _table_at(path[:-1], root)
        field = fields_of(table).get(str(path[-1])) if table else None
        return path, "is missing", f"add it: {field.description if field else dotted(path)}".rstrip(".")
    if type_ == "literal_error" and isinstance(value, dict):
        choices = context["expected"].replace(" or ", ", ")
        device = next((name for name, one in DEVICES.all().items() if one.switch == path[-1]), None)
        cure = f"write [homes.{device}.NAME] for that of a home" if device else ""
        return path, f"must be one of {choices}, not a table", cure
    if type_ == "literal_error":
        choices = context["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        return path, f"{_short(value)} is not a choice", suggest(str(value), choices)
    if type_ in _WANTED:
        return path, f"must be {_WANTED[type_]}, not {kind(value)} ({_short(value)})", ""
    for limit, words, most in (
        ("ge", "small", "smallest"),
        ("gt", "small", "limit"),
        ("le", "large", "largest"),
        ("lt", "large", "limit"),
    ):
        if limit in context:
            return path, f"{_short(value)} is too {words}", f"the {most} is {context[limit]}"
    return path, message[:1].lower() + message[1:], ""


def _short(value: Any) -> str:
    text = (
        repr(value)
        if isinstance(value, str)
        else str(value).lower()
        if isinstance(value, bool)
        else str(value)
    )
    return text if len(text) <= 60 else f"{text[:57]}..."
