"""A node without a chain trusts the newest header it has checked: what validators sign who have left does not count."""

from __future__ import annotations

import msgspec
import pytest
from test_chain_execution import forged
from test_chain_module_governance import approve, new_chain, propose
from test_chain_operators import KEYS, NEW, decide

from p2p.batches.batch import Batch
from p2p.blocks.block import Block, Header, Tx, tx_root, validators_hash
from p2p.errors import BadProof, RemoteError
from p2p.ledger import offices
from p2p.ledger.execution import advance, check_block, genesis_tip, next_header
from p2p.ledger.light import (
    TRUSTING_S,
    BatchProof,
    ProofBundle,
    SetChange,
    SettledInterval,
    Trusted,
    check_batch_proof,
    check_proof,
    make_batch_proof,
    make_proof,
    prove_operators,
    set_changes,
)
from p2p.ledger.modules.governance import ADD, ADD_OPERATOR, REMOVE, REMOVE_OPERATOR, ROTATE
from p2p.ledger.state import EntryProof, State
from p2p.wire.codec import decode, encode
from p2p.wire.identity import Identity
from tests.kits.chain_kit import START, STEP, batch_in, certify, identity, make_args
from tests.kits.modules_kit import OPERATORS, Chain

OLD, THIEVES = KEYS[:4], [identity("thief", str(i)) for i in range(4)]
DAY_MS = 86_400_000


class Street(Chain):
    """A chain that is settled now and then, and the proof of each batch by its interval."""

    def __init__(self, n: int = 4) -> None:
        super().__init__(new_chain(n).genesis)
        self.validators |= {key.public_key: key for key in KEYS}
        self.proofs: list[bytes] = []
        self.batches: list[Batch] = []
        self.parents: list[State] = []

    def settle(self, by: Identity = OPERATORS[0]) -> bytes:
        """Settle the next interval; return the proof that shows the operators of then."""
        batch, args = make_args(len(self.proofs), 4)
        parent = self.tip.state
        self.call(by, "settlement.batch", args)
        block, cert = self.made[-1]
        changes = set_changes(block.header, self.made, self.genesis)
        proof = make_batch_proof(
            block, cert, self.genesis, changes=changes, operators=prove_operators(parent)
        )
        self.proofs.append(encode(proof))
        self.batches.append(batch)
        self.parents.append(parent)
        return self.proofs[-1]

    def check(self, proof: bytes, trusted: Trusted | None = None) -> SettledInterval:
        return check_batch_proof(proof, self.genesis, trusted)

    def wait(self, ms: int) -> None:
        """Let the clock of the next block go on."""
        height = self.tip.height + 1
        proposer = height % len(self.tip.state.validators)
        header = next_header(self.tip, self.genesis, self.tip.time_ms + ms, proposer, ())
        block = Block(header, (), ())
        state, receipts = check_block(self.tip, self.genesis, block)
        keys = [self.validators[key] for key in self.tip.state.validators]
        self.made.append((block, certify(header, len(keys), keys=keys, round_=len(keys))))
        self.tip = advance(self.tip, block, state, receipts)


def exchanged() -> Street:
    """Batch 0 by the validators of the genesis; then three of the four change their keys; batch 1."""
    street = Street()
    street.settle()
    for number, (old, new) in enumerate(zip(KEYS[:3], KEYS[4:7], strict=True)):
        first, *others = [street.validators[key] for key in street.tip.state.validators]
        propose(street, first, ROTATE, old, new)
        approve(street, *others[:2], number=number)
        street.add()
        street.add()
    street.settle()
    return street


def signed_by(proof: bytes, keys: list[Identity], **header: object) -> bytes:
    """The proof with another header that these keys sign, as the validators of then."""
    found = decode(BatchProof, proof)
    changed = msgspec.structs.replace(
        found.header, validators_hash=validators_hash([key.public_key for key in keys]), **header
    )
    cert = certify(changed, len(keys), round_=9, keys=keys)
    return encode(msgspec.structs.replace(found, header=changed, cert=cert))


# --- what a proof shows -------------------------------------------------------------------------------------


def test_a_proof_shows_the_batch_its_sender_and_the_header() -> None:
    street = Street()
    settled = street.check(street.settle(KEYS[2]))
    block = street.made[-1][0]
    assert (settled.tx, settled.interval_start, settled.height) == (block.txs[0], START, 1)
    assert settled.args == make_args(0, 4)[1]
    assert settled.sender == "validator 2"
    assert settled.block_hash == street.tip.block_hash
    assert settled.collectors == {*street.genesis.operators, *street.genesis.authorities}
    assert settled.trusted == Trusted(1, block.header.time_ms, 0, street.genesis.authorities)


def test_the_proof_of_a_line_holds_that_of_its_batch() -> None:
    street = Street()
    proof = decode(BatchProof, street.settle())
    line = make_proof(street.batches[0], 1, proof)
    assert batch_in(line) == street.proofs[0]
    trusted = street.check(street.proofs[0]).trusted
    assert check_proof(line, street.genesis, trusted).interval_start == START
    elsewhere = msgspec.structs.replace(trusted, validators=tuple(key.public_key for key in THIEVES))
    with pytest.raises(BadProof, match="other validators at height 1"):
        check_proof(line, street.genesis, elsewhere)


def test_the_last_change_of_the_validators_is_dated() -> None:
    street = exchanged()
    trusted = street.check(street.proofs[1]).trusted
    announcing = [
        block.header
        for block, _ in street.made
        if block.header.validators_hash != block.header.next_validators_hash
    ]
    assert len(announcing) == 3
    assert trusted.since_ms == announcing[-1].time_ms
    assert trusted.validators == tuple(key.public_key for key in (*KEYS[4:7], KEYS[3]))


# --- after a change -----------------------------------------------------------------------------------------


def test_who_has_left_proves_nothing_above_the_trusted_header() -> None:
    """The old keys sign a block of their own: a node that knows the genesis alone believes it, others do not."""
    street = exchanged()
    old, trusted = street.proofs[0], street.check(street.proofs[1]).trusted
    for height in (trusted.height, trusted.height + 1, trusted.height + 1_000):
        fork = signed_by(old, OLD, height=height, time_ms=trusted.time_ms + 1)
        assert street.check(fork).height == height
        with pytest.raises(BadProof, match=f"other validators at height {trusted.height}"):
            street.check(fork, trusted)


def test_who_has_left_proves_what_it_signed_before() -> None:
    street = exchanged()
    trusted = street.check(street.proofs[1]).trusted
    assert street.check(street.proofs[0], trusted).interval_start == START


def test_who_has_left_proves_nothing_that_claims_to_be_from_after_it_left() -> None:
    street = exchanged()
    old, trusted = street.proofs[0], street.check(street.proofs[1]).trusted
    height = trusted.height - 1
    for time_ms, refused in (
        (trusted.since_ms - 1, False),
        (trusted.since_ms, False),
        (trusted.since_ms + 1, True),
    ):
        fork = signed_by(old, OLD, height=height, time_ms=time_ms)
        if not refused:
            assert street.check(fork, trusted).height == height
            continue
        with pytest.raises(BadProof, match="who had left when it was made"):
            street.check(fork, trusted)


def test_a_batch_in_the_block_that_announces_a_change_is_believed_afterwards() -> None:
    """That block is still by the validators who leave, and has the time at which they left."""
    street = Street()
    propose(street, KEYS[0], ROTATE, KEYS[1], KEYS[4])
    approve(street, KEYS[2], KEYS[3])
    street.settle()
    header = street.made[-1][0].header
    assert header.validators_hash != header.next_validators_hash
    street.add()
    trusted = street.check(street.settle()).trusted
    assert trusted.since_ms == header.time_ms
    assert street.check(street.proofs[0], trusted).height == header.height


@pytest.mark.parametrize(("days", "believed"), [(13, True), (15, False)])
def test_who_has_left_is_believed_within_the_trusting_period_only(days: int, believed: bool) -> None:
    street = exchanged()
    assert TRUSTING_S == 14 * 86_400
    street.wait(days * DAY_MS)
    trusted = street.check(street.settle()).trusted
    if believed:
        assert street.check(street.proofs[0], trusted).interval_start == START
        return
    with pytest.raises(BadProof, match="left more than 14 days ago"):
        street.check(street.proofs[0], trusted)
    assert street.check(street.proofs[1], trusted).interval_start == START + STEP


def test_the_validators_of_now_prove_what_they_signed_at_any_time() -> None:
    street = Street()
    street.settle()
    street.wait(400 * DAY_MS)
    trusted = street.check(street.settle()).trusted
    assert street.check(street.proofs[0], trusted).interval_start == START


def test_a_new_authority_is_believed_as_far_as_the_trusted_validators_lead_to_it() -> None:
    street = Street()
    trusted = street.check(street.settle()).trusted
    propose(street, KEYS[0], ADD, KEYS[4])
    approve(street, KEYS[1], KEYS[2])
    street.add()
    street.add()
    settled = street.check(street.settle(KEYS[4]), trusted)
    assert settled.sender == "validator 4"
    assert settled.trusted.validators == (*trusted.validators, KEYS[4].public_key)
    assert street.check(street.proofs[0], settled.trusted).height == trusted.height


def test_a_set_that_comes_back_to_that_of_the_genesis_is_proven_by_both_changes() -> None:
    street = Street()
    propose(street, KEYS[0], ADD, KEYS[4])
    approve(street, KEYS[1], KEYS[2])
    street.add()
    street.add()
    trusted = street.check(street.settle()).trusted
    assert len(trusted.validators) == 5
    propose(street, KEYS[0], REMOVE, KEYS[4])
    approve(street, *KEYS[1:4], number=1)
    street.add()
    street.add()
    settled = street.check(street.settle(), trusted)
    assert settled.trusted.validators == street.genesis.authorities
    assert street.check(street.proofs[0], settled.trusted).height == trusted.height


def test_validators_that_the_trusted_ones_did_not_announce_are_not_believed() -> None:
    street = Street()
    trusted = street.check(street.settle()).trusted
    with pytest.raises(BadProof, match="other validators"):
        street.check(signed_by(street.settle(), THIEVES), trusted)


def test_a_change_below_the_trusted_header_that_it_does_not_know_is_refused() -> None:
    """The old validators announce thieves in a block of their own, at a height that was decided otherwise."""
    street = Street()
    street.settle()
    street.add()
    trusted = street.check(street.settle()).trusted
    genuine = decode(BatchProof, street.proofs[1])
    batch = street.batches[1]
    keys = [key.public_key for key in THIEVES]
    announce = msgspec.structs.replace(street.made[0][0].header, next_validators_hash=validators_hash(keys))
    change = SetChange(announce, certify(announce, 4, keys=OLD), tuple(keys))
    line = decode(ProofBundle, forged(street, batch, OPERATORS[0], THIEVES, changes=(change,)))
    fork = encode(line.batch)
    assert street.check(fork).trusted.validators == tuple(keys)
    assert genuine.header.height == trusted.height
    with pytest.raises(BadProof, match="other validators at height"):
        street.check(fork, trusted)


# --- operators ----------------------------------------------------------------------------------------------


def test_later_validators_do_not_sign_blocks_of_the_time_before_them() -> None:
    """Else a quorum of new keys could rewrite all that was settled before, for whoever begins with the genesis."""
    street = exchanged()
    later = [street.validators[key] for key in street.tip.state.validators]
    changes = decode(BatchProof, street.proofs[1]).changes
    found = decode(BatchProof, street.proofs[0])
    assert all(change.header.height > found.header.height for change in changes)
    forged = signed_by(encode(msgspec.structs.replace(found, changes=changes)), later)
    with pytest.raises(BadProof, match="not in ascending height below the block"):
        street.check(forged)


def test_the_operators_of_then_are_proven_after_a_change() -> None:
    street = Street()
    street.settle()
    decide(street, ADD_OPERATOR, NEW[0])
    decide(street, REMOVE_OPERATOR, OPERATORS[1])
    settled = street.check(street.settle(NEW[0]))
    assert settled.operators == (OPERATORS[0].public_key, NEW[0].public_key)
    assert settled.sender == "operator 1"
    assert OPERATORS[1].public_key not in settled.collectors
    assert street.check(street.proofs[0]).operators == street.genesis.operators


def with_operators(proof: bytes, shown: EntryProof | None) -> bytes:
    return encode(msgspec.structs.replace(decode(BatchProof, proof), operators=shown))


def test_a_false_or_missing_list_of_operators_is_refused() -> None:
    street = Street()
    street.settle()
    before = street.tip.state
    decide(street, ADD_OPERATOR, NEW[0])
    proof = street.settle(NEW[0])
    right = decode(BatchProof, proof).operators
    assert right is not None
    for shown in (
        None,
        prove_operators(before),
        prove_operators(street.tip.state),
        prove_operators(genesis_tip(street.genesis).state),
        msgspec.structs.replace(right, module_roots=right.module_roots[::-1]),
        msgspec.structs.replace(right, module_roots=right.module_roots[:-1]),
    ):
        with pytest.raises(RemoteError):
            street.check(with_operators(proof, shown))
    assert street.check(with_operators(proof, right)).operators[-1] == NEW[0].public_key


def test_a_proof_that_there_is_no_list_of_operators_is_refused_though_a_quorum_has_signed_it() -> None:
    street = Street()
    view = street.tip.state.view()
    view.put(offices.NAME, offices.OPERATORS, None)
    view.accept()
    none = State(view.trees())
    proof = with_operators(street.settle(), prove_operators(none))
    with pytest.raises(BadProof, match="no list of operators"):
        street.check(signed_by(proof, KEYS[:4], state_root=none.root))


def test_a_proof_from_which_the_operators_were_left_out_says_so() -> None:
    """A validator's batch holds without the list: whoever gives the proof can hide that an operator was removed."""
    street = Street()
    street.settle()
    decide(street, REMOVE_OPERATOR, OPERATORS[0])
    proof = street.settle(KEYS[2])
    whole, stripped = street.check(proof), street.check(with_operators(proof, None))
    assert (whole.operators, whole.shows_operators) == ((OPERATORS[1].public_key,), True)
    assert (stripped.operators, stripped.shows_operators) == (street.genesis.operators, False)
    assert stripped.args == whole.args


def test_a_proof_of_another_transaction_of_the_block_is_refused() -> None:
    street = Street()
    found = decode(BatchProof, street.settle())
    other = msgspec.structs.replace(found.tx, method="other")
    for changed in (
        msgspec.structs.replace(found, tx=other),
        msgspec.structs.replace(found, tx=other, header=_with_root(found, other)),
        msgspec.structs.replace(found, version=4),
        msgspec.structs.replace(found, tx_count=2),
    ):
        with pytest.raises(RemoteError):
            street.check(encode(changed))


def _with_root(found: BatchProof, tx: Tx) -> Header:
    return msgspec.structs.replace(found.header, tx_root=tx_root((tx,)))


def test_removing_a_validator_needs_no_trusted_header_to_be_seen() -> None:
    """The way from the genesis leads over every change, also for a node that has seen nothing yet."""
    street = Street(5)
    propose(street, KEYS[0], REMOVE, KEYS[4])
    approve(street, *KEYS[1:4])
    street.add()
    street.add()
    found = decode(BatchProof, street.settle())
    with pytest.raises(BadProof, match="other validators than the genesis leads to"):
        street.check(encode(msgspec.structs.replace(found, changes=())))
