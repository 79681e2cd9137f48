"""Cores driven by hand: `Bench` is one core whose peers are the test, `Net` is a few cores that it connects."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import sha256

from p2p.blocks.block import PRECOMMIT, PREVOTE, CommitCertificate, proposer_index
from p2p.consensus.core import Core
from p2p.consensus.types import (
    LAN_TIMEOUTS,
    NO_ROUND,
    Action,
    BlockBuilt,
    BlockChecked,
    Broadcast,
    BuildBlock,
    CheckBlock,
    Decide,
    Event,
    Evidence,
    GotCommit,
    GotProposal,
    GotVote,
    PeerStatus,
    Persist,
    Proposal,
    ResendTick,
    SendCommit,
    SendTo,
    SetTimer,
    SignState,
    Start,
    Status,
    Step,
    Timeout,
    Vote,
    signed_bytes,
)
from p2p.consensus.votes import LastSigned, SignGuard

CHAIN_ID = sha256(b"test chain").digest()
A, B, C = b"block A", b"block B", b"block C"
BAD = b"bad block"
PROPOSE, WAIT, DECIDED = Step.PROPOSE, Step.WAIT, Step.DECIDED


def name(block: bytes | None) -> bytes | None:
    """Hash of a block; None for nil."""
    return None if block is None else sha256(block).digest()


def keys(n: int) -> tuple[bytes, ...]:
    return tuple(bytes((i,)) * 32 for i in range(n))


def signature(who: int) -> bytes:
    return bytes((who,)) * 64


def vote(kind: int, who: int, round_: int, block: bytes | None, height: int = 1) -> Vote:
    return Vote(kind, height, round_, name(block), who, signature(who))


def pol(round_: int, block: bytes, who: Iterable[int], height: int = 1) -> tuple[Vote, ...]:
    return tuple(vote(PREVOTE, i, round_, block, height) for i in who)


def proposal(
    round_: int,
    block: bytes,
    valid_round: int = NO_ROUND,
    proof: tuple[Vote, ...] = (),
    *,
    n: int = 4,
    height: int = 1,
) -> Proposal:
    """A proposal by whose turn it is."""
    who = proposer_index(height, round_, n)
    block_hash = sha256(block).digest()
    return Proposal(height, round_, block_hash, valid_round, who, signature(who), block, proof)


def messages(actions: Iterable[Action]) -> list[Vote | Proposal]:
    """Votes and proposals that are broadcast."""
    sent = [action.message for action in actions if isinstance(action, Broadcast)]
    return [message for message in sent if not isinstance(message, Status)]


class Bench:
    """One core. `last` is what its last event led to, `all` everything."""

    def __init__(
        self,
        core: type[Core] = Core,
        n: int = 4,
        me: int = 0,
        *,
        record: SignState | None = None,
        height: int = 1,
        due: bool = True,
        sign_from: int = 0,
    ) -> None:
        self.n, self.me = n, me
        self.signed: list[bytes] = []
        self.core = core(CHAIN_ID, bytes((me,)) * 32, self._sign, LAN_TIMEOUTS)
        self.last: list[Action] = []
        self.all: list[Action] = []
        self.feed(Start(record, height, keys(n), due, sign_from))

    def _sign(self, data: bytes) -> bytes:
        self.signed.append(data)
        return signature(self.me)

    def feed(self, event: Event) -> list[Action]:
        self.last = self.core.handle(event)
        self.all += self.last
        return self.last

    def vote(self, kind: int, who: int | Iterable[int], round_: int, block: bytes | None) -> None:
        """Votes of others; `last` covers all of them."""
        found: list[Action] = []
        for one in (who,) if isinstance(who, int) else who:
            found += self.feed(GotVote(vote(kind, one, round_, block)))
        self.last = found

    def prevote(self, who: int | Iterable[int], round_: int, block: bytes | None) -> None:
        self.vote(PREVOTE, who, round_, block)

    def precommit(self, who: int | Iterable[int], round_: int, block: bytes | None) -> None:
        self.vote(PRECOMMIT, who, round_, block)

    def propose(
        self,
        round_: int,
        block: bytes,
        valid_round: int = NO_ROUND,
        proof: tuple[Vote, ...] = (),
        *,
        ok: bool | None = True,
        timely: bool = True,
    ) -> None:
        """A proposal, and the answer to the check of its block (none yet for ok=None)."""
        new = proposal(round_, block, valid_round, proof, n=self.n)
        found = list(self.feed(GotProposal(new, timely)))
        if ok is not None and any(isinstance(action, CheckBlock) for action in found):
            found += self.feed(BlockChecked(new.block_hash, ok))
        self.last = found

    def built(self, block: bytes) -> None:
        """Answer the request for a block."""
        self.feed(BlockBuilt(1, self.core.round, block, sha256(block).digest()))

    def timeout(self, step: Step) -> None:
        self.feed(Timeout(step, self.core.height, self.core.round))

    def status(
        self, peer: str, round_: int, *, has: int = 0, proposal: bool = False, height: int = 1
    ) -> None:
        """A peer that holds the votes of this bitmap, of both kinds."""
        self.feed(PeerStatus(peer, Status(height, round_, int(PROPOSE), has, has, proposal)))

    def nil_round(self, round_: int) -> None:
        """A round in which nothing is proposed: 1, 2 and we vote nil; ends in the next."""
        self.timeout(Step.PROPOSE)
        self.prevote((1, 2), round_, None)
        self.precommit((1, 2), round_, None)
        self.timeout(Step.PRECOMMIT)

    def locked_on(self, block: bytes, round_: int = 0) -> None:
        """Lock a block in the current round, then go to the next."""
        self.propose(round_, block)
        self.prevote((1, 2), round_, block)
        assert (self.core.locked, self.core.locked_round) == (name(block), round_)
        self.precommit((2, 3), round_, None)
        self.timeout(Step.PRECOMMIT)
        assert self.core.round == round_ + 1

    def votes(self, kind: int) -> list[bytes | None]:
        """Ids of our votes of a kind in `last`."""
        return [m.block_hash for m in messages(self.last) if isinstance(m, Vote) and m.kind == kind]

    def sent_to(self, peer: str) -> list[Vote | Proposal]:
        """What `last` sends to one peer."""
        return [a.message for a in self.last if isinstance(a, SendTo) and a.peer == peer]

    def timers(self) -> list[tuple[Step, int]]:
        """Step and round of the timers set in `last`."""
        return [(a.step, a.round) for a in self.last if isinstance(a, SetTimer)]

    def decisions(self) -> list[tuple[bytes, CommitCertificate]]:
        """Blocks decided in `last`."""
        return [(a.block, a.cert) for a in self.last if isinstance(a, Decide)]

    def evidence(self) -> list[Evidence]:
        """Evidence given in `last`."""
        return [a for a in self.last if isinstance(a, Evidence)]


Cut = Callable[[int, int, object], bool]


def nothing(source: int, target: int, message: object) -> bool:
    """Cuts no message."""
    return False


class Net:
    """Cores 0..n-1 of one height, without those named `absent`, whose messages the test sends itself.

    `cut(source, target, message)` tells which messages are lost. Blocks are built and checked at once. A crash
    loses what is not in `disks`; `budget` kills a node after so many of its actions.
    """

    def __init__(self, core: type[Core] = Core, n: int = 4, absent: Iterable[int] = ()) -> None:
        self.n, self._type = n, core
        self.cut: Cut = nothing
        self.cores: dict[int, Core] = {}
        self.disks: dict[int, tuple[SignState | None, LastSigned | None]] = {}
        self.timers: dict[int, dict[Step, Timeout]] = {}
        self.decided: dict[int, Decide] = {}
        self.evidence: list[Evidence] = []
        self.released: dict[tuple[int, int, int], set[bytes]] = {}
        self.budget: dict[int, int] = {}
        self._guards: dict[int, SignGuard] = {}
        self._queue: list[tuple[int, int, object]] = []
        for index in range(n):
            if index not in absent:
                self.start(index)

    def start(self, index: int) -> None:
        """Start a process, from its disk."""
        record, last = self.disks.get(index, (None, None))
        guard = SignGuard(CHAIN_ID, lambda data: signature(index), last)
        self.cores[index] = self._type(CHAIN_ID, bytes((index,)) * 32, guard.sign, LAN_TIMEOUTS)
        self.timers[index] = {}
        self._guards[index] = guard
        self.feed(index, Start(record, 1, keys(self.n), True, 0))

    def crash(self, index: int) -> None:
        """End a process."""
        del self.cores[index]

    def feed(self, index: int, event: Event) -> None:
        if index in self.cores:
            for action in self.cores[index].handle(event):
                left = self.budget.get(index)
                if left == 0:
                    self.crash(index)
                    return
                if left is not None:
                    self.budget[index] = left - 1
                self._do(index, action)

    def _do(self, index: int, action: Action) -> None:
        match action:
            case Broadcast():
                self._release(index, action.message)
                for target in range(self.n):
                    if target != index:
                        self._queue.append((index, target, action.message))
            case SendTo():
                self._queue.append((index, int(action.peer), action.message))
            case SetTimer():
                event = Timeout(action.step, action.height, action.round)
                self.timers[index][action.step] = event
            case Persist():
                self.disks[index] = (action.record, self._guards[index].last)
            case BuildBlock():
                block = b"block of %d in round %d" % (index, action.round)
                self._later(index, BlockBuilt(1, action.round, block, sha256(block).digest()))
            case CheckBlock():
                self._later(index, BlockChecked(action.block_hash, action.block != BAD))
            case Decide():
                self.decided.setdefault(index, action)
            case Evidence():
                self.evidence.append(action)
            case SendCommit():
                raise AssertionError("a net has one height")

    def _later(self, index: int, event: Event) -> None:
        self._queue.append((index, index, event))

    def _release(self, index: int, message: Vote | Proposal | Status) -> None:
        if isinstance(message, Vote):
            slot = (index, message.kind, message.round)
        elif isinstance(message, Proposal):
            slot = (index, 0, message.round)
        else:
            return
        said = self.released.setdefault(slot, set())
        said.add(signed_bytes(message, CHAIN_ID) + message.signature)
        assert len(said) == 1, f"node {index} signed twice in {slot}"

    def inject(self, target: int, *sent: Vote | Proposal) -> None:
        """Messages of an absent node for one target."""
        for message in sent:
            self._queue.append((-1, target, message))

    def pump(self) -> None:
        """Deliver until all is quiet."""
        while self._queue:
            source, target, message = self._queue.pop(0)
            if source == target:
                self.feed(target, message)  # type: ignore[arg-type]
            elif not self.cut(source, target, message):
                match message:
                    case Vote():
                        self.feed(target, GotVote(message))
                    case Proposal():
                        self.feed(target, GotProposal(message, True))
                    case Status():
                        self._status(source, target, message)

    def _status(self, source: int, target: int, status: Status) -> None:
        done = self.decided.get(target)
        if done is not None and source in self.cores and source not in self.decided:
            self.feed(source, GotCommit(done.block, done.cert))
        else:
            self.feed(target, PeerStatus(str(source), status))

    def tick(self) -> None:
        """Everyone tells where it is; then deliver."""
        for index in sorted(self.cores):
            self.feed(index, ResendTick())
        self.pump()

    def ring(self, *who: int) -> None:
        """Let the timers of these (of all) run out, each once; then deliver."""
        for index in who or sorted(self.cores):
            pending, self.timers[index] = self.timers[index], {}
            for event in pending.values():
                if index in self.cores:
                    self.feed(index, event)
        self.pump()

    def cycle(self) -> None:
        """A resend, then time enough for every timer."""
        self.tick()
        self.ring()

    def blocks(self) -> set[bytes]:
        """Blocks that were decided."""
        return {done.block for done in self.decided.values()}
