"""Processes that are killed, stopped and continued: every interval is settled, once, as in a run in process."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.kits.faults_kit import HOMES, OPERATOR, VALIDATORS, Town, town
from tests.kits.time_kit import stays, until_still

pytestmark = pytest.mark.live
slow = pytest.mark.slow
PAUSE_S = 10.0
HALT_S = 40.0
"""More than one question of a home waits for its answer. [s]"""


def started(place: Town, after: int = 2) -> Town:
    place.start(*VALIDATORS, OPERATOR, *HOMES)
    place.wait_settled(after)
    return place


@pytest.mark.parametrize(
    "victim", [VALIDATORS[1], pytest.param(OPERATOR, marks=slow), pytest.param(HOMES[0], marks=slow)]
)
def test_a_killed_process_that_is_started_again_changes_nothing(victim: str, tmp_path: Path) -> None:
    with town(tmp_path, 6) as place:
        started(place).kill(victim)
        place.start(victim)
        place.finish()


@slow
def test_authorities_collect_while_the_operator_is_gone_and_give_it_back(tmp_path: Path) -> None:
    with town(tmp_path, 14) as place:
        started(place).kill(OPERATOR)
        place.wait_settled(6)
        place.start(OPERATOR)
        place.finish()
        by = list(place.collectors().values())
    assert by[0] == by[-1] == OPERATOR, by
    assert sum(name in VALIDATORS for name in by) >= 2


@slow
def test_a_neighbourhood_without_its_operator_loses_no_interval(tmp_path: Path) -> None:
    with town(tmp_path, 8) as place:
        started(place).kill(OPERATOR)
        place.finish()
        assert list(place.collectors().values())[-1] in VALIDATORS


@slow
def test_a_validator_that_stood_still_for_ten_seconds_catches_up(tmp_path: Path) -> None:
    with town(tmp_path, 16) as place:
        started(place).signal(VALIDATORS[2], signal.SIGSTOP)
        before, own = len(place.settled()), place.height(VALIDATORS[2])
        stays(lambda: place.height(VALIDATORS[2]) == own, "the stopped one decides no block", PAUSE_S)
        assert len(place.settled()) > before
        place.signal(VALIDATORS[2], signal.SIGCONT)
        place.finish()


@slow
def test_an_operator_that_stood_still_settles_nothing_twice(tmp_path: Path) -> None:
    with town(tmp_path, 14) as place:
        started(place).signal(OPERATOR, signal.SIGSTOP)
        place.wait_settled(6)
        place.signal(OPERATOR, signal.SIGCONT)
        place.finish()
        assert set(place.collectors().values()) & set(VALIDATORS)


@slow
def test_two_of_four_validators_halt_the_chain_and_a_third_resumes_it(tmp_path: Path) -> None:
    with town(tmp_path, 8) as place:
        started(place)
        place.kill(VALIDATORS[2])
        place.kill(VALIDATORS[3])

        def heights() -> set[int]:
            return {place.height(name) for name in VALIDATORS[:2]}

        before = until_still(heights, "the chain of two", 1.0)  # what was decided already may still arrive
        assert len(before) == 1
        stays(lambda: heights() == before, "two of four decide no block", HALT_S)
        place.start(VALIDATORS[2])
        place.finish()
