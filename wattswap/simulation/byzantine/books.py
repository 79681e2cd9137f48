"""Lies of an operator towards the chain: a second book, or one that an accomplice settles in its place."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Final

import trio
from msgspec.structs import replace

from p2p.batches.batch import CloseArgs, Step, batch_tx, steps
from p2p.batches.blob import MAX_BLOB_BYTES, Blob, blob_hash
from p2p.batches.closed_orders import Closed
from p2p.blocks.block import Tx
from p2p.blocks.genesis import MAX_CLOSED_BYTES
from p2p.roles.replica.ledger import Ledger
from p2p.transports.base import Transport
from p2p.wire.codec import decode, encode
from p2p.wire.identity import Identity
from wattswap.nodes.chains import send_tx
from wattswap.nodes.collector import TX_LIFETIME, Chain
from wattswap.nodes.node import Node
from wattswap.simulation.byzantine.behaviour import Behaviour


class OtherBook(Behaviour, ABC):
    """Settles intervals without its victims, whatever was promised to them."""

    def chain(self, node: Node, chain: Chain) -> Chain:
        return _Submits(chain.ledger, node.transport, node.addresses("validator"), self)

    @abstractmethod
    async def submit(self, transport: Transport, addresses: list[str], tx: Tx, args: Step) -> str:
        """Submit something in place of an honest batch; returns the refusal code, or ""."""

    def without_victims(self, args: Step) -> Step | None:
        """The same without the victims, whose blob is served; None where they said nothing."""
        data = self.blobs.get(args.blob_hash)
        if data is None:
            return None
        roster, other = self.setup.roster, args
        if isinstance(args, CloseArgs):
            closed = decode(Closed, data, max_bytes=MAX_CLOSED_BYTES)
            sealed = tuple(line for line in closed.lines if roster[line.participant] not in self.victims)
            if sealed == closed.lines:
                return None
            data = encode(replace(closed, lines=sealed))
            other = replace(args, blob_hash=blob_hash(data))
        else:
            blob = decode(Blob, data, max_bytes=MAX_BLOB_BYTES)
            lines = tuple(line for line in blob.lines if roster[line.participant] not in self.victims)
            if lines == blob.lines:
                return None
            data, other = self.args_of(encode(replace(blob, lines=lines, solution=b"")))
        self.blobs.put(data, args.interval_start)
        return other

    def batch(self, identity: Identity, args: Step) -> bytes:
        """A batch transaction of a key."""
        tip = self.ledger.tip
        nonce = tip.state.nonce(identity.public_key) + 1
        return batch_tx(identity, self.chain_id, nonce, tip.height + TX_LIFETIME, args).raw


class _Submits:
    """The chain, to which a lie submits."""

    def __init__(
        self, ledger: Ledger, transport: Transport, addresses: list[str], behaviour: OtherBook
    ) -> None:
        self.ledger = ledger
        self._transport, self._addresses, self._behaviour = transport, addresses, behaviour

    async def submit(self, tx: bytes) -> str:
        found = decode(Tx, tx)
        ((_, args),) = steps((found,))
        return await self._behaviour.submit(self._transport, self._addresses, found, args)


class TwoBooks(OtherBook):
    """Submits one batch to the first half of the validators, and another without its victims to the other half."""

    async def submit(self, transport: Transport, addresses: list[str], tx: Tx, args: Step) -> str:
        other = self.without_victims(args) if self.has_begun else None
        if other is None:
            return (await send_tx(transport, addresses, tx.raw)).code
        half, codes = len(addresses) // 2, dict[bytes, str]()

        async def send(to: list[str], data: bytes) -> None:
            codes[data] = (await send_tx(transport, to, data)).code

        false = self.batch(self.identity, other)

        # Both at once: what one half has, it passes on to the other, which then takes no second of that nonce.
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, addresses[:half], tx.raw)
            nursery.start_soon(send, addresses[half:], false)
        self.told(not codes[false])
        return codes[tx.raw] and codes[false]


class Accomplice(OtherBook):
    """Gives receipts and settles nothing: the last validator does, with what the operator leaves in the book.

    So the receipts are of one key and the batch of another.
    """

    async def submit(self, transport: Transport, addresses: list[str], tx: Tx, args: Step) -> str:
        other = self.without_victims(args) if self.has_begun else None
        if other is None:
            return (await send_tx(transport, addresses, tx.raw)).code
        accomplice = self.key_of(accomplice_of(self.town.plan.shape.validators))
        code = (await send_tx(transport, addresses, self.batch(accomplice, other))).code
        self.told(not code)
        return code


def accomplice_of(validators: int) -> str:
    """Name of the validator that works with a dishonest operator, in a neighbourhood of so many."""
    return f"validator-{validators - 1}"


OF_BOOKS: Final[Mapping[str, Callable[..., Behaviour]]] = {"two_books": TwoBooks, "accomplice": Accomplice}
