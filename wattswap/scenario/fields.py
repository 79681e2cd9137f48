"""Field types of a scenario: decimals of the file become exact integers, and go back to text exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
)

from data.clock import zone_named
from data.errors import UnknownZone
from data.readings import home_id
from market.errors import InvalidTariff
from market.settlement.tariff import DAY_NAMES, parse_clock, parse_days
from market.units import is_exact
from wattswap.scenario.cures import cure_of_value

EARLIEST_S, LATEST_S = 0, 7_258_118_400
"""A run lies between 1970 and 2200. [s since 1970 UTC]"""


Fault = tuple[str | tuple[str, ...], str, str]
"""(key in the table, its parts apart where one of them may hold a dot, message, what to do)."""


class Wrong(ValueError):
    """Faults of one field or table, as sentences; a fault's key is relative to where it is raised."""

    def __init__(self, message: str, cure: str = "", key: str = "") -> None:
        self.faults: list[Fault] = [(key, message, cure)]
        super().__init__(message)

    @classmethod
    def all_of(cls, faults: Sequence[Fault]) -> Wrong:
        """Carry several (key, message, what to do) at once."""
        error = cls("; ".join(message for _, message, _ in faults))
        error.faults = list(faults)
        return error


_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "true or false"),
    (str, "text"),
    (int, "a whole number"),
    ((Decimal, float), "a number with decimals"),
    (dict, "a table"),
    ((list, tuple), "a list"),
    (date, "a date"),
)


def kind(value: object) -> str:
    """Name a TOML value's type for people."""
    for types, name in _KINDS:
        if isinstance(value, types):
            return name
    return type(value).__name__


def is_resolved(info: ValidationInfo) -> bool:
    """Whether the input is `Scenario.resolved()`, where exact numbers and instants are text."""
    return bool(info.context and info.context.get("resolved"))


def decimal_of(text: str) -> Decimal | str:
    """The number that a text is, or the text itself where it is none."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return text


def _exact(
    decimals: int, finest: str, low: Decimal, high: Decimal, low_excluded: bool = False
) -> Callable[[Any, ValidationInfo], int]:
    """Build a validator that turns a TOML number into `10**decimals` parts of it, without rounding."""

    def convert(value: Any, info: ValidationInfo) -> int:
        if isinstance(value, str) and is_resolved(info):
            value = decimal_of(value)
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            cure = isinstance(value, str) and cure_of_value(value)
            raise Wrong(f"must be a number, not {kind(value)}", cure or "write it without quotes, as in 0.25")
        number = Decimal(value)
        if not number.is_finite():
            raise Wrong(f"{number} is not a usable number", "write a decimal number")
        if number < low or (low_excluded and number == low):
            raise Wrong(f"{number} is too small", f"the smallest is {'above ' if low_excluded else ''}{low}")
        if number > high:
            raise Wrong(f"{number} is too large", f"the largest is {high}")
        # Within 28 digits the product in `is_exact` is not rounded; a longer number is finer than any unit.
        if len(number.as_tuple().digits) > 28 or not is_exact(number, 10**decimals):
            raise Wrong(f"{number} is finer than {finest}", "round it yourself; nothing is rounded silently")
        return int(number.scaleb(decimals))

    return convert


def decimal_text(decimals: int) -> Callable[[int], str]:
    """Build the inverse: `10**decimals` parts back to the shortest exact decimal."""

    def text(parts: int) -> str:
        short = Decimal(parts).scaleb(-decimals).normalize()
        return format(short, "f")

    return text


_NUMBER = WithJsonSchema({"type": "number"})
_ZERO, _ONE, _MILLION = Decimal(0), Decimal(1), Decimal(1_000_000)
_MICRO = "a millionth of a currency unit"

Price = Annotated[
    int, BeforeValidator(_exact(6, _MICRO, -_MILLION, _MILLION)), PlainSerializer(decimal_text(6)), _NUMBER
]
"""currency/kWh in the file, micro-currency/kWh inside; may be negative."""
Fee = Annotated[
    int, BeforeValidator(_exact(6, _MICRO, _ZERO, _MILLION)), PlainSerializer(decimal_text(6)), _NUMBER
]
"""A price of at least 0."""
Percent = Annotated[
    int,
    BeforeValidator(_exact(4, "a ten-thousandth of a percent", _ZERO, Decimal(100))),
    PlainSerializer(decimal_text(4)),
    _NUMBER,
]
"""0..100 in the file, parts per million inside."""
Energy = Annotated[
    int, BeforeValidator(_exact(3, "a Wh", _ZERO, _MILLION)), PlainSerializer(decimal_text(3)), _NUMBER
]
"""kWh in the file, Wh inside."""
Power = Annotated[
    int, BeforeValidator(_exact(3, "a W", _ZERO, _MILLION, True)), PlainSerializer(decimal_text(3)), _NUMBER
]
"""kW in the file, W inside; above 0."""
_share = _exact(6, "a millionth", _ZERO, _ONE)
Share = Annotated[int, BeforeValidator(_share), PlainSerializer(decimal_text(6)), _NUMBER]
"""0..1 in the file, parts per million inside."""
Scale = Annotated[
    int,
    BeforeValidator(_exact(6, "a millionth", _ZERO, Decimal(100))),
    PlainSerializer(decimal_text(6)),
    _NUMBER,
]
"""A factor, 0..100 in the file, parts per million inside."""
Efficiency = Annotated[
    int,
    BeforeValidator(_exact(6, "a millionth", _ZERO, _ONE, True)),
    PlainSerializer(decimal_text(6)),
    _NUMBER,
]
"""Above 0 and at most 1 in the file, parts per million inside."""

Temperature = Annotated[
    int,
    BeforeValidator(_exact(6, "a millionth of a degree", Decimal(-100), Decimal(200))),
    PlainSerializer(decimal_text(6)),
    _NUMBER,
]
"""Degrees Celsius in the file, millionths inside."""
Angle = Annotated[
    int,
    BeforeValidator(_exact(6, "a millionth of a degree", Decimal(-360), Decimal(360))),
    PlainSerializer(decimal_text(6)),
    _NUMBER,
]
"""Degrees in the file, millionths inside."""
Ratio = Annotated[
    int,
    BeforeValidator(_exact(3, "a thousandth", Decimal(-100), Decimal(100))),
    PlainSerializer(decimal_text(3)),
    _NUMBER,
]
"""-100..100 in the file, thousandths inside."""
_HOURS = 24
_of_hour = _exact(3, "a thousandth", _ZERO, _MILLION)


def _by_hour(value: Any, info: ValidationInfo) -> tuple[int, ...]:
    if not isinstance(value, list | tuple) or len(value) != _HOURS:
        found = f"{len(value)} numbers" if isinstance(value, list | tuple) else kind(value)
        raise Wrong(f"must be a list of {_HOURS} numbers, not {found}", "give one for each hour of the day")
    return tuple(_of_hour(one, info) for one in value)


ByHour = Annotated[
    tuple[int, ...],
    PlainValidator(_by_hour),
    PlainSerializer(lambda values: [decimal_text(3)(one) for one in values]),
    WithJsonSchema({"type": "array", "items": {"type": "number"}, "minItems": _HOURS, "maxItems": _HOURS}),
]
"""A number of at least 0 for each local hour in the file, thousandths inside."""


def _zone(value: Any) -> str:
    if not isinstance(value, str):
        raise Wrong(
            f"must be the name of a time zone, not {kind(value)}", 'write for example "Europe/Berlin"'
        )
    try:
        zone_named(value)
    except UnknownZone as error:
        hint = error.hint.strip().replace("Did", "did")
        raise Wrong(error.what, hint or 'write a name such as "Europe/Berlin" or "UTC"') from None
    return value


Zone = Annotated[str, BeforeValidator(_zone)]


def _stamp(value: Any, info: ValidationInfo) -> date:
    if isinstance(value, str) and is_resolved(info):
        return datetime.fromisoformat(value)
    if isinstance(value, str):
        cure = cure_of_value(value) or "write it without quotes, as in 2016-06-06T00:00:00Z"
        raise Wrong(f"{value!r} is text, not a date", cure)
    if not isinstance(value, date):
        raise Wrong(f"must be a date, not {kind(value)}", "write for example 2016-06-06T00:00:00Z")
    return value


Stamp = Annotated[date, PlainValidator(_stamp), WithJsonSchema({"type": "string", "format": "date-time"})]
"""A TOML date, local date-time, or date-time with offset."""


def instant_s(stamp: date, zone: str | None, add_days: int = 0) -> int:
    """Turn a date of the file into seconds since 1970 UTC, `add_days` days later on its own clock. [s]

    Raises:
        Wrong: A local time without zone, one that does not exist or exists twice, or a fraction of a second.
    """
    moment = stamp if isinstance(stamp, datetime) else datetime(stamp.year, stamp.month, stamp.day)
    try:
        moment += timedelta(days=add_days)
    except OverflowError:
        raise Wrong("the run would end after the year 2200") from None
    outside = f"{moment.isoformat()} is not between the years 1970 and 2200"
    if moment.year < 1969:  # no zone is asked for the clock of year 1
        raise Wrong(outside)
    if moment.microsecond:
        raise Wrong(f"{moment.isoformat()} has a fraction of a second", "write whole seconds")
    if moment.tzinfo is None:
        if zone is None:
            raise Wrong(
                f"{stamp.isoformat()} is a local time without a zone",
                'add time.zone = "Europe/Berlin" (your zone), or write 2016-06-06T00:00:00Z',
            )
        moment = _local(moment, ZoneInfo(zone))
    second = int(moment.timestamp())
    if not EARLIEST_S <= second <= LATEST_S:
        raise Wrong(outside)
    return second


def local_offset_s(stamp: date, zone: str | None, second: int) -> int:
    """How far the clock of a date in the file is ahead of UTC. [s]"""
    clock = datetime.fromtimestamp(second, ZoneInfo(zone)) if zone else stamp
    offset = clock.utcoffset() if isinstance(clock, datetime) else None
    return 0 if offset is None else int(offset.total_seconds())


def _local(moment: datetime, zone: ZoneInfo) -> datetime:
    here = moment.replace(tzinfo=zone)
    cure = "write it with an offset, as in 2016-03-27T03:00:00+02:00"
    if here.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != moment:
        raise Wrong(f"{moment.isoformat()} does not exist in {zone.key}: the clock skips it", cure)
    if here.utcoffset() != here.replace(fold=1).utcoffset():
        raise Wrong(f"{moment.isoformat()} happens twice in {zone.key}: the clock goes back", cure)
    return here


def iso(second: int) -> str:
    """Write an instant as UTC text."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _days(value: Any) -> tuple[int, ...]:
    if not isinstance(value, str):
        raise Wrong(f"must be weekdays as text, not {kind(value)}", 'write "mon-fri", "sat,sun" or "all"')
    try:
        return parse_days(value)
    except InvalidTariff as error:
        raise Wrong(str(error).rstrip(".")) from None


def _clock(value: Any) -> int:
    if not isinstance(value, str):
        raise Wrong(f"must be a time of day as text, not {kind(value)}", 'write "07:00", in quotes')
    try:
        return parse_clock(value)
    except InvalidTariff as error:
        raise Wrong(str(error)) from None


Weekdays = Annotated[
    tuple[int, ...],
    PlainValidator(_days),
    PlainSerializer(lambda days: ",".join(DAY_NAMES[day] for day in days)),
    WithJsonSchema({"type": "string"}),
]
Clock = Annotated[
    int,
    BeforeValidator(_clock),
    PlainSerializer(lambda minute: f"{minute // 60:02d}:{minute % 60:02d}"),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]{2}:[0-9]{2}$"}),
]
HomeId = Annotated[str, AfterValidator(home_id)]
Names = Annotated[tuple[HomeId, ...], Field(strict=False)]


def _portion(value: Any, info: ValidationInfo) -> int | tuple[str, ...]:
    """A share of all homes, or the ids of some."""
    if isinstance(value, list | tuple) and all(isinstance(name, str) for name in value):
        return tuple(map(home_id, value))
    if isinstance(value, list | tuple | dict | bool) or (isinstance(value, str) and not is_resolved(info)):
        raise Wrong(f"must be a share or a list of homes, not {kind(value)}", 'write 0.5 or ["h1", "h2"]')
    return _share(value, info)


def _portion_text(portion: int | tuple[str, ...]) -> str | list[str]:
    return decimal_text(6)(portion) if isinstance(portion, int) else list(portion)


Portion = Annotated[
    int | tuple[str, ...],
    PlainValidator(_portion),
    PlainSerializer(_portion_text),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "array", "items": {"type": "string"}}]}),
]
"""A share of the homes as `Share`, or a list of their ids."""
