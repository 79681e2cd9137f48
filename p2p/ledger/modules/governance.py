"""Module `governance`: the validators propose and approve changes of their set, the operators and the parameters.

Its state is in `offices`. A change of the set decided in block h holds from h + 2 on, so that the header of h + 1 can
already announce it. A block changes the set at most once.
"""

from __future__ import annotations

import msgspec

from p2p.blocks.block import quorum
from p2p.blocks.genesis import GOVERNED_BOUNDS, MAX_OPERATORS, Genesis, Governed, is_set_size
from p2p.blocks.possession import NO_KEY, check_possession
from p2p.errors import BrokenInvariant, InvalidTx
from p2p.ledger.module import AUTHORITY, CHAIN_MODULES, ChainModule, Entry, Method
from p2p.ledger.offices import (
    CHANGE,
    GOVERNED,
    HISTORY,
    NAME,
    NEXT,
    OPERATORS,
    VALIDATOR_SETS,
    History,
    Keys,
    Number,
    Past,
    Proposal,
    ValidatorSets,
    change_sets,
    governed,
    history,
    operators,
    proposal_key,
    proposal_of,
    proposals,
    validator_sets,
)
from p2p.ledger.view import Context, View
from p2p.wire.codec import Record
from p2p.wire.identity import PUBLIC_KEY_BYTES
from p2p.wire.sealing import can_receive

PROPOSE_AUTHORITY = "propose_authority"
PROPOSE_OPERATOR = "propose_operator"
PROPOSE_PARAMETER = "propose_parameter"
APPROVE = "approve"

ADD = 1
REMOVE = 2
ROTATE = 3
RETURN = 4
PARAMETER = 5
ADD_OPERATOR = 6
REMOVE_OPERATOR = 7
_ACTIONS = (ADD, REMOVE, ROTATE, RETURN)
_OPERATOR_ACTIONS = (ADD_OPERATOR, REMOVE_OPERATOR)

MAX_OPEN = 32
"""Proposals that may be open at a time."""

MAX_HISTORY = 16
"""Validator sets that are kept to check evidence."""


class AuthorityArgs(Record, frozen=True):
    """Arguments of governance.propose_authority.

    Args:
        new_key: Of a ROTATE; else empty.
        proof: Possession of the key that joins (ADD, ROTATE); else empty.
    """

    action: int
    key: bytes
    new_key: bytes
    proof: bytes
    expiry_height: int


class OperatorArgs(Record, frozen=True):
    """Arguments of governance.propose_operator.

    Args:
        action: ADD_OPERATOR or REMOVE_OPERATOR.
        proof: Possession of the key that joins; else empty.
    """

    action: int
    key: bytes
    proof: bytes
    expiry_height: int


class ParameterArgs(Record, frozen=True):
    """Arguments of governance.propose_parameter."""

    name: str
    value: int
    expiry_height: int


class ApproveArgs(Record, frozen=True):
    """Arguments of governance.approve."""

    number: int


def _check_authority(args: AuthorityArgs, genesis: Genesis) -> None:
    if args.action not in _ACTIONS:
        raise InvalidTx("tx_args", f"action {args.action}; there are {_ACTIONS}")
    wanted = PUBLIC_KEY_BYTES if args.action == ROTATE else 0
    if len(args.key) != PUBLIC_KEY_BYTES or len(args.new_key) != wanted:
        raise InvalidTx(
            "tx_args", f"a key has not {PUBLIC_KEY_BYTES} bytes, or new_key is given without need"
        )
    if args.action == ADD:
        check_possession(args.key, args.proof, genesis.chain_id, NO_KEY)
        _check_receives(args.key, genesis)
    elif args.action == ROTATE:
        check_possession(args.new_key, args.proof, genesis.chain_id, args.key)
        _check_receives(args.new_key, genesis)
    elif args.proof:
        raise InvalidTx("tx_args", "only ADD and ROTATE carry a proof")


def _check_receives(key: bytes, genesis: Genesis) -> None:
    """Raise where homes could not seal an order to a key: each of them would fail at it."""
    if genesis.params.sealed_bytes and not can_receive(key):
        raise InvalidTx("key_proof", f"nothing can be sealed to key {key.hex()[:16]}: it has no X25519 key")


def _check_operator(args: OperatorArgs, genesis: Genesis) -> None:
    if args.action not in _OPERATOR_ACTIONS:
        raise InvalidTx("tx_args", f"action {args.action}; there are {_OPERATOR_ACTIONS}")
    if len(args.key) != PUBLIC_KEY_BYTES:
        raise InvalidTx("tx_args", f"a key of {len(args.key)} bytes; it must have {PUBLIC_KEY_BYTES}")
    if args.action == ADD_OPERATOR:
        check_possession(args.key, args.proof, genesis.chain_id, NO_KEY)
    elif args.proof:
        raise InvalidTx("tx_args", "only ADD_OPERATOR carries a proof")


def _check_parameter(args: ParameterArgs, genesis: Genesis) -> None:
    low, high = GOVERNED_BOUNDS.get(args.name, (1, 0))
    if not low <= args.value <= high:
        raise InvalidTx("gov_range", f"{args.name} = {args.value}; bounds: {GOVERNED_BOUNDS.get(args.name)}")


def _check_approve(args: ApproveArgs, genesis: Genesis) -> None:
    if args.number < 0:
        raise InvalidTx("tx_args", f"proposal {args.number}")


def _propose_authority(ctx: Context, args: AuthorityArgs) -> None:
    proposal = Proposal(args.action, args.key, args.new_key, "", 0, args.expiry_height, ())
    _changed_set(ctx.view, proposal)  # refuses what could not be done today
    _propose(ctx, proposal)


def _propose_operator(ctx: Context, args: OperatorArgs) -> None:
    proposal = Proposal(args.action, args.key, b"", "", 0, args.expiry_height, ())
    _changed_operators(ctx.view, proposal)  # refuses what could not be done today
    _propose(ctx, proposal)


def _propose_parameter(ctx: Context, args: ParameterArgs) -> None:
    _propose(ctx, Proposal(PARAMETER, b"", b"", args.name, args.value, args.expiry_height, ()))


def _propose(ctx: Context, proposal: Proposal) -> None:
    view, numbers = ctx.view, validator_sets(ctx.view).open
    last = ctx.height + governed(view).proposal_heights
    if not ctx.height <= proposal.expiry_height <= last:
        raise InvalidTx("gov_expiry", f"height {proposal.expiry_height} is not in {ctx.height}..{last}")
    if len(numbers) >= MAX_OPEN:
        raise InvalidTx("gov_full", f"{MAX_OPEN} proposals are open")
    number = (view.read(NAME, NEXT, Number) or Number(0)).number
    view.write(NAME, NEXT, Number(number + 1))
    change_sets(view, open=(*numbers, number))
    _support(ctx, number, proposal)


def _approve(ctx: Context, args: ApproveArgs) -> None:
    if args.number not in validator_sets(ctx.view).open:
        raise InvalidTx("gov_closed", f"proposal {args.number} passed, expired or never was")
    proposal = proposal_of(ctx.view, args.number)
    if ctx.sender in proposal.approvals:
        raise InvalidTx("gov_approved", f"this validator has approved proposal {args.number}")
    _support(ctx, args.number, proposal)


def _support(ctx: Context, number: int, proposal: Proposal) -> None:
    """Count the sender's approval; at a quorum of the current set, do what is proposed."""
    view, current = ctx.view, validator_sets(ctx.view).current
    approvals = tuple(sorted((*proposal.approvals, ctx.sender)))
    if len(approvals) < quorum(len(current)):
        view.write(NAME, proposal_key(number), msgspec.structs.replace(proposal, approvals=approvals))
        return
    _close(view, (number,))
    if proposal.action == PARAMETER:
        value = msgspec.structs.replace(governed(view), **{proposal.name: proposal.value})
        view.write(NAME, GOVERNED, value)
        return
    if proposal.action in _OPERATOR_ACTIONS:
        view.write(NAME, OPERATORS, Keys(_changed_operators(view, proposal)))
        return
    changed = _changed_set(view, proposal)
    if changed != validator_sets(view).next:
        if view.get(NAME, CHANGE) is not None:
            raise InvalidTx("gov_busy", "another change of the set was decided in this block")
        view.write(NAME, CHANGE, Keys(changed))
    if proposal.action in (RETURN, REMOVE):
        _release(view, proposal.key, ctx.height)


def _changed_operators(view: View, proposal: Proposal) -> tuple[bytes, ...]:
    """Return the operators after a proposal.

    Raises:
        InvalidTx: The key is an operator already, or is none, or there would be too many.
    """
    known, key = operators(view), proposal.key
    if (key in known) == (proposal.action == ADD_OPERATOR):
        raise InvalidTx("gov_member", f"key {key.hex()[:16]} is an operator already, or is none")
    if proposal.action == REMOVE_OPERATOR:
        return tuple(member for member in known if member != key)
    if len(known) == MAX_OPERATORS:
        raise InvalidTx("gov_set_size", f"there would be {MAX_OPERATORS + 1} operators")
    return (*known, key)


def _changed_set(view: View, proposal: Proposal) -> tuple[bytes, ...]:
    """Return the set after a proposal, from the newest set that is decided.

    Raises:
        InvalidTx: The key is in the set already, or is not, or the set would have a size it may not have.
    """
    known, key, new = validator_sets(view).next, proposal.key, proposal.new_key
    waiting = validator_sets(view).jailed
    present = key in known if proposal.action != RETURN else key in waiting
    if present == (proposal.action == ADD) or new in known or (proposal.action == ADD and key in waiting):
        raise InvalidTx("gov_member", f"key {key.hex()[:16]} is in the set already, or is not")
    if proposal.action == REMOVE:
        changed = tuple(member for member in known if member != key)
    elif proposal.action == ROTATE:
        changed = tuple(new if member == key else member for member in known)
    else:
        changed = known if key in known else (*known, key)
    if not is_set_size(len(changed)):
        raise InvalidTx("gov_set_size", f"the set would have {len(changed)} validators")
    return changed


def _release(view: View, key: bytes, height: int) -> None:
    waiting = validator_sets(view).jailed
    if key in waiting:
        change_sets(view, jailed=tuple(member for member in waiting if member != key))
        view.write(NAME, b"j" + key, Number(height))


# --- the end of a block ----------------------------------------------------------------------------------------


def _end_block(view: View, genesis: Genesis, height: int) -> None:
    """Advance the sets by one height, and delete what has expired."""
    known = validator_sets(view)
    change = view.read(NAME, CHANGE, Keys)
    if change is None:
        following = _without_jailed(known)
    else:
        following = change.keys
        view.put(NAME, CHANGE, None)
    if not known.current == known.next == following:
        change_sets(view, current=known.next, next=following)
    if following != known.next:
        sets = (*history(view), Past(height + 2, following))
        view.write(NAME, HISTORY, History(sets[-MAX_HISTORY:]))
    if known.open:
        _close(view, tuple(n for n in known.open if proposal_of(view, n).expiry_height <= height))
        _drop_approvals(view, set(known.next))


def _without_jailed(known: ValidatorSets) -> tuple[bytes, ...]:
    """Return the next set without its first jailed validator, unless it would become too small."""
    out = next((key for key in known.next if key in known.jailed), None) if known.jailed else None
    if out is None or not is_set_size(len(known.next) - 1):
        return known.next
    return tuple(key for key in known.next if key != out)


def _drop_approvals(view: View, members: set[bytes]) -> None:
    for number, proposal in proposals(view).items():
        kept = tuple(key for key in proposal.approvals if key in members)
        if kept != proposal.approvals:
            view.write(NAME, proposal_key(number), msgspec.structs.replace(proposal, approvals=kept))


def _close(view: View, closed: tuple[int, ...]) -> None:
    if not closed:
        return
    change_sets(view, open=tuple(number for number in validator_sets(view).open if number not in closed))
    for number in closed:
        view.put(NAME, proposal_key(number), None)


def _start(view: View, genesis: Genesis) -> None:
    view.write(NAME, VALIDATOR_SETS, ValidatorSets(genesis.authorities, genesis.authorities, (), ()))
    view.write(NAME, HISTORY, History((Past(1, genesis.authorities),)))
    view.write(NAME, OPERATORS, Keys(genesis.operators))
    view.write(NAME, GOVERNED, genesis.params.governed)


def _invariants(view: View, genesis: Genesis, height: int) -> None:
    if not view.touched(NAME):
        return
    after, single = validator_sets(view), len(genesis.authorities) == 1
    keys = operators(view)
    if len(set(keys)) != len(keys) or len(keys) > MAX_OPERATORS:
        raise BrokenInvariant(height, NAME, f"{len(keys)} operators, or one key twice")
    for members in (after.current, after.next):
        if (
            len(set(members)) != len(members)
            or not is_set_size(len(members))
            or single != (len(members) == 1)
        ):
            raise BrokenInvariant(height, NAME, f"a set of {len(members)} validators, or one key twice")
    if after.open != tuple(sorted(set(after.open))) or len(after.open) > MAX_OPEN:
        raise BrokenInvariant(height, NAME, "the open proposals are not ascending, or too many")
    if any(view.get(NAME, proposal_key(number)) is None for number in after.open):
        raise BrokenInvariant(height, NAME, "an open proposal is not there")


_ONLY_AUTHORITIES = frozenset({AUTHORITY})

MODULE = CHAIN_MODULES.register(
    ChainModule(
        NAME,
        "The validators vote on their own set, on the operators and on the governed parameters.",
        {
            PROPOSE_AUTHORITY: Method(
                "Propose that a validator joins, leaves, changes its key or returns.",
                AuthorityArgs,
                _ONLY_AUTHORITIES,
                _propose_authority,
                _check_authority,
            ),
            PROPOSE_OPERATOR: Method(
                "Propose that an operator joins or leaves.",
                OperatorArgs,
                _ONLY_AUTHORITIES,
                _propose_operator,
                _check_operator,
            ),
            PROPOSE_PARAMETER: Method(
                "Propose a value of a governed parameter.",
                ParameterArgs,
                _ONLY_AUTHORITIES,
                _propose_parameter,
                _check_parameter,
            ),
            APPROVE: Method(
                "Approve an open proposal.", ApproveArgs, _ONLY_AUTHORITIES, _approve, _check_approve
            ),
        },
        (
            Entry("Sets of validators and open proposals.", VALIDATOR_SETS, record=ValidatorSets),
            Entry("The newest sets with their heights.", HISTORY, record=History),
            Entry("Keys of the operators.", OPERATORS, record=Keys),
            Entry("Parameters in force.", GOVERNED, record=Governed),
            Entry("Number of the next proposal.", NEXT, record=Number),
            Entry("Height of a validator's last return.", b"j", (("key", "bytes"),), Number),
            Entry("An open proposal.", b"p", (("number", "u64"),), Proposal),
        ),
        codes={
            "gov_closed": "No such proposal is open: it passed, expired or never was.",
            "gov_approved": "This validator has approved the proposal already.",
            "gov_full": "Too many proposals are open.",
            "gov_expiry": "The proposal's expiry is in the past, or too far away.",
            "gov_range": "No such parameter, or a value outside its bounds.",
            "gov_member": "The key is in the set or an operator already, or is not.",
            "gov_set_size": "The set would not have 1, or 4 to 25 validators, or there would be too many operators.",
            "gov_busy": "Another change of the set happens in this block.",
        },
        start=_start,
        check=_invariants,
        end_block=_end_block,
    )
)
