"""Totals of whole local days, weeks or months spread over their hours by a profile that the user states."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np

from data import clock
from data.intake.claims import Question
from data.intake.profile import Profile
from data.intake.raw import UNITS, Channel, FloatArray, IntakeLog, Numbers, exact_stamps
from data.intake.times import Timed
from data.readings import ESTIMATED, MISSING
from market.units import BoolArray, IntArray

HOUR_S, DAY_S = 3600, 86_400
MICRO = 10**6
SHORTEST_MONTH_DAYS = 28
GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True, slots=True, eq=False)
class _Parts:
    """The intervals of rows, each of one total.

    Args:
        of: Place of the total among the rows that count.
        start: Start of each interval, UTC. [s since 1970]
        shares: For each period of local days the places of its totals, and shares of its intervals, with the sum 1.
    """

    of: IntArray
    start: IntArray
    shares: list[tuple[IntArray, FloatArray]]


def spread(table: Timed, zone: ZoneInfo | None, profile: Profile, log: IntakeLog) -> Timed | None:
    """Spread totals over the intervals of their local days, every one marked as estimated.

    The energy of a total is kept exactly: whole Wh by largest remainders, and what is below one Wh in the interval of
    the largest weight.

    Args:
        table: Rows by home and time.
        zone: Zone whose days they are of.
        profile: Weights by local time of day.
        log: Where findings go.

    Returns:
        Rows of intervals; the table itself where its rows are of an hour or less; None after an error.
    """
    if not _is_coarse(table):
        return table
    if not _may_be_spread(table, log):
        return None
    if zone is None:
        asks = "the totals are of local days; name their time zone, e.g. Europe/Berlin"
        log.ask(Question("--zone", asks), "zone_needed", int(table.rows.line[table.row[0]]))
        return None
    days = _days(table, zone, log)
    if days is None:
        return None
    parts = _parts(days, zone, profile, table, log)
    if parts is None:
        return None
    log.answers["profile"] = str(profile)
    shape = "evenly" if len(profile.weights) == 1 else f"by {len(profile.weights)} weights"
    note = f"totals of days or longer are spread {shape} over their local days (--profile): estimated"
    log.notes += [note] if note not in log.notes else []
    return _spread(table, parts, profile.minutes)


def _is_coarse(table: Timed) -> bool:
    """Whether rows are of more than an hour: as the file states, or as most of its stamps are apart."""
    if table.rows.minutes is not None:
        return bool((table.rows.minutes[table.row] > 60).any())
    step = np.diff(table.utc)[np.diff(table.home) == 0]
    lengths, count = np.unique(step, return_counts=True)
    return bool(len(lengths)) and int(lengths[np.argmax(count)]) > HOUR_S


def _may_be_spread(table: Timed, log: IntakeLog) -> bool:
    """Refuse what is no energy of a stretch of time."""
    line = int(table.rows.line[table.row[0]])
    for channel in table.rows.values:
        if channel.kind == "counter":
            says = f"{channel} is a counter read once a day or less; a profile spreads totals: give the usage"
            log.add("error", "too_coarse", says, line=line)
        elif UNITS[channel.unit][1]:
            says = f"{channel} is power ({channel.unit}) of a day or more, a peak or a mean; no profile spreads it"
            log.add("error", "too_coarse", f"{says}: give energy", line=line)
    return all(c.kind != "counter" and not UNITS[c.unit][1] for c in table.rows.values)


def _report(table: Timed, wrong: BoolArray, code: str, says: str, log: IntakeLog) -> bool:
    """Report rows by line; whether there are any."""
    rows = table.rows
    described = rows.describe(lambda row: f"{rows.stamp.text(row)} {says}")
    log.add_rows("error", code, np.sort(table.row[wrong]), described)
    return bool(wrong.any())


def _days(table: Timed, zone: ZoneInfo, log: IntakeLog) -> tuple[IntArray, IntArray] | None:
    """First day of each total and the day after its last, since 1970 on the local clock; None after an error."""
    local = clock.local_of_utc(table.utc, zone)
    says = f"is not 00:00 in {zone.key}, where a total of whole days begins and ends; check the zone"
    if _report(table, local % DAY_S != 0, "off_grid", says, log):
        return None
    day = local // DAY_S
    found = _stated(table, day, zone, log) if table.rows.minutes is not None else _found(table, day, log)
    if found is None:
        return None
    begin, end = found
    overlaps = np.zeros(len(begin), dtype=np.bool_)
    overlaps[1:] = (np.diff(table.home) == 0) & (begin[1:] < end[:-1])
    says = "begins before the total before it ends; correct the lengths"
    if _report(table, overlaps, "interval_length", says, log):
        return None
    gap = (begin[1:] - end[:-1])[np.diff(table.home) == 0]
    if len(gap) and 2 * (gap == 1).sum() > len(gap):
        line = int(table.rows.line[table.row[0]])
        says = (
            "most totals end a day before the next begins: whether that day is in them the file does not say"
        )
        log.add("error", "interval_length", f"{says}; write the end as the start of the next", line=line)
        return None
    return found


def _stated(table: Timed, day: IntArray, zone: ZoneInfo, log: IntakeLog) -> tuple[IntArray, IntArray] | None:
    """Days of totals whose length the file states: the true one, or days of 24 hours."""
    assert table.rows.minutes is not None
    minutes = table.rows.minutes[table.row]
    sign = -1 if table.rows.ends else 1
    exact = clock.local_of_utc(table.utc + sign * minutes * 60, zone)
    nominal = minutes % 1440 == 0
    other = np.where(nominal, day + sign * (minutes // 1440), exact // DAY_S)
    wrong = (~nominal & (exact % DAY_S != 0)) | (minutes < 60 * 12)
    says = "is of no whole local days, as a profile needs, though others in the file are totals"
    if _report(table, wrong, "too_coarse", says, log):
        return None
    return (other, day) if table.rows.ends else (day, other)


def _found(table: Timed, day: IntArray, log: IntakeLog) -> tuple[IntArray, IntArray] | None:
    """Days of totals whose length follows from their stamps: all of one day, or week, or calendar month."""
    own = np.diff(table.home) == 0
    step = np.diff(day)
    lengths, count = np.unique(step[own], return_counts=True)
    usual = int(lengths[np.argmax(count)])
    date = day.astype("datetime64[D]")
    month = date.astype("datetime64[M]")
    first = date == month.astype("datetime64[D]")
    changed = np.zeros(len(day), dtype=np.bool_)
    if usual >= SHORTEST_MONTH_DAYS and first.all():
        ahead = (month + (-1 if table.rows.ends else 1)).astype("datetime64[D]").astype(np.int64)
        return (ahead, day) if table.rows.ends else (day, ahead)
    if usual not in (1, 7):
        says = f"one total in {usual} days: a profile spreads totals of days, weeks or calendar months"
        log.add("error", "too_coarse", f"{says}; give such", line=int(table.rows.line[table.row[0]]))
        return None
    # A gap is one longer step. Several in a row, or a calendar month, may be totals of another length.
    longer = own & (step != usual)
    changed[1:] = (own & (step % usual != 0)) | (longer & first[:-1] & first[1:])
    changed[2:] |= longer[1:] & longer[:-1]
    says = f"comes not {usual} days after the total before it: the length of totals may change here"
    if _report(table, changed, "too_coarse", f"{says}; import each part by itself, days without gaps", log):
        return None
    return (day - usual, day) if table.rows.ends else (day, day + usual)


def _parts(
    days: tuple[IntArray, IntArray], zone: ZoneInfo, profile: Profile, table: Timed, log: IntakeLog
) -> _Parts | None:
    """Intervals of each total with their shares; totals of the same days have the same."""
    begin, end = (clock.local_clock(one * DAY_S, zone) for one in days)
    odd = ~begin.exists | ~end.exists
    says = f"has no 00:00 in {zone.key} on one of its ends, as clocks change there; no profile spreads it"
    if _report(table, odd, "impossible_time", says, log):
        return None
    weights = np.array([float(Decimal(text)) for text in profile.weights])
    step_s = profile.minutes * 60
    pairs, which = np.unique(np.stack([begin.first_utc_s, end.first_utc_s]), axis=1, return_inverse=True)
    which = which.ravel()
    of, start, shares = [], [], []
    for number, (first, last) in enumerate(pairs.T.tolist()):
        mine = which == number
        totals = np.flatnonzero(mine)
        starts = np.arange(first, last, step_s, dtype=np.int64)
        weight = weights[clock.local_of_utc(starts, zone) % DAY_S // (profile.step_minutes * 60)]
        if (last - first) % step_s:
            says = f"is of {(last - first) / HOUR_S:g} hours, which intervals of {profile.minutes} minutes do not fill"
            _report(table, mine, "interval_length", f"{says}; give a profile of finer steps", log)
            return None
        if not weight.sum() > 0:
            says = "is of hours whose weights are all 0; give a profile with more"
            _report(table, mine, "interval_length", says, log)
            return None
        of.append(np.repeat(totals, len(starts)))
        start.append(np.tile(starts, len(totals)))
        shares.append((totals, weight / weight.sum()))
    return _Parts(np.concatenate(of), np.concatenate(start), shares)


def _spread(table: Timed, parts: _Parts, minutes: int) -> Timed:
    """Rows of intervals, by home and time."""
    rows = table.rows
    source = table.row[parts.of]
    order = np.lexsort((parts.start, rows.home[source]))
    source, start = source[order], parts.start[order]
    values = {
        channel: Numbers(_amounts(table, channel, column, parts)[order], column.empty[source])
        for channel, column in rows.values.items()
    }
    quality = np.full(len(source), ESTIMATED, dtype=np.uint8)
    if rows.quality is not None:
        quality[rows.quality[source] == MISSING] = MISSING
    made = replace(
        rows,
        line=rows.line[source],
        stamp=exact_stamps(start),
        home=rows.home[source],
        values=values,
        quality=quality,
        ends=False,
        revision=None,
        minutes=np.full(len(source), minutes, dtype=np.int64),
    )
    return Timed(made, np.arange(len(source)), start, table.unknown)


def _amounts(table: Timed, channel: Channel, column: Numbers, parts: _Parts) -> FloatArray:
    """Energy of each interval in the unit of a channel; NaN stays NaN."""
    per_unit = UNITS[channel.unit][0]
    given = column.values[table.row]
    micro = np.rint(np.nan_to_num(given) * per_unit).astype(np.int64)
    spread_ = [shared(micro[totals], share).ravel() for totals, share in parts.shares]
    amounts = np.concatenate(spread_) / per_unit
    return np.where(np.isnan(given)[parts.of], np.nan, amounts)


def shared(micro: IntArray, share: FloatArray) -> IntArray:
    """Share out totals in whole Wh by largest remainders, those of one size far from each other.

    Args:
        micro: Totals, shape (N,). [micro-Wh]
        share: Of each interval, shape (M,), with the sum 1.

    Returns:
        Shape (N, M), whose rows have the totals as their sums. [micro-Wh]
    """
    sign = np.sign(micro)[:, None]
    whole, rest = np.divmod(np.abs(micro), MICRO)
    quota = whole[:, None] * share
    wh = np.floor(quota).astype(np.int64)
    lacking = whole - wh.sum(axis=1)
    remainder = np.round(quota - wh, 9)
    apart = np.broadcast_to(np.arange(len(share)) * GOLDEN % 1, remainder.shape)
    rank = np.argsort(np.lexsort((apart, -remainder)), axis=1)
    wh += rank < lacking[:, None]
    amount = wh * MICRO
    amount[:, int(np.argmax(share))] += rest + (whole - wh.sum(axis=1)) * MICRO
    return np.asarray(sign * amount, dtype=np.int64)
