"""The files with which a node replaces the data of all homes: facts for all, readings of its own, weights to settle by.

homes.json          what the genesis commits to; the same in every folder
readings/PLACE.csv  readings of one home, by its place in the roster; in the folders of homes and gateways
weights.json        weights of the shares of a pool; in the folders of operators and validators, where there is one
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import numpy as np

from market.files import naming, read_at_most
from wattswap.errors import InvalidData
from wattswap.runs.committed import Committed
from wattswap.runs.held import (
    REGISTERS,
    SALT_BYTES,
    VERSION,
    Columns,
    Facts,
    Held,
    Weights,
    digest_of,
    text_digest,
)

HOMES: Final = "homes.json"
READINGS: Final = "readings"
WEIGHTS: Final = "weights.json"
SETTLING: Final = ("operator", "validator")
"""Roles whose nodes settle intervals, or check who does."""
MAX_BYTES: Final = 1024**3
"""Of one of these files, at most, as a device has no end. [B]"""
_SALT: Final = "# salt "
_START: Final = "start_s"
_CURE: Final = "copy it back from a backup of this node, or ask who ran `wattswap node init`"
T = TypeVar("T")


class HeldFiles:
    """Writes what each node of a network holds of the data of the homes.

    Args:
        committed: The data of all homes.
        facts: What the genesis commits to of them.
    """

    def __init__(self, committed: Committed, facts: Facts) -> None:
        self._committed, self._facts = committed, facts

    def write(self, folder: Path, role: str, homes: Sequence[str]) -> None:
        """Write the files of one node into the folder of its scenario."""
        committed, facts = self._committed, self._facts
        write_private(folder / HOMES, facts.text())
        if role in SETTLING and committed.weights is not None:
            write_private(folder / WEIGHTS, committed.weights.text())
        if homes:
            (folder / READINGS).mkdir(mode=0o700)
        for home in homes:
            place = facts.homes.index(home)
            text = _csv(facts, committed.salt_of(home), committed.readings(place))
            write_private(_file_of(folder, place), text)


def holds_part(scenario: Path) -> bool:
    """Whether the folder of a scenario has the files of a node in place of the data of all homes."""
    return (scenario.parent / HOMES).is_file()


def read_held(folder: Path, role: str, homes: Sequence[str]) -> Held:
    """Read what a node holds and check it against its own facts; whoever prepares it checks these with the genesis.

    Raises:
        InvalidData: A file is missing or damaged, or has other readings than the facts have a digest of.
    """
    facts = _json(folder / HOMES, Facts)
    strangers = [home for home in homes if home not in facts.homes]
    if facts.version != VERSION or strangers:
        what = f"has no home {strangers[0]!r}" if strangers else f"has version {facts.version}, not {VERSION}"
        raise InvalidData.of(str(folder / HOMES), what, _CURE)
    places = [facts.homes.index(home) for home in homes]
    own = {place: _readings(_file_of(folder, place), facts, place) for place in places}
    weights = None
    if role in SETTLING and facts.weights:
        weights = _json(folder / WEIGHTS, Weights)
        if text_digest(weights.text()) != facts.weights:
            raise InvalidData.of(str(folder / WEIGHTS), f"is not what {HOMES} has the digest of", _CURE)
    return Held(facts, own, weights)


def write_private(path: Path, text: str) -> None:
    """Write a new file that its owner alone can read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with naming(path), os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)


def _file_of(folder: Path, place: int) -> Path:
    return folder / READINGS / f"{place}.csv"


def _names(facts: Facts) -> list[str]:
    return [*REGISTERS, *(f"{name}_wh" for name in facts.sub_meters)]


def _starts(facts: Facts) -> list[int]:
    return [facts.start_s + row * facts.minutes * 60 for row in range(facts.rows)]


def _csv(facts: Facts, salt: bytes, columns: Columns) -> str:
    """The readings of a home as text: the salt of their digest, the names of the columns, and a line per interval."""
    names = _names(facts)
    rows = zip(_starts(facts), *(columns[name].tolist() for name in names), strict=True)
    lines = (",".join(map(str, row)) for row in rows)
    return "\n".join([f"{_SALT}{salt.hex()}", ",".join([_START, *names]), *lines, ""])


def _readings(path: Path, facts: Facts, place: int) -> Columns:
    """Read the readings of a home.

    Raises:
        InvalidData: They are missing, damaged or others than the facts have a digest of.
    """
    names = _names(facts)
    try:
        first, header, *lines = read_at_most(path, MAX_BYTES).decode().splitlines()
        salt = bytes.fromhex(first.removeprefix(_SALT))
        if len(salt) != SALT_BYTES or header != ",".join([_START, *names]):
            raise ValueError
        rows = np.array([line.split(",") for line in lines]).astype(np.int64)
        start_s, *read = rows.reshape(facts.rows, 1 + len(names)).T
    except FileNotFoundError:
        what = f"is missing: the readings of home {facts.homes[place]!r}, for which this node acts"
        raise InvalidData.of(str(path), what, _CURE) from None
    except OSError as error:
        raise InvalidData.of(str(path), f"cannot be read: {error.strerror}", _CURE) from None
    except (ValueError, OverflowError):
        raise InvalidData.of(str(path), "is no file of readings as `node init` writes them", _CURE) from None
    columns = dict(zip(names, read, strict=True))
    if start_s.tolist() != _starts(facts) or digest_of(salt, columns) != facts.readings[place]:
        what = f"has other readings than the genesis commits to: {HOMES} has another digest of them"
        raise InvalidData.of(str(path), what, _CURE)
    return columns


def _json(path: Path, kind: type[T]) -> T:
    """Read a file of facts or weights.

    Raises:
        InvalidData: It is missing or damaged.
    """
    try:
        return msgspec.json.decode(read_at_most(path, MAX_BYTES), type=kind)
    except OSError as error:
        raise InvalidData.of(str(path), f"cannot be read: {error.strerror}", _CURE) from None
    except msgspec.DecodeError:
        raise InvalidData.of(str(path), "is not the JSON that was written", _CURE) from None
