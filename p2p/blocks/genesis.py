"""The genesis: what all nodes agree on before the first block. Its hash is the chain id."""

from __future__ import annotations

from functools import cached_property
from hashlib import sha256
from pathlib import Path

from market.files import read_at_most
from market.interval import ALLOWED_MINUTES
from market.orders import HORIZON_KINDS, OrderKind
from market.rounds import MAX_ROUNDS
from market.settlement.accounts import SYSTEM_ACCOUNTS
from p2p.blocks import domains
from p2p.blocks.block import MAX_VALIDATORS
from p2p.blocks.merkle import HASH_BYTES
from p2p.disk import DISK
from p2p.errors import GenesisError, NoGenesis, OtherFormat, RemoteError
from p2p.wire.codec import Record, decode, encode
from p2p.wire.identity import PUBLIC_KEY_BYTES
from p2p.wire.limits import DEFAULT_LIMITS, Limits
from p2p.wire.messages import MAX_TIME_S
from p2p.wire.sealing import can_receive

VERSION = 7
"""The format of a chain: of its genesis, messages, batches and proofs, and the modules it has."""
MAX_OPERATORS = 8
MIN_VALIDATORS = 4
"""Smallest validator set that tolerates one byzantine validator; a set of 1 is for tests."""

MAX_FULL_MEMBERS = 1_500
"""Members whose full entries fit into one transaction."""

MAX_MEMBERS = 2**32 - 32
"""Homes, external and system accounts together are counted with 32 bits."""

MAX_NAME_BYTES = 64
MAX_GENESIS_BYTES = 64 * 1024
MAX_ACCOUNTS = 16
MAX_MODULES = 32
MAX_SEALED_BYTES = 2 * 1024
MAX_CLOSED_BYTES = 8 * 1024 * 1024
"""Of the closed orders of an interval, see `p2p.batches.closed_orders`. [B]"""
MAX_SHARES_BYTES = 256 * 1024
"""Of the shares in an answer, which is one frame, see `p2p.wire.frames`. [B]"""
LINE_BYTES, PIECE_BYTES, SHARE_BYTES = 384, 56, 36
"""Room of an envelope with its signature and a promise of each validator beside the content, of a piece in it, and of a
share in an answer. [B]"""


class Governed(Record, frozen=True):
    """Parameters that a quorum of validators may change; their bounds are `GOVERNED_BOUNDS`.

    Args:
        tx_quota: Transactions of a sender in a window; settlement batches do not count.
        quota_window: Length of a window. [heights]
        proposal_heights: Longest life of a proposal. [heights]
        evidence_heights: Greatest age of evidence. [heights]
        guarantee_days: How long after its interval a guarantee of origin expires. [days]
    """

    tx_quota: int
    quota_window: int
    proposal_heights: int
    evidence_heights: int
    guarantee_days: int


DEFAULT_GOVERNED = Governed(
    tx_quota=1_000, quota_window=100, proposal_heights=10_000, evidence_heights=10_000, guarantee_days=730
)

GOVERNED_BOUNDS = {
    "tx_quota": (1, 100_000),
    "quota_window": (1, 100_000),
    "proposal_heights": (10, 1_000_000),
    "evidence_heights": (10, 1_000_000),
    "guarantee_days": (1, 3_650),
}
"""Name -> smallest and largest value."""


class Params(Record, frozen=True, dict=True):
    """Parameters of a chain.

    Args:
        currency: Code of the currency, e.g. "EUR".
        minutes: Length of an interval. [min]
        max_energy_wh: See `limits.Limits`. [Wh]
        max_price_micro_per_kwh: See `limits.Limits`. [micro-currency/kWh]
        max_node: See `limits.Limits`.
        order_kinds: Kinds of orders that its market takes, ascending; see `market.orders.OrderKind`.
        rounds: Number of rounds in which the market of an interval is open. With several, only simple orders are
            allowed: the rest of a partly accepted order of another kind is not an order of that kind.
        sealed_bytes: Size to which orders are padded that homes seal to the validators until they are closed; 0 where
            they are not sealed. Only markets of one round can seal them.
        rules_hash: 32 bytes that name the market's rules and tariffs; the chain carries it and does not
            read it.
        full_entries: 1 where every batch carries all entries, for research; else 0.
        governed: What the validators may change later; the state holds the values in force.
    """

    currency: str
    minutes: int
    max_energy_wh: int
    max_price_micro_per_kwh: int
    max_node: int
    order_kinds: tuple[int, ...]
    rounds: int
    sealed_bytes: int
    rules_hash: bytes
    full_entries: int
    governed: Governed

    @property
    def limits(self) -> Limits:
        """The ranges for messages of this chain."""
        return Limits(
            self.max_energy_wh,
            self.max_price_micro_per_kwh,
            self.max_node,
            self.order_kinds,
            self.rounds,
            self.sealed_bytes,
        )

    @cached_property
    def hash(self) -> bytes:
        """Hash of the parameters, as headers carry it."""
        return sha256(domains.PARAMS + encode(self)).digest()


class Genesis(Record, frozen=True, dict=True):
    """What a chain starts from.

    Args:
        name: For people.
        time_ms: Blocks must be later. [ms since 1970, UTC]
        authorities: Public keys, 1 or 4..25; their order decides whose turn it is.
        operators: Public keys of the market operators, 1..8, which collect and settle; the first one goes
            first.
        members_root: Root over the homes with their keys, terms and capacities, see `members`; the list is a
            file beside this.
        members: Number of homes.
        accounts: Names of the external accounts that trade and settle beside the homes, such as the grid; an order's
            participant counts them after the homes.
        modules: Names of the modules that the chain has beside those of its format, ascending.
    """

    version: int
    name: str
    time_ms: int
    params: Params
    authorities: tuple[bytes, ...]
    operators: tuple[bytes, ...]
    members_root: bytes
    members: int
    accounts: tuple[str, ...]
    modules: tuple[str, ...]

    @cached_property
    def chain_id(self) -> bytes:
        """SHA-256 of the canonical bytes, which are the whole genesis file."""
        return sha256(encode(self)).digest()

    @property
    def operator(self) -> bytes:
        """Public key of the first operator."""
        return self.operators[0]

    @property
    def account_names(self) -> tuple[str, ...]:
        """Names of the accounts behind the homes: the external ones, then those of the system."""
        return (*self.accounts, *SYSTEM_ACCOUNTS)


def make_params(
    currency: str,
    minutes: int,
    rules_hash: bytes = bytes(HASH_BYTES),
    limits: Limits = DEFAULT_LIMITS,
    *,
    full_entries: bool = False,
    governed: Governed = DEFAULT_GOVERNED,
) -> Params:
    """Return the parameters of a chain; arguments as in `Params`."""
    return Params(
        currency,
        minutes,
        limits.max_energy_wh,
        limits.max_price_micro_per_kwh,
        limits.max_node,
        limits.order_kinds,
        limits.rounds,
        limits.sealed_bytes,
        rules_hash,
        int(full_entries),
        governed,
    )


def check_genesis(genesis: Genesis) -> None:
    """Raise unless a chain can start from this.

    Raises:
        GenesisError: Lists every reason.
    """
    problems = [*_key_problems(genesis), *_name_problems(genesis), *_params_problems(genesis.params)]
    if genesis.version != VERSION:
        problems.append(f"version {genesis.version}; this program supports {VERSION}")
    if not 0 < len(genesis.name.encode()) <= MAX_NAME_BYTES:
        problems.append(f"the name must have 1..{MAX_NAME_BYTES} bytes")
    if not 0 <= genesis.time_ms <= MAX_TIME_S * 1000:
        problems.append(f"time_ms {genesis.time_ms} is outside 0..{MAX_TIME_S * 1000}")
    if len(genesis.members_root) != HASH_BYTES:
        problems.append(f"members_root has {len(genesis.members_root)} bytes; it must have {HASH_BYTES}")
    if not 0 <= genesis.members <= MAX_MEMBERS:
        problems.append(f"members is {genesis.members}; it must be 0..{MAX_MEMBERS}")
    if problems:
        raise GenesisError(problems)


def is_set_size(n: int) -> bool:
    """Whether a chain may have this many validators: 4..25, or 1 for tests."""
    return n == 1 or MIN_VALIDATORS <= n <= MAX_VALIDATORS


def _key_problems(genesis: Genesis) -> list[str]:
    problems = []
    authorities, operators = genesis.authorities, genesis.operators
    if not is_set_size(len(authorities)):
        problems.append(
            f"{len(authorities)} validators; there must be {MIN_VALIDATORS}..{MAX_VALIDATORS}, or 1 for tests"
        )
    if not 1 <= len(operators) <= MAX_OPERATORS:
        problems.append(f"{len(operators)} operators; there must be 1..{MAX_OPERATORS}")
    for what, keys in (("validators", authorities), ("operators", operators)):
        if any(len(key) != PUBLIC_KEY_BYTES for key in keys):
            problems.append(f"{what} holds a key that has not {PUBLIC_KEY_BYTES} bytes")
        if len(set(keys)) != len(keys):
            problems.append(f"{what} holds the same key twice")
    if genesis.params.sealed_bytes:
        problems += _sealing_problems(genesis)
    if genesis.params.full_entries and genesis.members > MAX_FULL_MEMBERS:
        problems.append(f"{genesis.members} members; with full_entries at most {MAX_FULL_MEMBERS} fit")
    return problems


def _sealing_problems(genesis: Genesis) -> list[str]:
    problems = []
    if not all(len(key) == PUBLIC_KEY_BYTES and can_receive(key) for key in genesis.authorities):
        problems.append("validators holds a key to which nothing can be sealed: it has no X25519 key")
    # With the most validators, as more may join: else an interval is closed that does not fit into a message.
    most = min(
        MAX_CLOSED_BYTES // (genesis.params.sealed_bytes + LINE_BYTES + PIECE_BYTES * MAX_VALIDATORS),
        MAX_SHARES_BYTES // SHARE_BYTES,
    )
    if genesis.members > most:
        problems.append(
            f"{genesis.members} members; with sealed_bytes {genesis.params.sealed_bytes} at most {most} fit"
        )
    return problems


def _name_problems(genesis: Genesis) -> list[str]:
    problems = []
    accounts, modules = genesis.accounts, genesis.modules
    if len(accounts) > MAX_ACCOUNTS or len(set(genesis.account_names)) != len(genesis.account_names):
        problems.append(
            f"accounts must be at most {MAX_ACCOUNTS} names, each once, none of {SYSTEM_ACCOUNTS}"
        )
    if len(modules) > MAX_MODULES or list(modules) != sorted(set(modules)):
        problems.append(f"modules must be at most {MAX_MODULES} names, each once, ascending")
    if not all(0 < len(name.encode()) <= MAX_NAME_BYTES for name in (*accounts, *modules)):
        problems.append(f"the name of an account or module must have 1..{MAX_NAME_BYTES} bytes")
    return problems


def _params_problems(params: Params) -> list[str]:
    problems = []
    if params.minutes not in ALLOWED_MINUTES:
        problems.append(f"params.minutes is {params.minutes}; it must be one of {ALLOWED_MINUTES}")
    if not 0 < len(params.currency.encode()) <= MAX_NAME_BYTES:
        problems.append("params.currency must name a currency")
    if min(params.max_energy_wh, params.max_price_micro_per_kwh) <= 0 or params.max_node < 0:
        problems.append("a limit of params is not positive")
    kinds = params.order_kinds
    if not kinds or list(kinds) != sorted(set(kinds)) or not set(kinds) <= set(OrderKind):
        problems.append(f"params.order_kinds is {kinds}; it must name kinds of {[int(k) for k in OrderKind]}")
    if not 1 <= params.rounds <= MAX_ROUNDS:
        problems.append(f"params.rounds is {params.rounds}; it must be 1..{MAX_ROUNDS}")
    elif params.rounds > 1 and tuple(kinds) not in ((OrderKind.SIMPLE,), HORIZON_KINDS):
        problems.append(
            f"params.order_kinds is {kinds}; a market of several rounds takes simple orders, or those of a horizon"
        )
    if params.sealed_bytes and not 0 < params.sealed_bytes <= MAX_SEALED_BYTES:
        problems.append(f"params.sealed_bytes is {params.sealed_bytes}; it must be 0..{MAX_SEALED_BYTES}")
    if params.sealed_bytes and params.rounds > 1:
        problems.append(
            "params.sealed_bytes is set; in a market of several rounds homes order by those of others"
        )
    if len(params.rules_hash) != HASH_BYTES:
        problems.append(f"params.rules_hash has {len(params.rules_hash)} bytes, not {HASH_BYTES}")
    if params.full_entries not in (0, 1):
        problems.append(f"params.full_entries is {params.full_entries}; it must be 0 or 1")
    for name, (low, high) in GOVERNED_BOUNDS.items():
        value = getattr(params.governed, name)
        if not low <= value <= high:
            problems.append(f"params.governed.{name} is {value}; it must be {low}..{high}")
    return problems


def decode_genesis(data: bytes) -> Genesis:
    """Read a genesis from its canonical bytes.

    Raises:
        OtherFormat: Of an earlier or a later version of this program.
        GenesisError: Not a genesis, not canonical, or one that no chain can start from.
    """
    other = _other_version(data)
    if other is not None:
        raise OtherFormat(other)
    try:
        genesis = decode(Genesis, data, max_bytes=MAX_GENESIS_BYTES)
    except RemoteError as error:
        raise NoGenesis([error.detail]) from None
    check_genesis(genesis)
    return genesis


def _other_version(data: bytes) -> int | None:
    """The format of a genesis of another version, by its first field; None for any other bytes."""
    if len(data) < 2 or data[0] & 0xF0 != 0x90:  # an array of less than 16 fields, as all formats are
        return None
    fields = 9 if data[1] < 3 else 10
    old = data[0] == 0x90 | fields and 0 < data[1] < VERSION
    return data[1] if old or VERSION < data[1] < 0x80 else None


def write_genesis(path: Path, genesis: Genesis) -> None:
    """Write the canonical bytes atomically; `sha256sum` of the file is the chain id.

    Raises:
        GenesisError: It cannot start a chain, or the file cannot be written.
    """
    check_genesis(genesis)
    try:
        DISK.write_whole(path, encode(genesis))
    except OSError as error:
        raise GenesisError([f"cannot be written ({error.strerror})"], path) from error


def read_genesis(path: Path) -> Genesis:
    """Read a genesis file.

    Raises:
        GenesisError: Missing, damaged or unusable; names the file and every reason.
    """
    try:
        data = read_at_most(path, MAX_GENESIS_BYTES)
    except IsADirectoryError as error:
        raise GenesisError(["is a folder; name the file, such as genesis.bin in it"], path) from error
    except OSError as error:
        raise GenesisError([f"cannot be read ({error.strerror}); {NoGenesis.CURE}"], path) from error
    try:
        return decode_genesis(data)
    except OtherFormat as error:
        raise OtherFormat(error.version, path) from None
    except NoGenesis as error:
        raise NoGenesis(error.problems, path) from None
    except GenesisError as error:
        raise GenesisError(error.problems, path) from None
