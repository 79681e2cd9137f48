"""From receipt to proof: what one promised, restarts included, one's own batch and closing convict one of nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from p2p.batches.batch import batch_args, batch_tx, interval_secret, make_batch
from p2p.batches.blob import blob_hash, make_blob, open_blob
from p2p.batches.closings import Closing, check_broken_promise, check_closing, make_broken_promise
from p2p.batches.receipts import Inclusion, check_omission, include, make_omission
from p2p.blocks.block import Tx
from p2p.errors import BadProof
from p2p.roles.collector.operator import Operator
from p2p.roles.exchange.journal import Journal
from p2p.roles.exchange.wire import BID_PROTOCOL
from p2p.transports.base import peer_id_of
from p2p.transports.memory import Faults, MemoryNetwork
from p2p.wire.codec import decode
from p2p.wire.messages import NothingMessage, OrderMessage, ReceiptCode, ReceiptMessage, Signed, household_of
from tests.kits.chain_kit import MASTER, OPERATOR, START, identity, make_postings
from tests.kits.keys_kit import home_keys
from tests.kits.sample_kit import some
from tests.kits.signed_kit import MINUTES, homes, keyed_genesis, names, nothing, order, signed

MEMBERS = 4
GENESIS = keyed_genesis(MEMBERS)
ROSTER = names(MEMBERS)
KEYS = homes(MEMBERS).by_id
SECRET = interval_secret(MASTER, START)
SENDER = identity("sender", "0")
PEER = peer_id_of(OPERATOR.public_key)
Spoken = OrderMessage | NothingMessage


class Open:
    """Gates that are open for every message, and whose slots may be closed at any time."""

    def refusal(self, interval_start: int, slot: int) -> None:
        """Nothing is refused."""

    def check_closed(self, interval_start: int, slot: int) -> None:
        """Nothing is too early."""


def run(body: Callable[[], Awaitable[None]]) -> None:
    """Run on a clock that jumps to the next thing to do."""
    trio.run(body, clock=trio.testing.MockClock(autojump_threshold=0))


@dataclass
class Life:
    """What a collector did in one interval: each message with its receipt, and what its gate held in the end.

    Args:
        closings: What it signed about the first slot, as a validator does.
    """

    given: list[tuple[Spoken, bytes]] = field(default_factory=list)
    held: list[tuple[bytes, ...]] = field(default_factory=list)
    closings: list[Closing] = field(default_factory=list)

    def promised(self) -> list[tuple[Spoken, bytes]]:
        kept = (ReceiptCode.ACCEPTED, ReceiptCode.REPLACED)
        return [(message, data) for message, data in self.given if code_of(data) in kept]


def code_of(data: bytes) -> int:
    return decode(ReceiptMessage, decode(Signed, data).body).code


async def live(lives: list[list[Spoken]]) -> Life:
    """Each inner list is said to one process, which then is killed.

    The gate closes in the last but one; the last hears its list when a batch may be under way.
    """
    life, journal = Life(), Journal(None)
    for number, said in enumerate(lives):
        network = MemoryNetwork(Faults())
        async with network.endpoint(OPERATOR) as node, network.endpoint(SENDER) as sender:
            operator = Operator(
                node, OPERATOR, GENESIS.chain_id, ROSTER, home_keys(KEYS), MINUTES, Open(), journal
            )
            async with trio.open_nursery() as nursery:

                async def gate(operator: Operator = operator) -> None:
                    life.held.append((await operator.collect(START, 5.0)).signed)

                nursery.start_soon(gate)
                await trio.testing.wait_all_tasks_blocked()
                for message in said:
                    life.given.append((message, await sender.request(PEER, BID_PROTOCOL, signed(message))))
                if number < len(lives) - 2:
                    nursery.cancel_scope.cancel()
    return life


def batch_of(held: tuple[bytes, ...]) -> tuple[Inclusion, Tx]:
    """What a collector makes of its gate: blob, tree, transaction."""
    blob = make_blob(ROSTER, START, SECRET, held)
    content = open_blob(blob, GENESIS, homes(MEMBERS))
    inclusion = include(ROSTER, content.messages, content.interval_secret)
    postings = make_postings(MEMBERS, 1)
    args = batch_args(
        make_batch(postings, START, MASTER),
        postings,
        orders=len(content.orders),
        book_root=b"b" * 32,
        clearing_root=b"c" * 32,
        prices_root=b"p" * 32,
        prices=1,
        price=None,
        traded_wh=0,
        next_collector=OPERATOR.public_key,
        blob_hash=blob_hash(blob),
        inclusion_root=inclusion.root,
    )
    return inclusion, batch_tx(OPERATOR, GENESIS.chain_id, 1, 100, args)


def accuse(message: Spoken, receipt: bytes, inclusion: Inclusion, tx: Tx) -> tuple[bytes, int]:
    place = ROSTER.index(message.household)
    opening = inclusion.opening(place)
    return check_omission(
        make_omission(receipt, signed(message), homes(MEMBERS).proof(place), opening, tx), GENESIS
    )


said_once = st.builds(
    lambda make, household, nonce: make(GENESIS, household, nonce),
    st.sampled_from([order, nothing]),
    st.sampled_from(ROSTER),
    st.integers(0, 4),
)
histories = st.lists(st.lists(said_once, max_size=5), min_size=2, max_size=4)


@settings(max_examples=some(60, 20), deadline=None)
@given(histories)
def test_the_batch_of_a_collector_keeps_every_promise_it_gave(lives: list[list[Spoken]]) -> None:
    """Kills in the open interval, and one after the gate closed: both batches hold what any process promised."""

    async def body() -> None:
        life = await live(lives)
        for held in life.held:
            inclusion, tx = batch_of(held)
            for message, receipt in life.given:
                with pytest.raises(BadProof):
                    accuse(message, receipt, inclusion, tx)

    run(body)


@settings(max_examples=some(40, 13), deadline=None)
@given(histories, st.data())
def test_a_collector_that_drops_a_promised_household_is_convicted(
    lives: list[list[Spoken]], data: st.DataObject
) -> None:
    async def body() -> None:
        life = await live(lives)
        if not life.promised():
            return
        message, receipt = data.draw(st.sampled_from(life.promised()))
        name = message.household
        held = tuple(one for one in life.held[-1] if household_of(one) != name)
        assert accuse(message, receipt, *batch_of(held)) == (OPERATOR.public_key, START)

    run(body)


@settings(max_examples=some(40, 13), deadline=None)
@given(histories)
def test_a_restart_after_the_gate_closed_leads_to_the_same_batch(lives: list[list[Spoken]]) -> None:
    """Two different batches of one interval under one signature would be worse than none."""

    async def body() -> None:
        life = await live(lives)
        assert len(set(life.held)) == 1

    run(body)


async def closed(lives: list[list[Spoken]], ends: list[bool]) -> Life:
    """Each inner list is said to one process of a validator, which then is killed; some close the slot before that."""
    life, journal = Life(), Journal(None)
    for said, closes in zip(lives, [*ends, True], strict=False):
        network = MemoryNetwork(Faults())
        async with network.endpoint(OPERATOR) as node, network.endpoint(SENDER) as sender:
            validator = Operator(
                node, OPERATOR, GENESIS.chain_id, ROSTER, home_keys(KEYS), MINUTES, Open(), journal
            )
            for message in said:
                life.given.append((message, await sender.request(PEER, BID_PROTOCOL, signed(message))))
            if closes:
                life.closings.append(validator.close(START, 0))
    return life


@settings(max_examples=some(60, 20), deadline=None)
@given(histories, st.lists(st.booleans(), min_size=4, max_size=4))
def test_the_closing_of_a_validator_keeps_every_promise_it_gave(
    lives: list[list[Spoken]], ends: list[bool]
) -> None:
    """Also those that were given, or asked for, after it had closed, by this process or the one after it."""

    async def body() -> None:
        life = await closed(lives, ends[: len(lives) - 1])
        assert len(set(life.closings)) == 1
        for closing in life.closings:
            check_closing(closing, GENESIS.chain_id)
            for message, receipt in life.given:
                home = homes(MEMBERS).proof(ROSTER.index(message.household))
                with pytest.raises(BadProof):
                    check_broken_promise(
                        make_broken_promise(receipt, signed(message), home, closing), GENESIS
                    )

    run(body)
