"""A stranger: an endpoint with a key of its own, which belongs to nobody of the neighbourhood."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import trio

from p2p.errors import P2PError
from p2p.roles.exchange.wire import (
    BATCH_PROTOCOL,
    BID_PROTOCOL,
    INCLUSION_PROTOCOL,
    LINE_PROTOCOL,
    READING_PROTOCOL,
    RESULT_PROTOCOL,
    HandIn,
    ask,
    ask_slot,
    result_topic,
)
from p2p.roles.replica.blobs import BLOB_PROTOCOL, BlobQuery
from p2p.roles.replica.peers import CONSENSUS_PROTOCOL
from p2p.roles.validator.mempool import TX_PROTOCOL
from p2p.transports.base import RequestRefused, Transport, peer_id_of
from p2p.wire.codec import encode
from p2p.wire.identity import SEED_BYTES, Identity
from p2p.wire.messages import VERSION, ReadingMessage, sign_message
from wattswap.simulation.byzantine.behaviour import Behaviour
from wattswap.simulation.plan import STRANGER

EVERY_S: Final = 1.0
"""[s]"""
FRAMES: Final = 8
"""Junk frames at a time."""
GOSSIP_BYTES: Final = 4 * 1024


class Stranger(Behaviour):
    """Asks for what is not its own, and floods collectors and gossip with junk."""

    def key_of(self, name: str) -> Identity:
        return Identity.from_seed(STRANGER.encode().ljust(SEED_BYTES, b"\0"))

    async def live(self) -> None:
        """Join the network and speak until cancelled."""
        self.town.network.names[peer_id_of(self.identity.public_key)] = STRANGER
        async with self.town.network.endpoint(self.identity) as transport:
            await self.speak(transport)

    async def speak(self, transport: Transport) -> None:
        await self.first_moment()
        collectors = self.base.of_role("operator", "validator")
        while True:
            async with trio.open_nursery() as nursery:
                for name in collectors:
                    nursery.start_soon(self._flood, transport, name)
                nursery.start_soon(self._gossip, transport)
            await trio.sleep(EVERY_S)

    async def _flood(self, transport: Transport, name: str) -> None:
        for protocol, frame in list(self._frames()):
            try:
                await transport.request(await transport.connect(self.address(name)), protocol, frame)
            except P2PError as error:
                if not isinstance(error, RequestRefused):
                    continue
            self.told(self.town.nodes[name].is_up)

    def _frames(self) -> Iterator[tuple[str, bytes]]:
        """What it sends to a collector: junk, a reading of a home, and questions."""
        start_s = self.setup.start_of(self._now())
        for _ in range(FRAMES):
            yield BID_PROTOCOL, self.random.randbytes(self.random.randrange(1, 2_048))
        yield READING_PROTOCOL, self._forged(start_s)
        yield BATCH_PROTOCOL, encode(HandIn(VERSION, self.chain_id, (self._forged(start_s),) * FRAMES))
        yield LINE_PROTOCOL, ask(self.chain_id, start_s)
        yield INCLUSION_PROTOCOL, ask_slot(self.chain_id, start_s, 0)
        yield RESULT_PROTOCOL, ask(self.chain_id, start_s)
        yield BLOB_PROTOCOL, encode(BlobQuery(VERSION, self.chain_id, self._blob(), 0))
        yield TX_PROTOCOL, self.random.randbytes(300)
        yield CONSENSUS_PROTOCOL, self.random.randbytes(300)

    def _now(self) -> int:
        """The interval that is traded."""
        plan = self.town.plan
        i = int((trio.current_time() - plan.opens_s(0)) // plan.shape.pace_s)
        return max(min(i, self.setup.intervals - 1), 0)

    def _forged(self, start_s: int) -> bytes:
        """A reading in the name of a home, by its own key."""
        home = self.random.choice(self.setup.roster)
        head = (VERSION, self.chain_id, start_s, self.setup.minutes, home)
        return sign_message(self.identity, ReadingMessage(*head, 2**40, 0, 0, 0))

    def _blob(self) -> bytes:
        """Name of a blob that exists, as a member of the neighbourhood could have given it away."""
        names = list(self.town.truth.blobs)
        return bytes.fromhex(names[-1].partition("-")[2].removesuffix(".blob")) if names else bytes(32)

    async def _gossip(self, transport: Transport) -> None:
        topic, junk = result_topic(self.chain_id), self.random.randbytes
        start_s = self.setup.start_of(self._now())
        for data in (junk(GOSSIP_BYTES), self._forged(start_s)):
            await transport.publish(topic, data)
            self.told(len(self.spoken_homes(start_s)))


OF_STRANGERS: Final[Mapping[str, Callable[..., Behaviour]]] = {"flood": Stranger}
