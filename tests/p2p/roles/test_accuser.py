"""Proofs against collectors at a validator: what proves something is put on the chain, what does not is counted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import trio

from p2p.batches.batch import BatchArgs, batch_tx
from p2p.blocks.block import MAX_TX_BYTES, Tx, make_tx
from p2p.errors import RemoteError
from p2p.ledger.modules import evidence
from p2p.ledger.modules.evidence import ProofArgs, TwoBatchesArgs, check_two_batches
from p2p.ledger.modules.governance import ApproveArgs
from p2p.ledger.store import ChainStore
from p2p.roles.exchange.wire import EVIDENCE_PROTOCOL, Accusation
from p2p.roles.replica.ledger import Ledger
from p2p.roles.validator import accuser
from p2p.roles.validator.accuser import SEEN_MAX, WRONG_MAX, Accuser
from p2p.roles.validator.mempool import Mempool, PoolFull, TxReply
from p2p.transports.base import RequestRefused, peer_id_of
from p2p.transports.memory import MemoryEndpoint, MemoryNetwork
from p2p.wire.codec import decode, encode
from p2p.wire.identity import Identity
from p2p.wire.messages import VERSION
from tests.kits.chain_kit import OPERATOR, START, STEP, authorities, identity
from tests.kits.gateway_kit import run
from tests.kits.proofs_kit import broken_promise, omission, two_batches
from tests.kits.signed_kit import RIVAL, key_of, keyed_genesis
from tests.kits.time_kit import time_passes
from tests.kits.validator_kit import Town, in_town
from tests.kits.validator_kit import make_tx as make_batch_tx

GENESIS = keyed_genesis(4)
KEYS = authorities(4)
VALIDATOR = KEYS[0]
PEER = peer_id_of(VALIDATOR.public_key)
STRANGER = identity("stranger", "0")
OUTSIDER = identity("stranger", "no member")
"""A key whose proofs are not checked."""


class Place:
    """A validator that takes proofs, with its mempool.

    Attributes:
        full: Whether the mempool has no room.
    """

    def __init__(self, node: MemoryEndpoint, ledger: Ledger, identity: Identity) -> None:
        self.node, self.ledger, self.mempool = node, ledger, Mempool(GENESIS)
        self.full = False
        self.accuser = Accuser(
            node, identity, ledger, self.submit, lambda peer: peer != peer_id_of(OUTSIDER.public_key)
        )

    def submit(self, data: bytes) -> TxReply:
        if self.full:
            return TxReply(VERSION, PoolFull.code, "5,000 transactions wait already")
        try:
            self.mempool.add(data, self.ledger.tip)
        except RemoteError as error:
            return TxReply(VERSION, error.code, error.detail)
        return TxReply(VERSION, "", "")

    @property
    def accusations(self) -> list[Tx]:
        """Transactions that wait to be put into a block."""
        return list(self.mempool.ready())


@asynccontextmanager
async def place(folder: Path, identity: Identity = VALIDATOR) -> AsyncIterator[tuple[Place, MemoryNetwork]]:
    network = MemoryNetwork()
    with ChainStore.create(folder / "chain.db", GENESIS) as store:
        async with network.endpoint(identity) as node:
            yield Place(node, Ledger(store, GENESIS), identity), network


def with_place(
    folder: Path, body: Callable[[Place, MemoryNetwork], Awaitable[None]], identity: Identity = VALIDATOR
) -> None:
    async def main() -> None:
        async with place(folder, identity) as (here, network):
            await body(here, network)

    run(main)


async def send(
    network: MemoryNetwork,
    *proofs: tuple[str, bytes],
    chain_id: bytes = GENESIS.chain_id,
    by: Identity = STRANGER,
) -> list[str]:
    """Send proofs and return the codes of the refusals; "" where one was taken."""
    codes = []
    async with network.endpoint(by) as node:
        for method, proof in proofs:
            try:
                frame = encode(Accusation(VERSION, chain_id, method, proof))
                reply = await node.request(PEER, EVIDENCE_PROTOCOL, frame)
            except RequestRefused as error:
                codes.append(error.code)
            else:
                assert reply == b""
                codes.append("")
    return codes


PROOFS = {
    evidence.OMISSION: omission(GENESIS, OPERATOR),
    evidence.BROKEN_PROMISE: broken_promise(GENESIS, KEYS[2]),
}


@pytest.mark.parametrize("method", PROOFS)
def test_a_proof_of_anybody_becomes_a_transaction_of_the_validator(tmp_path: Path, method: str) -> None:
    async def body(here: Place, network: MemoryNetwork) -> None:
        assert await send(network, (method, PROOFS[method])) == [""]
        (tx,) = here.accusations
        assert (tx.sender, tx.module, tx.method) == (VALIDATOR.public_key, evidence.NAME, method)
        assert decode(ProofArgs, tx.args, max_bytes=MAX_TX_BYTES) == ProofArgs(PROOFS[method])
        assert here.node.stats.refused.counts == {}

    with_place(tmp_path, body)


def test_the_same_proof_again_makes_no_second_transaction(tmp_path: Path) -> None:
    async def body(here: Place, network: MemoryNetwork) -> None:
        proof = evidence.OMISSION, PROOFS[evidence.OMISSION]
        assert await send(network, proof, proof) == ["", ""]
        assert len(here.accusations) == 1

    with_place(tmp_path, body)


def test_another_proof_against_the_same_key_makes_no_second_transaction(tmp_path: Path) -> None:
    """The chain would refuse it once the first one is in a block."""

    async def body(here: Place, network: MemoryNetwork) -> None:
        proofs = [omission(GENESIS, OPERATOR, START + number * STEP) for number in range(3)]
        assert await send(network, *[(evidence.OMISSION, proof) for proof in proofs]) == [""] * 3
        assert len(here.accusations) == 1

    with_place(tmp_path, body)


def test_proofs_against_several_collectors_wait_beside_each_other(tmp_path: Path) -> None:
    """Also where the node has another transaction under way."""

    async def body(here: Place, network: MemoryNetwork) -> None:
        other = make_tx_of(here.ledger)
        assert here.submit(other.raw).code == ""
        assert await send(network, *PROOFS.items(), *PROOFS.items()) == [""] * 4
        assert [tx.nonce for tx in here.accusations] == [1, 2, 3]
        assert [tx.method for tx in here.accusations[1:]] == list(PROOFS)

    with_place(tmp_path, body)


def make_tx_of(ledger: Ledger) -> Tx:
    """A transaction of the validator that is no accusation."""
    args = ApproveArgs(1)
    return make_tx(VALIDATOR, ledger.genesis.chain_id, 1, 100, "governance", "approve", args)


def test_a_proof_against_a_key_without_an_office_makes_no_transaction(tmp_path: Path) -> None:
    """Anybody can sign a receipt and a batch with a key of his own; it would take a nonce of the validator."""

    async def body(here: Place, network: MemoryNetwork) -> None:
        strange = omission(GENESIS, STRANGER)
        (code,) = await send(network, (evidence.OMISSION, strange))
        assert code == "evidence_office"
        assert here.accusations == []

    with_place(tmp_path, body)


def test_a_node_that_is_no_validator_accuses_nobody(tmp_path: Path) -> None:
    async def body(here: Place, _network: MemoryNetwork) -> None:
        for tx in two_batches(GENESIS, OPERATOR):
            here.accuser.compare(tx, decode(BatchArgs, tx.args, max_bytes=MAX_TX_BYTES))
        assert here.accusations == []

    with_place(tmp_path, body, STRANGER)


NOTHING = {
    "noise": (evidence.OMISSION, b"noise", "malformed"),
    "another method": (evidence.BROKEN_PROMISE, PROOFS[evidence.OMISSION], "malformed"),
    "no method": ("jail", PROOFS[evidence.OMISSION], "out_of_range"),
    "two batches": (
        evidence.TWO_BATCHES,
        encode(TwoBatchesArgs(*two_batches(GENESIS, OPERATOR))),
        "out_of_range",
    ),
    "another chain": (
        evidence.OMISSION,
        omission(keyed_genesis(4, "another street"), OPERATOR),
        "wrong_chain",
    ),
    "one bit": (
        evidence.OMISSION,
        PROOFS[evidence.OMISSION][:-1] + bytes((PROOFS[evidence.OMISSION][-1] ^ 1,)),
        "wrong_signature",
    ),
}


@pytest.mark.parametrize("what", NOTHING)
def test_what_proves_nothing_is_refused_with_its_code_and_counted(tmp_path: Path, what: str) -> None:
    method, proof, code = NOTHING[what]

    async def body(here: Place, network: MemoryNetwork) -> None:
        found = await send(network, (method, proof))
        assert found[0] == code
        assert here.accusations == []
        assert here.node.stats.refused.total(code) == 1

    with_place(tmp_path, body)


def test_a_peer_with_too_many_proofs_of_nothing_is_not_checked_any_more(tmp_path: Path) -> None:
    async def body(here: Place, network: MemoryNetwork) -> None:
        wrong, right = (evidence.OMISSION, b"noise"), (evidence.OMISSION, PROOFS[evidence.OMISSION])
        codes = await send(network, *[wrong] * WRONG_MAX, wrong, right)
        assert codes == ["malformed"] * WRONG_MAX + ["rate_limited"] * 2
        assert here.accusations == []
        assert await send(network, right, by=key_of("house-1")) == [""], "others are checked"
        assert len(here.accusations) == 1

    with_place(tmp_path, body)


def test_the_peers_with_proofs_of_nothing_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys cost nothing: each new one would be another few proofs to check."""
    monkeypatch.setattr(accuser, "PEERS_MAX", 2)

    async def body(here: Place, network: MemoryNetwork) -> None:
        wrong = evidence.OMISSION, b"noise"
        peers = [key_of(f"house-{number}") for number in range(4)]
        codes = [await send(network, wrong, by=peer) for peer in peers]
        assert codes == [["malformed"]] * 2 + [["rate_limited"]] * 2
        assert await send(network, wrong, by=peers[0]) == ["malformed"]
        assert len(here.accuser._wrong) == 2

    with_place(tmp_path, body)


def test_a_peer_whose_proofs_hold_may_send_many(tmp_path: Path) -> None:
    async def body(_here: Place, network: MemoryNetwork) -> None:
        right = evidence.OMISSION, PROOFS[evidence.OMISSION]
        assert await send(network, *[right] * (2 * WRONG_MAX)) == [""] * 2 * WRONG_MAX

    with_place(tmp_path, body)


def test_a_proof_for_which_there_is_no_room_is_no_wrong_one_and_is_taken_later(tmp_path: Path) -> None:
    async def body(here: Place, network: MemoryNetwork) -> None:
        right = evidence.OMISSION, PROOFS[evidence.OMISSION]
        here.full = True
        assert await send(network, *[right] * (WRONG_MAX + 1)) == ["not_queued"] * (WRONG_MAX + 1)
        assert here.accusations == []
        here.full = False
        assert await send(network, right) == [""]
        assert len(here.accusations) == 1

    with_place(tmp_path, body)


def test_proofs_of_a_peer_that_is_no_member_are_not_checked(tmp_path: Path) -> None:
    async def body(here: Place, network: MemoryNetwork) -> None:
        right = evidence.OMISSION, PROOFS[evidence.OMISSION]
        assert await send(network, right, by=OUTSIDER) == ["not_allowed"]
        assert here.accusations == []

    with_place(tmp_path, body)


def test_an_accusation_of_another_chain_counts_against_its_sender(tmp_path: Path) -> None:
    async def body(here: Place, network: MemoryNetwork) -> None:
        right = evidence.OMISSION, PROOFS[evidence.OMISSION]
        codes = await send(network, *[right] * (WRONG_MAX + 1), chain_id=bytes(32))
        assert codes == ["wrong_chain"] * WRONG_MAX + ["rate_limited"]
        assert here.accusations == []

    with_place(tmp_path, body)


# --- two batches ------------------------------------------------------------------------------------------


def compare(here: Place, *txs: Tx) -> None:
    for tx in txs:
        here.accuser.compare(tx, decode(BatchArgs, tx.args, max_bytes=MAX_TX_BYTES))


def test_two_batches_of_one_key_that_were_seen_become_a_transaction(tmp_path: Path) -> None:
    async def body(here: Place, _network: MemoryNetwork) -> None:
        first, second = two_batches(GENESIS, OPERATOR)
        compare(here, first)
        assert here.accusations == []
        compare(here, second, second, first)
        (tx,) = here.accusations
        args = decode(TwoBatchesArgs, tx.args, max_bytes=MAX_TX_BYTES)
        assert (tx.sender, tx.method) == (VALIDATOR.public_key, evidence.TWO_BATCHES)
        assert check_two_batches(args.first, args.second, GENESIS.chain_id) == (OPERATOR.public_key, START)

    with_place(tmp_path, body)


def test_the_same_batch_again_under_another_nonce_accuses_nobody(tmp_path: Path) -> None:
    """A collector sends it again until it is decided."""

    async def body(here: Place, _network: MemoryNetwork) -> None:
        first, _ = two_batches(GENESIS, OPERATOR)
        args = decode(BatchArgs, first.args, max_bytes=MAX_TX_BYTES)
        again = batch_tx(OPERATOR, GENESIS.chain_id, 2, 300, args)
        assert again.raw != first.raw
        compare(here, first, again, first)
        assert here.accusations == []

    with_place(tmp_path, body)


def test_batches_of_different_keys_or_intervals_accuse_nobody(tmp_path: Path) -> None:
    async def body(here: Place, _network: MemoryNetwork) -> None:
        mine, _ = two_batches(GENESIS, OPERATOR)
        _, later = two_batches(GENESIS, OPERATOR, START + STEP)
        _, other = two_batches(GENESIS, RIVAL)
        compare(here, mine, later, other)
        assert here.accusations == []

    with_place(tmp_path, body)


def test_the_batches_that_are_remembered_are_bounded(tmp_path: Path) -> None:
    async def body(here: Place, _network: MemoryNetwork) -> None:
        for number in range(SEEN_MAX + 20):
            compare(here, two_batches(GENESIS, identity("stranger", str(number)))[0])
        assert len(here.accuser._seen) == SEEN_MAX

    with_place(tmp_path, body)


def test_an_operator_with_two_batches_of_an_interval_loses_its_office(tmp_path: Path) -> None:
    """At running validators, whichever of both settles the interval, if any does."""

    async def body(town: Town) -> None:
        first, blob = make_batch_tx(town.genesis, 0)
        args = decode(BatchArgs, first.args, max_bytes=MAX_TX_BYTES)
        other = batch_tx(OPERATOR, town.genesis.chain_id, 2, 1_000, msgspec.structs.replace(args, orders=9))
        town.operator_blobs.put(blob, START)
        assert town.validators[0].ledger.tip.state.operators == (OPERATOR.public_key,)
        for to in range(4):
            for tx in (first, other):
                await town.hand_in(tx.raw, to)
        with trio.fail_after(60):
            while any(v.ledger.tip.state.operators for v in town.validators.values()):
                await time_passes(0.5)
        town.agree()

    in_town(tmp_path, body)
