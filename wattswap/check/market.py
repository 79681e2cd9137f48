"""Verdicts of `wattswap check market`: does it pay a home, or two of one owner, to order something else?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from market.random import words_of
from market.settlement.imbalance import Imbalance, ImbalanceRule
from market.units import NANO_PER_UNIT, IntArray, money
from wattswap.check.deviations import DEVIATIONS, WASH_WH, Deviation, phantom
from wattswap.check.game import Credited, Game, LivedGame, game_of
from wattswap.runs.prepare import Setup
from wattswap.scenario.basis import rests_on

GAIN_PERCENT, MOST_HOMES_PERCENT, WORST_PERCENT = 0.25, 5.0, 3.0
"""At most so many homes may gain more than so much of their turnover, and none more than the last."""
WASH_UNITS = 2.0
"""Most that two homes of one owner may gain beyond what they gain under `retailer`. [currency]"""
WASH_PAIRS = 16
WASH = "trades of nothing between two homes of one owner"
OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """What one deviation brings each home that tries it alone.

    Args:
        gain_nano: Per home. [nano-currency]
        percent: The same as a share of the home's turnover; 0 where a home has none. [%]
    """

    deviation: Deviation
    gain_nano: IntArray
    percent: np.ndarray

    @property
    def gainers(self) -> int:
        """Homes that gain more than `GAIN_PERCENT` of their turnover."""
        return int((self.percent > GAIN_PERCENT).sum())

    @property
    def passed(self) -> bool:
        """Whether the deviation pays as few homes, and as little, as a sound market allows."""
        few = self.gainers * 100 <= MOST_HOMES_PERCENT * len(self.percent)
        return few and float(self.percent.max(initial=0.0)) <= WORST_PERCENT


def check_market(setup: Setup, on_progress: OnProgress, *, rounds: int) -> dict[str, Any]:
    """Play all deviations of a scenario, and check them against the limits.

    Args:
        on_progress: Given what is tried, and how many of how many steps are done.
        rounds: Most rounds of best responses; 0 leaves them out.

    Returns:
        JSON values: `holds`, `reacts` (whether each deviation is a run of its own), `decides` and `cannot_exist`
        (names of deviations), `deviations`, `wash_trades`, `best_responses` (None without rounds).
    """
    game = game_of(setup)
    honest = game.honest()
    tried = [d for d in DEVIATIONS if d.metered or not setup.metered]
    findings = []
    for done, deviation in enumerate(tried):
        on_progress(deviation.name, done, len(tried) + 2)
        findings.append(alone(game, honest, deviation))
    on_progress("wash trades", len(tried), len(tried) + 2)
    wash = None if setup.metered else wash_trades(game, honest)
    on_progress("best responses", len(tried) + 1, len(tried) + 2)
    responses = _best_responses(game, honest, tried, rounds) if rounds else None
    ordered = int(sum((m.orders.energy_wh > 0).sum() for m in game.moments))
    decided = [f.passed for f in findings if f.deviation.decides]
    pairs = [] if setup.metered else [WASH]
    missing = [d.name for d in DEVIATIONS if d not in tried] + ([WASH] if setup.metered else [])
    return {
        "holds": ordered > 0 and all(decided) and (wash is None or wash["holds"]),
        "reacts": isinstance(game, LivedGame),
        "mechanism": setup.mechanism.name,
        "quantities": setup.scenario.market.quantities,
        "imbalance": None if setup.metered else setup.imbalance_words,
        "rests_on": rests_on(
            setup.scenario.resolved(),
            setup.community().notes(),
            setup.mechanism.name,
            metered_pv=setup.metered_pv,
        ),
        "homes": len(setup.roster),
        "intervals": setup.intervals,
        "orders": ordered,
        "limits": {
            "gain_percent": GAIN_PERCENT,
            "homes_percent": MOST_HOMES_PERCENT,
            "worst_percent": WORST_PERCENT,
            "wash_beyond_retailer": WASH_UNITS,
        },
        "decides": [d.name for d in tried if d.decides] + pairs,
        "cannot_exist": missing,
        "deviations": [_as_json(setup, finding) for finding in findings],
        "wash_trades": wash,
        "best_responses": responses,
    }


def alone(game: Game | LivedGame, honest: Credited, deviation: Deviation) -> Finding:
    """Every home deviates alone; the gain of one without turnover is held against one currency unit."""
    each = [{home: deviation} for home in range(len(game.setup.roster))]
    plays = enumerate(game.plays(honest, {}, each))
    gain = np.array([_gain(credited, honest, home) for home, credited in plays], dtype=np.int64)
    turnover = game.turnover_nano
    return Finding(deviation, gain, 100 * gain / np.where(turnover > 0, turnover, NANO_PER_UNIT))


def _as_json(setup: Setup, finding: Finding) -> dict[str, Any]:
    worst = int(np.argmax(finding.percent))
    gained = float(finding.percent[worst]) > 0
    return {
        "name": finding.deviation.name,
        "decides": finding.deviation.decides,
        "holds": finding.passed if finding.deviation.decides else None,
        "homes_that_gain": int((finding.gain_nano > 0).sum()),
        "homes_above": finding.gainers,
        "largest_percent": float(finding.percent[worst]) if gained else 0.0,
        "largest_gain": money(int(finding.gain_nano[worst])) if gained else 0.0,
        "worst_home": setup.roster[worst] if gained else None,
    }


def wash_trades(game: Game | LivedGame, honest: Credited) -> dict[str, Any]:
    """Two homes of one owner: one sells and one buys the same energy, which nobody uses, in every interval.

    What they gain counts beyond what the same trades gain under `retailer`. A pair that would lose there does not
    trade there, so a smaller loss is no gain.
    """
    setup, retailer = game.setup, ImbalanceRule(Imbalance.RETAILER)
    drawn = np.argsort(words_of(setup.seed, 0, setup.members), kind="stable").tolist()
    around = [(a, b) for a, b in pairwise([*drawn, drawn[0]]) if a != b]
    pairs = list(dict.fromkeys([*around, *((b, a) for a, b in around)]))[:WASH_PAIRS]
    sells = Deviation("sells nothing", phantom(-1, WASH_WH), True)
    buys = Deviation("buys nothing", phantom(1, WASH_WH), True)
    each = [{a: sells, b: buys} for a, b in pairs]
    found = []
    outside = game.honest(retailer)
    plays = game.plays(honest, {}, each), game.plays(outside, {}, each, retailer)
    for (a, b), here, there in zip(pairs, *plays, strict=True):
        gain = _gain(here, honest, a) + _gain(here, honest, b)
        yardstick = _gain(there, outside, a) + _gain(there, outside, b)
        found.append((gain - max(yardstick, 0), gain, (a, b)))
    if not found:
        return {"holds": True, "pairs": 0, "largest_beyond_retailer": None, "worst_pair": None}
    beyond, _, worst = max(found)
    return {
        "holds": money(beyond) <= WASH_UNITS,
        "pairs": len(found),
        "energy_wh": WASH_WH,
        "largest_gain": money(max(gain for _, gain, _ in found)),
        "largest_beyond_retailer": money(beyond),
        "worst_pair": [setup.roster[home] for home in worst],
    }


def _gain(credited: Credited, before: Credited, home: int) -> int:
    """What a home is credited more than before. [nano-currency]"""
    return sum(int(a[home] - b[home]) for a, b in zip(credited, before, strict=True))


_OWN = Deviation("own orders", lambda home, own, prices: own, False, metered=True)


def _best_responses(
    game: Game | LivedGame, honest: Credited, tried: list[Deviation], rounds: int
) -> dict[str, Any]:
    """Homes choose in turn what pays them most against what the others chose last, until nobody changes."""
    others: dict[int, Deviation] = {}
    now, settled, done = honest, False, 0
    options = [_OWN, *(d for d in tried if "nothing" not in d.name)]
    while done < rounds and not settled:
        done += 1
        settled = True
        for home in range(len(game.setup.roster)):
            chosen = others.get(home, _OWN)
            new = [option for option in options if option is not chosen]
            best, plays = now, game.plays(now, others, [{home: option} for option in new])
            for option, credited in zip(new, plays, strict=True):
                if _gain(credited, best, home) > 0:
                    best, chosen = credited, option
            if chosen is not others.get(home, _OWN):
                settled, now = False, best
                others = {h: d for h, d in {**others, home: chosen}.items() if d is not _OWN}
    own_wh = sum(int(moment.orders.energy_wh.sum()) for moment in game.moments)
    return {
        "settled": settled,
        "rounds": done,
        "homes_that_deviate": len(others),
        "volume_percent": 100 * game.ordered_wh(others) / own_wh if own_wh else None,
        "chosen": {game.setup.roster[home]: d.name for home, d in sorted(others.items())},
    }
