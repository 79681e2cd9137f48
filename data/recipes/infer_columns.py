"""What the columns of an unknown table hold beside its times: numbers, homes, registers, units, quality."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from data.recipes.infer_table import Table, is_empty, is_number
from data.recipes.infer_text import Conclusion
from data.recipes.infer_words import WORDS, has_word, meaning_of, plain, unit_in

MEASURED, ESTIMATED, MISSING = (frozenset(WORDS[name]) for name in ("measured", "estimated", "missing"))
YES, NO = WORDS["yes"], WORDS["no"]

MOST_WORDS = 40
"""A column of more words is no register and no quality."""


@dataclass(frozen=True, slots=True)
class Decimal:
    """How numbers are written.

    Args:
        sign: Decimal sign.
        thousands: Sign between groups of three digits.
        proven: Whether a number of the head could not be read in another way.
        why: One clause.
        open: Why it is not certain; "" where it is.
    """

    sign: str
    thousands: str | None
    proven: bool
    why: str
    open: str = ""


def numeric(cells: Sequence[str], share: float = 0.98) -> bool:
    """Whether a column holds numbers, with texts for no reading between."""
    filled = [cell for cell in cells if not is_empty(cell)]
    return bool(filled) and sum(map(is_number, filled)) >= share * len(filled)


def decimal_of(columns: Sequence[Sequence[str]]) -> Decimal:
    """Find the decimal sign over all cells of the columns that may hold readings."""
    cells = {cell for column in columns for cell in column if is_number(cell)}
    marked = {cell.lstrip("+-") for cell in cells if "." in cell or "," in cell}
    spaces = any(re.search(r"\d[ \u00a0\u202f]\d{3}(?!\d)", cell) for cell in cells)
    apostrophes = any(re.search(r"\d'\d{3}(?!\d)", cell) for cell in cells)
    thousands = " " if spaces else "'" if apostrophes else None
    if any(re.search(r"\..*,|,.*\.", cell) for cell in marked):
        ends = {
            max(cell.rfind("."), cell.rfind(",")) == cell.rfind(",")
            for cell in marked
            if "." in cell and "," in cell
        }
        if len(ends) == 1:
            sign = "," if ends.pop() else "."
            return Decimal(
                sign, "." if sign == "," else ",", True, "numbers have both signs, and it comes last"
            )
        return Decimal(".", None, False, "", "numbers have both commas and points, in both orders")
    for sign, name in ((",", "commas"), (".", "points")):
        mine = {cell for cell in marked if sign in cell}
        others = {cell for cell in marked if cell not in mine}
        if not mine:
            continue
        if others:
            return _both(mine, others)
        grouped = all(re.fullmatch(rf"[1-9]\d{{0,2}}(\{sign}\d{{3}})+", cell) for cell in mine)
        several = any(cell.count(sign) > 1 for cell in mine)
        if several and grouped:
            return Decimal("." if sign == "," else ",", sign, False, f"numbers have several {name}")
        if several:
            return Decimal(".", None, False, "", f"numbers such as {sorted(mine)[0]!r} have several {name}")
        if not grouped:
            return Decimal(
                sign, thousands, True, f"numbers such as {sorted(mine, key=len)[-1]!r} have {name}"
            )
        return Decimal(
            sign,
            thousands,
            False,
            "",
            f"{sorted(mine)[0]!r} may be a whole number with a sign between thousands, or have three decimals",
        )
    return Decimal(".", thousands, False, "whole numbers alone")


def _both(commas: set[str], points: set[str]) -> Decimal:
    """The decimal sign where some numbers have a comma and others a point."""
    grouped = {
        sign: all(re.fullmatch(rf"[1-9]\d{{0,2}}(\{sign}\d{{3}})+", cell) for cell in mine)
        for sign, mine in ((",", commas), (".", points))
    }
    if grouped[","] != grouped["."]:
        thousands = "," if grouped[","] else "."
        return Decimal(
            "." if thousands == "," else ",",
            thousands,
            True,
            f"{thousands!r} stands before groups of three digits alone",
        )
    return Decimal(
        ".",
        None,
        False,
        "",
        f"some numbers have a comma ({sorted(commas)[0]!r}) and others a point ({sorted(points)[0]!r})",
    )


def values_of(cells: Sequence[str], decimal: Decimal) -> list[float | None]:
    """Numbers of a column; None where a cell holds none."""
    found: list[float | None] = []
    for cell in cells:
        text = cell.replace("\u00a0", "").replace("\u202f", "").replace(" ", "").replace("'", "")
        if decimal.thousands:
            text = text.replace(decimal.thousands, "")
        if decimal.sign == ",":
            text = text.replace(",", ".")
        try:
            found.append(float(text) if not is_empty(cell) else None)
        except ValueError:
            found.append(None)
    return found


@dataclass(frozen=True, slots=True)
class Texts:
    """Columns of texts by what they are; None where the table has none.

    Args:
        meter: Names the home.
        register: Its words say what a number of the row is.
        unit: Holds the unit of the row.
        quality: Flags.
        quality_words: Measured, estimated and missing words of the flags.
        unknown_quality: Words of the flags whose meaning is not known.
        open: What is not certain, one sentence each.
        apart: Columns that distinguish rows of one time for a reason that is not known.
        mixed: Whether many rows have the same time, home and register.
        why: Reason for each column, by number.
    """

    meter: int | None = None
    register: int | None = None
    unit: int | None = None
    quality: int | None = None
    quality_words: Mapping[str, tuple[str, ...]] | None = None
    unknown_quality: tuple[str, ...] = ()
    open: tuple[str, ...] = ()
    apart: tuple[int, ...] = ()
    mixed: bool = False
    why: Mapping[int, str] | None = None


def texts_of(table: Table, used: set[int], numbers: set[int], stamps: Sequence[int | None]) -> Texts:
    """Find what each column of texts is.

    Args:
        table: The table.
        used: Columns that have a role already.
        numbers: Columns of numbers; one with the name of a meter may be an id.
        stamps: Time of each row.
    """
    why: dict[int, str] = {}
    words = {i: Counter(table.column(i)) for i in range(len(table.header)) if i not in used}
    unit = next((i for i in words if i not in numbers and _is_unit(table.header[i], words[i])), None)
    if unit is not None:
        why[unit] = "its cells are units"
        del words[unit]
    quality = next((i for i in words if i not in numbers and _is_quality(table.header[i], words[i])), None)
    if quality is not None:
        why[quality] = "its name or its words are those of flags"
    meter = _meter(table, {i: count for i, count in words.items() if i != quality}, numbers)
    if meter is not None:
        why[meter] = f"{table.header[meter]!r} names a home or its meter"
    rest = {i: count for i, count in words.items() if i not in (quality, meter) and i not in numbers}
    key = [(stamp, table.rows[n][meter] if meter is not None else "") for n, stamp in enumerate(stamps)]
    register = _register(table, rest, key)
    if register is not None:
        why[register] = f"its words choose what a row holds: {', '.join(sorted(words[register])[:4])}"
    known = _flags(table.header[quality], words[quality]) if quality is not None else ({}, ())
    full = [(*k, table.rows[n][register] if register is not None else "") for n, k in enumerate(key)]
    ids = {i: words[i] for i in words if i in numbers and i != meter and _like_ids(table.header[i], words[i])}
    apart, open_ = _undistinguished(table, {**rest, **ids}, full, register)
    mixed = len({(*k, row) for k, row in zip(full, table.rows, strict=True)}) - len(set(full)) > 0.05 * len(
        full
    )
    return Texts(meter, register, unit, quality, known[0], known[1], open_, apart, mixed, why)


def _like_ids(name: str, words: Counter[str]) -> bool:
    """Whether a column of numbers may hold numbers of homes: few whole ones, and no unit in its name."""
    whole = all(re.fullmatch(r"\d+", word) for word in words)
    return (
        whole
        and 1 < len(words) <= MOST_WORDS
        and unit_in(name).name is None
        and meaning_of(name).channel is None
    )


def _is_unit(name: str, words: Counter[str]) -> bool:
    filled = [word for word in words if not is_empty(word)]
    units = [word for word in filled if unit_in(word).name is not None and len(word) <= 12]
    return (
        bool(filled)
        and len(units) == len(filled)
        and (len(units) > 0)
        and (has_word(plain(name), "unit") is not None or all(unit_in(word).name for word in filled))
    )


def _is_quality(name: str, words: Counter[str]) -> bool:
    filled = [word for word in words if word]
    if not filled or len(filled) > MOST_WORDS or all(is_number(word) for word in filled):
        return False
    known = [word for word in filled if plain(word) in MEASURED | ESTIMATED | MISSING and len(word) > 2]
    return has_word(plain(name), "quality") is not None or (
        len(known) == len(filled) and meaning_of(filled[0]).channel is None
    )


def _flags(name: str, words: Counter[str]) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """Words of a column of flags by what they mean, and those that are not known."""
    found: dict[str, list[str]] = {"measured": [], "estimated": [], "missing": []}
    unknown = []
    about_estimates = any(stem in plain(name) for stem in ("estim", "beregnet", "ersatzwert"))
    for word in words:
        text = plain(word)
        if about_estimates and text in (*YES, *NO):
            found["estimated" if text in YES else "measured"].append(word)
        elif not word:
            found["measured"].append(word)
        elif text in MISSING:
            found["missing"].append(word)
        elif text in ESTIMATED:
            found["estimated"].append(word)
        elif text in MEASURED:
            found["measured"].append(word)
        else:
            unknown.append(word)
    return {kind: tuple(sorted(texts)) for kind, texts in found.items() if texts}, tuple(sorted(unknown))


def _meter(table: Table, words: Mapping[int, Counter[str]], numbers: set[int]) -> int | None:
    """The column that names homes: by its name; of several, the one with the most homes."""
    found = []
    for i, count in words.items():
        text = plain(table.header[i])
        if (
            not (word := has_word(text, "meter"))
            or unit_in(table.header[i]).name is not None
            or not any(count)
        ):
            continue
        if len(count) == len(table.rows) > 2 and word == "id":  # a number of the row
            continue
        if i in numbers and not all(re.fullmatch(r"\d+", cell) for cell in count if cell):
            continue
        if has_word(text, "register") and len(count) > 1 and any(meaning_of(cell).channel for cell in count):
            continue
        # "Meter type" and the like say nothing of which home it is, unless nothing else does.
        found.append(
            (not {"type", "typ", "name", "model", "version", "kind"} & set(text.split()), len(count), -i)
        )
    return -max(found)[2] if found else None


def _register(
    table: Table, words: Mapping[int, Counter[str]], key: Sequence[tuple[int | None, str]]
) -> int | None:
    """The column whose words choose the channel of a row."""
    repeated = len(set(key)) < len(key)
    for i, count in words.items():
        filled = [word for word in count if word]
        if not filled or len(filled) > MOST_WORDS:
            continue
        meant = sum(meaning_of(word).channel is not None for word in filled)
        named = has_word(plain(table.header[i]), "register") is not None
        if meant * 2 >= len(filled) and (named or (repeated and len(filled) > 1)):
            return i
        if named and repeated and len(filled) > 1:
            return i
    return None


def _undistinguished(
    table: Table, words: Mapping[int, Counter[str]], full: Sequence[tuple[object, ...]], register: int | None
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Columns that distinguish rows of one time and whose meaning is not known: homes or registers."""
    if len(set(full)) == len(full):
        return (), ()
    found: dict[int, str] = {}
    for i, count in words.items():
        if i == register or len(count) < 2 or len(count) > len(table.rows) // 2:
            continue
        finer = {(*k, table.rows[n][i]) for n, k in enumerate(full)}
        if len(finer) > len(set(full)):
            some = ", ".join(sorted(word for word in count if word)[:3])
            found[i] = (
                f"{table.header[i]!r} has {len(count)} words for the same time ({some}): homes, or parts of one"
            )
    return tuple(found), tuple(found.values())


def calendar(name: str, values: Sequence[float | None]) -> Conclusion[str] | None:
    """Whether a column of numbers is of the calendar, a number of the row or a constant, and no reading."""
    there = [value for value in values if value is not None]
    text = plain(name)
    whole = all(value.is_integer() for value in there)
    if unit_in(name).name is not None or meaning_of(name).channel not in (None, "ignore"):
        return None
    word = has_word(text, "calendar")
    if word and whole and there and min(there) >= 0 and max(there) <= 2100:
        return Conclusion("ignore", 0.98, f"{word!r} is of the calendar")
    steps = {b - a for a, b in pairwise(there)}
    if len(there) > 2 and whole and steps == {1.0}:
        return Conclusion("ignore", 0.98, "it numbers the rows")
    if len(there) >= 24 and steps == {0.0} and there[0] != 0:
        return Conclusion("ignore", 0.97, "it is the same in all rows")
    return None
