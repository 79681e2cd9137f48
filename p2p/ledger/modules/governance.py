"""Module `governance`: the sets of validators, the parameters in force, proposals and their approvals.

    `council`       sets of the next height and of the one after it, jailed validators, open proposals
    history         the newest sets with the height from which each one holds, to check evidence
    governed        parameters in force
    j || key        height from which evidence against a validator counts again after its return
    next            number of the next proposal
    p || number u64 an open proposal
    change          only within a block: the set that was decided in it

A change decided in block h holds from h + 2 on, so that the header of h + 1 can already announce it. A block
changes the set at most once.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from p2p.blocks.block import quorum, validators_hash
from p2p.blocks.genesis import GOVERNED_BOUNDS, Genesis, Governed, is_set_size
from p2p.blocks.possession import NO_KEY, check_possession
from p2p.blocks.tree import Tree
from p2p.consensus.evidence import Offence
from p2p.errors import BrokenInvariant, InvalidTx, OutOfRange
from p2p.ledger.module import AUTHORITY, CHAIN_MODULES, ChainModule, Entry, Method
from p2p.ledger.view import MAX_VALUE_BYTES, Context, View
from p2p.wire.codec import Record, decode
from p2p.wire.identity import PUBLIC_KEY_BYTES

NAME = "governance"
PROPOSE_AUTHORITY = "propose_authority"
PROPOSE_PARAMETER = "propose_parameter"
APPROVE = "approve"

ADD = 1
REMOVE = 2
ROTATE = 3
RETURN = 4
PARAMETER = 5
_ACTIONS = (ADD, REMOVE, ROTATE, RETURN)

MAX_OPEN = 32
"""Proposals that may be open at a time."""

MAX_HISTORY = 16
"""Validator sets that are kept to check evidence."""

COUNCIL, HISTORY, GOVERNED = b"council", b"history", b"governed"
NEXT, CHANGE = b"next", b"change"


class ValidatorSets(Record, frozen=True):
    """The validator sets and what they decide on.

    Args:
        current: The validators of the next height (within a block: of this one), in the order of turns.
        next: Those of the height after it.
        jailed: Validators that signed twice and have not been called back, sorted.
        open: Numbers of the open proposals, ascending.
    """

    current: tuple[bytes, ...]
    next: tuple[bytes, ...]
    jailed: tuple[bytes, ...]
    open: tuple[int, ...]

    @property
    def hashes(self) -> tuple[bytes, bytes]:
        """Hashes of both sets, as headers carry them."""
        return validators_hash(self.current), validators_hash(self.next)


class Keys(Record, frozen=True):
    """A list of keys."""

    keys: tuple[bytes, ...]


class Past(Record, frozen=True):
    """A set and the height from which it holds."""

    height: int
    validators: tuple[bytes, ...]


class History(Record, frozen=True):
    """The newest sets, in ascending height."""

    sets: tuple[Past, ...]


class Number(Record, frozen=True):
    """One number."""

    number: int


class Proposal(Record, frozen=True):
    """An open proposal.

    Args:
        action: ADD, REMOVE, ROTATE, RETURN or PARAMETER.
        key: The validator it is about; empty for a parameter.
        new_key: Of a ROTATE; else empty.
        name: Of the parameter; else empty.
        value: Of the parameter; else 0.
        expiry_height: Last height at which it may pass.
        approvals: Keys of the validators in favour, sorted.
    """

    action: int
    key: bytes
    new_key: bytes
    name: str
    value: int
    expiry_height: int
    approvals: tuple[bytes, ...]


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


class ParameterArgs(Record, frozen=True):
    """Arguments of governance.propose_parameter."""

    name: str
    value: int
    expiry_height: int


class ApproveArgs(Record, frozen=True):
    """Arguments of governance.approve."""

    number: int


def validator_sets(view: View) -> ValidatorSets:
    """Sets, jailed validators and open proposals."""
    found = view.read(NAME, COUNCIL, ValidatorSets)
    assert found is not None, "the state was not started from a genesis"
    return found


def governed(view: View) -> Governed:
    """The parameters in force."""
    found = view.read(NAME, GOVERNED, Governed)
    assert found is not None, "the state was not started from a genesis"
    return found


@lru_cache(maxsize=256)
def validator_sets_of(tree: Tree) -> tuple[ValidatorSets, tuple[bytes, bytes]]:
    """The validator sets in a module's tree, and their hashes; most blocks do not change this tree."""
    found = decode(ValidatorSets, tree.get(COUNCIL) or b"", max_bytes=MAX_VALUE_BYTES)
    return found, found.hashes


@lru_cache(maxsize=256)
def governed_of(tree: Tree) -> Governed:
    """The parameters in a module's tree."""
    return decode(Governed, tree.get(GOVERNED) or b"")


def proposals(view: View) -> dict[int, Proposal]:
    """The open proposals by number."""
    return {number: proposal_of(view, number) for number in validator_sets(view).open}


def proposal_of(view: View, number: int) -> Proposal:
    """An open proposal."""
    found = view.read(NAME, proposal_key(number), Proposal)
    assert found is not None, f"proposal {number} is open and not there"
    return found


def proposal_key(number: int) -> bytes:
    """Key of the entry of a proposal."""
    return b"p" + number.to_bytes(8, "big")


def validators_of(view: View, height: int) -> tuple[bytes, ...]:
    """The set of a past height.

    Raises:
        OutOfRange: It is not stored.
    """
    history = view.read(NAME, HISTORY, History) or History(())
    for past in reversed(history.sets):
        if past.height <= height:
            return past.validators
    raise OutOfRange(f"the set of height {height} is not stored")


# --- methods ----------------------------------------------------------------------------------------------


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
    elif args.action == ROTATE:
        check_possession(args.new_key, args.proof, genesis.chain_id, args.key)
    elif args.proof:
        raise InvalidTx("tx_args", "only ADD and ROTATE carry a proof")


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
    _change(view, open=(*numbers, number))
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
    changed = _changed_set(view, proposal)
    if changed != validator_sets(view).next:
        if view.get(NAME, CHANGE) is not None:
            raise InvalidTx("gov_busy", "another change of the set was decided in this block")
        view.write(NAME, CHANGE, Keys(changed))
    if proposal.action in (RETURN, REMOVE):
        _release(view, proposal.key, ctx.height)


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
        _change(view, jailed=tuple(member for member in waiting if member != key))
        view.write(NAME, b"j" + key, Number(height))


# --- evidence and the end of a block ------------------------------------------------------------------------


def evidence_window(view: View, height: int) -> range:
    """Heights about which a block of this height may hold evidence."""
    return range(max(1, height - governed(view).evidence_heights), height)


def punish(view: View, offence: Offence) -> None:
    """Jail a validator that signed two different messages.

    Raises:
        OutOfRange: It is jailed already, or has returned since, or is not a validator any more.
    """
    key, known = offence.authority, validator_sets(view)
    since = (view.read(NAME, b"j" + key, Number) or Number(0)).number
    if key in known.jailed or offence.height <= since or key not in known.next:
        raise OutOfRange(f"validator {key.hex()[:16]} is jailed already, has returned since, or has left")
    _change(view, jailed=tuple(sorted((*known.jailed, key))))


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
        _change(view, current=known.next, next=following)
    if following != known.next:
        history = (view.read(NAME, HISTORY, History) or History(())).sets
        view.write(NAME, HISTORY, History((*history, Past(height + 2, following))[-MAX_HISTORY:]))
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


def _change(view: View, **fields: tuple[bytes, ...] | tuple[int, ...]) -> None:
    view.write(NAME, COUNCIL, msgspec.structs.replace(validator_sets(view), **fields))


def _close(view: View, closed: tuple[int, ...]) -> None:
    if not closed:
        return
    _change(view, open=tuple(number for number in validator_sets(view).open if number not in closed))
    for number in closed:
        view.put(NAME, proposal_key(number), None)


def _start(view: View, genesis: Genesis) -> None:
    view.write(NAME, COUNCIL, ValidatorSets(genesis.authorities, genesis.authorities, (), ()))
    view.write(NAME, HISTORY, History((Past(1, genesis.authorities),)))
    view.write(NAME, GOVERNED, genesis.params.governed)


def _invariants(view: View, genesis: Genesis, height: int) -> None:
    if not view.touched(NAME):
        return
    after, single = validator_sets(view), len(genesis.authorities) == 1
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
        "The validators vote on their own set and on the governed parameters.",
        {
            PROPOSE_AUTHORITY: Method(
                "Propose that a validator joins, leaves, changes its key or returns.",
                AuthorityArgs,
                _ONLY_AUTHORITIES,
                _propose_authority,
                _check_authority,
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
            Entry("Sets of validators and open proposals.", COUNCIL, record=ValidatorSets),
            Entry("The newest sets with their heights.", HISTORY, record=History),
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
            "gov_member": "The key is in the set already, or is not in it.",
            "gov_set_size": "The set would not have 1, or 4 to 25 validators.",
            "gov_busy": "Another change of the set happens in this block.",
        },
        start=_start,
        check=_invariants,
        end_block=_end_block,
    )
)
