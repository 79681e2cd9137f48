"""Write the test vectors of docs/protocol.md: `python -m tests.vectors.make_vectors` from the root of the repository.

Everything follows from fixed seeds. Numbers are decimal text in JSON, since not every language reads 64 bits out of
a JSON number; bytes are hexadecimal text.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from market.settlement import COLUMNS, SYSTEM_ACCOUNTS, Postings
from p2p.chain import block as blocks
from p2p.chain import domains, light, merkle
from p2p.chain.block import Block, CommitCert, Header, Tx
from p2p.chain.consensus_types import Proposal, Vote, signed_bytes
from p2p.chain.genesis import VERSION as GENESIS_VERSION
from p2p.chain.genesis import Genesis, make_params
from p2p.chain.light import ProofBundle, SetChange
from p2p.chain.modules.accounts import Role
from p2p.chain.roots import roster_root
from p2p.chain.settlement import batch_args, batch_tx, decode_entry, entry_leaf, make_batch
from p2p.chain.state import State, initial_state
from p2p.codec import encode
from p2p.errors import RemoteError
from p2p.frames import Frame, FrameKind
from p2p.identity import Identity
from p2p.messages import (
    DEFAULT_LIMITS,
    VERSION,
    Kind,
    LineQueryMessage,
    Message,
    NothingMessage,
    OrderMessage,
    PriceLine,
    ReadingMessage,
    ReceiptMessage,
    ResultMessage,
    Signed,
    kind_of,
    message_id,
    open_message,
    sign_message,
)
from tests.vectors.records import records

FOLDER = Path(__file__).resolve().parent
START, STEP, MINUTES = 1_760_000_400, 900, 15
HOUSEHOLD = "house-1"
HOME, STRANGER, OPERATOR, ROTATED = (Identity.from_seed(letter * 32) for letter in (b"h", b"x", b"o", b"r"))
AUTHORITIES = tuple(Identity.from_seed(bytes([i + 1]) * 32) for i in range(4))
LATER = (*AUTHORITIES[1:], Identity.from_seed(bytes([5]) * 32), Identity.from_seed(bytes([6]) * 32))
"""Authorities after a change of the set: the first one left, two came."""
MASTER = bytes(range(32))
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493
"""Of Ed25519's base point."""
MESSAGE_DOMAIN = b"wattswap/msg/1\0"

GENESIS = Genesis(
    version=GENESIS_VERSION,
    name="vectors",
    time_ms=START * 1000,
    params=make_params("EUR", MINUTES),
    authorities=tuple(one.public_key for one in AUTHORITIES),
    operators=(OPERATOR.public_key,),
    roster_root=roster_root([HOUSEHOLD, "house-2"]),
    members=2,
    household_keys=(HOME.public_key, STRANGER.public_key),
)
CHAIN = GENESIS.chain_id
CONTEXT = {
    "chain_id": CHAIN,
    "household_keys": {HOUSEHOLD: HOME.public_key},
    "collector_keys": (OPERATOR.public_key,),
}

Vectors = dict[str, Any]
replace = msgspec.structs.replace


def plain(value: Any) -> Any:
    """The JSON form of a value: records as objects, numbers as text, bytes as hexadecimal text."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value]


def frames() -> Vectors:
    """Whole frames, and beginnings of frames that end a stream."""
    good = [
        Frame(1, FrameKind.REQUEST, b""),
        Frame(2**32 - 1, FrameKind.REPLY, bytes(range(256))),
        Frame(7, FrameKind.ERROR, b"wrong_signature"),
    ]
    bad = {
        "too short": ("00000004000000010000", "malformed"),
        "unknown kind": ("000000050000000103", "malformed"),
        "too long": ("00040006", "too_large"),
    }
    return {
        "good": [plain(asdict(frame)) | {"bytes": frame.pack().hex()} for frame in good],
        "refused": [{"what": what, "bytes": data, "code": code} for what, (data, code) in bad.items()],
    }


def examples() -> list[Message]:
    """At least one message of each kind, some of them at their limits."""
    about = (VERSION, CHAIN, START, MINUTES, HOUSEHOLD)
    limit = DEFAULT_LIMITS
    order = OrderMessage(*about, 7, 1, 250, 231_000, 0)
    roots = [bytes([i]) * 32 for i in range(1, 5)]
    head = (VERSION, CHAIN, START, MINUTES, 9, *roots)
    return [
        order,
        OrderMessage(*about, 2**63 - 1, -1, limit.max_energy_wh, -limit.max_price_micro_per_kwh, 1_000_000),
        ReadingMessage(*about, 8, 65_535, 65_536, 2),
        ReceiptMessage(VERSION, CHAIN, START, HOUSEHOLD, message_id(order), 2),
        ResultMessage(*head, PriceLine(-129, -32, -33), 127, OPERATOR.public_key),
        ResultMessage(*head, None, 2**63 - 1, AUTHORITIES[0].public_key),
        NothingMessage(*about, 128),
        LineQueryMessage(*about, 255),
    ]


def signer(message: Message) -> Identity:
    """Who may sign it."""
    return OPERATOR if isinstance(message, ReceiptMessage | ResultMessage) else HOME


def messages() -> Vectors:
    """Signed messages of every kind, and the ways in which one is refused."""
    good = []
    for message in examples():
        kind, body = kind_of(message), encode(message)
        data = sign_message(signer(message), message)
        good.append(
            {
                "kind": kind.name.lower(),
                "seed": signer(message).seed.hex(),
                "fields": plain(message),
                "body": body.hex(),
                "id": message_id(message).hex(),
                "sign_bytes": (MESSAGE_DOMAIN + bytes((kind,)) + body).hex(),
                "signature": msgspec.msgpack.decode(data)[3].hex(),
                "bytes": data.hex(),
            }
        )
    return {
        "chain_id": CHAIN.hex(),
        "households": {HOUSEHOLD: HOME.public_key.hex()},
        "collectors": [OPERATOR.public_key.hex()],
        "good": good,
        "refused": [
            {"what": what, "bytes": data.hex(), "code": refusal(data)} for what, data in refused().items()
        ],
    }


def refusal(data: bytes) -> str:
    """The code with which our own reader refuses a message."""
    try:
        open_message(data, kinds=tuple(Kind), **CONTEXT)  # type: ignore[arg-type]
    except RemoteError as error:
        return error.code
    raise AssertionError(f"{data.hex()} is taken")


def refused() -> dict[str, bytes]:
    """Encodings and contents that no reader may take."""
    order = OrderMessage(VERSION, CHAIN, START, MINUTES, HOUSEHOLD, 7, 1, 250, 231_000, 0)
    good = sign_message(HOME, order)
    body = encode(order)

    def signed(body: bytes, kind: int = 1, key: Identity = HOME, domain: bytes = MESSAGE_DOMAIN) -> bytes:
        signature = key.sign(domain, bytes([kind & 255]) + body)
        return encode(Signed(kind, body, key.public_key, signature))

    def changed(**fields: Any) -> bytes:
        return signed(encode(replace(order, **fields)))

    return {
        "nothing at all": b"",
        "a byte behind": good + b"\0",
        "a byte missing": good[:-1],
        "kind not in its shortest form": good[:1] + b"\xcc\x01" + good[2:],
        "body with a longer length form": good[:2] + b"\xc5\0" + good[3:],
        "array with a longer length form": b"\xdc\0\x04" + good[1:],
        "too large": good + bytes(1024),
        "a field more in the body": signed(b"\x9b" + body[1:] + b"\0"),
        "a field less in the body": signed(b"\x99" + body[1:-1]),
        "version not in its shortest form": signed(body[:1] + b"\xcc\x01" + body[2:]),
        "node as a signed number": signed(body[:-1] + b"\xd0\0"),
        "node as a float": signed(body[:-1] + b"\xcb" + bytes(8)),
        "node as a boolean": signed(body[:-1] + b"\xc2"),
        "node as nil": signed(body[:-1] + b"\xc0"),
        "node beyond 64 bits signed": signed(body[:-1] + b"\xcf" + b"\xff" * 8),
        "household as bytes": signed(body.replace(b"\xa7house-1", b"\xc4\x07house-1")),
        "household not in UTF-8": signed(body.replace(b"house-1", b"house-\xff")),
        "short key": encode(Signed(1, body, bytes(31), bytes(64))),
        "short signature": encode(Signed(1, body, HOME.public_key, bytes(63))),
        "unknown kind": signed(body, kind=99),
        "kind of another layout": signed(body, kind=2 + 1),
        "version 2": changed(version=2),
        "another chain": changed(chain_id=bytes(32)),
        "short chain id": changed(chain_id=CHAIN[:31]),
        "side 0": changed(side=0),
        "energy below 0": changed(energy_wh=-1),
        "energy above the limit": changed(energy_wh=DEFAULT_LIMITS.max_energy_wh + 1),
        "negative nonce": changed(nonce=-1),
        "no such length of an interval": changed(minutes=10),
        "start off the boundary": changed(interval_start=START + 1),
        "empty household": changed(household=""),
        "household of 65 bytes": changed(household="h" * 65),
        "unknown household": changed(household="house-9"),
        "signed by a stranger": signed(body, key=STRANGER),
        "signed under another domain": signed(body, domain=domains.SIGN_TX),
        "signature of another kind byte": encode(
            Signed(1, body, HOME.public_key, HOME.sign(MESSAGE_DOMAIN, b"\2" + body))
        ),
        "scalar of the signature plus the order of the group": good[:-32]
        + (int.from_bytes(good[-32:], "little") + GROUP_ORDER).to_bytes(32, "little"),
        "one bit of the signature": good[:-1] + bytes([good[-1] ^ 1]),
        "receipt by a household": sign_message(
            HOME, ReceiptMessage(VERSION, CHAIN, START, HOUSEHOLD, bytes(32), 0)
        ),
    }


def consensus() -> Vectors:
    """Votes and proposals."""
    name = bytes(range(32))
    made: list[Vote | Proposal] = []
    for kind in (blocks.PREVOTE, blocks.PRECOMMIT):
        made += [Vote(kind, 9, 2, voted, 3, b"") for voted in (name, None)]
    made += [Proposal(9, 2, name, valid_round, 3, b"", b"block", ()) for valid_round in (-1, 1)]
    found = []
    for unsigned in made:
        data = signed_bytes(unsigned, CHAIN)
        signature = AUTHORITIES[3].sign(domains.SIGN_CONSENSUS, data)
        message = replace(unsigned, signature=signature)
        found.append(
            {
                "type": type(message).__name__.lower(),
                "fields": plain(message),
                "sign_bytes": (domains.SIGN_CONSENSUS + data).hex(),
                "bytes": encode(message).hex(),
            }
        )
    return {"chain_id": CHAIN.hex(), "seed": AUTHORITIES[3].seed.hex(), "good": found}


def trees() -> Vectors:
    """Merkle trees of 0 to 17 leaves (data of leaf i: the byte i), and paths that are refused."""
    sizes = []
    for size in range(18):
        leaves = [merkle.leaf_hash(bytes([i])) for i in range(size)]
        paths = [b"".join(merkle.path(leaves, i)).hex() for i in range(size)]
        sizes.append({"size": size, "root": merkle.root(leaves).hex(), "paths": paths})
    path = sizes[11]["paths"][4]
    bad = {
        "index outside": (11, 11, path),
        "size too small": (4, 5, path),
        "size too large": (4, 17, path),
        "path too short": (4, 11, path[:-64]),
        "path too long": (4, 11, path + "00" * 32),
        "half a step": (4, 11, path[:-2]),
    }
    return {
        "good": sizes,
        "refused": [
            {"what": what, "leaf": 4, "index": index, "size": size, "path": steps}
            for what, (index, size, steps) in bad.items()
        ],
        "another_root": [
            {
                "what": "another index",
                "leaf": 4,
                "index": 5,
                "size": 11,
                "path": path,
                "root": sizes[11]["root"],
            }
        ],
    }


def settled(sender: Identity, state: State) -> tuple[list[bytes], Block, CommitCert, Tx]:
    """A block above a state with one batch, and the proofs of both households."""
    lines = np.zeros((GENESIS.members + len(SYSTEM_ACCOUNTS), len(COLUMNS)), dtype=np.int64)
    sold = {"export_wh": 250, "sold_wh": 250, "trade_nano": 57_750_000}
    bought = {"import_wh": 250, "bought_wh": 250, "trade_nano": -57_750_000}
    for row, values in enumerate((sold, bought)):
        for column, value in values.items():
            lines[row, COLUMNS.index(column)] = value
    postings = Postings(lines, GENESIS.members)
    batch = make_batch(postings, START, MASTER)
    args = batch_args(
        batch,
        postings,
        orders=2,
        book_root=bytes([1]) * 32,
        clearing_root=bytes([2]) * 32,
        price=PriceLine(200_000, 262_000, 231_000),
        traded_wh=250,
    )
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
    role = None if sender == OPERATOR else light.prove_role(state, sender.public_key)
    proofs = [light.make_proof(batch, i, block, cert, GENESIS, role=role) for i in range(GENESIS.members)]
    return proofs, block, cert, tx


def certified(header: Header, authorities: Sequence[Identity] = AUTHORITIES) -> CommitCert:
    """A certificate of all authorities for whatever header."""
    name = blocks.block_hash(header)
    data = blocks.vote_bytes(blocks.PRECOMMIT, CHAIN, header.height, 0, name)
    signatures = {i: one.sign(domains.SIGN_CONSENSUS, data) for i, one in enumerate(authorities)}
    return blocks.make_cert(header.height, 0, name, signatures, len(authorities))


def moved_on(bundle: ProofBundle, tx: Tx) -> ProofBundle:
    """The same line in block 2 by other authorities, whom those of the genesis announced in block 1."""
    keys = tuple(one.public_key for one in LATER)
    new = blocks.validators_hash(keys)
    announcing = replace(bundle.header, next_validators_hash=new)
    header = replace(
        announcing,
        height=2,
        parent_hash=blocks.block_hash(announcing),
        proposer_idx=2,
        validators_hash=new,
        tx_root=blocks.tx_root([tx]),
    )
    change = SetChange(announcing, certified(announcing), keys)
    return replace(bundle, tx=tx, header=header, cert=certified(header, LATER), changes=(change,))


def wrong_changes(moved: ProofBundle) -> dict[str, bytes]:
    """Proofs whose way from one set to the next does not hold."""
    (change,) = moved.changes
    unannounced = replace(change.header, next_validators_hash=change.header.validators_hash)
    first = AUTHORITIES[0].public_key
    return {
        "new authorities without the change": encode(replace(moved, changes=())),
        "a change to other authorities than were announced": encode(
            replace(moved, changes=(replace(change, validators=change.validators[::-1]),))
        ),
        "a change that was not announced": encode(
            replace(moved, changes=(replace(change, header=unannounced, cert=certified(unannounced)),))
        ),
        "a change that the new authorities signed themselves": encode(
            replace(moved, changes=(replace(change, cert=certified(change.header, LATER)),))
        ),
        "a change twice": encode(replace(moved, changes=(change, change))),
        "a batch by an authority that has left": encode(
            moved_on(moved_before(moved), blocks.sign_tx(AUTHORITIES[0], replace(moved.tx, sender=first)))
        ),
    }


def moved_before(moved: ProofBundle) -> ProofBundle:
    """A bundle as it was before the change."""
    (change,) = moved.changes
    header = replace(change.header, next_validators_hash=change.header.validators_hash)
    return replace(moved, header=header, cert=certified(header), changes=())


def chain() -> Vectors:
    """Genesis, transaction, header, certificate and proofs; the last two by an operator with a new key, by new authorities."""
    proofs, block, cert, tx = settled(OPERATOR, initial_state(GENESIS))
    moved = initial_state(replace(GENESIS, operators=(ROTATED.public_key,)))
    rotated, unproven = (settled(key, state)[0] for key, state in ((ROTATED, moved), (STRANGER, moved)))
    proofs.append(rotated[0])
    bundles = [msgspec.msgpack.decode(proof, type=ProofBundle) for proof in proofs]
    own, other, by_role = bundles
    role = by_role.role
    assert role is not None
    unproven_bundle = msgspec.msgpack.decode(unproven[0], type=ProofBundle)
    moved_bundle = moved_on(own, tx)
    bundles.append(moved_bundle)
    proofs.append(encode(moved_bundle))
    few = {0: cert.signatures[:64], 1: cert.signatures[64:128]}
    unsigned_tx = replace(own.tx, signature=bytes(64))
    unsigned_header = replace(own.header, tx_root=blocks.tx_root([unsigned_tx]))
    claimed = ((b"r" + STRANGER.public_key, encode(Role(0, -1))),)
    wrong = {
        "a transaction that its sender did not sign": encode(
            replace(own, tx=unsigned_tx, header=unsigned_header, cert=certified(unsigned_header))
        ),
        "a role that the state does not hold": encode(
            replace(
                by_role,
                tx=unproven_bundle.tx,
                header=unproven_bundle.header,
                cert=unproven_bundle.cert,
                role=replace(role, bucket=replace(role.bucket, entries=claimed)),
            )
        ),
        "another one's salt": encode(replace(own, salt=other.salt)),
        "another one's path": encode(replace(own, batch_path=other.batch_path)),
        "two signatures of four": encode(
            replace(own, cert=blocks.make_cert(1, 0, cert.block_hash, few, len(AUTHORITIES)))
        ),
        "a signature twice": encode(
            replace(own, cert=replace(own.cert, signatures=own.cert.signatures[:64] * 3))
        ),
        "a bit of an authority that is none": encode(replace(own, cert=replace(own.cert, bitmap=b"\x17"))),
        "another header": encode(replace(own, header=replace(own.header, time_ms=own.header.time_ms + 1))),
        "a sender whose role is not proven": encode(replace(by_role, role=None)),
        "a sender without a role": unproven[0],
        "a role with a sibling less": encode(
            replace(
                by_role, role=replace(role, bucket=replace(role.bucket, siblings=role.bucket.siblings[32:]))
            )
        ),
        "a transaction by a household": encode(replace(own, tx=blocks.sign_tx(HOME, own.tx))),
        "a version that is none": encode(replace(own, version=1)),
        "a byte behind": proofs[0] + b"\0",
        **wrong_changes(moved_bundle),
    }
    unsigned = tuple(getattr(tx, field) for field in tx.__struct_fields__[:-1])
    return {
        "genesis": {"bytes": encode(GENESIS).hex(), "chain_id": CHAIN.hex()},
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


VECTORS: dict[str, Callable[[], Vectors]] = {
    "frames": frames,
    "messages": messages,
    "consensus": consensus,
    "merkle": trees,
    "chain": chain,
    "records": lambda: records(plain),
}
"""File name without suffix -> what makes its content."""


def text_of(name: str) -> str:
    """The content of one file."""
    return json.dumps(VECTORS[name](), indent=1) + "\n"


if __name__ == "__main__":
    for one in VECTORS:
        (FOLDER / f"{one}.json").write_text(text_of(one), encoding="utf-8")
        sys.stdout.write(f"{one}.json\n")
