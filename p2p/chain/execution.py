"""What may follow a block: built, checked and executed by one set of functions for producer and verifier."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from p2p.chain import block as blocks
from p2p.chain.block import VERSION, Block, CommitCert, Header, Tx
from p2p.chain.genesis import Genesis
from p2p.chain.state import RECEIPT_OK, Receipt, State, apply, initial_state, receipts_root
from p2p.errors import BadCertificate, InvalidBlock, RemoteError


@dataclass(frozen=True, slots=True)
class Tip:
    """The newest block as its child sees it; below height 1, the genesis.

    Args:
        state: After that block.
    """

    height: int
    time_ms: int
    block_hash: bytes
    receipts_root: bytes
    state: State


def genesis_tip(genesis: Genesis) -> Tip:
    """The tip of a chain without blocks."""
    return Tip(0, genesis.time_ms, genesis.chain_id, receipts_root(()), initial_state())


def validators_at(tip: Tip, genesis: Genesis) -> tuple[bytes, ...]:
    """Return the authorities of the next height, in the order of their turns."""
    return genesis.authorities


def next_header(
    tip: Tip, genesis: Genesis, time_ms: int, proposer: int, txs: Sequence[Tx], evidence: Sequence[bytes] = ()
) -> Header:
    """Return the only header that these transactions can have on this tip."""
    return Header(
        version=VERSION,
        chain_id=genesis.chain_id,
        height=tip.height + 1,
        time_ms=time_ms,
        parent_hash=tip.block_hash,
        proposer_idx=proposer,
        validators_hash=genesis.validators_hash,
        next_validators_hash=genesis.validators_hash,
        params_hash=genesis.params_hash,
        tx_root=blocks.tx_root(txs),
        evidence_root=blocks.evidence_root(evidence),
        state_root=tip.state.root,
        receipts_root=tip.receipts_root,
    )


def check_block(tip: Tip, genesis: Genesis, block: Block, *, signatures: bool = True) -> tuple[State, bytes]:
    """Check a block against its parent and execute it.

    Args:
        signatures: False for transactions that this process signed itself, or checked before it stored them.

    Returns:
        The state after it, and the root of its receipts.

    Raises:
        InvalidBlock: Names the height and the first field that is wrong.
    """
    header, height = block.header, tip.height + 1
    if header.time_ms <= tip.time_ms:
        raise InvalidBlock(
            height, "time_ms", f"{header.time_ms} is not later than the parent's {tip.time_ms}"
        )
    if not 0 <= header.proposer_idx < len(genesis.authorities):
        raise InvalidBlock(height, "proposer_idx", f"there is no authority {header.proposer_idx}")
    expected = next_header(tip, genesis, header.time_ms, header.proposer_idx, block.txs, block.evidence)
    for name in Header.__struct_fields__:
        found, wanted = getattr(header, name), getattr(expected, name)
        if found != wanted:
            raise InvalidBlock(height, name, f"is {_show(found)}, must be {_show(wanted)}")
    if block.evidence:
        raise InvalidBlock(height, "evidence", "this chain does not take evidence yet")
    return _execute(tip.state, genesis, height, block.txs, signatures)


def _execute(
    state: State, genesis: Genesis, height: int, txs: Iterable[Tx], signatures: bool
) -> tuple[State, bytes]:
    receipts = []
    for i, tx in enumerate(txs):
        try:
            if signatures:
                blocks.check_tx_signature(tx)
            state = apply(state, tx, height, genesis)
        except RemoteError as error:
            raise InvalidBlock(height, f"txs[{i}]", error.detail) from None
        receipts.append(Receipt(tx.id, RECEIPT_OK))
    return state, receipts_root(receipts)


def check_commit(genesis: Genesis, header: Header, block_hash: bytes, cert: CommitCert) -> None:
    """Check that a certificate commits this header, and that the right authority proposed it.

    Raises:
        InvalidBlock: Names the height and the field.
    """
    height = header.height
    if cert.height != height or cert.block_hash != block_hash:
        raise InvalidBlock(height, "cert", "header and certificate do not belong together")
    try:
        blocks.check_cert(cert, genesis.authorities, genesis.chain_id)
    except BadCertificate as error:
        raise InvalidBlock(height, "cert", error.detail) from None
    if not blocks.had_turn(header.proposer_idx, height, cert.round, len(genesis.authorities)):
        raise InvalidBlock(
            height,
            "proposer_idx",
            f"is {header.proposer_idx}, whose turn did not come up to round {cert.round}",
        )


def advance(tip: Tip, block: Block, state: State, receipts: bytes) -> Tip:
    """Return the tip after a checked block."""
    header = block.header
    return Tip(
        header.height,
        header.time_ms,
        blocks.block_hash(header),
        receipts,
        state,
    )


def replay(chain: Iterable[tuple[Block, CommitCert]], genesis: Genesis) -> Tip:
    """Return the tip after these blocks of our own store, without checking signatures again.

    Raises:
        InvalidBlock: A block does not follow from its parent.
    """
    tip = genesis_tip(genesis)
    for block, _ in chain:
        state, receipts = check_block(tip, genesis, block, signatures=False)
        tip = advance(tip, block, state, receipts)
    return tip


def _show(value: int | bytes) -> str:
    return value.hex()[:16] if isinstance(value, bytes) else str(value)
