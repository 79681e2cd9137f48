"""The chain as a node follows it: the store, the state after the newest block, and the tasks that wait for the next.

What is appended was executed here and certified by a quorum; the caller has checked the certificate
(`check_certified`) or counted the votes of it himself.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import trio

from p2p.batches.batch import BatchArgs, batches
from p2p.blocks.block import (
    Block,
    CommitCertificate,
    block_hash,
    decode_block,
    decode_cert,
    evidence_root,
    tx_root,
    validators_hash,
)
from p2p.blocks.genesis import Genesis
from p2p.errors import InvalidBlock, LocalError, StoreMismatch
from p2p.ledger.checkpoint import checkpoint_bytes, load_tip
from p2p.ledger.execution import Tip, advance, check_block, check_commit, validators_at
from p2p.ledger.light import prove_operators
from p2p.ledger.state import EntryProof, State
from p2p.ledger.store import ChainStore

CHECKPOINT_EVERY = 1_000
"""Blocks between two stored states, and so the most that are executed again after a restart."""
PROVEN_MAX = 192
"""Newest blocks for which a proof of the operators is kept, where these have changed."""
LOOK_BACK = 1_000
"""Blocks that are searched for the newest batch when a chain is opened."""


class ChainForked(LocalError):
    """A quorum certified a block that our state refuses: a person must decide how to continue."""

    exit_hint = "verify"


class Ledger:
    """A chain that grows; a single writer.

    Args:
        store: Open, of this genesis.
        checkpoint_every: Blocks between two stored states.

    Attributes:
        validators: Validators of the next height.
        next_validators: Validators of the height after it.
        settled_ms: Time of the newest block that settles an interval; 0 where there is none. [ms since 1970, UTC]

    Raises:
        StoreMismatch: The store holds another chain.
        StoreDamaged: See `load_tip`.
    """

    def __init__(self, store: ChainStore, genesis: Genesis, checkpoint_every: int = CHECKPOINT_EVERY) -> None:
        if store.genesis.chain_id != genesis.chain_id:
            raise StoreMismatch(store.path, store.genesis.chain_id, genesis.chain_id)
        self.store = store
        self.genesis = genesis
        self._every = checkpoint_every
        self._executed: dict[bytes, tuple[State, bytes]] = {}
        self._operators: OrderedDict[int, EntryProof] = OrderedDict()
        self._grown = trio.Event()
        self._newest_batch: BatchArgs | None = None
        self._set_tip(load_tip(store, genesis))
        self.settled_ms = self._find_settled_ms()

    @property
    def tip(self) -> Tip:
        """The newest block and the state after it."""
        return self._tip

    @property
    def height(self) -> int:
        """Height of the newest block."""
        return self._tip.height

    def execute(self, block: Block, name: bytes, *, signatures: bool = True) -> None:
        """Check that a block follows from the tip; a second call for the same block costs nothing.

        Args:
            name: Its hash.

        Raises:
            InvalidBlock: It does not.
        """
        if name not in self._executed:
            self._executed[name] = check_block(self._tip, self.genesis, block, signatures=signatures)

    def check_certified(self, block_data: bytes, cert_data: bytes) -> tuple[Block, CommitCertificate]:
        """Read the next block with its certificate as a peer sent it, everything checked but the execution.

        Raises:
            RemoteError: Malformed, not the next height, a body that is not the header's, or no certificate
                of a quorum of the validators of that height.
        """
        block, cert = decode_block(block_data, self.genesis.chain_id), decode_cert(cert_data)
        height = block.header.height
        if height != self.height + 1:
            raise InvalidBlock(height, "height", f"the next height is {self.height + 1}")
        check_body(block)
        _check_authorities(block, self.validators)
        check_commit(self.genesis, block.header, block_hash(block.header), cert, self.validators)
        return block, cert

    def append(self, block: Block, cert: CommitCertificate) -> None:
        """Execute the next block and store it, durably, before this returns.

        Raises:
            ChainForked: Our state refuses a block that has a certificate.
            StoreError: It could not be stored; nothing changed.
        """
        name, header = block_hash(block.header), block.header
        try:
            self.execute(block, name)
        except InvalidBlock as error:
            raise ChainForked(
                f"a quorum certified a block that this program refuses ({error}); compare the versions of the"
                " programs and the heights of the other nodes before anything is started again"
            ) from None
        tip = advance(self._tip, block, *self._executed[name])
        changed = header.next_validators_hash != header.validators_hash
        self.store.append(
            block,
            cert,
            checkpoint=checkpoint_bytes(tip) if tip.height % self._every == 0 else None,
            next_set=validators_at(tip, self.genesis) if changed else None,
        )
        if found := batches(block.txs):
            self.settled_ms, self._newest_batch = header.time_ms, found[-1][1]
            self._keep_operators(header.height)
        self._set_tip(tip)
        grown, self._grown = self._grown, trio.Event()
        grown.set()

    async def wait_for(self, predicate: Callable[[Tip], bool]) -> Tip:
        """Wait until the tip fulfils a condition, which is checked after every block."""
        while not predicate(self._tip):
            await self._grown.wait()
        return self._tip

    async def wait_height(self, height: int) -> Tip:
        """Wait until a height is stored."""
        return await self.wait_for(lambda tip: tip.height >= height)

    @property
    def newest_batch(self) -> BatchArgs | None:
        """The batch of the last settled interval; None where there is none, or its block is not here.

        A chain that begins at a snapshot does not have the block until another interval is settled.
        """
        if self._newest_batch is None and self._tip.state.settled.last_interval_start >= 0:
            heights = range(self.height, self.store.base, -1)
            found = (batches(self.store.block(height)[0].txs) for height in heights)
            self._newest_batch = next((rows[-1][1] for rows in found if rows), None)
        return self._newest_batch

    def operators_below(self, height: int) -> EntryProof | None:
        """Proof of the operators in the state above which a block was made that settles an interval.

        None where they have always been those of the genesis, as far as is known here, or where the block is not among
        the newest that this process appended.
        """
        return self._operators.get(height)

    def _keep_operators(self, height: int) -> None:
        """Prove the operators of the tip for the block that is made on it, unless they are those of the genesis.

        Once they were others they are proven though they are those of the genesis again: a proof that shows none leaves
        who reads it with those that it has seen before.
        """
        if self._operators or self._tip.state.operators != self.genesis.operators:
            self._operators[height] = prove_operators(self._tip.state)
            while len(self._operators) > PROVEN_MAX:
                self._operators.popitem(last=False)

    def _find_settled_ms(self) -> int:
        """Look for the newest batch among the newest blocks; further below, the first of them is late enough."""
        if self._tip.state.settled.last_interval_start < 0:
            return 0
        time_ms = self._tip.time_ms
        for height in range(self.height, max(self.store.base, self.height - LOOK_BACK), -1):
            block, _ = self.store.block(height)
            time_ms = block.header.time_ms
            if batches(block.txs):
                break
        return time_ms

    def _set_tip(self, tip: Tip) -> None:
        self._tip = tip
        self._executed.clear()
        self.validators = validators_at(tip, self.genesis)
        self.next_validators = tip.state.next_validators


def check_body(block: Block) -> None:
    """Raise unless transactions and evidence are those the header names.

    Without it a forwarder could give a block another body under its proposer's signature.

    Raises:
        InvalidBlock: Names the field.
    """
    header = block.header
    if tx_root(block.txs) != header.tx_root:
        raise InvalidBlock(header.height, "tx_root", "the transactions are not those of the header")
    if evidence_root(block.evidence) != header.evidence_root:
        raise InvalidBlock(header.height, "evidence_root", "the evidence is not that of the header")


def _check_authorities(block: Block, validators: tuple[bytes, ...]) -> None:
    if block.header.validators_hash != validators_hash(validators):
        raise InvalidBlock(block.header.height, "validators_hash", "another set of validators")
