"""Proof of omission: the batch commits to every message that was acknowledged, so a dropped one can be proven.

Each batch carries a Merkle root with one salted leaf per slot and home of the roster: the nonce and id of the
message that is in its blob, or that the home was absent. The slots are the rounds of the market and, as the last one,
the readings. A home gets the openings of its own leaves. With a receipt that promises more than the leaf shows, it
convicts the collector offline. The leaf of a home in a slot is at i = slot x homes + home.

    salt of i  = bytes 16 i .. 16 i + 16 of SHAKE-256(domain || interval_secret)
    leaf       = SHA-256(0x00 || leaf domain || salt || nonce i64 || message id)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import shake_256

from p2p.batches.batch import SETTLE_BATCH, SETTLEMENT, BatchArgs
from p2p.blocks import block as blocks
from p2p.blocks import domains, merkle
from p2p.blocks.block import Tx
from p2p.blocks.genesis import Genesis
from p2p.blocks.members import MemberProof, Rotated, check_member, household_hash, none_rotated
from p2p.errors import BadProof, WrongChain
from p2p.wire.codec import Record, decode, encode
from p2p.wire.messages import (
    PROMISES,
    HandedIn,
    Kind,
    ReadingMessage,
    ReceiptCode,
    ReceiptMessage,
    SealedMessage,
    household_of,
    message_id,
    open_message,
    said_kinds,
    signer_of,
)

VERSION = 4
SALT_BYTES = 16
MAX_OMISSION_BYTES = blocks.MAX_TX_BYTES + 4 * 1024
"""A batch with full entries fills its transaction; the rest of a proof has about 1 kB. [B]"""
ABSENT = -1
"""Nonce of the leaf of an absent home."""

_NO_ID = bytes(merkle.HASH_BYTES)


class Opening(Record, frozen=True):
    """The content of one leaf, and the path to the root; its canonical bytes travel on inclusion/2.

    Args:
        path: 32 bytes a step, joined.
    """

    salt: bytes
    nonce: int
    message_id: bytes
    path: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Inclusion:
    """The tree of one interval.

    Args:
        members: Number of homes.
        spoken: Nonce and message id in each leaf.
    """

    members: int
    salts: bytes
    spoken: tuple[tuple[int, bytes], ...]
    tree: merkle.Levels

    @property
    def leaves(self) -> list[bytes]:
        """Leaf hash per round and home."""
        return self.tree[0]

    @property
    def root(self) -> bytes:
        """What the batch carries."""
        return self.tree[-1][0]

    def of(self, participant: int, slot: int = 0) -> tuple[int, bytes]:
        """Nonce and id of a home's message in a slot, as its leaf has them."""
        return self.spoken[leaf_index(participant, slot, self.members)]

    def opening(self, participant: int, slot: int = 0) -> Opening:
        """The opening of a home's leaf of a slot, for that home only."""
        index = leaf_index(participant, slot, self.members)
        nonce, name = self.spoken[index]
        path = b"".join(merkle.path_in(self.tree, index))
        return Opening(_salt(self.salts, index), nonce, name, path)


class Omission(Record, frozen=True):
    """Proof that a collector left out what it had promised to include.

    Args:
        receipt: Signed bytes of the receipt.
        message: Signed bytes of the order, "nothing" or reading it is for.
        home: The home's place in the roster, its key, and the path to the root in the genesis.
        nonce: The nonce in the leaf, or -1.
        leaf_id: Message id in the leaf, or zeros.
        tx: The batch transaction, by the key that signed the receipt.
    """

    version: int
    receipt: bytes
    message: bytes
    home: MemberProof
    salt: bytes
    nonce: int
    leaf_id: bytes
    path: bytes
    tx: Tx


def slots(rounds: int) -> int:
    """Number of slots of an interval: the rounds of its market, and the readings."""
    return rounds + 1


def slot_of(message: HandedIn, rounds: int) -> int:
    """The slot of a message: its round, or that of the readings behind all rounds."""
    return rounds if isinstance(message, ReadingMessage) else message.round


def leaf_index(participant: int, slot: int, members: int) -> int:
    """Place of the leaf of a home and slot among all leaves of an interval."""
    return slot * members + participant


def include(
    roster: Sequence[str],
    messages: Iterable[HandedIn],
    interval_secret: bytes,
    rounds: int = 1,
) -> Inclusion:
    """Build the tree of an interval from the messages in its blob.

    Args:
        roster: Home ids.
        messages: One at most of each home and slot.
        interval_secret: The salts follow from it.
        rounds: Number of rounds of the market, from the genesis.
    """
    spoken = {(slot_of(m, rounds), m.household): (m.nonce, message_id(m)) for m in messages}
    leaves_count = len(roster) * slots(rounds)
    salts = shake_256(domains.XOF_INCLUSION + interval_secret).digest(SALT_BYTES * leaves_count)
    rows = tuple(
        spoken.get((slot, household), (ABSENT, _NO_ID))
        for slot in range(slots(rounds))
        for household in roster
    )
    leaves = [_leaf(_salt(salts, i), *row) for i, row in enumerate(rows)]
    return Inclusion(len(roster), salts, rows, merkle.levels(leaves))


def check_opening(opening: Opening, index: int, leaves: int, root: bytes) -> None:
    """Raise unless a leaf leads to a batch's inclusion root from its place among all leaves.

    Args:
        index: `leaf_index` of the home and slot.
        leaves: Their number: homes times slots.

    Raises:
        BadProof: It is not.
    """
    if len(opening.salt) != SALT_BYTES or len(opening.message_id) != merkle.HASH_BYTES:
        raise BadProof("a salt or message id of a wrong length")
    leaf = _leaf(opening.salt, opening.nonce, opening.message_id)
    steps = [opening.path[i : i + merkle.HASH_BYTES] for i in range(0, len(opening.path), merkle.HASH_BYTES)]
    if merkle.root_from_path(leaf, index, leaves, steps) != root:
        raise BadProof("the leaf is not in the batch")


def keeps(opening: Opening, nonce: int, name: bytes) -> bool:
    """Whether a leaf keeps the promise about a message: it, or a later one of the home and slot, is in the batch."""
    return opening.nonce > nonce or opening.message_id == name


def make_omission(receipt: bytes, message: bytes, home: MemberProof, opening: Opening, tx: Tx) -> bytes:
    """Return the canonical bytes of a proof; arguments as in `Omission`. `check_omission` checks it."""
    return encode(
        Omission(
            VERSION, receipt, message, home, opening.salt, opening.nonce, opening.message_id, opening.path, tx
        )
    )


def check_omission(data: bytes, genesis: Genesis, rotated: Rotated = none_rotated) -> tuple[bytes, int]:
    """Check a proof offline; return the public key of the collector that broke its promise, and the interval.

    Args:
        data: Canonical bytes of an `Omission`.
        genesis: Chain and root over the homes; whether the key is a collector of the chain shows in the batch,
            which the chain took from it.
        rotated: Keys to which homes have rotated, for who has a chain.

    Raises:
        RemoteError: It is malformed or of another chain, its parts do not belong together, or the promise was kept.
    """
    proof = decode(Omission, data, max_bytes=MAX_OMISSION_BYTES)
    if proof.version != VERSION:
        raise BadProof(f"version {proof.version}; this program reads {VERSION}")
    if proof.tx.chain_id != genesis.chain_id:
        raise WrongChain(f"the batch is of chain {proof.tx.chain_id.hex()[:16]}")
    message, collector = check_promise(proof.receipt, proof.message, proof.home, genesis, rotated)
    if isinstance(message, SealedMessage):
        raise BadProof(
            "sealed orders are closed before the batch, by another collector perhaps, which had them or not"
        )
    args = _batch(proof, collector)
    if args.interval_start != message.interval_start:
        raise BadProof("receipt and batch are of different intervals")
    opening = Opening(proof.salt, proof.nonce, proof.leaf_id, proof.path)
    # The slot is that of the signed message: a leaf of another slot proves nothing about it.
    index = leaf_index(proof.home.index, slot_of(message, genesis.params.rounds), genesis.members)
    check_opening(opening, index, genesis.members * slots(genesis.params.rounds), args.inclusion_root)
    if keeps(opening, message.nonce, message_id(message)):
        raise BadProof("the promise was kept: the message, or a later one of the home, is in the batch")
    return collector, message.interval_start


def check_promise(
    receipt_data: bytes, message_data: bytes, home: MemberProof, genesis: Genesis, rotated: Rotated
) -> tuple[HandedIn, bytes]:
    """Check a receipt that promises to include a message, and return the message and who promised.

    Args:
        home: The home that signed the message, with the path to the root in the genesis.

    Raises:
        RemoteError: Malformed, of another chain or home, not signed, or no promise for this message.
    """
    check_member(home, genesis.members_root, genesis.members)
    collector = signer_of(receipt_data)
    household = household_of(message_data)
    if household_hash(household) != home.member.household:
        raise BadProof(f"the message is of another home than {home.index}")

    def key_of(household: str, interval_start: int, kind: Kind) -> bytes:
        return home.member.key_for(kind, rotated(home.index, interval_start) or home.member.key)

    message = open_message(
        message_data,
        chain_id=genesis.chain_id,
        kinds=(*said_kinds(genesis.params.limits), Kind.READING),
        key_of=key_of,
        limits=genesis.params.limits,
    )
    receipt = open_message(
        receipt_data,
        chain_id=genesis.chain_id,
        kinds=(Kind.RECEIPT,),
        key_of=key_of,
        collector_keys=(collector,),
        limits=genesis.params.limits,
    )
    if not isinstance(message, HandedIn) or not isinstance(receipt, ReceiptMessage):
        raise BadProof("not a message and its receipt")
    if receipt.message_id != message_id(message) or receipt.interval_start != message.interval_start:
        raise BadProof("the receipt is for another message")
    if receipt.code not in PROMISES:
        raise BadProof(f"the receipt promises nothing: {ReceiptCode(receipt.code).name}")
    return message, collector


def _batch(proof: Omission, collector: bytes) -> BatchArgs:
    tx = proof.tx
    if (tx.module, tx.method) != (SETTLEMENT, SETTLE_BATCH):
        raise BadProof(f"the transaction is {tx.module}.{tx.method}, not a settlement")
    if tx.sender != collector:
        raise BadProof("the batch is by another collector than the receipt: nobody broke a promise")
    blocks.check_tx_signature(tx)
    return decode(BatchArgs, tx.args, max_bytes=blocks.MAX_TX_BYTES)


def _leaf(salt: bytes, nonce: int, name: bytes) -> bytes:
    content = salt + nonce.to_bytes(8, "big", signed=True) + name
    return merkle.leaf_hash(bytes((domains.LEAF_INCLUSION,)) + content)


def _salt(salts: bytes, participant: int) -> bytes:
    return salts[SALT_BYTES * participant : SALT_BYTES * (participant + 1)]
