"""Silence on real homes: 28 days of two bundled neighbourhoods and of ten homes of California.

A home is settled in each interval by itself, whatever it does in others. So where no interval costs it less without a
reading, no pattern of silence does. All readings are compared one by one, and then some patterns of several homes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import wattswap as ws
from market.settlement.accounts import BOUGHT, SOLD
from market.settlement.deemed import Registers, deemed_wh
from market.units import BoolArray, IntArray
from p2p.blocks.members import energy_at
from tests.wattswap.runs.test_fontana import HOMES
from tests.wattswap.runs.test_fontana import SCENARIO as FONTANA
from wattswap.runs.interval import IntervalRecord, posted, step
from wattswap.runs.prepare import Setup, prepare

DAYS = 28
NEIGHBOURHOOD = """\
schema = 1
name = "{sample}"
currency = "EUR"
seed = 1

[time]
zone = "Europe/Berlin"
start = 2016-06-06T00:00:00

[data]
sample = "{sample}"

[homes]
forecast = "same_hour_mean"

[tariff]
import_per_kwh = 0.32
feed_in_per_kwh = 0.08
grid_fee_local_per_kwh = 0.01
grid_fee_remote_per_kwh = 0.03
"""


class Lived(NamedTuple):
    """Intervals as they were lived, and what each home is credited in each: with its reading, and without. [nano]"""

    setup: Setup
    records: list[IntervalRecord]
    deemed: list[Registers]
    given: IntArray
    silent: IntArray

    def bills(self, silent: BoolArray) -> IntArray:
        """What each home is credited over all intervals where some are silent in some. [nano]"""
        rows = zip(self.records, self.deemed, silent, strict=True)
        total = np.zeros(len(self.setup.roster), dtype=np.int64)
        for i, row in enumerate(rows):
            total += credited(self.setup, i, *row)
        return total


def credited(setup: Setup, i: int, record: IntervalRecord, deemed: Registers, silent: BoolArray) -> IntArray:
    registers = (
        np.where(silent, deemed.import_wh, record.import_wh),
        np.where(silent, deemed.export_wh, record.export_wh),
    )
    postings = posted(setup, i, record.book, record.clearing, *registers, deemed=silent)
    return postings.total_nano[: len(silent)]


def live(scenario: str, folder: Path) -> Lived:
    """Run the homes of a scenario, and settle each interval as it was and with nobody's reading."""
    file = folder / "scenario.toml"
    file.write_text(scenario, encoding="utf-8")
    setup = prepare(ws.load(file, overrides=(f"time.days={DAYS}",)))
    capacities = np.array(
        [[one.import_capacity_w, one.export_capacity_w] for one in setup.member_list.records]
    )
    most = Registers(*(-(-capacities * setup.minutes // 60)).T)
    assert most.import_wh[0] == energy_at(int(capacities[0, 0]), setup.minutes)
    community, found = setup.community(), list[tuple[IntervalRecord, Registers, IntArray, IntArray]]()
    everybody = np.ones(len(setup.roster), dtype=np.bool_)
    for i in range(setup.intervals):
        record = step(setup, community, i)
        lines = record.settled.postings.lines[: len(setup.roster)]
        deemed = deemed_wh(lines[:, BOUGHT] - lines[:, SOLD], most, record.prices)
        given = credited(setup, i, record, deemed, ~everybody)
        found.append((record, deemed, given, credited(setup, i, record, deemed, everybody)))
    records, deemed_all, given_all, silent_all = (list(column) for column in zip(*found, strict=True))
    return Lived(setup, records, deemed_all, np.stack(given_all), np.stack(silent_all))


SETS = {
    "street": NEIGHBOURHOOD.format(sample="street"),
    "village": NEIGHBOURHOOD.format(sample="village"),
    "fontana": FONTANA,
}


@pytest.fixture(scope="module", params=["street", pytest.param("village", marks=pytest.mark.slow), "fontana"])
def lived(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Lived:
    if request.param == "fontana" and not HOMES.is_dir():
        pytest.skip("the shared data of the Fontana homes are not here")
    scenario = SETS[request.param].replace("{path}", str(HOMES.resolve()))
    return live(scenario, tmp_path_factory.mktemp(request.param))


def test_silence_costs_each_home_in_each_interval_so_that_no_pattern_of_28_days_pays(lived: Lived) -> None:
    assert lived.setup.intervals == DAYS * lived.setup.steps_per_day
    assert (lived.silent <= lived.given).all()
    assert (lived.silent.sum(axis=0) < lived.given.sum(axis=0)).all()


def _by_night(lived: Lived) -> BoolArray:
    hours = np.arange(lived.setup.intervals) * 24 // lived.setup.steps_per_day % 24
    return np.repeat(((hours < 6) | (hours >= 21))[:, None], len(lived.setup.roster), axis=1)


def _at_random(lived: Lived) -> BoolArray:
    return np.random.default_rng(1).random(lived.given.shape) < 0.3


def _where_it_draws_more_than_it_bought(lived: Lived) -> BoolArray:
    """What paid as long as a silent home was settled as if it had metered its trades."""
    rows = [record.settled.postings.lines[: len(lived.setup.roster)] for record in lived.records]
    traded = np.stack([row[:, BOUGHT] - row[:, SOLD] for row in rows])
    metered = np.stack([record.import_wh - record.export_wh for record in lived.records])
    return metered > traded


PATTERNS = (_by_night, _at_random, _where_it_draws_more_than_it_bought)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_home_that_is_silent_beside_others_pays_no_less_than_if_it_alone_gave_its_readings(
    lived: Lived, pattern: Callable[[Lived], BoolArray]
) -> None:
    silent, homes = pattern(lived), len(lived.setup.roster)
    bills = lived.bills(silent)
    for home in (0, homes // 2, homes - 1):
        honest = silent.copy()
        honest[:, home] = False
        assert silent[:, home].any()
        assert bills[home] < lived.bills(honest)[home]
