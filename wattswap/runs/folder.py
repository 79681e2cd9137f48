"""A finished run: its folder, its tables as frames, its bills and its summary."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from market.files import naming
from market.metrics.fairness import percent_of, saving_nano
from market.settlement.charges import FIXED_COLUMNS, PART_COLUMNS, fixed_nano
from market.units import MICRO_PER_UNIT, NANO_PER_UNIT, WH_PER_KWH
from wattswap.errors import InvalidScenario, Problem, RunNotFound, UsageError, suggest
from wattswap.runs.battery_account import GAINED
from wattswap.runs.layout import COMPARISON, MANIFEST, METRICS, SCENARIO, TABLE_NAMES, table_file
from wattswap.runs.missing import not_found
from wattswap.runs.shown import rounded
from wattswap.runs.stored import Manifest, Origin, check_form, check_hash, check_times, damaged
from wattswap.scenario.basis import caveats, mechanism_of, rests_on, title_of, zone_of
from wattswap.scenario.load import Scenario, from_resolved

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


NOT_BILLED = {
    "unmet_kwh": ("unmet_wh", WH_PER_KWH),
    "outside_comfort_k_h": ("outside_comfort_millidegree_h", 1_000),
    "wear_cost": ("wear_nano", NANO_PER_UNIT),
    "battery_cost": ("battery_cost_nano", NANO_PER_UNIT),
}
"""Columns of homes beside their bills: the stored column, and how many of its units are one."""


DEPTH_MAX = 64
"""Levels of a JSON file of a run folder; a scenario has about ten."""


class RunFolder:
    """A run folder, read lazily.

    Frames carry kWh and currency units; the Parquet files beside them keep the integers.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if (self.path / COMPARISON).is_file():
            cure = "read it as a Comparison, or with `wattswap show` and `wattswap report`"
            raise RunNotFound.of(str(self.path), "a comparison is here, and no run", cure)
        if not (self.path / MANIFEST).is_file():
            raise not_found(self.path)

    def __repr__(self) -> str:
        m = self.metrics
        saved = f"{rounded(m['saving']):.2f} {self.currency} saved"
        return (
            f"<run {self.path.name}: {self.manifest['mechanism']}, {m['homes']} homes, {m['intervals']} intervals,"
            f" {m['traded_kwh']:.1f} kWh traded, {saved}{caveats(self.rests_on)}>"
        )

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """What was run, with which versions, and the hashes of the results.

        Raises:
            VerificationFailed: An entry that everything else relies on is not of its type.
        """
        manifest = read_object(self.path / MANIFEST)
        check_form(self.path / MANIFEST, manifest, Manifest)
        check_times(self.path / MANIFEST, manifest["start"])
        return manifest

    def unchanged(self, name: str) -> Path:
        """The path of a file whose hash is the manifest's; that of a large one is left to `verify`.

        Raises:
            VerificationFailed: It is another file.
        """
        check_hash(self.path, name, self.manifest)
        return self.path / name

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """The community's figures, in kWh and currency; a figure that does not exist is None."""
        return read_object(self.unchanged(METRICS))

    @property
    def figures(self) -> dict[str, float | int | None]:
        """Every metric, those too that another run of the scenario does not repeat, such as times."""
        return {**self.metrics, "clear_ms": self.manifest.get("clear_ms")}

    @property
    def currency(self) -> str:
        """Currency code of the scenario."""
        return str(self.manifest["currency"])

    @cached_property
    def scenario(self) -> dict[str, Any]:
        """The resolved scenario, with every default filled in."""
        return dict(read_object(self.unchanged(SCENARIO)).get("resolved", {}))

    @property
    def rests_on(self) -> dict[str, str]:
        """What the figures rest on, by topic: a bound, quantities, forecast, imbalance, rationing, notes."""
        about = self.manifest["data"]
        notes = [*about.get("bidding_notes", ()), *about.get("control_notes", ())]
        metered_pv = about.get("metered_pv", True)  # older runs do not say
        return rests_on(self.scenario, notes, mechanism_of(self.scenario), metered_pv=metered_pv)

    @property
    def zone(self) -> str:
        """Time zone in which people read its times."""
        return zone_of(self.scenario)

    @property
    def title(self) -> str:
        """The title of the scenario, or its name."""
        return title_of(self.scenario) or str(self.manifest["name"])

    def table(self, name: str, where: tuple[str, str, object] | None = None) -> pd.DataFrame:
        """One stored table with its integer columns: orders, readings, postings, intervals or bills.

        Args:
            name: Which table.
            where: Only rows for which this holds, such as ("account", "==", "home-01").

        Raises:
            UsageError: No such table.
        """
        if name not in TABLE_NAMES:
            raise UsageError.of("table", f"no table {name!r}", suggest(name, TABLE_NAMES))
        self.unchanged(table_file(name))
        frame: pd.DataFrame = read_table(self.path, name, where).to_pandas()
        return frame

    def summary(self) -> pd.DataFrame:
        """The community's figures as one row; the currency is in `.attrs`."""
        import pandas as pd

        frame = pd.DataFrame([self.metrics], index=[self.manifest["mechanism"]])
        frame.attrs["currency"] = self.currency
        return frame

    def bills(self) -> pd.DataFrame:
        """What each home pays with and without the market. [currency, kWh]"""
        return bills_frame(self.table("bills"), self.currency)

    def prices(self) -> pd.DataFrame:
        """Price and traded energy of each interval; the price is missing where nothing traded."""
        frame = self.table("intervals").set_index("interval_start")
        names = ("price", "lo", "hi", "import", "feed_in")
        out = frame[[f"{n}_micro_per_kwh" for n in names]].astype("Float64") / MICRO_PER_UNIT
        out.columns = [f"{n}_per_kwh" for n in names]
        out["traded_kwh"] = frame["traded_wh"] / WH_PER_KWH
        out.attrs["currency"] = self.currency
        return out


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON file of a run folder.

    Raises:
        VerificationFailed: It is missing or damaged.
    """
    try:
        loaded = json.loads(
            path.read_text(encoding="utf-8"), parse_constant=_refuse_constant, object_pairs_hook=_once_each
        )
        _check_depth(loaded)
        # Half a character, as "\ud800", has no bytes that could be hashed.
        json.dumps(loaded, ensure_ascii=False).encode()
    except PermissionError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path, str(error)) from None
    if not isinstance(loaded, dict):
        raise damaged(path, "it holds no JSON object")
    return loaded


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; one that names a key twice says two things, and readers differ in which they take."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"it names {next(name for name in names if names.count(name) > 1)!r} twice")
    return found


def _check_depth(value: Any) -> None:
    """Refuse what is nested more deeply than anything that a run writes: copying it would use up the stack."""
    level = [value]
    for _ in range(DEPTH_MAX):
        inner = (
            one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)
        )
        level = [found for values in inner for found in values]
    if level:
        raise ValueError(f"it is nested more than {DEPTH_MAX} deep")


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def stored_scenario(folder: Path) -> Scenario:
    """The scenario that a run folder was made from.

    Raises:
        VerificationFailed: The file is damaged.
        InvalidScenario: It cannot run any more: the data are gone, or this wattswap is another one.
    """
    origin = read_object(folder / SCENARIO)
    check_form(folder / SCENARIO, origin, Origin)
    try:
        scenario = from_resolved(origin["resolved"], origin["base"])
    except InvalidScenario as error:
        raise InvalidScenario(*(_in_file(problem, folder / SCENARIO) for problem in error.problems)) from None
    # Whatever is found wrong with it later names the file, too.
    return scenario.with_source(replace(scenario.source, file=str(folder / SCENARIO)))


def _in_file(problem: Problem, path: Path) -> Problem:
    """A problem of a resolved scenario, with the file that holds it."""
    _, _, key = problem.where.partition(": ")
    return replace(problem, where=f"{path}: {key}" if key else str(path), line=None)


def read_table(folder: Path, name: str, where: tuple[str, str, object] | None = None) -> pa.Table:
    """Read a table of a run folder, or the rows of it for which `where` holds.

    Raises:
        VerificationFailed: It is missing or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / table_file(name)
    try:
        with naming(path):
            return pq.read_table(path, filters=None if where is None else [where])
    except PermissionError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise damaged(path, str(error)) from None


def bills_frame(table: pd.DataFrame, currency: str) -> pd.DataFrame:
    """Turn the integer bills into one row a home in kWh and currency; cost > 0 is paid by the home.

    The last columns are parts of the bill with the market, each only where it exists: `battery`, a home's part of
    what the battery in common lost, negative where it gained, and of the tariff `standing`, `peak`, `grid_fee_net`,
    `levy` and `vat`. Before them, where homes have such devices, is what no bill counts: `unmet_kwh`,
    `outside_comfort_k_h`, `wear_cost`, and `battery_cost`, a home's part of the purchase of the battery in common.
    """
    import pandas as pd

    frame = table.set_index("household")
    nano = {name: frame[name].to_numpy() for name in frame.columns if name.endswith("_nano")}
    saved_nano, without_nano = saving_nano(nano), frame["baseline_nano"] + fixed_nano(nano)
    energy = frame[["import_wh", "export_wh", "bought_wh", "sold_wh"]] / WH_PER_KWH
    out = energy.rename(columns=lambda name: name.replace("_wh", "_kwh"))
    without = -without_nano / NANO_PER_UNIT
    out["cost_without_market"] = without
    out["cost_with_market"] = -(saved_nano + without_nano) / NANO_PER_UNIT
    out["saving"] = saved_nano / NANO_PER_UNIT
    out["saving_percent"] = [percent_of(s, w) for s, w in zip(out["saving"], without, strict=True)]
    out["saving_percent"] = out["saving_percent"].astype(float)
    out["imbalance_cost"] = frame["imbalance_cost_nano"] / NANO_PER_UNIT
    for name, (column, unit) in NOT_BILLED.items():
        if column in frame:
            out[name] = frame[column] / unit
    for name in (GAINED, *FIXED_COLUMNS, *PART_COLUMNS):
        if name in frame:
            out[name.removesuffix("_nano")] = -frame[name] / NANO_PER_UNIT
    out = pd.DataFrame(out)
    out.attrs["currency"] = currency
    return out
