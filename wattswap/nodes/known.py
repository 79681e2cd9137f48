"""Who is who for a node: collectors by the chain, members by its list of homes and its configuration, and strangers."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Final

from p2p.disk import Disk
from p2p.errors import BadProof, RemoteError, WrongSignature
from p2p.ledger.light import Line, SettledInterval, Trusted, check_batch_proof, check_line
from p2p.ledger.state import State, initial_state
from p2p.roles.collector.home_keys import HomeKeys
from p2p.roles.household.collectors import Sets
from p2p.roles.replica.ledger import Ledger
from p2p.transports.admission import Places, Rank
from p2p.transports.base import peer_id_of
from p2p.wire.codec import Record, decode, encode
from wattswap.errors import InvalidData
from wattswap.nodes.config import Listen, NodeConfig
from wattswap.runs.prepare import Setup

KEPT_SHARE = 1 / 8
"""Share of the places that only collectors may take."""
TRUSTED_FILE: Final = "trusted.bin"
KEPT_EVERY: Final = 96
"""Heights after which the newest header is written again; a change of the validators or operators is at once."""
CHECKED_MAX: Final = 16
"""Newest proofs that are not checked a second time."""
STALE_HEIGHTS: Final = 64
"""Heights below the newest known one from which on gossip about settled intervals is not passed on."""


class TrustedSets(Record, frozen=True):
    """What a node without a chain knows of it: the newest header that it has checked, and the operators then."""

    version: int
    chain_id: bytes
    trusted: Trusted
    operators: tuple[bytes, ...]


class Known:
    """The peers that a node knows.

    Args:
        path: Where a node without a chain keeps the newest header that it has checked.
        disk: How it is written.
    """

    def __init__(self, config: NodeConfig, setup: Setup, path: Path, disk: Disk) -> None:
        self._genesis = setup.genesis
        self._path, self._disk = path, disk
        self._ledger: Ledger | None = None
        self._initial = initial_state(setup.genesis)
        self._kept_height = 0
        self._newest = self._read()
        self._checked: OrderedDict[bytes, SettledInterval] = OrderedDict()
        self.home_keys = HomeKeys(setup.member_list, self._state)
        self._configured = frozenset(peer_id_of(peer.key) for peer in config.peers)
        self._peer_ids: tuple[frozenset[bytes], frozenset[str]] = (frozenset(), frozenset())

    def follow(self, ledger: Ledger) -> None:
        """Take the present sets from the node's own copy of the chain."""
        self._ledger = ledger

    def sets(self) -> Sets:
        """Operators and validators of now; without a chain, those of the newest proof that was checked."""
        if self._ledger is not None:
            return Sets(self._ledger.tip.state.operators, self._ledger.validators)
        if self._newest is None:
            return Sets(self._genesis.operators, self._genesis.authorities)
        return Sets(self._newest.operators, self._newest.trusted.validators)

    def collectors(self) -> frozenset[bytes]:
        """Public keys of all that may collect now: operators and validators."""
        return frozenset(key for keys in self.sets() for key in keys)

    def is_collector(self, peer: str) -> bool:
        """Whether a peer may collect now."""
        keys = self.collectors()
        if keys != self._peer_ids[0]:
            self._peer_ids = keys, frozenset(map(peer_id_of, keys))
        return peer in self._peer_ids[1]

    def _state(self) -> State:
        return self._initial if self._ledger is None else self._ledger.tip.state

    def _is_home(self, peer: str) -> bool:
        """Whether a peer has the key of a home: the one of now, or one that signs messages that are not settled."""
        with suppress(RemoteError):
            newest_s = self._state().settled.last_interval_start
            return bool(self.home_keys.home_of(peer, newest_s))
        return False

    @property
    def trusted(self) -> Trusted | None:
        """The newest header that was checked; None before the first."""
        return None if self._newest is None else self._newest.trusted

    def read_result(self, data: bytes) -> SettledInterval:
        """Check the proof of a settled interval, and take over validators and operators if it is the newest.

        Raises:
            RemoteError: The proof does not hold, is by validators who have left, or is that of a later version: what
                was promised is in the first one.
        """
        found = self._read_version(data)
        if found.version != 1:
            raise BadProof(f"the proof of version {found.version} where that of the first is due")
        return found

    def _read_version(self, data: bytes) -> SettledInterval:
        """Check the proof of any version of a settled interval; as `read_result`."""
        name = sha256(data).digest()
        found = self._checked.get(name)
        if found is None:
            found = self._checked[name] = check_batch_proof(data, self._genesis, self.trusted)
            while len(self._checked) > CHECKED_MAX:
                self._checked.popitem(last=False)
            self._learn(found)
        return found

    def read_line(self, data: bytes) -> Line:
        """Check the proof of a home's line; the proof of its batch, which all lines of an interval share, only once.

        Raises:
            RemoteError: It does not hold.
        """
        return check_line(data, self._read_version, self._genesis)

    def check_gossip(self, author: str, data: bytes) -> None:
        """Refuse gossip on the topic of results that is not the proof of a new interval by who settled it.

        Who sent it must be who settled it: otherwise anybody could repeat old results without end.

        Raises:
            RemoteError: It is not.
        """
        if not self.is_collector(author):
            raise WrongSignature(f"gossip of {author}, which is no collector")
        settled = self.read_result(data)
        if peer_id_of(settled.tx.sender) != author:
            raise WrongSignature(f"gossip of {author} with a result of {peer_id_of(settled.tx.sender)}")
        if self._newest is not None and settled.height + STALE_HEIGHTS < self._newest.trusted.height:
            raise WrongSignature(f"gossip of {author} with a result of long ago")

    def _learn(self, settled: SettledInterval) -> None:
        before = self._newest
        if before is not None and settled.height <= before.trusted.height:
            return
        # Whoever gives a proof can leave the list of operators out, so that it shows those of the genesis.
        shown = before is None or settled.shows_operators
        operators = settled.operators if shown or before is None else before.operators
        self._newest = TrustedSets(1, self._genesis.chain_id, settled.trusted, operators)
        if self._ledger is not None:
            return
        sets = None if before is None else (before.operators, before.trusted.validators)
        if (
            sets != (operators, settled.trusted.validators)
            or settled.height >= self._kept_height + KEPT_EVERY
        ):
            self._kept_height = settled.height
            with suppress(OSError):  # on a full disk: it is known again with the next result
                self._disk.write_whole(self._path, encode(self._newest))

    def _read(self) -> TrustedSets | None:
        if not self._path.exists():
            return None
        cure = "move it away to start again from the genesis, if you know that its validators have not left"
        try:
            found = decode(TrustedSets, self._path.read_bytes())
        except (OSError, RemoteError) as error:
            raise InvalidData.of(str(self._path), f"cannot be read: {error}", cure) from None
        if found.version != 1 or found.chain_id != self._genesis.chain_id:
            raise InvalidData.of(str(self._path), "is of another chain or version", cure)
        return found

    def rank(self, peer: str) -> Rank:
        """See `p2p.transports.admission.Rank`."""
        if self.is_collector(peer):
            return Rank.COLLECTOR
        return Rank.MEMBER if peer in self._configured or self._is_home(peer) else Rank.STRANGER


def places_of(listen: Listen) -> Places:
    """The places that a configuration gives to connections from others."""
    return Places(
        total=listen.connections,
        kept=int(listen.connections * KEPT_SHARE),
        strangers=listen.strangers,
        per_address=listen.per_address,
    )
