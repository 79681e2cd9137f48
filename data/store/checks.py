"""The checks of a file on what a store holds, by time and not line; those of its homes against each other; coverage."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from data import clock
from data.findings import Finding, errors_of
from data.formats import CheckReport
from data.intake.checks import check as check_data
from data.intake.place import Cells, Placed
from data.intake.raw import Channel, Hints, IntakeLog, Numbers, exact_stamps
from data.intake.rows import Rows
from data.readings import ESTIMATED, MISSING, MeterData
from data.store.facts import Facts, facts_of
from data.store.neighbours import check_neighbours
from data.store.pv_sizes import check_sizes
from data.store.read import FORMAT, Content, meter_data_of, read_store, source_of
from data.store.series import GRID, HomeSeries, on_one_grid

Checked = tuple[CheckReport, tuple[Facts, ...]]


def check_store(path: Path, hints: Hints) -> Checked:
    """Check a store as a file is checked, and its homes against each other; coverage and gaps are in the facts of each.

    Raises:
        NoStore, NewerStore, DamagedStore: As their names say.
    """
    # What a store holds is energy: counters were differenced when they were imported.
    hints = replace(hints, kind="energy")
    content = read_store(path)
    zone_name = hints.zone or content.manifest.zone
    zone = clock.zone_named(zone_name) if zone_name else None
    data = meter_data_of(content)
    facts = tuple(facts_of(one) for one in content.series)
    findings, apart = _findings(content, hints, zone), check_neighbours(data, zone)
    scales = check_sizes(data, {name: home.pv_w for name, home in content.manifest.homes.items()})
    rows = sum(part.rows for part in content.manifest.parts)
    report = CheckReport(
        format=FORMAT,
        unit="Wh per interval",
        zone=zone_name or "UTC",
        local_zone=zone_name,
        minutes=data.minutes,
        first=clock.iso_utc(data.start_s),
        last=clock.iso_utc(data.end_s - data.minutes * 60),
        households=data.households,
        rows=rows,
        findings=(*findings, *apart[0], *scales[0]),
        estimated_share=_share(content, ESTIMATED),
        missing_share=_share(content, MISSING),
        notes=(*data.source.notes, *apart[1], *scales[1]),
    )
    return report, facts


def _share(content: Content, flag: int) -> float:
    """Share of the intervals of all homes, each in its own span, 0..1."""
    total = sum(one.intervals for one in content.series)
    return sum(int((one.quality == flag).sum()) for one in content.series) / total


def _findings(content: Content, hints: Hints, zone: ZoneInfo | None) -> tuple[Finding, ...]:
    """The findings of each home in its own step and span."""
    found: list[Finding] = []
    for one in content.series:
        log = IntakeLog()
        data = on_one_grid([one], source_of(content.manifest), {})
        check_data(data, _as_placed(one, data, zone), hints, log)
        found += [_by_time(finding, one, zone) for finding in log.findings()]
    return (*errors_of(found), *(one for one in found if one.severity == "warning"))


def _as_placed(series: HomeSeries, data: MeterData, zone: ZoneInfo | None) -> Placed:
    """The readings of a home as rows of a file, of which the line is the number of the interval from 1."""
    read = np.flatnonzero(series.quality != MISSING)
    values = {
        Channel(name, "Wh", label=f"{name}_wh"): Numbers(
            series.energy[name][read].astype(np.float64), np.zeros(len(read), dtype=np.bool_)
        )
        for name in series.energy
        if name in GRID or name == "pv"
    }
    rows = Rows(
        line=read + 1,
        stamp=exact_stamps(series.time_s[read]),
        home=np.zeros(len(read), dtype=np.int64),
        homes=[series.home],
        values=values,
        quality=series.quality[read],
        ends=False,
        revision=None,
    )
    cells = (Cells(rows, np.arange(len(read)), read),)
    return Placed(data.start_s, data.minutes, data.intervals, data.households, cells, zone, (data.minutes,))


def _by_time(finding: Finding, series: HomeSeries, zone: ZoneInfo | None) -> Finding:
    """A finding of an interval with its time instead of a line, which a store does not have."""
    if finding.line is None:
        return finding
    when = clock.shown(series.start_s + (finding.line - 1) * series.step_s, zone)
    told = finding.message if finding.code == "gap" else f"{when}: {finding.message}"
    return replace(finding, line=None, message=told)
