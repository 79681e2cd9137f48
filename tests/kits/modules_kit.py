"""A chain to call modules on: keys, transactions by name, anchored readings, blocks of several transactions.

The lines of the first LINES intervals of the day of the readings are zero. So that whatever a meter shows can be
used, each home has a further meter, which the kit anchors with what closes its balance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import sha256
from itertools import chain
from typing import Any

import msgspec
import numpy as np
import pytest

from market.settlement.accounts import (
    COLUMNS,
    EXPORT,
    IMPORT,
    RETAIL_EXPORT,
    RETAIL_IMPORT,
    SYSTEM_ACCOUNTS,
    Postings,
)
from p2p.batches.batch import Batch, BatchArgs, batch_args, make_batch
from p2p.blocks import block as blocks
from p2p.blocks import merkle
from p2p.blocks.block import Block, CommitCertificate, Tx, make_tx
from p2p.blocks.genesis import DEFAULT_GOVERNED, VERSION, Genesis, make_params
from p2p.blocks.members import Members
from p2p.errors import InvalidTx
from p2p.ledger.balances import Balance
from p2p.ledger.execution import Tip, advance, check_block, genesis_tip, next_header
from p2p.ledger.module import CHAIN_MODULES, HOUSEHOLD, OPERATOR, ChainModule, Entry, Method
from p2p.ledger.modules import accounts, meters
from p2p.ledger.modules.accounts import EnterArgs
from p2p.ledger.modules.meters import AnchorArgs, ConfirmArgs, Reading, RegisterArgs, reading_leaf
from p2p.ledger.state import apply
from p2p.ledger.view import Context
from p2p.wire.codec import Record
from p2p.wire.identity import Identity
from p2p.wire.limits import DEFAULT_LIMITS
from tests.kits.chain_kit import MASTER, START, authorities, certify, identity, make_args

MEMBERS = 4
DAY = START // meters.DAY_S - 1
DAY_START = DAY * meters.DAY_S
STEP = 900
LINES = 4
HOMES = [identity("household", f"house-{i}") for i in range(MEMBERS)]
STREET = Members(tuple(f"house-{i}" for i in range(MEMBERS)), tuple(key.public_key for key in HOMES))
OPERATORS = [identity("operator", "0"), identity("operator", "1")]
STRANGER = identity("stranger", "0")


def make_genesis(
    n: int = 4,
    *,
    full_entries: bool = False,
    modules: tuple[str, ...] = (),
    sealed_bytes: int = 0,
    **governed: int,
) -> Genesis:
    params = make_params(
        "EUR",
        15,
        limits=replace(DEFAULT_LIMITS, sealed_bytes=sealed_bytes),
        full_entries=full_entries,
        governed=msgspec.structs.replace(DEFAULT_GOVERNED, **governed),
    )
    return Genesis(
        version=VERSION,
        name="modules",
        time_ms=START * 1000,
        params=params,
        authorities=tuple(key.public_key for key in authorities(n)),
        operators=tuple(key.public_key for key in OPERATORS),
        members_root=STREET.root,
        members=MEMBERS,
        accounts=(),
        modules=modules,
    )


def refused(code: str) -> pytest.RaisesExc[InvalidTx]:
    return pytest.raises(InvalidTx, check=lambda error: error.code == code)


@dataclass
class Chain:
    """A chain in memory. `call` puts one transaction into a block of its own."""

    genesis: Genesis
    tip: Tip = field(init=False)
    made: list[tuple[Block, CommitCertificate]] = field(default_factory=list)
    closes: bool = True
    """Whether each home has a further meter that closes its balance."""
    validators: dict[bytes, Identity] = field(default_factory=dict)
    batches: dict[int, Batch] = field(default_factory=dict)
    """By interval, those that readings are compared with."""
    opened: dict[bytes, list[Reading]] = field(default_factory=dict)
    """By meter, its newest readings."""

    def __post_init__(self) -> None:
        self.tip = genesis_tip(self.genesis)
        self.validators = {key.public_key: key for key in authorities(len(self.genesis.authorities))}

    def enter(self, *homes: int) -> None:
        """Let homes show their keys, in one block; those that have are left out."""
        view = self.tip.state.view()
        new = [home for home in homes if view.get(accounts.NAME, b"h" + home.to_bytes(4, "big")) is None]
        if new:
            self.add([self.tx(HOMES[home], "accounts.enter", EnterArgs(STREET.proof(home))) for home in new])

    def tx(self, sender: Identity, name: str, args: Record, **changes: object) -> Tx:
        module, method = name.split(".")
        nonce = self.tip.state.nonce(sender.public_key) + 1
        fields = {"nonce": nonce, "valid_until_height": self.tip.height + 10} | changes
        return make_tx(sender, self.genesis.chain_id, module=module, method=method, args=args, **fields)

    def call(self, sender: Identity, name: str, args: Record) -> None:
        """Raises InvalidTx when it is refused; then there is no block. A home shows its key before it calls."""
        if sender in HOMES and name != "accounts.enter":
            self.enter(HOMES.index(sender))
        tx = self.tx(sender, name, args)
        apply(self.tip.state, tx, self.tip.height + 1, self.genesis)
        self.add([tx])

    def add(self, txs: list[Tx] | None = None, evidence: tuple[bytes, ...] = ()) -> None:
        held, height = tuple(txs or ()), self.tip.height + 1
        current = self.tip.state.validators
        proposer = blocks.proposer_index(height, 0, len(current))
        header = next_header(self.tip, self.genesis, self.tip.time_ms + 1, proposer, held, evidence)
        block = Block(header, held, evidence)
        state, receipts = check_block(self.tip, self.genesis, block)
        cert = certify(header, len(current), keys=[self.validators[key] for key in current])
        self.made.append((block, cert))
        self.tip = advance(self.tip, block, state, receipts)

    def settle_day(self, interval_start: int = START) -> None:
        """Let the clock of the state pass the day of the readings, after the lines of its beginning are settled."""
        if not self.batches:
            self.settle_lines(*[(0, 0)] * LINES)
        args = msgspec.structs.replace(make_args(0, MEMBERS)[1], interval_start=interval_start)
        self.call(OPERATORS[0], "settlement.batch", args)

    def settle_lines(self, *lines: tuple[int, int]) -> None:
        """Settle (import_wh, export_wh) of home 0 in the first intervals of the day of the readings."""
        made = [settled_args(DAY_START + i * STEP, *line) for i, line in enumerate(lines)]
        first = self.tip.state.nonce(OPERATORS[0].public_key) + 1
        txs = [
            self.tx(OPERATORS[0], "settlement.batch", args, nonce=first + i)
            for i, (_, args) in enumerate(made)
        ]
        apply(self.tip.state, txs[0], self.tip.height + 1, self.genesis)
        self.add(txs)
        self.batches |= {batch.interval_start: batch for batch, _ in made}

    def register(
        self, name: str, home: int, kind: int, capacity_w: int = 10_000, efficiency_ppm: int = 0
    ) -> bytes:
        meter = sha256(name.encode()).digest()
        args = RegisterArgs(meter, home, kind, capacity_w, efficiency_ppm)
        self.call(OPERATORS[0], "meters.register", args)
        return meter

    def anchor(
        self,
        meter: bytes,
        readings: list[tuple[int, int]],
        sender: Identity = OPERATORS[0],
        *,
        confirmed: bool = True,
    ) -> list[Reading]:
        """Anchor (production_mwh, consumption_mwh) of the first intervals of the day; return them opened.

        Args:
            confirmed: Whether the home of the meter, or an operator, signs it too.
        """
        opened = open_readings(readings + [(0, 0)] * (LINES - len(readings)))
        args = self.anchor_args(meter, opened)
        self.call(sender, "meters.anchor", args)
        home = meters.find(self.tip.state.view(), meter).household
        if confirmed:
            confirm = ConfirmArgs(meter, DAY, args.version, args.root)
            self.call(OPERATORS[0] if sender == HOMES[home] else HOMES[home], "meters.confirm", confirm)
        self.opened[meter] = opened
        if self.closes:
            self._close(home)
        return opened

    def anchor_args(self, meter: bytes, opened: list[Reading]) -> AnchorArgs:
        """What anchors readings as the next version of the day."""
        view = self.tip.state.view()
        version = meters.newest_version(view, meter, DAY)
        known = meters.anchor_of(view, meter, DAY, version)
        root = merkle.root([reading_leaf(reading) for reading in opened])
        previous = bytes(32) if known is None else known.root
        return AnchorArgs(meter, DAY, version + 1, root, len(opened), previous)

    def _close(self, home: int) -> None:
        """Anchor for a further meter of a home what closes its balance, with both signatures."""
        rest, view = sha256(b"rest of %d" % home).digest(), self.tip.state.view()
        others = self.others(home, rest)
        shown = [self.opened[name] for name in others if meters.find(view, name).kind != meters.BOTH]
        net_mwh = [0] * max(len(self.opened[name]) for name in others)
        for reading in chain.from_iterable(shown):
            net_mwh[reading.index] += reading.production_mwh - reading.consumption_mwh
        if rest not in self.opened:
            kind = meters.PRODUCTION if min(net_mwh) < 0 else meters.CONSUMPTION
            self.call(OPERATORS[1], "meters.register", RegisterArgs(rest, home, kind, 10**6, 0))
        opened = open_readings([(0, mwh) if mwh > 0 else (-mwh, 0) for mwh in net_mwh])
        if opened == self.opened.get(rest):
            return
        self.opened[rest], args = opened, self.anchor_args(rest, opened)
        confirm = ConfirmArgs(rest, DAY, args.version, args.root)
        self.enter(home)
        self.add(
            [self.tx(OPERATORS[1], "meters.anchor", args), self.tx(HOMES[home], "meters.confirm", confirm)]
        )

    def others(self, home: int, meter: bytes) -> list[bytes]:
        """The other meters of a home that have readings."""
        names = meters.names_of(self.tip.state.view(), home)
        return [name for name in names if name != meter and name in self.opened]

    def balances(self, meter: bytes, *readings: Reading) -> tuple[Balance, ...]:
        """The balance of each reading of a meter."""
        return tuple(self.balance(meter, reading) for reading in readings)

    def balance(self, meter: bytes, reading: Reading) -> Balance:
        """The balance of a reading of a meter; for one of an unsettled interval or meter that of another."""
        home = meters.find(self.tip.state.view(), meter).household
        batch = self.batches.get(reading.interval_start, next(iter(self.batches.values())))
        path = b"".join(merkle.path_in(batch.tree, home))
        i = min(max((reading.interval_start - DAY_START) // STEP, 0), LINES - 1)
        others = tuple(self.opened[name][i] for name in self.others(home, meter))
        return Balance(batch.entry(home), batch.salt(home), path, others)


@cache
def settled_args(interval_start: int, import_wh: int, export_wh: int) -> tuple[Batch, BatchArgs]:
    """A batch in which home 0 imports and exports, home 3 the other way round, and nobody trades."""
    lines = np.zeros((MEMBERS + len(SYSTEM_ACCOUNTS), len(COLUMNS)), dtype=np.int64)
    for home, (into, out) in ((0, (import_wh, export_wh)), (3, (export_wh, import_wh))):
        lines[home, [IMPORT, RETAIL_IMPORT]], lines[home, [EXPORT, RETAIL_EXPORT]] = into, out
    postings = Postings(lines, MEMBERS)
    batch = make_batch(postings, interval_start, MASTER)
    args = batch_args(
        batch,
        postings,
        orders=0,
        book_root=bytes(32),
        clearing_root=bytes(32),
        prices_root=bytes(32),
        prices=1,
        price=None,
        traded_wh=0,
        next_collector=OPERATORS[0].public_key,
    )
    return batch, args


def open_readings(readings: list[tuple[int, int]]) -> list[Reading]:
    bare = [
        Reading(DAY_START + i * STEP, STEP, made, used, sha256(b"%d" % i).digest()[:16], i, b"")
        for i, (made, used) in enumerate(readings)
    ]
    leaves = [reading_leaf(reading) for reading in bare]
    return [
        msgspec.structs.replace(reading, path=b"".join(merkle.path(leaves, i)))
        for i, reading in enumerate(bare)
    ]


# --- a third-party module ---------------------------------------------------------------------------

NOTES = "notes"


class NoteArgs(Record, frozen=True):
    """Arguments of the one method."""

    number: int


def nothing(*_: object) -> None:
    """A hook that does nothing."""


def note(ctx: Context, args: NoteArgs) -> None:
    """What the method should do."""
    ctx.view.put(NOTES, b"n", b"%d" % args.number)


@contextmanager
def registered(execute: Callable[..., None] = note, **changes: Any) -> Iterator[ChainModule]:
    """The module while it is registered; `check_args` and `caller` change its method, others the module."""
    own = {name: changes.pop(name) for name in ("caller",) if name in changes}
    check = changes.pop("check_args", nothing)
    method = Method("Keep a number.", NoteArgs, frozenset({OPERATOR, HOUSEHOLD}), execute, check, **own)
    module = ChainModule(NOTES, "Notes.", {"keep": method}, (Entry("A note.", b"n"),))
    CHAIN_MODULES.register(replace(module, **changes))
    try:
        yield CHAIN_MODULES.get(NOTES)
    finally:
        CHAIN_MODULES.forget(NOTES)


def fail(error: BaseException) -> Callable[..., None]:
    """A function that raises."""

    def failing(*_: object) -> None:
        raise error

    return failing
