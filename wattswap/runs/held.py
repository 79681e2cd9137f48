"""What a genesis commits to of the data of homes, and what a node holds of them: no readings but those of its own.

`Facts` has a digest of the readings of each home and what follows from the data for everybody. A run makes it from all
data; a node has it as a file, and checks its readings against the digests and the facts against the genesis.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Final

import msgspec
import numpy as np

from market.units import IntArray
from wattswap.canonical_json import canonical_json
from wattswap.errors import UsageError

VERSION: Final = 1
SALT_BYTES: Final = 32
WEIGHTS: Final = ""
"""Whose salt that of the weights is: no home has this id."""
SaltOf = Callable[[str], bytes]
"""The salt of a home's readings by its id: without it a guess of few readings could be confirmed by their digest."""
Columns = Mapping[str, IntArray]
"""Readings of one home by name: the registers and their quality, and sub-meters as `pv_wh`. [Wh]"""
REGISTERS: Final = ("import_wh", "export_wh", "quality")


class Facts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a genesis commits to of the data of the homes.

    Args:
        version: Of this format.
        homes: Ids of the homes, in roster order.
        data_homes: Ids of all homes in the data, where the scenario places them by these; else empty.
        dropped: Ids of homes that were left out for missing readings.
        undrawn: Ids of those that a sample of the homes leaves out.
        start_s: Start of the first row of readings. [s since 1970, UTC]
        minutes: Length of an interval. [min]
        rows: Number of rows: those of the run and of the days before it that forecasts and weights use.
        first_row: Row at which the run starts.
        sub_meters: Names of the sub-meters.
        batteries: What the data say of the battery of each home.
        capacities: Registered capacity of each home: what its connection takes and gives at most. [W]
        readings: Digest of the readings of each home, in hexadecimal.
        weights: Digest of the weights of a pool, in hexadecimal; empty where nothing is shared by them.
    """

    version: int
    homes: tuple[str, ...]
    data_homes: tuple[str, ...]
    dropped: tuple[str, ...]
    undrawn: tuple[str, ...]
    start_s: int
    minutes: int
    rows: int
    first_row: int
    sub_meters: tuple[str, ...]
    batteries: tuple[tuple[int, ...] | None, ...]
    capacities: tuple[tuple[int, int], ...]
    readings: tuple[str, ...]
    weights: str

    def text(self) -> str:
        """The facts as JSON in its one form."""
        return canonical_json(msgspec.to_builtins(self))


class Weights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Weights of the shares of a pool, by local day.

    Args:
        salt: In hexadecimal.
        first: The first interval of the run to which the weights of each day apply.
        weight_wh: The weights of each day, in roster order. [Wh]
    """

    salt: str
    first: tuple[int, ...]
    weight_wh: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, salt: bytes, weight_wh: Sequence[IntArray]) -> Weights:
        """The weights of all intervals, those of a day as one array. [Wh]"""
        first = [i for i, one in enumerate(weight_wh) if not i or one is not weight_wh[i - 1]]
        return cls(salt.hex(), tuple(first), tuple(tuple(weight_wh[i].tolist()) for i in first))

    def at(self, i: int) -> IntArray:
        """Weights of the i-th interval of the run. [Wh]"""
        day = int(np.searchsorted(self.first, i, side="right")) - 1
        return np.array(self.weight_wh[day], dtype=np.int64)

    def text(self) -> str:
        """The weights as JSON in its one form, of which the facts have the digest."""
        return canonical_json(msgspec.to_builtins(self))


class Held(msgspec.Struct, frozen=True):
    """What a node holds in place of the data of all homes.

    Args:
        own: Readings of its own homes by place in the roster; of all rows.
        weights: Weights of a pool; None where the node does not settle, or nothing is shared by them.
    """

    facts: Facts
    own: dict[int, Columns]
    weights: Weights | None

    def weight_wh(self, i: int) -> IntArray:
        """Weights of the shares of a pool in the i-th interval. [Wh]

        Raises:
            UsageError: The node does not hold them.
        """
        if self.weights is None:
            cure = "settle where an operator's or validator's folder is, or where all meter data are"
            raise UsageError.of("weights", "this node does not hold those of the pool's shares", cure)
        return self.weights.at(i)


def digest_of(salt: bytes, columns: Columns) -> str:
    """The digest of the readings of a home, in hexadecimal: of its salt, and of each column with its name."""
    hashed = sha256(salt)
    for name in sorted(columns):
        hashed.update(f"{name}\n".encode())
        hashed.update(np.ascontiguousarray(columns[name], dtype="<i8").tobytes())
    return hashed.hexdigest()


def text_digest(text: str) -> str:
    """SHA-256 of a text, in hexadecimal."""
    return sha256(text.encode()).hexdigest()


def rules_hash(scenario_digest: str, facts: Facts) -> bytes:
    """What the genesis has of a scenario and the data of its homes."""
    return sha256((scenario_digest + text_digest(facts.text())).encode()).digest()
