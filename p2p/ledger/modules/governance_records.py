"""What module `governance` stores and takes: the council, its history, proposals, arguments of the methods."""

from __future__ import annotations

from functools import lru_cache

from p2p.blocks.block import validators_hash
from p2p.blocks.genesis import Governed
from p2p.blocks.tree import Tree
from p2p.errors import OutOfRange
from p2p.ledger.view import MAX_VALUE_BYTES, View
from p2p.wire.codec import Record, decode

NAME = "governance"
PROPOSE_AUTHORITY = "propose_authority"
PROPOSE_PARAMETER = "propose_parameter"
APPROVE = "approve"

ADD = 1
REMOVE = 2
ROTATE = 3
RETURN = 4
PARAMETER = 5

MAX_OPEN = 32
"""Proposals that may be open at a time."""

MAX_HISTORY = 16
"""Sets that are remembered to judge evidence."""

COUNCIL, HISTORY, GOVERNED = b"council", b"history", b"governed"
NEXT, CHANGE = b"next", b"change"


class Council(Record, frozen=True):
    """Who decides.

    Args:
        current: The authorities of the next height (within a block: of this one), in the order of turns.
        next: Those of the height after it.
        jailed: Authorities that signed twice and have not been called back, sorted.
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


def council(view: View) -> Council:
    """Sets, jailed authorities and open proposals."""
    found = view.read(NAME, COUNCIL, Council)
    assert found is not None, "the state was not started from a genesis"
    return found


def governed(view: View) -> Governed:
    """The parameters in force."""
    found = view.read(NAME, GOVERNED, Governed)
    assert found is not None, "the state was not started from a genesis"
    return found


@lru_cache(maxsize=256)
def council_of(tree: Tree) -> tuple[Council, tuple[bytes, bytes]]:
    """The council in a module's tree, and the hashes of its sets; most blocks leave this tree alone."""
    found = decode(Council, tree.get(COUNCIL) or b"", max_bytes=MAX_VALUE_BYTES)
    return found, found.hashes


@lru_cache(maxsize=256)
def governed_of(tree: Tree) -> Governed:
    """The parameters in a module's tree."""
    return decode(Governed, tree.get(GOVERNED) or b"")


def proposals(view: View) -> dict[int, Proposal]:
    """The open proposals by number."""
    return {number: proposal_of(view, number) for number in council(view).open}


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
        OutOfRange: It is not remembered.
    """
    history = view.read(NAME, HISTORY, History) or History(())
    for past in reversed(history.sets):
        if past.height <= height:
            return past.validators
    raise OutOfRange(f"the set of height {height} is not remembered")
