"""Transactions that wait for a block are bounded, checked, and in the order of their nonces."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from p2p.blocks.block import Tx, make_tx
from p2p.errors import RemoteError, WrongChain
from p2p.roles.validator import mempool as waiting
from p2p.roles.validator.mempool import MAX_PER_SENDER, Mempool, NonceTaken, PoolFull, SenderFull
from tests.kits.chain_kit import make_args
from tests.kits.modules_kit import HOMES, MEMBERS, OPERATORS, Chain, make_genesis

GENESIS = make_genesis()


@pytest.fixture
def chain() -> Chain:
    return Chain(GENESIS)


@pytest.fixture
def pool() -> Mempool:
    return Mempool(GENESIS)


def batch(chain: Chain, index: int, by: int = 0, **changes: object) -> Tx:
    """The batch of an interval; the first of an operator has nonce 1."""
    return chain.tx(OPERATORS[by], "settlement.batch", make_args(index, MEMBERS)[1], **changes)


def held(pool: Mempool) -> list[int]:
    """Nonces of what may go into the next block."""
    return [tx.nonce for tx in pool.ready()]


def test_a_transaction_waits_once(chain: Chain, pool: Mempool) -> None:
    tx = batch(chain, 0)
    assert pool.add(tx.raw, chain.tip) == tx
    assert pool.add(tx.raw, chain.tip) is None
    assert (len(pool), pool.bytes, tx in pool) == (1, len(tx.raw), True)


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda chain: batch(chain, 0, nonce=2), "tx_nonce"),
        (lambda chain: batch(chain, 0, valid_until_height=0), "tx_expired"),
        (lambda chain: chain.tx(HOMES[0], "settlement.batch", make_args(0, MEMBERS)[1]), "tx_role"),
        (lambda chain: msgspec.structs.replace(batch(chain, 0), signature=bytes(64)), "tx_signature"),
        (lambda chain: b"no transaction", "malformed"),
    ],
)
def test_what_no_block_can_hold_does_not_wait(
    make: Callable[[Chain], Tx | bytes], code: str, chain: Chain, pool: Mempool
) -> None:
    made = make(chain)
    with pytest.raises(RemoteError) as caught:
        pool.add(made if isinstance(made, bytes) else made.raw, chain.tip)
    assert caught.value.code == code
    assert (len(pool), pool.bytes) == (0, 0)


def test_a_transaction_of_another_chain_is_refused_as_such(chain: Chain, pool: Mempool) -> None:
    args = make_args(0, MEMBERS)[1]
    other = make_tx(OPERATORS[0], b"c" * 32, 1, 10, "settlement", "batch", args)
    with pytest.raises(WrongChain):
        pool.add(other.raw, chain.tip)


def test_another_transaction_does_not_take_the_place_of_one_that_waits(chain: Chain, pool: Mempool) -> None:
    first, second = batch(chain, 0), batch(chain, 1)
    pool.add(first.raw, chain.tip)
    with pytest.raises(NonceTaken):
        pool.add(second.raw, chain.tip)
    assert list(pool.ready()) == [first]


def test_a_sender_has_a_number_of_places_and_others_have_theirs(chain: Chain, pool: Mempool) -> None:
    for index in range(MAX_PER_SENDER):
        pool.add(batch(chain, index, nonce=index + 1).raw, chain.tip)
    with pytest.raises(SenderFull):
        pool.add(batch(chain, 0, nonce=MAX_PER_SENDER + 1).raw, chain.tip)
    pool.add(batch(chain, 0, by=1).raw, chain.tip)
    assert len(pool) == MAX_PER_SENDER + 1


def test_a_pool_has_a_number_of_places(chain: Chain, pool: Mempool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "MAX_TXS", 2)
    pool.add(batch(chain, 0).raw, chain.tip)
    pool.add(batch(chain, 1, nonce=2).raw, chain.tip)
    with pytest.raises(PoolFull):
        pool.add(batch(chain, 0, by=1).raw, chain.tip)
    pool.drop(batch(chain, 1, nonce=2))
    pool.add(batch(chain, 0, by=1).raw, chain.tip)


def test_a_pool_has_a_number_of_bytes(chain: Chain, pool: Mempool, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = batch(chain, 0), batch(chain, 0, by=1)
    monkeypatch.setattr(waiting, "MAX_BYTES", len(first.raw) + len(second.raw) - 1)
    pool.add(first.raw, chain.tip)
    with pytest.raises(PoolFull):
        pool.add(second.raw, chain.tip)
    monkeypatch.setattr(waiting, "MAX_BYTES", len(first.raw) + len(second.raw))
    pool.add(second.raw, chain.tip)


def test_a_transaction_that_is_held_holds_the_later_ones_of_its_sender(chain: Chain, pool: Mempool) -> None:
    first = batch(chain, 0)
    pool.add(first.raw, chain.tip, ready=False)
    pool.add(batch(chain, 1, nonce=2).raw, chain.tip)
    pool.add(batch(chain, 0, by=1).raw, chain.tip)
    assert held(pool) == [1]
    pool.release(first)
    assert held(pool) == [1, 2, 1]


def test_a_transaction_that_is_dropped_takes_the_later_ones_of_its_sender_with_it(
    chain: Chain, pool: Mempool
) -> None:
    txs = [batch(chain, index, nonce=index + 1) for index in range(3)]
    for tx in txs:
        pool.add(tx.raw, chain.tip)
    pool.drop(txs[1])
    assert list(pool.ready()) == txs[:1]
    assert (len(pool), pool.bytes) == (1, len(txs[0].raw))


def test_what_a_block_includes_or_lets_expire_waits_no_more(chain: Chain, pool: Mempool) -> None:
    settled, after = batch(chain, 0), batch(chain, 2, nonce=3)
    short = batch(chain, 1, nonce=2, valid_until_height=chain.tip.height + 1)
    for tx in (settled, short, after):
        pool.add(tx.raw, chain.tip)
    chain.add([settled])
    pool.advance(chain.tip)
    assert (len(pool), pool.bytes) == (0, 0)
