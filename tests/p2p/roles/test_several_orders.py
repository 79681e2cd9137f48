"""Messages with several orders: handed in, replaced, committed to and refused as one."""

from __future__ import annotations

import msgspec
import pytest

from market.orders import MAX_ORDERS
from p2p.batches.blob import Blob, Line, make_blob, open_blob
from p2p.batches.receipts import include, keeps
from p2p.errors import InvalidMessage, RemoteError
from p2p.roles.exchange.wire import BID_PROTOCOL
from p2p.transports.base import RequestRefused
from p2p.wire.codec import decode, encode
from p2p.wire.identity import Identity
from p2p.wire.messages import (
    Kind,
    NothingMessage,
    OrderLine,
    OrderMessage,
    ReceiptCode,
    ReceiptMessage,
    Signed,
    message_id,
    order_line,
    sign_message,
)
from tests.kits import gateway_kit, signed_kit
from tests.kits.chain_kit import START
from tests.kits.roles_kit import ROSTER, Street, key_of, nothing, on_street, order, receipt_in

STEPS = (order_line(1, 100, 300_000), order_line(1, 100, 200_000), order_line(-1, 50, 310_000))
OTHER_STEPS = (STEPS[0], order_line(1, 100, 200_001), STEPS[2])


def several(orders: tuple[OrderLine, ...] = STEPS, household: str = "h1", nonce: int = 1) -> OrderMessage:
    return order(household, nonce=nonce, orders=orders)


def forged(identity: Identity, message: OrderMessage) -> bytes:
    """Sign whatever it says, as a peer with its own program can."""
    body = encode(message)
    signature = identity.sign(b"wattswap/msg/1\0", bytes((Kind.ORDER,)) + body)
    return encode(Signed(Kind.ORDER, body, identity.public_key, signature))


TOO_MANY = tuple(order_line(1, 1, 1_000 + i) for i in range(MAX_ORDERS + 1))


def test_all_orders_of_a_message_have_one_receipt_and_reach_the_book_as_they_were_signed() -> None:
    """Orders have no ids: two that say the same are two orders."""

    async def body(homes: Street) -> None:
        twice = several((STEPS[0], STEPS[0], STEPS[2]), "h2")
        full = several(TOO_MANY[:MAX_ORDERS], "h3")
        messages = [several(), twice, full]
        receipts: dict[str, ReceiptMessage] = {}

        async def say(message: OrderMessage) -> None:
            receipts[message.household] = await homes.households[message.household].submit(message)

        collected = await homes.collect(*(lambda m=m: say(m) for m in messages))  # type: ignore[misc]
        assert collected.messages == tuple(messages)
        for message in messages:
            receipt = receipts[message.household]
            assert (receipt.code, receipt.message_id) == (ReceiptCode.ACCEPTED, message_id(message))

    on_street(body)


@pytest.mark.parametrize(
    ("second", "code", "kept"),
    [
        (several(), ReceiptCode.ACCEPTED, STEPS),
        (several(OTHER_STEPS), ReceiptCode.DUPLICATE, STEPS),
        (several(STEPS[::-1]), ReceiptCode.DUPLICATE, STEPS),
        (several(OTHER_STEPS[:2], nonce=2), ReceiptCode.REPLACED, OTHER_STEPS[:2]),
        (nothing("h1", nonce=2), ReceiptCode.REPLACED, None),
        (several(OTHER_STEPS, nonce=0), ReceiptCode.STALE_NONCE, STEPS),
    ],
    ids=["again", "other orders", "another sequence", "higher nonce", "withdrawn", "lower nonce"],
)
def test_a_second_message_replaces_all_orders_or_none(
    second: OrderMessage | NothingMessage, code: ReceiptCode, kept: tuple[OrderLine, ...] | None
) -> None:
    async def body(homes: Street) -> None:
        codes = []

        async def say() -> None:
            node, operator = homes.nodes["h1"], homes.operator_node.peer_id
            for message in (several(), second):
                data = await node.request(operator, BID_PROTOCOL, sign_message(key_of("h1"), message))
                codes.append(receipt_in(data, "h1").code)

        collected = await homes.collect(say)
        assert codes == [ReceiptCode.ACCEPTED, code]
        assert [message.orders for message in collected.messages] == ([] if kept is None else [kept])

    on_street(body)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (forged(key_of("h1"), several(TOO_MANY)), "out_of_range"),
        (forged(key_of("h1"), several(())), "out_of_range"),
        (forged(key_of("h1"), several((*STEPS, order_line(1, 999_900, 1)))), "out_of_range"),
        (forged(key_of("h2"), several()), "wrong_signature"),
        (forged(key_of("h9"), several(household="h9")), "unknown_household"),
    ],
    ids=["65 orders", "none", "too much energy together", "of another home", "of nobody"],
)
def test_orders_that_break_a_rule_are_refused_with_their_code_and_disturb_nobody(
    data: bytes, code: str
) -> None:
    async def body(homes: Street) -> None:
        async def attack() -> None:
            with pytest.raises(RequestRefused) as refusal:
                await homes.nodes["h2"].request(homes.operator_node.peer_id, BID_PROTOCOL, data)
            assert refusal.value.code == code

        honest = [several(household=name) for name in ROSTER]
        await attack()
        collected = await homes.collect(
            attack,
            *(lambda m=m: homes.households[m.household].submit(m) for m in honest),  # type: ignore[misc]
        )
        assert collected.messages == tuple(honest)
        assert homes.operator.refused.total(code) == 2

    on_street(body)


def test_a_home_does_not_sign_too_many_orders() -> None:
    async def body(homes: Street) -> None:
        with pytest.raises(InvalidMessage, match=r"65 orders; a message has 1\.\.64"):
            await homes.households["h1"].submit(several(TOO_MANY))

    on_street(body)


def test_what_is_refused_in_a_gateways_batch_spoils_none_of_the_others() -> None:
    async def body() -> None:
        async with (
            gateway_kit.street(3) as homes,
            homes.places[0].on() as operator,
            homes.network.endpoint(key_of("gateway")) as node,
        ):
            genesis = homes.genesis
            first, second, third = (
                msgspec.structs.replace(signed_kit.order(genesis, household), orders=STEPS)
                for household in homes.roster
            )
            batch = [
                signed_kit.signed(first),
                forged(signed_kit.key_of("house-1"), msgspec.structs.replace(second, orders=TOO_MANY)),
                forged(signed_kit.key_of("house-0"), second),
                signed_kit.signed(msgspec.structs.replace(first, orders=OTHER_STEPS)),
                signed_kit.signed(third),
            ]
            entries: list[bytes] = []

            async def say() -> None:
                peer = homes.places[0].address.rpartition("/")[2]
                entries.extend(await gateway_kit.send_batch(node, peer, genesis, batch))

            collected = await gateway_kit.collect(operator, say)
            assert entries[1:3] == [b"!out_of_range", b"!wrong_signature"]
            found = [
                gateway_kit.receipt_in(entries[i], genesis, name)
                for i, name in ((0, "house-0"), (3, "house-0"))
            ]
            assert [receipt.code for receipt in found] == [ReceiptCode.ACCEPTED, ReceiptCode.DUPLICATE]
            assert collected.messages == (first, third)

    gateway_kit.run(body)


# --- what validators recompute ----------------------------------------------------------------------------

GENESIS = signed_kit.keyed_genesis(2)
SIGNED = [
    signed_kit.signed(msgspec.structs.replace(signed_kit.order(GENESIS, household), orders=steps))
    for household, steps in (("house-0", STEPS), ("house-1", OTHER_STEPS))
]
BLOB = make_blob(signed_kit.names(2), START, bytes(32), SIGNED)


@pytest.mark.parametrize(
    ("orders", "code"),
    [
        (STEPS[:2], "wrong_signature"),
        ((STEPS[1], STEPS[0], STEPS[2]), "wrong_signature"),
        ((*STEPS, OTHER_STEPS[1]), "wrong_signature"),
        ((*STEPS, STEPS[0]), "wrong_signature"),
        (OTHER_STEPS, "wrong_signature"),
        (TOO_MANY, "out_of_range"),
    ],
    ids=["one left out", "another sequence", "one of another home", "one twice", "those of another", "65"],
)
def test_a_collector_can_change_nothing_in_what_a_home_ordered(
    orders: tuple[OrderLine, ...], code: str
) -> None:
    members = signed_kit.homes(2)
    assert [message.orders for message in open_blob(BLOB, GENESIS, members).orders] == [STEPS, OTHER_STEPS]
    blob = decode(Blob, BLOB)
    lines: tuple[Line, ...] = (msgspec.structs.replace(blob.lines[0], orders=orders), blob.lines[1])
    with pytest.raises(RemoteError) as caught:
        open_blob(encode(msgspec.structs.replace(blob, lines=lines)), GENESIS, members)
    assert caught.value.code == code


def test_the_inclusion_root_covers_every_order_of_a_message() -> None:
    mine = msgspec.structs.replace(signed_kit.order(GENESIS, "house-0"), orders=STEPS)
    opening = include(signed_kit.names(2), [mine], bytes(32)).opening(0)
    assert keeps(opening, mine.nonce, message_id(mine))
    for orders in (STEPS[:2], OTHER_STEPS, STEPS[::-1]):
        assert not keeps(opening, mine.nonce, message_id(msgspec.structs.replace(mine, orders=orders)))
