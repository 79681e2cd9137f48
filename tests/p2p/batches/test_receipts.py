"""Omission proofs: a broken promise convicts its collector offline, a kept one never does."""

from __future__ import annotations

from hashlib import sha256, shake_256

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.orders import MAX_ORDERS
from p2p.batches.receipts import (
    ABSENT,
    MAX_OMISSION_BYTES,
    Omission,
    check_omission,
    include,
    make_omission,
    slot_of,
)
from p2p.blocks import merkle
from p2p.blocks.genesis import Genesis
from p2p.errors import BadProof, NonCanonical, RemoteError, TooLarge, WrongChain, WrongKind, WrongSignature
from p2p.wire.codec import decode, encode
from p2p.wire.messages import (
    VERSION,
    NothingMessage,
    OrderMessage,
    ReadingMessage,
    ReceiptCode,
    ReceiptMessage,
    message_id,
    order_line,
    sign_message,
)
from tests.kits.chain_kit import OPERATOR, START, STEP, flip
from tests.kits.sample_kit import some
from tests.kits.signed_kit import (
    RIVAL,
    batch_of,
    homes,
    key_of,
    keyed_genesis,
    names,
    nothing,
    order,
    reading,
    receipt,
    signed,
)

MEMBERS = 5
GENESIS = keyed_genesis(MEMBERS)
ROSTER = names(MEMBERS)
SECRET = b"i" * 32
Spoken = OrderMessage | NothingMessage | ReadingMessage
CONVICTED = (OPERATOR.public_key, START)


def proof(
    message: Spoken,
    in_batch: list[Spoken],
    *,
    code: ReceiptCode = ReceiptCode.ACCEPTED,
    genesis: Genesis = GENESIS,
    full: bool = False,
) -> bytes:
    """What a household whose receipt is for `message` can bring against a batch of `in_batch`."""
    inclusion = include(names(genesis.members), in_batch, SECRET)
    participant = names(genesis.members).index(message.household)
    return make_omission(
        receipt(message, code),
        signed(message),
        homes(genesis.members).proof(participant),
        inclusion.opening(participant, slot_of(message, 1)),
        batch_of(inclusion, genesis, full=full),
    )


def others(but: str) -> list[Spoken]:
    return [order(GENESIS, household) for household in ROSTER if household != but]


MINE = order(GENESIS, "house-2", nonce=4)
DROPPED = proof(MINE, others("house-2"))


def refusal(data: bytes, genesis: Genesis = GENESIS) -> str:
    with pytest.raises(RemoteError) as caught:
        check_omission(data, genesis)
    return caught.value.code


def changed(data: bytes = DROPPED, **fields: object) -> bytes:
    return encode(msgspec.structs.replace(decode(Omission, data), **fields))


# --- the tree ---------------------------------------------------------------------------------------------


@given(st.integers(1, 20), st.data())
def test_the_tree_is_what_the_page_says(members: int, data: st.DataObject) -> None:
    """An independent reading of the layout with hashlib and the textbook tree."""
    genesis, roster = keyed_genesis(members), names(members)
    who = data.draw(st.sets(st.integers(0, members - 1)))
    inclusion = include(roster, [order(genesis, roster[i], nonce=i) for i in who], SECRET)
    salts = shake_256(b"wattswap/inclusion/1\0" + SECRET).digest(2 * 16 * members)
    for i in range(members):
        nonce, name = (i, message_id(order(genesis, roster[i], nonce=i))) if i in who else (-1, bytes(32))
        content = salts[16 * i : 16 * i + 16] + nonce.to_bytes(8, "big", signed=True) + name
        opening = inclusion.opening(i)
        assert (opening.salt, opening.nonce, opening.message_id) == (salts[16 * i : 16 * i + 16], nonce, name)
        assert inclusion.leaves[i] == sha256(b"\x00\x0e" + content).digest()
        steps = [opening.path[at : at + 32] for at in range(0, len(opening.path), 32)]
        assert merkle.root_from_path(inclusion.leaves[i], i, 2 * members, steps) == inclusion.root


def test_a_silent_household_has_a_leaf_that_says_so() -> None:
    opening = include(ROSTER, others("house-3"), SECRET).opening(3)
    assert (opening.nonce, opening.message_id) == (ABSENT, bytes(32))


@given(st.permutations(range(MEMBERS)))
def test_the_order_of_arrival_does_not_change_the_root(places: list[int]) -> None:
    messages = [order(GENESIS, ROSTER[i], nonce=i) for i in places]
    assert include(ROSTER, messages, SECRET).root == include(ROSTER, sorted_by_name(messages), SECRET).root


def sorted_by_name(messages: list[OrderMessage]) -> list[OrderMessage]:
    return sorted(messages, key=lambda message: message.household)


# --- conviction -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [ReceiptCode.ACCEPTED, ReceiptCode.REPLACED])
@pytest.mark.parametrize("make", [order, nothing, reading])
def test_a_dropped_message_convicts_with_the_genesis_alone(make: object, code: ReceiptCode) -> None:
    message = make(GENESIS, "house-2", nonce=4)  # type: ignore[operator]
    assert check_omission(proof(message, others("house-2"), code=code), GENESIS) == CONVICTED


@given(st.integers(0, MEMBERS - 1), st.integers(1, 1000), st.data())
def test_an_older_message_of_the_household_convicts(place: int, nonce: int, data: st.DataObject) -> None:
    older = data.draw(st.integers(0, nonce - 1))
    newest = order(GENESIS, ROSTER[place], nonce)
    in_batch = [*others(ROSTER[place]), order(GENESIS, ROSTER[place], older)]
    proven = proof(newest, in_batch, code=ReceiptCode.REPLACED)
    assert check_omission(proven, GENESIS) == CONVICTED


def test_a_message_the_household_never_gave_under_the_promised_nonce_convicts() -> None:
    """A leaf of the same nonce and another content is not the promised message, whoever signed that one."""
    in_batch = [*others("house-2"), order(GENESIS, "house-2", nonce=4, energy_wh=1)]
    assert check_omission(proof(MINE, in_batch), GENESIS) == CONVICTED


def test_a_lone_household_of_a_chain_convicts() -> None:
    """A tree of one leaf has a path without steps."""
    genesis = keyed_genesis(1)
    assert check_omission(proof(order(genesis, "house-0"), [], genesis=genesis), genesis) == CONVICTED


def test_a_full_roster_with_full_entries_still_fits_into_a_proof() -> None:
    """Research chains carry every account's entry in the batch; a promise counts there as well."""
    genesis = keyed_genesis(1_000, full_entries=True)
    steps = tuple(order_line(1, 15_000, 1_000_000_000 - i, 1_000_000) for i in range(MAX_ORDERS))
    mine = msgspec.structs.replace(order(genesis, "house-500"), orders=steps)
    proven = proof(mine, [], genesis=genesis, full=True)
    assert check_omission(proven, genesis) == CONVICTED


# --- no conviction ----------------------------------------------------------------------------------------


@st.composite
def honest_intervals(draw: st.DrawFn) -> tuple[list[tuple[Spoken, ReceiptCode]], list[Spoken]]:
    """Receipts that an honest collector gives in one interval, and what it puts into its batch.

    The model of the collector is a dictionary: the first message of a household is accepted, a later one replaces it
    unless its nonce is not higher or the collector chooses to call it late or refused.
    """
    given_receipts: list[tuple[Spoken, ReceiptCode]] = []
    holds: dict[str, Spoken] = {}
    steps = st.tuples(
        st.sampled_from(ROSTER), st.integers(0, 5), st.sampled_from([order, nothing]), st.booleans()
    )
    for household, nonce, make, late in draw(st.lists(steps, max_size=12)):
        message, held = make(GENESIS, household, nonce), holds.get(household)
        if held is not None and message_id(held) == message_id(message):
            code = ReceiptCode.DUPLICATE
        elif late:
            code = draw(st.sampled_from([ReceiptCode.LATE, ReceiptCode.REFUSED, ReceiptCode.EARLY]))
        elif held is not None and nonce <= held.nonce:
            code = ReceiptCode.STALE_NONCE
        else:
            code = ReceiptCode.ACCEPTED if held is None else ReceiptCode.REPLACED
            holds[household] = message
        given_receipts.append((message, code))
    return given_receipts, list(holds.values())


@settings(max_examples=some(60, 20), deadline=None)
@given(honest_intervals(), st.data())
def test_an_honest_collector_is_never_convicted(
    interval: tuple[list[tuple[Spoken, ReceiptCode]], list[Spoken]], data: st.DataObject
) -> None:
    """Whatever receipts and leaves an accuser combines, batches of other intervals and collectors included."""
    given_receipts, in_batch = interval
    inclusion = include(ROSTER, in_batch, SECRET)
    elsewhere = include(ROSTER, [], b"e" * 32)
    accusations = [
        (inclusion, batch_of(inclusion, GENESIS)),
        (elsewhere, batch_of(elsewhere, GENESIS, start=START + STEP)),
        (elsewhere, batch_of(elsewhere, GENESIS, collector=RIVAL)),
    ]
    for message, code in given_receipts:
        participant = ROSTER.index(message.household)
        for tree, tx in accusations:
            leaf = data.draw(st.sampled_from([participant, *range(MEMBERS)]))
            for place in {participant, leaf}:
                data_of_proof = make_omission(
                    receipt(message, code),
                    signed(message),
                    homes(MEMBERS).proof(place),
                    tree.opening(leaf),
                    tx,
                )
                assert refusal(data_of_proof) in {"bad_proof", "wrong_signature"}


def test_the_included_message_convicts_nobody() -> None:
    assert refusal(proof(MINE, [*others("house-2"), MINE])) == "bad_proof"


def test_a_later_message_of_the_household_keeps_the_promise() -> None:
    later = order(GENESIS, "house-2", nonce=5)
    assert refusal(proof(MINE, [*others("house-2"), later])) == "bad_proof"


@pytest.mark.parametrize("code", sorted(set(ReceiptCode) - {ReceiptCode.ACCEPTED, ReceiptCode.REPLACED}))
def test_a_receipt_that_promises_nothing_convicts_nobody(code: ReceiptCode) -> None:
    assert refusal(proof(MINE, others("house-2"), code=code)) == "bad_proof"


def test_a_batch_of_another_collector_convicts_nobody() -> None:
    """After a failover the second collector settles; it does not answer for promises of the first."""
    inclusion = include(ROSTER, others("house-2"), SECRET)
    with pytest.raises(BadProof, match="another collector"):
        check_omission(changed(tx=batch_of(inclusion, GENESIS, collector=RIVAL)), GENESIS)


def test_a_receipt_by_another_key_convicts_nobody() -> None:
    with pytest.raises(BadProof, match="another collector"):
        check_omission(changed(receipt=receipt(MINE, ReceiptCode.ACCEPTED, RIVAL)), GENESIS)


def test_a_receipt_that_names_the_collector_but_was_signed_by_another_is_refused() -> None:
    """The accuser cannot write receipts: the key in the envelope must have signed."""
    forged = bytearray(receipt(MINE, ReceiptCode.ACCEPTED, key_of("house-2")))
    own, theirs = key_of("house-2").public_key, OPERATOR.public_key
    assert bytes(own) in bytes(forged)
    with pytest.raises(WrongSignature):
        check_omission(changed(receipt=bytes(forged).replace(own, theirs)), GENESIS)


def test_a_batch_of_another_interval_convicts_nobody() -> None:
    inclusion = include(ROSTER, others("house-2"), SECRET)
    with pytest.raises(BadProof, match="different intervals"):
        check_omission(changed(tx=batch_of(inclusion, GENESIS, start=START + STEP)), GENESIS)


def test_the_receipt_of_another_message_convicts_nobody() -> None:
    other = receipt(order(GENESIS, "house-2", nonce=9), ReceiptCode.ACCEPTED)
    with pytest.raises(BadProof, match="another message"):
        check_omission(changed(receipt=other), GENESIS)


def test_a_receipt_that_moves_its_message_to_another_interval_convicts_nobody() -> None:
    """A careless collector might sign one; the batch of that interval holds the messages of that interval."""
    head = (GENESIS.chain_id, START + STEP, MINE.household, message_id(MINE))
    moved = sign_message(OPERATOR, ReceiptMessage(VERSION, *head, ReceiptCode.ACCEPTED))
    tx = batch_of(include(ROSTER, others("house-2"), SECRET), GENESIS, start=START + STEP)
    with pytest.raises(BadProof, match="another message"):
        check_omission(changed(receipt=moved, tx=tx), GENESIS)


@pytest.mark.parametrize("place", [0, 1, 3, 4])
def test_the_leaf_of_another_household_convicts_nobody(place: int) -> None:
    """House 3 is silent here; its empty leaf cannot be passed off as the leaf of house 2."""
    inclusion = include(ROSTER, [MINE, *(m for m in others("house-2") if m.household != "house-3")], SECRET)
    opening = inclusion.opening(place)
    accusation = make_omission(
        receipt(MINE, ReceiptCode.ACCEPTED),
        signed(MINE),
        homes(MEMBERS).proof(2),
        opening,
        batch_of(inclusion, GENESIS),
    )
    assert refusal(accusation) == "bad_proof"


def test_a_household_cannot_claim_the_place_of_another() -> None:
    with pytest.raises(BadProof, match="another home"):
        check_omission(changed(home=homes(MEMBERS).proof(3)), GENESIS)


@pytest.mark.parametrize("index", [-1, 1, 5, 2**62])
def test_a_home_that_is_not_the_one_of_the_genesis_is_refused(index: int) -> None:
    with pytest.raises(BadProof, match=r"leaf|home|path"):
        check_omission(changed(home=msgspec.structs.replace(homes(MEMBERS).proof(2), index=index)), GENESIS)


def test_a_home_of_another_street_is_refused() -> None:
    with pytest.raises(BadProof, match="not the one of the genesis"):
        check_omission(changed(home=homes(MEMBERS + 3).proof(2)), GENESIS)


# --- form -------------------------------------------------------------------------------------------------


def test_a_proof_of_another_chain_is_refused() -> None:
    with pytest.raises(WrongChain):
        check_omission(DROPPED, keyed_genesis(MEMBERS, name="another street"))


def test_a_batch_of_another_chain_convicts_nobody_on_this_one() -> None:
    """A collector may serve two chains with one key."""
    elsewhere = batch_of(include(ROSTER, [], SECRET), keyed_genesis(MEMBERS, name="another street"))
    found = decode(Omission, DROPPED, max_bytes=MAX_OMISSION_BYTES)
    with pytest.raises(WrongChain, match="the batch is of chain"):
        check_omission(encode(msgspec.structs.replace(found, tx=elsewhere)), GENESIS)


def test_another_version_is_refused() -> None:
    with pytest.raises(BadProof, match="version 1"):
        check_omission(changed(version=1), GENESIS)


def test_a_proof_that_is_too_long_is_refused_unread() -> None:
    with pytest.raises(TooLarge):
        check_omission(DROPPED + bytes(MAX_OMISSION_BYTES), GENESIS)


def test_a_proof_in_other_bytes_than_its_only_encoding_is_refused() -> None:
    """The version as a two-byte integer says the same and is not what `make_omission` writes."""
    assert DROPPED[1] == 4
    with pytest.raises(NonCanonical):
        check_omission(DROPPED[:1] + b"\xcc\x04" + DROPPED[2:], GENESIS)


def test_a_receipt_is_no_message_of_the_tree() -> None:
    promised = receipt(MINE, ReceiptCode.ACCEPTED)
    with pytest.raises(WrongKind):
        check_omission(changed(message=promised), GENESIS)


def test_a_transaction_that_settles_nothing_is_refused() -> None:
    tx = decode(Omission, DROPPED).tx
    other = msgspec.structs.replace(tx, method="other")
    with pytest.raises(BadProof, match="not a settlement"):
        check_omission(changed(tx=other), GENESIS)


def test_a_batch_whose_signature_is_of_another_batch_is_refused() -> None:
    kept = batch_of(include(ROSTER, [MINE], SECRET), GENESIS)
    tx = msgspec.structs.replace(decode(Omission, DROPPED).tx, signature=kept.signature)
    with pytest.raises(RemoteError):
        check_omission(changed(tx=tx), GENESIS)


@pytest.mark.parametrize("field", ["receipt", "message", "salt", "leaf_id", "path"])
@settings(max_examples=some(40, 13), deadline=None)
@given(data=st.data())
def test_a_flipped_bit_of_any_part_is_refused(field: str, data: st.DataObject) -> None:
    part: bytes = getattr(decode(Omission, DROPPED), field)
    bit = data.draw(st.integers(0, 8 * len(part) - 1))
    refusal(changed(**{field: flip(part, bit)}))


@settings(max_examples=some(200, 66), deadline=None)
@given(st.integers(0, 8 * len(DROPPED) - 1))
def test_a_flipped_bit_of_the_proof_is_refused(bit: int) -> None:
    refusal(flip(DROPPED, bit))


@pytest.mark.parametrize("nonce", [0, 3, 4, 5, -2, 2**63 - 1, -(2**63)])
def test_another_nonce_of_the_leaf_is_refused(nonce: int) -> None:
    refusal(changed(nonce=nonce))


@pytest.mark.parametrize("cut", [0, 8, 15, 17])
def test_a_salt_of_another_length_is_refused(cut: int) -> None:
    assert refusal(changed(salt=bytes(cut))) == "bad_proof"


def test_the_parts_of_a_leaf_cannot_be_shifted_against_each_other() -> None:
    """A leaf is a concatenation: half of its salt read as the nonce, an honest one would say something else."""
    for number in range(100):
        inclusion = include(ROSTER, [MINE, *others("house-2")], bytes([number]) * 32)
        opening = inclusion.opening(2)
        nonce = int.from_bytes(opening.salt[8:], "big", signed=True)
        if nonce < MINE.nonce:
            break
    shifted = changed(
        tx=batch_of(inclusion, GENESIS),
        salt=opening.salt[:8],
        nonce=nonce,
        leaf_id=opening.nonce.to_bytes(8, "big", signed=True) + opening.message_id,
        path=opening.path,
    )
    with pytest.raises(BadProof, match="length"):
        check_omission(shifted, GENESIS)


def test_a_path_that_is_too_short_or_too_long_is_refused() -> None:
    path = decode(Omission, DROPPED).path
    for other in (path[:-32], path + bytes(32), path[:-1], b""):
        assert refusal(changed(path=other)) == "bad_proof"
