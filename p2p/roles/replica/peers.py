"""Sending to the other validators: one bounded queue and one task each, so that none delays another."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

import trio

from p2p.consensus.types import Message, Proposal, Status, Vote
from p2p.transports.base import PEER_FAILED, RequestRefused, Transport
from p2p.wire.codec import Record, encode
from p2p.wire.frames import FRAME_MAX_BYTES, LinkError
from p2p.wire.messages import VERSION

CONSENSUS_PROTOCOL = "/wattswap/consensus/1"
VOTE, PROPOSAL, STATUS, COMMIT, TX, EVIDENCE = range(1, 7)
"""First byte of a message in a frame."""

MAX_FRAME_MESSAGES = 256
MAX_QUEUED = 1_024
MAX_QUEUED_BYTES = 2 * 1024 * 1024
MAX_PEERS = 64
MAX_PROPOSED_BYTES = 200 * 1024
"""Largest block that is put to the vote: a proposal with its proof of lock must fit into a frame. [B]"""
SEND_TIMEOUT_S = 5.0
_FRAME_ROOM = FRAME_MAX_BYTES - 2 * 1024
_PAUSE_S, _PAUSE_MAX_S = 0.1, 2.0

_KINDS: dict[type[Message], int] = {Vote: VOTE, Proposal: PROPOSAL, Status: STATUS}


class ConsensusFrame(Record, frozen=True):
    """Some messages for a validator.

    Args:
        messages: A kind byte and the canonical bytes of a vote, proposal, status, commit, transaction or evidence.
    """

    version: int
    chain_id: bytes
    messages: tuple[bytes, ...]


class Commit(Record, frozen=True):
    """A decided block for one that is behind: canonical bytes of the block and of its certificate."""

    block: bytes
    cert: bytes


def pack(message: Message) -> bytes:
    """A message with its kind byte."""
    return bytes((_KINDS[type(message)],)) + encode(message)


def peer_of(address: str) -> str:
    """The peer id at the end of an address."""
    return address.rpartition("/p2p/")[2]


class _Outbox:
    """What waits for one peer. A newer status takes the place of the one before."""

    def __init__(self, address: str | None) -> None:
        self.address = address
        self.wake = trio.Event()
        self.lost = 0
        self._queue: deque[bytes] = deque()
        self._bytes = 0
        self._status: bytes | None = None

    def put(self, message: bytes) -> None:
        if message[0] == STATUS:
            self._status = message
        else:
            self._queue.append(message)
            self._bytes += len(message)
            while len(self._queue) > MAX_QUEUED or self._bytes > MAX_QUEUED_BYTES:
                self._bytes -= len(self._queue.popleft())
                self.lost += 1
        self.wake.set()

    def take(self) -> tuple[bytes, ...]:
        """As many messages as a frame holds; at least one."""
        taken: list[bytes] = []
        room = _FRAME_ROOM
        if self._status is not None:
            taken.append(self._status)
            room -= len(self._status) + 8
            self._status = None
        while self._queue and len(taken) < MAX_FRAME_MESSAGES:
            room -= len(self._queue[0]) + 8
            if room < 0 and taken:
                break
            taken.append(self._queue.popleft())
            self._bytes -= len(taken[-1])
        if not self._queue:
            self.wake = trio.Event()
        return tuple(taken)

    def clear(self) -> None:
        """Discard what is queued: a peer that was away gets what it lacks by the resend."""
        self.lost += len(self._queue)
        self._queue.clear()
        self._bytes, self._status = 0, None
        self.wake = trio.Event()


class Peers:
    """The other validators.

    Args:
        addresses: Where to dial them.
        start: Starts a task that lives as long as the node.
    """

    def __init__(
        self, transport: Transport, chain_id: bytes, addresses: Iterable[str], start: Callable[..., None]
    ) -> None:
        self._transport = transport
        self._chain_id = chain_id
        self._start = start
        self._outboxes: dict[str, _Outbox] = {}
        for address in addresses:
            self.add(peer_of(address), address)

    def __contains__(self, peer: str) -> bool:
        return peer in self._outboxes

    @property
    def names(self) -> list[str]:
        """Peer ids, in the order they were added."""
        return list(self._outboxes)

    @property
    def lost(self) -> int:
        """Messages that did not go out because a peer was slow or away."""
        return sum(outbox.lost for outbox in self._outboxes.values())

    def add(self, peer: str, address: str | None = None) -> None:
        """Send to this peer from now on; one without an address must have dialled us."""
        if peer in self._outboxes or peer == self._transport.peer_id or len(self._outboxes) >= MAX_PEERS:
            return
        outbox = self._outboxes[peer] = _Outbox(address)
        self._start(self._pump, peer, outbox)

    def broadcast(self, message: bytes) -> None:
        """Queue a message for every peer."""
        for outbox in self._outboxes.values():
            outbox.put(message)

    def send(self, peer: str, message: bytes) -> None:
        """Queue a message for one peer, if it is known."""
        outbox = self._outboxes.get(peer)
        if outbox is not None:
            outbox.put(message)

    async def _pump(self, peer: str, outbox: _Outbox) -> None:
        dialled, pause = outbox.address is None, _PAUSE_S
        while True:
            await outbox.wake.wait()
            frame = encode(ConsensusFrame(VERSION, self._chain_id, outbox.take()))
            try:
                with trio.fail_after(SEND_TIMEOUT_S):
                    if not dialled and outbox.address is not None:
                        await self._transport.connect(outbox.address)
                        dialled = True
                    try:
                        await self._transport.request(peer, CONSENSUS_PROTOCOL, frame)
                    except (
                        LinkError
                    ):  # of a stream from before the peer was restarted; a frame may come twice
                        await self._transport.request(peer, CONSENSUS_PROTOCOL, frame)
                pause = _PAUSE_S
            except RequestRefused:
                outbox.lost += 1
            except (*PEER_FAILED, trio.TooSlowError):
                outbox.lost += 1
                outbox.clear()
                await trio.sleep(pause)
                pause = min(2 * pause, _PAUSE_MAX_S)
