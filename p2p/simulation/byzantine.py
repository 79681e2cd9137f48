"""Byzantine validators for the simulator: what one sends instead of what its core says.

One may sign anything with its own key and nothing with another: forged signatures are sent too, and the
simulator must see them refused.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from p2p.blocks.block import PREVOTE
from p2p.consensus.core import Core
from p2p.consensus.types import NO_ROUND, Message, Proposal, Vote, signed_bytes

STYLES = ("silent", "equivocator", "invalid", "forger", "amnesiac", "chaotic")
_PARTS = ("silent", "equivocator", "invalid", "forger", "honest")

Sent = list[tuple[int, Message]]


class ByzantineValidator:
    """Decides what a byzantine validator sends.

    Args:
        style: One of `STYLES`.
        sign: Signature by its own key, of anything.
        forge: What a signature of another validator looks like; it is not in the ledger of signatures.
        make_block: Bytes and hash of a new block of a height, valid or not.
        known: Hashes of all blocks of a height.
    """

    def __init__(
        self,
        index: int,
        n: int,
        style: str,
        random: Random,
        sign: Callable[[bytes], bytes],
        forge: Callable[[int], bytes],
        make_block: Callable[[int, bool], tuple[bytes, bytes]],
        known: Callable[[int], list[bytes]],
        chain_id: bytes,
    ) -> None:
        self.index, self.n, self.style = index, n, style
        self._random = random
        self._sign = sign
        self._forge = forge
        self._make_block = make_block
        self._known = known
        self._chain_id = chain_id
        self._pushed: dict[tuple[int, int], bytes] = {}

    @property
    def builds_valid(self) -> bool:
        """Whether the next block it builds is valid."""
        return self._now() != "invalid"

    @property
    def checks(self) -> bool:
        """Whether it checks blocks; otherwise it takes every one for valid."""
        return self.style not in ("invalid", "chaotic")

    def cloud(self, core: Core) -> None:
        """Delete its lock and its valid block."""
        if self.style in ("amnesiac", "chaotic"):
            core.locked, core.locked_round = None, NO_ROUND
            core.valid, core.valid_round = None, NO_ROUND

    def rewrite(self, message: Message, core: Core) -> Sent:
        """Return what goes to whom, instead of this message to everyone."""
        everyone = [(target, message) for target in range(self.n) if target != self.index]
        style = self._now()
        if style == "silent":
            return []
        if isinstance(message, Vote):
            pushed = self._pushed.get((message.height, message.round))
            if pushed is not None:
                vote = self._vote(message.kind, message.height, message.round, pushed)
                return [(target, vote) for target, _ in everyone]
            if style == "equivocator":
                return self._split(message, self._twin_vote(message))
            if style == "forger":
                return everyone + self._vote_of_another(message) + self._far_vote(message)
        if isinstance(message, Proposal):
            if style == "equivocator":
                block, name = self._make_block(message.height, True)
                twin = self._signed(message, block_hash=name, block=block, valid_round=NO_ROUND, pol=())
                return self._split(message, twin)
            if style == "forger":
                forged = self._forged_pol(message, core)
                self._pushed[message.height, message.round] = forged.block_hash
                return [(target, forged) for target, _ in everyone]
        return everyone

    def _now(self) -> str:
        return self._random.choice(_PARTS) if self.style == "chaotic" else self.style

    def _split(self, first: Message, second: Message) -> Sent:
        sent: Sent = []
        for target in range(self.n):
            if target != self.index:
                chosen = self._random.choice(((first,), (second,), (first, second), (second, first), ()))
                sent += [(target, message) for message in chosen]
        return sent

    def _twin_vote(self, vote: Vote) -> Vote:
        names = [name for name in (None, *self._known(vote.height)) if name != vote.block_hash]
        name = self._random.choice(names) if names else bytes(32)
        return self._vote(vote.kind, vote.height, vote.round, name)

    def _vote(self, kind: int, height: int, round_: int, name: bytes | None) -> Vote:
        unsigned = Vote(kind, height, round_, name, self.index, b"")
        signature = self._sign(signed_bytes(unsigned, self._chain_id))
        return Vote(kind, height, round_, name, self.index, signature)

    def _vote_of_another(self, vote: Vote) -> Sent:
        victim = self._random.randrange(self.n)
        name = self._random.choice([None, *self._known(vote.height)])
        forged = Vote(vote.kind, vote.height, vote.round, name, victim, self._forge(victim))
        return [(target, forged) for target in range(self.n) if target not in (self.index, victim)]

    def _far_vote(self, vote: Vote) -> Sent:
        height = vote.height + self._random.choice((0, 0, 1, 5))
        far = self._vote(vote.kind, height, vote.round + self._random.randrange(1, 1_000), None)
        return [(self._random.choice([i for i in range(self.n) if i != self.index]), far)]

    def _signed(
        self, like: Proposal, *, block_hash: bytes, block: bytes, valid_round: int, pol: tuple[Vote, ...]
    ) -> Proposal:
        fields = (like.height, like.round, block_hash, valid_round, self.index)
        signature = self._sign(signed_bytes(Proposal(*fields, b"", block, pol), self._chain_id))
        return Proposal(*fields, signature, block, pol)

    def _forged_pol(self, message: Proposal, core: Core) -> Proposal:
        """A block with a proof of lock that is none: too few, repeated, forged, or of something else."""
        block, name = self._make_block(message.height, True)
        valid_round = self._random.randrange(message.round + 2)
        mine = self._vote(PREVOTE, message.height, valid_round, name)
        others = [
            Vote(PREVOTE, message.height, valid_round, name, i, self._forge(i))
            for i in range(self.n)
            if i != self.index
        ]
        elsewhere = [
            vote
            for name in (None, *self._known(message.height))
            for vote in core.votes.votes_for(PREVOTE, valid_round, name)
        ]
        pol = self._random.choice(((), (mine,) * self.n, (mine, *others), tuple(elsewhere[: self.n])))
        return self._signed(message, block_hash=name, block=block, valid_round=valid_round, pol=pol)
