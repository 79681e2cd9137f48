"""Vectors of the chain: genesis, transaction, header, certificate, and proofs with what is wrong about them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from market.settlement.accounts import COLUMNS, Postings
from p2p.batches.batch import Batch, BatchArgs, batch_args, batch_tx, decode_entry, entry_leaf, make_batch
from p2p.blocks import block as blocks
from p2p.blocks import domains, merkle
from p2p.blocks.block import Block, CommitCertificate, Header, Tx
from p2p.blocks.members import member_leaf
from p2p.errors import RemoteError
from p2p.ledger import light, offices
from p2p.ledger.light import ProofBundle, SetChange
from p2p.ledger.state import State, initial_state
from p2p.wire.codec import encode
from p2p.wire.identity import Identity
from p2p.wire.messages import PriceLine
from tests.vectors.made_up import (
    AUTHORITIES,
    CHAIN,
    GENESIS,
    HOME,
    HOMES,
    LATER,
    MASTER,
    OPERATOR,
    ROTATED,
    START,
    STEP,
    STRANGER,
    Vectors,
    plain,
    replace,
)


def made_up_batch() -> tuple[Batch, BatchArgs]:
    """A batch in which one home sells to the other."""
    lines = np.zeros((GENESIS.members + len(GENESIS.account_names), len(COLUMNS)), dtype=np.int64)
    sold = {"export_wh": 250, "sold_wh": 250, "trade_nano": 57_750_000}
    bought = {"import_wh": 250, "bought_wh": 250, "trade_nano": -57_750_000}
    for row, values in enumerate((sold, bought)):
        for column, value in values.items():
            lines[row, COLUMNS.index(column)] = value
    postings = Postings(lines, GENESIS.members, len(GENESIS.accounts))
    batch = make_batch(postings, START, MASTER)
    args = batch_args(
        batch,
        postings,
        orders=2,
        book_root=bytes([1]) * 32,
        clearing_root=bytes([2]) * 32,
        prices_root=bytes([3]) * 32,
        prices=1,
        price=PriceLine(200_000, 262_000, 231_000),
        traded_wh=250,
        next_collector=OPERATOR.public_key,
    )
    return batch, args


def batch_arguments() -> BatchArgs:
    """The arguments of the made-up batch."""
    return made_up_batch()[1]


def settled(sender: Identity, state: State) -> tuple[list[bytes], Block, CommitCertificate, Tx]:
    """A block above a state with one batch, and the proofs of both households."""
    batch, args = made_up_batch()
    tx = batch_tx(sender, CHAIN, 1, 1_000, args)
    members = blocks.validators_hash(GENESIS.authorities)
    header = Header(
        version=blocks.VERSION,
        chain_id=CHAIN,
        height=1,
        time_ms=(START + STEP) * 1000,
        parent_hash=CHAIN,
        proposer_idx=1,
        validators_hash=members,
        next_validators_hash=members,
        params_hash=GENESIS.params.hash,
        tx_root=blocks.tx_root([tx]),
        evidence_root=blocks.evidence_root(()),
        state_root=state.root,
        receipts_root=merkle.EMPTY_ROOT,
    )
    block = Block(header, (tx,), ())
    cert = certified(header)
    shown = None if sender == OPERATOR else light.prove_operators(state)
    proof = light.make_batch_proof(block, cert, GENESIS, operators=shown)
    proofs = [light.make_proof(batch, i, proof) for i in range(GENESIS.members)]
    return proofs, block, cert, tx


def certified(header: Header, authorities: Sequence[Identity] = AUTHORITIES) -> CommitCertificate:
    """A certificate of all authorities for whatever header."""
    name = blocks.block_hash(header)
    data = blocks.vote_bytes(blocks.PRECOMMIT, CHAIN, header.height, 0, name)
    signatures = {i: one.sign(domains.SIGN_CONSENSUS, data) for i, one in enumerate(authorities)}
    return blocks.make_cert(header.height, 0, name, signatures, len(authorities))


def with_batch(bundle: ProofBundle, **fields: Any) -> ProofBundle:
    """The same line with other fields in the proof of its batch."""
    return replace(bundle, batch=replace(bundle.batch, **fields))


def moved_on(bundle: ProofBundle, tx: Tx) -> ProofBundle:
    """The same line in block 2 by other authorities, whom those of the genesis announced in block 1."""
    keys = tuple(one.public_key for one in LATER)
    new = blocks.validators_hash(keys)
    announcing = replace(bundle.batch.header, next_validators_hash=new)
    header = replace(
        announcing,
        height=2,
        parent_hash=blocks.block_hash(announcing),
        proposer_idx=2,
        validators_hash=new,
        tx_root=blocks.tx_root([tx]),
    )
    change = SetChange(announcing, certified(announcing), keys)
    return with_batch(bundle, tx=tx, header=header, cert=certified(header, LATER), changes=(change,))


def wrong_changes(moved: ProofBundle) -> dict[str, bytes]:
    """Proofs whose way from one set to the next does not hold."""
    (change,) = moved.batch.changes
    unannounced = replace(change.header, next_validators_hash=change.header.validators_hash)
    first = AUTHORITIES[0].public_key
    return {
        "new authorities without the change": encode(with_batch(moved, changes=())),
        "a change to other authorities than were announced": encode(
            with_batch(moved, changes=(replace(change, validators=change.validators[::-1]),))
        ),
        "a change that was not announced": encode(
            with_batch(moved, changes=(replace(change, header=unannounced, cert=certified(unannounced)),))
        ),
        "a change that the new authorities signed themselves": encode(
            with_batch(moved, changes=(replace(change, cert=certified(change.header, LATER)),))
        ),
        "a change twice": encode(with_batch(moved, changes=(change, change))),
        "a batch by an authority that has left": encode(
            moved_on(
                moved_before(moved), blocks.sign_tx(AUTHORITIES[0], replace(moved.batch.tx, sender=first))
            )
        ),
    }


def moved_before(moved: ProofBundle) -> ProofBundle:
    """A bundle as it was before the change."""
    (change,) = moved.batch.changes
    header = replace(change.header, next_validators_hash=change.header.validators_hash)
    return with_batch(moved, header=header, cert=certified(header), changes=())


def chain() -> Vectors:
    """Genesis, transaction, header, certificate and settlement proofs.

    The last proofs are by an operator with a new key, and by authorities who came later.
    """
    proofs, block, cert, tx = settled(OPERATOR, initial_state(GENESIS))
    moved = initial_state(replace(GENESIS, operators=(ROTATED.public_key,)))
    rotated, unproven = (settled(key, state)[0] for key, state in ((ROTATED, moved), (STRANGER, moved)))
    proofs.append(rotated[0])
    bundles = [msgspec.msgpack.decode(proof, type=ProofBundle) for proof in proofs]
    own, other, by_list = bundles
    shown = by_list.batch.operators
    assert shown is not None
    unproven_bundle = msgspec.msgpack.decode(unproven[0], type=ProofBundle)
    moved_bundle = moved_on(own, tx)
    bundles.append(moved_bundle)
    proofs.append(encode(moved_bundle))
    few = {0: cert.signatures[:64], 1: cert.signatures[64:128]}
    unsigned_tx = replace(own.batch.tx, signature=bytes(64))
    unsigned_header = replace(own.batch.header, tx_root=blocks.tx_root([unsigned_tx]))
    claimed = tuple(
        (key, encode(offices.Keys((STRANGER.public_key,))) if key == offices.OPERATORS else value)
        for key, value in shown.bucket.entries
    )
    wrong = {
        "a transaction that its sender did not sign": encode(
            with_batch(own, tx=unsigned_tx, header=unsigned_header, cert=certified(unsigned_header))
        ),
        "operators that the state does not hold": encode(
            with_batch(
                by_list,
                tx=unproven_bundle.batch.tx,
                header=unproven_bundle.batch.header,
                cert=unproven_bundle.batch.cert,
                operators=replace(shown, bucket=replace(shown.bucket, entries=claimed)),
            )
        ),
        "another one's salt": encode(replace(own, salt=other.salt)),
        "another one's path": encode(replace(own, batch_path=other.batch_path)),
        "two signatures of four": encode(
            with_batch(own, cert=blocks.make_cert(1, 0, cert.block_hash, few, len(AUTHORITIES)))
        ),
        "a signature twice": encode(
            with_batch(own, cert=replace(own.batch.cert, signatures=own.batch.cert.signatures[:64] * 3))
        ),
        "a bit of an authority that is none": encode(
            with_batch(own, cert=replace(own.batch.cert, bitmap=b"\x17"))
        ),
        "another header": encode(
            with_batch(own, header=replace(own.batch.header, time_ms=own.batch.header.time_ms + 1))
        ),
        "an operator that is not proven": encode(with_batch(by_list, operators=None)),
        "a sender that is no operator": unproven[0],
        "operators with a sibling less": encode(
            with_batch(
                by_list,
                operators=replace(shown, bucket=replace(shown.bucket, siblings=shown.bucket.siblings[32:])),
            )
        ),
        "a transaction by a household": encode(with_batch(own, tx=blocks.sign_tx(HOME, own.batch.tx))),
        "a version that is none": encode(with_batch(own, version=1)),
        "a byte behind": proofs[0] + b"\0",
        **wrong_changes(moved_bundle),
    }
    plainly = HOMES.records[0]
    metered = replace(plainly, meter_key=ROTATED.public_key)
    unsigned = tuple(getattr(tx, field) for field in tx.__struct_fields__[:-1])
    return {
        "genesis": {"bytes": encode(GENESIS).hex(), "chain_id": CHAIN.hex()},
        "homes": [{"fields": plain(home), "leaf": member_leaf(home).hex()} for home in (plainly, metered)],
        "tx": {
            "fields": plain(tx),
            "sign_bytes": (domains.SIGN_TX + encode(unsigned)).hex(),
            "id": tx.id.hex(),
            "leaf": blocks.tx_leaf(tx).hex(),
            "bytes": encode(tx).hex(),
        },
        "header": {
            "fields": plain(block.header),
            "bytes": encode(block.header).hex(),
            "block_hash": blocks.block_hash(block.header).hex(),
        },
        "cert": {"fields": plain(cert), "bytes": encode(cert).hex()},
        "proofs": [
            {
                "account": decode_entry(bundle.entry).account,
                "entry": bundle.entry.hex(),
                "salt": bundle.salt.hex(),
                "leaf": entry_leaf(bundle.salt, bundle.entry).hex(),
                "batch": encode(bundle.batch).hex(),
                "bytes": proof.hex(),
            }
            for bundle, proof in zip(bundles, proofs, strict=True)
        ],
        "refused": [
            {"what": what, "bytes": data.hex(), "code": proof_refusal(data)} for what, data in wrong.items()
        ],
    }


def proof_refusal(data: bytes) -> str:
    """The code with which our own reader refuses a proof."""
    try:
        light.check_proof(data, GENESIS)
    except RemoteError as error:
        return error.code
    raise AssertionError(f"{data.hex()} is taken")
