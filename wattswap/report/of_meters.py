"""A page about meter data: the numbers of each home, and its days as heat maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from data import clock
from data.store.facts import Facts, picture
from data.store.series import HomeSeries
from p2p.files import write_new
from wattswap.errors import AlreadyExists
from wattswap.report.drawing import new_figure
from wattswap.report.page import Section, figure, page, paragraph, table
from wattswap.report.words import number
from wattswap.scenario.basis import moment

if TYPE_CHECKING:
    import plotly.graph_objects as go

CHANNELS = {"import": "Drawn from the grid", "export": "Given to the grid", "pv": "Made on the roof"}
SCALE = [[0.0, "rgba(138,138,138,.08)"], [0.25, "#9ecae9"], [0.6, "#0b66b0"], [1.0, "#08306b"]]


def write_meters(
    path: Path, name: str, series: Sequence[HomeSeries], facts: Sequence[Facts], zone: str | None
) -> Path:
    """Write the page; every home of `series` has its pictures, every home of `facts` its numbers.

    Raises:
        AlreadyExists: The file exists.
    """
    if path.exists():
        raise AlreadyExists.of(str(path), "exists already", "name another file with --html")
    write_new(path, html_of(name, series, facts, zone).encode())
    return path


def html_of(name: str, series: Sequence[HomeSeries], facts: Sequence[Facts], zone: str | None) -> str:
    """The page as text."""
    from wattswap.installation import VERSION

    first, last = min(one.start_s for one in facts), max(one.end_s for one in facts)
    shown = zone or "UTC"
    about = (
        f"Meter data of {len(facts)} home{'' if len(facts) == 1 else 's'}, from {_moment(first, shown)} to"
        f" {_moment(last, shown)} ({shown}). Times are local to {shown}."
    )
    parts = [_numbers(facts, shown), *(_pictures(i, one, zone) for i, one in enumerate(series, 1))]
    return page(f"Meter data: {name}", about, [part.rendered() for part in parts], VERSION)


def _moment(seconds: int, zone: str) -> str:
    return moment(clock.iso_utc(seconds), zone)


def _numbers(facts: Sequence[Facts], zone: str) -> Section:
    import pandas as pd

    lacking = sum(one.missing for one in facts) / sum(one.intervals for one in facts)
    drawn = sum(one.energy_wh.get("import", 0) for one in facts) / 1000
    share = number(100 * (1 - lacking))
    answer = f"{number(drawn)} kWh were drawn from the grid; {share} % of all intervals have a reading."
    rows = pd.DataFrame(
        {
            one.home: {
                "from": _moment(one.start_s, zone),
                "to": _moment(one.end_s, zone),
                "step in min": one.minutes,
                **{f"{channel} in kWh": wh / 1000 for channel, wh in one.energy_wh.items()},
                "read in %": 100 * one.coverage,
                "estimated in %": 100 * one.estimated / one.intervals,
                "peak in kW": one.peak_w / 1000,
                "base load in W": one.base_w,
            }
            for one in facts
        }
    ).T
    rows.index.name = "home"
    why = "How much of the time was read, and how large the energy is, before anything is computed from it."
    return Section("verdict", "Numbers", why, paragraph(answer) + table("Numbers of each home.", rows), {})


def _pictures(place: int, one: HomeSeries, zone: str | None) -> Section:
    figures: dict[str, go.Figure] = {}
    body = []
    for channel, title in CHANNELS.items():
        if not one.total_wh(channel):
            continue
        drawn, html = _heat_map(f"home-{place}-{channel}", one, channel, title, zone)
        figures[f"home-{place}-{channel}"] = drawn
        body.append(html)
    if not body:
        body = [paragraph("This home has no energy in its readings.")]
    why = "What a day looks like, and which days have no reading: those are empty."
    return Section(f"home-{place}", one.home, why, "\n".join(body), figures)


def _heat_map(
    name: str, one: HomeSeries, channel: str, title: str, zone: str | None
) -> tuple[go.Figure, str]:
    import numpy as np
    import pandas as pd
    import plotly.graph_objects as go

    shown = picture(one, channel, clock.zone_named(zone) if zone else None)
    days = (np.datetime64(shown.first_day, "D") + np.arange(len(shown.power_w))).astype(str).tolist()
    slots = [f"{at // 60:02d}:{at % 60:02d}" for at in range(0, 1_440, shown.minutes)]
    kw = np.round(shown.power_w / 1000, 3)
    cells = [[None if value != value else value for value in row] for row in kw.tolist()]
    drawn = new_figure("Time of day", "", max(220, min(760, 40 + 6 * len(days))))
    drawn.add_trace(
        go.Heatmap(
            z=cells,
            x=slots,
            y=days,
            colorscale=SCALE,
            colorbar={"title": {"text": "kW"}},
            hovertemplate="%{y} %{x}: %{z} kW<extra></extra>",
        )
    )
    drawn.update_yaxes(autorange="reversed")
    caption = f"{title}: mean power in kW by day and time of day ({zone or 'UTC'})."
    beside = pd.DataFrame(cells, index=pd.Index(days, name="day"), columns=slots)
    return drawn, figure(name, f"{caption} {one.home}.", caption, beside)
