"""What energy costs outside the market, per interval: flat, time-of-use or a series of prices.

The outside is the retailer (import price, feed-in price) and the grid operator, who charges a kWh traded
inside the community the local fee and a kWh from outside the remote fee. Negative prices are normal.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np

from market.errors import InvalidTariff, did_you_mean
from market.units import IntArray

DAY_NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUTES_PER_DAY = 1_440
MINUTES_PER_WEEK = 7 * MINUTES_PER_DAY
_EPOCH_MINUTE_OF_WEEK = 3 * MINUTES_PER_DAY  # 1970-01-01 was a Thursday


@dataclass(frozen=True, slots=True)
class IntervalPrices:
    """The outside prices of one interval. [micro-currency/kWh]"""

    import_micro_per_kwh: int
    feed_in_micro_per_kwh: int
    grid_fee_local_micro_per_kwh: int = 0
    grid_fee_remote_micro_per_kwh: int = 0

    @property
    def buy_cap_micro_per_kwh(self) -> int:
        """The local price at which buying inside costs, with fees, as much as outside. [micro/kWh]"""
        return (
            self.import_micro_per_kwh + self.grid_fee_remote_micro_per_kwh - self.grid_fee_local_micro_per_kwh
        )

    @property
    def local_gain_micro_per_kwh(self) -> int:
        """What a kWh from a neighbour saves both homes together, w; below 0 where fees are above it. [micro/kWh]"""
        return self.buy_cap_micro_per_kwh - self.feed_in_micro_per_kwh

    @property
    def main(self) -> IntervalPrices:
        """The prices of a home that has no tariff of its own: these."""
        return self

    def of(self, home: int) -> IntervalPrices:
        """The prices of one home: these."""
        return self


@dataclass(frozen=True, slots=True, eq=False)
class HomePrices:
    """The outside prices of one interval where homes have several retailers; the grid and its fees are those of all.

    Args:
        main: Prices of a home that has no tariff of its own.
        import_micro_per_kwh: Per home. [micro-currency/kWh]
        feed_in_micro_per_kwh: Per home. [micro-currency/kWh]
    """

    main: IntervalPrices
    import_micro_per_kwh: IntArray
    feed_in_micro_per_kwh: IntArray

    @property
    def grid_fee_local_micro_per_kwh(self) -> int:
        """Grid fee of energy from a neighbour. [micro/kWh]"""
        return self.main.grid_fee_local_micro_per_kwh

    @property
    def grid_fee_remote_micro_per_kwh(self) -> int:
        """Grid fee of energy from outside. [micro/kWh]"""
        return self.main.grid_fee_remote_micro_per_kwh

    @property
    def buy_cap_micro_per_kwh(self) -> IntArray:
        """Per home, the local price at which buying inside costs, with fees, as much as outside. [micro/kWh]"""
        fees = self.grid_fee_remote_micro_per_kwh - self.grid_fee_local_micro_per_kwh
        return self.import_micro_per_kwh + fees

    def of(self, home: int) -> IntervalPrices:
        """The prices of one home."""
        return replace(
            self.main,
            import_micro_per_kwh=int(self.import_micro_per_kwh[home]),
            feed_in_micro_per_kwh=int(self.feed_in_micro_per_kwh[home]),
        )


AnyPrices = IntervalPrices | HomePrices
"""Outside prices of one interval: the same for all homes, or of each."""


@dataclass(frozen=True, slots=True, eq=False)
class OutsidePrices:
    """The outside prices of a run, one row per interval; the arrays become read-only.

    Args:
        import_micro_per_kwh: Import price, shape (T,). [micro/kWh]
        feed_in_micro_per_kwh: What the retailer pays, shape (T,). [micro/kWh]
        grid_fee_local_micro_per_kwh: Charged per kWh traded inside, at least 0. [micro/kWh]
        grid_fee_remote_micro_per_kwh: Charged per kWh imported from outside, at least 0. [micro/kWh]

    Raises:
        InvalidTariff: Columns of different length, or a negative fee.
    """

    import_micro_per_kwh: IntArray
    feed_in_micro_per_kwh: IntArray
    grid_fee_local_micro_per_kwh: int = 0
    grid_fee_remote_micro_per_kwh: int = 0

    def __post_init__(self) -> None:
        bought, sold = self.import_micro_per_kwh, self.feed_in_micro_per_kwh
        if bought.ndim != 1 or bought.shape != sold.shape:
            raise InvalidTariff(f"import prices of shape {bought.shape}, feed-in of shape {sold.shape}")
        if min(self.grid_fee_local_micro_per_kwh, self.grid_fee_remote_micro_per_kwh) < 0:
            raise InvalidTariff("a negative grid fee; a fee is at least 0")
        object.__setattr__(self, "import_micro_per_kwh", _frozen(bought))
        object.__setattr__(self, "feed_in_micro_per_kwh", _frozen(sold))

    def __len__(self) -> int:
        return len(self.import_micro_per_kwh)

    @property
    def buy_cap_micro_per_kwh(self) -> IntArray:
        """Per interval, the local price at which buying inside costs as much as outside. [micro/kWh]"""
        return _frozen(
            self.import_micro_per_kwh
            + (self.grid_fee_remote_micro_per_kwh - self.grid_fee_local_micro_per_kwh)
        )

    def at(self, t: int) -> IntervalPrices:
        """Return the prices of interval `t`, counted from 0.

        Raises:
            IndexError: No such interval; a negative `t` does not count from the end.
        """
        if not 0 <= t < len(self):
            raise IndexError(f"interval {t} of {len(self)}")
        return IntervalPrices(
            int(self.import_micro_per_kwh[t]),
            int(self.feed_in_micro_per_kwh[t]),
            self.grid_fee_local_micro_per_kwh,
            self.grid_fee_remote_micro_per_kwh,
        )


@dataclass(frozen=True, slots=True)
class Window:
    """A time of the week with a price of its own, on the local clock.

    Args:
        days: Weekdays on which the window starts, Monday is 0.
        from_minute: First minute of the day, 0..1439. [min]
        to_minute: First minute after it, 0..1440; before `from_minute` it lies on the next day. [min]
        import_micro_per_kwh: Price inside the window. [micro/kWh]
    """

    days: tuple[int, ...]
    from_minute: int
    to_minute: int
    import_micro_per_kwh: int

    def __post_init__(self) -> None:
        if not self.days or not set(self.days) <= set(range(7)):
            raise InvalidTariff(f"days {self.days}; a weekday is 0 (Monday) to 6 (Sunday)")
        if not (0 <= self.from_minute < MINUTES_PER_DAY and 0 <= self.to_minute <= MINUTES_PER_DAY):
            raise InvalidTariff("a window starts at 00:00 to 23:59 and ends at 00:00 to 24:00")
        if self.from_minute == self.to_minute:
            raise InvalidTariff("an empty window; for a whole day write from 00:00 to 24:00")

    @property
    def minutes_of_week(self) -> IntArray:
        """Every minute of the week inside the window, Monday 00:00 is 0."""
        length = (self.to_minute - self.from_minute) % MINUTES_PER_DAY or MINUTES_PER_DAY
        first = np.array(self.days, dtype=np.int64)[:, None] * MINUTES_PER_DAY + self.from_minute
        return ((first + np.arange(length, dtype=np.int64)) % MINUTES_PER_WEEK).ravel()


def parse_days(text: str) -> tuple[int, ...]:
    """Read "all", "mon-fri", "sat,sun" or "fri-mon" as weekdays, Monday is 0.

    Raises:
        InvalidTariff: Names the word that is not a weekday.
    """
    if text.strip().lower() == "all":
        return tuple(range(7))
    days: set[int] = set()
    for part in text.split(","):
        first, *rest = (_weekday(word, text) for word in part.split("-"))
        if len(rest) > 1:
            raise InvalidTariff(f"{part.strip()!r} is not a range of days; write mon-fri")
        last = rest[0] if rest else first
        days.update((first + step) % 7 for step in range((last - first) % 7 + 1))
    return tuple(sorted(days))


def _weekday(word: str, text: str) -> int:
    name = word.strip().lower()
    if name not in DAY_NAMES:
        raise InvalidTariff(
            f"no weekday {word.strip()!r} in {text!r}.{did_you_mean(name, DAY_NAMES)}"
            f" Known: {', '.join(DAY_NAMES)}, all."
        )
    return DAY_NAMES.index(name)


def parse_clock(text: str) -> int:
    """Read "07:00" as minutes since midnight; "24:00" is the end of the day. [min]

    Raises:
        InvalidTariff: Not a time of day.
    """
    found = re.fullmatch(r"([0-9]{2}):([0-9]{2})", text)
    minute = int(found[1]) * 60 + int(found[2]) if found else -1
    if found is None or int(found[2]) > 59 or minute > MINUTES_PER_DAY:
        raise InvalidTariff(f"{text!r} is not a time of day; write HH:MM between 00:00 and 24:00")
    return minute


def flat(price_micro_per_kwh: int, intervals: int) -> IntArray:
    """Give the same price to every interval. [micro/kWh]"""
    return _frozen(np.full(intervals, price_micro_per_kwh, dtype=np.int64))


def week_table(windows: Sequence[Window], default_micro_per_kwh: int | None) -> IntArray:
    """Price of each minute of the local week, Monday 00:00 first, shape (10080,). [micro/kWh]

    Raises:
        InvalidTariff: Windows overlap, or leave a minute without price; names the first such minute.
    """
    taken = np.zeros(MINUTES_PER_WEEK, dtype=np.int64)
    table = np.full(MINUTES_PER_WEEK, default_micro_per_kwh or 0, dtype=np.int64)
    for window in windows:
        minutes = window.minutes_of_week
        np.add.at(taken, minutes, 1)
        table[minutes] = window.import_micro_per_kwh
    twice = np.flatnonzero(taken > 1)
    if len(twice):
        raise InvalidTariff(f"two windows cover {_minute_name(int(twice[0]))}; windows must not overlap")
    never = np.flatnonzero(taken == 0)
    if len(never) and default_micro_per_kwh is None:
        raise InvalidTariff(
            f"no window covers {_minute_name(int(never[0]))};"
            " cover the whole week or give import_per_kwh as the price outside the windows"
        )
    return _frozen(table)


def _minute_name(minute_of_week: int) -> str:
    day, minute = divmod(minute_of_week, MINUTES_PER_DAY)
    return f"{DAY_NAMES[day]} {minute // 60:02d}:{minute % 60:02d}"


def time_of_use(
    windows: Sequence[Window],
    default_micro_per_kwh: int | None,
    start_s: int,
    minutes: int,
    intervals: int,
    zone: str,
) -> IntArray:
    """Price of each interval by the local wall clock at its start, daylight saving included. [micro/kWh]

    Args:
        windows: Without overlap.
        default_micro_per_kwh: Price outside the windows; None where they cover the week. [micro/kWh]
        start_s: Start of the first interval. [s since 1970 UTC]
        minutes: Length of an interval. [min]
        intervals: How many.
        zone: Name of the time zone, such as Europe/Berlin.

    Raises:
        InvalidTariff: Overlap, a gap, or a price that changes in the middle of an interval.
    """
    table = week_table(windows, default_micro_per_kwh)
    utc_s = start_s + np.arange(intervals, dtype=np.int64) * (minutes * 60)
    local_minute = (utc_s + _utc_offset_s(utc_s, ZoneInfo(zone))) // 60
    minute_of_week = (local_minute + _EPOCH_MINUTE_OF_WEEK) % MINUTES_PER_WEEK
    change = np.flatnonzero(table != np.roll(table, 1))
    # A zone like Asia/Kathmandu (+05:45) shifts whole hours against the clock: ask every phase that occurs.
    for phase in np.unique(minute_of_week % minutes).tolist():
        inside = change[(change - phase) % minutes != 0]
        if len(inside):
            raise InvalidTariff(
                f"the price changes at {_minute_name(int(inside[0]))}, in the middle of a {minutes}-minute"
                f" interval in {zone}; move the window or use shorter intervals"
            )
    return _frozen(table[minute_of_week])


def _utc_offset_s(utc_s: IntArray, zone: ZoneInfo) -> IntArray:
    """Offset of local time at each of the ascending instants, by bisection between clock changes. [s]"""
    offset_s = np.empty(len(utc_s), dtype=np.int64)

    def ask(row: int) -> int:
        delta = datetime.fromtimestamp(int(utc_s[row]), UTC).astimezone(zone).utcoffset()
        assert delta is not None
        return round(delta.total_seconds())

    def fill(first: int, last: int, at_first: int, at_last: int) -> None:
        # No zone changes its clock and changes it back within a day, so equal ends of a day will do.
        if last == first or (at_first == at_last and utc_s[last] - utc_s[first] <= 86_400):
            offset_s[first : last + 1] = at_first
            offset_s[last] = at_last
            return
        if last - first == 1:
            offset_s[first], offset_s[last] = at_first, at_last
            return
        middle = (first + last) // 2
        at_middle = ask(middle)
        fill(first, middle, at_first, at_middle)
        fill(middle, last, at_middle, at_last)

    if len(utc_s):
        fill(0, len(utc_s) - 1, ask(0), ask(len(utc_s) - 1))
    return offset_s


def series(
    start_s: int, minutes: int, values: IntArray, run_start_s: int, run_minutes: int, intervals: int
) -> IntArray:
    """Lay a price series over the intervals of a run; a longer price is repeated. [micro/kWh]

    A finer series is refused: which average is right depends on when the energy flows.

    Args:
        start_s: Start of the first price. [s since 1970 UTC]
        minutes: How long each price holds. [min]
        values: The prices, without a gap. [micro/kWh]
        run_start_s: Start of the run. [s since 1970 UTC]
        run_minutes: Length of an interval of the run. [min]
        intervals: How many.

    Raises:
        InvalidTariff: Names the first instant without a price, or says why the steps do not fit.
    """
    if minutes < run_minutes:
        raise InvalidTariff(
            f"prices of {minutes} minutes for intervals of {run_minutes} minutes;"
            f" use {minutes}-minute intervals or average the prices first"
        )
    if minutes % run_minutes or (run_start_s - start_s) % (run_minutes * 60):
        raise InvalidTariff(
            f"prices of {minutes} minutes from {_instant(start_s)} do not line up with {run_minutes}-minute"
            f" intervals from {_instant(run_start_s)}"
        )
    end_s, run_end_s = start_s + len(values) * minutes * 60, run_start_s + intervals * run_minutes * 60
    if intervals and (run_start_s < start_s or run_end_s > end_s):
        missing_s = run_start_s if run_start_s < start_s else max(run_start_s, end_s)
        raise InvalidTariff(
            f"no price for {_instant(missing_s)}; the prices run from {_instant(start_s)} to"
            f" {_instant(end_s)}, the run from {_instant(run_start_s)} to {_instant(run_end_s)}"
        )
    utc_s = run_start_s + np.arange(intervals, dtype=np.int64) * (run_minutes * 60)
    return _frozen(np.asarray(values, dtype=np.int64)[(utc_s - start_s) // (minutes * 60)])


def _instant(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%MZ")


def _frozen(column: IntArray) -> IntArray:
    own = np.array(column, dtype=np.int64)
    own.flags.writeable = False
    return own
