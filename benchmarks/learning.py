"""A bidder that learns: how long it takes, and what it is worth in weeks from which it has not learnt.

`train_bidder.py` of docs/how-to/learning.md learns 22 numbers from eleven weeks of the bundled street, in intervals of
an hour. In eleven other weeks one home at a time then bids otherwise than all others, and what it saves more by that
is summed over the homes and paired by week; then all homes bid one way.

Usage: python -m benchmarks.learning [--stored] [--rounds N] [--weeks N] [--write FILE]
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from time import process_time
from types import ModuleType
from typing import Final

import numpy as np

import wattswap as ws
from agents.bidding import STRATEGIES
from agents.policy import Policy, read_policy, strategy_of, write_policy
from market.settlement.accounts import TRADE
from market.units import NANO_PER_UNIT, FloatArray
from wattswap.comparison.statistics import mean_interval
from wattswap.env import neighbourhood_env
from wattswap.runs.interval import step
from wattswap.runs.prepare import Setup, prepare
from wattswap.scenario.load import Scenario

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "how-to" / "learning.md"
STORED: Final = Path(__file__).with_name("trained_bidder.json")
"""What `--rounds 100` has learnt."""
LIMITS: Final = 2
LEARNT_FROM, TESTED_ON = range(0, 44, 4), range(2, 44, 4)
"""Weeks after the first Monday of February 2016."""
STRATEGIES_BESIDE: Final = ("truthful", "staircase", "zip", "trained")


def trainer() -> ModuleType:
    """The module that the page shows."""
    (source,) = re.findall(
        r"^```python train_bidder\.py\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.S | re.M
    )
    module = ModuleType("train_bidder")
    exec(compile(source, str(PAGE), "exec"), module.__dict__)
    return module


def week(number: int) -> Scenario:
    """A week of the street."""
    day = date(2016, 2, 1) + timedelta(weeks=number)
    return ws.demo(["time.days=7", "time.interval_minutes=60", f"time.start={day}"])


def learnt(rounds: int) -> Policy:
    """Learn, and print how long it takes."""
    begun = process_time()
    envs = [neighbourhood_env(week(number), limits=LIMITS) for number in LEARNT_FROM]
    policy: Policy = trainer().train(envs, LIMITS, rounds)
    print(f"{rounds} rounds of {2 * rounds} weeks: {process_time() - begun:.0f} s of CPU", flush=True)
    return policy


def lived(setup: Setup, strategies: Sequence[str]) -> tuple[FloatArray, float]:
    """What each home saves in a week [currency], and what is traded [kWh]."""
    setup = replace(setup, strategies=tuple(strategies))
    community, saved_nano, traded_wh = setup.community(), np.zeros(len(strategies), dtype=np.int64), 0
    for i in range(setup.intervals):
        record = step(setup, community, i)
        credited_nano = record.settled.postings.lines[: len(strategies), TRADE:].sum(axis=1)
        saved_nano += credited_nano - record.settled.baseline_nano
        traded_wh += record.traded_wh
    return saved_nano / NANO_PER_UNIT, traded_wh / 1e3


def compared(weeks: Sequence[int]) -> None:
    """Print both tables."""
    more: dict[tuple[str, str], list[FloatArray]] = {}
    alike: dict[str, list[tuple[FloatArray, float]]] = {name: [] for name in STRATEGIES_BESIDE}
    for number in weeks:
        setup = prepare(week(number))
        homes = len(setup.roster)
        for others in STRATEGIES_BESIDE:
            alike[others].append(lived(setup, [others] * homes))
        for others in ("truthful", "staircase"):
            base = alike[others][-1][0]
            for own in STRATEGIES_BESIDE:
                if own == others:
                    continue
                found = [
                    lived(setup, [own if home == place else others for place in range(homes)])[0][home]
                    for home in range(homes)
                ]
                more.setdefault((others, own), []).append(np.array(found) - base)
        print(f"week {number} of {weeks[-1]}", file=sys.stderr, flush=True)
    print(f"{'the others':<12}{'one home':<12}{'saves more, EUR a week, sum over homes':<42}homes that gain")
    for (others, own), gains in more.items():
        mean = mean_interval([float(one.sum()) for one in gains])
        gaining = int((np.mean(gains, axis=0) > 0).sum())
        text = f"{mean.mean:+.2f} ({mean.low:+.2f} to {mean.high:+.2f})"
        print(f"{others:<12}{own:<12}{text:<42}{gaining} of {len(gains[0])}")
    print(f"{'all homes':<12}{'save, EUR a week':<18}{'agreed, kWh a week':<20}")
    for name, rows in alike.items():
        saved, traded = np.mean([row[0].sum() for row in rows]), np.mean([row[1] for row in rows])
        print(f"{name:<12}{saved:<18.2f}{traded:<20.1f}")


def main(arguments: Sequence[str]) -> int:
    """Learn, or read what was learnt, and compare it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stored", action="store_true", help=f"compare {STORED.name} instead of learning")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--weeks", type=int, default=len(TESTED_ON))
    parser.add_argument("--write", type=Path, help="write what was learnt to this file")
    options = parser.parse_args(arguments)
    policy = read_policy(STORED) if options.stored else learnt(options.rounds)
    if options.write is not None:
        write_policy(policy, options.write)
    STRATEGIES.register(strategy_of("trained", policy), contract=2)
    try:
        compared(TESTED_ON[: options.weeks])
    finally:
        STRATEGIES.forget("trained")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
