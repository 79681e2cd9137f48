"""`show` of a comparison and its tables as CSV: what it prints is what Python reads from the folder."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import pytest

import wattswap as ws
from tests.kits.run_kit import call, one_object
from wattswap.cli.tables import print_table
from wattswap.errors import RunNotFound
from wattswap.results import Comparison, RunResult

Capture = pytest.CaptureFixture[str]
RULES = ["uniform_price", "mcafee"]


@pytest.fixture(scope="module")
def compared(street: Path, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return ws.compare(street, RULES, seeds=[1, 2], out=tmp_path_factory.mktemp("compared"))


@pytest.fixture(scope="module")
def swept(street: Path, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    from wattswap.cli import main

    out = tmp_path_factory.mktemp("swept")
    words = ["sweep", str(street), "--vary", "market.k=0,1", "-m", "uniform_price", "--out", str(out), "-q"]
    with pytest.raises(SystemExit):
        main(words)
    (folder,) = out.iterdir()
    return Comparison(folder)


def csv_of(capsys: Capture, *words: object) -> pd.DataFrame:
    done = call(capsys, "show", *words, "--csv")
    assert (done.code, done.err) == (0, "")
    return pd.read_csv(io.StringIO(done.out))


def test_show_prints_the_table_that_compare_printed(compared: Comparison, capsys: Capture) -> None:
    text = call(capsys, "show", compared.path)
    assert text.code == 0
    assert f"Folder  {compared.path}" in text.out
    assert text.out.count("welfare_optimum") == 2
    assert one_object(call(capsys, "show", compared.path, "--json"))["seeds"] == [1, 2]


def test_the_summary_as_csv_is_that_of_python(compared: Comparison, capsys: Capture) -> None:
    table = csv_of(capsys, compared.path).set_index("mechanism")
    pd.testing.assert_frame_equal(table.astype(float), compared.summary().astype(float), check_names=False)


def test_the_bills_under_a_mechanism(compared: Comparison, capsys: Capture) -> None:
    bills = compared.bills("mcafee")
    table = csv_of(capsys, compared.path, "bills", "mcafee").set_index("household")
    pd.testing.assert_frame_equal(table, bills, check_dtype=False)
    rows = one_object(call(capsys, "show", compared.path, "bills", "mcafee", "--json"))["rows"]
    assert [row["saving"] for row in rows] == bills["saving"].tolist()
    text = call(capsys, "show", compared.path, "bills", "mcafee").out
    assert "mcafee, mean over 2 seeds" in text
    assert f"{bills['saving'].sum():.2f}" in next(
        line for line in text.splitlines() if line.startswith(" all")
    )


def test_all_cells_or_those_of_one_mechanism(compared: Comparison, capsys: Capture) -> None:
    cells = csv_of(capsys, compared.path, "cells")
    assert len(cells) == 4 * 2
    assert set(compared.cells().columns) - set(cells.columns) == {"point"}
    assert cells["saving"].tolist() == compared.cells()["saving"].tolist()
    own = csv_of(capsys, compared.path, "cells", "mcafee")
    assert own["mechanism"].tolist() == ["mcafee", "mcafee"]
    rows = one_object(call(capsys, "show", compared.path, "cells", "--json"))["rows"]
    assert rows[0]["price_per_kwh"] is None
    assert {"agreed", "ahead", "kWh"} <= set(call(capsys, "show", compared.path, "cells").out.split())


def test_a_sweep_has_its_points_in_the_first_column(swept: Comparison, capsys: Capture) -> None:
    points = ["market.k=0", "market.k=1"]
    for words, rows in ((("summary",), 3), (("bills", "uniform_price"), 3), (("cells",), 3)):
        table = csv_of(capsys, swept.path, *words)
        counted = table.groupby("point").size()
        assert counted.index.tolist() == points
        assert counted.tolist() == [rows, rows]
    text = call(capsys, "show", swept.path, "bills", "uniform_price").out
    assert all(f"uniform_price, {point}" in text for point in points)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["bills"], "bills need one mechanism, and none is named"),
        (["bills", "mcaffee"], "did you mean 'mcafee'?"),
        (["block", "3"], "to show of a comparison; known: summary, bills, cells"),
        (["summary", "mcafee"], "the summary covers all mechanisms"),
        (["cells", "--json", "--csv"], "keep one of the two"),
    ],
)
def test_what_a_comparison_cannot_show_is_refused(
    words: list[str], says: str, compared: Comparison, capsys: Capture
) -> None:
    done = call(capsys, "show", compared.path, *words)
    assert done.code == 2
    assert says.lower() in (done.out + done.err).lower()


def test_a_comparison_is_no_run_and_says_so(compared: Comparison) -> None:
    with pytest.raises(RunNotFound, match="a comparison is here, and no run"):
        RunResult(compared.path)


@pytest.mark.parametrize("what", ["bills", "prices", "book", "shares", "why"])
def test_tables_of_a_run_as_csv(what: str, finished: RunResult, capsys: Capture) -> None:
    which = [finished.bills().index[0]] if what == "why" else []
    table = csv_of(capsys, finished.path, what, *which)
    rows = one_object(call(capsys, "show", finished.path, what, *which, "--json"))["rows"]
    assert list(table.columns) == list(rows[0])
    assert len(table) == len(rows) > 1
    number = table.select_dtypes("number").columns[-1]
    assert table[number].tolist() == pytest.approx([row[number] for row in rows])


def test_a_view_that_is_no_table_is_no_csv(finished: RunResult, capsys: Capture) -> None:
    done = call(capsys, "show", finished.path, "block", "1", "--csv")
    assert done.code == 2
    assert "block is not a table" in done.err


def test_a_table_without_rows_has_its_head(capsys: Capture) -> None:
    print_table("Nothing", pd.DataFrame({"price_per_kwh": []}))
    assert capsys.readouterr().out.split()[:4] == ["Nothing", "price", "per", "kwh"]
