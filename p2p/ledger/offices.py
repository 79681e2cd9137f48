"""Who has which office on a chain, and the parameters in force: the state of module `governance`.

    `council`       sets of the next height and of the one after it, jailed validators, open proposals
    history         the newest sets with the height from which each one holds, to check evidence
    operators       keys of the operators, in the order of their turns
    governed        parameters in force
    j || key        height from which evidence against a validator counts again after its return
    next            number of the next proposal
    p || number u64 an open proposal
    change          only within a block: the set that was decided in it

Modules read it here; what the validators decide is in `governance`.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from p2p.blocks.block import validators_hash
from p2p.blocks.genesis import Governed
from p2p.blocks.tree import Tree
from p2p.consensus.evidence import Offence
from p2p.errors import InvalidTx, OutOfRange
from p2p.ledger.view import MAX_VALUE_BYTES, View
from p2p.wire.codec import Record, decode

NAME = "governance"

VALIDATOR_SETS, HISTORY, GOVERNED = b"council", b"history", b"governed"
"""Keys of the entries; `council` is the name that the validator sets have had since the first format."""
NEXT, CHANGE, OPERATORS = b"next", b"change", b"operators"


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
        action: ADD, REMOVE, ROTATE, RETURN, PARAMETER, ADD_OPERATOR or REMOVE_OPERATOR.
        key: The validator or operator it is about; empty for a parameter.
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


def validator_sets(view: View) -> ValidatorSets:
    """Sets, jailed validators and open proposals."""
    found = view.read(NAME, VALIDATOR_SETS, ValidatorSets)
    assert found is not None, "the state was not started from a genesis"
    return found


def governed(view: View) -> Governed:
    """The parameters in force."""
    found = view.read(NAME, GOVERNED, Governed)
    assert found is not None, "the state was not started from a genesis"
    return found


def operators(view: View) -> tuple[bytes, ...]:
    """Keys of the operators, in the order of their turns; none where all were removed."""
    found = view.read(NAME, OPERATORS, Keys)
    assert found is not None, "the state was not started from a genesis"
    return found.keys


def operators_in(value: bytes) -> tuple[bytes, ...]:
    """The operators in the value of their entry."""
    return decode(Keys, value, max_bytes=MAX_VALUE_BYTES).keys


def replace_operator(view: View, old: bytes, new: bytes) -> None:
    """Give an operator's place to its new key."""
    view.write(NAME, OPERATORS, Keys(tuple(new if key == old else key for key in operators(view))))


@lru_cache(maxsize=256)
def validator_sets_of(tree: Tree) -> tuple[ValidatorSets, tuple[bytes, bytes]]:
    """The validator sets in a module's tree, and their hashes; most blocks do not change this tree."""
    found = decode(ValidatorSets, tree.get(VALIDATOR_SETS) or b"", max_bytes=MAX_VALUE_BYTES)
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


def history(view: View) -> tuple[Past, ...]:
    """The newest sets of validators, in ascending height."""
    return (view.read(NAME, HISTORY, History) or History(())).sets


def validators_of(view: View, height: int) -> tuple[bytes, ...]:
    """The set of a past height.

    Raises:
        OutOfRange: It is not stored.
    """
    for past in reversed(history(view)):
        if past.height <= height:
            return past.validators
    raise OutOfRange(f"the set of height {height} is not stored")


def change_sets(view: View, **fields: tuple[bytes, ...] | tuple[int, ...]) -> None:
    """Write the validator sets with other fields."""
    view.write(NAME, VALIDATOR_SETS, msgspec.structs.replace(validator_sets(view), **fields))


def evidence_window(view: View, height: int) -> range:
    """Heights about which a block of this height may hold evidence."""
    return range(max(1, height - governed(view).evidence_heights), height)


def convict(view: View, key: bytes) -> None:
    """Take its office from a collector that broke a promise: an operator is removed, a validator is jailed.

    Raises:
        InvalidTx: It has none, or is jailed already.
    """
    known, collectors = validator_sets(view), operators(view)
    is_validator = key in known.next and key not in known.jailed
    if key not in collectors and not is_validator:
        raise InvalidTx(
            "evidence_office", f"key {key.hex()[:16]} is neither an operator nor a free validator"
        )
    view.write(NAME, OPERATORS, Keys(tuple(one for one in collectors if one != key)))
    if is_validator:
        change_sets(view, jailed=tuple(sorted((*known.jailed, key))))


def punish(view: View, offence: Offence) -> None:
    """Jail a validator that signed two different messages.

    Raises:
        OutOfRange: It is jailed already, or has returned since, or is not a validator any more.
    """
    key, known = offence.authority, validator_sets(view)
    since = (view.read(NAME, b"j" + key, Number) or Number(0)).number
    if key in known.jailed or offence.height <= since or key not in known.next:
        raise OutOfRange(f"validator {key.hex()[:16]} is jailed already, has returned since, or has left")
    change_sets(view, jailed=tuple(sorted((*known.jailed, key))))
