"""Stories: what a run and a comparison become, held against their tables and against sums made by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import wattswap as ws
from tests.kits.report_kit import outcome, story
from tests.kits.run_kit import call
from wattswap.comparison.plan import Point, make_plan
from wattswap.comparison.runner import compare
from wattswap.conditions import Condition, broken, read_conditions
from wattswap.errors import RunNotFound, UsageError
from wattswap.report import figures
from wattswap.report.sections.flows import flows as flows_section
from wattswap.report.story import IN_COMMON, KEPT, RELEASED, Spread, Story, energy_flows
from wattswap.report.write import html_of, story_of
from wattswap.results import Comparison, RunResult
from wattswap.runs.shown import rounded
from wattswap.selection import read_choices

NAMES = ["uniform_price", "pay_as_bid", "vcg"]


@pytest.fixture(scope="module")
def compared(street: Path, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    point = Point("base", {}, ws.load(street))
    return Comparison(
        compare(make_plan([point], read_choices(NAMES), [1, 2]), tmp_path_factory.mktemp("compared"))
    )


def test_the_interval_of_a_mean_is_that_of_student() -> None:
    spread = Spread.of([1.0, 2.0, 3.0, 4.0])
    assert spread.mean == 2.5
    assert spread.high == pytest.approx(2.5 + 3.1824 * 1.290994 / 2, abs=1e-4)
    assert spread.low == pytest.approx(2.5 - 3.1824 * 1.290994 / 2, abs=1e-4)


def test_a_figure_that_does_not_exist_for_a_seed_has_no_mean() -> None:
    assert Spread.of([None, float("nan")]).mean is None
    assert Spread.of([None, 3.0]) == Spread(None, None, None, 1)
    assert Spread.of([3.0]) == Spread(3.0, None, None, 1)


kwh = st.integers(0, 10_000)


@given(pv=kwh, load=kwh, imported=kwh, exported=kwh, local=kwh, lost=kwh)
def test_energy_flows_lose_nothing(
    pv: int, load: int, imported: int, exported: int, local: int, lost: int
) -> None:
    local = min(local, imported, exported)
    lost = min(lost, exported - local)
    flows = energy_flows(
        {
            "import_kwh": imported,
            "export_kwh": exported,
            "retail_import_kwh": imported - local,
            "retail_export_kwh": exported - local - lost,
            "load_kwh": load,
            "pv_kwh": pv,
        }
    )
    into = flows.groupby("target")["energy_kwh"].sum()
    out = flows.groupby("source")["energy_kwh"].sum()
    assert (flows["energy_kwh"] > 0).all()
    assert into.get("Neighbours", 0) == out.get("Neighbours", 0) == local + lost
    assert into.get("Grid losses", 0) == lost
    assert into.get("Retailer buys", 0) == exported - local - lost
    assert out.get("Retailer sells", 0) == imported - local
    if pv >= exported and load >= imported:
        assert out.get("PV", 0) == pv
        assert into.get("Consumption", 0) == load
        net = (pv - exported) - (load - imported)
        assert into.get(KEPT, 0) - out.get(RELEASED, 0) == net
        assert not {KEPT, RELEASED} <= {*into.index, *out.index}
    else:
        assert into.get("Needs of homes", 0) == imported
        assert out.get("Surplus of homes", 0) == exported


@given(st.tuples(*[st.integers(0, 10_000)] * 4))
def test_a_battery_in_common_keeps_what_neighbours_and_the_retailer_leave_there(wh: tuple[int, ...]) -> None:
    """The battery may trade outside beyond all homes."""
    imported, exported, bought, sold = wh
    sums = {"import": imported, "export": exported, "retail_import": bought, "retail_export": sold}
    flows = energy_flows(
        {f"{n}_kwh": v for n, v in sums.items()} | {"load_kwh": None, "pv_kwh": None}, in_common=True
    )
    into = flows.groupby("target")["energy_kwh"].sum()
    out = flows.groupby("source")["energy_kwh"].sum()
    assert "Grid losses" not in into
    assert (into.get("Needs of homes", 0), out.get("Surplus of homes", 0)) == (imported, exported)
    assert (into.get("Retailer buys", 0), out.get("Retailer sells", 0)) == (sold, bought)
    assert into.get("Neighbours", 0) == out.get("Neighbours", 0)
    assert into.get(IN_COMMON, 0) - out.get(IN_COMMON, 0) == exported - sold - (imported - bought)


@given(st.lists(st.integers(0, 10**6), min_size=6, max_size=6))
def test_the_ends_of_drawn_flows_are_the_sums_of_the_numbers_beside_them(wh: list[int]) -> None:
    kept, local, sold, bought, released, lost = (n / 1e3 for n in wh)
    exported, imported = local + lost + sold, local + bought
    sums = {"import": imported, "export": exported, "retail_import": bought, "retail_export": sold}
    sums |= {"load": imported + released, "pv": exported + kept}
    flows = energy_flows({f"{name}_kwh": value for name, value in sums.items()})
    if flows.empty:
        return
    (drawn,) = figures.flows_figure(flows).data
    ends = [label.rsplit(": ", 1) for label in drawn.node.label]
    said = {name: round(10 * float(text.removesuffix(" kWh").replace(",", ""))) for name, text in ends}
    tenths = flows.assign(tenths=[round(10 * rounded(v, 1)) for v in flows["energy_kwh"]])
    into, out = (tenths.groupby(end)["tenths"].sum() for end in ("target", "source"))
    for name, value in said.items():
        assert value == max(into.get(name, 0), out.get(name, 0))


def test_batteries_are_called_net_where_only_that_is_known() -> None:
    html = flows_section(story()).body
    assert f"PV to {KEPT} " in html
    assert "Of batteries the net is shown" in html


def test_a_market_moves_no_energy_and_what_neighbours_settle_is_what_no_retailer_does(
    finished: RunResult,
) -> None:
    told, readings = story_of(finished.path), finished.table("readings")
    sums = readings.groupby("interval_start")[["import_wh", "export_wh"]].sum() / 1_000
    drawn = (sums["import_wh"] - sums["export_wh"]).clip(lower=0)
    for told_of in (told.without, told.focused):
        assert np.allclose(told_of.intervals["import_kwh"], sums["import_wh"])
        assert told_of.value("peak_import_kw") == pytest.approx(drawn.max())  # intervals of one hour
    local = sums["import_wh"] - finished.table("intervals")["retail_import_wh"].to_numpy() / 1_000
    assert (local >= 0).all()
    flows = told.flows.set_index("source")["energy_kwh"]
    assert flows["Neighbours"] == pytest.approx(local.sum())


def test_surplus_of_buyers_sellers_and_operator_is_the_welfare(finished: RunResult) -> None:
    o = story_of(finished.path).focused
    parts = [o.value(f"{who}_surplus") or 0.0 for who in ("buyer", "seller", "operator")]
    assert sum(parts) == pytest.approx(finished.metrics["welfare"])
    assert min(parts[:2]) > 0
    assert o.observed.worse_than_limit == o.observed.deficit_intervals == 0
    assert o.observed.efficiency == o.observed.volume_share == 1.0


def test_the_book_of_an_interval_is_the_stored_one(finished: RunResult) -> None:
    intervals, orders = finished.table("intervals"), finished.table("orders")
    best = intervals.iloc[intervals["traded_wh"].argmax()]
    curve = story_of(finished.path).curve(None)
    assert curve.start == best["interval_start"]
    assert curve.traded_kwh == best["traded_wh"] / 1_000
    assert curve.price == best["price_micro_per_kwh"] / 1e6
    stored = orders[orders["interval_start"] == best["interval_start"]]
    assert curve.orders["energy_kwh"].sum() == pytest.approx(stored["energy_wh"].sum() / 1_000)
    bids = curve.orders[curve.orders["side"] == "buy"]["limit_per_kwh"].tolist()
    assert bids == sorted(bids, reverse=True)


def test_an_interval_that_is_not_there_is_named_with_those_that_are(
    finished: RunResult, compared: Comparison
) -> None:
    for path in (finished.path, compared.path):
        with pytest.raises(UsageError, match="no interval 2027-01-01T00:00Z; there are 2026-06-02T00:00Z to"):
            story_of(path).curve(datetime(2027, 1, 1, tzinfo=UTC))


def test_a_folder_that_is_neither_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunNotFound, match="no run or comparison is here"):
        story_of(tmp_path)


def test_a_comparison_tells_the_means_of_its_cells(compared: Comparison) -> None:
    told = story_of(compared.path)
    cells = compared.cells()
    assert [o.label for o in told.outcomes] == ["retailer_only", *NAMES, "welfare_optimum"]
    assert told.seeds == (1, 2)
    for o in told.outcomes:
        own = cells[cells["mechanism"] == o.label]
        assert o.value("saving") == pytest.approx(own["saving"].mean())
        assert o.bills["saving"].sum() == pytest.approx(own["saving"].mean())
        assert o.intervals["traded_kwh"].sum() == pytest.approx(own["traded_kwh"].mean())
    best = max((o for o in told.rivals if o.label != "vcg"), key=lambda o: o.value("saving") or 0)
    assert told.focused.value("saving") == pytest.approx(best.value("saving"), abs=0.01)


def test_the_mean_price_over_seeds_counts_by_energy(compared: Comparison) -> None:
    o = story_of(compared.path).outcome("vcg")
    frames = [compared.intervals("vcg", seed).astype(float) for seed in (1, 2)]
    value = sum((f["price_per_kwh"] * f["traded_kwh"]).sum() for f in frames)
    priced = o.intervals.dropna(subset=["price_per_kwh"])
    assert 2 * (priced["price_per_kwh"] * priced["traded_kwh"]).sum() == pytest.approx(value)


def test_the_book_of_a_comparison_clears_as_its_cell_did(compared: Comparison) -> None:
    told = story_of(compared.path)
    row = compared.intervals(told.focus, 1)["traded_kwh"].astype(float)
    curve = told.curve(None)
    assert curve.traded_kwh == row.max()
    assert curve.start == row.idxmax()
    accepted = curve.orders.groupby("side")["accepted_kwh"].sum()
    assert accepted["buy"] == pytest.approx(curve.traded_kwh)
    assert accepted["sell"] == pytest.approx(curve.traded_kwh)
    assert set(curve.orders["household"]) <= set(told.focused.bills.index)


def test_a_comparison_without_finished_cells_says_how_to_go_on(compared: Comparison, tmp_path: Path) -> None:
    import json

    about = compared.about | {"missing": compared.about["cells"]}
    (tmp_path / "comparison.json").write_text(json.dumps(about))
    with pytest.raises(UsageError, match="no finished cells to compare; call the same"):
        story_of(tmp_path)


def test_both_have_figures_and_a_report_in_python(
    finished: RunResult, compared: Comparison, tmp_path: Path
) -> None:
    for name, result in (("run", finished), ("comparison", compared)):
        plot = result.plot
        made = [plot.price(), plot.bills(), plot.curve(), plot.flows(), plot.grid(), plot.savings()]
        assert all(len(figure.data) > 0 for figure in made)
        again = plot.curve("2026-06-02T06:00Z")
        assert again.data[0].x != made[2].data[0].x or again.data[0].y != made[2].data[0].y
        assert "curve(interval)" in repr(plot)
        assert result.report(tmp_path / f"{name}.html").is_file()


def test_the_page_of_a_comparison_tells_of_every_mechanism(compared: Comparison) -> None:
    html = html_of(story_of(compared.path))
    for label in ("retailer_only (reference)", "pay_as_bid", "vcg", "welfare_optimum (bound)"):
        assert f'<th scope="row">{label}</th>' in html.replace("<wbr>", "")
    assert "The cells of a comparison run without a chain." in html


def read(texts: list[str], told: Story) -> list[Condition]:
    figures = told.figures
    return read_conditions("--assert", texts, figures, {name for found in figures.values() for name in found})


def competing(told: Story) -> list[str]:
    return [o.label for o in told.rivals]


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("saving > 2.49", True),
        ("saving > 2.5", False),
        ("uniform_price.saving >= 6.75", True),
        ("welfare_optimum.saving==9", True),
        ("retailer_only.saving != 0", False),
        ("homes_worse_off <= 1", True),
        ("homes_worse_off < 1", False),
        ("retailer_only.price_per_kwh < 1", False),
        ("retailer_only.price_per_kwh > -1", False),
    ],
)
def test_a_condition_holds_the_mean_of_every_mechanism_asked_for(text: str, holds: bool) -> None:
    told = story(outcomes=tuple(outcome(o.label, seeds=1) for o in story().outcomes))
    problems = broken("--assert", read([text], told), told.figures, competing(told), must_hold=True)
    assert (not problems) is holds
    assert all(problem.where.startswith("--assert") for problem in problems)


def test_the_other_polarity_fails_where_a_condition_holds_or_a_figure_is_missing() -> None:
    told = story(outcomes=tuple(outcome(o.label, seeds=1) for o in story().outcomes))
    for text, found in (
        ("saving > 2.49", True),
        ("saving > 100", False),
        ("retailer_only.gini_saving < 9", True),
    ):
        problems = broken("--fail-if", read([text], told), told.figures, competing(told), must_hold=False)
        assert bool(problems) is found, text


def test_a_mechanism_with_parameters_in_its_name_can_be_asked_for() -> None:
    label = "uniform_price:k=0.3"
    renamed = tuple(o if o.label != "mcafee" else outcome("mcafee") for o in story().outcomes)
    named = tuple(
        type(o)(label, o.metrics, o.intervals, o.bills) if o.label == "mcafee" else o for o in renamed
    )
    (found,) = read([f"{label}.saving >= 2.5"], story(outcomes=named))
    assert (found.label, found.metric, found.sign, found.number) == (label, "saving", ">=", 2.5)


def test_every_wrong_condition_is_told_at_once() -> None:
    wrong = ["savng > 1", "mcaffee.saving > 1", "saving", "saving > much", "saving => 3"]
    with pytest.raises(UsageError) as error:
        read(wrong, story())
    assert len(error.value.problems) == len(wrong)
    assert "did you mean 'saving'?" in str(error.value)
    assert "did you mean 'mcafee'?" in str(error.value)


def test_the_command_ends_with_6_and_the_report_is_written_all_the_same(
    finished: RunResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "r.html"
    done = call(
        capsys, "report", finished.path, "--out", out, "--assert", "saving < 0", "--assert", "homes > 1"
    )
    assert done.code == 6
    assert "saving of uniform_price is" in done.err
    assert "homes of" not in done.err
    assert out.is_file()


def test_the_object_of_the_command_has_the_verdict(
    finished: RunResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import json

    done = call(capsys, "report", finished.path, "--out", tmp_path / "r.html", "--json")
    told = json.loads(done.out)
    assert told["bytes"] == (tmp_path / "r.html").stat().st_size
    assert len(told["verdict"]) == 3


def test_frames_of_a_story_are_indexed_by_time_and_home(finished: RunResult) -> None:
    for o in story_of(finished.path).outcomes:
        assert isinstance(o.intervals.index, pd.DatetimeIndex)
        assert str(o.intervals.index.tz) == "UTC"
        assert list(o.bills.index) == list(finished.bills().index)


def test_a_condition_is_checked_also_where_the_report_is_there_already(
    finished: RunResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "page.html"
    out.write_text("kept", encoding="utf-8")
    known = ["report", finished.path, "--out", out, "--assert"]
    done = call(capsys, *known, "saving < -1000")
    assert (done.code, done.out) == (6, "")
    assert "--assert saving < -1000" in done.err
    assert f"{out}: exists already; name another file with --out, or add --force" in done.err
    assert call(capsys, *known, "saving > -1000").code == 3
    assert out.read_text(encoding="utf-8") == "kept"
