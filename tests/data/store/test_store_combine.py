"""Files of one home: months, channels beside each other, phases; and another step with the same energy."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import InvalidResampling
from data.readings import ESTIMATED, MEASURED, MISSING
from data.store.assemble import common_window
from data.store.combine import joined_home
from data.store.errors import Mismatch
from data.store.resample import resampled
from data.store.rows import whole
from data.store.series import HomeSeries
from tests.kits.store_kit import START, series


def test_three_phases_are_summed() -> None:
    found = joined_home([series(f"l{n}", [n, 2 * n, 3 * n, 4 * n]) for n in (1, 2, 3)])
    assert found.series.energy["import"].tolist() == [6, 12, 18, 24]
    assert found.how == ("summed",)


def test_files_of_different_steps_are_called_files_and_the_way_out_is_named() -> None:
    with pytest.raises(
        Mismatch, match=r"every 15 minutes in one file, and every 60 here.*resample --minutes 60"
    ):
        joined_home([series("a"), series("b", minutes=60)])


def test_a_phase_that_was_not_read_makes_the_sum_missing() -> None:
    found = joined_home([series("a", [1, 2, 3]), series("b", [5, 0, 6], [0, MISSING, 0])])
    assert found.series.quality.tolist() == [MEASURED, MISSING, MEASURED]


def test_import_and_export_stand_beside_each_other() -> None:
    one, other = series("a", [1, 2]), series("b", [5, 6])
    beside = joined_home(
        [
            HomeSeries("a", START, 15, {"import": one.energy["import"]}, one.quality),
            HomeSeries("b", START, 15, {"export": other.energy["import"]}, one.quality),
        ]
    )
    assert beside.how == ("beside",)
    assert {name: column.tolist() for name, column in beside.series.energy.items()} == {
        "import": [1, 2],
        "export": [5, 6],
    }


def test_months_follow_each_other_in_any_order_and_the_gap_between_them_is_missing() -> None:
    june, august = series("a", [1, 2]), series("b", [5, 6], start_s=START + 4 * 900)
    found = joined_home([august, june])
    assert found.how == ("continued",)
    assert found.series.energy["import"].tolist() == [1, 2, 0, 0, 5, 6]
    assert found.series.quality.tolist() == [0, 0, 2, 2, 0, 0]


def test_months_may_overlap_where_they_are_equal() -> None:
    found = joined_home([series("a", [1, 2, 3]), series("b", [2, 3, 4], start_s=START + 900)])
    assert found.how == ("continued",)
    assert found.series.energy["import"].tolist() == [1, 2, 3, 4]


def test_one_meter_in_two_files_is_not_summed() -> None:
    """Also where the second phase is what the first two are together, each is its own."""
    with pytest.raises(Mismatch, match="have the same readings: one meter twice"):
        joined_home([series("a", [1, 2, 3]), series("b", [1, 2, 3])])
    nothing = joined_home([series("a", [0, 0]), series("b", [0, 0])])
    assert nothing.series.energy["import"].tolist() == [0, 0]


def test_months_of_three_phases_are_summed_and_follow_each_other() -> None:
    june = [series(f"l{n}", [n, 2 * n]) for n in (1, 2, 3)]
    july = [series(f"l{n}", [5 * n, n], start_s=START + 1_800) for n in (3, 1, 2)]
    found = joined_home([july[0], june[0], july[1], june[1], june[2], july[2]])
    assert found.series.energy["import"].tolist() == [6, 12, 30, 6]
    assert found.how == ("summed", "continued")
    with pytest.raises(
        Mismatch, match="has 3 files from 2026-06-01T00:00Z on, and 2 from 2026-06-01T00:30Z on"
    ):
        joined_home([*june, *july[:2]])


def test_an_export_meter_that_comes_later_counts_as_zero_before_and_one_that_ends_as_missing() -> None:
    drawn = HomeSeries("a", START, 15, {"import": np.array([1, 2, 3, 4])}, np.zeros(4, dtype=np.uint8))
    given_ = HomeSeries("b", START + 900, 15, {"export": np.array([7, 8])}, np.zeros(2, dtype=np.uint8))
    found = whole(joined_home([drawn, given_]).series)
    assert found.energy["export"].tolist() == [0, 7, 8, 0]
    assert found.quality.tolist() == [MEASURED, MEASURED, MEASURED, MISSING]
    early = HomeSeries("b", START - 900, 15, {"pv": np.array([7, 8])}, np.zeros(2, dtype=np.uint8))
    found = whole(joined_home([drawn, early]).series)
    assert found.energy["pv"].tolist() == [7, 8, 0, 0, 0]
    assert found.quality.tolist() == [MISSING, MEASURED, MISSING, MISSING, MISSING]


def test_files_that_overlap_in_part_and_differ_are_neither_months_nor_parts() -> None:
    with pytest.raises(Mismatch, match="they are neither months nor parts of it"):
        joined_home([series("a", [1, 2, 3]), series("b", [9, 9, 9], start_s=START + 2 * 900)])


@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from([0, 1, 2])), min_size=1, max_size=60),
    st.integers(0, 11),
    st.sampled_from([15, 30, 60]),
)
def test_longer_intervals_keep_the_energy_to_the_wh(
    rows: list[tuple[int, int]], first: int, minutes: int
) -> None:
    one = series(
        "a", [wh for wh, _ in rows], [flag for _, flag in rows], start_s=START + 300 * first, minutes=5
    )
    found = resampled(one, minutes)
    assert found.total_wh("import") == one.total_wh("import")
    assert found.start_s % (minutes * 60) == 0
    assert found.start_s <= one.start_s
    assert found.end_s >= one.end_s
    whole = one.widened(found.start_s, found.end_s).quality.reshape(found.intervals, -1)
    assert (found.quality == whole.max(axis=1)).all()


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=20), st.sampled_from([5, 15, 30]))
def test_shorter_intervals_are_flat_estimated_and_keep_the_energy_of_each(
    energy: list[int], minutes: int
) -> None:
    one = series("a", energy, minutes=60)
    found = resampled(one, minutes, "flat")
    parts = found.energy["import"].reshape(len(energy), -1)
    assert parts.sum(axis=1).tolist() == energy
    assert (parts.max(axis=1) - parts.min(axis=1)).max() <= 1
    assert set(found.quality.tolist()) == {ESTIMATED}
    assert resampled(found, 60).energy["import"].tolist() == energy


def test_shorter_intervals_are_not_invented() -> None:
    with pytest.raises(InvalidResampling, match="--profile flat"):
        resampled(series(minutes=60), 15)
    with pytest.raises(InvalidResampling, match="choose one of"):
        resampled(series(minutes=15), 20)
    missing = resampled(series("a", [0, 4], [MISSING, 0], minutes=30), 15, "flat")
    assert missing.quality.tolist() == [MISSING, MISSING, ESTIMATED, ESTIMATED]


def test_hours_begin_where_the_local_clock_says() -> None:
    kolkata = ZoneInfo("Asia/Kolkata")  # half an hour off
    one = series("a", [1] * 8, start_s=START + 1_800)
    assert resampled(one, 60, None, kolkata).energy["import"].tolist() == [4, 4]
    assert resampled(one, 60).energy["import"].tolist() == [2, 4, 2]


def test_the_common_window_begins_and_ends_on_the_longest_step() -> None:
    quarter = series("a", [1] * 20, start_s=START + 900)
    hour = series("b", [1] * 5, minutes=60)
    start_s, end_s = common_window([quarter, hour])
    assert (start_s, end_s) == (START + 3_600, START + 5 * 3_600)
    with pytest.raises(Mismatch, match="no time in common"):
        common_window([hour, series("c", start_s=START + 10**6)])
    with pytest.raises(Mismatch, match=r"from 20\d\d-\d\d-\d\d \d\d:\d\d \(Europe/Berlin\) to"):
        common_window([hour, series("c", start_s=START + 10**6)], "Europe/Berlin")
    assert np.array([start_s]).dtype == np.int64
