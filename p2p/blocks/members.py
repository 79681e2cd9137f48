"""The homes of a chain: a salt-free leaf each under one root in the genesis, the list of them in a file beside it.

    leaf data = 01 || household hash (32) || public key (32, zeros for none) || from_s i64 || to_s i64
                || import_capacity_w i64 || export_capacity_w i64 || meter key (32, nothing for none)

The genesis keeps its size however many homes there are. Whoever checks signatures has the list; a home that shows its
key to the chain, or accuses a collector, brings its member record and the path to the root.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from market.files import read_at_most
from p2p.blocks import domains, merkle
from p2p.disk import DISK
from p2p.errors import AboveCapacity, BadProof, GenesisError, NotAMember, RemoteError
from p2p.wire.codec import Record, decode, encode
from p2p.wire.identity import PUBLIC_KEY_BYTES
from p2p.wire.messages import MAX_TIME_S, KeyOf, Kind, ReadingMessage

VERSION = 2
MAX_MEMBERS_BYTES = 128 * 1024 * 1024
NO_KEY = bytes(PUBLIC_KEY_BYTES)
NO_METER_KEY = b""
"""Of a home whose own key signs its readings; its leaf ends before it."""
ALWAYS = (0, MAX_TIME_S)
"""The term of a home that is a member from the first interval to the last. [s since 1970, UTC]"""

DEFAULT_CAPACITY_W = (43_000, 43_000)
"""Import and export of a connection of 3 x 63 A at 230 V, which is 43.5 kW, rounded down. [W]"""
MAX_CAPACITY_W = 10**9

Rotated = Callable[[int, int], bytes | None]
"""The key to which a home has rotated, from its index and the start of an interval [s]; None: that of the genesis."""


def none_rotated(household: int, interval_start: int) -> None:
    """Of a chain whose homes have the keys of the genesis."""


class Member(Record, frozen=True):
    """One home.

    Args:
        household: `household_hash` of its id; ids never appear on chain.
        key: Public key that signs its messages; zeros where orders are not signed.
        from_s: Its first interval starts then or later. [s since 1970, UTC]
        to_s: Its last interval starts before. [s since 1970, UTC]
        import_capacity_w: The most that its connection takes from the grid. [W]
        export_capacity_w: The most that its connection gives to the grid. [W]
        meter_key: Public key that alone signs its readings; `NO_METER_KEY` where its own key does.
    """

    household: bytes
    key: bytes
    from_s: int
    to_s: int
    import_capacity_w: int
    export_capacity_w: int
    meter_key: bytes

    def key_for(self, kind: Kind, key: bytes) -> bytes:
        """The key that signs its messages of a kind, where `key` is the home's own in their interval."""
        return self.meter_key or key if kind == Kind.READING else key


class MemberFile(Record, frozen=True):
    """The file beside a genesis: all homes in roster order."""

    version: int
    members: tuple[Member, ...]


class MemberProof(Record, frozen=True):
    """A home with its place in the roster and the path of its leaf, 32 bytes a step."""

    index: int
    member: Member
    path: bytes


@dataclass(frozen=True, eq=False)
class Members:
    """The homes of a chain with their ids, for whoever has the roster.

    Args:
        ids: In roster order.
        keys: Public keys in the same order; empty where orders are not signed.
        terms: (from_s, to_s) in the same order; empty where all are always members. [s since 1970, UTC]
        capacities: (import, export) of the connections in the same order; empty where all have `DEFAULT_CAPACITY_W`.
            [W]
        meter_keys: Public keys of the meters in the same order, `NO_METER_KEY` for homes without; empty where none has
            one.
    """

    ids: tuple[str, ...]
    keys: tuple[bytes, ...] = ()
    terms: tuple[tuple[int, int], ...] = ()
    capacities: tuple[tuple[int, int], ...] = ()
    meter_keys: tuple[bytes, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def records(self) -> tuple[Member, ...]:
        """All homes as the root covers them."""
        keys = self.keys or (NO_KEY,) * len(self)
        terms = self.terms or (ALWAYS,) * len(self)
        capacities = self.capacities or (DEFAULT_CAPACITY_W,) * len(self)
        meter_keys = self.meter_keys or (NO_METER_KEY,) * len(self)
        rows = zip(self.ids, keys, terms, capacities, meter_keys, strict=True)
        return tuple(
            Member(household_hash(name), key, *term, *most_w, meter)
            for name, key, term, most_w, meter in rows
        )

    @cached_property
    def by_id(self) -> dict[str, bytes]:
        """Public key of each home that has one."""
        return dict(zip(self.ids, self.keys, strict=True)) if self.keys else {}

    @cached_property
    def tree(self) -> merkle.Levels:
        """Tree over the leaves of all homes."""
        return merkle.levels([member_leaf(member) for member in self.records])

    @property
    def root(self) -> bytes:
        """What the genesis carries."""
        return self.tree[-1][0]

    def proof(self, index: int) -> MemberProof:
        """Return a home's record with the way to the root."""
        return MemberProof(index, self.records[index], b"".join(merkle.path_in(self.tree, index)))

    def keys_with(self, rotated: Rotated) -> KeyOf:
        """Who signs for each home, where some have rotated their keys since the genesis."""
        places = {name: place for place, name in enumerate(self.ids)} if self.keys else {}

        def key_of(household: str, interval_start: int, kind: Kind) -> bytes | None:
            place = places.get(household)
            if place is None:
                return None
            return self.records[place].key_for(kind, rotated(place, interval_start) or self.keys[place])

        return key_of

    def check_term(self, household: str, interval_start: int) -> None:
        """Raise unless a home is a member in an interval.

        Raises:
            NotAMember: It is not, or not any more.
        """
        if not self.terms:
            return
        start, end = self._term_of[household]
        if not start <= interval_start < end:
            raise NotAMember(f"home {household!r} is a member from {start} to {end}, not at {interval_start}")

    def check_reading(self, reading: ReadingMessage) -> None:
        """Raise unless a reading is one that the connection of its home allows.

        Raises:
            AboveCapacity: It is above.
        """
        import_w, export_w = self._capacity_of.get(reading.household, DEFAULT_CAPACITY_W)
        for what, energy_wh, most_w in (
            ("import_wh", reading.import_wh, import_w),
            ("export_wh", reading.export_wh, export_w),
        ):
            most_wh = energy_at(most_w, reading.minutes)
            if energy_wh > most_wh:
                raise AboveCapacity(
                    f"{what} of home {reading.household!r} is {energy_wh}; its connection of {most_w} W carries"
                    f" {most_wh} Wh in {reading.minutes} minutes"
                )

    @cached_property
    def _capacity_of(self) -> dict[str, tuple[int, int]]:
        return dict(zip(self.ids, self.capacities, strict=True)) if self.capacities else {}

    @cached_property
    def _term_of(self) -> dict[str, tuple[int, int]]:
        return dict(zip(self.ids, self.terms, strict=True))


def energy_at(power_w: int, minutes: int) -> int:
    """What a power gives in an interval, rounded up as devices round it. [Wh]"""
    return -(-power_w * minutes // 60)


def household_hash(household: str) -> bytes:
    """Return the 32-byte name of a home in leaves; its id can be guessed, not read."""
    return sha256(domains.HOUSEHOLD + household.encode()).digest()


def member_leaf(member: Member) -> bytes:
    """Return the leaf hash of a home."""
    numbers = (member.from_s, member.to_s, member.import_capacity_w, member.export_capacity_w)
    packed = b"".join(number.to_bytes(8, "big", signed=True) for number in numbers)
    content = member.household + member.key + packed + member.meter_key
    return merkle.leaf_hash(bytes((domains.LEAF_MEMBER,)) + content)


def proof_among(found: Sequence[Member], index: int) -> MemberProof:
    """Return a home's record with the way to the root, for who has the records of all homes and no ids."""
    path = merkle.path_in(merkle.levels([member_leaf(member) for member in found]), index)
    return MemberProof(index, found[index], b"".join(path))


def check_member(proof: MemberProof, root: bytes, members: int) -> Member:
    """Return the home of a proof that leads to the root of a genesis.

    Raises:
        BadProof: It does not.
    """
    member = proof.member
    if not _is_whole(member):
        raise BadProof("a household hash or key of another length")
    steps = [proof.path[i : i + merkle.HASH_BYTES] for i in range(0, len(proof.path), merkle.HASH_BYTES)]
    if merkle.root_from_path(member_leaf(member), proof.index, members, steps) != root:
        raise BadProof(f"home {proof.index} is not the one of the genesis")
    return member


def _is_whole(member: Member) -> bool:
    """Whether its fields have their lengths: of others, two could lead to the root with a byte of one in the other."""
    lengths = len(member.household), len(member.key), len(member.meter_key)
    return lengths[:2] == (merkle.HASH_BYTES, PUBLIC_KEY_BYTES) and lengths[2] in (0, PUBLIC_KEY_BYTES)


def member_problems(members: Members) -> list[str]:
    """What makes a list of homes unusable, a sentence each."""
    problems = []
    if members.keys and len(members.keys) != len(members):
        problems.append(f"{len(members.keys)} home keys for {len(members)} members")
    if any(len(key) != PUBLIC_KEY_BYTES for key in members.keys):
        problems.append(f"a home key has not {PUBLIC_KEY_BYTES} bytes")
    if NO_KEY in members.keys:
        problems.append("a home key is zeros, and others are not")
    for what, names in (("home key", members.keys), ("home", members.ids)):
        if len(set(names)) != len(names):
            problems.append(f"the same {what} is listed twice")
    problems += _meter_key_problems(members)
    if members.terms and len(members.terms) != len(members):
        problems.append(f"{len(members.terms)} terms for {len(members)} members")
    for name, (start, end) in zip(members.ids, members.terms, strict=False):
        if not 0 <= start < end <= MAX_TIME_S:
            problems.append(f"home {name!r} is a member from {start} to {end}; it must end after it begins")
    if members.capacities and len(members.capacities) != len(members):
        problems.append(f"{len(members.capacities)} capacities for {len(members)} members")
    for name, (import_w, export_w) in zip(members.ids, members.capacities, strict=False):
        if not (0 < import_w <= MAX_CAPACITY_W and 0 < export_w <= MAX_CAPACITY_W):
            problems.append(
                f"home {name!r} has a connection of {import_w} W import and {export_w} W export;"
                f" each must be 1..{MAX_CAPACITY_W}"
            )
    return problems


def _meter_key_problems(members: Members) -> list[str]:
    meter_keys = [key for key in members.meter_keys if key != NO_METER_KEY]
    problems = []
    if members.meter_keys and len(members.meter_keys) != len(members):
        problems.append(f"{len(members.meter_keys)} meter keys for {len(members)} members")
    if any(len(key) != PUBLIC_KEY_BYTES or key == NO_KEY for key in meter_keys):
        problems.append(f"a meter key has not {PUBLIC_KEY_BYTES} bytes, or is zeros")
    if meter_keys and not members.keys:
        problems.append("a home has a meter key, and homes have no keys")
    if len({*meter_keys, *members.keys}) != len(meter_keys) + len(set(members.keys)):
        problems.append("a meter key is that of another meter or of a home")
    return problems


def write_members(path: Path, members: Members) -> None:
    """Write the file beside a genesis, atomically.

    Raises:
        GenesisError: The homes cannot start a chain, or the file cannot be written.
    """
    problems = member_problems(members)
    if problems:
        raise GenesisError(problems)
    try:
        DISK.write_whole(path, encode(MemberFile(VERSION, members.records)))
    except OSError as error:
        raise GenesisError([f"cannot be written ({error.strerror})"], path) from error


def read_member_file(path: Path, root: bytes) -> tuple[Member, ...]:
    """Read the homes in the file beside a genesis, in roster order.

    Raises:
        GenesisError: Missing, damaged, not those of this root, or homes that no chain can have.
    """
    try:
        found = decode(MemberFile, read_at_most(path, MAX_MEMBERS_BYTES), max_bytes=MAX_MEMBERS_BYTES)
    except OSError as error:
        raise GenesisError([f"the list of its homes cannot be read ({error.strerror})"], path) from error
    except RemoteError as error:
        raise GenesisError([f"the list of its homes: {error.detail}"], path) from None
    whole = all(map(_is_whole, found.members))
    if found.version != VERSION or not whole or merkle.root([*map(member_leaf, found.members)]) != root:
        what = "it is not the list of homes that the genesis commits to; perhaps that is of another chain"
        raise GenesisError([what], path)
    problems = member_problems(
        _as_members([member.household.hex() for member in found.members], found.members)
    )
    if problems:
        raise GenesisError(problems, path)
    return found.members


def _as_members(ids: Sequence[str], found: Sequence[Member]) -> Members:
    keys = tuple(member.key for member in found)
    terms = tuple((member.from_s, member.to_s) for member in found)
    capacities = tuple((member.import_capacity_w, member.export_capacity_w) for member in found)
    meter_keys = tuple(member.meter_key for member in found)
    return Members(
        tuple(ids),
        () if all(key == NO_KEY for key in keys) else keys,
        () if all(term == ALWAYS for term in terms) else terms,
        () if all(most_w == DEFAULT_CAPACITY_W for most_w in capacities) else capacities,
        meter_keys if any(meter_keys) else (),
    )


def read_members(path: Path, ids: Sequence[str], root: bytes) -> Members:
    """Read the file beside a genesis for one who knows the ids.

    Args:
        ids: Home ids in roster order.
        root: `members_root` of the genesis.

    Raises:
        GenesisError: Missing, damaged, or not of this genesis and roster.
    """
    found = read_member_file(path, root)
    if [member.household for member in found] != [*map(household_hash, ids)]:
        raise GenesisError(["it lists other homes than the roster, or in another order"], path)
    return _as_members(ids, found)
