"""Whatever one field of a method's arguments holds, the state takes or refuses the transaction; it never fails."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from p2p.batches.batch import CloseArgs
from p2p.blocks.possession import prove_possession
from p2p.errors import InvalidTx
from p2p.ledger.issuances import issuance_id
from p2p.ledger.module import CHAIN_MODULES
from p2p.ledger.modules import meters
from p2p.ledger.modules.accounts import EnterArgs, RotateArgs
from p2p.ledger.modules.evidence import ProofArgs, TwoBatchesArgs
from p2p.ledger.modules.governance import (
    ADD,
    ADD_OPERATOR,
    ApproveArgs,
    AuthorityArgs,
    OperatorArgs,
    ParameterArgs,
)
from p2p.ledger.modules.guarantees import ClaimArgs, CorrectArgs, IssueArgs, NameArgs, SplitArgs, TransferArgs
from p2p.ledger.modules.meters import AnchorArgs, ConfirmArgs, RegisterArgs
from p2p.ledger.state import apply_to, check_invariants, check_tx
from p2p.wire.codec import Record
from p2p.wire.identity import Identity
from p2p.wire.sealing import digest_of
from tests.kits.chain_kit import authorities, make_args
from tests.kits.modules_kit import DAY, DAY_START, HOMES, OPERATORS, STRANGER, STREET, Chain, make_genesis
from tests.kits.proofs_kit import broken_promise, omission, two_batches
from tests.kits.versions_kit import again, settled

INTEGERS = [-(2**63), -1, 0, 1, 3, 4, 899, 2**31, 2**32, 2**36, 2**36 + 900, 2**62, 2**63 - 1]
TEXTS = ["", "\0", "tx_quota", "ä" * 40]
LENGTHS = [0, 16, 31, 32, 33, 48, 64]


def with_one_field_absurd(value: Any) -> Iterator[Any]:
    """The value with one number, text, bytes or list in it replaced by each absurd one."""
    if isinstance(value, Record):
        for name in value.__struct_fields__:
            for other in with_one_field_absurd(getattr(value, name)):
                yield msgspec.structs.replace(value, **{name: other})
    elif isinstance(value, tuple):
        yield from ((), value * 2, value * 300)
        for place, part in enumerate(value):
            for other in with_one_field_absurd(part):
                yield (*value[:place], other, *value[place + 1 :])
    elif isinstance(value, bytes):
        yield from (bytes(length) for length in LENGTHS)
        yield from (value[:-1], value + b"\0", value[::-1])
    elif value is not None:
        yield from TEXTS if isinstance(value, str) else INTEGERS


Calls = dict[str, tuple[Identity, Record]]
METHODS = sorted(
    f"{module.name}.{name}"
    for module in CHAIN_MODULES.all().values()
    if CHAIN_MODULES.is_ours(module)
    for name in module.methods
)


@pytest.fixture(scope="module")
def busy() -> tuple[Chain, Calls]:
    """A chain that has something of every module, and a valid call of every method."""
    chain = Chain(make_genesis())
    chain.settle_day()
    for index in (1, 2):
        chain.call(OPERATORS[0], "settlement.batch", settled(index))
    roof = chain.register("roof", 0, meters.PRODUCTION)
    house = chain.register("house", 0, meters.CONSUMPTION)
    store = chain.register("store", 1, meters.STORAGE, 10_000, 900_000)
    made = chain.anchor(roof, [(900_000, 0), (400_000, 0)])
    used = chain.anchor(house, [(0, 900_000)])
    chain.anchor(store, [(700_000, 0)])
    chain.call(HOMES[0], "guarantees.issue", IssueArgs(roof, (made[0],), chain.balances(roof, made[0])))
    shed = chain.register("shed", 0, meters.PRODUCTION)
    false = chain.anchor(shed, [(900_000, 0)])
    chain.call(HOMES[0], "guarantees.issue", IssueArgs(shed, (false[0],), chain.balances(shed, false[0])))
    true = chain.anchor(shed, [(800_000, 0)])
    barn = chain.register("barn", 3, meters.PRODUCTION)
    chain.anchor(barn, [(1, 0)], confirmed=False)
    unconfirmed = meters.anchor_of(chain.tip.state.view(), barn, DAY, 1)
    assert unconfirmed is not None
    chain.enter(1)
    issuance, keys, chain_id = issuance_id(roof, DAY_START), authorities(6), chain.genesis.chain_id
    for key, call in ((keys[0], "quota_window"), (keys[1], "tx_quota")):
        chain.call(key, "governance.propose_parameter", ParameterArgs(call, 9, 60))
    new = keys[5]
    home, operator, validator = HOMES[0], OPERATORS[0], keys[0]
    evidence = {
        "evidence.broken_promise": (home, ProofArgs(broken_promise(chain.genesis, keys[1]))),
        "evidence.omission": (validator, ProofArgs(omission(chain.genesis, OPERATORS[0]))),
        "evidence.two_batches": (operator, TwoBatchesArgs(*two_batches(chain.genesis, OPERATORS[1]))),
    }
    return chain, {
        "accounts.enter": (HOMES[2], EnterArgs(STREET.proof(2))),
        "accounts.rotate_key": (
            home,
            RotateArgs(STRANGER.public_key, prove_possession(STRANGER, chain_id, home.public_key)),
        ),
        **evidence,
        "governance.approve": (validator, ApproveArgs(1)),
        "governance.propose_authority": (
            validator,
            AuthorityArgs(ADD, new.public_key, b"", prove_possession(new, chain_id), 60),
        ),
        "governance.propose_operator": (
            validator,
            OperatorArgs(ADD_OPERATOR, new.public_key, prove_possession(new, chain_id), 60),
        ),
        "governance.propose_parameter": (validator, ParameterArgs("guarantee_days", 9, 60)),
        "guarantees.claim": (home, ClaimArgs(issuance, 0, house, used[0], chain.balance(house, used[0]))),
        "guarantees.correct": (home, CorrectArgs(shed, true[0], chain.balance(shed, true[0]))),
        "guarantees.expire": (home, NameArgs(issuance, 0)),
        "guarantees.issue": (home, IssueArgs(roof, (made[1],), chain.balances(roof, made[1]))),
        "guarantees.split": (home, SplitArgs(issuance, 0, (400, 500))),
        "guarantees.transfer": (home, TransferArgs(issuance, 0, 1, -1)),
        "guarantees.withdraw": (operator, NameArgs(issuance, 0)),
        "meters.anchor": (operator, AnchorArgs(store, DAY - 1, 1, bytes(32), 3, bytes(32))),
        "meters.confirm": (HOMES[3], ConfirmArgs(barn, DAY, 1, unconfirmed.root)),
        "meters.register": (operator, RegisterArgs(bytes(32), 3, meters.STORAGE, 5, 900_000)),
        "settlement.again": (operator, again(1)),
        "settlement.batch": (operator, make_args(200, 4)[1]),
    }


@pytest.fixture(scope="module")
def sealed() -> tuple[Chain, Calls]:
    """A chain whose homes seal their orders, and a valid call of what it alone takes."""
    chain = Chain(make_genesis(sealed_bytes=64))
    to = digest_of(chain.genesis.authorities)
    return chain, {"settlement.close": (OPERATORS[0], CloseArgs(DAY_START, bytes([7]) * 32, to))}


def test_every_method_of_the_format_is_called(busy: tuple[Chain, Calls], sealed: tuple[Chain, Calls]) -> None:
    assert sorted([*busy[1], *sealed[1]]) == METHODS


@pytest.mark.parametrize("name", METHODS)
def test_one_absurd_field_is_refused_with_a_code_and_changes_nothing(
    name: str, busy: tuple[Chain, Calls], sealed: tuple[Chain, Calls]
) -> None:
    chain, calls = sealed if name in sealed[1] else busy
    sender, valid = calls[name]
    state, height = chain.tip.state, chain.tip.height + 1
    outcomes: dict[str, int] = {}
    for args in (valid, *with_one_field_absurd(valid)):
        tx, view = chain.tx(sender, name, args), state.view()
        try:
            apply_to(view, tx, height, chain.genesis)
        except InvalidTx as error:
            outcomes[error.code] = outcomes.get(error.code, 0) + 1
            assert view.trees() == dict(state.trees)
            continue
        outcomes["taken"] = outcomes.get("taken", 0) + 1
        check_invariants(view, chain.genesis, height)
    expected = "guarantee_not_expired" if name == "guarantees.expire" else "taken"
    assert outcomes.get(expected, 0) > 0
    assert len(outcomes) > 1
    check_tx(state, chain.tx(sender, name, valid), height, chain.genesis)
