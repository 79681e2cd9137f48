"""The genesis: what everybody must agree on before the first block. Its hash is the chain id."""

from __future__ import annotations

import os
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from market.interval import ALLOWED_MINUTES
from p2p.chain import domains
from p2p.chain.block import MAX_VALIDATORS, validators_hash
from p2p.chain.merkle import HASH_BYTES
from p2p.codec import Record, decode, encode
from p2p.errors import GenesisError, RemoteError
from p2p.identity import PUBLIC_KEY_BYTES
from p2p.messages import DEFAULT_LIMITS, MAX_TIME_S, Limits

VERSION = 1
MAX_NAME_BYTES = 64
MAX_GENESIS_BYTES = 1024 * 1024


class Params(Record, frozen=True):
    """Parameters of a chain.

    Args:
        currency: Code of the currency, e.g. "EUR".
        minutes: Length of an interval. [min]
        max_energy_wh: See `messages.Limits`. [Wh]
        max_price_micro_per_kwh: See `messages.Limits`. [micro-currency/kWh]
        max_node: See `messages.Limits`.
        rules_hash: 32 bytes that name the market's rules and tariffs; the chain carries it and does not
            read it.
    """

    currency: str
    minutes: int
    max_energy_wh: int
    max_price_micro_per_kwh: int
    max_node: int
    rules_hash: bytes

    @property
    def limits(self) -> Limits:
        """The ranges for messages of this chain."""
        return Limits(self.max_energy_wh, self.max_price_micro_per_kwh, self.max_node)


class Genesis(Record, frozen=True, dict=True):
    """What a chain starts from.

    Args:
        name: For people.
        time_ms: Blocks must be later. [ms since 1970, UTC]
        authorities: Public keys, 1..25; their order decides whose turn it is.
        operator: Public key of the market operator, which signs the settlement batches.
        roster_root: `roots.roster_root` of the household ids; ids themselves never appear on chain.
        members: Number of households.
        household_keys: Public keys in roster order, or empty when orders are not signed.
    """

    version: int
    name: str
    time_ms: int
    params: Params
    authorities: tuple[bytes, ...]
    operator: bytes
    roster_root: bytes
    members: int
    household_keys: tuple[bytes, ...]

    @cached_property
    def chain_id(self) -> bytes:
        """SHA-256 of the canonical bytes, which are the whole genesis file."""
        return sha256(encode(self)).digest()

    @cached_property
    def validators_hash(self) -> bytes:
        """Hash of the authorities' keys, as headers carry it."""
        return validators_hash(self.authorities)

    @cached_property
    def params_hash(self) -> bytes:
        """Hash of the parameters, as headers carry it."""
        return sha256(domains.PARAMS + encode(self.params)).digest()


def make_params(
    currency: str, minutes: int, rules_hash: bytes = bytes(HASH_BYTES), limits: Limits = DEFAULT_LIMITS
) -> Params:
    """Return the parameters of a chain; arguments as in `Params`."""
    return Params(
        currency,
        minutes,
        limits.max_energy_wh,
        limits.max_price_micro_per_kwh,
        limits.max_node,
        rules_hash,
    )


def check_genesis(genesis: Genesis) -> None:
    """Raise unless a chain can start from this.

    Raises:
        GenesisError: Lists every reason.
    """
    problems = [*_key_problems(genesis), *_params_problems(genesis.params)]
    if genesis.version != VERSION:
        problems.append(f"version {genesis.version}; this program speaks {VERSION}")
    if not 0 < len(genesis.name.encode()) <= MAX_NAME_BYTES:
        problems.append(f"the name must have 1..{MAX_NAME_BYTES} bytes")
    if not 0 <= genesis.time_ms <= MAX_TIME_S * 1000:
        problems.append(f"time_ms {genesis.time_ms} is outside 0..{MAX_TIME_S * 1000}")
    if len(genesis.roster_root) != HASH_BYTES:
        problems.append(f"roster_root has {len(genesis.roster_root)} bytes; it must have {HASH_BYTES}")
    if genesis.members < 0:
        problems.append(f"members is {genesis.members}; it must be 0 or more")
    if problems:
        raise GenesisError(problems)


def _key_problems(genesis: Genesis) -> list[str]:
    problems = []
    authorities, households = genesis.authorities, genesis.household_keys
    if not 1 <= len(authorities) <= MAX_VALIDATORS:
        problems.append(f"{len(authorities)} authorities; there must be 1..{MAX_VALIDATORS}")
    for what, keys in (("authorities", authorities), ("household_keys", households)):
        if any(len(key) != PUBLIC_KEY_BYTES for key in keys):
            problems.append(f"{what} holds a key that has not {PUBLIC_KEY_BYTES} bytes")
        if len(set(keys)) != len(keys):
            problems.append(f"{what} holds the same key twice")
    if len(genesis.operator) != PUBLIC_KEY_BYTES:
        problems.append(f"the operator's key has {len(genesis.operator)} bytes, not {PUBLIC_KEY_BYTES}")
    if households and len(households) != genesis.members:
        problems.append(f"{len(households)} household keys for {genesis.members} members")
    return problems


def _params_problems(params: Params) -> list[str]:
    problems = []
    if params.minutes not in ALLOWED_MINUTES:
        problems.append(f"params.minutes is {params.minutes}; it must be one of {ALLOWED_MINUTES}")
    if not 0 < len(params.currency.encode()) <= MAX_NAME_BYTES:
        problems.append("params.currency must name a currency")
    if min(params.max_energy_wh, params.max_price_micro_per_kwh) <= 0 or params.max_node < 0:
        problems.append("a limit of params is not positive")
    if len(params.rules_hash) != HASH_BYTES:
        problems.append(f"params.rules_hash has {len(params.rules_hash)} bytes, not {HASH_BYTES}")
    return problems


def decode_genesis(data: bytes) -> Genesis:
    """Read a genesis from its canonical bytes.

    Raises:
        GenesisError: Not a genesis, not canonical, or one that no chain can start from.
    """
    try:
        genesis = decode(Genesis, data, max_bytes=MAX_GENESIS_BYTES)
    except RemoteError as error:
        raise GenesisError([error.detail]) from None
    check_genesis(genesis)
    return genesis


def write_genesis(path: Path, genesis: Genesis) -> None:
    """Write the canonical bytes atomically; `sha256sum` of the file is the chain id.

    Raises:
        GenesisError: It cannot start a chain, or the file cannot be written.
    """
    check_genesis(genesis)
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            file.write(encode(genesis))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise GenesisError([f"cannot be written ({error.strerror})"], path) from error


def read_genesis(path: Path) -> Genesis:
    """Read a genesis file.

    Raises:
        GenesisError: Missing, damaged or unusable; names the file and every reason.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise GenesisError([f"cannot be read ({error.strerror})"], path) from error
    try:
        return decode_genesis(data)
    except GenesisError as error:
        raise GenesisError(error.problems, path) from None
