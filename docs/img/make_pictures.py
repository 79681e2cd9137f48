"""Draws the pictures of the documentation from runs of the demo and of the street with its grid.

Run it as `python docs/img/make_pictures.py [FOLDER]` where wattswap and matplotlib are installed
(`pip install 'wattswap[docs]'`), and a Chromium for the picture of the report. The same run gives the same bytes of the
drawing; the picture of the report depends on the fonts of the machine.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib

matplotlib.use("svg")

import matplotlib.dates as mdates
import matplotlib.pyplot as plt

import wattswap as ws
from data.samples import grid_path
from wattswap.runs.folder import RunFolder
from wattswap.runs.grid_shown import grid_shown
from wattswap.scenario.load import write_new

if TYPE_CHECKING:
    import pandas as pd

HERE = Path(__file__).parent
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#555555"
"""Blue and vermilion of Okabe and Ito, which colour-blind people tell apart."""

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FIRST_SCREEN = (1280, 1070)
"""Width and height of the picture of the report. [pixels]"""

STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "wattswap",
    "font.family": "sans-serif",
    "font.size": 11,
    "axes.edgecolor": GREY,
    "axes.labelcolor": "black",
    "xtick.color": "black",
    "ytick.color": "black",
    "axes.spines.top": False,
    "axes.spines.right": False,
    # A white card with a margin is readable on a light and on a dark page.
    "figure.facecolor": "white",
}


def street_week(result: ws.RunResult, path: Path) -> None:
    """Price of each interval between feed-in price and tariff, and the energy traded at it."""
    prices = result.prices()
    hours = prices.index
    with plt.rc_context(STYLE):
        figure, (top, bottom) = plt.subplots(
            2, 1, figsize=(9, 4.6), sharex=True, height_ratios=[3, 2], layout="constrained"
        )
        _price_panel(top, prices, result.currency)
        step = hours[1] - hours[0]
        traded = prices["traded_kwh"][prices["traded_kwh"] > 0]
        bottom.bar(traded.index, traded, width=step, align="edge", color=ORANGE, linewidth=0)
        bottom.set_ylabel("kWh per 15 min")
        bottom.set_title("Energy traded between neighbours", loc="left", fontsize=11)
        bottom.set_xticks(hours[hours == hours.normalize()])
        bottom.xaxis.set_major_formatter(mdates.DateFormatter("%a %d %b", tz=hours.tz))
        bottom.set_xlim(hours[0], hours[-1] + step)
        for axes in (top, bottom):
            axes.grid(axis="y", color="#dddddd", linewidth=0.8)
            axes.set_axisbelow(True)
        for label in bottom.get_xticklabels():
            label.set_horizontalalignment("left")
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
        plt.close(figure)


def _price_panel(axes: Any, prices: pd.DataFrame, currency: str) -> None:
    hours = prices.index
    outside = {"retailer sells at": "import_per_kwh", "retailer buys at": "feed_in_per_kwh"}
    for name, column in outside.items():
        values = prices[column].astype(float)
        axes.step(hours, values, where="post", color=GREY, linewidth=1.2, linestyle=(0, (4, 3)))
        above = column == "import_per_kwh"
        axes.annotate(
            f"{name} {values.iloc[0]:.2f}",
            (hours[0], values.iloc[0]),
            xytext=(4, 4 if above else -5),
            textcoords="offset points",
            va="bottom" if above else "top",
            color="black",
        )
    price = prices["price_per_kwh"].astype("float64")
    axes.step(hours, price, where="post", color=BLUE, linewidth=2.4, solid_capstyle="butt")
    low, high = float(prices["feed_in_per_kwh"].min()), float(prices["import_per_kwh"].max())
    axes.set_ylim(min(0.0, low - 0.2 * (high - low)), high + 0.2 * (high - low))
    axes.set_ylabel(f"{currency} per kWh")
    axes.set_title("Price in the street (no line where nothing is traded)", loc="left", fontsize=11)


def node_prices(result: ws.RunResult, path: Path) -> None:
    """Price of each node of the grid by time of day, of nodes with the same prices one line."""
    found = grid_shown(RunFolder(result.path))
    assert found is not None
    assert found.of_day is not None
    by_price: dict[tuple[float, ...], list[str]] = {}
    for node in found.of_day.columns:
        by_price.setdefault(tuple(found.of_day[node]), []).append(str(node))
    groups = sorted(by_price.items(), key=lambda group: -len(group[1]))
    hours = [i * 24 / len(found.of_day) for i in range(len(found.of_day) + 1)]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(9, 3.2), layout="constrained")
        for (prices, names), colour, dash in zip(
            groups, (BLUE, ORANGE, GREY), ("-", (0, (5, 2)), ":"), strict=False
        ):
            label = " and ".join(names) if len(names) < 4 else f"the other {len(names)} nodes"
            axes.step(
                hours,
                [*prices, prices[-1]],
                where="post",
                color=colour,
                linewidth=2.2,
                linestyle=dash,
                label=label,
            )
        axes.set_xlim(0, 24)
        axes.set_xticks(range(0, 25, 3), [f"{hour:02}:00" for hour in range(0, 25, 3)])
        axes.set_ylim(0, None)
        axes.set_ylabel(f"{result.currency} per kWh")
        axes.set_title("Prices of nodes over the day, line 9 carries 2 kW", loc="left", fontsize=11)
        axes.grid(axis="y", color="#dddddd", linewidth=0.8)
        axes.legend(frameon=False, loc="lower left")
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)


def thin_street(scratch: Path) -> ws.RunResult:
    """A day in March on the street with its grid, whose line 9 carries 2 kW, as the tutorial runs it."""
    grid = json.loads(grid_path("street").read_text(encoding="utf-8"))
    next(line for line in grid["lines"] if line["id"] == "line 9")["limit_kw"] = 2
    (scratch / "thin.json").write_text(json.dumps(grid), encoding="utf-8")
    scenario = write_new(scratch / "street", "street_grid")[0]
    day = ["time.days=1", "time.start=2016-03-15", "grid.file=../thin.json"]
    return ws.run(ws.load(scenario, overrides=day), out=scratch / "runs")


def first_screen(report: Path, path: Path) -> None:
    """The top of a report as a browser without a window shows it."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        raise SystemExit("no Chromium is on the PATH to draw the report (Debian: apt-get install chromium)")
    width, height = FIRST_SCREEN
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--virtual-time-budget=5000",
    ]
    options += [f"--window-size={width},{height}", f"--screenshot={path.resolve()}"]
    subprocess.run(
        [browser, *options, report.resolve().as_uri()], check=True, capture_output=True, timeout=120
    )


def main(folder: Path = HERE) -> None:
    """Run the demo and draw every picture into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="wattswap-pictures-") as scratch:
        result = ws.run(ws.demo(), out=scratch)
        street_week(result, folder / "street-week.svg")
        first_screen(result.report(Path(scratch) / "report.html"), folder / "report.png")
        node_prices(thin_street(Path(scratch)), folder / "node-prices.svg")
    for picture in (folder / "street-week.svg", folder / "report.png", folder / "node-prices.svg"):
        print(f"{picture}  {picture.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:2]))
