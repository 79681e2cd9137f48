"""Who opens orders: validators once their chain has closed them, and collectors with whatever these answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial

import pytest
import trio

from p2p.batches.blob import blob_hash
from p2p.batches.closed_orders import ClosedOrders, open_closed, read_closed, sign_junk
from p2p.errors import NotAllowed, RemoteError
from p2p.ledger.closed import NONE_CLOSED, LastClosed
from p2p.roles.collector.opener import Opener
from p2p.roles.exchange.wire import OPENING_PROTOCOL, OpenQuery, OpenReply
from p2p.roles.validator.opening import NotClosedYet, ShareService
from p2p.transports.base import Handler, Transport, peer_id_of
from p2p.transports.memory import MemoryNetwork
from p2p.wire.codec import decode, encode
from p2p.wire.messages import VERSION, OrderMessage
from tests.kits.chain_kit import OPERATOR, START, STEP
from tests.kits.sealed_kit import KEYS, closed_bytes, sealed, sealed_genesis, with_junk
from tests.kits.signed_kit import homes, names, order

MEMBERS = 3
GENESIS = sealed_genesis(MEMBERS)
DATA = closed_bytes([sealed(order(GENESIS, name)) for name in names(MEMBERS)], MEMBERS)
NAME = blob_hash(DATA)


def read(data: bytes) -> ClosedOrders:
    return read_closed(data, blob_hash(data), GENESIS, homes(MEMBERS))


class Held:
    """Blobs in memory."""

    def __init__(self) -> None:
        self._blobs: dict[bytes, bytes] = {}

    def get(self, name: bytes) -> bytes | None:
        return self._blobs.get(name)

    def put(self, data: bytes, interval_start: int) -> bytes:
        self._blobs[blob_hash(data)] = data
        return blob_hash(data)

    def forget_before(self, interval_start: int) -> None:
        self._blobs.clear()


class Validator:
    """A validator whose chain has closed what it is said to have."""

    def __init__(self, transport: Transport, place: int, data: bytes = DATA) -> None:
        self.closed, self.blobs = LastClosed(START, blob_hash(data)), Held()
        self.blobs.put(data, START)
        self.may_ask = True
        self.shares = ShareService(
            transport,
            GENESIS.chain_id,
            KEYS[place],
            lambda: self.closed,
            self.blobs,
            read,
            lambda _peer: self.may_ask,
        )


def run(body: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        with trio.fail_after(30):
            await body()

    trio.run(main)


@pytest.fixture
def network() -> MemoryNetwork:
    return MemoryNetwork()


def test_a_validator_gives_its_shares_once_its_chain_has_closed_the_orders(network: MemoryNetwork) -> None:
    async def body() -> None:
        async with network.endpoint(KEYS[0]) as transport:
            validator = Validator(transport, 0)
            for closed in (
                NONE_CLOSED,
                LastClosed(START, bytes(32)),
                LastClosed(START - STEP, NAME),
                LastClosed(START + STEP, NAME),
            ):
                validator.closed = closed
                with pytest.raises(NotClosedYet):
                    validator.shares.answer(START, NAME)
            validator.closed = LastClosed(START, NAME)
            reply = decode(OpenReply, validator.shares.answer(START, NAME))
            assert ([len(share) for share in reply.shares], reply.word) == ([32] * MEMBERS, b"")
            # As soon as other orders are the last closed ones, it answers about these no more.
            validator.closed = LastClosed(START + STEP, bytes(32))
            with pytest.raises(NotClosedYet):
                validator.shares.answer(START, NAME)

    run(body)


def test_a_validator_without_the_blob_or_not_among_those_sealed_to_has_no_shares(
    network: MemoryNetwork,
) -> None:
    async def body() -> None:
        async with network.endpoint(KEYS[0]) as transport:
            validator = Validator(transport, 0)
            validator.blobs.forget_before(START + STEP)
            with pytest.raises(NotClosedYet, match="not here yet"):
                validator.shares.answer(START, NAME)
            validator.blobs.put(DATA, START)
            validator.shares._identity = OPERATOR
            with pytest.raises(NotClosedYet, match="other validators"):
                validator.shares.answer(START, NAME)

    run(body)


def test_only_collectors_are_answered(network: MemoryNetwork) -> None:
    async def body() -> None:
        async with network.endpoint(KEYS[0]) as transport:
            validator = Validator(transport, 0)
            query = encode(OpenQuery(VERSION, GENESIS.chain_id, START, NAME))
            assert await validator.shares._open_for("peer", query)
            validator.may_ask = False
            with pytest.raises(NotAllowed):
                await validator.shares._open_for("peer", query)
            validator.may_ask = True
            for wrong in (
                encode(OpenQuery(VERSION, bytes(32), START, NAME)),
                encode(OpenQuery(VERSION + 1, GENESIS.chain_id, START, NAME)),
                b"noise",
            ):
                with pytest.raises(RemoteError):
                    await validator.shares._open_for("peer", wrong)

    run(body)


# --- collectors -------------------------------------------------------------------------------------------

Answer = Callable[[Handler], Handler]


def silent(_honest: Handler) -> Handler:
    async def answer(_peer: str, _frame: bytes) -> bytes:
        await trio.sleep_forever()
        return b""

    return answer


def refusing(_honest: Handler) -> Handler:
    async def answer(_peer: str, _frame: bytes) -> bytes:
        raise NotClosedYet("never")

    return answer


def replying(change: Callable[[OpenReply], OpenReply | bytes], honest: Handler) -> Handler:
    async def answer(peer: str, frame: bytes) -> bytes:
        found = change(decode(OpenReply, await honest(peer, frame)))
        return found if isinstance(found, bytes) else encode(found)

    return answer


def all_junk(place: int, reply: OpenReply, name: bytes = NAME) -> OpenReply:
    count = len(reply.shares)
    return OpenReply((b"",) * count, encode(sign_junk(KEYS[place], GENESIS.chain_id, name, range(count))))


LIES: dict[str, Answer] = {
    "silent": silent,
    "refuses": refusing,
    "noise": partial(replying, lambda _: b"noise"),
    "false shares": partial(replying, lambda reply: OpenReply((bytes(32),) * len(reply.shares), b"")),
    "shares of others": partial(replying, lambda reply: OpenReply(reply.shares[::-1], b"")),
    "too few": partial(replying, lambda reply: OpenReply(reply.shares[:-1], b"")),
    "junk without a word": partial(replying, lambda reply: OpenReply((b"", *reply.shares[1:]), b"")),
    "junk, it says": partial(replying, partial(all_junk, 1)),
    "junk, with the word of another": partial(replying, partial(all_junk, 2)),
}


async def opened_with(
    lie: Answer | None, data: bytes = DATA, own_place: int | None = None
) -> list[int | None]:
    """What comes out of orders that a collector opens, of whose validators the second one lies.

    Args:
        own_place: The place of the collector, where it is a validator itself.
    """
    network, own = MemoryNetwork(), OPERATOR if own_place is None else KEYS[own_place]
    async with AsyncExitStack() as stack:
        addresses, services = {}, []
        for place, key in enumerate(KEYS):
            transport = await stack.enter_async_context(network.endpoint(key))
            services.append(Validator(transport, place, data).shares)
            if place == 1 and lie is not None:
                transport.serve(OPENING_PROTOCOL, lie(services[1]._open_for))
            addresses[key.public_key] = f"/memory/p2p/{transport.peer_id}"
        if own_place is None:
            transport = await stack.enter_async_context(network.endpoint(OPERATOR))
        else:
            transport = network.find(peer_id_of(own.public_key))
        own_answer = None if own_place is None else services[own_place].answer
        closed = read(data)
        opener = Opener(transport, GENESIS.chain_id, own.public_key, addresses, own_answer)
        opened, _ = open_closed(closed, await opener.open(closed), GENESIS)
    return [one.orders[0].energy_wh if isinstance(one, OrderMessage) else None for one in opened]


@pytest.mark.parametrize("lie", [None, *LIES])
@pytest.mark.parametrize("own_place", [None, 0, 3])
def test_orders_are_opened_whatever_one_of_four_validators_answers(
    lie: str | None, own_place: int | None
) -> None:
    async def body() -> None:
        found = await opened_with(LIES[lie] if lie else None, own_place=own_place)
        assert found == [250] * MEMBERS

    run(body)


def test_a_home_that_nobody_can_open_delays_nobody() -> None:
    async def body() -> None:
        junk = with_junk(sealed(order(GENESIS, "house-1")), range(4))
        data = closed_bytes([sealed(order(GENESIS, "house-0")), junk], MEMBERS)
        assert await opened_with(None, data) == [250, None]
        assert await opened_with(silent, data) == [250, None]

    run(body)


def test_the_word_of_another_validator_is_none() -> None:
    """Two words of one validator would be no proof, and the batch one that nobody takes."""

    async def body() -> None:
        junk = with_junk(sealed(order(GENESIS, "house-1")), range(4))
        data = closed_bytes([sealed(order(GENESIS, "house-0")), junk], MEMBERS)
        for other in (0, 2):
            lie = partial(replying, partial(all_junk, other, name=blob_hash(data)))
            assert await opened_with(lie, data) == [250, None]

    run(body)


def test_closed_orders_of_nobody_need_no_shares() -> None:
    async def body() -> None:
        assert await opened_with(silent, closed_bytes([], MEMBERS)) == []

    run(body)


def test_a_validator_that_lies_is_counted() -> None:
    async def body() -> None:
        network = MemoryNetwork()
        async with network.endpoint(KEYS[1]) as node, network.endpoint(OPERATOR) as own:
            service = Validator(node, 1).shares
            node.serve(OPENING_PROTOCOL, LIES["false shares"](service._open_for))
            addresses = {KEYS[1].public_key: f"/memory/p2p/{node.peer_id}"}
            opener = Opener(own, GENESIS.chain_id, OPERATOR.public_key, addresses, None)
            with trio.move_on_after(0.5):
                await opener.open(read(DATA))
            assert {code for _, code in own.stats.refused.counts} == {"bad_proof"}

    run(body)
