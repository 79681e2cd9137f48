"""Vectors of consensus, chain, Merkle trees and proofs."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import msgspec

from p2p.chain import block as blocks
from p2p.chain import domains, merkle
from p2p.chain.block import PRECOMMIT, PREVOTE, Block, CommitCert, Header, Tx
from p2p.chain.consensus_types import NO_ROUND, Proposal, Status, Vote, signed_bytes
from p2p.chain.execution import genesis_tip, next_header
from p2p.chain.genesis import Genesis
from p2p.chain.light import ProofBundle, SetChange, check_proof, make_proof
from p2p.chain.settlement import batch_tx, decode_entry, entry_leaf
from p2p.codec import Record, decode, encode
from p2p.identity import Identity
from tests.p2p import chain_kit as kit
from tests.vectors.layouts import plain
from tests.vectors.wire_vectors import CHAIN_ID, START, Json, code_of

# --- consensus --------------------------------------------------------------------------------------------


def consensus() -> Json:
    authority, name = kit.authorities(4)[2], sha256(b"a block").digest()
    made: list[Vote | Proposal] = [
        signed_by(authority, Vote(PREVOTE, 7, 0, name, 2, b"")),
        signed_by(authority, Vote(PRECOMMIT, 7, 3, name, 2, b"")),
        signed_by(authority, Vote(PRECOMMIT, 2**40, 2**31 - 1, None, 2, b"")),
        signed_by(authority, Proposal(2, 0, name, NO_ROUND, 2, b"", b"the block", ())),
    ]
    pol = (signed_by(authority, Vote(PREVOTE, 2, 1, name, 2, b"")),)
    made.append(signed_by(authority, Proposal(2, 4, name, 1, 2, b"", b"the block", pol)))
    return {
        "chain_id": CHAIN_ID.hex(),
        "domain": domains.SIGN_CONSENSUS.hex(),
        "public_key": authority.public_key.hex(),
        "signed": [
            {
                "record": type(one).__name__,
                "value": plain(one),
                "sign_bytes": signed_bytes(one, CHAIN_ID).hex(),
                "bytes": encode(one).hex(),
            }
            for one in made
        ],
        "status": {
            "value": plain(Status(7, NO_ROUND, 0, 0b101, 0, True)),
            "bytes": encode(Status(7, NO_ROUND, 0, 0b101, 0, True)).hex(),
        },
    }


def signed_by(identity: Identity, message: Any) -> Any:
    signature = identity.sign(domains.SIGN_CONSENSUS, signed_bytes(message, CHAIN_ID))
    return msgspec.structs.replace(message, signature=signature)


# --- chain ------------------------------------------------------------------------------------------------


def street() -> Genesis:
    return kit.make_genesis(n=4, members=5, name="street of the vectors")


def first_block() -> tuple[Block, CommitCert]:
    """The block above the genesis, with one settlement."""
    genesis, (_, args) = street(), kit.make_args(1)
    tip = genesis_tip(genesis)
    txs: tuple[Tx, ...] = (batch_tx(kit.OPERATOR, genesis.chain_id, 1, 100, args),)
    header = next_header(tip, genesis, (START + kit.STEP) * 1000, 1, txs)
    return Block(header, txs, ()), kit.certify(header, 4)


def chain() -> Json:
    genesis, (block, cert) = street(), first_block()
    tx, header = block.txs[0], block.header
    short = blocks.trim_cert(cert, 4)
    return {
        "genesis": {
            "value": plain(genesis),
            "bytes": encode(genesis).hex(),
            "chain_id": genesis.chain_id.hex(),
            "params_hash": genesis.params.hash.hex(),
            "validators_hash": blocks.validators_hash(genesis.authorities).hex(),
        },
        "tx": {
            "value": plain(tx),
            "bytes": tx.raw.hex(),
            "sign_bytes": (domains.SIGN_TX + encode(tuple(plain_fields(tx))[:-1])).hex(),
            "id": tx.id.hex(),
            "leaf": blocks.tx_leaf(tx).hex(),
        },
        "header": {
            "value": plain(header),
            "bytes": encode(header).hex(),
            "block_hash": blocks.block_hash(header).hex(),
        },
        "certificate": {
            "value": plain(short),
            "bytes": encode(short).hex(),
            "signers": blocks.signers(short),
        },
        "refused_certificates": [
            {
                "name": name,
                "bytes": encode(wrong).hex(),
                "code": code_of(lambda: blocks.check_cert(wrong, genesis.authorities, genesis.chain_id)),  # noqa: B023  # called at once
            }
            for name, wrong in wrong_certs(short, header).items()
        ],
    }


def plain_fields(record: Record) -> Sequence[object]:
    return [getattr(record, name) for name in record.__struct_fields__]


def wrong_certs(cert: CommitCert, header: Header) -> dict[str, CommitCert]:
    change = msgspec.structs.replace
    strangers = [kit.identity("stranger", str(i)) for i in range(4)]
    two = blocks.make_cert(
        cert.height, 0, cert.block_hash, {0: cert.signatures[:64], 1: cert.signatures[64:128]}, 4
    )
    return {
        "two of four": two,
        "by strangers": kit.certify(header, 4, keys=strangers),
        "of another round than was signed": change(cert, round=1),
        "a bit of nobody": change(cert, bitmap=b"\x17", signatures=cert.signatures + cert.signatures[:64]),
        "a bitmap of 2 bytes": change(cert, bitmap=cert.bitmap + b"\0"),
        "one signature too many": change(cert, signatures=cert.signatures + cert.signatures[:64]),
        "two signatures exchanged": change(
            cert,
            signatures=cert.signatures[64:128] + cert.signatures[:64] + cert.signatures[128:],
        ),
    }


def merkle_trees() -> Json:
    """Trees of 0 to 17 leaves; leaf i is the hash of the byte i."""
    trees = []
    for size in range(18):
        leaves = [merkle.leaf_hash(bytes((i,))) for i in range(size)]
        paths = [[step.hex() for step in merkle.path(leaves, i)] for i in range(size)]
        trees.append({"size": size, "root": merkle.root(leaves).hex(), "paths": paths})
    return {"leaves": [merkle.leaf_hash(bytes((i,))).hex() for i in range(17)], "trees": trees}


# --- proofs -----------------------------------------------------------------------------------------------


def proofs() -> Json:
    genesis, (block, cert) = street(), first_block()
    batch, _ = kit.make_args(1)
    proof = make_proof(batch, 1, block, cert, genesis)
    later = proof_after_a_change(decode(ProofBundle, proof))
    entry = decode_entry(batch.entry(1))
    return {
        "genesis": encode(genesis).hex(),
        "entry": {
            "salt": batch.salt(1).hex(),
            "entry": batch.entry(1).hex(),
            "leaf": entry_leaf(batch.salt(1), batch.entry(1)).hex(),
            "interval_start": entry.interval_start,
            "account": entry.account,
            "values": [str(value) for value in entry.values],
        },
        "proofs": [
            {"name": name, "bytes": data.hex(), "line": line_of(data, genesis)}
            for name, data in {
                "by the first authorities": proof,
                "after a change of authorities": later,
            }.items()
        ],
        "refused": [
            {"name": name, "bytes": data.hex(), "code": code_of(lambda: check_proof(data, genesis))}  # noqa: B023  # called at once
            for name, data in wrong_proofs(proof, later).items()
        ],
    }


def line_of(data: bytes, genesis: Genesis) -> Json:
    line = check_proof(data, genesis)
    return {
        "interval_start": line.interval_start,
        "account": line.account,
        "values": {name: str(value) for name, value in line.values.items()},
        "height": line.height,
        "block_hash": line.block_hash.hex(),
        "sender": line.sender,
    }


def proof_after_a_change(bundle: ProofBundle) -> bytes:
    """The same line in a later block, by five authorities; the first four signed for the fifth."""
    change = msgspec.structs.replace
    more = kit.authorities(5)
    keys = tuple(one.public_key for one in more)
    announcing = change(bundle.header, next_validators_hash=blocks.validators_hash(keys))
    later = change(
        bundle.header,
        height=2,
        parent_hash=blocks.block_hash(announcing),
        proposer_idx=2,
        validators_hash=blocks.validators_hash(keys),
        next_validators_hash=blocks.validators_hash(keys),
    )
    cert = blocks.trim_cert(kit.certify(later, 5, keys=more), 5)
    step = SetChange(announcing, blocks.trim_cert(kit.certify(announcing, 4), 4), keys)
    return encode(change(bundle, header=later, cert=cert, changes=(step,)))


def wrong_proofs(proof: bytes, later: bytes) -> dict[str, bytes]:
    change = msgspec.structs.replace
    bundle, moved = decode(ProofBundle, proof), decode(ProofBundle, later)
    other_batch, _ = kit.make_args(1, seed=99)
    stranger = kit.identity("stranger", "0")
    other_tx = batch_tx(stranger, bundle.tx.chain_id, 1, 100, kit.make_args(1)[1])
    header = change(bundle.header, tx_root=blocks.tx_root((other_tx,)))
    (step,) = moved.changes
    return {
        "version 1": encode(change(bundle, version=1)),
        "the entry of another account": encode(change(bundle, entry=other_batch.entry(2))),
        "an entry with other numbers": encode(change(bundle, entry=other_batch.entry(1))),
        "another salt": encode(change(bundle, salt=bytes(16))),
        "a path that is too short": encode(change(bundle, batch_path=bundle.batch_path[:-32])),
        "a path that is too long": encode(change(bundle, batch_path=bundle.batch_path + bytes(32))),
        "another place in the block": encode(change(bundle, tx_index=1, tx_count=2)),
        "another header than was signed": encode(change(bundle, header=header)),
        "a settlement by a stranger": encode(
            change(bundle, tx=other_tx, header=header, cert=kit.certify(header, 4))
        ),
        "a certificate of two": encode(
            change(bundle, cert=wrong_certs(bundle.cert, bundle.header)["two of four"])
        ),
        "new authorities that nobody announced": encode(change(moved, changes=())),
        "other authorities than were announced": encode(
            change(moved, changes=(change(step, validators=step.validators[::-1]),))
        ),
        "a change above the block": encode(
            change(moved, changes=(change(step, header=change(step.header, height=2)),))
        ),
    }
