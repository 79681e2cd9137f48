"""Agents that exchange messages end, number by number, where those of one process do."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import trio
from trio.testing import MockClock

from optimizer.bilateral.admm import negotiate, terms_of
from p2p.transports.base import RequestRefused
from p2p.transports.memory import Faults, MemoryNetwork
from tests.kits.agents_kit import market_of, random_case
from wattswap.nodes.negotiation import (
    CLERK,
    TRADES,
    Clerk,
    identity_of,
    negotiate_in_memory,
    negotiate_over_libp2p,
)


def test_messages_in_memory_give_the_numbers_of_one_process() -> None:
    some = market_of(random_case(10, 1, prosumers=0.4))
    terms = terms_of(some)
    alone = negotiate(some, terms)
    found, traffic = trio.run(negotiate_in_memory, some, terms)
    assert found.verdict == alone.verdict
    assert (found.trades.quantity == alone.trades.quantity).all()
    assert (found.price == alone.price).all()
    partners = {frozenset(ends) for ends in zip(some.seller.tolist(), some.buyer.tolist(), strict=True)}
    reports = 2 * 10 * (found.rounds // terms.every)
    assert traffic.frames == 2 * len(partners) * found.rounds + reports


def test_a_partner_graph_has_fewer_messages() -> None:
    some = market_of(random_case(12, 2, degree=3))
    found, traffic = trio.run(negotiate_in_memory, some, terms_of(some))
    agents = len(set(some.seller.tolist()) | set(some.buyer.tolist()))
    assert len(some.seller) < 36
    assert traffic.frames == 2 * (len(some.seller) * found.rounds + agents * (found.rounds // 10))
    assert found.verdict == negotiate(some, terms_of(some)).verdict


@pytest.mark.live
def test_messages_over_libp2p_give_the_numbers_of_one_process() -> None:
    some = market_of(random_case(4, 1))
    terms = terms_of(some)
    alone = negotiate(some, terms)
    found, _ = trio.run(negotiate_over_libp2p, some, terms)
    assert (found.trades.quantity == alone.trades.quantity).all()
    assert (found.price == alone.price).all()


def test_the_clerk_refuses_strangers_and_what_is_no_report() -> None:
    async def main() -> None:
        some = market_of(random_case(4, 1))
        network = MemoryNetwork()
        async with (
            network.endpoint(identity_of(0)) as clerk,
            network.endpoint(identity_of(1)) as member,
            network.endpoint(identity_of(2)) as stranger,
        ):
            Clerk(clerk, [member.peer_id], terms_of(some), 1.0)
            for who, payload, code in (
                (stranger, struct.pack("<Iddd", 10, 0, 0, 0), "not_a_partner"),
                (member, b"short", "malformed"),
                (member, struct.pack("<Iddd", 10, np.nan, 0, 0), "malformed"),
            ):
                with pytest.raises(RequestRefused) as refused:
                    await who.request(clerk.peer_id, CLERK, payload)
                assert refused.value.code == code
            answer = await member.request(clerk.peer_id, CLERK, struct.pack("<Iddd", 10, 0, 0, 0))
            assert struct.unpack("<dd", answer) == (1.0, 1.0)

    trio.run(main)


def test_an_agent_answers_partners_alone_and_refuses_what_is_no_quantity() -> None:
    async def main() -> None:
        from optimizer.bilateral.admm import alone, table_of
        from wattswap.nodes.negotiation import Member, links_of

        some = market_of(random_case(2, 1))
        terms = terms_of(some)
        table = table_of(some, terms)
        network = MemoryNetwork()
        async with (
            network.endpoint(identity_of(0)) as asker,
            network.endpoint(identity_of(1)) as other,
            network.endpoint(identity_of(2)) as stranger,
        ):
            peers = [asker.peer_id, other.peer_id]
            own, trades = alone(table.own, 1)
            member = Member(other, own, links_of(table, 1, trades, peers), stranger.peer_id, terms, 1.0)
            await member._begin_round(np.zeros(1))
            for who, payload, code in (
                (stranger, struct.pack("<Id", 1, 0.5), "not_a_partner"),
                (asker, struct.pack("<I", 1), "malformed"),
                (asker, struct.pack("<Id", 9, 0.5), "malformed"),
                (asker, struct.pack("<Id", 1, np.inf), "malformed"),
                (asker, b"", "malformed"),
            ):
                with pytest.raises(RequestRefused) as refused:
                    await who.request(other.peer_id, TRADES, payload)
                assert refused.value.code == code
            first = await asker.request(other.peer_id, TRADES, struct.pack("<Id", 1, 0.5))
            assert await asker.request(other.peer_id, TRADES, struct.pack("<Id", 1, 0.5)) == first

    trio.run(main)


def test_lost_and_doubled_messages_change_no_number() -> None:
    some = market_of(random_case(6, 1, prosumers=0.4))
    terms = terms_of(some)
    found, _ = trio.run(
        negotiate_in_memory,
        some,
        terms,
        1.0,
        Faults(seed=3, loss=0.02, duplication=0.05),
        clock=MockClock(autojump_threshold=0),
    )
    alone = negotiate(some, terms)
    assert found.verdict == alone.verdict
    assert (found.trades.quantity == alone.trades.quantity).all()
