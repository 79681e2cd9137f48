"""Who is who for a node: collectors by the chain, members by its list of homes and its configuration, and strangers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from p2p.ledger.light import validators_in
from p2p.transports.admission import Places, Rank
from p2p.transports.base import peer_id_of
from wattswap.nodes.config import Listen, NodeConfig
from wattswap.runs.prepare import Setup

KEPT_SHARE = 1 / 8
"""Share of the places that only collectors may take."""


class Known:
    """The peers that a node knows.

    Attributes:
        authorities: Public keys of the present ones. A node that follows no chain knows those of the genesis, and
            later ones from the proofs it has checked.
    """

    def __init__(self, config: NodeConfig, setup: Setup) -> None:
        self._genesis, self._operators = setup.genesis, setup.genesis.operators
        self._proven_height = 0
        self.authorities: Callable[[], Sequence[bytes]] = lambda: setup.genesis.authorities
        homes = setup.member_list.by_id.values()
        self._members = frozenset(peer_id_of(key) for key in (*homes, *(peer.key for peer in config.peers)))
        self._peer_ids: tuple[frozenset[bytes], frozenset[str]] = (frozenset(), frozenset())

    def collectors(self) -> frozenset[bytes]:
        """Public keys of all that may collect now: operators and validators."""
        return frozenset((*self._operators, *self.authorities()))

    def is_collector(self, peer: str) -> bool:
        """Whether a peer may collect now."""
        keys = self.collectors()
        if keys != self._peer_ids[0]:
            self._peer_ids = keys, frozenset(map(peer_id_of, keys))
        return peer in self._peer_ids[1]

    def learn(self, proof: bytes) -> None:
        """Take over the validators of a proof that was checked, unless a later one is known."""
        height, validators = validators_in(proof, self._genesis)
        if height > self._proven_height:
            self._proven_height = height
            self.authorities = lambda: validators

    def rank(self, peer: str) -> Rank:
        """See `p2p.transports.admission.Rank`."""
        if self.is_collector(peer):
            return Rank.COLLECTOR
        return Rank.MEMBER if peer in self._members else Rank.STRANGER


def places_of(listen: Listen) -> Places:
    """The places that a configuration gives to connections from others."""
    return Places(
        total=listen.connections,
        kept=int(listen.connections * KEPT_SHARE),
        strangers=listen.strangers,
        per_address=listen.per_address,
    )
