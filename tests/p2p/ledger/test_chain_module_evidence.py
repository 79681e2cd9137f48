"""Evidence: each kind of broken word costs its office once, and what proves nothing costs nobody anything."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from p2p.batches.batch import BatchArgs, batch_tx
from p2p.batches.closings import Promised
from p2p.blocks.block import sign_tx
from p2p.blocks.genesis import Genesis
from p2p.blocks.possession import prove_possession
from p2p.errors import BadProof, BrokenInvariant, RemoteError
from p2p.ledger import offices
from p2p.ledger.modules import evidence
from p2p.ledger.modules.accounts import EnterArgs
from p2p.ledger.modules.evidence import ProofArgs, TwoBatchesArgs, check_two_batches
from p2p.ledger.modules.governance import ADD_OPERATOR, RETURN, ApproveArgs, AuthorityArgs, OperatorArgs
from p2p.ledger.state import check_invariants
from p2p.wire.codec import Record, decode
from p2p.wire.identity import Identity
from tests.kits.chain_kit import OPERATOR, START, STEP, authorities, identity
from tests.kits.modules_kit import Chain, refused
from tests.kits.proofs_kit import HOME, broken_promise, omission, two_batches
from tests.kits.signed_kit import RIVAL, homes, key_of, keyed_genesis

MEMBERS = 4
KEYS = authorities(6)
FIVE = msgspec.structs.replace(keyed_genesis(MEMBERS), authorities=tuple(key.public_key for key in KEYS[:5]))
"""The keyed street with five validators, so that one can leave."""
Call = tuple[str, Record]


def by_omission(genesis: Genesis, key: Identity) -> Call:
    return "evidence.omission", ProofArgs(omission(genesis, key))


def by_broken_promise(genesis: Genesis, key: Identity) -> Call:
    return "evidence.broken_promise", ProofArgs(broken_promise(genesis, key))


def by_two_batches(genesis: Genesis, key: Identity) -> Call:
    return "evidence.two_batches", TwoBatchesArgs(*two_batches(genesis, key))


EVERY_METHOD = pytest.mark.parametrize("accuse", [by_omission, by_broken_promise, by_two_batches])


def new_chain(genesis: Genesis = FIVE) -> Chain:
    chain = Chain(genesis)
    chain.validators |= {key.public_key: key for key in KEYS}
    return chain


def jailed(chain: Chain) -> tuple[bytes, ...]:
    return offices.validator_sets(chain.tip.state.view()).jailed


@EVERY_METHOD
def test_a_convicted_operator_is_removed_at_once(accuse: Callable[[Genesis, Identity], Call]) -> None:
    chain = new_chain()
    chain.call(KEYS[0], *accuse(FIVE, OPERATOR))
    assert (chain.tip.state.operators, jailed(chain)) == ((RIVAL.public_key,), ())
    view = chain.tip.state.view()
    entry = view.read(evidence.NAME, evidence.conviction_key(OPERATOR.public_key, START), evidence.Conviction)
    assert entry == evidence.Conviction(1)
    assert chain.tip.state.validators == FIVE.authorities


@EVERY_METHOD
def test_a_convicted_validator_is_jailed_and_out_two_blocks_later(
    accuse: Callable[[Genesis, Identity], Call],
) -> None:
    chain = new_chain()
    chain.call(RIVAL, *accuse(FIVE, KEYS[3]))
    assert jailed(chain) == (KEYS[3].public_key,)
    assert chain.tip.state.operators == FIVE.operators
    chain.add()
    assert chain.tip.state.validators == tuple(key.public_key for key in (*KEYS[:3], KEYS[4]))


@EVERY_METHOD
def test_an_operator_that_is_a_validator_too_loses_both(accuse: Callable[[Genesis, Identity], Call]) -> None:
    genesis = msgspec.structs.replace(FIVE, operators=(RIVAL.public_key, KEYS[2].public_key))
    chain = new_chain(genesis)
    chain.call(RIVAL, *accuse(genesis, KEYS[2]))
    assert chain.tip.state.operators == (RIVAL.public_key,)
    assert jailed(chain) == (KEYS[2].public_key,)


@EVERY_METHOD
def test_a_key_is_convicted_of_an_interval_once(accuse: Callable[[Genesis, Identity], Call]) -> None:
    chain = new_chain()
    chain.call(KEYS[0], *accuse(FIVE, OPERATOR))
    for again in (by_omission, by_broken_promise, by_two_batches):
        with refused("evidence_known"):
            chain.call(KEYS[0], *again(FIVE, OPERATOR))


def test_who_has_its_office_back_can_be_convicted_of_another_interval_only() -> None:
    chain = new_chain()
    chain.call(RIVAL, *by_omission(FIVE, OPERATOR))
    chain.call(RIVAL, *by_omission(FIVE, KEYS[3]))
    expiry, own = chain.tip.height + 50, prove_possession(OPERATOR, FIVE.chain_id)
    back = OperatorArgs(ADD_OPERATOR, OPERATOR.public_key, own, expiry)
    chain.call(KEYS[0], "governance.propose_operator", back)
    chain.call(
        KEYS[0], "governance.propose_authority", AuthorityArgs(RETURN, KEYS[3].public_key, b"", b"", expiry)
    )
    for number in (0, 1):
        for key in KEYS[1:3]:
            chain.call(key, "governance.approve", ApproveArgs(number))
    chain.add()
    chain.add()
    assert OPERATOR.public_key in chain.tip.state.operators
    assert KEYS[3].public_key in chain.tip.state.validators
    for key in (OPERATOR, KEYS[3]):
        with refused("evidence_known"):
            chain.call(RIVAL, *by_two_batches(FIVE, key))
        chain.call(RIVAL, "evidence.omission", ProofArgs(omission(FIVE, key, START + STEP)))
    assert OPERATOR.public_key not in chain.tip.state.operators
    assert jailed(chain) == (KEYS[3].public_key,)


@EVERY_METHOD
@pytest.mark.parametrize("key", [KEYS[5], key_of("house-0"), identity("stranger", "0")])
def test_a_key_without_an_office_has_nothing_to_lose(
    accuse: Callable[[Genesis, Identity], Call], key: Identity
) -> None:
    chain = new_chain()
    with refused("evidence_office"):
        chain.call(KEYS[0], *accuse(FIVE, key))


def test_a_jailed_validator_is_not_jailed_again() -> None:
    chain = new_chain(keyed_genesis(MEMBERS))
    chain.call(RIVAL, *by_omission(chain.genesis, KEYS[3]))
    chain.add()
    assert KEYS[3].public_key in chain.tip.state.validators, "a set of four does not shrink"
    again = omission(chain.genesis, KEYS[3], START + STEP)
    with refused("evidence_office"):
        chain.call(RIVAL, "evidence.omission", ProofArgs(again))


@pytest.mark.parametrize("by", [RIVAL, KEYS[1], key_of("house-1")])
def test_operators_validators_and_homes_accuse(by: Identity) -> None:
    chain = new_chain()
    if by == key_of("house-1"):
        chain.call(by, "accounts.enter", EnterArgs(homes(MEMBERS).proof(1)))
    chain.call(by, *by_omission(FIVE, OPERATOR))
    assert OPERATOR.public_key not in chain.tip.state.operators


def test_nobody_else_does() -> None:
    with refused("tx_role"):
        new_chain().call(identity("stranger", "0"), *by_omission(FIVE, OPERATOR))


def test_the_proof_of_one_kind_is_none_of_the_other() -> None:
    chain = new_chain()
    for name, proof in (
        ("evidence.omission", broken_promise(FIVE, KEYS[1])),
        ("evidence.broken_promise", omission(FIVE, KEYS[1])),
        ("evidence.omission", b""),
        ("evidence.broken_promise", broken_promise(FIVE, KEYS[1], promised=(Promised(HOME, 4),))),
        ("evidence.omission", omission(keyed_genesis(MEMBERS, "another street"), OPERATOR)),
        ("evidence.broken_promise", broken_promise(keyed_genesis(MEMBERS, "another street"), KEYS[1])),
    ):
        with refused("evidence_proof"):
            chain.call(KEYS[0], name, ProofArgs(proof))
    assert chain.tip.state.operators == FIVE.operators
    assert chain.tip.height == 0


# --- two batches --------------------------------------------------------------------------------------------


def test_two_batches_of_an_interval_name_their_key_and_the_interval() -> None:
    first, second = two_batches(FIVE, OPERATOR)
    for pair in ((first, second), (second, first)):
        assert check_two_batches(*pair, FIVE.chain_id) == (OPERATOR.public_key, START)


def test_the_same_batch_under_another_nonce_is_no_second_one() -> None:
    """A collector sends its batch again, with another nonce or a later last height, until it is decided."""
    first = two_batches(FIVE, OPERATOR)[0]
    args = decode(BatchArgs, first.args)
    again = batch_tx(OPERATOR, FIVE.chain_id, 7, 900, args)
    assert again != first
    for pair in ((first, first), (first, again)):
        with pytest.raises(BadProof, match="the batches are the same"):
            check_two_batches(*pair, FIVE.chain_id)
    chain = new_chain()
    with refused("evidence_proof"):
        chain.call(KEYS[0], "evidence.two_batches", TwoBatchesArgs(first, again))


def test_batches_that_do_not_belong_together_prove_nothing() -> None:
    first, second = two_batches(FIVE, OPERATOR)
    for other in (
        two_batches(FIVE, RIVAL)[1],
        two_batches(FIVE, OPERATOR, START + STEP)[1],
        two_batches(keyed_genesis(MEMBERS, "another street"), OPERATOR)[1],
        msgspec.structs.replace(second, signature=first.signature),
        msgspec.structs.replace(second, signature=b""),
        msgspec.structs.replace(second, method="other"),
        msgspec.structs.replace(second, module="meters"),
        msgspec.structs.replace(second, args=b""),
        msgspec.structs.replace(second, sender=RIVAL.public_key),
        msgspec.structs.replace(second, chain_id=bytes(32)),
        msgspec.structs.replace(second, nonce=9),
    ):
        for pair in ((first, other), (other, first)):
            with pytest.raises(RemoteError):
                check_two_batches(*pair, FIVE.chain_id)


@pytest.mark.parametrize("what", [{"method": "other"}, {"module": "meters"}])
def test_two_transactions_that_settle_nothing_convict_nobody(what: dict[str, str]) -> None:
    """They are signed, and their arguments are those of two batches."""
    pair = [sign_tx(OPERATOR, msgspec.structs.replace(tx, **what)) for tx in two_batches(FIVE, OPERATOR)]
    with pytest.raises(BadProof, match="not a settlement"):
        check_two_batches(*pair, FIVE.chain_id)


# --- what always holds --------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, evidence.Conviction(2)])
def test_a_conviction_that_is_changed_or_deleted_stops_the_node(value: evidence.Conviction | None) -> None:
    chain = new_chain()
    chain.call(KEYS[0], *by_omission(FIVE, OPERATOR))
    view, key = chain.tip.state.view(), evidence.conviction_key(OPERATOR.public_key, START)
    if value is None:
        view.put(evidence.NAME, key, None)
    else:
        view.write(evidence.NAME, key, value)
    view.accept()
    with pytest.raises(BrokenInvariant, match="was changed or deleted"):
        check_invariants(view, FIVE, 2)


def test_a_batch_that_names_another_collector_is_no_second_one() -> None:
    """Whom it named may lose its office while the batch waits: it would be refused for good."""
    first, _ = two_batches(FIVE, OPERATOR)
    args = decode(BatchArgs, first.args, max_bytes=len(first.args))
    named = msgspec.structs.replace(args, next_collector=KEYS[0].public_key)
    second = batch_tx(OPERATOR, FIVE.chain_id, 2, 100, named)
    assert named != args
    with pytest.raises(BadProof, match="the same"):
        check_two_batches(first, second, FIVE.chain_id)
