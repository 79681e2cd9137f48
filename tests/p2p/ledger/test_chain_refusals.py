"""The table of refusals is complete: every code is raised somewhere, and every raised code is in it."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from p2p.blocks.block import Tx
from p2p.blocks.possession import prove_possession
from p2p.ledger.issuances import issuance_id
from p2p.ledger.module import refusal_codes
from p2p.ledger.modules import meters
from p2p.ledger.modules.accounts import KEYS_MAX, EnterArgs, RotateArgs
from p2p.ledger.modules.evidence import ProofArgs
from p2p.ledger.modules.governance import ADD, REMOVE, ApproveArgs, AuthorityArgs, ParameterArgs
from p2p.ledger.modules.guarantees import ClaimArgs, CorrectArgs, IssueArgs, NameArgs, SplitArgs, TransferArgs
from p2p.ledger.modules.meters import AnchorArgs, ConfirmArgs
from p2p.ledger.state import apply_to, check_tx
from p2p.wire.codec import Record
from p2p.wire.identity import Identity
from tests.kits.chain_kit import authorities, make_args
from tests.kits.modules_kit import (
    DAY,
    DAY_START,
    HOMES,
    MEMBERS,
    NOTES,
    OPERATORS,
    STRANGER,
    STREET,
    Chain,
    NoteArgs,
    fail,
    make_genesis,
    refused,
    registered,
)
from tests.kits.proofs_kit import omission
from tests.kits.versions_kit import again

P2P_FOLDER = Path(__file__).parents[3] / "p2p"
KEYS = authorities(6)


def codes_in_the_source() -> set[str]:
    found = set()
    for path in P2P_FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "InvalidTx":
                code = node.args[0]
                assert isinstance(code, ast.Constant), f"{path}:{node.lineno}: a code must be a literal"
                found.add(code.value)
    return found


def test_the_table_holds_the_codes_of_the_source_and_no_others() -> None:
    assert codes_in_the_source() == set(refusal_codes())


def test_every_code_has_one_sentence() -> None:
    assert all(text.endswith(".") and 15 < len(text) < 100 for text in refusal_codes().values())


class World:
    """A chain on which something of everything exists. `id` is 900 Wh of home 0."""

    def __init__(self) -> None:
        self.chain = chain = Chain(make_genesis(5, tx_quota=1_000))
        chain.settle_day()
        self.roof = chain.register("roof", 0, meters.PRODUCTION)
        self.house = chain.register("house", 1, meters.CONSUMPTION)
        self.made = chain.anchor(self.roof, [(900_000, 0), (5_000, 0)])
        self.used = chain.anchor(self.house, [(0, 500_000), (0, 5_000)])
        self.id = issuance_id(self.roof, DAY_START)
        self.issue(index=0)
        chain.validators |= {key.public_key: key for key in KEYS}

    def home(self, name: str, args: Record, index: int = 0) -> None:
        self.chain.call(HOMES[index], name, args)

    def envelope(self, **changes: object) -> None:
        tx = self.chain.tx(HOMES[0], "guarantees.split", SplitArgs(self.id, 0, (400, 500)))
        tx = Tx(**{name: getattr(tx, name) for name in Tx.__struct_fields__} | changes)
        check_tx(self.chain.tip.state, tx, self.chain.tip.height + 1, self.chain.genesis)

    def settle(self, **changes: object) -> None:
        args = msgspec.structs.replace(make_args(1, MEMBERS)[1], **changes)
        self.chain.call(OPERATORS[0], "settlement.batch", args)

    def rotate(self, key: Identity, proof: bytes | None = None, old: Identity = HOMES[0]) -> None:
        signed = prove_possession(key, self.chain.genesis.chain_id, old.public_key)
        self.chain.call(old, "accounts.rotate_key", RotateArgs(key.public_key, proof or signed))

    def rotate_often(self) -> None:
        old = HOMES[0]
        for n in range(KEYS_MAX + 1):
            new = Identity.from_seed(n.to_bytes(32, "big"))
            self.rotate(new, old=old)
            old = new
            self.chain.call(OPERATORS[0], "settlement.batch", make_args(n + 1, MEMBERS)[1])

    def propose(self, action: int, index: int, expiry: int = 50) -> None:
        proof = prove_possession(KEYS[index], self.chain.genesis.chain_id) if action == ADD else b""
        args = AuthorityArgs(action, KEYS[index].public_key, b"", proof, expiry)
        self.chain.call(KEYS[0], "governance.propose_authority", args)

    def quota(self) -> None:
        self.chain = Chain(make_genesis(tx_quota=1))
        for _ in range(2):
            self.chain.register(str(self.chain.tip.height), 0, meters.BOTH)

    def failing_module(self) -> None:
        with registered(fail(ValueError("oops"))):
            self.chain = Chain(make_genesis(modules=(NOTES,)))
            self.chain.call(OPERATORS[0], f"{NOTES}.keep", NoteArgs(1))

    def below_four(self) -> None:
        self.chain = Chain(make_genesis(4))
        self.propose(REMOVE, 3)

    def approve_twice(self) -> None:
        self.propose(ADD, 5)
        self.chain.call(KEYS[0], "governance.approve", ApproveArgs(0))

    def busy(self) -> None:
        self.propose(REMOVE, 4)
        for key in KEYS[1:3]:
            self.chain.call(key, "governance.approve", ApproveArgs(0))
        self.propose(ADD, 5)
        for key in KEYS[1:3]:
            self.chain.call(key, "governance.approve", ApproveArgs(1))
        view = self.chain.tip.state.view()
        for number in (0, 1):
            tx = self.chain.tx(KEYS[3], "governance.approve", ApproveArgs(number), nonce=number + 1)
            apply_to(view, tx, self.chain.tip.height + 1, self.chain.genesis)

    def full(self) -> None:
        for _ in range(33):
            args = ParameterArgs("tx_quota", 5, 100)
            self.chain.call(KEYS[0], "governance.propose_parameter", args)

    def expired(self) -> None:
        self.settle(interval_start=DAY_START + 731 * meters.DAY_S)
        self.home("guarantees.transfer", TransferArgs(self.id, 0, 1, -1))

    def over_production(self) -> None:
        battery = self.chain.register("battery", 0, meters.STORAGE, efficiency_ppm=900_000)
        readings = self.chain.anchor(battery, [(1_000, 0)])
        balances = self.chain.balances(battery, readings[0])
        self.home("guarantees.issue", IssueArgs(battery, (readings[0],), balances))

    def over_consumption(self) -> None:
        self.home("guarantees.transfer", TransferArgs(self.id, 0, 1, -1))
        balance = self.chain.balance(self.house, self.used[0])
        self.home("guarantees.claim", ClaimArgs(self.id, 0, self.house, self.used[0], balance), 1)

    def accuse(self, name: str, args: Record, again: Record | None = None) -> None:
        self.chain.call(OPERATORS[1], f"evidence.{name}", args)
        if again is not None:
            self.chain.call(OPERATORS[1], f"evidence.{name}", again)

    def accuse_twice(self) -> None:
        proof = ProofArgs(omission(self.chain.genesis, OPERATORS[0]))
        self.accuse("omission", proof, again=proof)

    def withdrawn(self) -> None:
        self.chain.call(OPERATORS[0], "guarantees.withdraw", NameArgs(self.id, 0))
        self.home("guarantees.split", SplitArgs(self.id, 0, (400, 500)))

    def issue(self, meter: bytes | None = None, index: int = 1, **changes: object) -> None:
        reading = msgspec.structs.replace(self.made[index], **changes)
        balances = self.chain.balances(self.roof, self.made[index])
        self.home("guarantees.issue", IssueArgs(meter or self.roof, (reading,), balances))

    def issue_with(self, **changes: object) -> None:
        """Issue the second reading with another balance than that of its interval."""
        balance = msgspec.structs.replace(self.chain.balance(self.roof, self.made[1]), **changes)
        self.home("guarantees.issue", IssueArgs(self.roof, (self.made[1],), (balance,)))

    def issue_unsettled(self) -> None:
        """The fifth interval of the day was not settled, and home 2 has a meter at its connection."""
        gate = self.chain.register("gate", 2, meters.BOTH)
        readings = self.chain.anchor(gate, [(0, 0)] * 4 + [(1_000, 0)])
        self.home(
            "guarantees.issue", IssueArgs(gate, readings[4:], self.chain.balances(gate, readings[4])), 2
        )

    def issue_unlike_line(self) -> None:
        gate = self.chain.register("gate", 2, meters.BOTH)
        reading, *_ = self.chain.anchor(gate, [(1_000, 0)])
        self.home("guarantees.issue", IssueArgs(gate, (reading,), self.chain.balances(gate, reading)), 2)

    def many_meters(self) -> None:
        for i in range(meters.MAX_METERS + 1):
            self.chain.register(f"gate {i}", 2, meters.BOTH)

    def correct(self) -> None:
        args = CorrectArgs(self.roof, self.made[0], None)
        self.home("guarantees.correct", args)

    def corrected(self, *, confirmed: bool = True) -> None:
        """The first reading of the roof is corrected, and what was issued from the former one is not yet."""
        self.made = self.chain.anchor(self.roof, [(800_000, 0), (5_000, 0)], confirmed=confirmed)

    def unconfirmed(self) -> None:
        self.corrected(confirmed=False)
        self.issue()

    def outdated(self) -> None:
        self.corrected()
        self.home("guarantees.split", SplitArgs(self.id, 0, (400, 500)))

    def confirm(self) -> None:
        root = meters.anchor_of(self.chain.tip.state.view(), self.roof, DAY, 1)
        assert root is not None
        self.home("meters.confirm", ConfirmArgs(self.roof, DAY, 1, root.root))

    def closed(self) -> None:
        self.settle(interval_start=DAY_START + 92 * meters.DAY_S)
        self.corrected()

    def anchor(self, meter: bytes | None = None, sender: object = OPERATORS[0], **changes: object) -> None:
        args = AnchorArgs(meter or self.roof, DAY, 2, bytes(32), 1, bytes(32))
        self.chain.call(sender, "meters.anchor", msgspec.structs.replace(args, **changes))


WAYS: dict[str, Callable[[World], None]] = {
    "tx_version": lambda w: w.envelope(version=2),
    "tx_chain": lambda w: w.envelope(chain_id=bytes(32)),
    "tx_unknown_method": lambda w: w.envelope(method="mint"),
    "tx_signature": lambda w: w.envelope(signature=bytes(64)),
    "tx_expired": lambda w: w.envelope(valid_until_height=1),
    "tx_nonce": lambda w: w.envelope(nonce=9),
    "tx_role": lambda w: w.chain.call(STRANGER, "guarantees.withdraw", NameArgs(w.id, 0)),
    "tx_quota": World.quota,
    "tx_args": lambda w: w.envelope(args=b"\x93"),
    "tx_module": World.failing_module,
    "member_known": lambda w: w.home("accounts.enter", EnterArgs(STREET.proof(0))),
    "member_proof": lambda w: w.chain.call(
        HOMES[2], "accounts.enter", EnterArgs(msgspec.structs.replace(STREET.proof(2), index=1))
    ),
    "key_taken": lambda w: w.rotate(OPERATORS[1]),
    "rotate_early": lambda w: (w.rotate(STRANGER), w.rotate(KEYS[5], old=STRANGER)),
    "rotate_often": lambda w: w.rotate_often(),
    "key_proof": lambda w: w.rotate(STRANGER, bytes(64)),
    "settle_late": lambda w: w.settle(interval_start=make_args(0)[1].interval_start),
    "settle_again": lambda w: w.chain.call(OPERATORS[0], "settlement.again", again()),
    "settle_sums": lambda w: w.settle(traded_wh=0),
    "settle_members": lambda w: w.settle(members=5),
    "settle_entries": lambda w: w.settle(entries=b"x"),
    "settle_closed": lambda w: w.settle(closed_hash=bytes([1]) * 32),
    "settle_turn": lambda w: w.settle(next_collector=STRANGER.public_key),
    "evidence_proof": lambda w: w.accuse("omission", ProofArgs(b"")),
    "evidence_known": World.accuse_twice,
    "evidence_office": lambda w: w.accuse("omission", ProofArgs(omission(w.chain.genesis, STRANGER))),
    "meter_known": lambda w: w.chain.register("roof", 0, meters.BOTH) and None,
    "meter_unknown": lambda w: w.issue(meter=bytes(32)),
    "meter_owner": lambda w: w.anchor(w.house, sender=HOMES[0]),
    "meter_kind": lambda w: w.home(
        "guarantees.issue", IssueArgs(w.house, (w.used[1],), w.chain.balances(w.house, w.used[1])), 1
    ),
    "meter_limit": World.many_meters,
    "line_unknown": World.issue_unsettled,
    "line_proof": lambda w: w.issue_with(salt=bytes(16)),
    "reading_unsettled": World.issue_unlike_line,
    "balance_open": lambda w: w.issue_with(others=()),
    "anchor_version": lambda w: w.anchor(),
    "anchor_early": lambda w: w.anchor(day=DAY + 1),
    "anchor_unknown": lambda w: w.issue(interval_start=DAY_START - 900),
    "anchor_unconfirmed": World.unconfirmed,
    "anchor_confirmed": World.confirm,
    "period_closed": World.closed,
    "guarantee_outdated": World.outdated,
    "guarantee_current": World.correct,
    "reading_proof": lambda w: w.issue(salt=bytes(16)),
    "reading_range": lambda w: w.issue(production_mwh=2_500_001),
    "guarantee_interval": lambda w: w.issue(seconds=3_600),
    "guarantee_duplicate": lambda w: w.issue(index=0),
    "guarantee_over_production": World.over_production,
    "guarantee_over_consumption": World.over_consumption,
    "guarantee_unknown": lambda w: w.home("guarantees.split", SplitArgs(w.id, 1, (1, 1))),
    "guarantee_owner": lambda w: w.home("guarantees.split", SplitArgs(w.id, 0, (400, 500)), 1),
    "guarantee_sum": lambda w: w.home("guarantees.split", SplitArgs(w.id, 0, (400, 499))),
    "guarantee_pieces": lambda w: w.home("guarantees.split", SplitArgs(w.id, 0, (1,) * 257)),
    "guarantee_status": World.withdrawn,
    "guarantee_expired": World.expired,
    "guarantee_not_expired": lambda w: w.home("guarantees.expire", NameArgs(w.id, 0)),
    "gov_closed": lambda w: w.chain.call(KEYS[0], "governance.approve", ApproveArgs(7)),
    "gov_approved": World.approve_twice,
    "gov_full": World.full,
    "gov_expiry": lambda w: w.propose(ADD, 5, expiry=1),
    "gov_range": lambda w: w.chain.call(KEYS[0], "governance.propose_parameter", ParameterArgs("x", 1, 50)),
    "gov_member": lambda w: w.propose(ADD, 1),
    "gov_set_size": World.below_four,
    "gov_busy": World.busy,
}


def test_there_is_a_way_to_every_code() -> None:
    assert set(WAYS) == set(refusal_codes())


@pytest.mark.parametrize("code", sorted(refusal_codes()))
def test_every_code_is_reached(code: str) -> None:
    with refused(code):
        WAYS[code](World())
