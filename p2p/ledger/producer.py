"""Round-robin proof of authority: all validators of a chain in one process.

Every validator signs the precommit of every block, with the messages and certificates of full consensus;
what is missing here is the vote between processes. The check of a block is the same pure function for each
validator, so one process runs it once for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from p2p.batches.batch import BatchArgs, CloseArgs, batch_tx
from p2p.blocks import block as blocks
from p2p.blocks import domains
from p2p.blocks.block import Block, CommitCertificate
from p2p.blocks.genesis import Genesis
from p2p.errors import LocalError, StoreMismatch
from p2p.ledger.execution import Tip, advance, check_block, next_header, replay
from p2p.ledger.store import ChainStore
from p2p.wire.identity import Identity
from p2p.wire.sealing import digest_of

_TX_LIFETIME = 1_000
"""Heights for which a batch of our own stays valid."""

_FIRST_ROUND = 0


class WrongKeys(LocalError, ValueError):
    """Keys that are not the ones the genesis names."""


class Producer:
    """Makes, checks, signs and stores the blocks of one chain.

    Args:
        genesis: The chain.
        authorities: Identities in the order of `genesis.authorities`.
        operator: Identity of the first market operator.
        store: Where blocks go. An existing chain is executed again and continued.

    Raises:
        WrongKeys: An identity is not the one of the genesis.
        StoreMismatch: The store holds another chain.
        InvalidBlock: A stored block does not follow from its parent.
    """

    def __init__(
        self, genesis: Genesis, authorities: Sequence[Identity], operator: Identity, store: ChainStore
    ) -> None:
        if tuple(identity.public_key for identity in authorities) != genesis.authorities:
            raise WrongKeys(
                "the validators' keys are not those of the genesis; pass them in its order, all of them"
            )
        if operator.public_key != genesis.operator:
            raise WrongKeys("the operator's key is not the one of the genesis")
        if store.genesis.chain_id != genesis.chain_id:
            raise StoreMismatch(store.path, store.genesis.chain_id, genesis.chain_id)
        self.genesis = genesis
        self._authorities = tuple(authorities)
        self._operator = operator
        self._store = store
        self._tip = replay(store.blocks(), genesis)

    @property
    def tip(self) -> Tip:
        """The newest block and the state after it."""
        return self._tip

    def append_batch(self, args: BatchArgs, time_ms: int) -> tuple[Block, CommitCertificate]:
        """Make the next block of one settled interval, have every validator sign it, and store it.

        Args:
            args: The batch; the operator's transaction for it is made and signed here.
            time_ms: Later than the parent's. [ms since 1970, UTC]

        Raises:
            InvalidBlock: The block would break a rule; nothing was signed or stored.
            StoreError: It could not be stored; the chain is unchanged.
        """
        tip, n = self._tip, len(self._authorities)
        height = tip.height + 1
        proposer = blocks.proposer_index(height, _FIRST_ROUND, n)
        nonce = tip.state.nonce(self._operator.public_key) + 1
        until = tip.height + _TX_LIFETIME
        txs = [batch_tx(self._operator, self.genesis.chain_id, nonce, until, args)]
        if self.genesis.params.sealed_bytes:
            # Nobody has sent an order, so nothing was sealed; the chain takes no batch that was not closed.
            close = CloseArgs(args.interval_start, args.closed_hash, digest_of(self.genesis.authorities))
            closing = batch_tx(self._operator, self.genesis.chain_id, nonce, until, close)
            txs = [closing, batch_tx(self._operator, self.genesis.chain_id, nonce + 1, until, args)]
        block = Block(next_header(tip, self.genesis, time_ms, proposer, tuple(txs)), tuple(txs), ())
        # The one signature in it was made above, by this process: checking it again would prove nothing.
        state, receipts = check_block(tip, self.genesis, block, signatures=False)
        cert = self._certify(height, blocks.block_hash(block.header))
        self._store.append(block, cert)
        self._tip = advance(tip, block, state, receipts)
        return block, cert

    def _certify(self, height: int, block_hash: bytes) -> CommitCertificate:
        data = blocks.vote_bytes(blocks.PRECOMMIT, self.genesis.chain_id, height, _FIRST_ROUND, block_hash)
        signatures = {
            index: authority.sign(domains.SIGN_CONSENSUS, data)
            for index, authority in enumerate(self._authorities)
        }
        return blocks.make_cert(height, _FIRST_ROUND, block_hash, signatures, len(self._authorities))
