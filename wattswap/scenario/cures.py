"""What to write instead of a number, a date or a name that TOML does not know in this form."""

from __future__ import annotations

import json
import re

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_COMMA = re.compile(r"""["']?\s*([-+]?\d+),(\d+)\s*["']?""")
_PERCENT = re.compile(r"""["']?\s*([-+]?\d+(?:\.\d+)?)\s*%\s*["']?""")
_DAY_FIRST = re.compile(r"""["']?\s*(\d{1,2})[./](\d{1,2})[./](\d{4})\b.*""")


def cure_of_value(text: str) -> str:
    """What to do about a decimal comma, a percent sign or a date that begins with its day; empty for any other."""
    value = text.split("#")[0].strip()
    if found := _COMMA.fullmatch(value):
        return f"decimals have a point and no quotes: write {found[1]}.{found[2]}"
    if found := _PERCENT.fullmatch(value):
        return f"write a number alone: {found[1]} for a key in percent, {float(found[1]) / 100:g} for a share"
    if found := _DAY_FIRST.fullmatch(value):
        day, month, year = found[1], found[2], found[3]
        return f"dates begin with the year and have no quotes: write {year}-{month:0>2}-{day:0>2}"
    return ""


def quoted(key: str) -> str:
    """A key path with quotes around each part that TOML wants in quotes, as the name of a home with an umlaut."""
    if '"' in key or "'" in key:
        return key.strip()
    parts = [part.strip() for part in key.split(".")]
    return ".".join(part and quoted_part(part) for part in parts)


def quoted_part(part: str) -> str:
    """One part of a key path as TOML has it, also one that holds a dot."""
    return part if _BARE.fullmatch(part) else json.dumps(part, ensure_ascii=False)


def cure_of_key(text: str) -> str:
    """What to do about a key or a [table] with a name that TOML wants in quotes; empty for any other."""
    key = text.split("#")[0].strip()
    inside = key.strip("[]").strip()
    asked = quoted(inside)
    if asked == inside or not all(inside.split(".")):
        return ""
    written = f"[{asked}]" if key.startswith("[") else asked
    return f"names with other letters than A-Z, a-z, digits, - and _ go in quotes: {written}"
