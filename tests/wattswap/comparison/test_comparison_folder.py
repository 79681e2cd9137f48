"""The folder of a comparison: no cell is computed twice, and nothing stored is believed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import wattswap as ws
from market.metrics.table import Row
from tests.kits.run_kit import write_street
from wattswap.comparison import runner
from wattswap.comparison.plan import BASE, CellKey, Point, make_plan
from wattswap.comparison.store import part_path
from wattswap.errors import VerificationFailed
from wattswap.scenario.load import load
from wattswap.selection import read_choices


def test_finished_cells_are_not_worked_out_again(street_by_lot: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, int, bool]] = []

    def note(key: CellKey, row: Row, done: int, total: int, before: bool) -> None:
        assert row["saving"] is not None
        seen.append((key.mechanism, key.seed, before))

    first = ws.compare(street_by_lot, ["uniform_price"], seeds=[7], out=tmp_path, on_cell=note)
    assert [before for _, _, before in seen] == [False] * 3
    seen.clear()
    second = ws.compare(street_by_lot, ["uniform_price", "mcafee"], seeds=[7, 8], out=tmp_path, on_cell=note)
    assert second.path == first.path
    assert [(m, s) for m, s, before in seen if before] == [
        ("retailer_only", 7),
        ("uniform_price", 7),
        ("welfare_optimum", 7),
    ]
    assert len(seen) == 8
    assert second.mechanisms == ["retailer_only", "uniform_price", "mcafee", "welfare_optimum"]
    # A cell whose last file is missing was not finished.
    part_path(second.path, "summary", CellKey(BASE, "mcafee", 8)).unlink()
    seen.clear()
    ws.compare(street_by_lot, ["mcafee"], seeds=[8], out=tmp_path, on_cell=note)
    assert [m for m, _, before in seen if not before] == ["mcafee"]


def test_other_data_or_another_scenario_is_another_folder(street_by_lot: Path, tmp_path: Path) -> None:
    scenario = load(street_by_lot)
    choices = read_choices(["uniform_price"])

    def digest(overrides: list[str], data: str = "x") -> str:
        point = Point(BASE, {}, load(street_by_lot, overrides=overrides))
        return make_plan([point], choices, [scenario.seed]).digest([data])

    same = digest([])
    assert digest(["seed=99"]) == same == digest(["market.mechanism=mcafee"])
    assert len({same, digest([], "y"), digest(["tariff.import_per_kwh=0.5"]), digest(["market.k=0.2"])}) == 4


def test_a_changed_number_is_found_by_working_the_cells_out_again(
    street_by_lot: Path, tmp_path: Path
) -> None:
    comparison = ws.compare(street_by_lot, ["uniform_price"], seeds=[7, 8], out=tmp_path)
    assert runner.verify(comparison.path) == {"cells": 6}
    for dataset, column in (("bills", "trade_nano"), ("intervals", "price_micro_per_kwh")):
        path = part_path(comparison.path, dataset, CellKey(BASE, "uniform_price", 8))
        table = pq.ParquetFile(path).read()
        numbers = table[column].to_pylist()
        place = next(i for i, number in enumerate(numbers) if number)
        numbers[place] += 1
        pq.write_table(table.set_column(table.column_names.index(column), column, [numbers]), path)
    with pytest.raises(VerificationFailed) as caught:
        runner.verify(comparison.path)
    assert "uniform_price 8: intervals.price_micro_per_kwh, bills.trade_nano" in str(caught.value)
    assert "uniform_price 7" not in str(caught.value)


@pytest.mark.parametrize("what", ["figure", "household", "hidden", "deleted", "stray"])
def test_whatever_else_was_changed_is_found_too(what: str, street_by_lot: Path, tmp_path: Path) -> None:
    comparison = ws.compare(street_by_lot, ["uniform_price"], seeds=[7], out=tmp_path)
    folder, key = comparison.path, CellKey(BASE, "uniform_price", 7)
    summary, bills = part_path(folder, "summary", key), part_path(folder, "bills", key)
    table = pq.ParquetFile(summary if what == "figure" else bills).read()
    if what == "figure":
        pq.write_table(table.set_column(table.column_names.index("saving"), "saving", [[999.0]]), summary)
    elif what == "household":
        names = table["household"].to_pylist()[::-1]
        pq.write_table(table.set_column(0, "household", [names]), bills)
    elif what == "hidden":
        about = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
        (folder / "comparison.json").write_text(
            json.dumps(about | {"missing": about["cells"]}), encoding="utf-8"
        )
    elif what == "deleted":
        summary.unlink()
    else:
        part_path(folder, "bills", CellKey(BASE, "mcafee", 7)).parent.mkdir(parents=True)
        shutil.copy(bills, part_path(folder, "bills", CellKey(BASE, "mcafee", 7)))
    with pytest.raises(VerificationFailed):
        runner.verify(folder)


def test_changed_meter_data_are_read_again_in_the_same_process(tmp_path: Path) -> None:
    street = write_street(tmp_path / "street", homes=4)
    first = ws.compare(street, "uniform_price", seeds=1, out=tmp_path / "out")
    meter = street / "meter.csv"
    rows = meter.read_text(encoding="utf-8").splitlines()
    cells = [row.split(",") for row in rows[1:]]
    rows[1:] = [f"{start},{home},{2 * float(bought):.3f},{sold}" for start, home, bought, sold in cells]
    meter.write_text("\n".join(rows) + "\n", encoding="utf-8")
    second = ws.compare(street, "uniform_price", seeds=1, out=tmp_path / "out")
    assert second.path != first.path
    costs = [c.summary().loc["retailer_only", "cost_without_market"] for c in (first, second)]
    assert costs[1] > 1.5 * costs[0]
    assert runner.verify(second.path) == {"cells": 3}


def test_a_damaged_file_is_named(street_by_lot: Path, tmp_path: Path) -> None:
    comparison = ws.compare(street_by_lot, ["uniform_price"], seeds=[7], out=tmp_path)
    path = part_path(comparison.path, "intervals", CellKey(BASE, "uniform_price", 7))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(VerificationFailed, match=r"part\.parquet: is damaged"):
        comparison.intervals("uniform_price")
