"""A home that has rotated its key: which key signs which of its messages, and who may ask for its figures."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path

import base58
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from p2p.batches.blob import make_blob, open_blob
from p2p.batches.receipts import check_omission, include, make_omission
from p2p.blocks.possession import prove_possession
from p2p.errors import Malformed, UnknownHousehold, WrongSignature
from p2p.ledger.modules.accounts import EnterArgs, RotateArgs
from p2p.ledger.modules.evidence import ProofArgs
from p2p.ledger.state import State, initial_state
from p2p.roles.collector.home_keys import HomeKeys
from p2p.roles.collector.operator import Operator
from p2p.roles.exchange.journal import Journal, SignedOtherwise
from p2p.roles.exchange.wire import EARLY_ENTRY, LINE_PROTOCOL, LINES_PROTOCOL, ask
from p2p.transports.base import RequestRefused, peer_id_of, public_key_of
from p2p.transports.memory import MemoryNetwork
from p2p.wire.identity import Identity
from p2p.wire.messages import (
    VERSION,
    Kind,
    LineQueryMessage,
    ReceiptCode,
    content_of,
    sign_message,
    signer_of,
)
from tests.kits.chain_kit import OPERATOR, START, STEP, make_args
from tests.kits.gateway_kit import receipt_in, send_batch
from tests.kits.modules_kit import Chain, refused
from tests.kits.settled_kit import OpenGates
from tests.kits.signed_kit import (
    MINUTES,
    batch_of,
    homes,
    key_of,
    keyed_genesis,
    names,
    order,
    receipt,
)

MEMBERS, HOME = 4, 2
GENESIS, ROSTER = keyed_genesis(MEMBERS), names(MEMBERS)
NAME = ROSTER[HOME]
OLD, NEW, NEXT, STRANGER = key_of(NAME), key_of("new"), key_of("next"), key_of("stranger")
SIGNS_S = START + 4 * STEP
"""Start of the first interval whose messages the new key signs: the first interval is settled."""


def rotated_chain() -> Chain:
    chain = Chain(GENESIS)
    chain.call(OLD, "accounts.enter", EnterArgs(homes(MEMBERS).proof(HOME)))
    chain.call(OPERATOR, "settlement.batch", make_args(0, MEMBERS)[1])
    rotate(chain, OLD, NEW)
    return chain


def rotate(chain: Chain, old: Identity, new: Identity) -> None:
    proof = prove_possession(new, GENESIS.chain_id, old.public_key)
    chain.call(old, "accounts.rotate_key", RotateArgs(new.public_key, proof))


CHAIN = rotated_chain()
STATE: State = CHAIN.tip.state
KEYS = HomeKeys(homes(MEMBERS), lambda: STATE)
BY_INTERVAL = pytest.mark.parametrize(
    ("key", "start_s", "may"),
    [
        (OLD, SIGNS_S - STEP, True),
        (NEW, SIGNS_S - STEP, False),
        (OLD, SIGNS_S, False),
        (NEW, SIGNS_S, True),
        (NEW, SIGNS_S + 100 * STEP, True),
        (STRANGER, SIGNS_S, False),
    ],
)


def signed_by(key: Identity, start_s: int, nonce: int = 4) -> bytes:
    return sign_message(key, order(GENESIS, NAME, nonce, start_s))


@BY_INTERVAL
def test_a_message_in_a_blob_is_signed_by_the_key_of_its_interval(
    key: Identity, start_s: int, may: bool
) -> None:
    blob = make_blob(ROSTER, start_s, bytes(32), [signed_by(key, start_s)])
    if may:
        assert len(open_blob(blob, GENESIS, homes(MEMBERS), STATE.home_key).orders) == 1
        return
    with pytest.raises(WrongSignature):
        open_blob(blob, GENESIS, homes(MEMBERS), STATE.home_key)


@BY_INTERVAL
def test_a_collector_takes_the_messages_of_the_key_of_their_interval(
    key: Identity, start_s: int, may: bool
) -> None:
    async def main() -> None:
        network = MemoryNetwork()
        async with network.endpoint(OPERATOR) as node, network.endpoint(STRANGER) as sender:
            operator = Operator(node, OPERATOR, GENESIS.chain_id, ROSTER, KEYS, MINUTES, OpenGates())
            (entry,) = await send_batch(sender, node.peer_id, GENESIS, [signed_by(key, start_s)])
            assert (entry == b"!wrong_signature") is not may
            assert operator.present(start_s, 0) == ({(0, HOME): 4} if may else {})

    trio.run(main)


def test_a_collector_that_is_behind_asks_for_the_message_of_a_new_key_again() -> None:
    """It does not know the rotation yet: a refusal for good would keep the home out of the interval."""

    async def main() -> None:
        network, gates, state = MemoryNetwork(), OpenGates(early={(SIGNS_S, 0)}), [initial_state(GENESIS)]
        keys = HomeKeys(homes(MEMBERS), lambda: state[0])
        async with network.endpoint(OPERATOR) as node, network.endpoint(STRANGER) as sender:
            Operator(node, OPERATOR, GENESIS.chain_id, ROSTER, keys, MINUTES, gates)
            show = partial(send_batch, sender, node.peer_id, GENESIS, [signed_by(NEW, SIGNS_S)])
            assert await show() == (EARLY_ENTRY,)
            gates.early.clear()
            assert await show() == (b"!wrong_signature",)
            state[0] = STATE
            assert receipt_in((await show())[0], GENESIS, NAME).code == ReceiptCode.ACCEPTED

    trio.run(main)


@BY_INTERVAL
def test_a_proof_of_a_message_by_the_key_of_its_interval_convicts_and_others_do_not(
    key: Identity, start_s: int, may: bool
) -> None:
    message, inclusion = order(GENESIS, NAME, 4, start_s), include(ROSTER, [], bytes(32))
    proof = make_omission(
        receipt(message, ReceiptCode.ACCEPTED, OPERATOR),
        sign_message(key, message),
        homes(MEMBERS).proof(HOME),
        inclusion.opening(HOME),
        batch_of(inclusion, GENESIS, start_s, collector=OPERATOR),
    )
    chain = rotated_chain()
    if may:
        assert check_omission(proof, GENESIS, STATE.home_key) == (OPERATOR.public_key, start_s)
        chain.call(NEW, "evidence.omission", ProofArgs(proof))
        assert OPERATOR.public_key not in chain.tip.state.operators
        return
    with refused("evidence_proof"):
        chain.call(NEW, "evidence.omission", ProofArgs(proof))
    with pytest.raises(WrongSignature):
        check_omission(proof, GENESIS, STATE.home_key)


@pytest.mark.parametrize(
    ("key", "start_s", "home"),
    [
        (OLD, START, NAME),
        (OLD, SIGNS_S - STEP, NAME),
        (OLD, SIGNS_S, None),
        (NEW, START, NAME),
        (NEW, SIGNS_S, NAME),
        (key_of("house-1"), SIGNS_S, "house-1"),
        (STRANGER, START, None),
    ],
)
def test_a_home_asks_with_its_newest_key_or_with_that_of_the_interval(
    key: Identity, start_s: int, home: str | None
) -> None:
    peer = peer_id_of(key.public_key)
    if home is not None:
        assert KEYS.home_of(peer, start_s) == home
        return
    with pytest.raises(UnknownHousehold):
        KEYS.home_of(peer, start_s)


def test_a_key_between_the_first_and_the_newest_asks_for_nothing_any_more() -> None:
    chain = rotated_chain()
    chain.call(OPERATOR, "settlement.batch", make_args(1, MEMBERS)[1])
    rotate(chain, NEW, NEXT)
    keys = HomeKeys(homes(MEMBERS), lambda: chain.tip.state)
    with pytest.raises(UnknownHousehold):
        keys.home_of(peer_id_of(NEW.public_key), SIGNS_S)
    assert keys.home_of(peer_id_of(NEXT.public_key), SIGNS_S) == NAME
    assert keys.key_of(NAME, SIGNS_S, Kind.ORDER) == NEW.public_key
    assert keys.key_of(NAME, SIGNS_S + STEP, Kind.ORDER) == NEXT.public_key


def test_lines_go_to_the_newest_key_and_not_to_the_one_that_has_lost_its_home() -> None:
    async def main() -> None:
        network = MemoryNetwork()
        async with (
            network.endpoint(OPERATOR) as node,
            network.endpoint(OLD) as old,
            network.endpoint(NEW) as new,
        ):
            operator = Operator(node, OPERATOR, GENESIS.chain_id, ROSTER, KEYS, MINUTES, OpenGates())
            for start_s in (START, SIGNS_S):
                operator.answers.provide_lines(start_s, {NAME: b"mine", "house-1": b"of another"})
            question = ask(GENESIS.chain_id, SIGNS_S)
            assert await new.request(node.peer_id, LINE_PROTOCOL, question) == b"mine"
            with pytest.raises(RequestRefused, match="unknown_household"):
                await old.request(node.peer_id, LINE_PROTOCOL, question)
            assert await old.request(node.peer_id, LINE_PROTOCOL, ask(GENESIS.chain_id, START)) == b"mine"

    trio.run(main)


@pytest.mark.parametrize(
    ("key", "start_s", "entry"),
    [
        (OLD, START, b"mine"),
        (OLD, SIGNS_S, b"!wrong_signature"),
        (NEW, START, b"mine"),
        (NEW, SIGNS_S, b"mine"),
        (key_of("house-1"), SIGNS_S, b"!wrong_signature"),
        (STRANGER, SIGNS_S, b"!wrong_signature"),
    ],
)
def test_a_gateway_asks_for_a_home_with_its_newest_key_or_with_that_of_the_interval(
    key: Identity, start_s: int, entry: bytes
) -> None:
    async def main() -> None:
        network = MemoryNetwork()
        async with network.endpoint(OPERATOR) as node, network.endpoint(key_of("gateway")) as gateway:
            operator = Operator(node, OPERATOR, GENESIS.chain_id, ROSTER, KEYS, MINUTES, OpenGates())
            operator.answers.provide_lines(start_s, {NAME: b"mine", "house-1": b"of another"})
            query = LineQueryMessage(VERSION, GENESIS.chain_id, start_s, MINUTES, NAME, 1, 0)
            asked = [sign_message(key, query)]
            assert await send_batch(gateway, node.peer_id, GENESIS, asked, LINES_PROTOCOL) == (entry,)

    trio.run(main)


def test_what_the_former_key_has_signed_is_said_again_in_its_words(tmp_path: Path) -> None:
    """A restart with the new key in the middle of an interval signs nothing for it a second time."""
    message, other = order(GENESIS, NAME, 4), order(GENESIS, NAME, 4, energy_wh=251)
    with Journal(tmp_path / "journal.db") as journal:
        for key in (OLD, NEW):
            sign = partial(sign_message, key, message)
            assert signer_of(journal.sign_once(0, START, NAME, 4, sign, content_of)) == OLD.public_key
        with pytest.raises(SignedOtherwise):
            journal.sign_once(0, START, NAME, 4, partial(sign_message, NEW, other), content_of)


@given(st.binary(min_size=32, max_size=32))
def test_a_peer_id_holds_its_public_key(key: bytes) -> None:
    peer = peer_id_of(key)
    assert public_key_of(peer) == key
    assert base58.b58decode(peer)[-32:] == key


@given(st.text(max_size=80))
def test_what_is_no_peer_id_of_a_key_is_refused(text: str) -> None:
    with suppress(Malformed):
        assert peer_id_of(public_key_of(text)) == text
