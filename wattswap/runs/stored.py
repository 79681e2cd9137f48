"""What the folder of a run or a comparison must hold to be read, and which wattswap wrote it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict

import msgspec

from market.errors import one_line
from wattswap.errors import InvalidData, VerificationFailed, WattswapError, is_expected
from wattswap.runs.layout import COMPARISON, MANIFEST
from wattswap.runs.manifest import SCHEMA, file_sha256, source_commit, versions
from wattswap.scenario.basis import Resolved, member_words, moment, zone_of

CURE = "restore the folder from a copy, or run the scenario again"
CURE_OF_VERSION = "run the scenario again, or read the folder with the version that wrote it"
MAX_HASHED_BYTES = 8 << 20
"""Largest file whose hash is compared whenever it is read, in about 40 ms; `verify` compares the larger ones too."""

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e12)]


class _Data(TypedDict):
    """Where the readings came from."""

    format: NotRequired[str]
    sha256: NotRequired[str]
    dropped_homes: NotRequired[list[str]]
    estimated_share: NotRequired[Annotated[float, msgspec.Meta(ge=0, le=1)]]
    notes: NotRequired[list[str]]
    bidding_notes: NotRequired[list[str]]
    metered_pv: NotRequired[bool]
    control_notes: NotRequired[list[str]]


class _Chain(TypedDict):
    blocks: Count
    authorities: Count
    head: str


class _Network(TypedDict):
    silent: NotRequired[list[str]]


class _Source(TypedDict):
    commit: NotRequired[str | None]
    dirty: NotRequired[bool]


class Result(TypedDict):
    """What a manifest and a comparison have in common."""

    name: str
    currency: str
    homes: Count
    start: str
    intervals: Count
    interval_minutes: Annotated[int, msgspec.Meta(ge=1, le=1_440)]
    data: _Data
    versions: dict[str, str | None]
    source: NotRequired[_Source | None]
    wall_s: Seconds


class Manifest(Result):
    """The entries of manifest.json that readers use."""

    mechanism: str
    seed: Count
    chain: _Chain
    files: dict[str, str]
    quantities: NotRequired[str]
    clear_ms: NotRequired[Seconds | None]
    network: NotRequired[_Network]


_Term = TypedDict("_Term", {"from": NotRequired[str], "to": NotRequired[str]})


class _Zone(TypedDict):
    zone: NotRequired[str | None]


class _Homes(TypedDict):
    forecast: NotRequired[str]
    members: NotRequired[dict[str, _Term]]


class _Market(TypedDict):
    mechanism: str
    quantities: NotRequired[str]
    imbalance: NotRequired[str]
    imbalance_shares: NotRequired[str | None]
    rationing: NotRequired[str]


class StoredScenario(TypedDict):
    """The parts of a resolved scenario that texts are made from; the whole is checked where it is run again."""

    title: NotRequired[str | None]
    market: _Market
    homes: NotRequired[_Homes]
    tariff: NotRequired[_Zone]
    time: NotRequired[_Zone]
    data: NotRequired[_Zone]
    chain: NotRequired[dict[str, Any]]
    modules: NotRequired[dict[str, str]]


class Origin(TypedDict):
    """What a result was made from: the scenario, and the folder from which its paths count."""

    resolved: StoredScenario
    base: str


def check_form(path: Path, value: Mapping[str, Any], form: Any) -> None:
    """Check the entries of a JSON file that readers rely on.

    Args:
        path: The file.
        value: What it holds.
        form: The type that it must have.

    Raises:
        VerificationFailed: One is missing or is not of its type; names it.
        InvalidData: The same, in a folder that another version of wattswap wrote.
    """
    try:
        msgspec.convert(value, form)
    except msgspec.ValidationError as error:
        raise unusable(path, _in_words(str(error))) from None


def check_times(path: Path, start: str, scenarios: Iterable[Resolved] = ()) -> None:
    """Check that the times of a result can be shown to people.

    Args:
        path: The file that holds them.
        start: First instant of the result.
        scenarios: Those that the file holds.

    Raises:
        VerificationFailed: A time or a zone is none.
    """
    try:
        for scenario in ({}, *scenarios):
            moment(start, zone_of(scenario))
            member_words(scenario)
    except (ValueError, LookupError, OverflowError, OSError) as error:
        raise unusable(path, f"a time or time zone is none ({one_line(error)})") from None


_KINDS = {
    "object": "an object",
    "array": "a list",
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
}
"""What people call the kinds of JSON values that msgspec names."""


def _in_words(text: str) -> str:
    """What msgspec says of a value, as a sentence that begins with the key."""
    what, _, place = text.partition(" - at `$")
    key = place.rstrip("`").lstrip(".") or "the file"
    missing = re.fullmatch(r"Object missing required field `(.*)`", what)
    if missing:
        return f"{key}.{missing[1]} is missing".removeprefix("the file.")
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", what, re.DOTALL)
    if unknown:
        return f"{key}.{unknown[1]} is no entry that a run writes".removeprefix("the file.")
    wanted = re.fullmatch(r"Expected `(\w+).*?`(, got `(.*)`|.*)", what)
    if wanted is None:
        return f"{key}: {what[:1].lower()}{what[1:]}"
    if wanted[3] is None:
        return f"{key}: {what[:1].lower()}{what[1:]}"
    return f"{key} must be {_KINDS.get(wanted[1], wanted[1])}, not {_KINDS.get(wanted[3], wanted[3])}"


def check_hash(folder: Path, name: str, manifest: Mapping[str, Any]) -> None:
    """Compare the hash of a file with that of the manifest, unless it is large, before it is read.

    Raises:
        VerificationFailed: It is another one.
    """
    path = folder / name
    if not path.is_file() or path.stat().st_size > MAX_HASHED_BYTES:
        return
    if file_sha256(path) != manifest["files"].get(name):
        raise damaged(path, "its bytes are not those that the manifest names")


def damaged(path: Path, what: str) -> VerificationFailed:
    """The error of a file that is not what was written; says first which other version wrote it, if one did."""
    written = written_by(path)
    said = f"{written}; it is damaged: {what}" if written else f"is damaged: {what}"
    return VerificationFailed.of(str(path), said, CURE)


def unusable(path: Path, what: str) -> WattswapError:
    """The error of a file that lacks what this version reads: damage, unless another version wrote it."""
    written = written_by(path)
    if not written:
        return damaged(path, what)
    return InvalidData.of(str(path), f"{written}, and this one cannot use it: {what}", CURE_OF_VERSION)


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Read a folder; what this version cannot make of one that another version wrote is no bug.

    Raises:
        InvalidData: Names both versions.
    """
    try:
        yield
    except (
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        ArithmeticError,
        NotImplementedError,
    ) as error:
        if is_expected(error) or not written_by(folder):
            raise
        raise unusable(folder, one_line(error)) from None


def written_by(path: Path) -> str:
    """Which other version of wattswap wrote a folder or the folder of a file, in words; empty if this one did.

    Empty too where the folder does not say.
    """
    for folder in (path, *path.parents):
        for name in (MANIFEST, COMPARISON):
            if (folder / name).is_file():
                return _other_version(folder / name)
    return ""


def _other_version(path: Path) -> str:
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        then, commit = about["versions"]["wattswap"], (about.get("source") or {}).get("commit")
        schema = about.get("schema")
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return ""
    now, here = versions()["wattswap"], (source_commit() or {}).get("commit")
    commits_differ = bool(commit and here) and commit != here
    if not isinstance(then, str) or not (then != now or commits_differ or schema != SCHEMA):
        return ""
    other, this = (
        f"{number} ({str(found)[:12]})" if commits_differ else f"{number}"
        for number, found in ((then, commit), (now, here))
    )
    form = "" if schema == SCHEMA else f" in format {schema}"
    return f"was written by wattswap {other}{form}, this is {this}"
