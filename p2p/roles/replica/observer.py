"""A node that follows a chain without signing: it asks one peer at a time and trusts certificates only."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio

from p2p.errors import RemoteError
from p2p.ledger.execution import Tip
from p2p.roles.replica.ledger import Ledger
from p2p.roles.replica.peers import peer_of
from p2p.roles.replica.sync import MAX_WAIT_MS, ask_range
from p2p.transports.base import PEER_FAILED, Transport

PATIENCE_S = 2.0
"""How much longer than it was asked to wait a peer may take. [s]"""
_PAUSE_S, _PAUSE_MAX_S = 0.1, 2.0


class Observer:
    """Follows a list of peers into a ledger.

    A peer that is away, slow or sends something wrong is left for the next; so is one that has nothing new,
    so that no peer can withhold blocks by silence. A peer that sent something wrong is counted and asked last.

    Args:
        ledger: Over an open `ChainStore`; blocks are executed and stored there.
        addresses: Of validators or of other nodes that serve sync/1.
    """

    def __init__(self, transport: Transport, ledger: Ledger, addresses: Sequence[str]) -> None:
        self.ledger = ledger
        self._transport = transport
        self._addresses = {peer_of(address): address for address in addresses}
        self._dialled: set[str] = set()
        self._refused = transport.stats.refused

    @property
    def tip(self) -> Tip:
        """The newest block and the state after it."""
        return self.ledger.tip

    async def wait_for(self, predicate: Callable[[Tip], bool]) -> Tip:
        """Wait until the tip is as asked for."""
        return await self.ledger.wait_for(predicate)

    async def run(self) -> None:
        """Follow until cancelled.

        Raises:
            LocalError: The store cannot be written, or the chain has forked.
        """
        pause = _PAUSE_S
        while True:
            height = self.ledger.height
            answered = False
            for peer in sorted(self._addresses, key=self._refused.by_peer):
                answered = await self._follow(peer) or answered
            if answered or self.ledger.height > height:
                pause = _PAUSE_S
            else:
                await trio.sleep(pause)
                pause = min(2 * pause, _PAUSE_MAX_S)

    async def _follow(self, peer: str) -> bool:
        """Take blocks from a peer while it has some; False where it cannot be followed."""
        try:
            while await self._ask(peer):
                pass
        except RemoteError as error:
            self._refused.add(peer, error.code, error.detail)
            return False
        except (*PEER_FAILED, trio.TooSlowError):
            return False
        return True

    async def _ask(self, peer: str) -> bool:
        with trio.fail_after(MAX_WAIT_MS / 1_000 + PATIENCE_S):
            if peer not in self._dialled:
                await self._transport.connect(self._addresses[peer])
                self._dialled.add(peer)
            reply = await ask_range(
                self._transport,
                peer,
                self.ledger.genesis.chain_id,
                self.ledger.height + 1,
                wait_ms=MAX_WAIT_MS,
            )
        for block_data, cert_data in reply.blocks:
            self.ledger.append(*self.ledger.check_certified(block_data, cert_data))
            await trio.lowlevel.checkpoint()
        return bool(reply.blocks)
