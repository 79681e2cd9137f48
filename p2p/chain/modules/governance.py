"""Module `governance`: the sets of authorities, the parameters in force, proposals and their approvals.

    sets            set of the next height and of the one after it
    history         the newest sets with the height from which each one holds, to judge evidence
    governed        parameters in force
    jailed          authorities that signed twice, sorted
    j || key        height from which evidence against an authority counts again after its return
    next            number of the next proposal
    open            numbers of the open proposals, ascending
    p || number u64 an open proposal
    change          only within a block: the set that was decided in it

A change decided in block h holds from h + 2 on, so that the header of h + 1 can already announce it. A block
changes the set at most once.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from p2p.chain.block import quorum, validators_hash
from p2p.chain.evidence import Offence
from p2p.chain.genesis import GOVERNED_BOUNDS, Genesis, Governed, is_set_size
from p2p.chain.modules.method import AUTHORITY, Method, Module
from p2p.chain.possession import NO_KEY, check_possession
from p2p.chain.tree import Tree
from p2p.chain.view import Context, View
from p2p.codec import Record, decode
from p2p.errors import BrokenInvariant, InvalidTx, OutOfRange
from p2p.identity import PUBLIC_KEY_BYTES

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
"""Sets that are remembered to judge evidence."""

_SETS, _HISTORY, _GOVERNED, _JAILED = b"sets", b"history", b"governed", b"jailed"
_NEXT, _OPEN, _CHANGE = b"next", b"open", b"change"


class Sets(Record, frozen=True, dict=True):
    """The authorities of the next height (`current`) and of the one after it (`next`)."""

    current: tuple[bytes, ...]
    next: tuple[bytes, ...]

    @property
    def hashes(self) -> tuple[bytes, bytes]:
        """Hashes of both, as headers carry them."""
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


class Numbers(Record, frozen=True):
    """Numbers of the open proposals, ascending."""

    numbers: tuple[int, ...]


class Number(Record, frozen=True):
    """One number."""

    number: int


class Proposal(Record, frozen=True):
    """An open proposal.

    Args:
        action: ADD, REMOVE, ROTATE, RETURN or PARAMETER.
        key: The authority it is about; empty for a parameter.
        new_key: Of a ROTATE; else empty.
        name: Of the parameter; else empty.
        value: Of the parameter; else 0.
        expiry_height: Last height at which it may pass.
        approvals: Keys of the authorities in favour, sorted.
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


def sets(view: View) -> Sets:
    """The sets of the next two heights (within a block: of this height and the next)."""
    found = view.read(NAME, _SETS, Sets)
    assert found is not None, "the state was not started from a genesis"
    return found


def governed(view: View) -> Governed:
    """The parameters in force."""
    found = view.read(NAME, _GOVERNED, Governed)
    assert found is not None, "the state was not started from a genesis"
    return found


@lru_cache(maxsize=256)
def sets_of(tree: Tree) -> tuple[Sets, tuple[bytes, bytes]]:
    """The sets in a module's tree, and their hashes; most blocks leave this tree alone."""
    found = decode(Sets, tree.get(_SETS) or b"")
    return found, found.hashes


@lru_cache(maxsize=256)
def governed_of(tree: Tree) -> Governed:
    """The parameters in a module's tree."""
    return decode(Governed, tree.get(_GOVERNED) or b"")


def jailed(view: View) -> tuple[bytes, ...]:
    """Authorities that signed twice and have not been called back, sorted."""
    found = view.read(NAME, _JAILED, Keys)
    return () if found is None else found.keys


def proposals(view: View) -> dict[int, Proposal]:
    """The open proposals by number."""
    return {number: _proposal(view, number) for number in _open(view)}


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
    view, numbers = ctx.view, _open(ctx.view)
    last = ctx.height + governed(view).proposal_heights
    if not ctx.height <= proposal.expiry_height <= last:
        raise InvalidTx("gov_expiry", f"height {proposal.expiry_height} is not in {ctx.height}..{last}")
    if len(numbers) >= MAX_OPEN:
        raise InvalidTx("gov_full", f"{MAX_OPEN} proposals are open")
    number = (view.read(NAME, _NEXT, Number) or Number(0)).number
    view.write(NAME, _NEXT, Number(number + 1))
    view.write(NAME, _OPEN, Numbers((*numbers, number)))
    _support(ctx, number, proposal)


def _approve(ctx: Context, args: ApproveArgs) -> None:
    if args.number not in _open(ctx.view):
        raise InvalidTx("gov_closed", f"proposal {args.number} passed, expired or never was")
    proposal = _proposal(ctx.view, args.number)
    if ctx.height > proposal.expiry_height:
        raise InvalidTx("gov_closed", f"proposal {args.number} expired at height {proposal.expiry_height}")
    if ctx.sender in proposal.approvals:
        raise InvalidTx("gov_approved", f"this authority has approved proposal {args.number}")
    _support(ctx, args.number, proposal)


def _support(ctx: Context, number: int, proposal: Proposal) -> None:
    """Count the sender's approval; at a quorum of the current set, do what is proposed."""
    view, current = ctx.view, sets(ctx.view).current
    approvals = tuple(sorted({*proposal.approvals, ctx.sender} & set(current)))
    if len(approvals) < quorum(len(current)):
        view.write(NAME, _key(number), msgspec.structs.replace(proposal, approvals=approvals))
        return
    _close(view, (number,))
    if proposal.action == PARAMETER:
        value = msgspec.structs.replace(governed(view), **{proposal.name: proposal.value})
        view.write(NAME, _GOVERNED, value)
        return
    changed = _changed_set(view, proposal)
    if changed != sets(view).next:
        if view.get(NAME, _CHANGE) is not None:
            raise InvalidTx("gov_busy", "another change of the set was decided in this block")
        view.write(NAME, _CHANGE, Keys(changed))
    if proposal.action in (RETURN, REMOVE):
        _release(view, proposal.key, ctx.height)


def _changed_set(view: View, proposal: Proposal) -> tuple[bytes, ...]:
    """Return the set after a proposal, from the newest set that is decided.

    Raises:
        InvalidTx: The key is in the set already, or is not, or the set would have a size it may not have.
    """
    known, key, new = sets(view).next, proposal.key, proposal.new_key
    waiting = jailed(view)
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
        raise InvalidTx("gov_set_size", f"the set would have {len(changed)} authorities")
    return changed


def _release(view: View, key: bytes, height: int) -> None:
    left = tuple(member for member in jailed(view) if member != key)
    if left != jailed(view):
        view.put(NAME, _JAILED, None) if not left else view.write(NAME, _JAILED, Keys(left))
        view.write(NAME, b"j" + key, Number(height))


# --- evidence and the end of a block ------------------------------------------------------------------------


def validators_of(view: View, height: int) -> tuple[bytes, ...]:
    """The set of a past height.

    Raises:
        OutOfRange: It is not remembered.
    """
    history = view.read(NAME, _HISTORY, History) or History(())
    for past in reversed(history.sets):
        if past.height <= height:
            return past.validators
    raise OutOfRange(f"the set of height {height} is not remembered")


def evidence_window(view: View, height: int) -> range:
    """Heights about which a block of this height may hold evidence."""
    return range(max(1, height - governed(view).evidence_heights), height)


def punish(view: View, offence: Offence) -> None:
    """Jail an authority that signed two different messages.

    Raises:
        OutOfRange: It is jailed already, or has returned since, or is no authority any more.
    """
    key, known = offence.authority, jailed(view)
    since = (view.read(NAME, b"j" + key, Number) or Number(0)).number
    if key in known or offence.height <= since or key not in sets(view).next:
        raise OutOfRange(f"authority {key.hex()[:16]} is jailed already, has returned since, or has left")
    view.write(NAME, _JAILED, Keys(tuple(sorted((*known, key)))))


def end_block(view: View, height: int) -> None:
    """Move the sets on by one height, and forget what has expired."""
    known = sets(view)
    change = view.read(NAME, _CHANGE, Keys)
    following = known.next if change is None else change.keys
    if change is None:
        following = _without_jailed(view, following)
    else:
        view.put(NAME, _CHANGE, None)
    if (known.next, following) != (known.current, known.next):
        view.write(NAME, _SETS, Sets(known.next, following))
    if following != known.next:
        history = (view.read(NAME, _HISTORY, History) or History(())).sets
        view.write(NAME, _HISTORY, History((*history, Past(height + 2, following))[-MAX_HISTORY:]))
    numbers = _open(view)
    if numbers:
        _close(view, tuple(n for n in numbers if _proposal(view, n).expiry_height <= height))
        _drop_approvals(view, set(known.next))


def _without_jailed(view: View, members: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Return the set without its first jailed authority, unless it would become too small."""
    waiting = jailed(view)
    out = next((key for key in members if key in waiting), None) if waiting else None
    if out is None or not is_set_size(len(members) - 1):
        return members
    return tuple(key for key in members if key != out)


def _drop_approvals(view: View, members: set[bytes]) -> None:
    for number, proposal in proposals(view).items():
        kept = tuple(key for key in proposal.approvals if key in members)
        if kept != proposal.approvals:
            view.write(NAME, _key(number), msgspec.structs.replace(proposal, approvals=kept))


def _open(view: View) -> tuple[int, ...]:
    found = view.read(NAME, _OPEN, Numbers)
    return () if found is None else found.numbers


def _close(view: View, closed: tuple[int, ...]) -> None:
    if not closed:
        return
    left = tuple(number for number in _open(view) if number not in closed)
    view.put(NAME, _OPEN, None) if not left else view.write(NAME, _OPEN, Numbers(left))
    for number in closed:
        view.put(NAME, _key(number), None)


def _proposal(view: View, number: int) -> Proposal:
    found = view.read(NAME, _key(number), Proposal)
    assert found is not None, f"proposal {number} is open and not there"
    return found


def _key(number: int) -> bytes:
    return b"p" + number.to_bytes(8, "big")


def _start(view: View, genesis: Genesis) -> None:
    view.write(NAME, _SETS, Sets(genesis.authorities, genesis.authorities))
    view.write(NAME, _HISTORY, History((Past(1, genesis.authorities),)))
    view.write(NAME, _GOVERNED, genesis.params.governed)


def _invariants(view: View, genesis: Genesis, height: int) -> None:
    if not view.touched(NAME):
        return
    after, toy = sets(view), len(genesis.authorities) == 1
    for members in (after.current, after.next):
        if len(set(members)) != len(members) or not is_set_size(len(members)) or toy != (len(members) == 1):
            raise BrokenInvariant(height, NAME, f"a set of {len(members)} authorities, or one key twice")
    if _open(view) != tuple(sorted(proposals(view))) or len(_open(view)) > MAX_OPEN:
        raise BrokenInvariant(height, NAME, "the open proposals are not those of the list")


MODULE = Module(
    NAME,
    {
        PROPOSE_AUTHORITY: Method(
            AuthorityArgs, frozenset({AUTHORITY}), _propose_authority, _check_authority
        ),
        PROPOSE_PARAMETER: Method(
            ParameterArgs, frozenset({AUTHORITY}), _propose_parameter, _check_parameter
        ),
        APPROVE: Method(ApproveArgs, frozenset({AUTHORITY}), _approve, _check_approve),
    },
    _start,
    _invariants,
)
