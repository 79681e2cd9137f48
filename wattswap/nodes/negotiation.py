"""A negotiation over a network: every agent computes only its own step, and sends only its own quantities.

Of each pair the agent of the lower row asks: its request carries its copies of a round, the reply those of the other
end. So a round is one message per agent and partner. Every few rounds each agent sends three sums to a clerk, who
answers with the next rho and whether to stop. The clerk sees neither costs nor trades.

The same code runs over `p2p.transports.memory` and `p2p.transports.libp2p`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import trio

from market.units import FloatArray
from optimizer.bilateral.admm import Negotiated, Table, alone, ended, table_of
from optimizer.bilateral.market import Market
from optimizer.bilateral.negotiation import (
    Own,
    Report,
    State,
    Terms,
    Verdict,
    agree,
    begin,
    choose,
    report,
    turn,
    weigh,
)
from p2p.errors import Malformed, RemoteError
from p2p.transports.base import RequestRefused, Transport
from p2p.transports.memory import Faults, MemoryNetwork
from p2p.wire.frames import LinkError
from p2p.wire.identity import SEED_BYTES, Identity

TRADES = "/wattswap/negotiation/trades/1"
CLERK = "/wattswap/negotiation/clerk/1"

TRIES = 60
"""How often a request is repeated before a negotiation fails."""

PAUSE_S = 0.1
"""Before a request is repeated over a broken link. [s]"""

_ROUND = struct.Struct("<I")
_SUMS = struct.Struct("<Iddd")
_ANSWER = struct.Struct("<dd")


class NotAPartner(RemoteError):
    """A message of a peer that is no partner or does not take part, or of a partner whose turn it is to answer."""

    code = "not_a_partner"


@dataclass(frozen=True, slots=True)
class Link:
    """A partner, as an agent sees it.

    Args:
        peer: Peer id of the partner.
        asks: Whether this agent asks and the partner answers.
        trades: Places of the trades with it among the agent's own: the one that sells, then the one that buys.
        theirs: The same places in the order in which the partner sends its copies.
    """

    peer: str
    asks: bool
    trades: tuple[int, ...]
    theirs: tuple[int, ...]


class Outcome(NamedTuple):
    """Where an agent ended: its state, its last copies, and the rounds."""

    state: State
    sent: FloatArray
    rounds: int


class Member:
    """One agent of a negotiation."""

    def __init__(
        self, transport: Transport, own: Own, links: Sequence[Link], clerk: str, terms: Terms, rho: float
    ) -> None:
        self._transport, self._own, self._links = transport, own, {link.peer: link for link in links}
        self._clerk, self._terms = clerk, terms
        self._state = begin(own)._replace(rho=rho)
        self._round = 0
        self._sent: dict[int, FloatArray] = {}
        self._received = np.zeros(len(own.cost))
        self._missing: set[str] = set()
        self._news = trio.Condition()
        transport.serve(TRADES, self._answer)

    async def run(self) -> Outcome:
        """Negotiate until the clerk reports that all agree, or the most rounds are reached."""
        while True:
            sent, marginal = choose(self._own, self._state, self._terms)
            await self._begin_round(sent)
            async with trio.open_nursery() as nursery:
                for link in self._links.values():
                    if link.asks:
                        nursery.start_soon(self._ask, link, sent)
            async with self._news:
                while self._missing:
                    await self._news.wait()
            before, received = self._state, self._received.copy()
            self._state = agree(before, sent, received, marginal)
            done = self._round >= self._terms.rounds_max
            if self._round % self._terms.every == 0:
                own_report = report(self._own, before, self._state, sent, received, self._terms)
                rho, agreed = await self._report(own_report)
                self._state, done = turn(self._state, rho), done or agreed
            if done:
                return Outcome(self._state, sent, self._round)

    async def _begin_round(self, sent: FloatArray) -> None:
        async with self._news:
            self._round += 1
            self._sent[self._round] = sent
            self._sent.pop(self._round - 2, None)
            self._missing = set(self._links)
            self._news.notify_all()

    async def _ask(self, link: Link, sent: FloatArray) -> None:
        payload = _packed(self._round, sent, link)
        number = self._round
        await self._take(link, await self._request(link.peer, TRADES, payload), number)

    async def _request(self, peer: str, protocol: str, payload: bytes) -> bytes:
        """Send a request, again where the other side is slow or the link broke: the answer is the same."""
        for _ in range(TRIES - 1):
            try:
                return await self._transport.request(peer, protocol, payload)
            except RequestRefused as refused:
                if refused.code != "handler_timeout":
                    raise
            except LinkError:
                await trio.sleep(PAUSE_S)
        return await self._transport.request(peer, protocol, payload)

    async def _answer(self, peer: str, payload: bytes) -> bytes:
        """Answer a partner once this agent has reached the same round; a repeated request gets the same answer."""
        link = self._links.get(peer)
        if link is None or link.asks:
            raise NotAPartner(f"{peer} is not a partner who asks")
        number = _round_of(payload)
        async with self._news:
            if not self._round - 1 <= number <= self._round + 1:
                raise Malformed(f"round {number} in round {self._round}")
            while self._round < number:
                await self._news.wait()
        await self._take(link, payload, number)
        if number not in self._sent:
            raise Malformed(f"round {number} is over")
        return _packed(number, self._sent[number], link)

    async def _take(self, link: Link, payload: bytes, number: int) -> None:
        copies = _unpacked(payload, len(link.trades))
        if _round_of(payload) != number:
            raise Malformed(f"round {_round_of(payload)} where {number} was due")
        async with self._news:
            # A request that came twice may wait here until the next round has begun.
            if number == self._round and link.peer in self._missing:
                self._received[list(link.theirs)] = copies
                self._missing.discard(link.peer)
                self._news.notify_all()

    async def _report(self, sums_of: Report) -> tuple[float, bool]:
        sums = (float(one[0]) for one in sums_of)
        answer = await self._request(self._clerk, CLERK, _SUMS.pack(self._round, *sums))
        if len(answer) != _ANSWER.size:
            raise Malformed(f"an answer of the clerk of {len(answer)} bytes, not {_ANSWER.size}")
        rho, done = _ANSWER.unpack(answer)
        return rho, done > 0


class Clerk:
    """Adds up the reports of the agents and answers how to go on; knows no costs and no trades."""

    def __init__(self, transport: Transport, members: Sequence[str], terms: Terms, rho: float) -> None:
        self._members, self._terms = list(members), terms
        self._sums: dict[str, tuple[int, float, float, float]] = {}
        self._verdicts: dict[int, Verdict] = {}
        self.verdict = Verdict(rho, False, np.inf, np.inf, np.inf)
        self._news = trio.Condition()
        transport.serve(CLERK, self._answer)

    async def _answer(self, peer: str, payload: bytes) -> bytes:
        if peer not in self._members:
            raise NotAPartner(f"{peer} does not take part")
        if len(payload) != _SUMS.size:
            raise Malformed(f"a report of {len(payload)} bytes, not {_SUMS.size}")
        number, *sums = _SUMS.unpack(payload)
        if not all(np.isfinite(sums)):
            raise Malformed("a report with a value that is not finite")
        async with self._news:
            if number > self._sums.get(peer, (0,))[0]:  # a report that arrives twice counts once
                self._sums[peer] = (number, *sums)
            if number not in self._verdicts and all(
                self._sums.get(one, (0,))[0] == number for one in self._members
            ):
                rows = np.array([self._sums[one][1:] for one in self._members])
                self.verdict = weigh(Report(*rows.T), self.verdict.rho, self._terms)
                self._verdicts = {number: self.verdict}
                self._news.notify_all()
            if number < max(self._verdicts, default=0):
                raise Malformed(f"a report of round {number}, which is over")
            while number not in self._verdicts:
                await self._news.wait()
            verdict = self._verdicts[number]
        return _ANSWER.pack(verdict.rho, float(verdict.done))


def _packed(number: int, sent: FloatArray, link: Link) -> bytes:
    return _ROUND.pack(number) + sent[list(link.trades)].astype("<f8").tobytes()


def _round_of(payload: bytes) -> int:
    if len(payload) < _ROUND.size:
        raise Malformed("a message without a round")
    return int(_ROUND.unpack_from(payload)[0])


def _unpacked(payload: bytes, count: int) -> FloatArray:
    if len(payload) != _ROUND.size + 8 * count:
        raise Malformed(f"{len(payload)} bytes where {count} quantities were due")
    copies = np.frombuffer(payload, "<f8", offset=_ROUND.size).astype(np.float64)
    if not np.isfinite(copies).all():
        raise Malformed("a quantity that is not finite")
    return copies


# ---- all agents of a case


def links_of(table: Table, agent: int, trades: slice, peers: Sequence[str]) -> list[Link]:
    """The partners of one agent."""
    own = table.own
    side = np.repeat(np.arange(len(own.first)), own.count)
    agent_of, sells = own.agent[side], own.sign[side] > 0
    by_partner: dict[int, list[int]] = {}
    for place in range(trades.start, trades.stop):
        by_partner.setdefault(int(agent_of[table.mirror[place]]), []).append(place)
    links = []
    for partner, places in sorted(by_partner.items()):
        mine = sorted(places, key=lambda place: not sells[place])
        theirs = sorted(places, key=lambda place: not sells[table.mirror[place]])
        links.append(
            Link(
                peers[partner],
                agent < partner,
                tuple(place - trades.start for place in mine),
                tuple(place - trades.start for place in theirs),
            )
        )
    return links


def identity_of(number: int) -> Identity:
    """The identity of an agent of a demonstration; a real one has a key of its own."""
    return Identity.from_seed((b"agent" + number.to_bytes(8, "big")).ljust(SEED_BYTES, b"\0"))


class Traffic(NamedTuple):
    """What was sent by all together: frames, and their bytes."""

    frames: int
    bytes: int


async def negotiate_over(
    market: Market, terms: Terms, transports: Sequence[Transport], rho: float = 1.0
) -> tuple[Negotiated, Traffic]:
    """Let every agent negotiate at its own endpoint; the last endpoint is the clerk's.

    Args:
        market: n agents, m > 0 pairs.
        terms: As in `negotiate`.
        transports: One per agent that has partners, by row, and one of the clerk; all connected as they need.
        rho: To begin with.

    Returns:
        What `optimizer.bilateral.admm.negotiate` returns, and the traffic.
    """
    table = table_of(market, terms)
    peers = [transport.peer_id for transport in transports[:-1]]
    clerk = Clerk(transports[-1], peers, terms, rho)
    members, places = [], []
    for k in range(len(peers)):
        own, trades = alone(table.own, k)
        links = links_of(table, k, trades, peers)
        members.append(Member(transports[k], own, links, transports[-1].peer_id, terms, rho))
        places.append(trades)
    outcomes: dict[int, Outcome] = {}

    async def run(k: int) -> None:
        outcomes[k] = await members[k].run()

    async with trio.open_nursery() as nursery:
        for k in range(len(members)):
            nursery.start_soon(run, k)
    state, sent, rounds = _together(table, places, outcomes)
    stats = [transport.stats for transport in transports]
    traffic = Traffic(sum(one.frames_sent for one in stats), sum(one.bytes_sent for one in stats))
    return ended(market, table, state, sent, rounds, clerk.verdict, terms), traffic


def _together(
    table: Table, places: Sequence[slice], outcomes: Mapping[int, Outcome]
) -> tuple[State, FloatArray, int]:
    """What the settlement gets: the last copies and prices of all."""
    count = len(table.own.cost)
    agreed, price, sent = np.zeros(count), np.zeros(count), np.zeros(count)
    marginal = np.zeros(len(table.own.slope))
    for k, trades in enumerate(places):
        state = outcomes[k].state
        agreed[trades], price[trades], sent[trades] = state.agreed, state.price, outcomes[k].sent
        marginal[k] = state.marginal[0]
    first = outcomes[0]
    return State(agreed, price, marginal, first.state.rho), sent, first.rounds


async def negotiate_in_memory(
    market: Market, terms: Terms, rho: float = 1.0, faults: Faults | None = None
) -> tuple[Negotiated, Traffic]:
    """A negotiation over the in-memory transport."""
    network = MemoryNetwork(faults or Faults())
    count = len(table_of(market, terms).row)
    async with AsyncExitStack() as stack:
        transports = [
            await stack.enter_async_context(network.endpoint(identity_of(k))) for k in range(count + 1)
        ]
        return await negotiate_over(market, terms, transports, rho)


async def negotiate_over_libp2p(market: Market, terms: Terms, rho: float = 1.0) -> tuple[Negotiated, Traffic]:
    """A negotiation over libp2p on this machine: one node per agent and one of the clerk."""
    from p2p.transports.libp2p import open_libp2p

    table = table_of(market, terms)
    count = len(table.row)
    async with AsyncExitStack() as stack:
        transports = [await stack.enter_async_context(open_libp2p(identity_of(k))) for k in range(count + 1)]
        peers = [transport.peer_id for transport in transports]
        address = {transport.peer_id: transport.address for transport in transports}
        for k in range(count):
            _, trades = alone(table.own, k)
            asked = [link.peer for link in links_of(table, k, trades, peers) if link.asks]
            for peer in (*asked, peers[-1]):
                await transports[k].connect(address[peer])
        return await negotiate_over(market, terms, transports, rho)
