"""Homes of several stores in one neighbourhood."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wattswap.cli._data_options import pairs, thousandths
from wattswap.cli.options import JsonOption

if TYPE_CHECKING:
    from data.readings import BatterySpec
    from wattswap.scenario.from_store import GridPlaces


def assemble(
    stores: Annotated[list[Path], typer.Argument(help="Stores of readings.", metavar="STORE...")],
    out: Annotated[
        Path,
        typer.Option(
            "--out", help="The new store, or with --scenario the folder of one.", metavar="STORE|DIR"
        ),
    ],
    scenario: Annotated[
        bool, typer.Option("--scenario", help="Write a folder with the store and a scenario of it.")
    ] = False,
    map: Annotated[
        list[str] | None,
        typer.Option("--map", help="Another name of a home, or of STORE/HOME.", metavar="HOME=NAME"),
    ] = None,
    node: Annotated[
        list[str] | None, typer.Option("--node", help="Node of a home in a grid.", metavar="HOME=NODE")
    ] = None,
    pv: Annotated[
        list[str] | None, typer.Option("--pv", help="Peak power of a home's roof in kW.", metavar="HOME=KWP")
    ] = None,
    battery: Annotated[
        list[str] | None,
        typer.Option("--battery", help="A home's battery: kWh, and kW of power.", metavar="HOME=KWH/KW"),
    ] = None,
    grid: Annotated[
        Path | None,
        typer.Option("--grid", help="With --scenario: the file of the grid of the nodes.", metavar="FILE"),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Put homes of several stores into one, cut to the time that all of them have."""
    from data.clock import iso_utc
    from data.store.assemble import Said, assembled, write_assembled
    from data.store.write import refuse_taken
    from market.errors import counted
    from wattswap.cli._data_words import span
    from wattswap.cli.output import note, print_json
    from wattswap.errors import UsageError
    from wattswap.scenario.from_store import STORE, refuse_folder, refuse_places, write_from_store

    if grid is not None and not scenario:
        raise UsageError.of(
            "--grid", "is of a scenario", "add --scenario, or give it to `new --from-data` later"
        )
    places = None if grid is None else grid_places(grid)

    said = Said(
        names=pairs("--map", map),
        nodes=pairs("--node", node),
        pv_w={home: thousandths("--pv", value, "kW") for home, value in pairs("--pv", pv).items()},
        batteries={home: _battery(value) for home, value in pairs("--battery", battery).items()},
    )
    place = out / STORE if scenario else out
    if scenario:
        refuse_folder(out)
    refuse_taken(place)
    found = assembled(stores, said)
    if places is not None:
        refuse_places(found.homes, places)
    says = f"{counted(len(found.series), 'home')} of {', '.join(path.name for path in stores)}"
    write_assembled(found, place, says)
    written = [place, *(write_from_store(out, place, places) if scenario else [])]
    start_s, end_s = found.series[0].start_s, found.series[0].end_s
    if json:
        print_json(
            {
                "store": str(place),
                "written": [str(path) for path in written],
                "homes": [home.name for home in found.homes],
                "start": iso_utc(start_s),
                "end": iso_utc(end_s),
                "intervals_cut": dict(found.cut),
            }
        )
        return
    for path in written:
        print(path)
    note(f"{counted(len(found.series), 'home')}, {span(start_s, end_s, found.zone)}")
    cut = sum(found.cut.values())
    if cut:
        note(f"{cut:,} intervals of homes lie outside of the time that all have, and are not in it")
    if not scenario:
        note(f"Next: wattswap new NAME --from-data {place}")


def grid_places(path: Path) -> GridPlaces:
    """The nodes of a grid, and the homes that its file places.

    Raises:
        UsageError: It is no file of a grid that a scenario can name.
        InvalidCase: Everything that is wrong with it.
    """
    from wattswap.cases.grid_file import is_grid_file, load_grid
    from wattswap.errors import UsageError
    from wattswap.scenario.from_store import GridPlaces

    if not is_grid_file(path):
        cure = "with a store it names a JSON file, which `wattswap grid import NETWORK --out FILE` writes"
        raise UsageError.of("--grid", f"{str(path)!r} is no file of a grid", cure)
    found = load_grid(path)
    return GridPlaces(path, frozenset(found.given["nodes"]), found.homes, bool(found.grid.lines.lose))


def _battery(text: str) -> BatterySpec:
    from data.readings import BatterySpec
    from data.store.assemble import EFFICIENCY_PPM
    from wattswap.errors import UsageError

    capacity, slash, power = text.partition("/")
    if not slash:
        raise UsageError.of("--battery", f"{text!r} names no power", "write HOME=KWH/KW, as in anna=10/5")
    wh, w = thousandths("--battery", capacity, "kWh"), thousandths("--battery", power, "kW")
    return BatterySpec(wh, w, w, EFFICIENCY_PPM, EFFICIENCY_PPM)
