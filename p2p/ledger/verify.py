"""Check a stored chain from its genesis: every link, signature, root and total."""

from __future__ import annotations

from dataclasses import dataclass

from p2p.blocks import block as blocks
from p2p.blocks.genesis import Genesis
from p2p.errors import InvalidBlock, StoreDamaged
from p2p.ledger.execution import Tip, advance, check_block, check_commit, genesis_tip, validators_at
from p2p.ledger.state import State
from p2p.ledger.store import ChainStore


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a chain: the first broken block, the field, and a sentence."""

    height: int
    field: str
    detail: str

    def __str__(self) -> str:
        return f"block {self.height}, {self.field}: {self.detail}"


@dataclass(frozen=True, slots=True)
class ChainReport:
    """The outcome of a check.

    Args:
        chain_id: Hash of the genesis.
        height: Height up to which everything holds.
        head_hash: Hash of that block; the chain id for none.
        transactions: Number of transactions in those blocks.
        signatures: Number of signatures that were verified.
        state: State after them.
        finding: Why the check stopped, or None when all of it holds.
    """

    chain_id: bytes
    height: int
    head_hash: bytes
    transactions: int
    signatures: int
    state: State
    finding: Finding | None

    @property
    def ok(self) -> bool:
        """True when every block holds."""
        return self.finding is None


def verify_chain(store: ChainStore, genesis: Genesis) -> ChainReport:
    """Check every block of a store against a genesis that the caller trusts.

    Parent hashes, certificates, heights, times, the sets of validators, parameters,
    roots of transactions, evidence, receipts and state, the signature, nonce, role and rules of every transaction,
    and every signature of every certificate.

    Returns:
        A report; the first thing that is wrong ends the check and is named in `finding`.
    """
    tip = genesis_tip(genesis)
    transactions = signatures = 0
    finding: Finding | None = None
    if store.genesis.chain_id != genesis.chain_id:
        finding = Finding(0, "chain_id", "the store holds another chain")
    elif store.base:
        finding = Finding(
            store.base, "base", "the store begins at a checkpoint, so its blocks do not show its state"
        )
    try:
        for block, cert in store.blocks() if finding is None else ():
            tip = _check_link(tip, genesis, block, cert)
            transactions += len(block.txs)
            signatures += len(block.txs) + len(blocks.signers(cert))
    except InvalidBlock as error:
        finding = Finding(error.height, error.field, error.detail)
    except StoreDamaged as error:
        finding = Finding(tip.height + 1, "store", str(error))
    return ChainReport(
        genesis.chain_id, tip.height, tip.block_hash, transactions, signatures, tip.state, finding
    )


def _check_link(tip: Tip, genesis: Genesis, block: blocks.Block, cert: blocks.CommitCertificate) -> Tip:
    state, receipts = check_block(tip, genesis, block)
    check_commit(genesis, block.header, blocks.block_hash(block.header), cert, validators_at(tip, genesis))
    return advance(tip, block, state, receipts)
