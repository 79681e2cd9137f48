"""What a store or a meter file holds: numbers of each home, and a picture of its days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wattswap.cli._data_options import FormatOption, HomeOption
from wattswap.cli.options import JsonOption, ModuleOption, WideOption, import_modules

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from data.store.checks import Checked
    from data.store.facts import Facts
    from data.store.series import HomeSeries

MOST_ROWS = 31
"""Days that are drawn one by one; more of them are drawn by weeks, and more weeks by months."""
MOST_HOMES = 12
"""Homes of a page, of which each has its picture; others are named."""
BLOCKS = " ░▒▓█"
UNREAD = "·"
KEPT = (
    "import kWh",
    "export kWh",
    "pv kWh",
    "read %",
    "peak kW",
    "base W",
    "gaps",
    "days",
    "min",
    "estimated %",
)
"""Columns that stay longest where the screen is narrow."""
COLUMNS = 48
"""Half hours of a day, which fit 80 letters beside the name of the day."""


def show(
    path: Annotated[Path, typer.Argument(help="A store, or a meter file.", metavar="STORE|FILE")],
    home: HomeOption = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", help="Write the same as a page that needs no network.", metavar="FILE"),
    ] = None,
    format: FormatOption = None,
    zone: Annotated[
        str | None, typer.Option("--zone", help="Time zone of local stamps, and of the times that are shown.")
    ] = None,
    module: ModuleOption = None,
    wide: WideOption = False,
    json: JsonOption = False,
) -> None:
    """Show what each home holds: span, energy, coverage, peak and base load, and its days as a heat map."""
    from data import clock
    from data.store.facts import facts_of
    from data.store.read import is_store, read_store
    from wattswap.cli.output import note, print_json

    import_modules(module)
    if is_store(path):
        content = read_store(path, home)
        series, zone = list(content.series), zone or content.manifest.zone
    else:
        series, zone = _of_file(path, format, zone, home)
    info = clock.zone_named(zone) if zone else None
    facts = [facts_of(one) for one in series]
    if html is not None:
        from wattswap.report.of_meters import write_meters

        write_meters(html, path.name, series[:MOST_HOMES], facts, zone)
    if json:
        page = None if html is None else str(html)
        print_json({"path": str(path), "zone": zone, "homes": [as_json(one) for one in facts], "html": page})
        return
    print_facts_of(path.name, facts, zone, wide=wide)
    if len(series) == 1:
        _print_pictures(series[0], info, zone)
    else:
        note("Add --home NAME for the picture of one home.")
    if html is not None:
        more = f", of the first {MOST_HOMES} homes" if len(series) > MOST_HOMES else ""
        note(f"Page in {html}{more}")


def _of_file(
    path: Path, format: str | None, zone: str | None, homes: list[str] | None
) -> tuple[list[HomeSeries], str | None]:
    from data import formats
    from data.store.series import series_of

    data = formats.load(path, format=format, zone=zone)
    chosen = data if homes is None else data.select(homes)
    return series_of(chosen), zone or data.source.answers.get("zone")


def as_json(one: Facts) -> dict[str, Any]:
    """The numbers of a home, with instants in ISO 8601 UTC."""
    from data.clock import iso_utc

    found = asdict(one) | {"coverage": one.coverage}
    for name in ("start_s", "end_s", "longest_gap_s", "peak_s"):
        value = found.pop(name)
        found[name.removesuffix("_s")] = None if value is None else iso_utc(value)
    found["longest_gap"] = one.longest_gap
    found["longest_gap_start"] = None if one.longest_gap_s is None else iso_utc(one.longest_gap_s)
    return found


def print_facts_of(name: str, facts: Sequence[Facts], zone: str | None, *, wide: bool) -> None:
    """Print the numbers of homes: of one below each other, of several as a table."""
    import pandas as pd

    from market.errors import counted
    from wattswap.cli._data_words import moment_of, span, table_of
    from wattswap.cli.output import print_facts

    if len(facts) == 1:
        one = facts[0]
        lines: dict[str, Any] = {
            "home": one.home,
            "span": span(one.start_s, one.end_s, zone),
            "step": f"{one.minutes} min",
            **{f"{channel} kWh": f"{wh / 1000:,.3f}" for channel, wh in one.energy_wh.items()},
            "coverage": f"{100 * one.coverage:.2f} %",
            "estimated": f"{100 * one.estimated / one.intervals:.2f} %",
            "gaps": _gaps(one, zone),
            "peak": f"{one.peak_w / 1000:.2f} kW"
            + (f", {moment_of(one.peak_s, zone)}" if one.peak_s else ""),
            "base load": "-, its production is not metered" if one.base_w is None else f"{one.base_w} W",
        }
        print_facts(lines)
        return
    rows = pd.DataFrame(
        {
            one.home: {
                "min": one.minutes,
                "days": f"{one.intervals * one.minutes / 1440:.1f}",
                **{f"{channel} kWh": f"{wh / 1000:.1f}" for channel, wh in one.energy_wh.items()},
                "read %": f"{100 * one.coverage:.2f}",
                "estimated %": f"{100 * one.estimated / one.intervals:.2f}",
                "gaps": one.gaps,
                "peak kW": f"{one.peak_w / 1000:.2f}",
                "base W": one.base_w,
            }
            for one in facts
        }
    ).T
    rows.index.name = "home"
    first, last = min(one.start_s for one in facts), max(one.end_s for one in facts)
    table_of(f"{name}: {counted(len(facts), 'home')}, {span(first, last, zone)}", rows, KEPT, wide=wide)


def _gaps(one: Facts, zone: str | None) -> str:
    from market.errors import counted
    from wattswap.cli._data_words import moment_of

    if one.longest_gap_s is None:
        return "none"
    since = moment_of(one.longest_gap_s, zone)
    return f"{one.gaps} of {counted(one.missing, 'interval')}; the longest of {one.longest_gap} from {since}"


def print_checked(name: str, checked: Checked) -> None:
    """Print coverage and gaps of each home of a store, below its report."""
    report, facts = checked
    print()
    print_facts_of(name, facts, report.local_zone, wide=True)


def _print_pictures(series: HomeSeries, info: ZoneInfo | None, zone: str | None) -> None:
    for channel in ("import", "export", "pv"):
        if series.total_wh(channel):
            print()
            for line in picture_lines(series, channel, info, zone):
                print(line)


def picture_lines(series: HomeSeries, channel: str, info: ZoneInfo | None, zone: str | None) -> list[str]:
    """A heat map of days against the time of day, in blocks: 61 letters wide."""
    import numpy as np

    from data.store.facts import picture

    drawn = picture(series, channel, info)
    power, labels, each = _rows(drawn.power_w, drawn.first_day)
    power = _columns(power)
    read = power[~np.isnan(power)]
    top = float(np.quantile(read, 0.98)) or float(read.max())
    heads = "".join(f"{hour:02d}:00".ljust(COLUMNS // 6) for hour in range(0, 24, 4))
    lines = [f"{channel}, mean power by {each} and time of day ({zone or 'UTC'})", f"{'':13}{heads}".rstrip()]
    for label, row in zip(labels, power, strict=True):
        cells = "".join(
            UNREAD
            if value != value
            else BLOCKS[min(len(BLOCKS) - 1, int(value / top * (len(BLOCKS) - 1) + 0.5))]
            for value in row.tolist()
        )
        lines.append(f"{label:<13}{cells}".rstrip())
    steps = [
        f"{block} {top * place / (len(BLOCKS) - 1) / 1000:.2f}" for place, block in enumerate(BLOCKS) if place
    ]
    lines.append(f"{'':13}{'  '.join(steps)} kW; {UNREAD} not read")
    return lines


def _rows(power: Any, first_day: int) -> tuple[Any, list[str], str]:
    """Days, or means of weeks or of months where there are too many."""
    import numpy as np

    days = np.datetime64(first_day, "D") + np.arange(len(power))
    dates = days.astype(object)
    if len(days) <= MOST_ROWS:
        return power, [f"{date:%a %d %b}" for date in dates], "day"
    if len(days) <= 7 * 54:
        key, each = [date.strftime("%G week %V") for date in dates], "week"
    else:
        key, each = [f"{date:%b %Y}" for date in dates], "month"
    labels = list(dict.fromkeys(key))
    groups = np.array([labels.index(one) for one in key])
    return np.stack([_mean(power[groups == number]) for number in range(len(labels))]), labels, each


def _columns(power: Any) -> Any:
    """Half hours."""
    import numpy as np

    slots = power.shape[1]
    if slots >= COLUMNS:
        return np.stack([_mean(part.T) for part in np.split(power, COLUMNS, axis=1)], axis=1)
    return np.repeat(power, COLUMNS // slots, axis=1)


def _mean(rows: Any) -> Any:
    """The mean of rows, without those that were not read."""
    import numpy as np

    count = (~np.isnan(rows)).sum(axis=0)
    total = np.nansum(rows, axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
