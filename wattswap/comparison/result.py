"""A finished comparison: its folder, and its cells, bills and intervals as frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from market.metrics.table import METRICS, Result
from market.units import MICRO_PER_UNIT, NANO_PER_UNIT, WH_PER_KWH
from wattswap.comparison.about import read_about
from wattswap.comparison.plan import CellKey, name_of
from wattswap.comparison.statistics import Difference, paired_difference
from wattswap.comparison.store import BILLS, INTERVALS, SUMMARY, missing_cells, part_path, read_part
from wattswap.errors import UsageError, VerificationFailed, suggest
from wattswap.runs.folder import bills_frame
from wattswap.runs.layout import COMPARISON
from wattswap.runs.missing import COMPARED, not_found
from wattswap.runs.stored import damaged
from wattswap.scenario.basis import CHANGED, caveats, rationing_of, rests_on, title_of, zone_of

if TYPE_CHECKING:
    import pandas as pd

    from market.book import OrderBook
    from wattswap.comparison.effects import Effects
    from wattswap.runs.prepare import Setup
    from wattswap.scenario.load import Scenario


SCALE = {"least_saving_nano", "largest_saving_nano"}
"""Inputs of metrics that compare a cell with the others; computed when a comparison is read."""


class ComparisonFolder:
    """A folder of `wattswap compare` or `sweep`, read lazily.

    Frames carry kWh and currency units; the Parquet files beside them keep the integers. A `point` is one setting of a
    sweep; a plain comparison has the one point "base", and every method takes the first point when none is given.

    Args:
        path: The folder.
        mechanisms: Labels to read; default: all in the folder.
        seeds: Seeds to read; default: those that all these mechanisms have.
    """

    def __init__(
        self, path: Path | str, mechanisms: Sequence[str] | None = None, seeds: Sequence[int] | None = None
    ) -> None:
        self.path, self._only, self._asked_seeds = Path(path), mechanisms, seeds
        if not (self.path / COMPARISON).is_file():
            raise not_found(self.path, COMPARED)

    def __repr__(self) -> str:
        about, missing = self.about, len(self.about["missing"])
        return (
            f"<comparison {self.path.name}: {len(self.mechanisms)} mechanisms, {len(about['seeds'])} seeds,"
            f" {len(self.points)} points{f', {missing} cells missing' if missing else ''}{caveats(self.rests_on)}>"
        )

    @property
    def rests_on(self) -> dict[str, str]:
        """What the figures rest on, by topic: a bound, quantities, forecast, imbalance, rationing, notes."""
        data = self.about["data"]
        found = rests_on(
            self.about["scenario"], data.get("bidding_notes", ()), metered_pv=data.get("metered_pv", True)
        )
        others = [key for key in self.varied if key.removeprefix("homes.") in CHANGED or "population" in key]
        return found | ({"homes": f"those of each point, by {', '.join(others)}"} if others else {})

    @cached_property
    def about(self) -> dict[str, Any]:
        """What was compared, on what, with which versions; `missing` as the folder is, also after a crash."""
        about = read_about(self.path)
        return about | {"missing": missing_cells(self.path, about["cells"])}

    @property
    def currency(self) -> str:
        """Currency code of the scenario."""
        return str(self.about["currency"])

    @property
    def zone(self) -> str:
        """Time zone in which people read its times."""
        return zone_of(self.about["scenario"])

    @property
    def title(self) -> str:
        """The title of the scenario, or its name."""
        return title_of(self.about["scenario"]) or str(self.about["name"])

    @property
    def mechanisms(self) -> list[str]:
        """Labels of all mechanisms with a finished cell, the reference first and the bound last."""
        finished = {key["mechanism"] for key in self.about["cells"] if key not in self.about["missing"]}
        chosen = finished if self._only is None else finished.intersection(self._only)
        return [label for label in self.about["mechanisms"] if label in chosen]

    @property
    def reference(self) -> str:
        """The mechanism that all others are compared with: no market."""
        return str(self.about["reference"])

    @property
    def bound(self) -> str:
        """The mechanism that no other can beat in welfare at stated limits."""
        return str(self.about["bound"])

    @cached_property
    def seeds(self) -> list[int]:
        """Seeds that every mechanism has at every point; means and differences are taken over these.

        A folder may hold more: a second call may have asked for other seeds of some mechanisms only.
        """
        if self._asked_seeds is not None:
            return sorted(set(self._asked_seeds))
        by_row: dict[tuple[str, str], set[int]] = {}
        for key in self.cell_keys():
            by_row.setdefault((key.point, key.mechanism), set()).add(key.seed)
        common = set.intersection(*by_row.values()) if by_row else set()
        if not common:
            cure = "compare them again with the same seeds, or into another folder with --out"
            raise UsageError.of(str(self.path), "holds no seed that all its mechanisms share", cure)
        return sorted(common)

    @property
    def points(self) -> list[str]:
        """Names of the points of a sweep."""
        return [str(point["point"]) for point in self.about["points"]]

    @property
    def varied(self) -> list[str]:
        """Keys of the scenario that a sweep varies; none in a plain comparison."""
        return list(self.about["points"][0]["settings"])

    def cell_keys(self, mechanism: str | None = None, point: str | None = None) -> list[CellKey]:
        """The finished cells of a mechanism and a point.

        Raises:
            UsageError: There is no such mechanism or point in the comparison.
        """
        for what, name, known in (("mechanism", mechanism, self.mechanisms), ("point", point, self.points)):
            if name is not None and name not in known:
                raise UsageError.of(str(self.path), f"has no {what} {name!r}", suggest(name, known))
        missing = [CellKey(**cell) for cell in self.about["missing"]]
        cells = [CellKey(**cell) for cell in self.about["cells"]]
        rank = {label: i for i, label in enumerate(self.mechanisms)}
        return sorted(
            (
                key
                for key in cells
                if key not in missing
                and (self._asked_seeds is None or key.seed in self._asked_seeds)
                and key.mechanism in rank
                and mechanism in (None, key.mechanism)
                and point in (None, key.point)
            ),
            key=lambda key: (self.points.index(key.point), rank[key.mechanism], key.seed),
        )

    @cached_property
    def _cells(self) -> pd.DataFrame:
        import pandas as pd

        rows = []
        for key in self.cell_keys():
            row = read_part(self.path, SUMMARY, key).to_pylist()[0]
            row.pop("cell_sha256")
            rows.append({"point": key.point, "mechanism": key.mechanism, "seed": key.seed, **row})
        if not rows:
            cure = "call the same `wattswap compare` again, which continues"
            raise UsageError.of(str(self.path), "has no finished cells to compare", cure)
        frame = pd.DataFrame(rows)
        for metric in METRICS.all().values():
            if SCALE & {*metric.needs}:
                frame[metric.name] = [metric.of(self._among_others(key)) for key in self.cell_keys()]
        frame = frame.astype(dict.fromkeys(frame.columns[3:], float))  # also metrics without any value
        settings = pd.DataFrame([p["settings"] for p in self.about["points"]], index=self.points)
        for name in settings.columns:
            frame[name] = frame["point"].map(settings[name])
        frame.attrs["currency"] = self.currency
        return frame

    @cached_property
    def _bills(self) -> dict[CellKey, Result]:
        found: dict[CellKey, Result] = {}
        rows: dict[str, int] = {}
        for key in self.cell_keys():
            table = read_part(self.path, BILLS, key)
            if rows.setdefault(key.point, len(table)) != len(table):
                raise damaged(part_path(self.path, BILLS, key), "its homes are not those of the other cells")
            columns = {name: table[name].to_numpy() for name in table.column_names if name.endswith("_nano")}
            found[key] = Result({}, columns, {})
        return found

    def _among_others(self, key: CellKey) -> Result:
        """The bills of a cell with the smallest and the largest saving of any home under the same seed and point."""
        alike = [r.saving_nano for k, r in self._bills.items() if (k.point, k.seed) == (key.point, key.seed)]
        scale = np.concatenate(alike)
        facts = {"least_saving_nano": int(scale.min()), "largest_saving_nano": int(scale.max())}
        return replace(self._bills[key], facts=facts)

    def cells(self) -> pd.DataFrame:
        """One row per point, mechanism and seed, every metric of docs/reference/metrics.md a column."""
        return self._cells.copy()

    def _shared(self, point: str) -> pd.DataFrame:
        """Cells of a point under the seeds that all mechanisms share."""
        cells = self._cells
        return cells[(cells["point"] == point) & cells["seed"].isin(self.seeds)]

    def summary(self, point: str | None = None) -> pd.DataFrame:
        """Mean of every metric over the shared seeds, one row per mechanism; the currency is in `.attrs`.

        A figure that does not exist under one of the seeds has no mean.
        """
        cells = self._shared(point or self.points[0])
        numbers = cells.drop(columns=["point", "seed", *self.varied])
        # A mean over the seeds in which a figure exists would flatter it: Gini exists only where nobody loses.
        groups = numbers.groupby("mechanism", sort=False)
        frame: pd.DataFrame = groups.mean(numeric_only=True).where(groups.count() == len(self.seeds))
        frame.attrs["currency"] = self.currency
        return frame

    def figures(self, point: str | None = None) -> dict[str, dict[str, float | None]]:
        """The summary by mechanism and metric; None where a figure does not exist."""
        frame = self.summary(point).astype(object)
        found = frame.where(frame.notna(), None).to_dict("index")
        return {str(label): {str(name): value for name, value in row.items()} for label, row in found.items()}

    def differences(
        self, metric: str = "saving", reference: str | None = None, point: str | None = None
    ) -> pd.DataFrame:
        """Paired difference of a metric to the reference over the seeds, one row per mechanism.

        Returns:
            Columns mean, low, high (95 % interval, empty with fewer than two seeds) and n.

        Raises:
            UsageError: Unknown metric or mechanism.
        """
        import pandas as pd

        against, where = reference or self.reference, point or self.points[0]
        self.cell_keys(against, where)
        if metric not in self._cells.columns[3:]:
            raise UsageError.of("metric", f"no metric {metric!r}", suggest(metric, self._cells.columns[3:]))
        cells = self._shared(where)
        table = cells.pivot(index="seed", columns="mechanism", values=metric).astype(object)
        table = table.where(table.notna(), None)
        found: dict[str, Difference] = {
            label: paired_difference(table[label].tolist(), table[against].tolist())
            for label in self.mechanisms
            if label in table.columns
        }
        frame = pd.DataFrame(
            {name: [getattr(d, name) for d in found.values()] for name in ("mean", "low", "high", "n")},
            index=pd.Index(found, name="mechanism"),
        )
        frame.attrs.update(currency=self.currency, metric=metric, reference=against)
        return frame

    def rationing(self, mechanism: str, point: str | None = None) -> str:
        """How a mechanism rations: as its market declares it, or "own rule"; empty where nobody trades."""
        if mechanism == self.reference:
            return ""
        key = self._chosen(mechanism, None, point)[0]
        market = self.about["scenarios"][name_of(key)]["resolved"]["market"]
        return rationing_of(market, str(market["mechanism"]))

    def effects(
        self, against: str, mechanism: str | None = None, seed: int | None = None, point: str | None = None
    ) -> pd.DataFrame:
        """What is saved more than under another mechanism: by prices, by rationing, and by the imbalance rule.

        All clearings are recomputed; the mean over the seeds when none is given. See `wattswap.comparison.effects`.

        Returns:
            One row per mechanism, all homes together; or one row per home under the mechanism that is named.

        Raises:
            UsageError: Unknown mechanism.
        """
        import pandas as pd

        from wattswap.comparison.effects import by_home, by_mechanism, effects
        from wattswap.runs.prepare import under

        labels = self.mechanisms if mechanism is None else [mechanism]
        frames = []
        for one in self.seeds if seed is None else [seed]:
            base = self.setup(against, one, point)
            scenarios = {label: self._scenario(label, one, point) for label in labels}
            setups = {label: under(base, scenario) for label, scenario in scenarios.items()}
            found = effects({against: base, **setups}, against)
            self._refuse_other_bills(found, against, one, point)
            rows = by_mechanism(found) if mechanism is None else by_home(found[mechanism], base.roster)
            frames.append(rows.loc[labels] if mechanism is None else rows)
        mean = pd.concat(frames).groupby(level=0, sort=False).mean()
        mean.attrs.update(currency=self.currency, reference=against)
        return mean

    def _refuse_other_bills(
        self, found: Mapping[str, Effects], against: str, seed: int, point: str | None
    ) -> None:
        """Raise unless the effects add up to the differences of the bills that are stored."""
        where = point or self.points[0]
        reference = self._bills[CellKey(where, against, seed)].saving_nano
        for label, one in found.items():
            stored = self._bills[CellKey(where, label, seed)].saving_nano - reference
            if (one.saving_nano != stored).any():
                what = f"the bills of {label} with seed {seed} are others than this program makes"
                raise VerificationFailed.of(
                    str(self.path), what, "compare again with this version of wattswap"
                )

    def __getitem__(self, mechanism: str) -> Compared:
        """One mechanism of the comparison, so that `comparison["mcafee"].bills()` reads like a run."""
        self.cell_keys(mechanism)
        return Compared(self, mechanism)

    def bills(self, mechanism: str, seed: int | None = None, point: str | None = None) -> pd.DataFrame:
        """What each home pays with and without the market; the mean over the seeds when none is given."""
        import pandas as pd

        frames = [
            bills_frame(read_part(self.path, BILLS, key).to_pandas(), self.currency)
            for key in self._chosen(mechanism, seed, point)
        ]
        mean = pd.concat(frames).groupby(level=0, sort=False).mean()
        mean.attrs["currency"] = self.currency
        return mean

    def intervals(self, mechanism: str, seed: int | None = None, point: str | None = None) -> pd.DataFrame:
        """Prices and energy of each interval under one seed, the first when none is given; a price may be missing."""
        import pandas as pd

        key = self._chosen(mechanism, seed, point)[0]
        raw = read_part(self.path, INTERVALS, key).to_pandas().set_index("interval_start")
        scale = {"_micro_per_kwh": ("_per_kwh", MICRO_PER_UNIT), "_wh": ("_kwh", WH_PER_KWH)}
        scale |= {"_nano": ("", NANO_PER_UNIT), "_ns": ("_s", 1_000_000_000)}
        out = {}
        for name in raw.columns:
            ending = next((e for e in scale if name.endswith(e)), None)
            new, per_unit = (name, 1) if ending is None else (name.removesuffix(ending), scale[ending][1])
            new += "" if ending is None else scale[ending][0]
            out[new] = raw[name].astype("Float64") / per_unit
        frame = pd.DataFrame(out, index=raw.index)
        frame.attrs["currency"] = self.currency
        return frame

    def book(self, start: object, seed: int | None = None, point: str | None = None) -> OrderBook:
        """The order book of the interval that starts then; all mechanisms of a comparison share it."""
        from wattswap.comparison.cells import book_at

        setup = self.setup(self.reference, seed, point)
        return book_at(setup, setup.index_of(_second(start)))

    def setup(self, mechanism: str, seed: int | None = None, point: str | None = None) -> Setup:
        """The prepared scenario of a cell, to recompute a clearing of it."""
        from wattswap.runs.prepare import prepare

        return prepare(self._scenario(mechanism, seed, point))

    def _scenario(self, mechanism: str, seed: int | None, point: str | None) -> Scenario:
        from wattswap.scenario.load import from_resolved

        origin = self.about["scenarios"][name_of(self._chosen(mechanism, seed, point)[0])]
        return from_resolved(origin["resolved"], origin["base"])

    def _chosen(self, mechanism: str, seed: int | None, point: str | None) -> list[CellKey]:
        keys = [
            key
            for key in self.cell_keys(mechanism, point or self.points[0])
            if key.seed == seed or (seed is None and key.seed in self.seeds)
        ]
        if not keys:
            raise UsageError.of(str(self.path), f"has no finished cell of {mechanism} with seed {seed}")
        return keys


@dataclass(frozen=True, slots=True)
class Compared:
    """One mechanism of a comparison."""

    comparison: ComparisonFolder
    mechanism: str

    def bills(self, seed: int | None = None) -> pd.DataFrame:
        """See `Comparison.bills`."""
        return self.comparison.bills(self.mechanism, seed)

    def intervals(self, seed: int | None = None) -> pd.DataFrame:
        """See `Comparison.intervals`."""
        return self.comparison.intervals(self.mechanism, seed)


def _second(start: object) -> int:
    import pandas as pd

    stamp = pd.Timestamp(start)  # type: ignore[arg-type]
    stamp = stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp
    return int(stamp.timestamp())
