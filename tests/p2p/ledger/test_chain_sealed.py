"""The chain where homes seal their orders: closed once, settled as closed, and homes without a key stay out."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from nacl.bindings import crypto_core_ed25519_add

from p2p.batches.batch import CloseArgs
from p2p.blocks.block import ZERO_HASH
from p2p.blocks.genesis import (
    LINE_BYTES,
    MAX_CLOSED_BYTES,
    MAX_SHARES_BYTES,
    PIECE_BYTES,
    SHARE_BYTES,
    check_genesis,
)
from p2p.errors import GenesisError, InvalidTx
from p2p.ledger.closed import BARRED_AFTER, BARRED_INTERVALS
from p2p.ledger.modules.governance import _check_receives
from p2p.wire.frames import FRAME_MAX_BYTES
from p2p.wire.sealing import digest_of
from tests.kits.chain_kit import START, STEP, authorities, make_args
from tests.kits.modules_kit import HOMES, MEMBERS, OPERATORS, Chain, make_genesis, refused

NAME = bytes([7]) * 32
OTHER = bytes([8]) * 32
TO = digest_of([key.public_key for key in authorities(4)])


def sealed_chain() -> Chain:
    return Chain(make_genesis(sealed_bytes=224))


def close(chain: Chain, index: int = 0, name: bytes = NAME, to: bytes = TO) -> None:
    chain.call(OPERATORS[0], "settlement.close", CloseArgs(START + index * STEP, name, to))


def settle(chain: Chain, index: int = 0, **changes: Any) -> None:
    args = msgspec.structs.replace(make_args(index, MEMBERS)[1], **{"closed_hash": NAME, **changes})
    chain.call(OPERATORS[0], "settlement.batch", args)


def test_an_interval_is_closed_and_then_settled_as_closed() -> None:
    chain = sealed_chain()
    assert chain.tip.state.closed.interval_start == -1
    for index in range(3):
        close(chain, index, bytes([index + 1]) * 32)
        last = chain.tip.state.closed
        assert (last.interval_start, last.blob_hash) == (START + index * STEP, bytes([index + 1]) * 32)
        settle(chain, index, closed_hash=bytes([index + 1]) * 32)
        assert chain.tip.state.settled.last_interval_start == START + index * STEP


def test_a_validator_may_close_too_and_a_home_may_not() -> None:
    chain = sealed_chain()
    with refused("tx_role"):
        chain.call(HOMES[0], "settlement.close", CloseArgs(START, NAME, TO))
    chain.call(authorities(4)[2], "settlement.close", CloseArgs(START, NAME, TO))
    settle(chain)


def test_nothing_is_settled_that_was_not_closed() -> None:
    chain = sealed_chain()
    with refused("settle_closed"):
        settle(chain)
    close(chain)
    for name in (OTHER, ZERO_HASH):
        with refused("settle_closed"):
            settle(chain, closed_hash=name)
    with refused("settle_closed"):
        settle(chain, 1)
    settle(chain)
    with refused("settle_closed"):
        settle(chain, 1)


def test_an_interval_is_closed_once() -> None:
    chain = sealed_chain()
    close(chain)
    with refused("settle_late"):
        close(chain, 0, OTHER)
    with refused("settle_closed"):
        close(chain, 1)
    settle(chain)
    with refused("settle_late"):
        close(chain, 0, OTHER)
    close(chain, 1)


def test_only_orders_that_the_validators_of_now_can_open_are_closed() -> None:
    chain = sealed_chain()
    for to in (digest_of([key.public_key for key in authorities(4)][::-1]), bytes(16), b""):
        with refused("settle_closed"):
            close(chain, to=to)
    close(chain)


@pytest.mark.parametrize("name", [bytes(31), b""])
def test_closed_orders_have_a_name(name: bytes) -> None:
    with refused("tx_args"):
        close(sealed_chain(), name=name)


@pytest.mark.parametrize("start", [START + 1, -STEP, 2**36 + STEP])
def test_an_interval_that_begins_nowhere_is_not_closed(start: int) -> None:
    with refused("tx_args"):
        sealed_chain().call(OPERATORS[0], "settlement.close", CloseArgs(start, NAME, TO))


def test_a_chain_that_takes_orders_in_the_open_closes_nothing() -> None:
    chain = Chain(make_genesis())
    with refused("settle_closed"):
        close(chain)
    with refused("settle_closed"):
        settle(chain)
    with refused("settle_closed"):
        settle(chain, closed_hash=ZERO_HASH, unopened=(1,))
    settle(chain, closed_hash=ZERO_HASH)


def test_a_home_whose_envelope_had_no_key_is_barred_for_a_week_of_intervals() -> None:
    chain = sealed_chain()
    close(chain)
    settle(chain, unopened=(1, 3))
    first, last = BARRED_AFTER, BARRED_AFTER + BARRED_INTERVALS - 1
    state = chain.tip.state
    for home in range(MEMBERS):
        is_barred = [state.is_barred(home, START + i * STEP) for i in (0, first - 1, first, last, last + 1)]
        assert is_barred == ([False, False, True, True, False] if home in (1, 3) else [False] * 5)


def test_more_envelopes_without_a_key_put_off_nothing_and_bar_for_longer() -> None:
    chain = sealed_chain()
    for index in range(4):
        close(chain, index)
        settle(chain, index, unopened=(1,))
    last = 3 + BARRED_AFTER + BARRED_INTERVALS - 1
    expected = {BARRED_AFTER - 1: False, BARRED_AFTER: True, last: True, last + 1: False}
    assert {i: chain.tip.state.is_barred(1, START + i * STEP) for i in expected} == expected


def test_a_home_that_was_barred_long_ago_is_barred_anew() -> None:
    chain = sealed_chain()
    close(chain)
    settle(chain, unopened=(1,))
    later = BARRED_AFTER + BARRED_INTERVALS + 10
    close(chain, later)
    settle(chain, later, unopened=(1,))
    expected = {later: False, later + BARRED_AFTER - 1: False, later + BARRED_AFTER: True}
    assert {i: chain.tip.state.is_barred(1, START + i * STEP) for i in expected} == expected


@pytest.mark.parametrize("homes", [(MEMBERS,), (-1,), (1, 1), (2, 1)])
def test_those_without_a_key_are_homes_once_each(homes: tuple[int, ...]) -> None:
    chain = sealed_chain()
    close(chain)
    with refused("tx_args"):
        settle(chain, unopened=homes)


def test_what_is_refused_changes_nothing() -> None:
    chain = sealed_chain()
    close(chain)
    before = chain.tip.state.root
    with pytest.raises(InvalidTx):
        settle(chain, closed_hash=OTHER, unopened=(1,))
    assert chain.tip.state.root == before


@pytest.mark.parametrize(("size", "rounds"), [(-1, 1), (2_049, 1), (224, 2)])
def test_a_chain_that_could_not_seal_is_refused(size: int, rounds: int) -> None:
    genesis = make_genesis(sealed_bytes=224)
    params = msgspec.structs.replace(genesis.params, sealed_bytes=size, rounds=rounds)
    with pytest.raises(GenesisError, match="sealed_bytes"):
        check_genesis(msgspec.structs.replace(genesis, params=params))


def test_a_chain_has_no_more_homes_than_fit_into_a_blob_and_an_answer() -> None:
    """Else an interval is closed that nobody can open."""
    assert MAX_SHARES_BYTES == FRAME_MAX_BYTES
    genesis = make_genesis(sealed_bytes=224)
    most = MAX_CLOSED_BYTES // (224 + LINE_BYTES + PIECE_BYTES * 25)
    assert 4_000 < most < MAX_SHARES_BYTES // SHARE_BYTES
    check_genesis(msgspec.structs.replace(genesis, members=most))
    with pytest.raises(GenesisError, match=f"{most + 1} members; with sealed_bytes 224 at most {most} fit"):
        check_genesis(msgspec.structs.replace(genesis, members=most + 1))
    check_genesis(msgspec.structs.replace(make_genesis(), members=most + 1))


def test_a_validator_to_which_nothing_can_be_sealed_is_refused() -> None:
    """One key with a part of small order signs votes, and each home would fail at it."""
    genesis = make_genesis(sealed_bytes=224)
    order_2 = bytes.fromhex("ec" + "ff" * 30 + "7f")
    mixed = crypto_core_ed25519_add(genesis.authorities[0], order_2)
    with pytest.raises(GenesisError, match="no X25519 key"):
        check_genesis(msgspec.structs.replace(genesis, authorities=(*genesis.authorities[:3], mixed)))
    with pytest.raises(InvalidTx, match="no X25519 key"):
        _check_receives(mixed, genesis)
    _check_receives(mixed, make_genesis())
