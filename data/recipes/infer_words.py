"""What words in the headers of meter files mean, in thirteen languages; the words are in words.toml."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from typing import Any

from data.intake.raw import SAID_UNITS

_FILE: Mapping[str, Any] = tomllib.loads(files("data.recipes").joinpath("words.toml").read_text("utf-8"))
WORDS: Mapping[str, tuple[str, ...]] = {
    name: tuple(some) for name, some in _FILE.items() if isinstance(some, list)
}
NEVER: Mapping[str, tuple[str, ...]] = {what: tuple(stems) for what, stems in _FILE["never"].items()}
"""What a column is of that holds no electric energy, by the stems of its name."""

EMPTY_WORDS = frozenset(WORDS["empty"])
"""Texts in a column of numbers that are no reading, in lower case."""

UNIT_NAMES = {unit.casefold(): unit for unit in SAID_UNITS}
"""Our name of a unit by its letters; "mWh" and "mW" could be thousandths and are none."""

_UNIT = re.compile(
    r"(?<![A-Za-z/€$£])(kWh|MWh|Wh|MW|kW|W)(?![A-Za-z])"
    r"|(?<=[a-z][a-z])(KWh|kWh|Kwh|MWh|Mwh|Wh|KW|Kw)(?![A-Za-z])"
    r"|(?<![A-Za-z/€$£])(KWH|kwh|KWh|Kwh|MWH|Mwh|WH|wh|KW|kw|Kw|w)(?![A-Za-z])"
)
_LONG_UNIT = re.compile(
    r"(kilo|mega)?[ -]?watt[ -]?(hours?|uur|stunden?|heures?|ore|horas?|timer?|timmar)?\b", re.I
)
_RATE = re.compile(r"(k?Wh)\s*/\s*h\b", re.I)
_PER = re.compile(r"(W|Wh)\s*/\s*(m2|m²|m\^2|kWp)", re.I)
_OTHER_UNIT = re.compile(
    r"(?<![A-Za-z])(k?VAr?h?|kvarh?|varh?|m3|m³|ft3|ccf|therms?|GJ|MJ|kJ|°C|°F|degC|degF|K|V|A|mA|Ah|Hz|%|lux"
    r"|kWp|kg|g|ppm|km|l|L|mm|hPa|mbar|bar|m/s|min|s|C)(?![A-Za-z²³])"
)
_PRICE = re.compile(
    r"[€$£]|\b(eur|euro|cent|ct|usd|gbp|chf|nok|sek|dkk|pln|czk|aud|kr|ore|zl|kc)\b|/\s*[km]?wh", re.I
)
_OBIS = re.compile(r"(?<![\d.])(?:1-\d+:)?([12])\.(8|29|9|6|7)\.\d")

MARKS = re.compile(
    r"\b(t[1-4]|f[1-4]|p[1-6]|l[1-3]|r[1-3]|[abc]|[1-9]|ht|nt|hp|hc|day|night|dag|nacht|tag|jour|nuit|dia|noche"
    r"|nat|natt|peak|off peak|offpeak|high|low|hoog|laag|normaal|normal|dal|standard|punta|llano|valle|cheia|vazio"
    r"|ponta|pleines|creuses|phase ?[abc123]?|tariff ?[1-4]|tarief ?[1-4]|hoch ?tarif|nieder ?tarif|rate ?[1-4]"
    r"|economy|weekend|fascia ?[123]?)\b"
)
"""What distinguishes parts of one channel: tariffs, phases, inverters."""


@lru_cache(maxsize=4096)
def plain(text: str) -> str:
    """A text in small letters without accents, its words apart: "EnergyProduced_Wh" becomes "energy produced wh"."""
    units = re.sub(r"(?<![A-Za-z])[kKmM]?[wW][hH]?(?![A-Za-z])", lambda found: found[0].lower(), text)
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", units.strip().strip("\ufeff\"'"))
    bare = "".join(c for c in unicodedata.normalize("NFKD", apart.casefold()) if not unicodedata.combining(c))
    for letter, plainer in (("ø", "o"), ("ł", "l"), ("æ", "ae"), ("đ", "d"), ("_", " "), ("-", " ")):
        bare = bare.replace(letter, plainer)
    return " ".join(re.findall(r"[a-z0-9%€$£/+]+(?:\.[a-z0-9]+)*", bare))


def has_stem(text: str, name: str) -> str | None:
    """The first stem of a list of words.toml that a plain text holds."""
    return _has_stem(text, WORDS[name])


def _has_stem(text: str, stems: tuple[str, ...]) -> str | None:
    padded = f" {text} "
    return next((stem.strip() for stem in stems if stem in padded), None)


def says_never(text: str, *kinds: str) -> str | None:
    """The stem by which a plain text speaks of gas, water or the like."""
    return next((stem for kind in kinds if (stem := _has_stem(text, NEVER[kind]))), None)


def has_word(text: str, name: str) -> str | None:
    """The first word of a list of words.toml that a plain text holds as a whole."""
    return _has_word(text, WORDS[name])


def _has_word(text: str, words: tuple[str, ...]) -> str | None:
    there = f" {text} "
    return next((word for word in words if f" {word} " in there), None)


@dataclass(frozen=True, slots=True)
class UnitWord:
    """What a text says of a unit.

    Args:
        name: Our unit, "" for one that is none of energy or power, None where the text says none.
        text: As written.
    """

    name: str | None
    text: str = ""


@lru_cache(maxsize=4096)
def unit_in(text: str) -> UnitWord:
    """Find the unit that a header, a cell of a row of units or a line names; a price per kWh is none of energy."""
    bare = text.strip().strip("\ufeff\"'")
    if rate := _RATE.search(bare):
        return UnitWord("kW" if rate[1][0] in "kK" else "W", rate[0])
    if per := _PER.search(bare):
        return UnitWord("", per[0])
    found = _UNIT.search(bare)
    if found and not re.search(r"\bmW", found[0]):
        return UnitWord(UNIT_NAMES.get(found[0].casefold()), found[0])
    if (long := _LONG_UNIT.search(bare)) and long[0].strip():
        size = {"kilo": "k", "mega": "M", "": ""}[(long[1] or "").casefold()]
        return UnitWord(f"{size}W{'h' if long[2] else ''}", long[0].strip())
    return _other_unit(bare)


def _other_unit(bare: str) -> UnitWord:
    """A unit of no energy; a single letter is one only where it stands apart, as in "(V)" or "[A]"."""
    if re.search(r"(?<![A-Za-z])mWh?(?![A-Za-z])", bare):
        return UnitWord(None)
    for other in _OTHER_UNIT.finditer(bare):
        single = len(other[0]) == 1 and other[0] not in "%"
        before, after = bare[: other.start()].rstrip(), bare[other.end() :].lstrip()
        in_brackets = before[-1:] in ("(", "[") and after[:1] in (")", "]")
        # Phases are written the same way: "Energy (A)"; that is an ampere only if the row has no energy otherwise.
        if not single or other[0] == bare or (in_brackets and other[0] not in "AC"):
            return UnitWord("", other[0])
    return UnitWord(None)


@dataclass(frozen=True, slots=True)
class Meaning:
    """What the name of a column, or a word of a column of registers, makes likely.

    Args:
        channel: As `--channel` takes it; None where the name says nothing.
        confidence: From 0 to 1, as far as a name alone shows it.
        why: One clause.
    """

    channel: str | None
    confidence: float = 0.0
    why: str = "its name says nothing of it"


@lru_cache(maxsize=4096)
def meaning_of(name: str) -> Meaning:
    """Say what a column of numbers holds, by its name alone; what is likely to be no energy comes first."""
    text = plain(name)
    if found := _OBIS.search(name):
        if found[2] in "67":
            return Meaning("ignore", 0.97, f"{found[0]} is a code of power and no energy")
        return Meaning("import" if found[1] == "1" else "export", 0.97, f"the code {found[0]}")
    if _PRICE.search(name) or _PRICE.search(text):
        return Meaning("ignore", 0.98, "it is an amount of money")
    for what, stems in NEVER.items():
        if stem := _has_stem(text, stems):
            return Meaning("ignore", 0.97, f"{stem!r} means {what}")
    return _in_the_home(text) or _at_the_grid(text)


def _in_the_home(text: str) -> Meaning | None:
    """Energy that a name places behind the meter at the grid."""
    if stem := has_stem(text, "self"):
        return Meaning("ignore", 0.9, f"{stem!r} is energy that passes no meter at the grid")
    if stem := has_stem(text, "battery"):
        return Meaning("ignore", 0.7, f"{stem!r}: a battery takes and gives")
    if stem := has_stem(text, "ev") or _has_word(text, ("ev", "evse", "car")):
        return Meaning("ev", 0.9, f"{stem!r}")
    if stem := has_stem(text, "heat_pump"):
        return Meaning("heat_pump", 0.9, f"{stem!r}")
    return None


def _at_the_grid(text: str) -> Meaning:
    grid = has_stem(text, "grid")
    sun = has_stem(text, "sun") or _has_word(text, ("pv",))
    if stem := has_stem(text, "export"):
        return Meaning("export", 0.97 if grid else 0.94, f"{stem!r}")
    if has_word(text, "net"):
        return Meaning("net", 0.9, "'net' is import above 0 and export below")
    if (stem := has_stem(text, "import")) and not sun:
        return Meaning("import", 0.97 if grid else 0.94, f"{stem!r}")
    if stem := has_stem(text, "production"):
        if sun:
            return Meaning("pv", 0.96, f"{stem!r} and {sun!r}")
        return Meaning("pv", 0.8, f"{stem!r}, or what is fed into the grid")
    if stem := has_stem(text, "consumption"):
        return _consumption(text, stem, grid)
    if sun:
        return Meaning("pv", 0.9, f"{sun!r}")
    if stem := _has_word(text, ("load", "last", "charge")):
        return Meaning("load", 0.7, f"{stem!r}")
    if stem := has_word(text, "unclear"):
        return Meaning("import", 0.6, f"{stem!r}, from the grid or to it")
    return Meaning(None)


def _consumption(text: str, stem: str, grid: str | None) -> Meaning:
    if _has_word(text, ("house", "household", "home", "haus", "building", "load", "huis")):
        return Meaning("load", 0.85, f"{stem!r} of the home, or at its meter")
    if grid:
        return Meaning("import", 0.96, f"{stem!r} and {grid!r}")
    return Meaning("import", 0.9, f"{stem!r}, if there is no production behind the meter")


def capped(meaning: Meaning, confidence: float) -> Meaning:
    """The same meaning, not more certain than this."""
    return replace(meaning, confidence=min(meaning.confidence, confidence))


def is_total(name: str) -> bool:
    """Whether a name says that a column sums others."""
    text = plain(name)
    return has_stem(text, "total") is not None or _has_word(text, ("sum", "all")) is not None


def is_total_row(first: str) -> bool:
    """Whether the first cell of a row says that it sums others, or is a mean."""
    return is_total(first) or has_word(plain(first), "mean") is not None


def is_peak(name: str) -> bool:
    """Whether a name of a column of power says that it is the highest of the interval, and not its mean."""
    return has_stem(plain(name), "peak") is not None


def says_counter(name: str) -> str | None:
    """The word by which a name says that a column holds readings of a counter."""
    return has_stem(plain(name), "counter")


def part_of(name: str) -> str:
    """What distinguishes a column from others of its channel, as a part is written; "" where nothing does."""
    text = re.sub(r"\b[mk]?wh?\b", " ", plain(name))
    marks = [mark[0].replace(" ", "_") for mark in MARKS.finditer(text)]
    return "_".join(dict.fromkeys(marks))
