"""Catching up: fetch missing blocks, and send the first ones to peers that are behind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from p2p.consensus.types import Event, GotCommit
from p2p.errors import InvalidBlock, RemoteError
from p2p.roles.replica.ledger import Ledger
from p2p.roles.replica.peers import COMMIT, Commit, Peers
from p2p.roles.replica.sync import ask_range
from p2p.transports.base import PEER_FAILED, Transport
from p2p.wire.codec import encode

_COMMITS_A_TIME = 4
_PAUSE_S = 0.2
_APPLY_TIMEOUT_S = 10.0


class CatchUp:
    """Fetches decided blocks when others are ahead, and sends some to those who are behind.

    Args:
        hand_in: Passes events to the core.
        repeat_s: A peer is sent the same blocks again after so long. [s]
    """

    def __init__(
        self,
        transport: Transport,
        ledger: Ledger,
        peers: Peers,
        hand_in: Callable[..., Awaitable[None]],
        *,
        repeat_s: float,
    ) -> None:
        self._transport = transport
        self._ledger = ledger
        self._peers = peers
        self._hand_in: Callable[[Event], Awaitable[None]] = hand_in
        self._repeat_s = repeat_s
        self._refused = transport.stats.refused
        self._wanted = trio.Event()
        self._sent: dict[str, tuple[int, float]] = {}

    def want(self) -> None:
        """Others are ahead."""
        self._wanted.set()

    def help(self, peer: str, height: int) -> None:
        """Send a few blocks from a height on to one that is behind; the rest it fetches."""
        ledger, now = self._ledger, trio.current_time()
        before, at = self._sent.get(peer, (0, 0.0))
        if peer not in self._peers or height <= ledger.store.base:
            return
        if before == height and now - at < self._repeat_s:
            return
        self._sent[peer] = (height, now)
        for block, cert in ledger.store.blocks(height, height + _COMMITS_A_TIME - 1):
            self._peers.send(peer, bytes((COMMIT,)) + encode(Commit(encode(block), encode(cert))))

    async def run(self) -> None:
        """Fetch on demand, first from the peers with the fewest refusals."""
        while True:
            await self._wanted.wait()
            self._wanted = trio.Event()
            for peer in sorted(self._peers.names, key=self._refused.by_peer):
                if await self._fetch_from(peer):
                    break
            await trio.sleep(_PAUSE_S)

    async def _fetch_from(self, peer: str) -> bool:
        """Fetch and apply a peer's blocks above our height; False where there were none."""
        grown = False
        while True:
            try:
                reply = await ask_range(
                    self._transport, peer, self._ledger.genesis.chain_id, self._ledger.height + 1
                )
                for block_data, cert_data in reply.blocks:
                    block, cert = self._ledger.check_certified(block_data, cert_data)
                    await self._hand_in(GotCommit(block_data, cert))
                    with trio.fail_after(_APPLY_TIMEOUT_S):
                        await self._ledger.wait_height(block.header.height)
                    grown = True
            except InvalidBlock as error:
                if error.field != "height":  # else it was decided here meanwhile
                    self._refused.add(peer, error.code, error.detail)
                return grown
            except RemoteError as error:
                self._refused.add(peer, error.code, error.detail)
                return grown
            except (*PEER_FAILED, trio.TooSlowError):
                return grown
            if not reply.blocks or reply.height <= self._ledger.height:
                return grown
