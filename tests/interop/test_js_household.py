"""A household in JavaScript trades three intervals with our operator and proves its own lines."""

from __future__ import annotations

import json
import re
import subprocess
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from p2p.batches.receipts import include
from p2p.blocks import merkle
from p2p.blocks.genesis import VERSION as GENESIS_VERSION
from p2p.blocks.genesis import Genesis, make_params
from p2p.blocks.members import Members
from p2p.ledger.light import SettledInterval, check_batch_proof, make_batch_proof, make_proof
from p2p.ledger.producer import Producer
from p2p.ledger.store import ChainStore
from p2p.roles.collector.intake import Collected
from p2p.roles.collector.operator import Operator
from p2p.roles.exchange.wire import Position, result_topic
from p2p.roles.household.collectors import Collectors, Sets
from p2p.roles.household.gateway import Gateway
from p2p.roles.household.member import Member
from p2p.transports.base import Endpoint, peer_id_of
from p2p.transports.libp2p import open_libp2p
from p2p.wire.codec import encode
from p2p.wire.identity import Identity
from p2p.wire.messages import (
    VERSION,
    OrderMessage,
    ReadingMessage,
    ReceiptCode,
    order_line,
    sign_message,
)
from tests.kits.chain_kit import START, STEP, authorities, make_args, order_leaf
from tests.kits.js_kit import JS, pinned
from tests.kits.keys_kit import home_keys
from tests.kits.settled_kit import OpenGates
from tests.kits.time_kit import eventually_trio

pytestmark = pytest.mark.live

INTERVALS = 3
MINUTES = 15
TAMPERED = 40
DEADLINE_S = 50.0
ROSTER = ("home-js", "home-py")
OPERATOR = Identity.from_seed(b"o" * 32)
VALIDATORS = authorities(4)
LISTENING = VALIDATORS[:2]
"""Two of the four validators listen: as many as must promise a message."""
SECRET = b"i" * 32
KEYS = {name: Identity.from_seed(name.encode().ljust(32, b".")) for name in ROSTER}


@dataclass
class Street:
    """What both sides saw."""

    genesis: Genesis
    orders: list[Collected[OrderMessage]] = field(default_factory=list)
    readings: list[Collected[ReadingMessage]] = field(default_factory=list)
    results: list[SettledInterval] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    refused: dict[tuple[str, str], int] = field(default_factory=dict)

    def said(self, event: str) -> list[dict[str, Any]]:
        """Events of one name, in their order."""
        return [one for one in self.events if one["event"] == event]


def make_street_genesis() -> Genesis:
    return Genesis(
        version=GENESIS_VERSION,
        name="two languages",
        time_ms=START * 1000,
        params=make_params("EUR", MINUTES),
        authorities=tuple(key.public_key for key in VALIDATORS),
        operators=(OPERATOR.public_key,),
        members_root=Members(tuple(ROSTER), tuple(KEYS[name].public_key for name in ROSTER)).root,
        members=len(ROSTER),
        accounts=(),
        modules=(),
    )


async def trade(path: Path, command: list[str]) -> Street:
    street = Street(make_street_genesis())
    genesis, public = street.genesis, {name: key.public_key for name, key in KEYS.items()}
    store = ChainStore.create(path, genesis)
    producer = Producer(genesis, authorities(4), OPERATOR, store)
    async with AsyncExitStack() as stack:

        async def on(identity: Identity) -> Endpoint:
            return await stack.enter_async_context(open_libp2p(identity))

        def collector(node: Endpoint, identity: Identity) -> Operator:
            return Operator(node, identity, genesis.chain_id, ROSTER, home_keys(public), MINUTES, OpenGates())

        node, home_node = await on(OPERATOR), await on(KEYS["home-py"])
        operator = collector(node, OPERATOR)
        validators = [await on(key) for key in LISTENING]
        for one, key in zip(validators, LISTENING, strict=True):
            collector(one, key)
        collectors = zip((OPERATOR, *LISTENING), (node, *validators), strict=True)
        settings = {
            "seed": KEYS["home-js"].seed.hex(),
            "household": "home-js",
            "account": 0,
            "collectors": [{"key": key.public_key.hex(), "address": one.address} for key, one in collectors],
            "genesis": encode(genesis).hex(),
            "first": START,
            "intervals": INTERVALS,
            "tampered": TAMPERED,
            "positions": True,
        }
        await home_node.connect(node.address)
        sets, addresses = Sets(genesis.operators, ()), {OPERATOR.public_key: node.address}
        gateway = Gateway(
            home_node,
            {"home-py": KEYS["home-py"]},
            genesis.chain_id,
            Collectors(home_node, addresses, lambda: sets),
            MINUTES,
            lambda data: check_batch_proof(data, genesis),
        )
        process = await trio.lowlevel.open_process(
            [*command, str(JS / "household.mjs")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin is not None
        await process.stdin.send_all(json.dumps(settings).encode() + b"\n")
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(listen, process, street)
                nursery.start_soon(gateway.run)
                await node.wait_for_subscribers(result_topic(genesis.chain_id), len(ROSTER))
                nursery.start_soon(live, Member(gateway, "home-py"), genesis.chain_id)
                for number in range(INTERVALS):
                    await settle(number, street, operator, node, producer)
                await eventually_trio(
                    lambda: street.said("done"), "the home in JavaScript is done", DEADLINE_S
                )
                await process.stdin.aclose()
                nursery.cancel_scope.cancel()
        finally:
            process.terminate()
            with trio.CancelScope(shield=True):
                await process.wait()
        street.refused = dict(operator.refused.counts)
    store.close()
    return street


async def listen(process: trio.Process, street: Street) -> None:
    assert process.stdout is not None
    rest = b""
    async for chunk in process.stdout:
        *lines, rest = (rest + chunk).split(b"\n")
        street.events += [json.loads(line) for line in lines]
    if not street.said("done"):
        raise RuntimeError(f"the foreign peer ended early; it said {street.events}")


async def live(home: Member, chain_id: bytes) -> None:
    for number in range(INTERVALS):
        start = START + number * STEP
        await home.submit(
            OrderMessage(
                VERSION, chain_id, start, MINUTES, home.id, number, 0, (order_line(-1, 500, 90_000),)
            )
        )
        await home.submit(ReadingMessage(VERSION, chain_id, start, MINUTES, home.id, number, 0, 500, 0))


async def settle(number: int, street: Street, operator: Operator, node: Endpoint, producer: Producer) -> None:
    """Collect an interval, put its batch on the chain, provide proofs and announce the result."""
    start, genesis, answers = START + number * STEP, street.genesis, operator.answers
    orders = await operator.collect(start, DEADLINE_S)
    readings = await operator.collect_readings(start, DEADLINE_S)
    inclusion = include(ROSTER, (*orders.messages, *readings.messages), SECRET)
    batch, args = make_args(number, len(ROSTER))
    args = msgspec.structs.replace(
        args,
        orders=len(orders.messages),
        book_root=book_root(orders),
        inclusion_root=inclusion.root,
        next_collector=OPERATOR.public_key,
    )
    block, cert = producer.append_batch(args, (start + STEP) * 1000)
    proof = make_batch_proof(block, cert, genesis)
    answers.provide_lines(start, {name: make_proof(batch, i, proof) for i, name in enumerate(ROSTER)})
    for slot in (0, 1):
        openings = {name: encode(inclusion.opening(i, slot)) for i, name in enumerate(ROSTER)}
        answers.provide_openings(start, openings, slot)
    position = Position(VERSION, genesis.chain_id, start, 0, 40 + number, 0)
    answers.provide_positions(start, dict.fromkeys(ROSTER, encode(position)))
    answers.provide_result(start, encode(proof))
    await node.publish(result_topic(genesis.chain_id), encode(proof))
    street.orders.append(orders)
    street.readings.append(readings)
    street.results.append(check_batch_proof(encode(proof), genesis))


def book_root(orders: Collected[OrderMessage]) -> bytes:
    return merkle.root(
        [
            order_leaf(
                one.interval_start,
                one.household,
                0,
                line.side,
                line.energy_wh,
                line.limit_micro_per_kwh,
                line.node,
            )
            for one in orders.messages
            for line in one.orders
        ]
    )


@pytest.fixture(scope="module")
def street(node: list[str], tmp_path_factory: pytest.TempPathFactory) -> Street:
    async def limited() -> Street:
        with trio.fail_after(DEADLINE_S):
            return await trade(tmp_path_factory.mktemp("chain") / "chain.db", node)

    return trio.run(limited)


def js_order(street: Street, number: int) -> OrderMessage:
    start, limit = START + number * STEP, 250_000 - number
    lines = (order_line(1, 300 + number, limit),)
    return OrderMessage(VERSION, street.genesis.chain_id, start, MINUTES, "home-js", number, 0, lines)


def test_the_order_of_the_foreign_peer_is_in_the_book_in_the_bytes_we_would_sign(street: Street) -> None:
    for number, orders in enumerate(street.orders):
        order = js_order(street, number)
        assert orders.messages[0] == order
        assert orders.signed[0] == sign_message(KEYS["home-js"], order)
        assert street.said("order")[number]["signed"] == orders.signed[0].hex()


def test_the_foreign_peer_verifies_a_receipt_for_each_of_its_messages(street: Street) -> None:
    for event in ("order", "reading"):
        assert [one["code"] for one in street.said(event)] == [ReceiptCode.ACCEPTED.name.lower()] * INTERVALS
    assert [readings.messages[0].import_wh for readings in street.readings] == [310, 311, 312]


def test_the_foreign_peer_receives_every_result_by_gossip_and_the_same_when_it_asks(
    street: Street,
) -> None:
    heard = [(one["height"], one["block_hash"]) for one in street.said("result")]
    assert heard == [(result.height, result.block_hash.hex()) for result in street.results]
    assert {one["by"] for one in street.said("result")} == {"gossip"}
    assert [one["asked"] for one in street.said("result")] == [block_hash for _, block_hash in heard]
    assert {one["next_collector"] for one in street.said("result")} == {OPERATOR.public_key.hex()}
    assert street.said("gossip_refused") == []


def test_validators_promise_each_message_of_the_foreign_peer_besides_the_collector(street: Street) -> None:
    """f + 1 of the four: so it is protected like other homes."""
    keys = {key.public_key.hex() for key in LISTENING}
    for event in ("order", "reading"):
        assert [set(one["witnesses"]) for one in street.said(event)] == [keys] * INTERVALS


def test_the_foreign_peer_finds_its_order_and_its_reading_in_each_batch(street: Street) -> None:
    found = [(one["slot"], one["nonce"], one["kept"]) for one in street.said("inclusion")]
    assert found == [(slot, number, True) for number in range(INTERVALS) for slot in (0, 1)]


def test_the_foreign_peer_asks_for_its_own_position(street: Street) -> None:
    assert [one["wh"] for one in street.said("position")] == [40, 41, 42]


def test_the_foreign_peer_proves_its_own_lines_from_the_genesis_alone(street: Street) -> None:
    for number, line in enumerate(street.said("line")):
        batch, _ = make_args(number, len(ROSTER))
        entry = batch.entry(0)
        values = [int.from_bytes(entry[at : at + 8], "big", signed=True) for at in range(4, 100, 8)]
        assert list(line["values"].values()) == values
        assert (line["height"], line["account"]) == (number + 1, 0)


def test_the_foreign_peer_refuses_a_proof_with_any_bit_turned_over(street: Street) -> None:
    assert [one["refused"] for one in street.said("line")] == [TAMPERED] * INTERVALS


def test_a_forged_order_is_refused_by_its_code_and_the_foreign_peer_stays_connected(street: Street) -> None:
    assert [(one["code"], one["connection"]) for one in street.said("forged")] == [
        ("wrong_signature", "open")
    ]
    assert street.said("done")[0]["connection"] == "open"
    peer = peer_id_of(KEYS["home-js"].public_key)
    assert street.refused == {(peer, "wrong_signature"): 1}
    assert street.said("joined")[0]["peer"] == peer


def test_every_package_of_the_foreign_peer_has_an_exact_version_and_no_address() -> None:
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in pinned().values())
    assert '"resolved"' not in (JS / "package-lock.json").read_text(encoding="utf-8")
