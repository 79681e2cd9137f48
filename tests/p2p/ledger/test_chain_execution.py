"""Blocks of modules: what a proposer may choose, invariants, snapshots, proofs of entries, set changes."""

from __future__ import annotations

import random
from hashlib import sha256

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_chain_module_governance import approve, new_chain, propose

from market.settlement.accounts import BOUGHT, LOSS, SOLD
from p2p.batches.batch import Batch
from p2p.blocks.block import MAX_BLOCK_BYTES, Block, decode_block, sign_tx, tx_root, validators_hash
from p2p.blocks.possession import prove_possession
from p2p.consensus.evidence import make_evidence
from p2p.errors import BadProof, BrokenInvariant, InvalidBlock, RemoteError
from p2p.ledger import execution, offices
from p2p.ledger.execution import choose, genesis_tip, replay, validators_at
from p2p.ledger.light import (
    ProofBundle,
    SetChange,
    check_batch_proof,
    check_proof,
    prove_operators,
    set_changes,
)
from p2p.ledger.module import modules_of
from p2p.ledger.modules import accounts, evidence, meters, settlement
from p2p.ledger.modules.accounts import RotateArgs
from p2p.ledger.modules.governance import ADD, REMOVE, ROTATE
from p2p.ledger.modules.guarantees import IssueArgs
from p2p.ledger.modules.meters import RegisterArgs
from p2p.ledger.state import (
    State,
    check_entry,
    check_invariants,
    export_state,
    import_state,
    prove_entry,
)
from p2p.wire.codec import decode, encode
from p2p.wire.identity import Identity
from tests.kits.chain_kit import START, authorities, batch_in, certify, flip, identity, line_proof, make_args
from tests.kits.evidence_kit import vote
from tests.kits.modules_kit import HOMES, OPERATORS, STRANGER, Chain, make_genesis

KEYS = authorities(7)


def busy_chain() -> Chain:
    chain = new_chain(5)
    chain.settle_day()
    meter = chain.register("roof", 0, meters.PRODUCTION)
    chain.anchor(meter, [(1_000, 0), (2_000, 0)])
    propose(chain, KEYS[0], ADD, KEYS[5])
    return chain


# --- choosing -----------------------------------------------------------------------------------------------


def test_a_proposer_leaves_out_what_the_block_could_not_hold() -> None:
    chain = new_chain(5)
    chain.add()
    good = chain.tx(OPERATORS[0], "settlement.batch", make_args(0, 4)[1])
    late = chain.tx(OPERATORS[0], "settlement.batch", make_args(0, 4)[1], nonce=2)
    next_one = chain.tx(OPERATORS[0], "settlement.batch", make_args(1, 4)[1], nonce=2)
    stranger = chain.tx(STRANGER, "settlement.batch", make_args(2, 4)[1])
    pair = [vote(KEYS[3], 3, chain.genesis.chain_id, 1, 0, bytes([i]) * 32) for i in (1, 2)]
    evidence = make_evidence(*pair)
    txs, proofs = choose(
        chain.tip, chain.genesis, [stranger, good, late, next_one], [b"x", evidence, evidence]
    )
    assert txs == (good, next_one)
    assert proofs == (evidence,)
    chain.add(list(txs), proofs)
    assert chain.tip.state.settled.batches == 2


def test_a_proposer_does_not_fill_a_block_above_its_limit() -> None:
    chain = Chain(make_genesis(tx_quota=100_000))
    chain.settle_day()
    meter = chain.register("roof", 0, meters.PRODUCTION)
    args = meters.AnchorArgs(meter, 0, 1, bytes(32), 1, bytes(32))
    first = chain.tx(OPERATORS[0], "meters.anchor", args)
    # No later one is shorter, and each is valid after those before it.
    days = range(1, MAX_BLOCK_BYTES // len(first.raw) + 400)
    more = [msgspec.structs.replace(args, day=day) for day in days]
    txs = [first]
    txs += [chain.tx(OPERATORS[0], "meters.anchor", one, nonce=first.nonce + one.day) for one in more]
    chosen, _ = choose(chain.tip, chain.genesis, txs)
    assert len(chosen) < len(txs)
    chain.add(list(chosen))
    data = encode(chain.made[-1][0])
    assert len(data) > MAX_BLOCK_BYTES - 17 * 1024  # of which 16 KiB are left for the header
    assert decode_block(data, chain.genesis.chain_id) == chain.made[-1][0]


# --- invariants ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", sorted(modules_of(make_genesis())))
def test_a_broken_invariant_stops_the_node_and_names_the_module(module: str) -> None:
    chain = busy_chain()
    chain.call(HOMES[0], "guarantees.issue", issue_args(chain))
    view = chain.tip.state.view()
    if module == accounts.NAME:
        view.write(module, b"a" + OPERATORS[0].public_key, accounts.NO_ACCOUNT)
    elif module == offices.NAME:
        view.write(module, b"council", offices.ValidatorSets((KEYS[0].public_key,) * 4, (), (), ()))
    elif module == settlement.NAME:
        wrong = settlement.Settled(1, 0, OPERATORS[0].public_key, bytes(767) + b"\1")
        view.write(module, b"sums", wrong)
    elif module == evidence.NAME:
        view.write(module, evidence.conviction_key(KEYS[0].public_key, START), evidence.Conviction(8))
    else:
        key = next(key for key, _ in chain.tip.state.trees[module].items() if key[:1] in (b"c", b"m"))
        view.put(module, key, None if module == "guarantees" else b"")
    view.accept()
    with pytest.raises(BrokenInvariant, match=f"block 9, module {module}: .* must stop"):
        check_invariants(view, chain.genesis, 9)


@pytest.mark.parametrize(("column", "by"), [(BOUGHT, 1), (SOLD, 1), (LOSS, -1)])
def test_energy_from_nowhere_in_the_sums_stops_the_node(column: int, by: int) -> None:
    """The money in them adds up."""
    chain = busy_chain()
    view = chain.tip.state.view()
    known = settlement.settled(view)
    numbers = [number for row in known.totals for number in row]
    numbers[column] += by
    sums = b"".join(number.to_bytes(16, "big", signed=True) for number in numbers)
    view.write(settlement.NAME, b"sums", msgspec.structs.replace(known, sums=sums))
    view.accept()
    with pytest.raises(BrokenInvariant, match=r"module settlement: .* Wh bought, .* Wh sold"):
        check_invariants(view, chain.genesis, 9)


def issue_args(chain: Chain) -> object:
    meter = sha256(b"roof").digest()
    readings = tuple(chain.opened[meter][:2])
    return IssueArgs(meter, readings, chain.balances(meter, *readings))


def test_a_broken_invariant_is_not_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that took it for a bad block would go on with a broken program."""
    assert not issubclass(BrokenInvariant, RemoteError)
    chain = busy_chain()

    def broken(*_: object) -> None:
        raise BrokenInvariant(1, "settlement", "test")

    monkeypatch.setattr(execution, "check_invariants", broken)
    with pytest.raises(BrokenInvariant):
        chain.add()


# --- snapshots and proofs of entries ------------------------------------------------------------------------


def test_a_state_comes_back_from_its_entries() -> None:
    state = busy_chain().tip.state
    entries = list(export_state(state))
    assert entries == sorted(entries)
    back = import_state(reversed(entries), state.root, make_genesis())
    assert back == state
    assert list(export_state(back)) == entries
    assert back.validators == state.validators


def test_entries_that_are_changed_missing_or_there_twice_give_no_state() -> None:
    state = busy_chain().tip.state
    entries = list(export_state(state))
    choose_at = random.Random(1)
    for i, (module, key, value) in enumerate(entries):
        changed = flip(value, choose_at.randrange(8 * len(value)))
        for other in (
            [*entries[:i], (module, key, changed), *entries[i + 1 :]],
            [*entries[:i], *entries[i + 1 :]],
            [*entries, entries[i]],
            [*entries[:i], ("other", key, value), *entries[i + 1 :]],
        ):
            with pytest.raises(BadProof):
                import_state(other, state.root, make_genesis())


def test_an_entry_and_its_absence_are_proven_against_a_header() -> None:
    chain = busy_chain()
    chain.enter(0)
    before = chain.tip.state
    chain.add()
    root = chain.made[-1][0].header.state_root
    key = b"h" + bytes(4)
    proof = prove_entry(before, "accounts", key)
    assert check_entry(root, "accounts", key, proof, chain.genesis) == HOMES[0].public_key
    assert (
        check_entry(root, "accounts", b"none", prove_entry(before, "accounts", b"none"), chain.genesis)
        is None
    )
    for bad in (
        msgspec.structs.replace(proof, module_roots=proof.module_roots[:-1]),
        msgspec.structs.replace(proof, module_roots=proof.module_roots[::-1]),
    ):
        with pytest.raises(BadProof):
            check_entry(root, "accounts", key, bad, chain.genesis)
    with pytest.raises(BadProof):
        check_entry(root, "meters", key, proof, chain.genesis)


# --- replay -------------------------------------------------------------------------------------------------


def test_a_stored_chain_with_changes_of_the_set_replays_to_the_same_tip() -> None:
    chain = busy_chain()
    approve(chain, *KEYS[1:4])
    chain.add()
    chain.add()
    assert replay(chain.made, chain.genesis) == chain.tip
    assert len(validators_at(chain.tip, chain.genesis)) == 6
    assert validators_at(genesis_tip(chain.genesis), chain.genesis) == chain.genesis.authorities


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(6)))
def test_the_order_of_blocks_content_in_a_view_does_not_matter(order: list[int]) -> None:
    """Six meters registered in any order give one state, but for who sent which nonce."""
    chain = Chain(make_genesis())
    for i in order:
        args = RegisterArgs(bytes([i]) * 32, i % 4, meters.BOTH, 1_000, 0)
        chain.call(OPERATORS[0], "meters.register", args)
    assert chain.tip.state.trees["meters"].root == SIX.tip.state.trees["meters"].root


SIX = Chain(make_genesis())
for number in range(6):
    SIX.call(OPERATORS[0], "meters.register", RegisterArgs(bytes([number]) * 32, number % 4, 3, 1_000, 0))


def test_a_certificate_of_the_old_set_does_not_commit_a_block_of_the_new_one() -> None:
    chain = busy_chain()
    approve(chain, *KEYS[1:4])
    chain.add()
    old = validators_at(chain.tip, chain.genesis)[:5]
    parent = chain.tip
    chain.add()
    block, cert = chain.made[-1]
    name = chain.tip.block_hash
    execution.check_commit(chain.genesis, block.header, name, cert, validators_at(parent, chain.genesis))
    with pytest.raises(InvalidBlock, match="cert"):
        execution.check_commit(chain.genesis, block.header, name, cert, old)


# --- the household's proof across changes of the set --------------------------------------------------------


def changed_chain() -> tuple[Chain, object]:
    chain = new_chain(4)
    propose(chain, KEYS[0], ADD, KEYS[4])
    approve(chain, *KEYS[1:3])
    propose(chain, KEYS[0], ROTATE, KEYS[1], KEYS[6])
    approve(chain, KEYS[2], KEYS[3], KEYS[4], number=1)
    propose(chain, KEYS[0], REMOVE, KEYS[0])
    approve(chain, KEYS[2], KEYS[3], KEYS[4], number=2)
    chain.add()
    chain.add()
    batch, args = make_args(0, 4)
    chain.call(KEYS[6], "settlement.batch", args)
    return chain, batch


def test_a_proof_leads_from_the_genesis_over_every_change_of_the_set() -> None:
    chain, batch = changed_chain()
    block, cert = chain.made[-1]
    changes = set_changes(block.header, chain.made, chain.genesis)
    assert len(changes) == 3
    proof = line_proof(batch, 1, block, cert, chain.genesis, changes=changes)
    line = check_proof(proof, chain.genesis)
    assert (line.interval_start, line.account) == (START, 1)
    assert line.sender == "validator 0"
    settled = check_batch_proof(batch_in(proof), chain.genesis)
    validators = settled.trusted.validators
    assert (settled.height, validators) == (block.header.height, changes[-1].validators)
    assert KEYS[6].public_key in validators
    assert not {KEYS[0].public_key, KEYS[1].public_key} & set(validators)


def test_a_proof_with_a_change_left_out_or_exchanged_is_refused() -> None:
    chain, batch = changed_chain()
    block, cert = chain.made[-1]
    changes = set_changes(block.header, chain.made, chain.genesis)
    foreign = msgspec.structs.replace(changes[0], validators=changes[0].validators[::-1])
    for other in (
        (),
        changes[1:],
        changes[:2],
        (changes[0], changes[2]),
        (changes[1], changes[0], changes[2]),
        (foreign, *changes[1:]),
        (*changes, changes[2]),
    ):
        with pytest.raises(RemoteError):
            check_proof(line_proof(batch, 1, block, cert, chain.genesis, changes=other), chain.genesis)


def test_a_proof_does_not_go_round_in_circles() -> None:
    """The set returns to what it was: the way there could be told any number of times."""
    chain = new_chain(4)
    propose(chain, KEYS[0], ADD, KEYS[4])
    approve(chain, *KEYS[1:3])
    propose(chain, KEYS[0], REMOVE, KEYS[4])
    approve(chain, *KEYS[1:4], number=1)
    chain.add()
    chain.add()
    propose(chain, KEYS[0], ADD, KEYS[5])
    approve(chain, *KEYS[1:3], number=2)
    chain.add()
    batch, args = make_args(0, 4)
    chain.call(OPERATORS[0], "settlement.batch", args)
    place = (*chain.made[-1], chain.genesis)
    changes = set_changes(place[0].header, chain.made, chain.genesis)
    assert len(changes) == 3
    check_proof(line_proof(batch, 1, *place, changes=changes), chain.genesis)
    twice = (*changes[:2], *changes)
    with pytest.raises(BadProof, match="ascending"):
        check_proof(line_proof(batch, 1, *place, changes=twice), chain.genesis)


def test_the_header_of_a_block_holds_its_evidence() -> None:
    chain = new_chain(5)
    chain.add()
    pair = [vote(KEYS[3], 3, chain.genesis.chain_id, 1, 0, bytes([i]) * 32) for i in (1, 2)]
    chain.add(evidence=(make_evidence(*pair),))
    block = chain.made[-1][0]
    parent = replay(chain.made[:-1], chain.genesis)
    with pytest.raises(InvalidBlock, match="evidence_root"):
        execution.check_block(parent, chain.genesis, Block(block.header, block.txs, ()))


def test_a_rotated_operator_is_proven_by_the_list_in_the_state() -> None:
    chain = Chain(make_genesis())
    proof_of_key = prove_possession(STRANGER, chain.genesis.chain_id, OPERATORS[1].public_key)
    chain.call(OPERATORS[1], "accounts.rotate_key", RotateArgs(STRANGER.public_key, proof_of_key))
    parent, (batch, args) = chain.tip.state, make_args(0, 4)
    chain.call(STRANGER, "settlement.batch", args)
    place = (*chain.made[-1], chain.genesis)
    shown = prove_operators(parent)
    assert check_proof(line_proof(batch, 2, *place, operators=shown), chain.genesis).sender == "operator 1"
    for other in (
        None,
        prove_entry(parent, offices.NAME, b"none"),
        prove_entry(parent, accounts.NAME, offices.OPERATORS),
        prove_operators(genesis_tip(chain.genesis).state),
        prove_operators(chain.tip.state),
    ):
        with pytest.raises(BadProof):
            check_proof(line_proof(batch, 2, *place, operators=other), chain.genesis)


def forged(chain: Chain, batch: Batch, sender: Identity, keys: list[Identity], **changes: object) -> bytes:
    """A proof of a block that these keys signed, whatever is in it."""
    block = chain.made[-1][0]
    tx = sign_tx(sender, msgspec.structs.replace(block.txs[0], sender=sender.public_key))
    header = msgspec.structs.replace(
        block.header,
        tx_root=tx_root((tx,)),
        validators_hash=validators_hash([key.public_key for key in keys]),
    )
    cert = certify(header, len(keys), round_=9, keys=keys)
    bundle = decode(ProofBundle, line_proof(batch, 1, *chain.made[-1], chain.genesis))
    proof = msgspec.structs.replace(bundle.batch, tx=tx, header=header, cert=cert, **changes)
    return encode(msgspec.structs.replace(bundle, batch=proof))


def settled_chain() -> tuple[Chain, Batch, State]:
    chain = Chain(make_genesis())
    chain.add()
    parent, (batch, args) = chain.tip.state, make_args(0, 4)
    chain.call(OPERATORS[0], "settlement.batch", args)
    return chain, batch, parent


def test_nobody_slips_a_set_of_its_own_in_behind_a_genuine_header() -> None:
    chain, batch, _ = settled_chain()
    thieves = [identity("thief", str(i)) for i in range(4)]
    genuine = chain.made[0]
    slipped = SetChange(genuine[0].header, genuine[1], tuple(key.public_key for key in thieves))
    honest = forged(chain, batch, OPERATORS[0], authorities(4))
    assert check_proof(honest, chain.genesis).sender == "operator 0"
    with pytest.raises(BadProof, match="announces other validators"):
        check_proof(forged(chain, batch, OPERATORS[0], thieves, changes=(slipped,)), chain.genesis)


def test_a_household_does_not_settle_even_if_every_authority_signs() -> None:
    chain, batch, parent = settled_chain()
    for shown in (None, prove_operators(parent)):
        with pytest.raises(BadProof, match="not by an operator"):
            check_proof(forged(chain, batch, HOMES[0], authorities(4), operators=shown), chain.genesis)
