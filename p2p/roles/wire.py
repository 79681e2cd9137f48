"""Names on the wire that both roles share: protocols, topics, the question for one interval."""

from __future__ import annotations

from typing import Final

from p2p.codec import Record, decode, encode
from p2p.errors import RemoteError, WrongChain, WrongVersion
from p2p.messages import VERSION

BID_PROTOCOL: Final = "/wattswap/bid/1"
"""A signed order or "nothing" -> a signed receipt."""
READING_PROTOCOL: Final = "/wattswap/reading/1"
"""A signed meter reading -> a signed receipt."""
LINE_PROTOCOL: Final = "/wattswap/line/1"
"""An IntervalQuery -> the asking household's settlement line with its proof; empty while it is not ready."""
RESULT_PROTOCOL: Final = "/wattswap/result/1"
"""An IntervalQuery -> the signed result of the interval, for whoever missed the gossip; empty likewise."""


class Forgotten(RemoteError):
    """A question for an interval that was skipped or is older than what the operator keeps."""

    code = "forgotten"


class IntervalQuery(Record, frozen=True):
    """A question about one interval.

    Args:
        interval_start: Start of the interval. [s since 1970, UTC]
    """

    version: int
    chain_id: bytes
    interval_start: int


def result_topic(chain_id: bytes) -> str:
    """The gossip topic of results; chains that share a network do not hear each other."""
    return f"/wattswap/{chain_id[:8].hex()}/result/1"


def ask(chain_id: bytes, interval_start: int) -> bytes:
    """The bytes of a query."""
    return encode(IntervalQuery(VERSION, chain_id, interval_start))


def read_query(data: bytes, chain_id: bytes) -> int:
    """Return the interval start a query asks for.

    Raises:
        RemoteError: Not a query, or one for another chain or version.
    """
    query = decode(IntervalQuery, data, max_bytes=128)
    if query.version != VERSION:
        raise WrongVersion(f"version {query.version}; this program speaks {VERSION}")
    if query.chain_id != chain_id:
        raise WrongChain(f"chain {query.chain_id.hex()[:16]}; this is chain {chain_id.hex()[:16]}")
    return query.interval_start
