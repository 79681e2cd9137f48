"""Several cores under a schedule: locks, proofs, partitions, outages, too few, too many byzantine nodes."""

from __future__ import annotations

import pytest

from p2p.blocks.block import PRECOMMIT, PREVOTE
from p2p.consensus.core import Core
from p2p.consensus.types import Proposal, Vote
from p2p.consensus.votes import fork_evidence
from tests.sim.kit import A, B, Net, name, nothing, pol, proposal, vote

FIRST_BLOCK = b"block of 1 in round 0"


def locked_by_three(core: type[Core]) -> Net:
    """Validators 0, 1, 2 lock the first block, 0 alone decides it; 1 and 2 reach round 2, whose proposer is 3.

    Validator 3 is a byzantine node and played by the test.
    """
    net = Net(core, absent=(3,))

    def cut(source: int, target: int, message: object) -> bool:
        if isinstance(message, Vote) and message.kind == PRECOMMIT and message.round == 0:
            return source == 0  # 1 and 2 see two precommits for the block, not three
        return isinstance(message, Proposal) and message.round == 1

    net.cut = cut
    net.pump()
    assert {index: done.block for index, done in net.decided.items()} == {0: FIRST_BLOCK}
    for target in (1, 2):
        net.inject(target, vote(PRECOMMIT, 3, 0, None))
    net.pump()
    net.ring(1, 2)  # precommit timers: to round 1, where 2 proposes the block again and nobody hears it
    net.ring(1, 2)  # propose timer of 1
    for target in (1, 2):
        net.inject(target, vote(PREVOTE, 3, 1, None), vote(PRECOMMIT, 3, 1, None))
    net.pump()
    net.ring(1, 2)
    net.ring(1, 2)
    for index in (1, 2):
        at = net.cores[index]
        assert (at.round, at.locked_round >= 0, at.locked) == (2, True, name(FIRST_BLOCK))
    return net


def lie_in_round_2(net: Net, lie: Proposal) -> None:
    for target in (1, 2):
        net.inject(target, lie, vote(PREVOTE, 3, 2, B), vote(PRECOMMIT, 3, 2, B))
    net.pump()
    assert net.blocks() == {FIRST_BLOCK}


def test_a_lock_withstands_a_fresh_block(core: type[Core]) -> None:
    net = locked_by_three(core)
    lie_in_round_2(net, proposal(2, B))
    assert [v.block_hash for i in (1, 2) for v in net.cores[i].votes.of(i, PREVOTE, 2)] == [None, None]


@pytest.mark.parametrize("claimed", [0, 1])
def test_a_lock_withstands_a_block_whose_proof_is_none(core: type[Core], claimed: int) -> None:
    net = locked_by_three(core)
    lie_in_round_2(net, proposal(2, B, claimed, pol(claimed, B, (3, 3, 3))))
    assert not [v for i in (1, 2) for v in net.cores[i].votes.of(i, PREVOTE, 2)]


def test_the_locked_block_is_decided_by_all_in_the_end(core: type[Core]) -> None:
    net = locked_by_three(core)
    net.cut = nothing
    net.crash(0)
    net.start(3)
    for _ in range(8):
        net.cycle()
    assert set(net.decided) == {0, 1, 2, 3}
    assert net.blocks() == {FIRST_BLOCK}


def test_a_round_of_nil_does_not_open_a_lock(core: type[Core]) -> None:
    """Validator 0 decides alone and stops; the others vote a nil round, then one proposes afresh."""
    net = Net(core, absent=(2,))  # the proposer of round 1 is the byzantine node
    net.cut = lambda source, target, message: (
        isinstance(message, Vote) and message.kind == PRECOMMIT and source == 0
    )
    net.inject(0, vote(PREVOTE, 2, 0, FIRST_BLOCK))
    net.pump()
    net.cores.pop(0)  # it may have decided; whoever is locked with it must not vote for another block
    locked = {i: net.cores[i].locked for i in (1, 3)}
    assert set(locked.values()) == {name(FIRST_BLOCK)}
    for target in (1, 3):
        net.inject(target, vote(PRECOMMIT, 2, 0, None))
    net.pump()
    net.ring(1, 3)
    net.ring(1, 3)
    for target in (1, 3):
        net.inject(target, vote(PREVOTE, 2, 1, None))
    net.pump()
    assert {i: net.cores[i].round for i in (1, 3)} == {1: 1, 3: 1}
    assert {i: net.cores[i].locked for i in (1, 3)} == locked


def test_one_that_is_left_behind_jumps_to_the_others(core: type[Core]) -> None:
    """0, 1, 2 go to round 5 without 3, voting up to round 4; then 2 dies. Without L55 3 walks timer by timer."""
    net = Net(core)
    net.cut = lambda source, target, message: target == 3 or source == 3 or isinstance(message, Proposal)
    net.pump()
    for _ in range(30):
        if min(net.cores[i].round for i in (0, 1, 2)) >= 5:
            break
        net.ring(0, 1, 2)
    net.crash(2)
    net.cut = nothing
    assert net.cores[3].round == 0
    net.tick()
    assert net.cores[3].round == 4
    for _ in range(6):
        net.cycle()
    assert set(net.decided) == {0, 1, 3}
    assert len(net.blocks()) == 1


def test_a_partition_in_halves_burns_no_rounds_and_heals_at_once(core: type[Core]) -> None:
    """Timers of votes start only after a quorum voted, so that an outage does not lengthen the next round."""
    net = Net(core)
    net.cut = lambda source, target, message: source % 2 != target % 2
    net.pump()
    for _ in range(600):
        net.cycle()
    assert not net.decided
    assert max(at.round for at in net.cores.values()) == 0
    net.cut = nothing
    for _ in range(3):
        net.cycle()
    assert len(net.decided) == 4
    assert len(net.blocks()) == 1


@pytest.mark.parametrize("n", [4, 7, 10, 13])
def test_n_minus_f_decide(core: type[Core], n: int) -> None:
    f = (n - 1) // 3
    net = Net(core, n, absent=range(n - f, n))
    for _ in range(3 * f + 3):
        net.cycle()
    assert len(net.decided) == n - f
    assert len(net.blocks()) == 1


@pytest.mark.parametrize("n", [4, 7, 10])
def test_one_fewer_halts_without_a_fork_and_goes_on_when_one_returns(core: type[Core], n: int) -> None:
    f = (n - 1) // 3
    net = Net(core, n, absent=range(n - f - 1, n))
    for _ in range(50):
        net.cycle()
    assert not net.decided
    net.start(n - 1)
    for _ in range(3 * f + 6):
        net.cycle()
    assert len(net.decided) == n - f
    assert len(net.blocks()) == 1


def test_when_nobody_hears_anybody_all_are_back_within_a_few_timers(core: type[Core]) -> None:
    net = Net(core)
    net.cut = lambda source, target, message: True
    for _ in range(600):
        net.cycle()
    net.cut = nothing
    for _ in range(3):
        net.cycle()
    assert len(net.decided) == 4


def test_more_than_f_byzantine_nodes_fork_the_chain_and_are_named(core: type[Core]) -> None:
    """1 and 2 tell 0 one thing and 3 another. Nothing can prevent a fork; the certificates convict both."""
    net = Net(core, absent=(1, 2))
    net.cut = lambda source, target, message: True
    net.pump()
    for target, block in ((0, A), (3, B)):
        votes = [vote(kind, byzantine, 0, block) for kind in (PREVOTE, PRECOMMIT) for byzantine in (1, 2)]
        net.inject(target, proposal(0, block), *votes)
    net.cut = lambda source, target, message: source >= 0
    net.pump()
    assert net.blocks() == {A, B}
    found = fork_evidence(net.decided[0].cert, net.decided[3].cert)
    named = [one.first.validator for one in found if isinstance(one.first, Vote)]
    assert named == [1, 2]
    assert {one.first.block_hash for one in found} == {name(A)}
    assert {one.second.block_hash for one in found} == {name(B)}


def test_a_node_that_hears_both_stories_names_the_byzantine_nodes_itself(core: type[Core]) -> None:
    net = Net(core, absent=(1, 2))
    net.cut = lambda source, target, message: source >= 0
    net.pump()
    for byzantine in (1, 2):
        net.inject(0, vote(PREVOTE, byzantine, 0, A), vote(PREVOTE, byzantine, 0, B))
    net.pump()
    assert [e.first.validator for e in net.evidence if isinstance(e.first, Vote)] == [1, 2]


def test_equal_certificates_and_those_of_other_rounds_convict_nobody(core: type[Core]) -> None:
    net = Net(core)
    net.pump()
    cert = net.decided[0].cert
    assert fork_evidence(cert, cert) == []
    later = type(cert)(cert.height, cert.round + 1, bytes(32), cert.bitmap, cert.signatures)
    assert fork_evidence(cert, later) == []
