"""A home's own line, provable offline: entry and salt up to a certificate, with nothing but the genesis.

entry + salt -> leaf -> postings root (in the batch transaction) -> transaction root (in the header)
             -> block hash -> signatures of a quorum of the validators of its height
the validators of a height: those of the genesis, and every change of the set signed by a quorum of the one before
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import takewhile

from market.settlement.accounts import COLUMNS, MONEY_COLUMNS
from p2p.batches.batch import Batch, BatchArgs, is_batch, open_entry, versions_in
from p2p.blocks import block as blocks
from p2p.blocks import merkle
from p2p.blocks.block import Block, CommitCertificate, Header, Tx
from p2p.blocks.genesis import Genesis
from p2p.errors import BadCertificate, BadProof, Malformed, RemoteError, WrongChain
from p2p.ledger import offices
from p2p.ledger.execution import advance, check_block, genesis_tip
from p2p.ledger.state import EntryProof, State, check_entry, prove_entry
from p2p.wire.codec import Record, decode, encode

VERSION = 5
MAX_PROOF_BYTES = 128 * 1024
MAX_PROOF_JSON_BYTES = 2 * MAX_PROOF_BYTES
"""The proof in base64, and what it proves for people. [B]"""
JSON_FORMAT = "wattswap-proof-1"
TRUSTING_S = 14 * 86_400
"""How long after they left the signatures of validators count for what they signed before. [s]"""


class SetChange(Record, frozen=True):
    """A header that announces another set for the next height, certified by the set before it.

    Args:
        validators: The validators from the next height on.
    """

    header: Header
    cert: CommitCertificate
    validators: tuple[bytes, ...]


class BatchProof(Record, frozen=True):
    """Everything with which anybody who has the genesis can check that a chain has settled an interval, and how.

    Args:
        tx: The batch transaction.
        tx_index: Its position in the block.
        tx_count: Number of transactions of the block.
        tx_path: Inclusion path of the transaction in the transaction root, 32 bytes a step.
        header: Of the block.
        cert: A quorum of precommits for it; more are left out to keep the proof short.
        changes: Every change of the validators below this block, in ascending height.
        operators: Proof of the operators in the state above which the block was made, where they are not those of the
            genesis; else nil.
    """

    version: int
    tx: Tx
    tx_index: int
    tx_count: int
    tx_path: bytes
    header: Header
    cert: CommitCertificate
    changes: tuple[SetChange, ...]
    operators: EntryProof | None


class ProofBundle(Record, frozen=True):
    """Everything a home needs to check its line.

    Args:
        entry: See `settlement`.
        salt: Of this account and interval only.
        batch_path: Inclusion path of the leaf in the postings root, 32 bytes a step.
        batch: Proof of the batch.
    """

    entry: bytes
    salt: bytes
    batch_path: bytes
    batch: BatchProof


class Trusted(Record, frozen=True):
    """The newest certified header that a node without a chain has checked, and its validators.

    Args:
        height: Of the header.
        time_ms: Of the header. [ms since 1970, UTC]
        since_ms: When the last change of the validators was certified; 0 where there was none. [ms since 1970, UTC]
        validators: Of the header.
    """

    height: int
    time_ms: int
    since_ms: int
    validators: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class SettledInterval:
    """A settled interval, as a proof shows it.

    Args:
        args: The batch.
        tx: Its transaction.
        sender: Who settled the interval: an operator or a validator that took over.
        operators: Keys of the operators above the block's parent; those of the genesis where the proof shows none.
        shows_operators: Whether the proof shows them. Who gives a proof can leave them out, although they have changed:
            then it says nothing about the operators to who has seen others before.
        trusted: The header, for later proofs.
        signers: Indices of the validators whose signatures were checked.
        version: 1, or more where the interval was settled again with readings that came late.
    """

    args: BatchArgs
    tx: Tx
    sender: str
    block_hash: bytes
    operators: tuple[bytes, ...]
    shows_operators: bool
    trusted: Trusted
    signers: tuple[int, ...]
    version: int = 1

    @property
    def interval_start(self) -> int:
        """Start of the interval. [s since 1970, UTC]"""
        return self.args.interval_start

    @property
    def height(self) -> int:
        """Height of the block."""
        return self.trusted.height

    @property
    def collectors(self) -> frozenset[bytes]:
        """Public keys of all that could settle then: operators and validators."""
        return frozenset((*self.operators, *self.trusted.validators))


@dataclass(frozen=True, slots=True)
class Line:
    """A proven line.

    Args:
        account: Index: the members in roster order, then the external and the system accounts.
        members: Number of members, so that account - members is an index into `Genesis.account_names`.
        values: Column name to number. [Wh, nano-currency]
        sender: Who settled the interval: an operator or a validator that took over.
        signers: Indices of the validators whose signatures were checked.
        version: Of the interval: the newest one counts, and a proof does not show which that is.
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
    version: int = 1

    @property
    def total_nano(self) -> int:
        """What the account is credited for the interval. [nano-currency]"""
        return sum(self.values[name] for name in MONEY_COLUMNS)


def make_batch_proof(
    block: Block,
    cert: CommitCertificate,
    genesis: Genesis,
    tx_index: int = 0,
    changes: tuple[SetChange, ...] = (),
    operators: EntryProof | None = None,
) -> BatchProof:
    """Return the proof of the batch in a block.

    Args:
        block: It holds the batch transaction at `tx_index`.
        cert: Of that block.
        changes: `set_changes` of that block.
        operators: `prove_operators` where they are not those of the genesis.

    Raises:
        IndexError: No such transaction.
    """
    validators = changes[-1].validators if changes else genesis.authorities
    return BatchProof(
        version=VERSION,
        tx=block.txs[tx_index],
        tx_index=tx_index,
        tx_count=len(block.txs),
        tx_path=b"".join(merkle.path([blocks.tx_leaf(tx) for tx in block.txs], tx_index)),
        header=block.header,
        cert=blocks.trim_cert(cert, len(validators)),
        changes=changes,
        operators=operators,
    )


def make_proof(batch: Batch, account: int, proof: BatchProof) -> bytes:
    """Return the canonical bytes of the proof of one account's line.

    Args:
        batch: Of the interval, as `settlement.make_batch` returns it.
        account: Index of the account.
        proof: Of the batch.

    Raises:
        IndexError: No such account.
    """
    path = b"".join(merkle.path_in(batch.tree, account))
    return encode(ProofBundle(batch.entry(account), batch.salt(account), path, proof))


def prove_operators(parent: State) -> EntryProof:
    """Return the proof of the operators in the state above which a block was made."""
    return prove_entry(parent, offices.NAME, offices.OPERATORS)


def set_changes(
    header: Header, chain: Iterable[tuple[Block, CommitCertificate]], genesis: Genesis
) -> tuple[SetChange, ...]:
    """Return the changes of the validators that lead from the genesis to a header.

    Args:
        chain: The blocks of our own store from the first on; executed only as far as needed.

    Raises:
        InvalidBlock: A block does not follow from its parent.
    """
    # Not by the validators of the header: a set that came back to that of the genesis has changed twice.
    below = list(takewhile(lambda made: made[0].header.height < header.height, chain))
    if all(block.header.next_validators_hash == block.header.validators_hash for block, _ in below):
        return ()
    tip, found = genesis_tip(genesis), []
    for block, cert in below:
        if tip.state.next_validators != tip.state.validators:
            short = blocks.trim_cert(cert, len(tip.state.validators))
            found.append(SetChange(block.header, short, tip.state.next_validators))
        state, receipts = check_block(tip, genesis, block, signatures=False)
        tip = advance(tip, block, state, receipts)
    return tuple(found)


def check_proof(data: bytes, genesis: Genesis, trusted: Trusted | None = None) -> Line:
    """Check a proof offline and return the line it proves.

    Args:
        data: Canonical bytes of a `ProofBundle`.
        genesis: What is trusted.
        trusted: The newest header that was checked before, if any.

    Raises:
        RemoteError: The proof is malformed, of another chain, or does not lead to a certified block.
    """
    bundle = decode(ProofBundle, data, max_bytes=MAX_PROOF_BYTES)
    return _check_entry(bundle, _check_batch_proof(bundle.batch, genesis, trusted), genesis)


def check_line(data: bytes, read_batch: Callable[[bytes], SettledInterval], genesis: Genesis) -> Line:
    """Check the proof of a line as `check_proof`, where the proof of its batch may have been checked before.

    Args:
        read_batch: Checks the canonical bytes of a `BatchProof`, or knows what it has checked.

    Raises:
        RemoteError: As in `check_proof`.
    """
    bundle = decode(ProofBundle, data, max_bytes=MAX_PROOF_BYTES)
    return _check_entry(bundle, read_batch(encode(bundle.batch)), genesis)


def check_batch_proof(data: bytes, genesis: Genesis, trusted: Trusted | None = None) -> SettledInterval:
    """Check the proof of a batch offline; arguments as for `check_proof`.

    Args:
        data: Canonical bytes of a `BatchProof`.

    Raises:
        RemoteError: As in `check_proof`.
    """
    return _check_batch_proof(decode(BatchProof, data, max_bytes=MAX_PROOF_BYTES), genesis, trusted)


def _check_batch_proof(proof: BatchProof, genesis: Genesis, trusted: Trusted | None) -> SettledInterval:
    if proof.version != VERSION:
        raise BadProof(f"version {proof.version}; this program reads {VERSION}")
    header = proof.header
    validators, height, since_ms = genesis.authorities, 0, 0
    at_trusted = validators
    for change in proof.changes:
        if not height < change.header.height < header.height:
            raise BadProof("the changes of the validators are not in ascending height below the block")
        _check_header(change.header, change.cert, validators, genesis)
        if change.header.next_validators_hash != blocks.validators_hash(change.validators):
            raise BadProof(f"block {change.header.height} announces other validators")
        validators, height, since_ms = change.validators, change.header.height, change.header.time_ms
        if trusted is not None and height < trusted.height:
            at_trusted = validators
    block_hash = _check_header(header, proof.cert, validators, genesis)
    if trusted is not None:
        _check_trusted(header, validators, at_trusted, trusted)
    operators = _operators(proof, genesis)
    args, sender, version = _check_tx(proof, genesis, validators, operators)
    return SettledInterval(
        args,
        proof.tx,
        sender,
        block_hash,
        operators,
        proof.operators is not None,
        Trusted(header.height, header.time_ms, since_ms, validators),
        tuple(blocks.signers(proof.cert)),
        version,
    )


def _check_trusted(
    header: Header, validators: tuple[bytes, ...], at_trusted: tuple[bytes, ...], trusted: Trusted
) -> None:
    """Refuse what validators sign who have left, as far as a node without a chain can know.

    A header above the trusted one must come from its validators. One below it may be of earlier validators, but only
    from before they left, and not for longer than `TRUSTING_S`: old keys are worth less and less to their holders.
    """
    if header.height >= trusted.height:
        if at_trusted != trusted.validators:
            raise BadProof(
                f"it leads to other validators at height {trusted.height} than those that are known"
            )
        return
    if validators == trusted.validators:
        return
    if header.time_ms > trusted.since_ms:  # the block that announced the change was still theirs
        raise BadProof(f"block {header.height} is by validators who had left when it was made")
    if header.time_ms < trusted.time_ms - TRUSTING_S * 1_000:
        raise BadProof(
            f"block {header.height} is by validators who left more than {TRUSTING_S // 86_400} days ago"
        )


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


def _operators(proof: BatchProof, genesis: Genesis) -> tuple[bytes, ...]:
    """The operators that a proof shows; those of the genesis where it shows none."""
    if proof.operators is None:
        return genesis.operators
    where = (offices.NAME, offices.OPERATORS)
    found = check_entry(proof.header.state_root, *where, proof.operators, genesis)
    if found is None:
        raise BadProof("it proves that there is no list of operators")
    return offices.operators_in(found)


def _check_tx(
    proof: BatchProof, genesis: Genesis, validators: tuple[bytes, ...], operators: tuple[bytes, ...]
) -> tuple[BatchArgs, str, int]:
    """The batch of a transaction in the block, who sent it, and which version of its interval it is."""
    tx = proof.tx
    leaf = blocks.tx_leaf(tx)
    root = merkle.root_from_path(leaf, proof.tx_index, proof.tx_count, _steps(proof.tx_path))
    if root != proof.header.tx_root:
        raise BadProof("the transaction is not in the block")
    later = versions_in((tx,))
    if not (is_batch(tx) or later) or tx.chain_id != genesis.chain_id:
        raise BadProof(f"the transaction is {tx.module}.{tx.method}, not a settlement of this chain")
    if tx.sender in operators:
        sender = f"operator {operators.index(tx.sender)}"
    elif tx.sender in validators:
        sender = f"validator {validators.index(tx.sender)}"
    else:
        raise BadProof("the transaction is not by an operator or a validator")
    blocks.check_tx_signature(tx)
    if later:
        return later[0][1].batch, sender, later[0][1].version
    return decode(BatchArgs, tx.args, max_bytes=blocks.MAX_TX_BYTES), sender, 1


def _check_entry(bundle: ProofBundle, settled: SettledInterval, genesis: Genesis) -> Line:
    args = settled.args
    accounts = args.members + len(genesis.account_names)
    entry = open_entry(
        bundle.entry,
        bundle.salt,
        bundle.batch_path,
        members=args.members,
        accounts=accounts,
        root=args.postings_root,
    )
    return Line(
        interval_start=args.interval_start,
        account=entry.account,
        members=args.members,
        values=dict(zip(COLUMNS, entry.values, strict=True)),
        height=settled.height,
        block_hash=settled.block_hash,
        time_ms=settled.trusted.time_ms,
        sender=settled.sender,
        signers=settled.signers,
        version=settled.version,
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
