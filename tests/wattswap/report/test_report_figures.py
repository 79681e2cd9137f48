"""Figures and words: lines through the right points, the best marked, sentences that say what the numbers say."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from market.metrics.table import METRICS, Metric
from tests.kits.report_kit import HOMES, NASTY, SAVINGS, START, bills, book, intervals, outcome, story
from wattswap.report import drawing, figures, words
from wattswap.report import page as page_module
from wattswap.report.sections.comparison import best_value, comparison_table
from wattswap.report.sections.properties import properties_table
from wattswap.report.story import Observed, Spread
from wattswap.report.words import against_best, duration, interval, number, verdict
from wattswap.report.write import html_of


def measure(name: str) -> Metric:
    return METRICS.get(name)


def cells_of(html: str, row: str) -> list[str]:
    """Text of the cells of a row, of all measures in order; a marked one ends in a star."""
    unfolded = html[html.index("<details") :].replace("<wbr>", "")
    found = "".join(re.findall(rf'<tr><th scope="row">{re.escape(row)}</th>(.*?)</tr>', unfolded))
    cells = re.findall(r'<td class="([^"]*)"[^>]*>(.*?)</td>', found)
    return [re.sub(r"<small>[^<]*</small>", "", c) + ("*" if "best" in css else "") for css, c in cells]


def test_supply_and_demand_are_steps_that_meet_at_the_clearing_point() -> None:
    demand, supply, cleared = figures.curve_figure(book(), "EUR").data
    assert list(zip(demand.x, demand.y, strict=True)) == [(0, 0.30), (2, 0.30), (2, 0.20), (3, 0.20)]
    assert list(zip(supply.x, supply.y, strict=True)) == [(0, 0.10), (1, 0.10), (1, 0.25), (4, 0.25)]
    assert (cleared.x, cleared.y) == ((2.0,), (0.25,))


def test_without_a_trade_no_point_is_drawn() -> None:
    curve = replace(book(), price=None, traded_kwh=0.0)
    assert [trace.name for trace in figures.curve_figure(curve, "EUR").data] == ["demand", "supply"]


def test_a_price_line_breaks_where_nothing_was_traded_and_keeps_between_the_bounds() -> None:
    frame = intervals("vcg")
    tariff, feed_in, line = figures.price_figure({"vcg": frame}, "EUR").data
    assert set(tariff.y) == {0.32}
    assert set(feed_in.y) == {0.08}
    assert [y is None for y in line.y] == frame["price_per_kwh"].isna().tolist()
    assert line.connectgaps is None


def test_a_mechanism_that_never_trades_has_no_line() -> None:
    traces = figures.price_figure({"vcg": intervals("vcg"), "none": intervals("retailer_only")}, "EUR").data
    assert [t.name for t in traces] == ["tariff", "feed-in", "vcg"]


def test_bills_are_sorted_with_the_largest_on_top_and_names_are_text() -> None:
    figure = figures.bills_figure({"vcg": bills("vcg"), "mcafee": bills("mcafee")}, "EUR")
    before, vcg, _ = figure.data
    assert list(before.x) == sorted([10.0, 20.0, -5.0, 4.0, 0.0])
    assert [round(b - a, 9) for b, a in zip(before.x, vcg.x, strict=True)] == [3.0, 0.5, 1.0, 1.5, 2.0]
    assert before.y[-1] == NASTY.replace("<", "&lt;").replace(">", "&gt;")
    assert max(map(len, figure.layout.yaxis.ticktext)) < 40
    assert not [text for text in figure.layout.yaxis.ticktext if "<" in text]


def test_of_many_homes_those_are_drawn_that_lose_and_win_most() -> None:
    homes = 500
    frame = pd.DataFrame(
        {"cost_without_market": np.arange(homes) % 7, "saving": np.arange(homes) - 100.0},
        index=[f"home-{i:03}" for i in range(homes)],
    )
    shown = set(figures.shown_homes(frame))
    half = figures.MAX_HOMES // 2
    assert shown == {f"home-{i:03}" for i in [*range(half), *range(homes - half, homes)]}


def test_losers_have_another_colour_and_another_side() -> None:
    (bars, *_) = figures.savings_figure({"mcafee": bills("mcafee")["saving"]}, "EUR").data
    assert list(bars.x) == [-0.75, 0.25, 0.5, 1.0, 1.5]
    assert [c == drawing.VERMILION for c in bars.marker.color] == [True, False, False, False, False]


def test_labels_of_points_and_bars_are_the_cents_of_the_table() -> None:
    third = pd.DataFrame({"saving": [1 / 3] * 3, "cost_without_market": [2 / 3] * 3}, index=["a", "b", "c"])
    third["cost_with_market"] = third["cost_without_market"] - third["saving"]
    (bars,) = figures.savings_figure({"vcg": third["saving"]}, "EUR").data
    assert (list(bars.x), list(bars.customdata)) == ([1 / 3] * 3, [0.34, 0.33, 0.33])
    lines = figures.savings_figure({"vcg": third["saving"], "mcafee": third["saving"]}, "EUR").data
    assert [list(line.customdata) for line in lines] == [[0.34, 0.33, 0.33]] * 2
    *_, before, after = figures.bills_figure({"vcg": third}, "EUR").data
    assert sorted(before.customdata) == [0.66, 0.67, 0.67]
    assert sum(before.customdata) - sum(after.customdata) == pytest.approx(1)
    sentence = words.worst_off(replace(outcome("vcg"), bills=third), "EUR")
    assert sentence.endswith("even a, which gains least, saves 0.34 EUR.")


def test_the_peak_is_marked_where_it_is() -> None:
    power = figures.power_of(story())
    traces = figures.grid_figure(power).data
    frame = intervals("uniform_price")
    drawn = (frame["import_kwh"] - frame["export_kwh"]).clip(lower=0) * 4
    assert drawn.max() > 0
    assert traces[1].x == (f"{drawn.idxmax():%Y-%m-%d %H:%M}",)
    assert traces[1].y == (drawn.max(),)
    assert list(traces[0].y) == pytest.approx(drawn.tolist(), rel=1e-5)


def test_no_two_of_40_series_look_the_same() -> None:
    looks = {(drawing.colour_of(i), drawing.symbol_of(i)) for i in range(40)}
    assert len(looks) == 40


def test_bands_of_energy_are_as_wide_as_the_flows() -> None:
    flows = story().flows
    (sankey,) = figures.flows_figure(flows).data
    labels = [label.split(":")[0] for label in sankey.node.label]
    ends = zip(sankey.link.source, sankey.link.target, sankey.link.value, strict=True)
    assert [(labels[a], labels[b], v) for a, b, v in ends] == list(flows.itertuples(index=False, name=None))
    assert "Consumption: 50.0 kWh" in sankey.node.label


def test_a_year_is_drawn_by_the_day_and_loses_no_energy_and_no_money() -> None:
    year = intervals("vcg", 365 * 96)
    drawn = figures.coarse(year)
    assert len(drawn) == 365
    assert drawn["traded_kwh"].sum() == pytest.approx(year["traded_kwh"].sum())
    value = (year["price_per_kwh"] * year["traded_kwh"]).sum()
    assert (drawn["price_per_kwh"] * drawn["traded_kwh"]).sum() == pytest.approx(value)
    assert set(drawn["import_per_kwh"].round(9)) == {0.32}
    assert figures.coarse(year.head(3_000)) is not drawn
    assert len(figures.coarse(year.head(3_000))) == 3_000
    assert len(figures.coarse(year.head(4_000))) == 1_000


def test_the_best_is_marked_and_worse_ones_stand_in_percent_of_it() -> None:
    html, _ = comparison_table(story())
    assert cells_of(html, "uniform_price")[:3] == ["22.25*", "6.75*", "0*"]
    assert cells_of(html, "mcafee")[:3] == ["26.50", "2.50", "1"]
    assert "<small>37.0 % of best</small>" in html  # 2.50 of 6.75
    assert "<small>119.1 % of best</small>" in html  # 26.50 of 22.25
    assert cells_of(html, "vcg")[:2] == ["21.00", "8.00"]
    assert "Where the operator adds money (vcg 0.80 EUR)" in html
    assert cells_of(html, "welfare_optimum (bound)")[1] == "9.00"
    assert cells_of(html, "retailer_only (reference)")[1] == "0.00"


def test_an_undefined_figure_has_a_dash_and_its_reason_once() -> None:
    html, _ = comparison_table(story())
    assert "– stands for average price of retailer_only: nothing was traded." in html
    assert html.count("it is defined only where no home loses and some home gains") == 1
    assert "–" in cells_of(html, "mcafee")


def test_a_single_mechanism_is_held_against_no_market() -> None:
    told = story(outcomes=tuple(outcome(n) for n in ("retailer_only", "vcg")), bound=None, focus="vcg")
    assert best_value(told, measure("peak_import_kw")) == 8.0
    assert best_value(told, measure("price_per_kwh")) is None


def test_several_seeds_show_the_interval_and_one_does_not() -> None:
    html, _ = comparison_table(story())
    half = 4.302653 * 0.01 / np.sqrt(3)
    assert f"<small>{6.75 - half:.2f} to {6.75 + half:.2f}</small>" in html
    one = story(outcomes=tuple(outcome(n, seeds=1) for n in SAVINGS), seeds=(1,))
    assert " to " not in comparison_table(one)[0]


def test_a_promise_that_was_broken_is_marked() -> None:
    html = properties_table(story())
    assert html.count('<td class="bad" data-label="budget">broken: the operator added money in 3') == 1
    assert html.count('<td class="bad" data-label="efficiency">broken: 90.00 % of the optimum<') == 1
    assert html.count("the operator never adds money") == 1


def test_a_trade_worse_than_a_limit_breaks_the_promise() -> None:
    seen = Observed(
        deficit_intervals=0, surplus_intervals=0, worse_than_limit=2, efficiency=1.0, volume_share=1.0
    )
    told = story(outcomes=(outcome("retailer_only"), replace(outcome("uniform_price"), observed=seen)))
    assert "broken: 2 trades worse than the limit, fees included" in properties_table(told)
    assert "100.00 % of the volume of the optimum" in properties_table(told)


@pytest.mark.parametrize(
    ("value", "best", "text"),
    [
        (50.0, 100.0, "50.0 % of best"),
        (0.0, 4.0, "0.0 % of best"),
        (4.6, -3.36, "+7.96"),
        (-5.0, -7.0, "+2.00"),
    ],
)
def test_no_percentage_is_given_across_zero(value: float, best: float, text: str) -> None:
    assert against_best(value, best, 2) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (float("nan"), "–"), (-0.001, "0.00"), (1234.5, "1,234.50")]
)
def test_numbers_are_written_for_people(value: float | None, text: str) -> None:
    assert number(value) == text


def test_an_interval_that_rounds_to_its_mean_is_left_out() -> None:
    assert interval(Spread(1.0, 0.999, 1.001, 3), 2) == ""
    assert interval(Spread(1.0, 0.9, 1.1, 3), 2) == "0.90 to 1.10"
    assert interval(Spread(0.5, 0.4, 0.6, 3), 0, 100) == "40 to 60"
    assert interval(Spread(1.0), 2) == ""


@pytest.mark.parametrize(
    ("minutes", "text"), [(1440, "1 day"), (10_080, "7 days"), (180, "3 hours"), (45, "45 minutes")]
)
def test_a_length_of_time_is_said_in_its_largest_unit(minutes: int, text: str) -> None:
    assert duration(timedelta(minutes=minutes)) == text


def test_the_verdict_of_a_comparison_names_the_best_that_needs_no_money() -> None:
    money, worst, energy = verdict(story())
    assert money.startswith(
        "Of 2 mechanisms that need no money from outside (vcg needs 0.80 EUR) uniform_price saves the homes most"
        " by itself: with it the 5 homes together pay 22.25 EUR in 1 day instead of 29.00 EUR without a market,"
        " 6.75 EUR (23.3 %) better"
    )
    assert "95 % interval 6.73 to 6.77 EUR over 3 seeds" in money
    assert worst == "No home is worse off than without a market; even eve, which gains least, saves 0.25 EUR."
    assert energy.startswith("18.7 kWh were agreed ahead at 0.1500 EUR per kWh on average")


def test_the_verdict_counts_no_money_from_outside_and_names_it() -> None:
    told = story(focus="mcafee")
    parts = {"saving_by_mechanism": 6.0, "saving_by_imbalance_rule": 1.5, "saving_bound": 8.0}
    parts |= {"saving_from_outside": 3.0, "cost_without_market": 29.0}
    metrics = {**told.focused.metrics, **{name: Spread.of([value] * 3) for name, value in parts.items()}}
    paid = replace(told.focused, metrics=metrics)
    money = verdict(replace(told, outcomes=tuple(paid if o is told.focused else o for o in told.outcomes)))[0]
    assert (
        "The mechanism saves 6.00 EUR (20.7 %) of at most 8.00 (the same to the cent over 3 seeds)" in money
    )
    assert "the imbalance rule saves 1.50 EUR of what orders missed" in money
    assert money.endswith(
        "3.00 EUR come from outside: the market operator adds them, and they are no saving."
    )


def test_money_from_outside_is_not_in_the_column_of_what_a_mechanism_saves() -> None:
    labels = ("retailer_only", "uniform_price", "vcg")
    outcomes = tuple(outcome(label, more={"saving_by_mechanism": [9.0] * 3}) for label in labels)
    html, _ = comparison_table(story(outcomes=outcomes, bound=None, focus="uniform_price"))
    assert cells_of(html, "uniform_price")[0] == "9.00"
    assert cells_of(html, "vcg")[0] == "9.00"  # the figure is without what somebody outside pays


def test_the_verdict_names_the_home_that_loses_most() -> None:
    assert verdict(story(focus="mcafee"))[1] == (
        "1 of 5 homes is, by the mean of the seeds, worse off than without a market;"
        f" {HOMES[2]} loses most, 0.75 EUR."
        " Of the mechanisms under which nobody loses uniform_price saves most, 6.75 EUR."
    )


def test_the_verdict_says_when_the_best_is_paid_for() -> None:
    assert (
        "vcg saves the homes most although its operator must add money: with it"
        in verdict(story(focus="vcg"))[0]
    )


@pytest.mark.parametrize(
    ("after", "before", "text"),
    [
        (4.0, 5.0, "together pay 4.00 EUR in 1 day instead of 5.00 EUR"),
        (-4.0, 5.0, "together earn 4.00 EUR in 1 day instead of paying 5.00 EUR"),
        (-4.0, -3.0, "together earn 4.00 EUR in 1 day instead of 3.00 EUR"),
        (1.0, -3.0, "together pay 1.00 EUR in 1 day instead of earning 3.00 EUR"),
    ],
)
def test_income_is_not_called_a_bill(after: float, before: float, text: str) -> None:
    figures_of = {"cost_with_market": [after], "cost_without_market": [before], "saving": [before - after]}
    only = outcome("vcg", seeds=1, more=figures_of)
    told = story(outcomes=(outcome("retailer_only", seeds=1), only), bound=None, focus="vcg", seeds=(1,))
    sentence = words.verdict(told)[0]
    assert sentence.startswith(f"With vcg the 5 homes {text} without a market, ")
    assert ("better" in sentence) == (before > after)


def test_a_saving_of_less_than_a_cent_is_called_so() -> None:
    tiny = pd.DataFrame({"saving": [0.0001, 1.0]}, index=["a", "b"])
    assert words.worst_off(replace(outcome("vcg"), bills=tiny), "EUR").endswith(
        "a gains least, less than 0.01 EUR."
    )
    none = pd.DataFrame({"saving": [0.0, 1.0]}, index=["a", "b"])
    assert words.worst_off(replace(outcome("vcg"), bills=none), "EUR").endswith("a gains nothing.")


def test_a_figure_is_dated_in_utc() -> None:
    line = figures.price_figure({"vcg": intervals("vcg")}, "EUR").data[0]
    assert pd.Timestamp(line.x[0], tz="UTC") == pd.Timestamp(START)


def test_a_figure_is_serialised_once_for_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    serialised: list[str] = []
    original = page_module._figure_data
    monkeypatch.setattr(
        page_module, "_figure_data", lambda name, drawn: serialised.append(name) or original(name, drawn)
    )
    html = html_of(story())
    assert sorted(serialised) == sorted(re.findall(r'data-figure="([^"]+)"', html))
    assert len(serialised) == len(set(serialised)) > 0
