"""What really happened in a simulated run, as an observer of every message and every disk writes it down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import trio

from p2p.consensus.types import Vote
from p2p.errors import RemoteError
from p2p.roles.exchange.wire import (
    BATCH_PROTOCOL,
    BID_PROTOCOL,
    READING_PROTOCOL,
    REFUSED_MARK,
    HandIn,
    HandInReply,
)
from p2p.roles.replica.peers import CONSENSUS_PROTOCOL, VOTE, ConsensusFrame
from p2p.wire.codec import Record, decode
from p2p.wire.frames import FRAME_MAX_BYTES
from p2p.wire.messages import (
    HandedIn,
    Kind,
    NothingMessage,
    OrderMessage,
    ReadingMessage,
    ReceiptCode,
    ReceiptMessage,
    SealedMessage,
    Signed,
    message_id,
)

_TYPES: Mapping[int, type[Record]] = {
    Kind.ORDER: OrderMessage,
    Kind.NOTHING: NothingMessage,
    Kind.READING: ReadingMessage,
    Kind.RECEIPT: ReceiptMessage,
    Kind.SEALED: SealedMessage,
}

_FRAMES = msgspec.msgpack.Decoder(ConsensusFrame)
_VOTES = msgspec.msgpack.Decoder(Vote)
_VOTE = bytes((VOTE,))


class Spoken(NamedTuple):
    """A message of a home, when it first left it.

    Args:
        at_s: [s after the begin]
        collector: The node it was first for.
    """

    message: HandedIn
    at_s: float
    collector: str


class Receipt(NamedTuple):
    """A receipt that reached its home, or its gateway.

    Args:
        name: Id of the message it is for.
        at_s: When it arrived. [s after the begin]
        signed: The receipt's and the message's bytes.
    """

    name: bytes
    code: ReceiptCode
    collector: str
    at_s: float
    signed: tuple[bytes, bytes]


class Refused(NamedTuple):
    """A message that a collector refused unread.

    Args:
        at_s: When the refusal arrived. [s after the begin]
    """

    name: bytes
    code: str
    collector: str
    at_s: float


@dataclass(slots=True)
class Truth:
    """The observer's notes.

    Attributes:
        spoken: By message id.
        asked: When a message first left for each node, by message id and name. [s after the begin]
        receipts: In the order of arrival.
        refused: In the order of arrival.
        settled: When an interval was first seen settled, by its start; by whom. [s after the begin]
        blobs: Every blob that a node has stored, by name of its file.
        holders: Who has stored a blob, by name of its file.
        ended: Nodes that ended by an error that no act explains, and the error.
        votes: What each validator has voted for, by its name, kind of vote, height and round, in messages of its own.
        sent: Number of requests and gossip of each node.
        end_s: When the run ended. [s after the begin]
        held: Most entries and bytes that a node's stores held, by node and what.
        lies: How often each lie reached somebody it can hurt.
    """

    spoken: dict[bytes, Spoken] = field(default_factory=dict)
    asked: dict[bytes, dict[str, float]] = field(default_factory=dict)
    receipts: list[Receipt] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    settled: dict[int, tuple[float, str]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    holders: dict[str, set[str]] = field(default_factory=dict)
    ended: list[tuple[str, BaseException]] = field(default_factory=list)
    held: dict[tuple[str, str], int] = field(default_factory=dict)
    lies: dict[str, int] = field(default_factory=dict)
    votes: dict[tuple[str, int, int, int], set[bytes | None]] = field(default_factory=dict)
    sent: Counter[str] = field(default_factory=Counter)
    end_s: float = 0.0
    _votes_seen: set[bytes] = field(default_factory=set)

    def hold(self, name: str, what: str, amount: int) -> None:
        """Note what a node holds; the most is kept."""
        self.held[name, what] = max(amount, self.held.get((name, what), 0))

    def see(self, kind: str, sender: str, receiver: str, channel: str, data: bytes, asked: bytes) -> None:
        """Note a message of the network; see `network.Seen`."""
        if kind in ("ask", "gossip"):
            self.sent[sender] += 1
        if channel in (BID_PROTOCOL, READING_PROTOCOL):
            if kind == "ask":
                self._said(data, receiver)
            elif kind == "reply":
                self._answered(asked, data, sender)
        elif channel == CONSENSUS_PROTOCOL:
            if kind == "ask":
                self._voted(data, sender)
        elif channel == BATCH_PROTOCOL:
            messages = _read(HandIn, asked or data)
            if not isinstance(messages, HandIn):
                return
            if kind == "ask":
                for one in messages.messages:
                    self._said(one, receiver)
            elif kind == "reply":
                replies = _read(HandInReply, data)
                if isinstance(replies, HandInReply) and len(replies.entries) == len(messages.messages):
                    for one, reply in zip(messages.messages, replies.entries, strict=True):
                        self._answered(one, reply, sender)

    def _voted(self, data: bytes, sender: str) -> None:
        """Note votes of validators, which send their own and nobody else's."""
        try:
            frame = _FRAMES.decode(data)
            votes = {one[1:] for one in frame.messages if one[:1] == _VOTE} - self._votes_seen
            self._votes_seen |= votes
            for vote in map(_VOTES.decode, votes):
                key = sender, vote.kind, vote.height, vote.round
                self.votes.setdefault(key, set()).add(vote.block_hash)
        except msgspec.MsgspecError:
            return  # junk of a byzantine node

    def _said(self, data: bytes, collector: str) -> None:
        message = opened(data)
        if isinstance(message, HandedIn):
            name, now_s = message_id(message), trio.current_time()
            self.spoken.setdefault(name, Spoken(message, now_s, collector))
            self.asked.setdefault(name, {}).setdefault(collector, now_s)

    def _answered(self, asked: bytes, reply: bytes, collector: str) -> None:
        message = opened(asked)
        if not isinstance(message, HandedIn):
            return
        name, now_s = message_id(message), trio.current_time()
        if reply.startswith(REFUSED_MARK):
            code = reply[1:].decode("ascii", "replace")
            self.refused.append(Refused(name, code, collector, now_s))
            return
        receipt = opened(reply)
        if isinstance(receipt, ReceiptMessage) and receipt.message_id == name:
            self.receipts.append(Receipt(name, ReceiptCode(receipt.code), collector, now_s, (reply, asked)))


def opened(data: bytes) -> Record | None:
    """The message in an envelope, its signature not checked; None where it is none."""
    envelope = _read(Signed, data)
    if not isinstance(envelope, Signed) or envelope.kind not in _TYPES:
        return None
    return _read(_TYPES[envelope.kind], envelope.body)


def _read(wanted: type[Record], data: bytes) -> Record | None:
    try:
        return decode(wanted, data, max_bytes=FRAME_MAX_BYTES)
    except RemoteError:
        return None
