"""Figures as pure functions: frames in, a Plotly figure out; no figure knows where its frame comes from."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from wattswap.report.drawing import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    YELLOW,
    colour_of,
    dash_of,
    escape,
    faint,
    line,
    name_axis,
    new_figure,
    numbers,
    points,
    symbol_of,
)
from wattswap.report.story import IN_COMMON, KEPT, RELEASED, Curve, Story
from wattswap.runs.shown import adding_up, bills_in_cents, rounded

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

MAX_HOMES = 40
"""Homes in one figure; of more, those that lose and win most are drawn, and the table has all."""
MAX_POINTS = 3_000
"""Points in time of one line; longer times are drawn by the hour or by the day."""


def coarse(frame: pd.DataFrame) -> pd.DataFrame:
    """Join intervals to hours or days where there are more than a figure needs.

    Energy and money are summed, prices weighted by the traded energy, outside prices averaged.
    """
    import pandas as pd

    if len(frame) <= MAX_POINTS:
        return frame
    minutes = (frame.index[1] - frame.index[0]).total_seconds() / 60
    index = pd.DatetimeIndex(frame.index)
    summer = np.array(
        [bool(moment.dst()) for moment in index]
    )  # distinguishes the two hours where the clock goes back
    groups = index.floor(step_of(len(frame), minutes), ambiguous=summer, nonexistent="shift_forward")
    out = pd.DataFrame(index=groups.unique())
    traded = frame["traded_kwh"].groupby(groups).sum()
    for name in frame.columns:
        if name == "price_per_kwh":
            value = (frame[name].astype("Float64") * frame["traded_kwh"]).groupby(groups).sum()
            out[name] = (value / traded).where(traded > 0)
        elif name.endswith("_per_kwh"):
            out[name] = frame[name].groupby(groups).mean()
        elif pd.api.types.is_numeric_dtype(frame[name]):
            out[name] = frame[name].groupby(groups).sum()
    return out


def step_of(intervals: int, minutes: float) -> str:
    """The step in which a time is drawn whose intervals are too many: an hour, a day or a week."""
    hours = intervals * minutes / 60
    return "1h" if hours <= MAX_POINTS else "1D" if hours / 24 <= MAX_POINTS else "7D"


def step_name(story: Story, drawn: pd.DataFrame) -> str:
    """What a point of a figure represents: an interval, an hour, a day or a week."""
    if len(drawn) >= story.intervals:
        return "interval"
    return {"1h": "hour", "1D": "day"}.get(step_of(story.intervals, story.interval_minutes), "week")


def power_of(story: Story) -> pd.Series[float]:
    """Mean power that the community draws from outside, all meters netted in each interval. [kW]"""
    frame = story.focused.intervals
    drawn = coarse(frame.assign(drawn_kwh=(frame["import_kwh"] - frame["export_kwh"]).clip(lower=0)))
    hours = story.interval_minutes / 60 * len(frame) / len(drawn)
    return drawn["drawn_kwh"] / hours


def price_figure(prices: Mapping[str, pd.DataFrame], currency: str) -> go.Figure:
    """Price of every interval by mechanism, between what the retailer charges and pays.

    Args:
        prices: By mechanism: price_per_kwh (missing where nothing traded), import_per_kwh, feed_in_per_kwh.
        currency: Currency code, for the axis.
    """
    figure = new_figure("", f"{currency}/kWh", height=380 + 17 * (len(prices) // 5))
    outside = next(iter(prices.values()))
    for column, name, dash in (("import_per_kwh", "tariff", "dash"), ("feed_in_per_kwh", "feed-in", "dot")):
        line(figure, outside.index, numbers(outside[column]), name, GREY, dash=dash)
    for i, (label, frame) in enumerate(prices.items()):
        values = numbers(frame["price_per_kwh"])
        if any(v is not None for v in values):
            line(figure, frame.index, values, label, colour_of(i), marker=symbol_of(i), dash=dash_of(i))
    return figure


def apart(prices: pd.DataFrame) -> dict[str, pd.Series[float]]:
    """Columns that differ, by the names of all that have the same values."""
    groups: dict[tuple[float, ...], list[str]] = {}
    for name in prices.columns:
        groups.setdefault(tuple(prices[name].fillna(-1.0).round(9)), []).append(str(name))
    found = {}
    for names in groups.values():
        more = (
            f" and {len(names) - 1} more" if len(names) > 2 else f" and {names[1]}" if len(names) > 1 else ""
        )
        found[f"{names[0]}{more}"] = prices[names[0]]
    return found


def node_figure(prices: pd.DataFrame, currency: str) -> go.Figure:
    """Mean price of nodes over the day, a line for nodes that always have the same.

    Args:
        prices: A row a time of day, a column a node.
        currency: Currency code, for the axis.
    """
    found = apart(prices)
    figure = new_figure("", f"{currency}/kWh", height=380 + 17 * (len(found) // 5))
    for i, (label, values) in enumerate(found.items()):
        name = escape(label)
        figure.add_scatter(
            x=[str(moment) for moment in prices.index],
            y=numbers(values),
            name=name,
            mode="lines",
            line={"color": colour_of(i), "dash": dash_of(i), "shape": "hv", "width": 2},
            hovertemplate="%{x}: %{y:.4f}<extra>" + name + "</extra>",
        )
    return figure


def curve_figure(curve: Curve, currency: str) -> go.Figure:
    """Demand and supply of one interval as steps, with the point at which it cleared."""
    figure = new_figure("kWh", f"{currency}/kWh", height=420)
    figure.update_yaxes(rangemode="tozero")
    figure.update_layout(showlegend=True)
    for side, name, colour, dash in (("buy", "demand", BLUE, "solid"), ("sell", "supply", ORANGE, "dash")):
        rows = curve.orders[curve.orders["side"] == side].sort_values(
            "limit_per_kwh", ascending=side == "sell"
        )
        energy = [0.0]
        for size in rows["energy_kwh"]:
            energy.append(energy[-1] + float(size))
        limit = [float(v) for v in rows["limit_per_kwh"]]
        if not limit:
            continue
        x = [e for pair in pairwise(energy) for e in pair]
        y = [v for v in limit for _ in range(2)]
        who = [escape(str(h)) for h in rows["household"] for _ in range(2)]
        figure.add_scatter(
            x=x,
            y=y,
            text=who,
            name=name,
            mode="lines",
            line={"color": colour, "dash": dash, "width": 2.5},
            hovertemplate="%{text}: %{y} up to %{x} kWh<extra></extra>",
        )
    if curve.price is not None:
        figure.add_scatter(
            x=[curve.traded_kwh],
            y=[curve.price],
            name="cleared",
            mode="markers",
            marker={"color": VERMILION, "size": 13, "symbol": "x"},
            hovertemplate="%{x} kWh at %{y}<extra>cleared</extra>",
        )
    return figure


def bills_figure(bills: Mapping[str, pd.DataFrame], currency: str) -> go.Figure:
    """Every home's bill without a market and with each mechanism, the largest bill on top.

    Args:
        bills: By mechanism: indexed by home, cost_without_market and cost_with_market.
        currency: Currency code, for the axis.
    """
    first = next(iter(bills.values()))
    homes = shown_homes(first)
    names = [str(home) for home in homes]
    figure = new_figure(currency, "", height=110 + 26 * len(names) + 17 * (len(bills) // 5))
    before = [float(v) for v in first.loc[homes, "cost_without_market"]]
    if len(bills) == 1:
        for name, a, b in zip(names, before, first.loc[homes, "cost_with_market"], strict=True):
            figure.add_scatter(
                x=[a, float(b)],
                y=[escape(name), escape(name)],
                mode="lines",
                line={"color": GREY, "width": 2},
                showlegend=False,
                hoverinfo="skip",
            )
    marker = {"color": GREY, "symbol": "line-ns-open", "size": 14, "line": {"width": 3}}
    cents = {label: bills_in_cents(frame) for label, frame in bills.items()}
    shown = next(iter(cents.values())).loc[homes, "cost_without_market"].tolist()
    points(figure, before, names, "without a market", marker, shown)
    for i, (label, frame) in enumerate(bills.items()):
        after = [float(v) for v in frame["cost_with_market"].reindex(homes)]
        look = {"color": colour_of(i), "symbol": symbol_of(i), "size": 9}
        points(figure, after, names, label, look, cents[label]["cost_with_market"].reindex(homes).tolist())
    name_axis(figure, names)
    return figure


def shown_homes(bills: pd.DataFrame) -> list[Any]:
    """Homes that a figure has room for, the largest bill last: all, or those that lose and win most."""
    chosen = bills
    if len(bills) > MAX_HOMES:
        by_saving = bills.sort_values("saving", kind="stable")
        half = MAX_HOMES // 2
        chosen = bills.loc[[*by_saving.index[:half], *by_saving.index[-half:]]]
    return list(chosen.sort_values("cost_without_market", kind="stable").index)


def savings_figure(savings: Mapping[str, pd.Series[float]], currency: str) -> go.Figure:
    """What every home gains or loses, sorted from the least to the most: bars of one mechanism, lines of several.

    Args:
        savings: By mechanism: saving of each home, indexed by home.
        currency: Currency code, for the axis.
    """
    if len(savings) == 1 and len(only := next(iter(savings.values()))) <= MAX_HOMES:
        return _saving_bars(only, currency)
    figure = new_figure(
        "homes, the least gain first", f"saved in {currency}", height=360 + 17 * (len(savings) // 5)
    )
    for i, (label, series) in enumerate(savings.items()):
        ordered, cents = _from_the_least(series)
        figure.add_scatter(
            x=list(range(1, len(ordered) + 1)),
            y=[float(v) for v in ordered],
            text=[escape(str(home)) for home in ordered.index],
            name=escape(label),
            mode="lines+markers",
            line={"color": colour_of(i), "dash": dash_of(i)},
            marker={"symbol": symbol_of(i), "size": 8},
            customdata=cents,
            hovertemplate="%{text}: %{customdata:.2f}<extra>" + escape(label) + "</extra>",
        )
    if max(map(len, savings.values())) <= MAX_HOMES:
        figure.update_xaxes(dtick=1 + max(map(len, savings.values())) // 20)
    figure.add_hline(y=0, line={"color": GREY, "width": 1.5})
    return figure


def _from_the_least(savings: pd.Series[float]) -> tuple[pd.Series[float], list[float]]:
    """Savings from the least to the most, and their cents as tables have them."""
    order = savings.argsort(kind="stable").tolist()
    cents = adding_up(savings.tolist())
    return savings.iloc[order], [cents[row] for row in order]


def _saving_bars(savings: pd.Series[float], currency: str) -> go.Figure:
    ordered, cents = _from_the_least(savings)
    figure = new_figure(f"saved in {currency}", "", height=100 + 24 * len(ordered))
    values, names = [float(v) for v in ordered], [str(home) for home in ordered.index]
    figure.add_bar(
        x=values,
        y=[escape(name) for name in names],
        orientation="h",
        showlegend=False,
        marker={"color": [VERMILION if v < 0 else BLUE for v in values]},
        customdata=cents,
        hovertemplate="%{y}: %{customdata:.2f}<extra></extra>",
    )
    name_axis(figure, names, upside_down=True)
    return figure


def flows_figure(flows: pd.DataFrame) -> go.Figure:
    """Energy from its sources to its uses as bands, as wide as they are large.

    Args:
        flows: Columns source, target, energy_kwh; see `wattswap.report.story.energy_flows`.
    """
    colours = {"PV": YELLOW, "Surplus of homes": YELLOW, "Neighbours": GREEN, "Retailer sells": VERMILION}
    colours |= {"Retailer buys": PURPLE, KEPT: SKY, RELEASED: SKY, IN_COMMON: SKY}
    names = list(dict.fromkeys([*flows["source"], *flows["target"]]))
    energy = flows["energy_kwh"].map(lambda kwh: rounded(kwh, 1))  # the totals are those of the shown flows
    into, out = ({n: float(energy[flows[end] == n].sum()) for n in names} for end in ("target", "source"))
    figure = new_figure("", "", height=420)
    figure.update_layout(margin={"l": 8, "r": 8, "t": 16, "b": 16})
    figure.add_sankey(
        node={
            "label": [f"{n}: {max(into[n], out[n]):,.1f} kWh" for n in names],
            "color": [colours.get(n, BLUE) for n in names],
            "pad": 22,
            "thickness": 16,
            "hovertemplate": "%{label}<extra></extra>",
            "line": {"width": 0},
        },
        link={
            "source": [names.index(n) for n in flows["source"]],
            "target": [names.index(n) for n in flows["target"]],
            "value": [float(v) for v in flows["energy_kwh"]],
            "color": [faint(colours.get(n, BLUE)) for n in flows["source"]],
        },
        valueformat=",.1f",
        valuesuffix=" kWh",
        textfont={"size": 13},
    )
    return figure


def grid_figure(power: pd.Series[float]) -> go.Figure:
    """What the community draws from outside over time, with the highest point marked.

    Args:
        power: Mean power of each interval, indexed by time. [kW]
    """
    figure = new_figure("", "kW", height=380)
    figure.update_yaxes(rangemode="tozero")
    line(figure, power.index, numbers(power), "all homes together", colour_of(0))
    row = int(power.astype(float).argmax())
    figure.add_scatter(
        x=[f"{power.index[row]:%Y-%m-%d %H:%M}"],
        y=[float(power.iloc[row])],
        mode="markers",
        name="highest",
        marker={"color": colour_of(0), "size": 11, "symbol": "triangle-up"},
        hovertemplate="%{x}: %{y:.1f} kW<extra>peak</extra>",
    )
    return figure


def surplus_figure(split: pd.DataFrame, currency: str) -> go.Figure:
    """Gain from trade by mechanism, split into what buyers, sellers and the operator get.

    Args:
        split: Indexed by mechanism: buyer_surplus, seller_surplus, operator_surplus; missing where undefined.
        currency: Currency code, for the axis.
    """
    figure = new_figure(currency, "", height=130 + 34 * len(split))
    parts = (("buyer_surplus", "buyers", BLUE, ""), ("seller_surplus", "sellers", ORANGE, "/"))
    for column, name, colour, pattern in (*parts, ("operator_surplus", "operator", PURPLE, "x")):
        if column in split:
            figure.add_bar(
                y=[escape(str(n)) for n in split.index],
                x=numbers(split[column]),
                name=name,
                orientation="h",
                marker={
                    "color": colour,
                    "pattern": {"shape": pattern, "fillmode": "overlay", "solidity": 0.15, "size": 7},
                },
            )
    figure.update_layout(barmode="relative")
    name_axis(figure, [str(n) for n in split.index], upside_down=True)
    return figure


def time_figure(clear_ms: Mapping[str, float]) -> go.Figure:
    """Time in the clearing of one interval, by mechanism. [ms]"""
    figure = new_figure("ms an interval", "", height=120 + 30 * len(clear_ms))
    figure.add_bar(
        y=[escape(n) for n in clear_ms],
        x=list(clear_ms.values()),
        orientation="h",
        marker={"color": BLUE},
        name="clearing",
        showlegend=False,
    )
    name_axis(figure, list(clear_ms), upside_down=True)
    return figure
