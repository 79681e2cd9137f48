"""Layers of a scenario: the file, one of its cases, `--set` expressions; each key knows its place."""

from __future__ import annotations

import copy
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from market.files import read_at_most
from wattswap.errors import InvalidScenario, Problem, suggest
from wattswap.scenario.cures import cure_of_key, cure_of_value, quoted
from wattswap.scenario.lines import KeyPath, line_numbers

MAX_BYTES = 1_000_000

_DROPS: dict[KeyPath, tuple[str, ...]] = {
    ("time", "days"): ("intervals", "end"),
    ("time", "intervals"): ("days", "end"),
    ("time", "end"): ("days", "intervals"),
    ("market", "mechanism"): ("params",),
    ("data", "sample"): ("path", "format", "zone"),
    ("data", "path"): ("sample",),
    ("grid", "sample"): ("file",),
    ("grid", "file"): ("sample",),
    ("tariff", "import_series"): ("import_per_kwh", "time_of_use"),
    ("tariff", "import_per_kwh"): ("import_series",),
    ("tariff", "time_of_use"): ("import_series",),
    ("tariff", "feed_in_series"): ("feed_in_per_kwh",),
    ("tariff", "feed_in_per_kwh"): ("feed_in_series",),
}
"""A layer that sets the first key replaces the others, which exclude it; one file may not give both."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a key was written: a file and line, or an option of the command line; `key` is empty if that names it."""

    origin: str
    line: int | None
    key: str


@dataclass(frozen=True, slots=True)
class Source:
    """What a scenario was made from.

    Args:
        file: The file as the user named it.
        base: Folder from which the paths in it count.
        places: Where each key was written; keys that are missing here were left out.
        case: The chosen overlay.
        overrides: The `--set` expressions.
        text: The file as given, for the run folder.
        modules: SHA-256 by name of each file of plug-ins that was imported for it.
        left_out: Faulty keys without which it is checked further; see `wattswap.scenario.rest`.
    """

    file: str
    base: Path
    places: Mapping[KeyPath, Place] = field(default_factory=dict)
    case: str | None = None
    overrides: tuple[str, ...] = ()
    text: str = ""
    modules: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[KeyPath, ...] = ()

    def problem(self, path: KeyPath, message: str, cure: str = "") -> Problem:
        """Name the line of the key, or of the nearest table around it, in a problem."""
        place = None
        for length in range(len(path), 0, -1):
            place = self.places.get(path[:length])
            if place is not None:
                path = (*filter(None, [place.key]), *path[length:])
                break
        key = dotted(path)
        if place is None:
            return Problem(f"{self.file}:1: {key}" if key else f"{self.file}:1", message, cure, 1, key)
        line = "" if place.line is None else f":{place.line}"
        where = f"{place.origin}{line}"
        return Problem(f"{where}: {key}" if key else where, message, cure, place.line, key or None)


def related(path: KeyPath, others: Iterable[KeyPath]) -> bool:
    """Whether a key is one of others, is inside of one, or has one inside."""
    return any(path[: len(other)] == other[: len(path)] for other in others)


def dotted(path: KeyPath) -> str:
    """Write a key path as `tariff.time_of_use[0].from`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


@dataclass(frozen=True, slots=True)
class Layer:
    """Keys and values, and where each was written."""

    content: dict[str, Any]
    places: dict[KeyPath, Place]


@dataclass(frozen=True, slots=True)
class Document:
    """A scenario file taken apart: what is outside its cases, and each case."""

    shown: str
    text: str
    base: Layer
    cases: dict[str, Layer]
    problems: list[Problem]


def read_document(file: Path) -> Document:
    """Read and parse a scenario file.

    Raises:
        InvalidScenario: It cannot be read, or is not TOML.
    """
    shown, text = str(file), _read(file)
    content, lines = _parse(text, shown)
    places = {path: Place(shown, line, dotted(path)) for path, line in lines.items()}
    cases = content.pop("case", {})
    named = cases.items() if isinstance(cases, dict) else [(None, cases)]
    wrong: list[KeyPath] = [
        ("case",) if name is None else ("case", name)
        for name, inside in named
        if not isinstance(inside, dict)
    ]
    source, cure = (
        Source(shown, file.parent, places),
        "write [case.NAME] and below it the keys that it changes",
    )
    problems = [source.problem(path, "must be a table", cure) for path in wrong]
    base = Layer(content, {path: place for path, place in places.items() if path[0] != "case"})
    overlays = {
        name: Layer(
            inside, {p[2:]: place for p, place in places.items() if p[:2] == ("case", name) and p[2:]}
        )
        for name, inside in named
        if isinstance(inside, dict) and name is not None
    }
    return Document(shown, text, base, overlays, problems)


def _read(file: Path) -> str:
    try:
        raw = read_at_most(file, MAX_BYTES)
    except OSError as error:
        cure = "`wattswap new DIR` writes a scenario to start from"
        raise InvalidScenario.of(str(file), f"cannot be read: {error.strerror}", cure) from None
    if len(raw) > MAX_BYTES:
        cure = "a scenario is a small TOML file; name meter data in its [data] table"
        raise InvalidScenario.of(str(file), f"is larger than {MAX_BYTES} bytes", cure)
    try:
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        problem = Problem(f"{file}:{line}", "is not UTF-8 text", "save the file as UTF-8", line)
        raise InvalidScenario(problem) from None


def _parse(text: str, shown: str) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    """Parse TOML with exact decimals, and find the line of each key."""
    try:
        return tomllib.loads(text, parse_float=Decimal), line_numbers(text)
    except RecursionError:
        raise InvalidScenario.of(shown, "is nested too deeply", "a scenario is a few flat tables") from None
    except ValueError as error:  # TOMLDecodeError, and integers beyond Python's digit limit
        found = re.search(r"\(at line (\d+), column \d+\)", str(error))
        line = int(found[1]) if found else max(1, len(text.splitlines()))
        message = re.sub(r" \(at [^)]*\)$", "", str(error))
        message = f"is not valid TOML: {message[:1].lower()}{message[1:]}"
        wrong = text.splitlines()[line - 1] if text else ""
        key, _, value = wrong.partition("=")
        cure = cure_of_value(value) or cure_of_key(key)
        cure = cure or "texts need quotes, tables [brackets], and each key occurs once"
        raise InvalidScenario(Problem(f"{shown}:{line}", message, cure, line)) from None


def read_overrides(expressions: Sequence[str], typed: Mapping[str, str]) -> tuple[list[Layer], list[Problem]]:
    """Read `--set key.path=value` expressions; a bare word or path as value is taken as text.

    Args:
        typed: The option that the user typed for an expression, where it was another one, such as "--seed 3".
    """
    layers, problems = [], []
    for expression in expressions:
        origin = typed.get(expression, f"--set {expression}")
        try:
            content = _override(expression)
        except ValueError as error:
            cure = cure_of_value(expression.partition("=")[2]) or "write key.path=value, as in market.k=0.3"
            problems.append(Problem(origin, str(error), cure))
            continue
        named = expression in typed
        places = {path: Place(origin, None, "" if named else dotted(path)) for path in _paths(content)}
        layers.append(Layer(content, places))
    return layers, problems


def layer_of(content: dict[str, Any], origin: str) -> Layer:
    """Values that were not read from a file line by line."""
    return Layer(content, {path: Place(origin, None, dotted(path)) for path in _paths(content)})


def _override(expression: str) -> dict[str, Any]:
    key, equals, value = expression.partition("=")
    if not equals or not key.strip() or "\n" in expression:
        raise ValueError("is not key.path=value")
    if re.fullmatch(r"\s*(?!(true|false|inf|nan)\s*$)[A-Za-z_./~][^\"'\[\]{}=\n]*", value):
        value = f"'{value.strip()}'"
    try:
        parsed = tomllib.loads(f"{quoted(key)} = {value}", parse_float=Decimal)
    except (ValueError, RecursionError):
        raise ValueError(f"{value.strip()!r} is not a TOML value") from None
    return parsed


def _paths(content: Any, prefix: KeyPath = ()) -> list[KeyPath]:
    """All key paths of a document."""
    if isinstance(content, dict):
        inside: list[tuple[str | int, Any]] = list(content.items())
    else:
        inside = list(enumerate(content)) if isinstance(content, list) else []
    deeper = [path for key, value in inside for path in _paths(value, (*prefix, key))]
    return [prefix, *deeper] if prefix else deeper


def unknown_case(name: str, cases: Mapping[str, Layer]) -> Problem:
    """Say that the file has no case of this name, and which it has."""
    return Problem(
        f"--case {name}", f"no case {name!r}", suggest(name, cases) or "the file has no [case.NAME]"
    )


def stack(layers: Sequence[Layer]) -> Layer:
    """Lay each layer over those before it, table by table; other values, lists too, are replaced whole."""
    top = Layer({}, {})
    for layer in layers:
        _overlay(top.content, top.places, layer.content, layer.places, ())
    return top


def _overlay(
    target: dict[str, Any],
    places: dict[KeyPath, Place],
    content: Mapping[str, Any],
    content_places: Mapping[KeyPath, Place],
    prefix: KeyPath,
) -> None:
    for key, value in content.items():
        path = (*prefix, key)
        places.setdefault(path, content_places[path])
        if isinstance(value, dict) and isinstance(target.get(key), dict):
            _overlay(target[key], places, value, content_places, path)
            continue
        excluded = () if target.get(key) == value else _DROPS.get(path, ())
        for dropped in (key, *(name for name in excluded if name not in content)):
            target.pop(dropped, None)
            gone = (*prefix, dropped)
            for old in [old for old in places if old[: len(gone)] == gone]:
                del places[old]
        target[key] = copy.deepcopy(value)
        places.update({new: place for new, place in content_places.items() if new[: len(path)] == path})
