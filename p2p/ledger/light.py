"""A home's own line, provable offline: entry and salt up to a certificate, with nothing but the genesis.

entry + salt -> leaf -> postings root (in the batch transaction) -> transaction root (in the header)
             -> block hash -> signatures of a quorum of the validators of its height
the validators of a height: those of the genesis, and every change of the set signed by a quorum of the one before
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass

from market.settlement.accounts import COLUMNS, MONEY_COLUMNS
from p2p.batches.batch import SALT_BYTES, Batch, BatchArgs, decode_entry, entry_leaf, is_batch
from p2p.blocks import block as blocks
from p2p.blocks import merkle
from p2p.blocks.block import Block, CommitCertificate, Header, Tx
from p2p.blocks.genesis import Genesis
from p2p.errors import BadCertificate, BadProof, Malformed, RemoteError, WrongChain
from p2p.ledger.execution import advance, check_block, genesis_tip
from p2p.ledger.modules import accounts
from p2p.ledger.state import EntryProof, State, check_entry, prove_entry
from p2p.wire.codec import Record, decode, encode

VERSION = 4
MAX_PROOF_BYTES = 128 * 1024
JSON_FORMAT = "wattswap-proof-1"


class SetChange(Record, frozen=True):
    """A header that announces another set for the next height, certified by the set before it.

    Args:
        validators: The validators from the next height on.
    """

    header: Header
    cert: CommitCertificate
    validators: tuple[bytes, ...]


class ProofBundle(Record, frozen=True):
    """Everything a home needs to check its line.

    Args:
        entry: See `settlement`.
        salt: Of this account and interval only.
        batch_path: Inclusion path of the leaf in the postings root, 32 bytes a step.
        tx: The batch transaction.
        tx_index: Its position in the block.
        tx_count: Number of transactions of the block.
        tx_path: Inclusion path of the transaction in the transaction root.
        header: Of the block.
        cert: A quorum of precommits for it; more are left out to keep the bundle short.
        changes: Every change of the validators below this block, in ascending height.
        role: Proof that the sender was an operator, where the genesis does not name its key; else nil.
    """

    version: int
    entry: bytes
    salt: bytes
    batch_path: bytes
    tx: Tx
    tx_index: int
    tx_count: int
    tx_path: bytes
    header: Header
    cert: CommitCertificate
    changes: tuple[SetChange, ...]
    role: EntryProof | None


@dataclass(frozen=True, slots=True)
class Line:
    """A proven line.

    Args:
        account: Index: the members in roster order, then the external and the system accounts.
        members: Number of members, so that account - members is an index into `Genesis.account_names`.
        values: Column name to number. [Wh, nano-currency]
        sender: Who settled the interval: an operator or a validator that took over.
        signers: Indices of the validators whose signatures were checked.
    """

    interval_start: int
    account: int
    members: int
    values: dict[str, int]
    height: int
    block_hash: bytes
    time_ms: int
    sender: str
    signers: tuple[int, ...]

    @property
    def total_nano(self) -> int:
        """What the account is credited for the interval. [nano-currency]"""
        return sum(self.values[name] for name in MONEY_COLUMNS)


def make_proof(
    batch: Batch,
    account: int,
    block: Block,
    cert: CommitCertificate,
    genesis: Genesis,
    tx_index: int = 0,
    changes: tuple[SetChange, ...] = (),
    role: EntryProof | None = None,
) -> bytes:
    """Return the canonical bytes of the proof of one account's line.

    Args:
        batch: Of the interval, as `settlement.make_batch` returns it.
        account: Index of the account.
        block: The block that holds the batch transaction at `tx_index`.
        cert: Of that block.
        changes: `set_changes` of that block.
        role: `prove_role` where the sender's key is not in the genesis and not in the set.

    Raises:
        IndexError: No such account or transaction.
    """
    validators = changes[-1].validators if changes else genesis.authorities
    bundle = ProofBundle(
        version=VERSION,
        entry=batch.entry(account),
        salt=batch.salt(account),
        batch_path=b"".join(merkle.path_in(batch.tree, account)),
        tx=block.txs[tx_index],
        tx_index=tx_index,
        tx_count=len(block.txs),
        tx_path=b"".join(merkle.path([blocks.tx_leaf(tx) for tx in block.txs], tx_index)),
        header=block.header,
        cert=blocks.trim_cert(cert, len(validators)),
        changes=changes,
        role=role,
    )
    return encode(bundle)


def prove_role(parent: State, sender: bytes) -> EntryProof:
    """Return the proof of the roles of a key in the state above which a block was made."""
    return prove_entry(parent, accounts.NAME, accounts.role_key(sender))


def set_changes(
    header: Header, chain: Iterable[tuple[Block, CommitCertificate]], genesis: Genesis
) -> tuple[SetChange, ...]:
    """Return the changes of the validators that lead from the genesis to a header.

    Args:
        chain: The blocks of our own store from the first on; executed only as far as needed.

    Raises:
        InvalidBlock: A block does not follow from its parent.
    """
    if header.validators_hash == blocks.validators_hash(genesis.authorities):
        return ()
    tip, found = genesis_tip(genesis), []
    for block, cert in chain:
        if block.header.height >= header.height:
            break
        if tip.state.next_validators != tip.state.validators:
            short = blocks.trim_cert(cert, len(tip.state.validators))
            found.append(SetChange(block.header, short, tip.state.next_validators))
        state, receipts = check_block(tip, genesis, block, signatures=False)
        tip = advance(tip, block, state, receipts)
    return tuple(found)


def check_proof(data: bytes, genesis: Genesis) -> Line:
    """Check a proof offline and return the line it proves.

    Args:
        data: Canonical bytes of a `ProofBundle`.
        genesis: The only thing that is trusted.

    Raises:
        RemoteError: The proof is malformed, of another chain, or does not lead to a certified block.
    """
    bundle = decode(ProofBundle, data, max_bytes=MAX_PROOF_BYTES)
    if bundle.version != VERSION:
        raise BadProof(f"version {bundle.version}; this program reads {VERSION}")
    validators, height = genesis.authorities, 0
    for change in bundle.changes:
        if not height < change.header.height < bundle.header.height:
            raise BadProof("the changes of the validators are not in ascending height below the block")
        _check_header(change.header, change.cert, validators, genesis)
        if change.header.next_validators_hash != blocks.validators_hash(change.validators):
            raise BadProof(f"block {change.header.height} announces other validators")
        validators, height = change.validators, change.header.height
    block_hash = _check_header(bundle.header, bundle.cert, validators, genesis)
    args, sender = _check_tx(bundle, genesis, validators)
    return _check_entry(bundle, args, block_hash, sender, genesis)


def validators_in(data: bytes, genesis: Genesis) -> tuple[int, tuple[bytes, ...]]:
    """Return the height of a proven block and its validators; `check_proof` has checked the proof."""
    bundle = decode(ProofBundle, data, max_bytes=MAX_PROOF_BYTES)
    validators = bundle.changes[-1].validators if bundle.changes else genesis.authorities
    return bundle.header.height, validators


def batch_in(data: bytes) -> tuple[Tx, BatchArgs]:
    """Return the batch of a proof that `check_proof` has checked, and its arguments."""
    tx = decode(ProofBundle, data, max_bytes=MAX_PROOF_BYTES).tx
    return tx, decode(BatchArgs, tx.args, max_bytes=blocks.MAX_TX_BYTES)


def _check_header(
    header: Header, cert: CommitCertificate, validators: tuple[bytes, ...], genesis: Genesis
) -> bytes:
    """Return the block hash of a header that a quorum of these validators signed."""
    if header.version != blocks.VERSION or header.chain_id != genesis.chain_id:
        raise WrongChain(f"the proof is of chain {header.chain_id.hex()[:16]}")
    if header.validators_hash != blocks.validators_hash(validators):
        raise BadProof(f"block {header.height} was made by other validators than the genesis leads to")
    block_hash = blocks.block_hash(header)
    if cert.block_hash != block_hash or cert.height != header.height:
        raise BadCertificate("the certificate is for another block than the header")
    blocks.check_cert(cert, validators, genesis.chain_id)
    if not blocks.had_turn(header.proposer_idx, header.height, cert.round, len(validators)):
        raise BadProof(f"block {header.height} was not validator {header.proposer_idx}'s turn")
    return block_hash


def _check_tx(bundle: ProofBundle, genesis: Genesis, validators: tuple[bytes, ...]) -> tuple[BatchArgs, str]:
    tx = bundle.tx
    leaf = blocks.tx_leaf(tx)
    root = merkle.root_from_path(leaf, bundle.tx_index, bundle.tx_count, _steps(bundle.tx_path))
    if root != bundle.header.tx_root:
        raise BadProof("the transaction is not in the block")
    if not is_batch(tx) or tx.chain_id != genesis.chain_id:
        raise BadProof(f"the transaction is {tx.module}.{tx.method}, not a settlement of this chain")
    sender = _sender(bundle, genesis, validators)
    blocks.check_tx_signature(tx)
    return decode(BatchArgs, tx.args, max_bytes=blocks.MAX_TX_BYTES), sender


def _sender(bundle: ProofBundle, genesis: Genesis, validators: tuple[bytes, ...]) -> str:
    key = bundle.tx.sender
    if key in genesis.operators:
        return f"operator {genesis.operators.index(key)}"
    if key in validators:
        return f"validator {validators.index(key)}"
    if bundle.role is not None:
        where = (accounts.NAME, accounts.role_key(key))
        found = check_entry(bundle.header.state_root, *where, bundle.role, genesis)
        if found is not None and (operator := decode(accounts.Role, found).operator) >= 0:
            return f"operator {operator}"
    raise BadProof("the transaction is not by an operator or a validator")


def _check_entry(
    bundle: ProofBundle, args: BatchArgs, block_hash: bytes, sender: str, genesis: Genesis
) -> Line:
    entry = decode_entry(bundle.entry)
    if len(bundle.salt) != SALT_BYTES:
        raise BadProof(f"a salt of {len(bundle.salt)} bytes; it must have {SALT_BYTES}")
    if entry.is_wide != (entry.account >= args.members):
        raise BadProof(
            f"an entry of {len(bundle.entry)} bytes for account {entry.account} of {args.members} members"
        )
    leaf = entry_leaf(bundle.salt, bundle.entry)
    size = args.members + len(genesis.account_names)
    # The index comes out of the entry itself: a leaf proves its own position, so nobody gets another's line.
    root = merkle.root_from_path(leaf, entry.account, size, _steps(bundle.batch_path))
    if root != args.postings_root:
        raise BadProof("the entry is not in the batch")
    return Line(
        interval_start=args.interval_start,
        account=entry.account,
        members=args.members,
        values=dict(zip(COLUMNS, entry.values, strict=True)),
        height=bundle.header.height,
        block_hash=block_hash,
        time_ms=bundle.header.time_ms,
        sender=sender,
        signers=tuple(blocks.signers(bundle.cert)),
    )


def proof_to_json(data: bytes, line: Line) -> str:
    """Return a proof as JSON: what it proves for people, and the canonical bytes for the check."""
    return json.dumps(
        {
            "format": JSON_FORMAT,
            "interval_start": line.interval_start,
            "account": line.account,
            "height": line.height,
            "block_hash": line.block_hash.hex(),
            "values": line.values,
            "total_nano": line.total_nano,
            "bundle": base64.b64encode(data).decode("ascii"),
        },
        indent=2,
    )


def proof_from_json(text: str) -> bytes:
    """Return the canonical bytes out of a JSON proof; only these are checked, the rest is for people.

    Raises:
        Malformed: It is not a proof in JSON.
    """
    try:
        content = json.loads(text)
        if content["format"] != JSON_FORMAT:
            raise Malformed(f"a proof of format {content['format']!r}; this program reads {JSON_FORMAT!r}")
        return base64.b64decode(content["bundle"], validate=True)
    except RemoteError:
        raise
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Malformed("not a proof in JSON") from None


def _steps(joined: bytes) -> list[bytes]:
    return [joined[i : i + merkle.HASH_BYTES] for i in range(0, len(joined), merkle.HASH_BYTES)]
