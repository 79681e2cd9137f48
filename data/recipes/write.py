"""Recipes written as TOML."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from data.recipes.model import CONTRACT, IGNORE, Recipe

HEAD = ("title", "about", "country", "source", "sample", "meters", "zone", "refuse", "code", "totals")
_KEYS = {"ends": "is", "values": "value"}


def recipe_to_toml(recipe: Recipe) -> str:
    """Write a recipe as TOML; reading it back gives the same recipe."""
    head = [f"contract = {CONTRACT}", *_lines(recipe, HEAD)]
    columns = [f"{role} = {_toml(headers)}" for role, headers in recipe.columns.items()]
    if recipe.ignore:
        columns.append(f"{IGNORE} = {_toml(recipe.ignore)}")
    parts = ["\n".join(head)]
    parts += _section("file", recipe.file)
    parts.append("\n".join(["[columns]", *columns]))
    parts += _section("stamp", recipe.stamp)
    if recipe.times is not None:
        parts.append(f"[times]\npattern = {_toml(recipe.times)}")
    if recipe.meter is not None:
        parts.append(f"[meter]\ncolumn = {_toml(recipe.meter)}")
    parts += ["\n".join(["[[value]]", *_lines(value)]) for value in recipe.values]
    parts += _section("quality", recipe.quality)
    parts += _section("rows", recipe.rows)
    parts += ["\n".join(["[[preamble]]", *_lines(rule)]) for rule in recipe.preamble]
    parts += _section("blocks", recipe.blocks)
    return "\n\n".join(parts) + "\n"


def _section(name: str, rule: Any) -> list[str]:
    lines = _lines(rule) if rule is not None else []
    return ["\n".join([f"[{name}]", *lines])] if lines else []


def _lines(rule: Any, names: Sequence[str] | None = None) -> list[str]:
    """The fields of a rule that differ from what is meant where they are left out."""
    plain = {field.name: field for field in fields(rule)}
    lines = []
    for name in names if names is not None else plain:
        value, field = getattr(rule, name), plain[name]
        if value != field.default and value not in ((), {}):
            one = value[0] if isinstance(value, tuple) and len(value) == 1 and name != "refuse" else value
            lines.append(f"{_KEYS.get(name, name)} = {_toml(one)}")
    return lines


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_toml, value))}]"
    if is_dataclass(value):
        value = {f.name: getattr(value, f.name) for f in fields(value) if getattr(value, f.name) != f.default}
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_quoted(str(k))} = {_toml(v)}" for k, v in value.items()) + " }"
    return str(int(value)) if value == int(value) else repr(value)


def _quoted(text: str) -> str:
    """A text as TOML has it: literal where it holds a backslash, so that patterns stay readable."""
    if "\\" in text and "'" not in text and text.isprintable():
        return f"'{text}'"
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
