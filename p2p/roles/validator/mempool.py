"""Transactions that wait for a block: bounded, checked before they are queued, each at most once.

Of a sender only an unbroken run of nonces above its last one is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from p2p.blocks.block import MAX_TX_BYTES, Tx
from p2p.blocks.genesis import Genesis
from p2p.errors import RemoteError, WrongChain
from p2p.ledger.execution import Tip
from p2p.ledger.state import check_tx
from p2p.wire.codec import Record, decode

TX_PROTOCOL = "/wattswap/tx/1"
MAX_TXS = 5_000
MAX_BYTES = 8 * 1024 * 1024
MAX_PER_SENDER = 64


class TxReply(Record, frozen=True):
    """What became of a transaction that was submitted.

    Args:
        code: "" where it waits for a block now, or did before.
        detail: One sentence for people.
    """

    version: int
    code: str
    detail: str


class PoolFull(RemoteError):
    """There is no room; try again after a block."""

    code = "pool_full"


class SenderFull(RemoteError):
    """This sender has as many transactions waiting as it may."""

    code = "sender_full"


class NonceTaken(RemoteError):
    """Another transaction with this nonce waits already."""

    code = "nonce_taken"


@dataclass(slots=True)
class _Waiting:
    tx: Tx
    ready: bool


class Mempool:
    """The waiting transactions of one chain."""

    def __init__(self, genesis: Genesis) -> None:
        self._genesis = genesis
        self._senders: dict[bytes, dict[int, _Waiting]] = {}
        self._count = 0
        self.bytes = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, tx: Tx) -> bool:
        waiting = self._senders.get(tx.sender, {}).get(tx.nonce)
        return waiting is not None and waiting.tx == tx

    def add(self, data: bytes, tip: Tip, *, ready: bool = True) -> Tx | None:
        """Check a transaction and queue it.

        Args:
            ready: False where it must be `release`d first.

        Returns:
            It, or None where it waits already.

        Raises:
            RemoteError: Why it was not queued.
        """
        tx = decode(Tx, data, max_bytes=MAX_TX_BYTES)
        if tx.chain_id != self._genesis.chain_id:
            raise WrongChain(f"a transaction of chain {tx.chain_id.hex()[:16]}")
        if tx in self:
            return None
        self._check_room(tx)
        pending = len(self._senders.get(tx.sender, ()))
        check_tx(tip.state, tx, tip.height + 1, self._genesis, pending=pending)
        self._senders.setdefault(tx.sender, {})[tx.nonce] = _Waiting(tx, ready)
        self._count += 1
        self.bytes += len(data)
        return tx

    def _check_room(self, tx: Tx) -> None:
        own = self._senders.get(tx.sender, {})
        if tx.nonce in own:
            raise NonceTaken(f"another transaction with nonce {tx.nonce} waits already")
        if len(own) >= MAX_PER_SENDER:
            raise SenderFull(f"{len(own)} transactions of this sender wait already")
        if self._count >= MAX_TXS or self.bytes + len(tx.raw) > MAX_BYTES:
            raise PoolFull(f"{self._count} transactions with {self.bytes} bytes wait already")

    def release(self, tx: Tx) -> None:
        """Let a queued transaction into blocks."""
        if tx in self:
            self._senders[tx.sender][tx.nonce].ready = True

    def ready(self) -> Iterator[Tx]:
        """Transactions that may go into the next block, each sender's in the order of its nonces."""
        for own in self._senders.values():
            for nonce in sorted(own):
                if not own[nonce].ready:
                    break
                yield own[nonce].tx

    def drop(self, tx: Tx) -> None:
        """Remove a transaction and, since nonces have no gaps, the later ones of its sender."""
        if tx in self:
            for nonce in [nonce for nonce in self._senders[tx.sender] if nonce >= tx.nonce]:
                self._remove(tx.sender, nonce)

    def advance(self, tip: Tip) -> None:
        """Remove what a new block included, outdated or let expire."""
        for sender in list(self._senders):
            last = tip.state.nonce(sender)
            for nonce in [nonce for nonce in self._senders[sender] if nonce <= last]:
                self._remove(sender, nonce)
            for waiting in list(self._senders.get(sender, {}).values()):
                if waiting.tx.valid_until_height <= tip.height:
                    self.drop(waiting.tx)

    def _remove(self, sender: bytes, nonce: int) -> None:
        own = self._senders[sender]
        self.bytes -= len(own.pop(nonce).tx.raw)
        self._count -= 1
        if not own:
            del self._senders[sender]
