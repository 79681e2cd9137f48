"""Validators in memory, each with its folder, on a clock that jumps; what every one of them sends is read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import trio
import trio.testing

from p2p.batches.batch import BatchArgs, batch_tx
from p2p.batches.blob import blob_hash
from p2p.blocks.block import Tx
from p2p.blocks.genesis import Genesis
from p2p.consensus.sign_state import ConsensusStore, locked_folder
from p2p.consensus.types import LAN_TIMEOUTS, Proposal, Vote, signed_bytes
from p2p.errors import LocalError, Malformed
from p2p.ledger.store import ChainStore
from p2p.roles.exchange.turns import Timing
from p2p.roles.replica.blobs import FolderBlobs, serve_blobs
from p2p.roles.replica.ledger import Ledger
from p2p.roles.replica.peers import CONSENSUS_PROTOCOL, PROPOSAL, VOTE, ConsensusFrame
from p2p.roles.replica.schedule import Schedule
from p2p.roles.validator.batch_check import Closed, inline
from p2p.roles.validator.config import ValidatorConfig
from p2p.roles.validator.mempool import TX_PROTOCOL, TxReply
from p2p.roles.validator.validator import Validator
from p2p.transports.base import peer_id_of
from p2p.transports.memory import Faults, MemoryEndpoint, MemoryNetwork
from p2p.wire.codec import decode, encode
from p2p.wire.frames import FRAME_MAX_BYTES, StreamLost
from p2p.wire.identity import Identity
from p2p.wire.messages import VERSION
from tests.kits.chain_kit import OPERATOR, START, authorities, make_args, make_genesis

MEMBERS = 5
CONFIG = ValidatorConfig(timeouts=LAN_TIMEOUTS, resend_ms=200, late_ms=5_000)
STRANGER = Identity.from_seed(b"s" * 32)


def address(identity: Identity) -> str:
    return "/memory/p2p/" + peer_id_of(identity.public_key)


def blob_of(index: int, *, good: bool = True) -> bytes:
    return (b"good" if good else b"bad!") + index.to_bytes(8, "big") + bytes(300_000)


class MemoryBlobs:
    """Blobs in memory."""

    def __init__(self) -> None:
        self._blobs: dict[bytes, tuple[int, bytes]] = {}

    def get(self, name: bytes) -> bytes | None:
        found = self._blobs.get(name)
        return found[1] if found else None

    def put(self, data: bytes, interval_start: int) -> bytes:
        name = blob_hash(data)
        self._blobs[name] = (interval_start, data)
        return name

    def forget_before(self, interval_start: int) -> None:
        self._blobs = {name: kept for name, kept in self._blobs.items() if kept[0] >= interval_start}


def check_batch(args: BatchArgs, blob: bytes, _before: bytes | None = None) -> Closed:
    """Represents the market's rules: no message is missing."""
    index = (args.interval_start - START) // 900
    if blob[:12] != b"good" + index.to_bytes(8, "big"):
        raise Malformed("this blob does not lead to the batch")
    return ()


def make_tx(genesis: Genesis, index: int, *, good: bool = True, **changes: object) -> tuple[Tx, bytes]:
    """The batch of an interval; it is the operator's transaction of nonce index + 1."""
    blob = blob_of(index, good=good)
    args = msgspec.structs.replace(make_args(index, genesis.members)[1], blob_hash=blob_hash(blob))
    args = msgspec.structs.replace(args, **changes)
    return batch_tx(OPERATOR, genesis.chain_id, index + 1, 1_000, args), blob


def now_ms() -> int:
    """The jumping clock, from the start of the chain on."""
    return START * 1000 + 1 + int(trio.current_time() * 1_000)


def schedule_of(ledger: Ledger) -> Schedule:
    """Each interval is open since the start of the chain."""
    timing = Timing(rounds=1, gate_ms=2_000, takeover_ms=3_000)
    return Schedule(
        ledger,
        timing,
        lambda last: START if last < 0 else last + 900,
        lambda _start, _settled_ms: START * 1_000,
        now_ms,
    )


class Wire:
    """All consensus signatures that left a validator, and the two messages of one who signed twice."""

    def __init__(self, chain_id: bytes) -> None:
        self.signed: dict[tuple[int, int, int, int], tuple[bytes, bytes]] = {}
        self.contradictions: list[tuple[object, object]] = []
        self._chain_id = chain_id

    def hear(self, data: bytes) -> None:
        for message in decode(ConsensusFrame, data, max_bytes=FRAME_MAX_BYTES).messages:
            if message[0] == VOTE:
                vote = decode(Vote, message[1:])
                self._note(vote, vote.validator, vote.kind)
            elif message[0] == PROPOSAL:
                proposal = decode(Proposal, message[1:], max_bytes=FRAME_MAX_BYTES)
                self._note(proposal, proposal.proposer, 0)
                for vote in proposal.pol:
                    self._note(vote, vote.validator, vote.kind)

    def _note(self, message: Vote | Proposal, who: int, kind: int) -> None:
        key = (who, message.height, message.round, kind)
        said = signed_bytes(message, self._chain_id), message.signature
        if self.signed.setdefault(key, said) != said:
            self.contradictions.append((key, message))


@dataclass
class Town:
    """A network of validators that can be started, stopped and killed."""

    genesis: Genesis
    folder: Path
    network: MemoryNetwork
    nursery: trio.Nursery
    wire: Wire
    config: ValidatorConfig
    checkpoint_every: int = 1_000
    validators: dict[int, Validator] = field(default_factory=dict)
    endpoints: dict[int, MemoryEndpoint] = field(default_factory=dict)
    failures: dict[int, LocalError] = field(default_factory=dict)
    scopes: dict[int, trio.CancelScope] = field(default_factory=dict)
    stopped: dict[int, trio.Event] = field(default_factory=dict)
    operator_blobs: MemoryBlobs = field(default_factory=MemoryBlobs)
    operator: MemoryEndpoint | None = None

    @property
    def keys(self) -> list[Identity]:
        return authorities(len(self.genesis.authorities))

    def path(self, index: int) -> Path:
        path = self.folder / f"v{index}"
        path.mkdir(exist_ok=True)
        return path

    async def start(
        self, *indices: int, min_safe_height: int = 0, wrap: Callable[[Validator], None] | None = None
    ) -> None:
        """Start validators from their folders; one that cannot start leaves its error in `failures`."""
        for index in indices:
            self.failures.pop(index, None)
            await self.nursery.start(self._live, index, min_safe_height, wrap)

    async def stop(self, *indices: int) -> None:
        """As a killed process stops: between two turns of its tasks, its streams break."""
        for index in indices:
            self.scopes[index].cancel()
        for index in indices:
            await self.stopped[index].wait()

    async def _live(
        self,
        index: int,
        min_safe_height: int,
        wrap: Callable[[Validator], None] | None,
        task_status: trio.TaskStatus[None],
    ) -> None:
        folder, key, started = self.path(index), self.keys[index], False
        self.stopped[index] = trio.Event()
        chain = folder / "chain.db"
        try:
            with trio.CancelScope() as self.scopes[index], ExitStack() as stack:
                stack.enter_context(locked_folder(folder))
                make = ChainStore.open if chain.exists() else ChainStore.create
                store = stack.enter_context(make(chain, self.genesis))
                signs = ConsensusStore.open(
                    folder,
                    self.genesis.chain_id,
                    key.public_key,
                    chain_height=store.height,
                    min_safe_height=min_safe_height,
                )
                stack.callback(signs.close)
                async with self.network.endpoint(key) as endpoint:
                    self._tap(endpoint)
                    validator = self._build(index, endpoint, store, signs)
                    if wrap is not None:
                        wrap(validator)
                    self.endpoints[index], self.validators[index] = endpoint, validator
                    self.nursery.start_soon(self._say_started, validator, task_status)
                    started = True
                    await validator.run()
        except LocalError as error:
            self.failures[index] = error
        finally:
            self.stopped[index].set()
            if not started:
                task_status.started()

    async def _say_started(self, validator: Validator, task_status: trio.TaskStatus[None]) -> None:
        while not validator.is_running:
            await trio.lowlevel.checkpoint()
        task_status.started()

    def _build(
        self, index: int, endpoint: MemoryEndpoint, store: ChainStore, signs: ConsensusStore
    ) -> Validator:
        key = self.keys[index]
        return Validator(
            endpoint,
            key,
            schedule_of(Ledger(store, self.genesis, self.checkpoint_every)),
            signs,
            FolderBlobs(self.path(index) / "blobs"),
            check_batch,
            [address(other) for other in self.keys if other != key],
            config=self.config,
            offload=inline,
            may_accuse=lambda peer: True,
        )

    def _tap(self, endpoint: MemoryEndpoint) -> None:
        request = endpoint.request

        async def tapped(peer: str, protocol: str, frame: bytes) -> bytes:
            if protocol == CONSENSUS_PROTOCOL:
                self.wire.hear(frame)
            return await request(peer, protocol, frame)

        endpoint.request = tapped  # type: ignore[method-assign]

    async def settle(self, index: int, to: Sequence[int] = (0, 1, 2, 3), **how: object) -> TxReply:
        """The operator sends the batch of an interval to some validators; its blob is at the operator."""
        tx, blob = make_tx(self.genesis, index, **how)
        self.operator_blobs.put(blob, START + index * 900)
        reply = None
        for validator in to:
            reply = await self.hand_in(tx.raw, validator)
        assert reply is not None
        return reply

    async def hand_in(self, raw: bytes, to: int) -> TxReply:
        assert self.operator is not None
        peer = peer_id_of(self.keys[to].public_key)
        try:
            reply = await self.operator.request(peer, TX_PROTOCOL, raw)
        except StreamLost:  # the validator was restarted since
            reply = await self.operator.request(peer, TX_PROTOCOL, raw)
        return decode(TxReply, reply)

    def height(self, index: int) -> int:
        return self.validators[index].ledger.height

    async def reach(self, height: int, *indices: int, within_s: float = 60) -> None:
        with trio.fail_after(within_s):
            for index in indices or range(len(self.keys)):
                await self.validators[index].ledger.wait_height(height)

    async def send(
        self, sender: MemoryEndpoint, to: int, *messages: bytes, chain_id: bytes | None = None
    ) -> bytes:
        frame = encode(ConsensusFrame(VERSION, chain_id or self.genesis.chain_id, messages))
        return await sender.request(peer_id_of(self.keys[to].public_key), CONSENSUS_PROTOCOL, frame)

    def refused(self, index: int, code: str) -> int:
        return self.endpoints[index].stats.refused.total(code)

    def agree(self, *indices: int) -> None:
        """All of them hold the same blocks as far as both have them."""
        stores = [self.validators[i].ledger.store for i in indices or self.validators]
        chains = [[block for block, _ in store.blocks()] for store in stores]
        longest = max(chains, key=len)
        for chain in chains:
            assert chain == longest[: len(chain)]


@asynccontextmanager
async def town(
    folder: Path,
    n: int = 4,
    *,
    faults: Faults | None = None,
    config: ValidatorConfig = CONFIG,
    checkpoint_every: int = 1_000,
    start: bool = True,
) -> AsyncIterator[Town]:
    genesis = make_genesis(n, MEMBERS)
    async with AsyncExitStack() as stack:
        network = MemoryNetwork(faults or Faults())
        nursery = await stack.enter_async_context(trio.open_nursery())
        made = Town(genesis, folder, network, nursery, Wire(genesis.chain_id), config, checkpoint_every)
        made.operator = await stack.enter_async_context(network.endpoint(OPERATOR))
        serve_blobs(made.operator, genesis.chain_id, made.operator_blobs, lambda _peer: True)
        if start:
            await made.start(*range(n))
        yield made
        nursery.cancel_scope.cancel()
    assert made.wire.contradictions == []


def in_town(folder: Path, body: Callable[[Town], Awaitable[None]], **how: object) -> None:
    """Run a story on a clock that jumps; nobody may have signed twice in it."""

    async def main() -> None:
        async with town(folder, **how) as made:  # type: ignore[arg-type]
            await body(made)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
