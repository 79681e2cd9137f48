"""Random programs for the chain: transactions of all modules, most of them almost right, block by block."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import msgspec

from p2p.blocks.block import Tx, sign_tx
from p2p.blocks.possession import prove_possession
from p2p.errors import InvalidTx
from p2p.ledger.execution import check_block, replay
from p2p.ledger.issuances import issuance_id
from p2p.ledger.module import CHAIN_MODULES, refusal_codes
from p2p.ledger.modules import meters
from p2p.ledger.modules.accounts import RotateArgs
from p2p.ledger.modules.evidence import ProofArgs, TwoBatchesArgs
from p2p.ledger.modules.governance import (
    ADD,
    ADD_OPERATOR,
    REMOVE,
    REMOVE_OPERATOR,
    ApproveArgs,
    AuthorityArgs,
    OperatorArgs,
    ParameterArgs,
)
from p2p.ledger.modules.guarantees import ClaimArgs, CorrectArgs, IssueArgs, NameArgs, SplitArgs, TransferArgs
from p2p.ledger.modules.meters import AnchorArgs, RegisterArgs
from p2p.ledger.state import apply_to, check_signature
from p2p.ledger.view import View
from p2p.wire.codec import encode
from p2p.wire.identity import Identity
from tests.fuzz.mutate import mutated
from tests.fuzz.values import value_of
from tests.kits.chain_kit import START, authorities, make_args
from tests.kits.modules_kit import (
    DAY,
    DAY_START,
    HOMES,
    MEMBERS,
    OPERATORS,
    STEP,
    STRANGER,
    Chain,
    make_genesis,
)
from tests.kits.proofs_kit import broken_promise, omission, two_batches

KEYS = authorities(7)
EVERYBODY = [*OPERATORS, *HOMES, *KEYS, STRANGER]
ROLES = {
    "meters": OPERATORS,
    "settlement": OPERATORS,
    "guarantees": HOMES,
    "governance": KEYS,
    "accounts": HOMES,
    "evidence": EVERYBODY,
}


def roots(view: View) -> list[bytes]:
    """Roots of the modules, as they are inside a block."""
    return [tree.root for tree in view.trees().values()]


@dataclass
class Program:
    """A run of one seed.

    Attributes:
        seen: How often each refusal came, "" for what was taken.
    """

    seed: int
    rng: random.Random = field(init=False)
    chain: Chain = field(init=False)
    seen: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.chain = Chain(make_genesis(5, tx_quota=self.rng.choice((8, 1_000))))
        self.chain.enter(*range(len(HOMES)))
        self.chain.validators |= {key.public_key: key for key in KEYS}
        self.chain.settle_day()
        self.settled = 1
        roof = self.chain.register("roof", 0, meters.PRODUCTION)
        house = self.chain.register("house", 1, meters.CONSUMPTION)
        store = self.chain.register("store", 2, meters.BOTH)
        self.meters = [roof, house, store]
        self.readings = {
            roof: self.chain.anchor(roof, [(900_000, 0), (5_000, 0), (700, 0)]),
            house: self.chain.anchor(house, [(0, 500_000), (0, 5_000), (0, 3_000)]),
        }

    def run(self, blocks: int) -> None:
        """Make blocks, then execute all of them again from the genesis."""
        for _ in range(blocks):
            self.block()
        again = replay(self.chain.made, self.chain.genesis)
        assert again.state.root == self.chain.tip.state.root, "a replay leads to another root"
        assert again == self.chain.tip, "a replay leads to another tip"

    def block(self) -> None:
        """Offer a few transactions to one block; those that are taken make it, and it is checked twice."""
        tip, genesis = self.chain.tip, self.chain.genesis
        view, height, taken = tip.state.view(), tip.height + 1, list[Tx]()
        for _ in range(self.rng.randint(1, 4)):
            tx = self.transaction(taken)
            if self.offer(view, tx, height):
                taken.append(tx)
        before = tip.state.root
        self.chain.add(taken)
        block = self.chain.made[-1][0]
        state, receipts = check_block(tip, genesis, block)
        assert state.root == self.chain.tip.state.root, "a second execution gives another root"
        assert receipts == self.chain.tip.receipts_root
        assert tip.state.root == before, "the state before a block has changed"

    def offer(self, view: View, tx: Tx, height: int) -> bool:
        """Apply a transaction to the view of a block; a refusal has a code and changes nothing."""
        before = roots(view)
        try:
            check_signature(tx)
            apply_to(view, tx, height, self.chain.genesis)
            code = ""
        except InvalidTx as error:
            code = error.code
        if code:
            assert code in refusal_codes(), f"code {code} is in no table"
            assert roots(view) == before, "a refusal changed the state"
        self.seen[code] += 1
        return not code

    # --- transactions ---------------------------------------------------------------------------------

    def transaction(self, taken: list[Tx]) -> Tx:
        """A transaction, wrong in its envelope, its arguments, its sender, or not at all."""
        rng, chain = self.rng, self.chain
        name, args = self.right() if rng.random() < 0.85 else self.random_args()
        module, method = name.split(".")
        sender: Identity = rng.choice(ROLES[module] if rng.random() < 0.9 else EVERYBODY)
        pending = sum(tx.sender == sender.public_key for tx in taken)
        nonce = chain.tip.state.nonce(sender.public_key) + 1 + pending
        raw = encode(args)
        if rng.random() < 0.1:
            raw = mutated(rng, raw)
        tx = Tx(
            1,
            chain.genesis.chain_id,
            sender.public_key,
            nonce,
            chain.tip.height + 10,
            module,
            method,
            raw,
            b"",
        )
        if rng.random() < 0.08:
            tx = msgspec.structs.replace(tx, **self.wrong_envelope())
        tx = sign_tx(sender, tx)
        return tx if rng.random() < 0.97 else msgspec.structs.replace(tx, signature=bytes(64))

    def wrong_envelope(self) -> dict[str, object]:
        rng = self.rng
        return rng.choice(
            (
                {"version": rng.randint(-1, 3)},
                {"chain_id": rng.randbytes(32)},
                {"nonce": rng.choice((0, -1, 1, 2**63 - 1))},
                {"valid_until_height": rng.choice((0, -1, 2**63 - 1, self.chain.tip.height))},
                {"module": rng.choice(("", "accounts", "é"))},
                {"method": rng.choice(("", "batch", "__class__"))},
                {"sender": rng.choice((b"", b"\0" * 32, rng.choice(EVERYBODY).public_key))},
            )
        )

    def random_args(self) -> tuple[str, Any]:
        """Any values of the right types."""
        module = self.rng.choice(list(CHAIN_MODULES.all().values()))
        method = self.rng.choice(sorted(module.methods))
        return f"{module.name}.{method}", value_of(self.rng, module.methods[method].args)

    def right(self) -> tuple[str, Any]:
        """Values that often fit the state."""
        makers = (
            self.settle,
            self.register,
            self.anchor,
            self.certificate,
            self.certificate,
            self.govern,
            self.rotate,
            self.accuse,
        )
        return self.rng.choice(makers)()

    def settle(self) -> tuple[str, Any]:
        self.settled += self.rng.choice((0, 1, 1, 1))
        return "settlement.batch", make_args(self.settled, MEMBERS)[1]

    def register(self) -> tuple[str, Any]:
        name = self.rng.choice((self.meters[0], self.rng.randbytes(32)))
        return "meters.register", RegisterArgs(
            name, self.rng.randint(-1, 4), self.rng.randint(0, 4), 10_000, 0
        )

    def anchor(self) -> tuple[str, Any]:
        meter = self.rng.choice(self.meters)
        day, version = DAY + self.rng.choice((0, 0, -1, 1)), self.rng.randint(0, 3)
        root, previous = self.rng.randbytes(32), bytes(32)
        return "meters.anchor", AnchorArgs(meter, day, version, root, self.rng.randint(0, 97), previous)

    def certificate(self) -> tuple[str, Any]:
        rng = self.rng
        roof, house = self.meters[:2]
        at = rng.randrange(3)
        name, start = issuance_id(roof, DAY_START + at * STEP), rng.choice((0, 0, 1, 2, 300))
        energy = self.readings[roof][at].production_mwh // 1000
        part = rng.randint(0, max(1, energy))
        meter = rng.choice((roof, house))
        chosen = rng.choice(self.readings[meter])
        shown, [balance] = self.readings[roof][at], self.chain.balances(roof, self.readings[roof][at])
        return rng.choice(
            (
                ("guarantees.issue", IssueArgs(roof, (shown,), (balance,))),
                ("guarantees.split", SplitArgs(name, start, (part, energy - part))),
                ("guarantees.transfer", TransferArgs(name, start, rng.randint(-1, MEMBERS), -1)),
                (
                    "guarantees.claim",
                    ClaimArgs(name, start, meter, chosen, self.chain.balance(meter, chosen)),
                ),
                ("guarantees.expire", NameArgs(name, start)),
                ("guarantees.withdraw", NameArgs(name, start)),
                ("guarantees.correct", CorrectArgs(roof, shown, rng.choice((balance, None)))),
            )
        )

    def govern(self) -> tuple[str, Any]:
        rng, chain = self.rng, self.chain
        key, expiry = rng.choice(KEYS), chain.tip.height + rng.choice((-1, 5, 50, 10**6))
        proof = prove_possession(key, chain.genesis.chain_id)
        names = ("tx_quota", "quota_window", "evidence_heights", "no_such")
        return rng.choice(
            (
                ("governance.propose_authority", AuthorityArgs(ADD, key.public_key, b"", proof, expiry)),
                ("governance.propose_authority", AuthorityArgs(REMOVE, key.public_key, b"", b"", expiry)),
                (
                    "governance.propose_parameter",
                    ParameterArgs(rng.choice(names), rng.randint(0, 2_000), expiry),
                ),
                ("governance.propose_operator", OperatorArgs(ADD_OPERATOR, key.public_key, proof, expiry)),
                ("governance.propose_operator", OperatorArgs(REMOVE_OPERATOR, key.public_key, b"", expiry)),
                ("governance.approve", ApproveArgs(rng.randint(-1, 5))),
                ("governance.approve", ApproveArgs(rng.randint(0, 2))),
                ("governance.approve", ApproveArgs(rng.randint(0, 2))),
            )
        )

    def accuse(self) -> tuple[str, Any]:
        """Mostly a key without an office: the chain needs its operators and validators."""
        rng, genesis = self.rng, self.chain.genesis
        key, start = rng.choice((*KEYS, STRANGER, STRANGER)), START + STEP * rng.randint(0, 3)
        return rng.choice(
            (
                ("evidence.omission", ProofArgs(omission(genesis, key, start))),
                ("evidence.broken_promise", ProofArgs(broken_promise(genesis, key))),
                ("evidence.two_batches", TwoBatchesArgs(*two_batches(genesis, key, start))),
                ("evidence.omission", ProofArgs(rng.randbytes(rng.randint(0, 200)))),
            )
        )

    def rotate(self) -> tuple[str, Any]:
        new = self.rng.choice((STRANGER, *HOMES))
        old = self.rng.choice(HOMES).public_key
        proof = prove_possession(new, self.chain.genesis.chain_id, old)
        return "accounts.rotate_key", RotateArgs(new.public_key, proof)
