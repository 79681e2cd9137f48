"""What it pays to order something else than one's own orders, over three data sets and two windows of 28 days each.

For every imbalance rule and bidding strategy: homes that gain more than 0.25 % of their turnover by never ordering, by
doubling all orders and by orders for energy that nobody needs; the largest gain; homes worse off than without a
market; the most that two homes of one owner gain by trading nothing with each other; and homes for which a perfect
forecast of their own, all others unchanged, pays.

Usage: python -m benchmarks.market_game [--homes FOLDER] [--only NAME ...] [--windows NAME ...] [--quick]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np

import wattswap as ws
from agents.forecast import PERFECT_FORESIGHT
from market.units import NANO_PER_UNIT, IntArray
from wattswap.check.deviations import DEVIATIONS, joined, of_home, same
from wattswap.check.game import Game, LivedGame, game_of
from wattswap.check.market import GAIN_PERCENT, Finding, alone, wash_trades
from wattswap.runs.books import closed_book, columns_of
from wattswap.runs.interval import clear_book
from wattswap.runs.prepare import prepare

HEAD: Final = 'schema = 1\nname = "window"\ncurrency = "{currency}"\n[time]\nstart = {start}\ndays = 28\n'
BUNDLED: Final = (
    '[data]\nsample = "{sample}"\n[homes]\n[tariff]\nimport_per_kwh = 0.32\nfeed_in_per_kwh = 0.08\n'
)
CALIFORNIA: Final = """\
zone = "America/Los_Angeles"
[data]
path = "{path}"
format = "citylearn"
[homes]
[tariff]
zone = "America/Los_Angeles"
import_per_kwh = 0.22
feed_in_per_kwh = 0.05
[[tariff.time_of_use]]
days = "all"
from = "16:00"
to = "21:00"
import_per_kwh = 0.54
"""
WINDOWS: Final = {
    "street, September": ("street", "2016-09-19T00:00:00Z"),
    "street, April": ("street", "2016-04-04T00:00:00Z"),
    "village, June": ("village", "2016-06-06T00:00:00Z"),
    "village, October": ("village", "2016-10-03T00:00:00Z"),
    "California, September": ("", "2016-09-01T07:00:00Z"),
    "California, April": ("", "2017-04-01T07:00:00Z"),
}
MARKETS: Final = {
    "pooled, staircase": {"imbalance": "pooled"},
    "pooled, one limit": {"imbalance": "pooled", "strategy": "truthful"},
    "delivered, staircase": {"imbalance": "pooled", "imbalance_shares": "delivered"},
    "middle, one limit": {"imbalance": "middle", "strategy": "truthful"},
    "retailer, staircase": {"imbalance": "retailer"},
    "metered": {"quantities": "metered"},
    "plans": {"control": "plan"},
}
USUAL: Final = [label for label in MARKETS if label != "plans"]
"""Where homes react, every deviation is a run of its own, which takes much longer: 40 minutes of CPU for California."""
OF_HOMES: Final = ("strategy", "forecast", "control")
TRIED: Final = [d for d in DEVIATIONS if d.decides]


def scenario(window: str, market: dict[str, str], homes: Path, folder: Path) -> ws.Scenario:
    """The scenario of a window under a market."""
    sample, start = WINDOWS[window]
    text = HEAD.format(currency="EUR" if sample else "USD", start=start)
    text += BUNDLED.format(sample=sample) if sample else CALIFORNIA.format(path=homes.resolve())
    path = folder / "window.toml"
    path.write_text(text, encoding="utf-8")
    overrides = [f"{'homes' if key in OF_HOMES else 'market'}.{key}={value}" for key, value in market.items()]
    return ws.load(path, overrides=overrides)


def with_perfect_forecasts(game: Game, perfect: Game, honest: list[IntArray]) -> IntArray:
    """What each home gains by ordering with a perfect forecast of its own, all others unchanged. [nano-currency]"""
    gain = np.zeros(len(honest[0]), dtype=np.int64)
    for i, (moment, other) in enumerate(zip(game.moments, perfect.moments, strict=True)):
        for home in range(len(gain)):
            known, own = of_home(other.orders, home), of_home(moment.orders, home)
            if not same(known, own):
                orders = joined(moment.orders.of_rows(moment.orders.home != home), known)
                gain[home] += game.credited_nano(i, orders)[home] - honest[i][home]
    return gain


def prices_at_an_end(game: Game | LivedGame) -> tuple[int, int]:
    """Intervals whose price is the buy cap or the feed-in price, and all intervals with trade."""
    at_end = traded = 0
    for i, moment in enumerate(game.moments):
        net_wh = moment.import_wh - moment.export_wh
        book = closed_book(game.setup, i, *columns_of(moment.orders), net_wh=net_wh)
        clearing = clear_book(game.setup, i, book)[0]
        if clearing.accepted_wh.any():
            traded += 1
            price = clearing.average_price_micro_per_kwh(book)
            at_end += price in (moment.prices.buy_cap_micro_per_kwh, moment.prices.feed_in_micro_per_kwh)
    return at_end, traded


def played(window: str, market: dict[str, str], homes: Path, quick: bool) -> dict[str, Any]:
    """All deviations of one window under one market."""
    known = {**market, "forecast": PERFECT_FORESIGHT.name}
    with tempfile.TemporaryDirectory() as folder:
        setup = prepare(scenario(window, market, homes, Path(folder)))
        perfect = (
            None
            if quick or setup.metered or setup.reacts
            else prepare(scenario(window, known, homes, Path(folder)))
        )
    game = game_of(setup)
    honest = game.honest()
    gain_nano, losers = None, None
    if isinstance(game, Game):  # the others are held against a second life, which a run shows
        gain_nano = None if perfect is None else with_perfect_forecasts(game, Game(perfect), honest)
        losers = int((sum(honest) < sum(game.baseline_nano(i) for i in range(len(honest)))).sum())
    found: list[Finding] = [
        alone(game, honest, d) for d in (TRIED[:1] if quick else TRIED) if d.metered or not setup.metered
    ]
    wash = None if quick or setup.metered else wash_trades(game, honest)
    return {
        "homes": len(setup.roster),
        "findings": found,
        "wash": wash,
        "losers": losers,
        "perfect_nano": gain_nano,
        "ends": prices_at_an_end(game),
    }


def main(argv: list[str]) -> None:
    """Print one line a market."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.market_game")
    parser.add_argument("--homes", type=Path, default=Path("../shared/data/homes_fontana_ca"))
    parser.add_argument("--only", nargs="*", default=USUAL, choices=list(MARKETS))
    parser.add_argument("--windows", nargs="*", default=list(WINDOWS), choices=list(WINDOWS))
    parser.add_argument("--quick", action="store_true", help="never ordering alone")
    given = parser.parse_args(argv)
    windows = [w for w in given.windows if WINDOWS[w][0] or given.homes.exists()]
    for name in set(given.windows) - set(windows):
        print(f"left out: {name}, no data at {given.homes}")
    for label in given.only:
        results = {w: played(w, MARKETS[label], given.homes, given.quick) for w in windows}
        homes = sum(r["homes"] for r in results.values())
        losers = sum(r["losers"] or 0 for r in results.values())
        print(f"\n{label}: {homes} home-windows" + ("" if label == "plans" else f", {losers} worse off"))
        for i, first in enumerate(next(iter(results.values()))["findings"]):
            gains = np.concatenate([r["findings"][i].percent for r in results.values()])
            above = int((gains > GAIN_PERCENT).sum())
            by_window = ", ".join(str(r["findings"][i].gainers) for r in results.values())
            print(
                f"  {first.deviation.name:<25} {int((gains > 0).sum()):>4} gain, {above:>4} above"
                f" {GAIN_PERCENT:g} % ({100 * above / homes:.1f} % of all; by window {by_window}),"
                f" most {gains.max():.2f} %",
                flush=True,
            )
        for window, result in results.items():
            at_end, traded = result["ends"]
            print(f"  {window:<24} price at an end in {at_end} of {traded} intervals with trade", flush=True)
            if result["wash"] is not None:
                beyond, gain = result["wash"]["largest_beyond_retailer"], result["perfect_nano"]
                pays = ""
                if gain is not None:
                    pays = (
                        f"; a perfect forecast pays for {int((gain >= 0).sum())} of {len(gain)}, together"
                        f" {gain.sum() / NANO_PER_UNIT:.2f}"
                    )
                print(f"  {window:<24} wash trades {beyond:.2f}{pays}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
