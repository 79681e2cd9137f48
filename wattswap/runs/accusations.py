"""Proofs that a collector or validator broke its word: read from files, checked offline, named in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from market.files import read_at_most
from p2p.batches.batch import is_batch
from p2p.batches.closings import MAX_BROKEN_BYTES, BrokenPromise, check_broken_promise
from p2p.batches.receipts import MAX_OMISSION_BYTES, Omission, check_omission
from p2p.blocks.block import MAX_TX_BYTES, Tx
from p2p.blocks.genesis import Genesis
from p2p.blocks.members import Rotated, none_rotated
from p2p.errors import RemoteError
from p2p.ledger.modules import evidence
from p2p.ledger.modules.evidence import ProofArgs, TwoBatchesArgs, check_two_batches
from p2p.wire.codec import Record, decode
from wattswap.errors import InvalidData, UsageError, VerificationFailed
from wattswap.runs.chain_reader import of_another_chain, stamp

R = TypeVar("R", bound=Record)
BROKEN = {
    evidence.OMISSION: "its batch lacks a message that it promised to include",
    evidence.BROKEN_PROMISE: "its closing lacks a message that it promised to include",
    evidence.TWO_BATCHES: "it signed two different batches of the interval",
}
"""What each method of the chain module `evidence` convicts of, in words."""

NO_PROOF = "give a proof that a home wrote, or the two transactions of two batches"


@dataclass(frozen=True)
class Accusation:
    """A proof that convicts.

    Args:
        method: Of the chain module `evidence`.
        args: Its arguments.
        key: Whom it convicts.
        interval_start: Of the interval. [s since 1970, UTC]
        household: Place in the roster of the home whose message is missing; None where the proof is about none.
    """

    method: str
    args: Record
    key: bytes
    interval_start: int
    household: int | None = None

    def facts(self, genesis: Genesis) -> dict[str, Any]:
        """What it proves, for people."""
        return {
            "convicted": True,
            "role": role_of(self.key, genesis) or None,
            "public_key": self.key.hex(),
            "broken": BROKEN[self.method],
            "household": self.household,
            "interval": stamp(self.interval_start),
        }


def role_of(key: bytes, genesis: Genesis) -> str:
    """The office of a key in the genesis; empty where that names none: later ones are in the state only."""
    offices = {"operator": genesis.operators, "validator": genesis.authorities}
    return next((name for name, keys in offices.items() if key in keys), "")


def read_accusation(files: Sequence[Path], genesis: Genesis, rotated: Rotated = none_rotated) -> Accusation:
    """Read a proof from its file, or two batches of one key and interval from the files of their transactions.

    Args:
        rotated: Keys to which homes have rotated, for who has a chain.

    Raises:
        OSError: A file cannot be read.
        UsageError: More files than a proof has.
        InvalidData: A file is not what it must be.
        VerificationFailed: It convicts nobody on this chain.
    """
    if len(files) == 1:
        return _proof(files[0], genesis, rotated)
    if len(files) != 2:
        raise UsageError.of("PROOF", f"{len(files)} files", NO_PROOF)
    first, second = map(_batch, files)
    try:
        found = check_two_batches(first, second, genesis.chain_id)
    except RemoteError as error:
        raise _convicts_nobody(files[1], error, genesis) from None
    return Accusation(evidence.TWO_BATCHES, TwoBatchesArgs(first, second), *found)


def _proof(file: Path, genesis: Genesis, rotated: Rotated) -> Accusation:
    data = read_at_most(file, max(MAX_OMISSION_BYTES, MAX_BROKEN_BYTES, MAX_TX_BYTES))
    omission, broken = (
        _read(Omission, data, MAX_OMISSION_BYTES),
        _read(BrokenPromise, data, MAX_BROKEN_BYTES),
    )
    try:
        if omission is not None:
            found = check_omission(data, genesis, rotated)
            return Accusation(evidence.OMISSION, ProofArgs(data), *found, omission.home.index)
        if broken is not None:
            found = check_broken_promise(data, genesis, rotated)
            return Accusation(evidence.BROKEN_PROMISE, ProofArgs(data), *found, broken.home.index)
    except RemoteError as error:
        raise _convicts_nobody(file, error, genesis) from None
    if _read(Tx, data, MAX_TX_BYTES) is not None:
        cure = "give the other batch of the interval beside it"
        raise InvalidData.of(str(file), "is one transaction, which proves nothing alone", cure)
    raise InvalidData.of(str(file), "is not a proof of a broken promise", NO_PROOF)


def _read(kind: type[R], data: bytes, limit: int) -> R | None:
    try:
        return decode(kind, data, max_bytes=limit)
    except RemoteError:
        return None


def _batch(file: Path) -> Tx:
    tx = _read(Tx, read_at_most(file, MAX_TX_BYTES), MAX_TX_BYTES)
    if tx is None or not is_batch(tx):
        raise InvalidData.of(str(file), "is not the transaction of a batch", NO_PROOF)
    return tx


def _convicts_nobody(file: Path, error: RemoteError, genesis: Genesis) -> VerificationFailed:
    """The error of a proof that does not hold, or not on this chain."""
    hint = of_another_chain(error, genesis)
    cure = f"it convicts nobody: {hint}" if hint else "it convicts nobody"
    return VerificationFailed.of(str(file), error.detail, cure)
