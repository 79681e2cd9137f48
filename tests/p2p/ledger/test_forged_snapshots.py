"""A snapshot is believed as far as a quorum has signed for it: state, headers and every change of the set."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from test_chain_module_governance import KEYS, approve, new_chain, propose

from p2p.blocks.block import Header, block_hash, validators_hash
from p2p.errors import BadCertificate, BadProof, RemoteError, WrongChain, WrongVersion
from p2p.ledger.checkpoint import checkpoint_bytes
from p2p.ledger.execution import Tip
from p2p.ledger.light import SetChange, set_changes
from p2p.ledger.modules.governance import ADD, REMOVE
from p2p.ledger.modules.settlement import settled
from p2p.ledger.state import State
from p2p.roles.replica.snapshot import Snapshot, open_snapshot
from p2p.wire.codec import encode
from p2p.wire.identity import Identity
from p2p.wire.messages import VERSION
from tests.kits.chain_kit import certify, identity
from tests.kits.modules_kit import Chain

THIEVES = [identity("thief", str(i)) for i in range(4)]


class Street(Chain):
    """A chain that remembers the tip after every block; a fifth validator joins it and leaves again."""

    def __init__(self) -> None:
        super().__init__(new_chain(4).genesis)
        self.validators |= {key.public_key: key for key in KEYS}
        self.tips = [self.tip]
        propose(self, KEYS[0], ADD, KEYS[4])
        approve(self, *KEYS[1:3])
        self.five = self.tip.height + 2
        """Height of the first block of five validators."""
        self.wait(4)
        propose(self, KEYS[0], REMOVE, KEYS[4])
        approve(self, *KEYS[1:4], number=1)
        self.wait(4)

    def add(self, *what: Any, **how: Any) -> None:
        super().add(*what, **how)
        self.tips.append(self.tip)

    def wait(self, blocks: int) -> None:
        for _ in range(blocks):
            self.add()

    def header(self, height: int) -> Header:
        return self.made[height - 1][0].header

    def changes(self, height: int) -> tuple[SetChange, ...]:
        """Those that lead to the validators of the block above a height."""
        return set_changes(self.header(height + 1), self.made, self.genesis)

    def snapshot(self, height: int) -> Snapshot:
        """As an honest node gives it."""
        above, cert = self.made[height]
        data = checkpoint_bytes(self.tips[height])
        return Snapshot(VERSION, self.changes(height), self.header(height), above.header, cert, data)

    def keys_of(self, height: int) -> list[Identity]:
        """The validators of a block."""
        return [self.validators[key] for key in self.tips[height - 1].state.validators]


STREET = Street()
LAST = STREET.tip.height - 1
"""Height of the newest state that has a header above it."""


def refusal(kind: type[RemoteError], snapshot: Snapshot, **changes: object) -> str:
    """The sentence with which a snapshot is refused."""
    with pytest.raises(kind) as caught:
        open_snapshot(encode(msgspec.structs.replace(snapshot, **changes)), STREET.genesis)
    return str(caught.value)


def above(snapshot: Snapshot, keys: list[Identity], **header: object) -> dict[str, object]:
    """Another header above a state, signed by these keys."""
    made = msgspec.structs.replace(snapshot.next_header, **header)
    return {"next_header": made, "next_cert": certify(made, len(keys), round_=len(keys), keys=keys)}


def robbed(tip: Tip) -> Tip:
    """A tip with a state in which a thief has the next turn."""
    view = tip.state.view()
    mine = msgspec.structs.replace(settled(view), collector=THIEVES[0].public_key)
    view.write("settlement", b"sums", mine)
    view.accept()
    found = replace(tip, state=State(view.trees()))
    assert found.state.root != tip.state.root
    return found


def test_a_snapshot_of_any_height_is_believed() -> None:
    for height in range(1, LAST + 1):
        base = open_snapshot(encode(STREET.snapshot(height)), STREET.genesis)
        assert (base.height, base.block_hash) == (height, STREET.tips[height].block_hash)
    assert len(STREET.changes(LAST)) == 2
    assert len(STREET.tips[STREET.five].state.validators) == 5


def test_a_state_that_is_not_the_one_of_the_header_above_is_refused() -> None:
    """Headers, signatures and changes are genuine."""
    forged = checkpoint_bytes(robbed(STREET.tips[LAST]))
    assert "not the one the header names" in refusal(BadProof, STREET.snapshot(LAST), checkpoint=forged)


@pytest.mark.parametrize(
    "changes", [{"height": LAST + 1}, {"time_ms": 1}, {"block_hash": b"b" * 32}, {"receipts_root": b"r" * 32}]
)
def test_a_state_that_claims_to_be_of_another_block_is_refused(changes: dict[str, Any]) -> None:
    forged = checkpoint_bytes(replace(STREET.tips[LAST], **changes))
    assert "not the one" in refusal(BadProof, STREET.snapshot(LAST), checkpoint=forged)


def test_a_header_above_that_no_quorum_has_signed_is_refused() -> None:
    snapshot, keys = STREET.snapshot(LAST), STREET.keys_of(LAST + 1)
    forged = robbed(STREET.tips[LAST])
    root = forged.state.root
    refusal(BadCertificate, snapshot, **above(snapshot, keys[:2], state_root=root))
    refusal(BadCertificate, snapshot, **above(snapshot, THIEVES, state_root=root))
    unsigned = above(snapshot, keys, state_root=root)["next_header"]
    data = checkpoint_bytes(forged)
    assert "belong together" in refusal(BadProof, snapshot, next_header=unsigned, checkpoint=data)


def test_a_header_above_that_names_other_validators_is_refused() -> None:
    snapshot, keys = STREET.snapshot(LAST), STREET.keys_of(LAST + 1)
    other = above(snapshot, keys, validators_hash=validators_hash(THIEVES[0].public_key))
    assert "other validators" in refusal(BadProof, snapshot, **other)


def test_a_header_that_is_not_below_the_signed_one_is_refused() -> None:
    snapshot, tip = STREET.snapshot(LAST), STREET.tips[LAST]
    late = msgspec.structs.replace(snapshot.header, time_ms=snapshot.header.time_ms + 1)
    data = checkpoint_bytes(replace(tip, time_ms=late.time_ms, block_hash=block_hash(late)))
    assert "do not follow" in refusal(BadProof, snapshot, header=late, checkpoint=data)


def test_a_header_of_another_height_is_refused_though_a_quorum_has_signed_above_it() -> None:
    snapshot, tip = STREET.snapshot(LAST), STREET.tips[LAST]
    high = msgspec.structs.replace(snapshot.header, height=LAST + 9)
    name = block_hash(high)
    signed = above(snapshot, STREET.keys_of(LAST + 1), parent_hash=name)
    data = checkpoint_bytes(replace(tip, height=LAST + 9, block_hash=name))
    assert "do not follow" in refusal(BadProof, snapshot, header=high, checkpoint=data, **signed)


def test_changes_that_go_round_in_circles_are_refused() -> None:
    snapshot = STREET.snapshot(LAST)
    assert "not in order" in refusal(BadProof, snapshot, changes=snapshot.changes * 2)


def test_later_validators_do_not_sign_for_the_time_before_them() -> None:
    """Five validators sign the state of a block that four have made."""
    early = STREET.snapshot(STREET.five - 3)
    assert not early.changes
    five = STREET.keys_of(STREET.five)
    hashed = validators_hash([key.public_key for key in five])
    changes = STREET.changes(STREET.five)
    assert len(changes) == 1
    signed = above(early, five, validators_hash=hashed)
    assert "not in order" in refusal(BadProof, early, changes=changes, **signed)


def test_a_change_that_its_validators_did_not_sign_is_refused() -> None:
    snapshot = STREET.snapshot(LAST)
    keys = tuple(key.public_key for key in THIEVES)
    hashed = validators_hash(keys)
    made = msgspec.structs.replace(snapshot.changes[0].header, next_validators_hash=hashed)
    change = SetChange(made, certify(made, 4, keys=THIEVES), keys)
    signed = above(snapshot, THIEVES, validators_hash=hashed)
    refusal(BadCertificate, snapshot, changes=(change,), **signed)


def test_a_change_to_another_set_than_its_header_announces_is_refused() -> None:
    snapshot = STREET.snapshot(LAST)
    keys = tuple(key.public_key for key in THIEVES)
    change = msgspec.structs.replace(snapshot.changes[0], validators=keys)
    signed = above(snapshot, THIEVES, validators_hash=validators_hash(keys))
    assert "another set" in refusal(BadProof, snapshot, changes=(change,), **signed)


def test_a_snapshot_of_another_version_or_chain_is_refused() -> None:
    snapshot, keys = STREET.snapshot(LAST), STREET.keys_of(LAST + 1)
    refusal(WrongVersion, snapshot, version=VERSION + 1)
    refusal(WrongChain, snapshot, **above(snapshot, keys, chain_id=b"c" * 32))
