"""The report of a sweep: all points in one section, one of them in full, and nothing of it in other reports."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean, stdev

import pytest

import wattswap as ws
from tests.kits.report_kit import story, sweep_in
from tests.kits.run_kit import call
from wattswap.errors import UsageError
from wattswap.report.of_comparison import SWEPT, sweep_of
from wattswap.report.sections.sweep import MAX_PANELS
from wattswap.report.write import html_of, story_of
from wattswap.results import Comparison, RunResult

K, FORECAST = "market.k", "homes.forecast"
T2 = 4.302653
"""Student's t for 95 % with two degrees of freedom."""


@pytest.fixture(scope="module")
def by_price(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    folder = tmp_path_factory.mktemp("by-price")
    return sweep_in(folder, "tariff.feed_in_per_kwh=0.12,0.04,0.08", seeds=3)


@pytest.fixture(scope="module")
def by_two(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return sweep_in(tmp_path_factory.mktemp("by-two"))


def test_every_point_stands_in_the_frame_with_its_interval(by_price: Comparison) -> None:
    found = sweep_of(by_price, ["saving"])
    assert found is not None
    frame, cells = found.frames["saving"], by_price.cells()
    assert len(frame) == 3 * 3
    assert by_price.reference not in set(frame["mechanism"])
    for row in frame.itertuples(index=False):
        point = f"tariff.feed_in_per_kwh={row[0]}"
        own = cells[(cells["point"] == point) & (cells["mechanism"] == row.mechanism)]["saving"].tolist()
        assert row.mean == pytest.approx(fmean(own))
        assert row.high - row.mean == pytest.approx(T2 * stdev(own) / 3**0.5, rel=1e-5)
        assert row.mean - row.low == pytest.approx(row.high - row.mean)


def test_numbers_are_drawn_in_order_one_line_a_mechanism(by_price: Comparison) -> None:
    figure = by_price.plot.sweep()
    lines = {trace.name: trace for trace in figure.data}
    assert set(lines) == {"welfare_optimum", "uniform_price", "mcafee"}
    means = [
        by_price.summary(f"tariff.feed_in_per_kwh={v}")["saving"]["mcafee"] for v in ("0.04", "0.08", "0.12")
    ]
    assert lines["mcafee"].x == (0.04, 0.08, 0.12)
    assert lines["mcafee"].y == pytest.approx(means, abs=1e-5)
    assert lines["mcafee"].mode == "lines+markers"
    half = by_price.differences("saving", point="tariff.feed_in_per_kwh=0.04").loc["mcafee"]
    assert lines["mcafee"].error_y.array[0] == pytest.approx(half["high"] - half["mean"], abs=1e-4)
    assert figure.layout.xaxis.title.text == "tariff.feed_in_per_kwh"
    share = by_price.plot.sweep("allocative_efficiency")
    assert share.data[0].y == (100, 100, 100)  # the bound, in percent as in the column of the comparison
    assert by_price.plot.sweep("homes_worse_off").data[0].error_y.array is None


def test_two_keys_are_small_multiples_with_the_numbers_along_the_axis(by_two: Comparison) -> None:
    figure = by_two.plot.sweep("traded_kwh")
    assert [note.text for note in figure.layout.annotations] == [
        f"{FORECAST} = same_hour_mean",
        f"{FORECAST} = perfect_foresight",
    ]
    assert len(figure.data) == 2 * 3
    assert sum(trace.showlegend for trace in figure.data) == 3
    for trace in figure.data:
        forecast = "perfect_foresight" if trace.xaxis == "x2" else "same_hour_mean"
        points = [f"{FORECAST}={forecast} {K}={k}" for k in (0, 1)]
        means = [by_two.summary(point)["traded_kwh"][trace.name] for point in points]
        assert list(trace.x) == [0, 1]
        assert trace.y == pytest.approx(means)
    assert figure.layout.yaxis2.matches == "y"
    first, second = figure.layout.xaxis.domain, figure.layout.xaxis2.domain
    assert 0 <= first[0] < first[1] < second[0] < second[1] <= 1


def test_words_are_categories_without_lines(tmp_path: Path) -> None:
    swept = sweep_in(tmp_path, f"{FORECAST}=same_hour_mean,perfect_foresight", seeds=1)
    figure = swept.plot.sweep("price_per_kwh")
    assert figure.layout.xaxis.type == "category"
    for trace in figure.data:
        assert trace.x == ("same_hour_mean", "perfect_foresight")
        assert trace.mode == "markers"
        assert trace.error_y.array is None  # one seed has no interval


def test_the_page_leads_with_the_sweep_and_tells_the_point_that_was_asked_for(
    by_price: Comparison, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    point, out = "tariff.feed_in_per_kwh=0.04", tmp_path / "sweep.html"
    done = call(capsys, "report", by_price.path, "--point", point, "--out", out, "--assert", "saving > -99")
    assert done.code == 0
    html = out.read_text(encoding="utf-8")
    assert html.index('<h2 id="sweep-title">Sweep</h2>') < html.index('<h2 id="verdict-title">')
    assert f"<h1>tiny, {point}: uniform_price, mcafee</h1>" in html
    for metric in set(SWEPT) - {"self_sufficiency"}:  # these meters do not tell the load
        assert f'id="figure-sweep-{metric.replace("_", "-")}"' in html
        assert f'download="sweep-{metric.replace("_", "-")}.csv"' in html
    told = story_of(by_price.path, point)
    assert f"All sections below are those of the point {point}." in html
    assert told.focused.value("saving") == pytest.approx(by_price.summary(point)["saving"][told.focus])
    assert told.focused.bills["saving"].sum() == pytest.approx(told.focused.value("saving"))
    assert told.focused.intervals["feed_in_per_kwh"].iloc[0] == 0.04
    assert told.scenario["tariff"]["feed_in_per_kwh"] == "0.04"
    first = story_of(by_price.path)
    assert first.point == "tariff.feed_in_per_kwh=0.12"
    assert first.focused.intervals["feed_in_per_kwh"].iloc[0] == 0.12
    curve = told.curve(None)
    book = by_price.book(curve.start, told.seeds[0], point)
    assert sorted(curve.orders["limit_per_kwh"]) == sorted(book.limit_micro_per_kwh / 1e6)
    assert set(curve.orders["limit_per_kwh"]) != set(first.curve(curve.start).orders["limit_per_kwh"])


def test_points_that_differ_in_length_tell_their_own(tmp_path: Path) -> None:
    swept = sweep_in(tmp_path, "time.intervals=24,36", seeds=1)
    lengths = [story_of(swept.path, point).intervals for point in ("time.intervals=24", "time.intervals=36")]
    assert lengths == [24, 36]
    assert swept.report(tmp_path / "r.html", point="time.intervals=36").is_file()


def test_a_metric_that_exists_nowhere_has_a_sentence_instead_of_a_figure(by_two: Comparison) -> None:
    html = html_of(story_of(by_two.path))
    assert by_two.cells()["self_sufficiency"].isna().all()
    assert 'id="figure-sweep-self-sufficiency"' not in html
    assert "No figure of self-sufficiency, %: the data do not have the load" in html


def test_a_sweep_of_twelve_points_stays_small(tmp_path: Path) -> None:
    grid = ["market.k=0,0.25,0.5,0.75", "tariff.feed_in_per_kwh=0.04,0.08,0.12"]
    swept = sweep_in(tmp_path, *grid, seeds=1)
    assert len(swept.points) == 12 <= MAX_PANELS
    assert swept.report().stat().st_size < 7_000_000


def test_plain_reports_have_no_sweep(finished: RunResult, by_two: Comparison) -> None:
    for told in (story(), story_of(finished.path)):
        html = html_of(told)
        assert 'id="sweep"' not in html
        assert told.point == ""
    assert html_of(story_of(by_two.path)).count('<section id="sweep"') == 1


def test_what_is_no_sweep_or_no_point_is_refused(
    street: Path, finished: RunResult, by_two: Comparison, tmp_path: Path
) -> None:
    plain = ws.compare(street, ["uniform_price"], out=tmp_path)
    for result in (finished, plain):
        with pytest.raises(UsageError, match="is not a sweep"):
            result.plot.sweep()
    with pytest.raises(UsageError, match="only a sweep has points"):
        story_of(finished.path, "market.k=0")
    with pytest.raises(UsageError, match=r"has no point 'market\.k=7'"):
        story_of(by_two.path, "market.k=7")
    with pytest.raises(UsageError, match="no metric 'savng'; did you mean 'saving'"):
        by_two.plot.sweep("savng")
