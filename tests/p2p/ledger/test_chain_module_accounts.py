"""Accounts: nonces, quotas, and roles that move to a new key."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest

from p2p.blocks.members import NO_KEY, Members
from p2p.blocks.possession import prove_possession
from p2p.errors import InvalidBlock
from p2p.ledger.module import AUTHORITY, HOUSEHOLD, OPERATOR
from p2p.ledger.modules import accounts, meters
from p2p.ledger.modules.accounts import EnterArgs, Role, RotateArgs
from p2p.ledger.state import apply, check_tx
from p2p.wire.identity import Identity
from tests.kits.chain_kit import STEP, authorities, make_args
from tests.kits.modules_kit import HOMES, OPERATORS, STRANGER, STREET, Chain, make_genesis, refused


def rotate(chain: Chain, old: Identity, new: Identity) -> None:
    proof = prove_possession(new, chain.genesis.chain_id, old.public_key)
    chain.call(old, "accounts.rotate_key", RotateArgs(new.public_key, proof))


def settle(chain: Chain, index: int) -> None:
    chain.call(OPERATORS[0], "settlement.batch", make_args(index, 4)[1])


@pytest.fixture
def chain() -> Chain:
    return Chain(make_genesis())


@pytest.mark.parametrize(
    ("key", "roles"),
    [
        (OPERATORS[1], {OPERATOR}),
        (HOMES[2], set()),
        (authorities(4)[3], {AUTHORITY}),
        (STRANGER, set()),
    ],
)
def test_the_genesis_gives_the_roles(chain: Chain, key: Identity, roles: set[str]) -> None:
    assert accounts.roles_of(chain.tip.state.view(), key.public_key) == roles


def test_a_home_has_its_role_from_showing_its_key_on(chain: Chain) -> None:
    chain.call(HOMES[2], "accounts.enter", EnterArgs(STREET.proof(2)))
    view = chain.tip.state.view()
    assert accounts.roles_of(view, HOMES[2].public_key) == {HOUSEHOLD}
    with refused("member_known"):
        chain.call(HOMES[2], "accounts.enter", EnterArgs(STREET.proof(2)))


def test_a_home_cannot_show_the_key_of_another_or_of_no_home(chain: Chain) -> None:
    with refused("tx_role"):
        chain.call(STRANGER, "accounts.enter", EnterArgs(STREET.proof(2)))
    forged = msgspec.structs.replace(STREET.proof(2).member, key=STRANGER.public_key)
    for home in (
        msgspec.structs.replace(STREET.proof(2), member=forged),
        msgspec.structs.replace(STREET.proof(2), member=forged, path=b""),
        msgspec.structs.replace(STREET.proof(2), member=forged, index=2**40),
    ):
        with refused("member_proof"):
            chain.call(STRANGER, "accounts.enter", EnterArgs(home))
    with refused("member_proof"):
        chain.call(HOMES[2], "accounts.enter", EnterArgs(msgspec.structs.replace(STREET.proof(2), index=1)))


def test_an_old_key_cannot_come_back_by_showing_itself_again(chain: Chain) -> None:
    chain.settle_day()
    rotate(chain, HOMES[2], STRANGER)
    with refused("member_known"):
        chain.call(HOMES[2], "accounts.enter", EnterArgs(STREET.proof(2)))


def test_a_key_has_the_role_of_one_home_only(chain: Chain) -> None:
    """Who owns two homes cannot let one of them write over the role of the other."""
    chain.enter(0)
    chain.settle_day()
    rotate(chain, HOMES[0], HOMES[2])
    with refused("key_taken"):
        chain.call(HOMES[2], "accounts.enter", EnterArgs(STREET.proof(2)))
    assert accounts.role(chain.tip.state.view(), HOMES[2].public_key) == Role(0)


def test_an_operator_that_is_a_home_too_has_both_roles() -> None:
    street = Members(("house-0",), (OPERATORS[0].public_key,))
    genesis = msgspec.structs.replace(make_genesis(), members_root=street.root, members=1)
    chain = Chain(genesis)
    chain.call(OPERATORS[0], "accounts.enter", EnterArgs(street.proof(0)))
    assert accounts.role(chain.tip.state.view(), OPERATORS[0].public_key) == Role(0)


def test_a_household_moves_to_a_new_key_and_keeps_what_it_has(chain: Chain) -> None:
    chain.settle_day()
    rotate(chain, HOMES[2], STRANGER)
    view = chain.tip.state.view()
    assert accounts.role(view, STRANGER.public_key) == Role(2)
    assert accounts.roles_of(view, HOMES[2].public_key) == frozenset()
    with refused("tx_role"):
        rotate(chain, HOMES[2], OPERATORS[0])


def test_a_new_key_signs_from_the_fourth_interval_after_the_newest_settled_one(chain: Chain) -> None:
    chain.settle_day()
    last_s, old, new = chain.tip.state.settled.last_interval_start, HOMES[2], STRANGER
    rotate(chain, old, new)
    signs = [chain.tip.state.home_key(2, last_s + n * STEP) for n in (0, 3, 4, 5, 400)]
    assert signs == [None, None, *[new.public_key] * 3], "None: the key of the genesis"
    assert chain.tip.state.home_key(1, last_s + 5 * STEP) is None
    assert [chain.tip.state.home_of(key.public_key) for key in (old, new, HOMES[1])] == [None, 2, None]


def test_each_key_that_a_home_has_had_is_known_by_the_interval(chain: Chain) -> None:
    settle(chain, 0)
    keys = [HOMES[2], *(Identity.from_seed(bytes([n]) * 32) for n in (7, 8, 9))]
    begins = [0]
    for n, (old, new) in enumerate(pairwise(keys)):
        rotate(chain, old, new)
        begins.append(chain.tip.state.settled.last_interval_start + 4 * STEP)
        settle(chain, n + 1)
    state = chain.tip.state
    for key, first_s, next_s in zip(keys, begins, [*begins[1:], begins[-1] + 9 * STEP], strict=True):
        for start_s in (first_s, next_s - STEP):
            assert (state.home_key(2, start_s) or HOMES[2].public_key) == key.public_key


def test_a_key_of_a_home_that_signs_nothing_yet_cannot_be_replaced(chain: Chain) -> None:
    """Otherwise two keys would begin with the same interval."""
    chain.enter(2)
    with refused("rotate_early"):
        rotate(chain, HOMES[2], STRANGER)  # no interval is settled yet
    settle(chain, 0)
    rotate(chain, HOMES[2], STRANGER)
    other = Identity.from_seed(bytes([7]) * 32)
    with refused("rotate_early"):
        rotate(chain, STRANGER, other)
    settle(chain, 1)
    rotate(chain, STRANGER, other)
    assert chain.tip.state.home_of(other.public_key) == 2


def test_a_home_has_a_number_of_keys_in_the_life_of_a_chain(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them stay in the state."""
    monkeypatch.setattr(accounts, "KEYS_MAX", 2)
    held = [HOMES[2], *(Identity.from_seed(bytes([number]) * 32) for number in range(3))]
    for index, (old, new) in enumerate(pairwise(held)):
        settle(chain, index)
        if index < 2:
            rotate(chain, old, new)
        else:
            with refused("rotate_often"):
                rotate(chain, old, new)
    assert chain.tip.state.home_of(held[2].public_key) == 2


def test_an_operator_moves_to_a_new_key_and_goes_on_settling(chain: Chain) -> None:
    rotate(chain, OPERATORS[0], STRANGER)
    with refused("tx_role"):
        chain.settle_day()
    chain.call(STRANGER, "settlement.batch", make_args(0, 4)[1])
    assert chain.tip.state.settled.batches == 1


def test_a_key_that_has_a_role_cannot_take_another_over(chain: Chain) -> None:
    chain.enter(1)
    for taken in (HOMES[1], OPERATORS[1], authorities(4)[0]):
        with refused("key_taken"):
            rotate(chain, HOMES[0], taken)


def test_the_proof_of_possession_is_for_one_old_key_only(chain: Chain) -> None:
    for place in (HOMES[1].public_key, NO_KEY):
        proof = prove_possession(STRANGER, chain.genesis.chain_id, place)
        with refused("key_proof"):
            chain.call(HOMES[0], "accounts.rotate_key", RotateArgs(STRANGER.public_key, proof))


def test_an_authority_settles_when_no_operator_does(chain: Chain) -> None:
    chain.call(authorities(4)[2], "settlement.batch", make_args(0, 4)[1])
    for key in (HOMES[0], STRANGER):
        with refused("tx_role"):
            chain.call(key, "settlement.batch", make_args(1, 4)[1])


def test_the_quota_is_per_sender_and_window_of_heights() -> None:
    chain = Chain(make_genesis(tx_quota=2, quota_window=10))
    for name in ("a", "b"):
        chain.register(name, 0, meters.BOTH)
    with refused("tx_quota"):
        chain.register("c", 0, meters.BOTH)
    while chain.tip.height < 9:
        chain.add()
    chain.register("c", 0, meters.BOTH)


def test_settlement_is_beyond_the_quota_and_does_not_use_it_up() -> None:
    chain = Chain(make_genesis(tx_quota=1))
    for index in range(4):
        chain.call(OPERATORS[0], "settlement.batch", make_args(index, 4)[1])
    chain.register("a", 0, meters.BOTH)


def test_a_proposer_cannot_pass_by_the_quota() -> None:
    chain = Chain(make_genesis(tx_quota=1))
    args = meters.RegisterArgs(bytes(32), 0, meters.BOTH, 1, 0)
    other = meters.RegisterArgs(b"1" * 32, 0, meters.BOTH, 1, 0)
    txs = [chain.tx(OPERATORS[0], "meters.register", args, nonce=1)]
    txs.append(chain.tx(OPERATORS[0], "meters.register", other, nonce=2))
    with pytest.raises(InvalidBlock, match=r"txs\[1\]: tx_quota"):
        chain.add(txs)


def test_a_mempool_checks_the_nonce_after_what_already_waits(chain: Chain) -> None:
    txs = [chain.tx(OPERATORS[0], "settlement.batch", make_args(i, 4)[1], nonce=i + 1) for i in range(3)]
    for pending, tx in enumerate(txs):
        check_tx(chain.tip.state, tx, 1, chain.genesis, pending=pending)
        with refused("tx_nonce"):
            check_tx(chain.tip.state, tx, 1, chain.genesis, pending=pending + 1)


def test_a_refused_transaction_changes_nothing_not_even_the_nonce(chain: Chain) -> None:
    chain.enter(0)
    tx = chain.tx(HOMES[0], "meters.anchor", meters.AnchorArgs(bytes(32), 1, 1, bytes(32), 1, bytes(32)))
    root = chain.tip.state.root
    with refused("meter_unknown"):
        apply(chain.tip.state, tx, 1, chain.genesis)
    assert chain.tip.state.root == root
    assert chain.tip.state.nonce(HOMES[0].public_key) == 1  # of showing its key
