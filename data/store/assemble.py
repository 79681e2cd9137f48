"""Homes of several stores in one, cut to the time that all of them have, with what their owner says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data.clock import shown, zone_named
from data.readings import BatterySpec, Known, home_id
from data.store.errors import Mismatch
from data.store.manifest import Home, Manifest, Origin
from data.store.read import Content, read_store
from data.store.resample import known_on
from data.store.series import HomeSeries
from data.store.write import making, refuse_taken, rows_of_all

EFFICIENCY_PPM = 950_000
"""Of a battery of which only the size is given, each way: 0.95 in, 0.95 out."""


@dataclass(frozen=True, slots=True)
class Said:
    """What an owner states of homes, by their names in the new store.

    Args:
        names: Name of a home in the new store, by its name, or by STORE/NAME where several stores have it.
        nodes: Node of a grid.
        pv_w: Peak power of a generator. [W]
        batteries: What they own.
    """

    names: Mapping[str, str]
    nodes: Mapping[str, str]
    pv_w: Mapping[str, int]
    batteries: Mapping[str, BatterySpec]


@dataclass(frozen=True, slots=True, eq=False)
class Assembled:
    """Homes of several stores.

    Args:
        homes: What is known of each.
        series: Their readings, all of one window; each in its own step.
        sources: The files they come from.
        zone: Zone in which people read times.
        cut: Intervals of each home that lie outside of the common window.
        known: Energy that counters show over gaps inside of it.
    """

    homes: tuple[Home, ...]
    series: tuple[HomeSeries, ...]
    sources: tuple[Origin, ...]
    zone: str | None
    cut: Mapping[str, int]
    known: tuple[Known, ...] = ()


def assembled(paths: Sequence[Path], said: Said) -> Assembled:
    """Take all homes of some stores, repairs included, in the time that all of them have.

    Raises:
        Mismatch: Two homes have one name, names fit nothing, or there is no such time; all at once.
        NoStore, NewerStore, DamagedStore: As their names say.
    """
    contents = [(path, read_store(path)) for path in paths]
    problems: list[str] = []
    homes, series, known = _renamed(contents, said, problems)
    homes = [_with_said(home, said) for home in homes]
    names = {home.name for home in homes}
    for option, given in (("--node", said.nodes), ("--pv", said.pv_w), ("--battery", said.batteries)):
        problems += [
            f"{option} {name}: there is no such home" for name in given if home_id(name) not in names
        ]
    if not series:
        problems.append("the stores have no readings")
    if problems:
        raise Mismatch(problems, "correct the names; homes are called as in their stores, or as --map says")
    zone = next((content.manifest.zone for _, content in contents if content.manifest.zone), None)
    start_s, end_s = common_window(series, zone)
    cut = [one.cut(start_s, end_s) for one in series]
    return Assembled(
        homes=tuple(homes),
        series=tuple(cut),
        sources=tuple(origin for _, content in contents for origin in _origins(content.manifest, said)),
        zone=zone,
        cut={one.home: one.intervals - kept.intervals for one, kept in zip(series, cut, strict=True)},
        known=tuple(one for kept in cut for one in known_on(kept, known)),
    )


def _renamed(
    contents: Sequence[tuple[Path, Content]], said: Said, problems: list[str]
) -> tuple[list[Home], list[HomeSeries], list[Known]]:
    homes, series, known, unused = [], [], [], set(said.names)
    owner: dict[str, Path] = {}
    for path, content in contents:
        for name, home in content.manifest.homes.items():
            one = content.one(name)
            key = next((key for key in (f"{path.name}/{name}", name) if key in said.names), None)
            unused.discard(key or "")
            new = home_id(said.names[key]) if key is not None else name
            if new in owner:
                problems.append(
                    f"{owner[new]} and {path} both have a home {new}: say --map {path.name}/{name}=NAME"
                )
                continue
            owner[new] = path
            if one is not None:
                homes.append(replace(home, name=new))
                series.append(replace(one, home=new))
                known += [replace(total, home=new) for total in content.manifest.known if total.home == name]
    problems += [f"--map {key}={said.names[key]}: there is no such home" for key in sorted(unused)]
    return homes, series, known


def _with_said(home: Home, said: Said) -> Home:
    return replace(
        home,
        node=said.nodes.get(home.name, home.node),
        pv_w=said.pv_w.get(home.name, home.pv_w),
        battery=said.batteries.get(home.name, home.battery),
    )


def _origins(manifest: Manifest, said: Said) -> list[Origin]:
    return [
        replace(one, homes=tuple(said.names.get(home, home) for home in one.homes))
        for one in manifest.sources
    ]


def common_window(series: Sequence[HomeSeries], zone: str | None = None) -> tuple[int, int]:
    """The time that all homes have, on a boundary of the longest step. [s since 1970]

    Args:
        series: Readings of the homes.
        zone: Zone in which an error names times; UTC where left out.

    Raises:
        Mismatch: There is none.
    """
    longest = max(series, key=lambda one: one.step_s)
    start_s, end_s = max(one.start_s for one in series), min(one.end_s for one in series)
    start_s += (longest.phase_s - start_s) % longest.step_s
    end_s -= (end_s - longest.phase_s) % longest.step_s
    if start_s >= end_s:
        of = zone_named(zone) if zone else None
        spans = [f"home {one.home} from {shown(one.start_s, of)} to {shown(one.end_s, of)}" for one in series]
        raise Mismatch(spans, "the homes have no time in common; leave one out")
    return start_s, end_s


def write_assembled(found: Assembled, out: Path, says: str) -> None:
    """Write assembled homes as a new store.

    Raises:
        StoreExists: The place is taken.
    """
    refuse_taken(out)
    with making(out, found.zone) as writer:
        writer.append(
            rows_of_all(found.series),
            found.homes,
            says,
            sources=found.sources,
            zone=found.zone,
            known=found.known,
            command="assemble",
        )
