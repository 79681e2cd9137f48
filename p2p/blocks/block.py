"""Transactions, headers, blocks, commit certificates: their bytes, hashes and signatures.

The header and the certificate are those of Tendermint, so that full consensus changes who makes them and
nothing about how they look or how they are checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from hashlib import sha256

from p2p.blocks import domains, merkle
from p2p.errors import BadCertificate, WrongChain, WrongSignature
from p2p.wire.codec import Record, decode, encode
from p2p.wire.identity import SIGNATURE_BYTES, Identity, verify

VERSION = 1
MAX_BLOCK_BYTES = 1024 * 1024
MAX_TX_BYTES = 64 * 1024
MAX_VALIDATORS = 25
MAX_CERT_BYTES = 4 * 1024
ZERO_HASH = bytes(merkle.HASH_BYTES)

PREVOTE = 0x01
PRECOMMIT = 0x02


class Tx(Record, frozen=True, dict=True):
    """One signed instruction to a module of the chain.

    Args:
        sender: Public key that signs.
        nonce: One more than the sender's last; the first is 1.
        valid_until_height: The last block that may hold it.
        module: Name of the module.
        method: Name of what the module shall do.
        args: Canonical bytes of the method's arguments.
        signature: Over everything before it.
    """

    version: int
    chain_id: bytes
    sender: bytes
    nonce: int
    valid_until_height: int
    module: str
    method: str
    args: bytes
    signature: bytes

    @cached_property
    def raw(self) -> bytes:
        """Canonical bytes of the whole transaction."""
        return encode(self)

    @property
    def id(self) -> bytes:
        """SHA-256 of the whole transaction."""
        return sha256(self.raw).digest()


class Header(Record, frozen=True, dict=True):
    """What the validators sign, by its hash.

    Args:
        time_ms: Later than the parent's. [ms since 1970, UTC]
        parent_hash: Block hash of the parent; the chain id below height 1.
        proposer_idx: Index of the validator that built the block: (height + round) mod n of the round in
            which it did. A later round may put the block to the vote again, and commit it.
        state_root: State *after the parent*, so that a proposer need not execute its own block.
        receipts_root: Receipts of the parent.
    """

    version: int
    chain_id: bytes
    height: int
    time_ms: int
    parent_hash: bytes
    proposer_idx: int
    validators_hash: bytes
    next_validators_hash: bytes
    params_hash: bytes
    tx_root: bytes
    evidence_root: bytes
    state_root: bytes
    receipts_root: bytes

    @cached_property
    def hash(self) -> bytes:
        """SHA-256 of the canonical header: the name of its block."""
        return sha256(domains.BLOCK + encode(self)).digest()


class Block(Record, frozen=True):
    """A header with its transactions and evidence of misbehaviour, see `evidence`."""

    header: Header
    txs: tuple[Tx, ...]
    evidence: tuple[bytes, ...]


class CommitCertificate(Record, frozen=True):
    """Precommits of a quorum for one block.

    Args:
        round: Round in which the quorum was reached.
        bitmap: Bit i % 8 of byte i // 8 is set when validator i signed; unused bits are 0.
        signatures: Of 64 bytes each, joined, in ascending index of the validator.
    """

    height: int
    round: int
    block_hash: bytes
    bitmap: bytes
    signatures: bytes


def sign_tx(identity: Identity, tx: Tx) -> Tx:
    """Return the transaction with its signature filled in."""
    signature = identity.sign(domains.SIGN_TX, _tx_content(tx))
    return Tx(**{name: getattr(tx, name) for name in _TX_SIGNED}, signature=signature)


def make_tx(
    sender: Identity,
    chain_id: bytes,
    nonce: int,
    valid_until_height: int,
    module: str,
    method: str,
    args: Record,
) -> Tx:
    """Return a signed transaction.

    Args:
        nonce: The sender's last plus one.
        valid_until_height: Last block that may hold it.
    """
    unsigned = Tx(
        VERSION, chain_id, sender.public_key, nonce, valid_until_height, module, method, encode(args), b""
    )
    return sign_tx(sender, unsigned)


def check_tx_signature(tx: Tx) -> None:
    """Raise unless the sender signed this transaction.

    Raises:
        WrongSignature: It did not.
    """
    if not verify(tx.sender, domains.SIGN_TX, _tx_content(tx), tx.signature):
        raise WrongSignature(f"the signature of transaction {tx.id.hex()[:16]} does not verify")


_TX_SIGNED = Tx.__struct_fields__[:-1]


def _tx_content(tx: Tx) -> bytes:
    return encode(tuple(getattr(tx, name) for name in _TX_SIGNED))


def tx_leaf(tx: Tx) -> bytes:
    """Leaf hash of a transaction in the tx root."""
    return merkle.leaf_hash(bytes((domains.LEAF_TX,)) + tx.raw)


def tx_root(txs: Sequence[Tx]) -> bytes:
    """Root over the transactions of a block, in their order."""
    return merkle.root([tx_leaf(tx) for tx in txs])


def evidence_root(evidence: Sequence[bytes]) -> bytes:
    """Root over the evidence of a block, in its order."""
    return merkle.root_of(bytes((domains.LEAF_EVIDENCE,)) + item for item in evidence)


def block_hash(header: Header) -> bytes:
    """Name of a block: the hash of its canonical header."""
    return header.hash


def validators_hash(validators: Sequence[bytes]) -> bytes:
    """Hash of the public keys of a set of validators, in their order."""
    return sha256(domains.VALIDATORS + encode(tuple(validators))).digest()


def quorum(n: int) -> int:
    """How many of n validators must sign: floor(2n/3) + 1."""
    return 2 * n // 3 + 1


def proposer_index(height: int, round_: int, n: int) -> int:
    """Whose turn it is: (height + round) mod n."""
    return (height + round_) % n


def had_turn(proposer: int, height: int, round_: int, n: int) -> bool:
    """Whether this validator was the proposer in a round up to `round_`.

    A block that was locked is proposed again by others in later rounds, and keeps the name of its builder.
    """
    return 0 <= proposer < n and (proposer - height) % n <= round_


def vote_bytes(kind: int, chain_id: bytes, height: int, round_: int, voted_hash: bytes | None) -> bytes:
    """Return what a vote signs under `domains.SIGN_CONSENSUS`: fixed width, no codec, no timestamp.

    Args:
        kind: PREVOTE or PRECOMMIT.
        voted_hash: Block hash, or None for nil.
    """
    flag = b"\0" if voted_hash is None else b"\1"
    where = height.to_bytes(8, "big") + round_.to_bytes(4, "big")
    return bytes((kind,)) + chain_id + where + flag + (voted_hash or ZERO_HASH)


def make_cert(
    height: int, round_: int, signed_hash: bytes, signatures: Mapping[int, bytes], n: int
) -> CommitCertificate:
    """Build the certificate of these precommit signatures, by index of the validator."""
    bits = sum(1 << index for index in signatures)
    bitmap = bits.to_bytes((n + 7) // 8, "little")
    return CommitCertificate(
        height, round_, signed_hash, bitmap, b"".join(signatures[i] for i in sorted(signatures))
    )


def signers(cert: CommitCertificate) -> list[int]:
    """Indices of the validators whose bit is set, ascending."""
    bits = int.from_bytes(cert.bitmap, "little")
    return [i for i in range(bits.bit_length()) if bits >> i & 1]


def trim_cert(cert: CommitCertificate, n: int) -> CommitCertificate:
    """Return the certificate with its first quorum of signatures only, for a proof that shall be short."""
    kept = signers(cert)[: quorum(n)]
    signatures = {index: signature_at(cert, i) for i, index in enumerate(kept)}
    return make_cert(cert.height, cert.round, cert.block_hash, signatures, n)


def check_cert(cert: CommitCertificate, validators: Sequence[bytes], chain_id: bytes) -> None:
    """Raise unless a quorum of these validators signed, and nothing in the certificate is unsigned.

    Raises:
        BadCertificate: Says what is wrong and whose signature it is.
    """
    n = len(validators)
    who = signers(cert)
    if len(cert.bitmap) != (n + 7) // 8 or (who and who[-1] >= n):
        raise BadCertificate(f"height {cert.height}: a bitmap that does not fit {n} validators")
    if len(cert.signatures) != SIGNATURE_BYTES * len(who):
        raise BadCertificate(
            f"height {cert.height}: {len(cert.signatures)} bytes of signatures for {len(who)} signers"
        )
    if len(who) < quorum(n):
        raise BadCertificate(f"height {cert.height}: {len(who)} of {n} validators signed, {quorum(n)} must")
    if len(cert.block_hash) != merkle.HASH_BYTES or not (0 <= cert.round < 2**32 and cert.height >= 0):
        raise BadCertificate(f"height {cert.height}: a height, round or block hash outside its range")
    data = vote_bytes(PRECOMMIT, chain_id, cert.height, cert.round, cert.block_hash)
    for i, index in enumerate(who):
        if not verify(validators[index], domains.SIGN_CONSENSUS, data, signature_at(cert, i)):
            raise BadCertificate(f"height {cert.height}: the signature of validator {index} does not verify")


def decode_block(data: bytes, chain_id: bytes) -> Block:
    """Read a block of this chain from canonical bytes.

    Raises:
        RemoteError: Malformed, non-canonical, too large or of another chain.
    """
    block = decode(Block, data, max_bytes=MAX_BLOCK_BYTES)
    if block.header.chain_id != chain_id:
        raise WrongChain(f"block {block.header.height} is of chain {block.header.chain_id.hex()[:16]}")
    return block


def decode_cert(data: bytes) -> CommitCertificate:
    """Read a certificate from canonical bytes.

    Raises:
        RemoteError: Malformed, non-canonical or too large.
    """
    return decode(CommitCertificate, data, max_bytes=MAX_CERT_BYTES)


def signature_at(cert: CommitCertificate, position: int) -> bytes:
    """The signature of the validator at a position of `signers`."""
    return cert.signatures[position * SIGNATURE_BYTES : (position + 1) * SIGNATURE_BYTES]
