"""How a collector reaches the chain: a validator through its own node, an operator through the validators."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from p2p.errors import P2PError
from p2p.roles.replica.ledger import Ledger
from p2p.roles.validator.mempool import TX_PROTOCOL, TxReply
from p2p.roles.validator.validator import Validator
from p2p.transports.base import Transport
from p2p.wire.codec import decode
from p2p.wire.messages import VERSION

UNREACHABLE = "unreachable"
"""What `submit` returns when no validator answers."""
SUBMIT_S = 3.0
"""How long a validator may take to answer. [s]"""


class OwnChain:
    """The chain as a validator that collects reaches it."""

    def __init__(self, validator: Validator) -> None:
        self._validator = validator
        self.ledger = validator.ledger

    async def submit(self, tx: bytes) -> str:
        """Put a transaction into the own mempool; returns the refusal code, or ""."""
        return self._validator.submit(tx).code


class RemoteChain:
    """The chain as an operator sees it.

    Args:
        ledger: Kept up to date by an observer.
        addresses: Of the validators.
    """

    def __init__(self, transport: Transport, ledger: Ledger, addresses: Sequence[str]) -> None:
        self.ledger = ledger
        self._transport, self._addresses = transport, tuple(addresses)

    async def submit(self, tx: bytes) -> str:
        """Send a transaction to every validator; returns "" if one accepted it, else the refusal code."""
        return (await send_tx(self._transport, self._addresses, tx)).code


async def send_tx(transport: Transport, addresses: Sequence[str], tx: bytes) -> TxReply:
    """Send a transaction to validators; returns the answer of one that accepted it, else the first."""
    answers: list[TxReply] = []

    async def ask(address: str) -> None:
        with trio.move_on_after(SUBMIT_S):
            try:
                peer = await transport.connect(address)
                answers.append(decode(TxReply, await transport.request(peer, TX_PROTOCOL, tx)))
            except P2PError:
                return

    async with trio.open_nursery() as nursery:
        for address in addresses:
            nursery.start_soon(ask, address)
    taken = [answer for answer in answers if not answer.code]
    return (taken or answers or [TxReply(VERSION, UNREACHABLE, "no validator answers")])[0]
