"""Everything that reads bytes of others: what it takes, right inputs for it, and which errors it may raise."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from market.rounds import Tape
from p2p.batches.batch import batch_tx, decode_entry
from p2p.batches.blob import make_blob, open_blob
from p2p.batches.closings import (
    Promised,
    check_broken_promise,
    check_closing,
    decode_closing,
    make_broken_promise,
    make_closing,
)
from p2p.batches.receipts import check_omission, include, make_omission
from p2p.batches.standing import standing_after, with_standing
from p2p.blocks import block as blocks
from p2p.blocks.block import Block, Tx, sign_tx
from p2p.blocks.genesis import Genesis, decode_genesis
from p2p.blocks.members import Members
from p2p.consensus.evidence import check_evidence, make_evidence
from p2p.errors import GenesisError, KeyFileError, RemoteError
from p2p.ledger.checkpoint import checkpoint_bytes, open_checkpoint
from p2p.ledger.execution import check_block, genesis_tip
from p2p.ledger.light import check_batch_proof, check_proof, proof_from_json
from p2p.ledger.producer import Producer
from p2p.ledger.state import apply, check_tx
from p2p.ledger.store import ChainStore
from p2p.roles.exchange.tape import TapeQuery, TapeReader, make_pages, read_tape_query
from p2p.roles.exchange.wire import Position, ask_slot, read_position, read_slot_query
from p2p.roles.replica.ledger import Ledger
from p2p.roles.replica.snapshot import make_snapshot, open_snapshot
from p2p.wire.codec import decode, encode
from p2p.wire.frames import FRAME_MAX_BYTES
from p2p.wire.keystore import Lock, open_keystore, public_keys, write_keystore
from p2p.wire.limits import Limits
from p2p.wire.messages import (
    VERSION,
    Kind,
    LineQueryMessage,
    NothingMessage,
    OrderMessage,
    ReadingMessage,
    ReceiptCode,
    ReceiptMessage,
    Signed,
    household_of,
    lasting,
    message_id,
    open_message,
    order_line,
    sign_message,
    signer_of,
)
from tests.fuzz.values import all_records, encoded, value_of
from tests.kits.chain_kit import (
    MASTER,
    OPERATOR,
    START,
    Made,
    authorities,
    batch_in,
    extend,
    identity,
    line_proof,
    make_args,
    make_genesis,
)
from tests.kits.evidence_kit import proposal, vote
from wattswap.errors import WattswapError
from wattswap.nodes.config import load_config

ROSTER = tuple(f"house-{i}" for i in range(5))
HOMES = {name: identity("household", name) for name in ROSTER}
KEYS = {name: key.public_key for name, key in HOMES.items()}
STREET = Members(ROSTER, tuple(KEYS.values()))


@dataclass(frozen=True)
class Target:
    """A reader.

    Args:
        name: For people and files.
        read: Takes the bytes; returns the canonical bytes of what it read, or None where there are none.
        seeds: Right inputs.
        raises: Errors that it may raise.
    """

    name: str
    read: Callable[[bytes], bytes | None]
    seeds: tuple[bytes, ...]
    raises: tuple[type[Exception], ...] = (RemoteError,)


def attempt(target: Target, data: bytes) -> str:
    """Let a target read an input; return the code of the refusal, or "" where it took it.

    Raises:
        Exception: Anything that the target may not raise, and where it took other bytes than the canonical ones.
    """
    try:
        again = target.read(data)
    except target.raises as error:
        code = getattr(error, "code", type(error).__name__)
        assert isinstance(code, str)
        assert code
        return code
    assert again is None or again == data, "it read bytes that are not the encoding of what it read"
    return ""


def record_targets(rng: random.Random, seeds: int = 8) -> Iterator[Target]:
    """The bare decoding of every record."""
    for kind in all_records():
        made = tuple(encoded(value_of(rng, kind)) for _ in range(seeds))
        yield Target(f"record {kind.__module__}.{kind.__name__}", partial(_again, kind), made)


def _again(kind: type[Any], data: bytes) -> bytes:
    return encoded(decode(kind, data, max_bytes=FRAME_MAX_BYTES))


def checked_targets(folder: Path) -> Iterator[Target]:
    """The readers that check more than the structure; `folder` is for a chain and files."""
    made = _chain(folder)
    genesis, messages = made.genesis, _messages(made.genesis)
    yield Target("message", partial(_open_message, genesis), messages)
    bodies = tuple(bytes((sent.kind,)) + sent.body for sent in (decode(Signed, data) for data in messages))
    yield Target("signed body", partial(_signed, genesis), bodies)
    yield Target("household_of", lambda data: _ignore(household_of(data)), messages)
    yield Target("signer_of", lambda data: _ignore(signer_of(data)), messages)
    yield from _chain_targets(made)
    blob = _blob(genesis, messages)
    yield Target("blob", partial(_open_blob, genesis), (blob, _missed(genesis, blob)))
    yield Target(
        "omission", lambda data: _ignore(check_omission(data, genesis)), (_omission(genesis, messages),)
    )
    yield Target("closing", partial(_closing, genesis), _closings(genesis))
    yield Target(
        "broken promise",
        lambda data: _ignore(check_broken_promise(data, genesis)),
        (_broken_promise(genesis, messages),),
    )
    yield from _round_targets(genesis)
    yield Target("genesis", lambda data: encode(decode_genesis(data)), (encode(genesis),), (GenesisError,))
    yield _keystore(folder)
    yield _config(folder)


def _ignore(_value: object) -> None:
    """For readers whose value is not written back."""


def _chain(folder: Path) -> Made:
    """Three intervals of a chain whose households have keys."""
    genesis = msgspec.structs.replace(make_genesis(), members_root=STREET.root)
    store = ChainStore.create(folder / "seed.db", genesis)
    made = Made(genesis, store, Producer(genesis, authorities(4), OPERATOR, store), [], [])
    extend(made, 0, 3)
    return made


def _messages(genesis: Genesis) -> tuple[bytes, ...]:
    head = VERSION, genesis.chain_id, START
    made: list[bytes] = []
    for nonce, name in enumerate(ROSTER, start=1):
        key = HOMES[name]
        order = OrderMessage(*head, 15, name, nonce, 0, (order_line((-1) ** nonce, 250, 200_000),))
        nothing = NothingMessage(*head, 15, name, nonce, 0)
        made.append(sign_message(key, order if nonce % 2 else nothing))
        made.append(sign_message(key, ReadingMessage(*head, 15, name, nonce, 300, 0, 0)))
    made.append(sign_message(HOMES["house-0"], LineQueryMessage(*head, 15, "house-0", 9, 0)))
    opened = open_message(
        made[0], chain_id=genesis.chain_id, kinds=(Kind.ORDER, Kind.NOTHING), key_of=lasting(KEYS)
    )
    receipt = ReceiptMessage(*head, "house-0", message_id(opened), ReceiptCode.ACCEPTED)
    made.append(sign_message(OPERATOR, receipt))
    return tuple(made)


def _open_message(genesis: Genesis, data: bytes) -> None:
    open_message(
        data,
        chain_id=genesis.chain_id,
        kinds=tuple(Kind),
        key_of=lasting(KEYS),
        collector_keys=(OPERATOR.public_key,),
        limits=genesis.params.limits,
    )


def _blob(genesis: Genesis, messages: tuple[bytes, ...]) -> bytes:
    return make_blob(ROSTER, START, MASTER[:32], messages[2:9], map(decode_closing, _closings(genesis)))


def _missed(genesis: Genesis, before: bytes) -> bytes:
    """The interval after a blob's, in which its orders stand."""
    standing = standing_after(before, genesis, STREET)
    return with_standing(make_blob(ROSTER, standing.interval_start, MASTER[:32], ()), standing)


def _closings(genesis: Genesis) -> tuple[bytes, ...]:
    """Two validators close both slots."""
    promised = (Promised(1, 2), Promised(4, 5))
    return tuple(
        encode(make_closing(key, genesis.chain_id, START, slot, promised))
        for slot in (0, 1)
        for key in authorities(2)
    )


def _closing(genesis: Genesis, data: bytes) -> bytes:
    closing = decode_closing(data)
    check_closing(closing, genesis.chain_id)
    return encode(closing)


def _broken_promise(genesis: Genesis, messages: tuple[bytes, ...]) -> bytes:
    """The key of the operator promised the order of the first household and closes without it."""
    closing = make_closing(OPERATOR, genesis.chain_id, START, 0, (Promised(1, 2),))
    proof = make_broken_promise(messages[11], messages[0], STREET.proof(0), closing)
    assert check_broken_promise(proof, genesis) == (OPERATOR.public_key, START)
    return proof


def _open_blob(genesis: Genesis, data: bytes) -> None:
    open_blob(data, genesis, STREET)


def _round_targets(genesis: Genesis) -> Iterator[Target]:
    """What homes and collectors ask and answer between rounds."""
    chain, limits, rows = genesis.chain_id, Limits(rounds=3), np.arange(3)
    tape = Tape(rows, np.array([1, -1, 1]), rows + 5, rows - 1, rows, rows * 7, rows > 1)
    reader = TapeReader(chain, limits, len(ROSTER))
    pages = make_pages(chain, START, 2, tape)
    yield Target("tape page", lambda data: encode(reader.read(data, START, 2, 0)), pages)
    query = encode(TapeQuery(VERSION, chain, START, 2, 0))
    yield Target("tape query", lambda data: encode(read_tape_query(data, chain, 3)), (query,))
    question = ask_slot(chain, START, 2)
    yield Target("slot query", lambda data: ask_slot(chain, *read_slot_query(data, chain, 3)), (question,))
    position = encode(Position(VERSION, chain, START, 2, 250, 0))
    yield Target("position", lambda data: _ignore(read_position(data, chain, START, 2, 10**6)), (position,))


def _omission(genesis: Genesis, messages: tuple[bytes, ...]) -> bytes:
    """The collector promised the order of the first household and left it out."""
    tree = include(ROSTER, [], MASTER)
    args = msgspec.structs.replace(make_args(0)[1], inclusion_root=tree.root)
    tx = batch_tx(OPERATOR, genesis.chain_id, 1, 10, args)
    proof = make_omission(messages[11], messages[0], STREET.proof(0), tree.opening(0), tx)
    assert check_omission(proof, genesis) == (OPERATOR.public_key, START)
    return proof


def _chain_targets(made: Made) -> Iterator[Target]:
    genesis = made.genesis
    held = [(block, cert) for block, cert in made.blocks]
    raw = tuple(encode(block) for block, _ in held)
    certs = tuple(encode(cert) for _, cert in held)
    txs = tuple(block.txs[0].raw for block, _ in held)
    proofs = tuple(
        line_proof(batch, account, block, cert, genesis)
        for account, (batch, (block, cert)) in enumerate(zip(made.batches, held, strict=True))
    )
    ledger = Ledger(ChainStore.create(made.store.path.with_name("follower.db"), genesis), genesis, 1)
    for block, cert in held:
        ledger.append(block, cert)
    args = tuple(block.txs[0].args for block, _ in held)
    yield Target("block", partial(_block, genesis), raw)
    yield Target("certificate", lambda data: _certificate(genesis, data), certs)
    yield Target("transaction", lambda data: _transaction(genesis, data), txs)
    yield Target("batch arguments", lambda data: _batch(genesis, data), args)
    yield Target("proof bundle", lambda data: _ignore(check_proof(data, genesis)), proofs)
    yield Target(
        "batch proof",
        lambda data: _ignore(check_batch_proof(data, genesis)),
        tuple(map(batch_in, proofs)),
    )
    yield Target("proof JSON", _proof_json, (b'{"format": "wattswap-proof-1", "bundle": "AAAA"}', b"[]"))
    yield Target(
        "checkpoint",
        lambda data: checkpoint_bytes(open_checkpoint(data, genesis)),
        (checkpoint_bytes(ledger.tip),),
    )
    snapshot = make_snapshot(ledger)
    assert snapshot is not None
    yield Target("snapshot", lambda data: _ignore(open_snapshot(data, genesis)), (snapshot[1],))
    yield Target("evidence", lambda data: _evidence(genesis, data), _pairs(genesis))
    yield Target("entry", lambda data: _ignore(decode_entry(data)), (bytes(40), bytes(120)))
    ledger.store.close()
    made.store.close()


def _block(genesis: Genesis, data: bytes) -> bytes:
    block: Block = blocks.decode_block(data, genesis.chain_id)
    check_block(genesis_tip(genesis), genesis, block)
    return encode(block)


def _certificate(genesis: Genesis, data: bytes) -> bytes:
    cert = blocks.decode_cert(data)
    blocks.check_cert(cert, genesis.authorities, genesis.chain_id)
    blocks.had_turn(0, cert.height, cert.round, len(genesis.authorities))
    return encode(cert)


def _transaction(genesis: Genesis, data: bytes) -> bytes:
    tx = decode(Tx, data, max_bytes=blocks.MAX_TX_BYTES)
    check_tx(genesis_tip(genesis).state, tx, 1, genesis)
    return encode(tx)


def _batch(genesis: Genesis, data: bytes) -> None:
    """Arguments that the operator did sign."""
    tx = Tx(1, genesis.chain_id, OPERATOR.public_key, 1, 10, "settlement", "batch", data, b"")
    apply(genesis_tip(genesis).state, sign_tx(OPERATOR, tx), 1, genesis)


def _signed(genesis: Genesis, data: bytes) -> None:
    """A body, after its kind byte, that household or operator did sign."""
    kind = data[0] if data else 0
    key = OPERATOR if kind == Kind.RECEIPT else HOMES["house-0"]
    signature = key.sign(b"wattswap/msg/1\0", data)
    _open_message(genesis, encode(Signed(kind, data[1:], key.public_key, signature)))


def _proof_json(data: bytes) -> None:
    proof_from_json(data.decode("utf-8", "replace"))


def _pairs(genesis: Genesis) -> tuple[bytes, ...]:
    keys, chain = authorities(4), genesis.chain_id
    return (
        make_evidence(vote(keys[1], 1, chain, 5, 0, b"a" * 32), vote(keys[1], 1, chain, 5, 0, b"b" * 32)),
        make_evidence(
            proposal(keys[2], 2, chain, 6, 0, b"a" * 32), proposal(keys[2], 2, chain, 6, 0, b"b" * 32)
        ),
    )


def _evidence(genesis: Genesis, data: bytes) -> None:
    check_evidence(data, genesis.authorities, genesis.chain_id)


def _keystore(folder: Path) -> Target:
    lock = Lock.new_key_file(folder / "unlock.key")
    path = folder / "keystore.json"
    write_keystore(path, {"consensus": OPERATOR, "household/a": HOMES["house-0"]}, lock)
    right = path.read_bytes()

    def read(data: bytes) -> None:
        path.write_bytes(data)
        public_keys(path)
        open_keystore(path, lock)

    return Target("keystore", read, (right,), (KeyFileError,))


_CONFIG = b"""schema = 1
role = "validator"
name = "validator-0"
scenario = "scenario/scenario.json"

[listen]
port = 4001

[keystore]
key_file = "keystore.key"

[clock]
begin_unix_ms = 1800000000000
pace_s = 10
gate_s = 4
takeover_s = 1.5

[[peers]]
name = "validator-1"
role = "validator"
public_key = "abababababababababababababababababababababababababababababababab"
address = "/ip4/127.0.0.1/tcp/4002/p2p/12D3KooWCDN6r4FK2FyK1DvhR21c7XBn6x99niVZLFpDWEeBhp7C"
"""


def _config(folder: Path) -> Target:
    home = folder / "node"
    home.mkdir()

    def read(data: bytes) -> None:
        (home / "config.toml").write_bytes(data)
        load_config(home)

    return Target("node config", read, (_CONFIG,), (WattswapError,))
