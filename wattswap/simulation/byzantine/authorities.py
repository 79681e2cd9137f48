"""Lies of one validator: batches out of turn, junk blobs, made-up results, broken promises."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any, Final, cast

import trio
from msgspec.structs import replace

from p2p.batches.batch import Step, batch_tx, batches, steps
from p2p.batches.blob import blob_hash
from p2p.batches.closings import Promised, decode_closing, make_closing
from p2p.blocks import domains
from p2p.blocks.block import PRECOMMIT, Block, decode_block, make_cert, vote_bytes
from p2p.consensus.types import Proposal
from p2p.errors import OutOfRange, P2PError
from p2p.ledger.execution import Tip, next_header
from p2p.ledger.light import MAX_PROOF_BYTES, BatchProof, make_batch_proof
from p2p.roles.exchange.wire import (
    BATCH_PROTOCOL,
    CLOSING_PROTOCOL,
    RESULT_PROTOCOL,
    CloseReply,
    ask,
    result_topic,
)
from p2p.roles.replica.blobs import BLOB_PROTOCOL, PIECE_BYTES, BlobPiece, BlobQuery
from p2p.roles.replica.peers import CONSENSUS_PROTOCOL, PROPOSAL, ConsensusFrame
from p2p.roles.replica.schedule import Schedule
from p2p.roles.validator.mempool import TX_PROTOCOL, TxReply
from p2p.transports.base import Handler, Transport
from p2p.wire.codec import decode, encode
from p2p.wire.frames import FRAME_MAX_BYTES
from p2p.wire.messages import MAX_TIME_S
from wattswap.nodes.collector import TX_LIFETIME
from wattswap.simulation.byzantine.behaviour import Behaviour

JUNK_BYTES: Final = 1024 * 1024
"""Of a junk blob. [B]"""
JUNK_EVERY_S: Final = 0.5
"""[s]"""
AGAIN_S: Final = 0.05
"""Pause before its own node is asked again for the result of an interval. [s]"""
AGAIN_MAX_S: Final = 1.0
"""How long it waits for its batch to be decided before it submits another. [s]"""
FAR_HEIGHT: Final = 2**40
"""A height that no chain reaches."""


class Proposes(Behaviour):
    """Submits batches of its own to the other validators, and serves their blobs from memory."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._served: dict[bytes, bytes] = {}
        self.empty = self.first_step(self.setup.start_s)[1]

    def handler(self, protocol: str, honest: Handler) -> Handler:
        return partial(self._give_blob, honest) if protocol == BLOB_PROTOCOL else honest

    async def _give_blob(self, honest: Handler, peer: str, frame: bytes) -> bytes:
        query = decode(BlobQuery, frame, max_bytes=256)
        blob = self._served.get(query.blob_hash)
        if blob is None:
            return await honest(peer, frame)
        return encode(BlobPiece(len(blob), blob[query.offset : query.offset + PIECE_BYTES]))

    async def propose(self, transport: Transport, args: Step, blob: bytes) -> None:
        """Submit a batch to every other validator; counted for each that takes it."""
        self._served[args.blob_hash] = blob
        tx = self.batch(args)
        async with trio.open_nursery() as nursery:
            for name in self.base.of_role("validator"):
                if name != self.lie.who:
                    nursery.start_soon(self._submit, transport, name, tx)

    def batch(self, args: Step) -> bytes:
        """A batch transaction of its own."""
        tip, key = self.ledger.tip, self.identity
        nonce = tip.state.nonce(key.public_key) + 1
        return batch_tx(key, self.chain_id, nonce, tip.height + TX_LIFETIME, args).raw

    async def _submit(self, transport: Transport, name: str, tx: bytes) -> None:
        try:
            peer = await transport.connect(self.address(name))
            reply = decode(TxReply, await transport.request(peer, TX_PROTOCOL, tx))
        except P2PError:
            return
        self.told(not reply.code)


class SettlesAhead(Proposes):
    """Settles an interval that is not due with nobody in it, so that those before it are never settled.

    Args:
        last: The last interval, not the one after the next.
    """

    def __init__(self, *arguments: Any, last: bool) -> None:
        super().__init__(*arguments)
        self._last = last

    async def speak(self, transport: Transport) -> None:
        async for i in self.moments():
            wanted = self.setup.intervals - 1 if self._last else i + 2
            if i < wanted < self.setup.intervals and self.is_open(self.setup.start_of(wanted - 1)):
                blob, args = self.first_step(self.setup.start_of(wanted))
                await self.propose(transport, args, blob)


class SettlesNext(Proposes):
    """Settles each next interval with nobody in it as soon as the one before is settled, opened or not."""

    async def speak(self, transport: Transport) -> None:
        await self.first_moment()
        last_s = self.setup.start_of(self.setup.intervals - 1)
        while (settled_s := self.ledger.tip.state.settled.last_interval_start) < last_s:
            blob, args = self.first_step(self.setup.after(settled_s))
            with trio.move_on_after(AGAIN_MAX_S):
                await self.propose(transport, args, blob)
                await self.ledger.wait_for(partial(_is_beyond, settled_s))


def _is_beyond(start_s: int, tip: Tip) -> bool:
    """Whether a later interval is settled."""
    return tip.state.settled.last_interval_start > start_s


class ProposesAhead(SettlesAhead):
    """Puts such a batch into its own blocks: its own node finds every interval due."""

    def __init__(self, *arguments: Any, last: bool) -> None:
        super().__init__(*arguments, last=last)
        self._own: Handler | None = None
        self._hashes: set[bytes] = set()

    def schedule(self, schedule: Schedule) -> Schedule:
        return cast(Schedule, _EveryTurn(schedule))

    def handler(self, protocol: str, honest: Handler) -> Handler:
        if protocol == TX_PROTOCOL:
            self._own = honest
        return super().handler(protocol, honest)

    async def propose(self, transport: Transport, args: Step, blob: bytes) -> None:
        if self._own is not None:
            self.blobs.put(blob, args.interval_start)
            self._hashes.add(args.blob_hash)
            await self._own(self.town.peer(self.lie.who), self.batch(args))

    async def request(self, transport: Transport, peer: str, protocol: str, frame: bytes) -> bytes:
        reply = await transport.request(peer, protocol, frame)
        if protocol == CONSENSUS_PROTOCOL:
            messages = decode(ConsensusFrame, frame, max_bytes=FRAME_MAX_BYTES).messages
            self.told(sum(self._is_lie(message) for message in messages))
        return reply

    def _is_lie(self, message: bytes) -> bool:
        """Whether a message proposes a block with such a batch."""
        if message[:1] != bytes((PROPOSAL,)):
            return False
        block = decode_block(decode(Proposal, message[1:], max_bytes=FRAME_MAX_BYTES).block, self.chain_id)
        return any(args.blob_hash in self._hashes for _, args in steps(block.txs))


class _EveryTurn:
    """Gates and turns, to which every batch is due and nothing is lacking."""

    def __init__(self, honest: Schedule) -> None:
        self._honest = honest

    def __getattr__(self, name: str) -> Any:
        return getattr(self._honest, name)

    def check_batch(self, *_: object) -> None:
        """Any will do."""

    def check_lacking(self, *_: object) -> None:
        """Any will do."""


class JunkBlobs(Proposes):
    """Submits batches of junk again and again, which others store before they find out.

    Args:
        far: Dated far ahead, so that they are kept for long; else of the interval that is due.
    """

    def __init__(self, *arguments: Any, far: bool) -> None:
        super().__init__(*arguments)
        self._far = far

    async def speak(self, transport: Transport) -> None:
        await self.first_moment()
        step_s = self.setup.minutes * 60
        while True:
            settled_s = self.ledger.tip.state.settled.last_interval_start
            start_s = MAX_TIME_S // step_s * step_s if self._far else self.setup.after(settled_s)
            junk = self.random.randbytes(JUNK_BYTES)
            args = replace(self.empty, interval_start=start_s, blob_hash=blob_hash(junk))
            self._served.clear()
            await self.propose(transport, args, junk)
            await trio.sleep(JUNK_EVERY_S)


class MakesUp(Behaviour):
    """Gossips proofs of settled intervals that are none."""

    async def proof(self, i: int) -> BatchProof | None:
        """What it says after the opening of an interval, or nothing."""
        return None

    async def speak(self, transport: Transport) -> None:
        async with aclosing(self.moments()) as moments:  # it may be cancelled while it waits for a result
            async for i in moments:
                proof = await self.proof(i)
                if proof is not None:
                    receivers = self.spoken_homes(self.setup.start_of(i))
                    await transport.publish(result_topic(self.chain_id), encode(proof))
                    self.told(len(receivers))

    def made_up(self, start_s: int, height: int) -> BatchProof:
        """The proof of a block that nobody has made, certified by the own key alone."""
        setup, key, tip = self.setup, self.identity, self.ledger.tip
        args = self.args_of(self.empty_blob(start_s))[1]
        tx = batch_tx(key, self.chain_id, tip.state.nonce(key.public_key) + 1, height + TX_LIFETIME, args)
        proposer = setup.genesis.authorities.index(key.public_key)
        made = next_header(tip, setup.genesis, tip.time_ms + 1, proposer, (tx,))
        header = replace(made, height=height)
        vote = vote_bytes(PRECOMMIT, self.chain_id, height, 0, header.hash)
        signature = key.sign(domains.SIGN_CONSENSUS, vote)
        cert = make_cert(height, 0, header.hash, {proposer: signature}, len(setup.genesis.authorities))
        return make_batch_proof(Block(header, (tx,), ()), cert, setup.genesis)


class OtherBlock(MakesUp):
    """Names another block for the interval that is traded, and itself as the next collector."""

    async def proof(self, i: int) -> BatchProof | None:
        return self.made_up(self.setup.start_of(i), self.ledger.height + 1)


class DatedAhead(MakesUp):
    """Announces the last interval, so that homes ask for all results before it and take them for old."""

    async def proof(self, i: int) -> BatchProof | None:
        return self.made_up(self.setup.start_of(self.setup.intervals - 1), FAR_HEIGHT)


class CallsHomes(MakesUp):
    """Repeats the true proof of the interval, but with itself as the next collector.

    As the next interval opens: homes that have spoken for it do not follow an older result, and all others do.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._own: Handler | None = None

    def handler(self, protocol: str, honest: Handler) -> Handler:
        if protocol == RESULT_PROTOCOL:
            self._own = honest
        return honest

    async def proof(self, i: int) -> BatchProof | None:
        start_s = self.setup.start_of(i)
        if self.is_open(start_s):
            await self.town.event("settled", "", i).wait()
        own, peer, question = b"", self.town.peer(self.lie.who), ask(self.chain_id, start_s)
        while self._own is not None and not own:
            await trio.sleep(AGAIN_S)
            own = await self._own(peer, question)
        true = decode(BatchProof, own, max_bytes=MAX_PROOF_BYTES)
        plan = self.town.plan
        await trio.sleep_until(plan.opens_s(i + 1) - plan.weather.delay_max_s / 2)
        ((_, args),) = batches((true.tx,))
        mine = replace(args, next_collector=self.identity.public_key)
        tx = batch_tx(self.identity, self.chain_id, true.tx.nonce, true.tx.valid_until_height, mine)
        return replace(true, tx=tx)


class BreaksItsPromise(Behaviour):
    """Promises the messages of its victims, and signs closings without them."""

    def handler(self, protocol: str, honest: Handler) -> Handler:
        return partial(self._close, honest) if protocol == CLOSING_PROTOCOL else honest

    async def _close(self, honest: Handler, peer: str, frame: bytes) -> bytes:
        reply = decode(CloseReply, await honest(peer, frame), max_bytes=FRAME_MAX_BYTES)
        closing, roster = decode_closing(reply.closing), self.setup.roster
        kept = tuple(one for one in closing.promised if roster[one.participant] not in self.victims)
        if not self.has_begun or kept == closing.promised:
            return encode(reply)
        self.told()
        false = make_closing(self.identity, self.chain_id, closing.interval_start, closing.slot, kept)
        return encode(CloseReply(encode(false), ()))


class PromisesMore(Behaviour):
    """Signs closings with promises that it never gave, of messages that nobody has sent."""

    def handler(self, protocol: str, honest: Handler) -> Handler:
        return partial(self._close, honest) if protocol == CLOSING_PROTOCOL else honest

    async def _close(self, honest: Handler, peer: str, frame: bytes) -> bytes:
        reply = decode(CloseReply, await honest(peer, frame), max_bytes=FRAME_MAX_BYTES)
        if not self.has_begun:
            return encode(reply)
        self.told()
        closing = decode_closing(reply.closing)
        more = [Promised(place, 2**40) for place in range(len(self.setup.roster))]
        false = make_closing(self.identity, self.chain_id, closing.interval_start, closing.slot, more)
        return encode(CloseReply(encode(false), reply.messages))


class ClosesNothing(Behaviour):
    """Refuses to close slots, and to take messages of its victims."""

    def handler(self, protocol: str, honest: Handler) -> Handler:
        return partial(self._refuse, honest) if protocol in (CLOSING_PROTOCOL, BATCH_PROTOCOL) else honest

    async def _refuse(self, honest: Handler, peer: str, frame: bytes) -> bytes:
        if not self.has_begun:
            return await honest(peer, frame)
        self.told()
        raise OutOfRange("refused")


OF_AUTHORITIES: Final[Mapping[str, Callable[..., Behaviour]]] = {
    "settle_last": partial(SettlesAhead, last=True),
    "skip_interval": partial(SettlesAhead, last=False),
    "settle_next": SettlesNext,
    "propose_last": partial(ProposesAhead, last=True),
    "result_block": OtherBlock,
    "result_ahead": DatedAhead,
    "result_collector": CallsHomes,
    "break_promise": BreaksItsPromise,
    "promise_more": PromisesMore,
    "close_nothing": ClosesNothing,
    "junk_blobs": partial(JunkBlobs, far=False),
    "junk_blobs_ahead": partial(JunkBlobs, far=True),
}
