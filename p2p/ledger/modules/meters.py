"""Module `meters`: registered meters, and the daily roots over their readings.

    m || meter                                 a meter, named by the salted commitment of its id
    h || home u32                              names of the meters of a home
    d || meter || day u32                      newest anchor of a day, and the newest that an operator has signed
    v || meter || day u32 || version u32       an anchor; old versions stay

A reading is a leaf of the day's tree, salted like a settlement entry, in mWh so that fractions of a Wh count:

    leaf data = reading domain || salt (16) || interval_start i64 || seconds u32
                || production_mwh i64 || consumption_mwh i64

The newest settled interval is the clock: a day is anchored when all of it is settled, and corrected no later than
CORRECTION_DAYS after that. An anchor counts once the home of the meter and an operator have signed it: one of them
anchors, the other confirms.
"""

from __future__ import annotations

import struct

from msgspec.structs import replace

from market.interval import begins_interval
from p2p.blocks import domains, merkle
from p2p.blocks.block import ZERO_HASH
from p2p.blocks.genesis import Genesis
from p2p.errors import BadProof, BrokenInvariant, InvalidTx
from p2p.ledger.module import CHAIN_MODULES, HOUSEHOLD, OPERATOR, ChainModule, Entry, Method
from p2p.ledger.modules import accounts
from p2p.ledger.modules.settlement import KEPT_DAYS, settled_until
from p2p.ledger.view import Context, View
from p2p.wire.codec import Record, decode
from p2p.wire.messages import MAX_TIME_S

NAME = "meters"
REGISTER = "register"
ANCHOR = "anchor"
CONFIRM = "confirm"

PRODUCTION = 1
CONSUMPTION = 2
BOTH = 3
STORAGE = 4
_KINDS = (PRODUCTION, CONSUMPTION, BOTH, STORAGE)

SALT_BYTES = 16
DAY_S = 86_400
MAX_CAPACITY_W = 10**9
FULL_PPM = 1_000_000
MAX_METERS = 16
"""Of a home: whoever shows one of their readings brings those of the others."""

CORRECTION_DAYS = KEPT_DAYS - 2
"""How long after it was settled the readings of a day may be corrected: its lines are kept for one day more, in which
the corrected readings can be used. [days]"""

BY_HOME, BY_OPERATOR = 1, 2
BY_BOTH = BY_HOME | BY_OPERATOR

_LEAF = struct.Struct(">qIqq")


class Meter(Record, frozen=True):
    """A registered meter.

    Args:
        household: Whose it is.
        kind: PRODUCTION, CONSUMPTION or STORAGE behind the connection of the home, or BOTH: the meter at it, which
            measures what the home exports and imports.
        capacity_w: Largest power in either direction. [W]
        efficiency_ppm: Of a storage: energy out per energy in, in millionths; else 0.
    """

    household: int
    kind: int
    capacity_w: int
    efficiency_ppm: int


class HomeMeters(Record, frozen=True):
    """Names of the meters of a home, ascending."""

    names: tuple[bytes, ...]


class RegisterArgs(Record, frozen=True):
    """Arguments of meters.register: a meter under the salted commitment of its id."""

    meter: bytes
    household: int
    kind: int
    capacity_w: int
    efficiency_ppm: int


class Anchor(Record, frozen=True):
    """The root over a meter's readings of a day.

    Args:
        root: RFC 9162 root over the salted leaves.
        leaves: Number of leaves.
        previous: Root of the version before; zeros for the first.
        height: Block that holds it.
        signed: BY_HOME, BY_OPERATOR or BY_BOTH.
    """

    root: bytes
    leaves: int
    previous: bytes
    height: int
    signed: int


class AnchorArgs(Record, frozen=True):
    """Arguments of meters.anchor: readings of a day (days since 1970, UTC), or a correction of them."""

    meter: bytes
    day: int
    version: int
    root: bytes
    leaves: int
    previous: bytes


class ConfirmArgs(Record, frozen=True):
    """Arguments of meters.confirm: the newest anchor of a day, by its root."""

    meter: bytes
    day: int
    version: int
    root: bytes


class Newest(Record, frozen=True):
    """Versions of the anchors of a day.

    Args:
        version: Of the newest one.
        by_operator: Of the newest one that an operator has signed; 0 for none. A home cannot outdate alone what it has
            sold.
    """

    version: int
    by_operator: int


class Reading(Record, frozen=True):
    """A reading opened against the anchor of its day.

    Args:
        interval_start: [s since 1970, UTC]
        seconds: Length of the interval. [s]
        production_mwh: Energy out of the meter. [mWh]
        consumption_mwh: Energy into the meter. [mWh]
        salt: Of this reading only.
        index: Position of the leaf.
        path: Inclusion path, 32 bytes a step.
    """

    interval_start: int
    seconds: int
    production_mwh: int
    consumption_mwh: int
    salt: bytes
    index: int
    path: bytes

    @property
    def consumption_wh(self) -> int:
        """Whole Wh into the meter."""
        return self.consumption_mwh // 1000


def reading_leaf(reading: Reading) -> bytes:
    """Return the leaf hash of a reading."""
    content = _LEAF.pack(
        reading.interval_start, reading.seconds, reading.production_mwh, reading.consumption_mwh
    )
    return merkle.leaf_hash(bytes((domains.LEAF_READING,)) + reading.salt + content)


def find(view: View, meter: bytes) -> Meter:
    """A registered meter.

    Raises:
        InvalidTx: No meter has this name.
    """
    found = view.read(NAME, b"m" + meter, Meter)
    if found is None:
        raise InvalidTx("meter_unknown", f"no meter {meter.hex()[:16]}")
    return found


def names_of(view: View, household: int) -> tuple[bytes, ...]:
    """Names of the meters of a home, ascending."""
    found = view.read(NAME, _home_key(household), HomeMeters)
    return () if found is None else found.names


def newest_version(view: View, meter: bytes, day: int) -> int:
    """Version of the newest anchor of a meter and day, 0 for none."""
    return _newest(view, meter, day).version


def operators_version(view: View, meter: bytes, day: int) -> int:
    """Version of the newest anchor of a meter and day that an operator has signed, 0 for none."""
    return _newest(view, meter, day).by_operator


def _newest(view: View, meter: bytes, day: int) -> Newest:
    return view.read(NAME, _day_key(meter, day), Newest) or Newest(0, 0)


def anchor_of(view: View, meter: bytes, day: int, version: int) -> Anchor | None:
    """One version of a day's anchor, or None."""
    return view.read(NAME, _version_key(meter, day, version), Anchor)


def check_reading(reading: Reading, genesis: Genesis) -> None:
    """Raise unless a reading can be one of this chain; needs no state.

    Raises:
        InvalidTx: Names the field.
    """
    seconds = genesis.params.minutes * 60
    if reading.seconds != seconds or not begins_interval(reading.interval_start, genesis.params.minutes):
        raise InvalidTx(
            "guarantee_interval",
            f"{reading.seconds} s from {reading.interval_start}; intervals have {seconds} s",
        )
    if not 0 <= reading.interval_start <= MAX_TIME_S:
        raise InvalidTx("guarantee_interval", f"interval_start {reading.interval_start} is out of range")
    if min(reading.production_mwh, reading.consumption_mwh) < 0:
        raise InvalidTx("reading_range", "a reading is not negative")
    if len(reading.salt) != SALT_BYTES:
        raise InvalidTx("reading_proof", f"a salt of {len(reading.salt)} bytes; it must have {SALT_BYTES}")


def check_anchored(view: View, name: bytes, meter: Meter, reading: Reading) -> None:
    """Raise unless a reading is a leaf of the newest anchor of its day, signed twice, and within the meter's capacity.

    Raises:
        InvalidTx: Says which of it is not so.
    """
    day = reading.interval_start // DAY_S
    check_signed(check_leaf(view, name, meter, reading, newest_version(view, name, day)), meter, day)


def check_signed(anchor: Anchor, meter: Meter, day: int) -> None:
    """Raise unless the home of the meter and an operator have signed an anchor.

    Raises:
        InvalidTx: One of them has not.
    """
    if anchor.signed != BY_BOTH:
        lacks = "an operator" if anchor.signed == BY_HOME else f"home {meter.household}"
        raise InvalidTx("anchor_unconfirmed", f"{lacks} has not confirmed the readings of day {day}")


def check_leaf(view: View, name: bytes, meter: Meter, reading: Reading, version: int) -> Anchor:
    """Return a version of the anchor of a reading's day, of which the reading is a leaf within the meter's capacity.

    Raises:
        InvalidTx: It is not, or there is no such version.
    """
    day = reading.interval_start // DAY_S
    anchor = anchor_of(view, name, day, version)
    if anchor is None:
        raise InvalidTx("anchor_unknown", f"nothing is anchored for meter {name.hex()[:16]} and day {day}")
    most_mwh = meter.capacity_w * reading.seconds * 1000 // 3600
    if max(reading.production_mwh, reading.consumption_mwh) > most_mwh:
        raise InvalidTx("reading_range", f"more than the {most_mwh} mWh that {meter.capacity_w} W can give")
    steps = [reading.path[i : i + 32] for i in range(0, len(reading.path), 32)]
    try:
        root = merkle.root_from_path(reading_leaf(reading), reading.index, anchor.leaves, steps)
    except BadProof as error:
        raise InvalidTx("reading_proof", error.detail) from None
    if root != anchor.root:
        raise InvalidTx("reading_proof", "the reading does not lead to the anchored root")
    return anchor


def check_owner(ctx: Context, meter: Meter) -> None:
    """Raise unless the sender is an operator or the home of a meter.

    Raises:
        InvalidTx: It is another home.
    """
    if accounts.household_of(ctx) != meter.household and not accounts.is_operator(ctx):
        raise InvalidTx("meter_owner", f"the meter belongs to home {meter.household}")


def _signer(ctx: Context, meter: Meter) -> int:
    """Whether the sender signs as the home of a meter or as an operator."""
    return BY_HOME if accounts.household_of(ctx) == meter.household else BY_OPERATOR


def _check_register(args: RegisterArgs, genesis: Genesis) -> None:
    if len(args.meter) != merkle.HASH_BYTES or args.kind not in _KINDS:
        raise InvalidTx("tx_args", f"a meter's name has {merkle.HASH_BYTES} bytes, its kind is in {_KINDS}")
    if not 0 <= args.household < genesis.members:
        raise InvalidTx("tx_args", f"home {args.household} of {genesis.members}")
    efficient = 0 < args.efficiency_ppm <= FULL_PPM if args.kind == STORAGE else args.efficiency_ppm == 0
    if not 0 < args.capacity_w <= MAX_CAPACITY_W or not efficient:
        raise InvalidTx("tx_args", f"capacity {args.capacity_w} W, efficiency {args.efficiency_ppm} ppm")


def _register(ctx: Context, args: RegisterArgs) -> None:
    if ctx.view.get(NAME, b"m" + args.meter) is not None:
        raise InvalidTx("meter_known", f"meter {args.meter.hex()[:16]} is registered already")
    names = names_of(ctx.view, args.household)
    if len(names) >= MAX_METERS:
        raise InvalidTx("meter_limit", f"home {args.household} has {len(names)} meters of {MAX_METERS}")
    meter = Meter(args.household, args.kind, args.capacity_w, args.efficiency_ppm)
    ctx.view.write(NAME, b"m" + args.meter, meter)
    ctx.view.write(NAME, _home_key(args.household), HomeMeters(tuple(sorted((*names, args.meter)))))


def _check_anchor(args: AnchorArgs, genesis: Genesis) -> None:
    most = DAY_S // (genesis.params.minutes * 60)
    if len(args.root) != merkle.HASH_BYTES or not 1 <= args.leaves <= most:
        raise InvalidTx("tx_args", f"{args.leaves} leaves of 1..{most}, or a root of {len(args.root)} bytes")
    if not 0 <= args.day <= MAX_TIME_S // DAY_S or not 1 <= args.version < 2**32:
        raise InvalidTx("tx_args", f"day {args.day}, version {args.version}")


def _anchor(ctx: Context, args: AnchorArgs) -> None:
    view = ctx.view
    meter = find(view, args.meter)
    check_owner(ctx, meter)
    now_s, end_s = settled_until(view, ctx.genesis), (args.day + 1) * DAY_S
    if end_s > now_s:
        raise InvalidTx("anchor_early", f"day {args.day} is not over and settled")
    version = newest_version(view, args.meter, args.day)
    known = anchor_of(view, args.meter, args.day, version)
    previous = ZERO_HASH if known is None else known.root
    if (args.version, args.previous) != (version + 1, previous):
        raise InvalidTx("anchor_version", f"version {args.version}; the next is {version + 1}, on its root")
    if known is not None and now_s > end_s + CORRECTION_DAYS * DAY_S:
        raise InvalidTx("period_closed", f"day {args.day} was settled more than {CORRECTION_DAYS} days ago")
    signer = _signer(ctx, meter)
    anchor = Anchor(args.root, args.leaves, args.previous, ctx.height, signer)
    by_operator = args.version if signer == BY_OPERATOR else operators_version(view, args.meter, args.day)
    view.write(NAME, _day_key(args.meter, args.day), Newest(args.version, by_operator))
    view.write(NAME, _version_key(args.meter, args.day, args.version), anchor)


def _check_confirm(args: ConfirmArgs, genesis: Genesis) -> None:
    if len(args.root) != merkle.HASH_BYTES or not 0 <= args.day <= MAX_TIME_S // DAY_S:
        raise InvalidTx("tx_args", f"day {args.day}, or a root of {len(args.root)} bytes")
    if not 1 <= args.version < 2**32:
        raise InvalidTx("tx_args", f"version {args.version}")


def _confirm(ctx: Context, args: ConfirmArgs) -> None:
    view = ctx.view
    meter = find(view, args.meter)
    check_owner(ctx, meter)
    newest = newest_version(view, args.meter, args.day)
    known = anchor_of(view, args.meter, args.day, newest)
    if known is None:
        raise InvalidTx("anchor_unknown", f"nothing is anchored for this meter and day {args.day}")
    if (args.version, args.root) != (newest, known.root):
        raise InvalidTx("anchor_version", f"version {args.version}; the newest is {newest}, by its root")
    signed = known.signed | _signer(ctx, meter)
    if signed == known.signed:
        raise InvalidTx("anchor_confirmed", "the sender has signed it already")
    view.write(NAME, _day_key(args.meter, args.day), Newest(newest, newest))
    view.write(NAME, _version_key(args.meter, args.day, newest), replace(known, signed=signed))


def _home_key(household: int) -> bytes:
    return b"h" + household.to_bytes(4, "big")


def _day_key(meter: bytes, day: int) -> bytes:
    return b"d" + meter + day.to_bytes(4, "big")


def _version_key(meter: bytes, day: int, version: int) -> bytes:
    return b"v" + meter + day.to_bytes(4, "big") + version.to_bytes(4, "big")


def _invariants(view: View, genesis: Genesis, height: int) -> None:
    for key in view.touched(NAME):
        if key[:1] == b"v" and (before := view.before(NAME, key)) is not None:
            now, then = view.read(NAME, key, Anchor), decode(Anchor, before)
            if now is None or now != replace(then, signed=now.signed | then.signed):
                raise BrokenInvariant(
                    height, NAME, f"anchor {key.hex()} was changed; a correction is a new version"
                )
        if key[:1] == b"m" and view.before(NAME, key) is not None:
            raise BrokenInvariant(height, NAME, f"meter {key[1:].hex()[:16]} was changed")
        if key[:1] == b"m" and key[1:] not in names_of(view, find(view, key[1:]).household):
            raise BrokenInvariant(height, NAME, f"meter {key[1:].hex()[:16]} is not among those of its home")


MODULE = CHAIN_MODULES.register(
    ChainModule(
        NAME,
        "Registered meters, and the daily roots over their readings.",
        {
            REGISTER: Method(
                "Register a meter of a home.",
                RegisterArgs,
                frozenset({OPERATOR}),
                _register,
                _check_register,
            ),
            ANCHOR: Method(
                "Anchor the root over a meter's readings of a day, or a correction of it.",
                AnchorArgs,
                frozenset({OPERATOR, HOUSEHOLD}),
                _anchor,
                _check_anchor,
            ),
            CONFIRM: Method(
                "Confirm what an operator, or the home of the meter, has anchored.",
                ConfirmArgs,
                frozenset({OPERATOR, HOUSEHOLD}),
                _confirm,
                _check_confirm,
            ),
        },
        (
            Entry("A registered meter.", b"m", (("meter", "bytes"),), Meter),
            Entry("Meters of a home.", b"h", (("household", "u32"),), HomeMeters),
            Entry("Newest anchors of a day.", b"d", (("meter", "bytes"), ("day", "u32")), Newest),
            Entry("An anchor.", b"v", (("meter", "bytes"), ("day", "u32"), ("version", "u32")), Anchor),
        ),
        codes={
            "meter_known": "This meter is registered already.",
            "meter_unknown": "No such meter is registered.",
            "meter_limit": "The home has as many meters as it may have.",
            "meter_owner": "The meter belongs to another home.",
            "meter_kind": "The meter does not measure this.",
            "anchor_version": "The version does not follow the newest one of this meter and day.",
            "anchor_early": "The day of the readings is not over and settled.",
            "anchor_unknown": "Nothing is anchored for this meter and day.",
            "anchor_unconfirmed": "The home of the meter or an operator has not confirmed the newest anchor.",
            "anchor_confirmed": "The sender has signed the anchor already.",
            "period_closed": "It is too late to correct the readings of the day.",
            "reading_proof": "The reading is not a salted leaf of the anchored root.",
            "reading_range": "The reading is negative, or more than the meter's capacity allows.",
            "guarantee_interval": "The reading or guarantee belongs to another interval, or to none of this chain.",
        },
        check=_invariants,
    )
)
