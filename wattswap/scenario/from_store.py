"""A scenario of a store of readings: written with comments, for the time that all of its homes have, ready to run."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from pathlib import Path
from zoneinfo import ZoneInfo

from data.errors import DataError
from data.readings import MISSING
from data.store.assemble import common_window
from data.store.manifest import Home
from data.store.read import Content, read_store
from data.store.series import HomeSeries
from p2p.files import write_new
from wattswap.errors import AlreadyExists, InvalidData, Problem
from wattswap.scenario.load import SCENARIO_FILE

STORE = "meter.store"
"""Name of a store inside the folder of a scenario."""
PAST_DAYS = 14
"""Days before the run that forecasts learn from, where the data have them."""
DAYS = 7
"""Days of the run that is written; the data may have more."""


@dataclass(frozen=True, slots=True)
class GridPlaces:
    """A file of a grid that a scenario names, and what it says of homes.

    Args:
        path: The file, as `wattswap grid import` writes it.
        nodes: Names of its nodes.
        homes: Node of each home that it places.
        loses: Whether its lines lose energy.
    """

    path: Path
    nodes: frozenset[str]
    homes: Mapping[str, str]
    loses: bool = False


def refuse_places(homes: Sequence[Home], grid: GridPlaces) -> None:
    """Refuse a grid on which a run of these homes would fail.

    Raises:
        InvalidData: Homes without a node, nodes and homes that are unknown, or lines with losses; all at once.
    """
    problems = []
    names = {home.name for home in homes}
    for home in homes:
        node = home.node if home.node is not None else grid.homes.get(home.name)
        if node is None:
            cure = f"`data assemble STORE --node {home.name}=NODE` names one"
            problems.append(Problem(str(grid.path), f"home {home.name} is at no node", cure))
        elif node not in grid.nodes:
            near = get_close_matches(node, grid.nodes, 1)
            cure = f"did you mean {near[0]!r}?" if near else "name one that it has"
            problems.append(Problem(str(grid.path), f"has no node {node!r}, where home {home.name} is", cure))
    if others := sorted(set(grid.homes) - names):
        more = f" and {len(others) - 5} more" if len(others) > 5 else ""
        what = f"places {', '.join(others[:5])}{more}, of which the store has no readings"
        problems.append(Problem(str(grid.path), what, "remove them from its `homes`"))
    if grid.loses:
        cure = "remove 'loss' from its lines, as a run has no losses"
        problems.append(Problem(str(grid.path), "has lines that lose energy", cure))
    if problems:
        raise InvalidData(*problems)


def refuse_folder(folder: Path) -> None:
    """Refuse a folder that has a scenario already, or a file in its place.

    Raises:
        AlreadyExists: It does.
    """
    for path in (folder / SCENARIO_FILE, folder):
        if path.exists() and not (path == folder and folder.is_dir()):
            raise AlreadyExists.of(str(path), "exists already", "choose another folder")


def write_from_store(folder: Path, store: Path, grid: GridPlaces | None = None) -> list[Path]:
    """Write a scenario of all homes of a store into a folder.

    Args:
        folder: Where it goes; nothing is overwritten.
        store: The store, which the scenario names by a path from the folder where there is one.
        grid: A grid with a node for each home, named in the same way.

    Returns:
        The file that was written.

    Raises:
        AlreadyExists: The folder has a scenario.
        DataError: The folder `store` is none, or damaged.
        InvalidData: There is no time of which all homes have readings, or a home is at no node of the grid.
    """
    refuse_folder(folder)
    content = read_store(store)
    if grid is not None:
        refuse_places([content.manifest.homes[one.home] for one in content.series], grid)
    on = None if grid is None else _path_between(folder, grid.path)
    text = scenario_text(content, folder.name, _path_between(folder, store), on)
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / SCENARIO_FILE
    try:
        write_new(path, text.encode())
    except OSError:
        if made:
            folder.rmdir()
        raise
    return [path]


def _path_between(folder: Path, store: Path) -> str:
    """The path of a store as a scenario file in a folder names it."""
    try:
        return Path(os.path.relpath(store.resolve(), folder.resolve())).as_posix()
    except ValueError:  # another drive
        return store.resolve().as_posix()


def scenario_text(content: Content, name: str, path: str, grid: str | None = None) -> str:
    """The scenario file.

    Args:
        content: The store.
        name: Of the scenario.
        path: Of the store, from the folder of the scenario.
        grid: Path of the file of the grid; without it nodes of homes are comments, as no table has them alone.

    Raises:
        InvalidData: There is no time of which all homes have readings.
    """
    zone = content.manifest.zone or "UTC"
    try:
        window = common_window(content.series, zone) if content.series else None
    except DataError as error:
        raise InvalidData.of(path, str(error)) from None
    if window is None:
        raise InvalidData.of(path, "the store has no readings", "import a file first")
    start, length, past = _time_of(*window, zone, _longest_step_s(content))
    homes = [content.manifest.homes[one.home] for one in content.series]
    lacking = [one.home for one in content.series if _lacks(one, start, length)]
    forecast = '"same_hour_mean"' if past >= 1 else '"perfect_foresight"'
    if past >= 2 * PAST_DAYS:
        forecast = '"ridge"'
    missing = (
        f"{len(lacking)} here: they are left out; `wattswap data repair` fills gaps"
        if lacking
        else "none here"
    )
    lines = [
        "# A wattswap scenario of imported meter data. Every key is explained in docs/reference/scenario.md;",
        "# `wattswap validate FILE` checks this file. Prices are examples: write your own.",
        "",
        "schema = 1",
        f"name = {json.dumps(_plain(name))}",
        'currency = "EUR"',
        "seed = 1",
        "",
        "[time]",
        _line(f"zone = {json.dumps(zone)}", "of local habits and of the times that people read"),
        f"start = {start.isoformat()}",
        length,
        "",
        "[data]",
        _line(f"path = {json.dumps(path)}", "a store: `wattswap data show` shows what it holds"),
        _line(
            f'on_missing = "{"drop_home" if lacking else "refuse"}"', f"homes that miss readings: {missing}"
        ),
        "",
        "[homes]",
        _line('batteries = "data"', 'those that the store names; "none" leaves them out'),
        _line(f"forecast = {forecast}", f"{past} days lie before the run; see `wattswap list forecasters`"),
        *([f"forecast_days = {min(past, PAST_DAYS)}"] if 1 <= past < 2 * PAST_DAYS else []),
        "",
        "[tariff]",
        _line("import_per_kwh = 0.32", "what a home pays its retailer"),
        _line("feed_in_per_kwh = 0.08", "what the retailer pays a home"),
        "",
        "[market]",
        _line('mechanism = "uniform_price"', "`wattswap list mechanisms` shows others"),
        *_grid(homes, grid),
        *_roofs(content),
    ]
    return "\n".join(lines) + "\n"


def _line(text: str, comment: str) -> str:
    """A line with a comment, which all begin at the same place."""
    return f"{text:<35} # {comment}"


def _longest_step_s(content: Content) -> int:
    return max(one.step_s for one in content.series)


def _time_of(start_s: int, end_s: int, zone: str, step_s: int) -> tuple[datetime, str, int]:
    """Start of the run, the line of its length, and the days before it."""
    info = ZoneInfo(zone)
    first, last = (datetime.fromtimestamp(s, UTC).astimezone(info) for s in (start_s, end_s))
    midnight = first.replace(hour=0, minute=0, second=0, microsecond=0)
    if midnight < first:
        midnight = (midnight.replace(tzinfo=None) + timedelta(days=1)).replace(tzinfo=info)
    whole = (last.date() - midnight.date()).days
    if whole < 1:
        return first, f"intervals = {(end_s - start_s) // step_s}", 0
    past = min(2 * PAST_DAYS, whole - min(DAYS, max(1, whole // 2)))
    days = min(DAYS, whole - past)
    start = (midnight.replace(tzinfo=None) + timedelta(days=past)).replace(tzinfo=info)
    return start, _line(f"days = {days}", f"of {whole - past} that the data have from here"), past


def _lacks(one: HomeSeries, start: datetime, days: str) -> bool:
    """Whether a home misses a reading from the start on."""
    words = days.split()
    length_s = int(words[2]) * (86_400 if words[0] == "days" else one.step_s)
    begin_s = int(start.timestamp())
    kept = one.cut(begin_s, begin_s + length_s)
    return bool((kept.quality == MISSING).any())


def _plain(name: str) -> str:
    return re.sub("[^A-Za-z0-9_-]+", "-", name).strip("-") or "my-homes"


def _grid(homes: list[Home], file: str | None) -> list[str]:
    """The grid and the nodes of homes; comments where no file is named, since [grid] without one is none."""
    nodes = [f"{json.dumps(home.name)} = {json.dumps(home.node)}" for home in homes if home.node is not None]
    if file is not None:
        return [
            "",
            "[grid]",
            _line(
                f"file = {json.dumps(file)}", 'a run says what its lines carry; "nodal_price" clears on it'
            ),
            *(["", _line("[grid.homes]", "node of each home"), *nodes] if nodes else []),
        ]
    if not nodes:
        return []
    return [
        "",
        _line("# [grid]", "`wattswap new DIR --from-data STORE --grid grid.json` writes this table"),
        _line('# file = "grid.json"', "`wattswap grid import` writes it"),
        _line("# [grid.homes]", "node of each home"),
        *(f"# {node}" for node in nodes),
    ]


def _roofs(content: Content) -> list[str]:
    """Sizes of generators, as comments: what they produce is in the readings, and a device would count it twice.

    Only readings that show no sun may be consumption alone. For those a device can be written, once its place, its
    orientation and the weather are known.
    """
    known, possible = [], []
    for one in content.series:
        home = content.manifest.homes[one.home]
        if home.pv_w is None:
            continue
        size = f"{home.pv_w / 1000:g}"
        if "pv" in one.energy or one.total_wh("export"):
            known.append(f"# {json.dumps(home.name)}: {size} kW")
            continue
        possible += [
            "",
            f"# [homes.pv.{json.dumps(home.name)}]",
            _line(f"# peak_kw = {size}", "needs data.weather, and readings of consumption alone"),
            "# tilt = 30",
            "# azimuth = 180",
            "# latitude = 50.8",
            "# longitude = 4.4",
        ]
    if known:
        about = [
            "# Peak power of generators. Their production is in the readings, so a device would count it twice;",
            "# `wattswap data check` compares it with these sizes.",
        ]
        known = ["", *about, *known]
    return [*known, *possible]
