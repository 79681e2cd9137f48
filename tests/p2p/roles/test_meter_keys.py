"""A home whose meter has a key: the meter alone signs its readings, and the home all else, whatever key it has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest
import trio
import trio.testing

from p2p.batches.blob import make_blob, open_blob
from p2p.batches.closings import Promised, check_broken_promise, make_broken_promise, make_closing
from p2p.batches.receipts import check_omission, include, make_omission
from p2p.blocks.possession import prove_possession
from p2p.errors import UnknownHousehold, WrongSignature
from p2p.ledger.modules.accounts import EnterArgs, RotateArgs
from p2p.ledger.modules.evidence import ProofArgs
from p2p.ledger.state import initial_state
from p2p.roles.collector.home_keys import HomeKeys
from p2p.roles.collector.operator import Operator
from p2p.roles.exchange.wire import LINES_PROTOCOL
from p2p.roles.household.collectors import Collectors, Sets
from p2p.roles.household.gateway import Gateway
from p2p.transports.base import peer_id_of
from p2p.transports.memory import MemoryNetwork
from p2p.wire.identity import Identity
from p2p.wire.messages import (
    VERSION,
    HandedIn,
    Kind,
    LineQueryMessage,
    ReceiptCode,
    sign_message,
    signer_of,
)
from tests.kits.chain_kit import OPERATOR, START, STEP, authorities, make_args
from tests.kits.gateway_kit import send_batch
from tests.kits.modules_kit import Chain, refused
from tests.kits.settled_kit import OpenGates, settled
from tests.kits.signed_kit import (
    MINUTES,
    batch_of,
    homes,
    key_of,
    keyed_genesis,
    names,
    nothing,
    order,
    reading,
    receipt,
)

MEMBERS, HOME = 4, 2
ROSTER = names(MEMBERS)
NAME, PLAIN = ROSTER[HOME], ROSTER[1]
OLD, NEW, METER, STRANGER = key_of(NAME), key_of("new"), key_of("meter"), key_of("stranger")
METERED = replace(homes(MEMBERS), meter_keys=(b"", b"", METER.public_key, b""))
GENESIS = msgspec.structs.replace(keyed_genesis(MEMBERS), members_root=METERED.root)
SIGNS_S = START + 4 * STEP
"""Start of the first interval whose orders the new key signs: the first interval is settled."""
Make = Callable[..., HandedIn]


def rotated_chain() -> Chain:
    """A chain on which the home with the meter key has rotated its own."""
    chain = Chain(GENESIS)
    chain.call(OLD, "accounts.enter", EnterArgs(METERED.proof(HOME)))
    chain.call(OPERATOR, "settlement.batch", make_args(0, MEMBERS)[1])
    proof = prove_possession(NEW, GENESIS.chain_id, OLD.public_key)
    chain.call(OLD, "accounts.rotate_key", RotateArgs(NEW.public_key, proof))
    return chain


STATE = rotated_chain().tip.state
KEYS = HomeKeys(METERED, lambda: STATE)
WHO_SIGNS_WHAT = pytest.mark.parametrize(
    ("make", "name", "key", "start_s", "may"),
    [
        (reading, NAME, METER, SIGNS_S - STEP, True),
        (reading, NAME, METER, SIGNS_S, True),
        (reading, NAME, OLD, SIGNS_S - STEP, False),
        (reading, NAME, OLD, SIGNS_S, False),
        (reading, NAME, NEW, SIGNS_S - STEP, False),
        (reading, NAME, NEW, SIGNS_S, False),
        (reading, NAME, key_of(PLAIN), SIGNS_S, False),
        (order, NAME, METER, SIGNS_S - STEP, False),
        (order, NAME, METER, SIGNS_S, False),
        (order, NAME, OLD, SIGNS_S - STEP, True),
        (order, NAME, NEW, SIGNS_S, True),
        (nothing, NAME, METER, SIGNS_S, False),
        (nothing, NAME, NEW, SIGNS_S, True),
        (reading, PLAIN, key_of(PLAIN), SIGNS_S, True),
        (reading, PLAIN, METER, SIGNS_S, False),
        (order, PLAIN, key_of(PLAIN), SIGNS_S, True),
    ],
)


@WHO_SIGNS_WHAT
def test_a_blob_has_readings_of_the_meter_and_orders_of_the_home(
    make: Make, name: str, key: Identity, start_s: int, may: bool
) -> None:
    message = make(GENESIS, name, 4, start_s)
    blob = make_blob(ROSTER, start_s, bytes(32), [sign_message(key, message)])
    if may:
        assert open_blob(blob, GENESIS, METERED, STATE.home_key).messages == (message,)
        return
    with pytest.raises(WrongSignature):
        open_blob(blob, GENESIS, METERED, STATE.home_key)


@WHO_SIGNS_WHAT
def test_a_collector_takes_readings_of_the_meter_and_orders_of_the_home(
    make: Make, name: str, key: Identity, start_s: int, may: bool
) -> None:
    async def main() -> None:
        network, message = MemoryNetwork(), make(GENESIS, name, 4, start_s)
        async with network.endpoint(OPERATOR) as node, network.endpoint(STRANGER) as sender:
            operator = Operator(node, OPERATOR, GENESIS.chain_id, ROSTER, KEYS, MINUTES, OpenGates())
            (entry,) = await send_batch(sender, node.peer_id, GENESIS, [sign_message(key, message)])
            assert (entry == b"!wrong_signature") is not may
            slot = int(make is reading)
            assert operator.present(start_s, slot) == ({(slot, ROSTER.index(name)): 4} if may else {})

    trio.run(main)


@WHO_SIGNS_WHAT
def test_a_promise_binds_about_readings_of_the_meter_and_orders_of_the_home(
    make: Make, name: str, key: Identity, start_s: int, may: bool
) -> None:
    """Both proofs, offline and on the chain: an omission of an operator, and a closing of a validator."""
    message, inclusion, place = (
        make(GENESIS, name, 4, start_s),
        include(ROSTER, [], bytes(32)),
        ROSTER.index(name),
    )
    slot, validator = int(make is reading), authorities(4)[1]
    signed, home = sign_message(key, message), METERED.proof(place)
    omission = make_omission(
        receipt(message, ReceiptCode.ACCEPTED, OPERATOR),
        signed,
        home,
        inclusion.opening(place, slot),
        batch_of(inclusion, GENESIS, start_s, collector=OPERATOR),
    )
    closing = make_closing(validator, GENESIS.chain_id, start_s, slot, [Promised(place, 3)])
    broken = make_broken_promise(receipt(message, ReceiptCode.ACCEPTED, validator), signed, home, closing)
    for check, method, proof, culprit in (
        (check_omission, "evidence.omission", omission, OPERATOR),
        (check_broken_promise, "evidence.broken_promise", broken, validator),
    ):
        chain = rotated_chain()
        if may:
            assert check(proof, GENESIS, STATE.home_key) == (culprit.public_key, start_s)
            chain.call(NEW, method, ProofArgs(proof))
            continue
        with refused("evidence_proof"):
            chain.call(NEW, method, ProofArgs(proof))
        with pytest.raises(WrongSignature):
            check(proof, GENESIS, STATE.home_key)


def test_a_meter_asks_for_nothing_of_its_home() -> None:
    """Who holds it reads the meter, and neither lines nor positions; the home asks with its own keys as ever."""
    for key in (OLD, NEW):
        assert KEYS.home_of(peer_id_of(key.public_key), START) == NAME
    with pytest.raises(UnknownHousehold):
        KEYS.home_of(peer_id_of(METER.public_key), START)

    async def main() -> None:
        network = MemoryNetwork()
        async with network.endpoint(OPERATOR) as node, network.endpoint(STRANGER) as sender:
            operator = Operator(node, OPERATOR, GENESIS.chain_id, ROSTER, KEYS, MINUTES, OpenGates())
            operator.answers.provide_lines(START, {NAME: b"mine"})
            query = LineQueryMessage(VERSION, GENESIS.chain_id, START, MINUTES, NAME, 1, 0)
            for key, entry in ((METER, b"!wrong_signature"), (NEW, b"mine")):
                asked = [sign_message(key, query)]
                assert await send_batch(sender, node.peer_id, GENESIS, asked, LINES_PROTOCOL) == (entry,)

    trio.run(main)


def test_a_gateway_signs_readings_with_the_key_of_the_meter_where_it_has_one() -> None:
    async def main() -> None:
        network, sets = MemoryNetwork(), Sets((OPERATOR.public_key,), ())
        async with (
            network.endpoint(OPERATOR) as node,
            network.endpoint(key_of("gateway")) as own,
            trio.open_nursery() as nursery,
        ):
            operator = Operator(
                node,
                OPERATOR,
                GENESIS.chain_id,
                ROSTER,
                HomeKeys(METERED, lambda: initial_state(GENESIS)),
                MINUTES,
                OpenGates(),
            )
            gateway = Gateway(
                own,
                {NAME: OLD, PLAIN: key_of(PLAIN)},
                GENESIS.chain_id,
                Collectors(own, {OPERATOR.public_key: node.address}, lambda: sets),
                MINUTES,
                lambda data: settled(GENESIS, data),
                meters={NAME: METER},
            )
            nursery.start_soon(gateway.run)
            for name in (PLAIN, NAME):
                for make in (order, reading):
                    assert (await gateway.submit(make(GENESIS, name))).code == ReceiptCode.ACCEPTED
            orders = await operator.collect(START, 0.0)
            readings = await operator.collect_readings(START, 0.0)
            home_keys = [key_of(PLAIN).public_key, OLD.public_key]
            assert [signer_of(data) for data in orders.signed] == home_keys
            assert [signer_of(data) for data in readings.signed] == [home_keys[0], METER.public_key]
            nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.mark.parametrize("kind", Kind)
def test_only_readings_are_signed_by_the_meter(kind: Kind) -> None:
    expected = METER if kind == Kind.READING else OLD
    assert KEYS.key_of(NAME, START, kind) == expected.public_key
