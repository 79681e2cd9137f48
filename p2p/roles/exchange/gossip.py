"""Which gossip about results a node takes and passes on: results that a collector of the chain signed itself."""

from __future__ import annotations

from collections.abc import Callable, Collection

from p2p.errors import WrongSignature
from p2p.transports.base import GossipCheck, peer_id_of
from p2p.wire.messages import DEFAULT_LIMITS, Kind, Limits, open_message, signer_of


def results_check(
    chain_id: bytes, collectors: Callable[[], Collection[bytes]], limits: Limits = DEFAULT_LIMITS
) -> GossipCheck:
    """Return the check of gossip on the topic of results.

    Who sent it must be who signed it: otherwise anybody could repeat old results without end.

    Args:
        collectors: Public keys of those that may collect now.
        limits: Ranges of the chain.
    """

    def check(author: str, data: bytes) -> None:
        keys = collectors()
        open_message(
            data,
            chain_id=chain_id,
            kinds=(Kind.RESULT,),
            household_keys={},
            collector_keys=keys,
            limits=limits,
        )
        signer = peer_id_of(signer_of(data))
        if signer != author:
            raise WrongSignature(f"gossip of {author} with a result that {signer} signed")

    return check
