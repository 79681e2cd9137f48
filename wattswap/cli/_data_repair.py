"""Repairs of a store, as layers that can be taken away, and its readings in another step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from wattswap.cli._data_options import HomeOption, StoreArgument, pairs, thousandths
from wattswap.cli._data_words import SHOWN
from wattswap.cli.options import JsonOption

if TYPE_CHECKING:
    from data.readings import Known
    from data.store.manifest import KeptBy
    from data.store.read import Content
    from data.store.repair import Repair
    from data.store.write import Writer

OutStore = Annotated[
    Path, typer.Option("--out", help="The new store; nothing is overwritten.", metavar="STORE")
]


def repair(
    store: StoreArgument,
    policy: Annotated[
        Literal["interpolate", "previous-day", "next-day", "same-weekday", "zero"],
        typer.Option("--policy", help="How intervals without a reading are filled."),
    ],
    home: HomeOption = None,
    start: Annotated[
        str | None,
        typer.Option("--from", help="First interval, as in 2026-03-01T10:00; local time.", metavar="TIME"),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", help="End of the last interval; local time.", metavar="TIME")
    ] = None,
    known_kwh: Annotated[
        list[str] | None,
        typer.Option(
            "--known-kwh",
            help="Energy of one gap that is known, as in import=12.345; kept to the Wh.",
            metavar="CHANNEL=KWH",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Fill intervals without a reading, marked as estimated, in a layer that `data undo` takes away."""
    from data import clock
    from data.store.read import read_store
    from data.store.repair import repair as repaired
    from data.store.write import writing
    from wattswap.cli.output import note

    known_wh = {
        name: thousandths("--known-kwh", value, "kWh")
        for name, value in pairs("--known-kwh", known_kwh).items()
    }
    content = read_store(store, home)
    zone = clock.zone_named(content.manifest.zone) if content.manifest.zone else None
    window = (_seconds("--from", start, content.manifest.zone), _seconds("--to", end, content.manifest.zone))

    def all_of(content: Content) -> dict[str, Repair]:
        known = content.manifest.known
        return {one.home: repaired(one, policy, zone, window, known_wh, known) for one in content.series}

    found, made = all_of(content), False
    if any(one.patch for one in found.values()) and not dry_run:
        with writing(store) as writer:
            if writer.manifest != content.manifest:  # another process wrote in the meantime
                found = all_of(read_store(store, home))
            made = _written(writer, found, policy)
    _print_repaired(store, policy, found, made=made, json=json)
    if not json and dry_run and any(one.patch for one in found.values()):
        note("Nothing was changed; without --dry-run it is.")


def _written(writer: Writer, found: dict[str, Repair], policy: str) -> bool:
    """Lay repairs over a store; whether there was something to repair."""
    from market.errors import counted

    patches = [one.patch for one in found.values() if one.patch is not None]
    intervals = sum(len(patch.time_s) for patch in patches)
    what = f"{counted(intervals, 'interval')} of {counted(len(patches), 'home')}"
    totals: list[tuple[Known, KeptBy]] = []
    for one in found.values():
        totals += [(total, "counter") for total in one.kept]
        totals += [(total, "stated") for total in one.stated]
    if patches:
        writer.repair(patches, policy, f"{what} by {policy}", totals)
    return bool(patches)


def _print_repaired(store: Path, policy: str, found: dict[str, Repair], *, made: bool, json: bool) -> None:
    import pandas as pd

    from market.errors import counted
    from wattswap.cli._data_words import table_of
    from wattswap.cli.output import print_json
    from wattswap.cli.tables import wrapped

    homes: dict[str, dict[str, Any]] = {
        home: {
            "gaps": one.gaps,
            "filled": len(one.patch.time_s) if one.patch else 0,
            "left": one.left,
            "added_wh": one.patch.added_wh() if one.patch else {},
            "kept_wh": [_total(total, "counter") for total in one.kept]
            + [_total(total, "stated") for total in one.stated],
            "not_kept_wh": [{**_total(total, "counter"), "why": why} for total, why in one.broken],
            "without_total": one.guessed,
        }
        for home, one in found.items()
    }
    if json:
        print_json({"store": str(store), "policy": policy, "made": made, "homes": homes})
        return
    rows = {
        home: {
            "gaps": one["gaps"],
            "filled": one["filled"],
            "left": one["left"],
            **{f"{name} kWh": f"{wh / 1000:+.3f}" for name, wh in one["added_wh"].items() if name in SHOWN},
        }
        for home, one in homes.items()
        if one["filled"]
    }
    left = sum(one.left for one in found.values())
    if not rows:
        stay = f"{counted(left, 'interval')} {'stays' if left == 1 else 'stay'} without a reading"
        what = stay if left else "no interval lacks a reading"
        print(f"{store}: nothing to fill by {policy}; {what}")
        return
    frame = pd.DataFrame(rows).T
    frame.index.name = "home"
    table_of(f"{store}: intervals filled by {policy}, and the energy that is added, estimated", frame)
    for sentence in _about_totals(list(found.values())):
        print(wrapped(sentence))


def _total(known: Known, by: str) -> dict[str, Any]:
    from data.clock import iso_utc

    span = {"start": iso_utc(known.start_s), "end": iso_utc(known.end_s)}
    return {"channel": known.channel, **span, "wh": known.wh, "by": by}


def _about_totals(repairs: list[Repair]) -> list[str]:
    """Which of the filled energy is true as a sum, and which is not."""
    from data.clock import iso_utc
    from market.errors import counted

    sentences = []
    for kept, says in (
        ([total for one in repairs for total in one.kept], "as its counter shows"),
        ([total for one in repairs for total in one.stated], "as stated"),
    ):
        if kept:
            by_channel = {
                name: sum(total.wh for total in kept if total.channel == name)
                for name in sorted(
                    {total.channel for total in kept},
                    key=lambda name: (name not in SHOWN, name == "export", name),
                )
            }
            energy = ", ".join(f"{name} {wh / 1000:,.3f} kWh" for name, wh in by_channel.items())
            stretches = len({(total.home, total.start_s) for total in kept})
            sentences.append(f"Kept to the Wh over {counted(stretches, 'gap')}, {says}: {energy}.")
    broken = [pair for one in repairs for pair in one.broken]
    for total, why in broken[:5]:
        sentences.append(
            f"Not kept: {total.channel} of {total.home} from {iso_utc(total.start_s)} to {iso_utc(total.end_s)} is"
            f" {total.wh / 1000:,.3f} kWh by its counter, and {why}."
        )
    if len(broken) > 5:
        sentences.append(f"{len(broken) - 5} more totals of counters are not kept; --json lists them.")
    if guessed := sum(one.guessed for one in repairs):
        sentences.append(
            f"No total is known of {counted(guessed, 'gap')}, such as one between two files; --known-kwh states one."
        )
    return sentences


def undo(store: StoreArgument, json: JsonOption = False) -> None:
    """Take the last repair away; the readings are what they were before it, bit for bit."""
    from data.store.write import writing
    from market.errors import counted
    from wattswap.cli.output import print_json
    from wattswap.cli.tables import wrapped
    from wattswap.errors import InvalidData

    with writing(store) as writer:
        if not writer.manifest.layers:
            raise InvalidData.of(
                str(store), "has no repair that could be taken away", "`data repair` makes one"
            )
        last = writer.manifest.layers[-1]
        writer.undo(f"{counted(last.intervals, 'interval')} by {last.policy}")
        left = len(writer.manifest.layers)
    if json:
        undone = {"policy": last.policy, "intervals": last.intervals, "homes": list(last.homes)}
        print_json({"store": str(store), "undone": undone, "layers_left": left})
    else:
        are = "is" if last.intervals == 1 else "are"
        what = f"{counted(last.intervals, 'interval')} of {counted(len(last.homes), 'home')}"
        print(wrapped(f"{store}: {what} {are} as imported again ({last.policy})"))


def resample(
    store: StoreArgument,
    minutes: Annotated[int, typer.Option("--minutes", help="The new step: 5, 15, 30 or 60.")],
    out: OutStore,
    profile: Annotated[
        Literal["flat"] | None,
        typer.Option(
            "--profile", help="How energy is spread over shorter intervals, which are then estimated."
        ),
    ] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Write a store in another step; energy stays the same to the Wh."""
    from dataclasses import replace

    from data import clock
    from data.store.read import read_store
    from data.store.resample import known_on, resampled
    from data.store.write import making, refuse_taken, rows_of_all
    from market.errors import counted
    from wattswap.cli.output import print_json
    from wattswap.cli.tables import wrapped

    refuse_taken(out)
    content = read_store(store, home)
    zone = clock.zone_named(content.manifest.zone) if content.manifest.zone else None
    series = [resampled(one, minutes, profile, zone) for one in content.series]
    homes = [replace(content.manifest.homes[one.home], minutes=minutes) for one in series]
    says = f"{counted(len(series), 'home')} of {store.name} in intervals of {minutes} minutes"
    names = {one.name for one in homes}
    meters = {hashed: name for hashed, name in content.manifest.meters.items() if name in names}
    with making(out, content.manifest.zone, content.manifest.salt) as writer:
        writer.append(
            rows_of_all(series),
            homes,
            says,
            meters=meters,
            sources=content.manifest.sources,
            known=[total for one in series for total in known_on(one, content.manifest.known)],
            command="resample",
        )
    energy = {
        one.home: {name: (before.total_wh(name), one.total_wh(name)) for name in one.energy}
        for before, one in zip(content.series, series, strict=True)
    }
    total = sum(after for home_ in energy.values() for _, after in home_.values())
    assert all(before == after for home_ in energy.values() for before, after in home_.values()), (
        "energy is kept"
    )
    if json:
        totals = {home_: {name: after for name, (_, after) in one.items()} for home_, one in energy.items()}
        print_json({"store": str(out), "minutes": minutes, "energy_wh": totals})
    else:
        kwh = f"{total / 1000:,.3f} kWh of all registers"
        print(
            wrapped(
                f"{out}: {counted(len(series), 'home')} in intervals of {minutes} minutes; {kwh}, the same to the Wh"
            )
        )


def _seconds(option: str, text: str | None, zone: str | None) -> int | None:
    """An instant, on the local clock of a zone where it has no offset. [s since 1970]"""
    from datetime import UTC, datetime
    from zoneinfo import ZoneInfo

    from wattswap.errors import UsageError

    if text is None:
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError.of(option, f"{text!r} is no time", "write 2026-03-01T10:00") from None
    if when.tzinfo is None:
        when = when.replace(tzinfo=ZoneInfo(zone) if zone else UTC)
    return int(when.timestamp())
