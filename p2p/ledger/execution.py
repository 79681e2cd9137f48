"""Building, checking and executing the next block, by one set of functions for producer and verifier."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from p2p.blocks import block as blocks
from p2p.blocks.block import MAX_BLOCK_BYTES, VERSION, Block, CommitCertificate, Header, Tx
from p2p.blocks.genesis import Genesis, Params
from p2p.consensus.evidence import MAX_EVIDENCE, check_evidence, evidence_height
from p2p.errors import BadCertificate, InvalidBlock, InvalidTx, OutOfRange, RemoteError
from p2p.ledger import offices
from p2p.ledger.state import (
    RECEIPT_OK,
    Receipt,
    State,
    apply_to,
    check_invariants,
    check_signature,
    end_block,
    initial_state,
    receipts_root,
)
from p2p.ledger.view import View

_HEADER_ROOM = 16 * 1024
"""Bytes of a block that are neither transactions nor evidence, at most. [B]"""


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
    return Tip(0, genesis.time_ms, genesis.chain_id, receipts_root(()), initial_state(genesis))


def validators_at(tip: Tip, genesis: Genesis) -> tuple[bytes, ...]:
    """Return the validators of the next height, in the order of their turns."""
    return tip.state.validators


def params_at(tip: Tip, genesis: Genesis) -> Params:
    """Return the parameters in force at the next height."""
    governed = tip.state.governed
    if governed == genesis.params.governed:
        return genesis.params
    return msgspec.structs.replace(genesis.params, governed=governed)


def next_header(
    tip: Tip, genesis: Genesis, time_ms: int, proposer: int, txs: Sequence[Tx], evidence: Sequence[bytes] = ()
) -> Header:
    """Return the only header that these transactions can have on this tip.

    Args:
        proposer: Index of the validator that builds the block.
    """
    validators_hash, next_validators_hash = tip.state.validators_hashes
    return Header(
        version=VERSION,
        chain_id=genesis.chain_id,
        height=tip.height + 1,
        time_ms=time_ms,
        parent_hash=tip.block_hash,
        proposer_idx=proposer,
        validators_hash=validators_hash,
        next_validators_hash=next_validators_hash,
        params_hash=params_at(tip, genesis).hash,
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
    if not 0 <= header.proposer_idx < len(tip.state.validators):
        raise InvalidBlock(height, "proposer_idx", f"there is no validator {header.proposer_idx}")
    expected = next_header(tip, genesis, header.time_ms, header.proposer_idx, block.txs, block.evidence)
    for name in Header.__struct_fields__ if header != expected else ():
        found, wanted = getattr(header, name), getattr(expected, name)
        if found != wanted:
            raise InvalidBlock(height, name, f"is {_show(found)}, must be {_show(wanted)}")
    view = tip.state.view()
    _take_evidence(view, genesis, height, block.evidence)
    receipts = _execute(view, genesis, height, block.txs, signatures)
    end_block(view, genesis, height)
    check_invariants(view, genesis, height)
    return State(view.trees()), receipts


def _take_evidence(view: View, genesis: Genesis, height: int, evidence: Sequence[bytes]) -> None:
    if len(evidence) > MAX_EVIDENCE:
        raise InvalidBlock(height, "evidence", f"{len(evidence)} pieces; at most {MAX_EVIDENCE} are taken")
    for i, data in enumerate(evidence):
        try:
            _punish(view, genesis, height, data)
        except RemoteError as error:
            raise InvalidBlock(height, f"evidence[{i}]", error.detail) from None


def _punish(view: View, genesis: Genesis, height: int, data: bytes) -> None:
    about, window = evidence_height(data), offices.evidence_window(view, height)
    if about not in window:
        raise OutOfRange(f"evidence of height {about}; it must be in {window.start}..{window.stop - 1}")
    validators = offices.validators_of(view, about)
    offices.punish(view, check_evidence(data, validators, genesis.chain_id))
    view.accept()


def _execute(view: View, genesis: Genesis, height: int, txs: Iterable[Tx], signatures: bool) -> bytes:
    receipts = []
    for i, tx in enumerate(txs):
        try:
            if signatures:
                check_signature(tx)
            apply_to(view, tx, height, genesis)
        except InvalidTx as error:
            raise InvalidBlock(height, f"txs[{i}]", f"{error.code}: {error.detail}") from None
        receipts.append(Receipt(tx.id, RECEIPT_OK))
    return receipts_root(receipts)


def choose(
    tip: Tip, genesis: Genesis, txs: Iterable[Tx], evidence: Iterable[bytes] = ()
) -> tuple[tuple[Tx, ...], tuple[bytes, ...]]:
    """Return those of these transactions and pieces of evidence that the next block can hold, in their order.

    Signatures of transactions are not checked here: mempools do that once, with `check_tx`.
    """
    view, height, room = tip.state.view(), tip.height + 1, MAX_BLOCK_BYTES - _HEADER_ROOM
    proofs: list[bytes] = []
    for data in evidence:
        if len(proofs) == MAX_EVIDENCE:
            break
        try:
            _punish(view, genesis, height, data)
        except RemoteError:
            view.reject()
            continue
        proofs.append(data)
    chosen = []
    for tx in txs:
        if len(tx.raw) > room:
            continue
        try:
            apply_to(view, tx, height, genesis)
        except InvalidTx:
            continue
        chosen.append(tx)
        room -= len(tx.raw)
    return tuple(chosen), tuple(proofs)


def check_commit(
    genesis: Genesis, header: Header, block_hash: bytes, cert: CommitCertificate, validators: Sequence[bytes]
) -> None:
    """Check that a certificate commits this header, and that its proposer had had its turn by then.

    The round of the certificate may be later than the one in which the block was built: it was put to the
    vote again.

    Args:
        validators: The validators of its height: `validators_at` its parent.

    Raises:
        InvalidBlock: Names the height and the field.
    """
    height = header.height
    if cert.height != height or cert.block_hash != block_hash:
        raise InvalidBlock(height, "cert", "header and certificate do not belong together")
    try:
        blocks.check_cert(cert, validators, genesis.chain_id)
    except BadCertificate as error:
        raise InvalidBlock(height, "cert", error.detail) from None
    if not blocks.had_turn(header.proposer_idx, height, cert.round, len(validators)):
        detail = f"is {header.proposer_idx}; it had not had its turn in round {cert.round}"
        raise InvalidBlock(height, "proposer_idx", detail)


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


def replay(chain: Iterable[tuple[Block, CommitCertificate]], genesis: Genesis) -> Tip:
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
