"""Parts of a channel are summed; a part that is not there hides the sum; rows of zero that a source leaves out."""

from __future__ import annotations

import numpy as np
import pytest

from data.intake.raw import Channel
from data.readings import ESTIMATED, MEASURED, MISSING
from tests.kits.intake_kit import EXPORT, IMPORT, codes, intake, table
from tests.kits.meter_kit import START

HOUR = 3600
T1, T2 = Channel("import", part="T1"), Channel("import", part="T2")
NET = Channel("net")


def test_parts_in_columns_and_in_chunks_of_their_own_are_summed() -> None:
    columns = intake(table({T1: [0.1, 0.2, 0.3], T2: [1, 2, 3], EXPORT: [0, 0, 1]})).data
    chunks = intake(
        table({T1: [0.1, 0.2, 0.3]}), table({T2: [1, 2, 3]}, line=5), table({EXPORT: [0, 0, 1]}, line=8)
    ).data
    for data in (columns, chunks):
        assert data is not None
        assert data.import_wh[:, 0].tolist() == [1100, 2200, 3300]
        assert data.export_wh[:, 0].tolist() == [0, 0, 1000]
        assert not data.quality.any()


@pytest.mark.parametrize("rows", [[None, 2, 3], [1, None, 3], [1, 2, None]])
def test_a_part_without_a_reading_makes_the_sum_missing(rows: list[float | None]) -> None:
    gone = rows.index(None)
    reading = intake(table({T1: [0.1, 0.2, 0.3], T2: rows}))
    assert reading.data is not None
    assert np.flatnonzero(reading.data.quality[:, 0]).tolist() == [gone]
    assert codes(reading) == ["empty"]


def test_the_worst_quality_of_the_parts_counts() -> None:
    flags = np.array([MEASURED, ESTIMATED, MISSING], dtype=np.uint8)
    data = intake(table({T1: [1, 1, 1]}, quality=flags), table({T2: [1, 1, 1]}, line=5)).data
    assert data is not None
    assert data.quality[:, 0].tolist() == [MEASURED, ESTIMATED, MISSING]


def test_a_part_that_begins_later_or_ends_earlier_leaves_the_rest_missing() -> None:
    whole, late = table({T1: [1, 1, 1, 1]}), table({T2: [2, 2]}, at=START + HOUR, line=6)
    reading = intake(whole, late)
    assert reading.data is not None
    assert reading.data.quality[:, 0].tolist() == [MISSING, MEASURED, MEASURED, MISSING]
    assert reading.data.import_wh[1:3, 0].tolist() == [3000, 3000]
    assert codes(reading) == ["gap", "gap"]


def test_a_home_without_a_part_lacks_nothing() -> None:
    data = intake(
        table({T1: [1, 1, 2, 2], T2: [1, 1, None, None]}, home=list("aabb"), at=[START, START + HOUR] * 2)
    ).data
    assert data is not None
    assert data.import_wh.tolist() == [[2000, 2000], [2000, 2000]]
    assert not data.quality.any()


def test_each_counter_is_differenced_by_itself_and_then_summed() -> None:
    """One of two tariffs is read from a changed meter: its interval is missing, not the difference of the sums."""
    first, second = (
        Channel("import", "kWh", "counter", part="T1"),
        Channel("import", "Wh", "counter", part="T2"),
    )
    reading = intake(table({first: [8000, 8000.5, 8001, 8001.25], second: [70_000, 70_100, 5, 205]}))
    assert reading.data is not None
    assert reading.data.import_wh[:, 0].tolist() == [600, 500, 450]
    assert reading.data.quality[:, 0].tolist() == [MEASURED, MISSING, MEASURED]
    assert codes(reading) == ["counter_fell"]


def test_parts_of_different_steps_are_summed_to_the_longest() -> None:
    quarters, hours = table({T1: [0.1] * 8}, 15), table({T2: [1, 2]}, 60, line=10)
    data = intake(quarters, hours).data
    assert data is not None
    assert (data.minutes, data.import_wh[:, 0].tolist()) == (60, [1400, 2400])
    pv = table({Channel("pv", "W"): [1200, 0, 600, 600] * 3}, 5, line=20)
    both = intake(table({IMPORT: [0.1] * 4}, 15), pv).data
    assert both is not None
    assert both.sub_meters["pv"][:, 0].tolist() == [150, 150, 200, 100]


def test_a_net_is_import_above_zero_and_export_below() -> None:
    reading = intake(table({NET: [1, -0.5, 0, -2]}))
    assert reading.data is not None
    assert reading.data.import_wh[:, 0].tolist() == [1000, 0, 0, 0]
    assert reading.data.export_wh[:, 0].tolist() == [0, 500, 0, 2000]
    assert codes(reading) == []


def test_phases_of_a_net_are_summed_before_they_are_split() -> None:
    phases = {
        Channel("net", part=f"L{i}"): column for i, column in enumerate([[1, 1], [-0.25, -2], [0, 0.5]], 1)
    }
    data = intake(table(phases)).data
    assert data is not None
    assert (data.import_wh[:, 0].tolist(), data.export_wh[:, 0].tolist()) == ([750, 0], [0, 500])


def test_a_net_of_short_intervals_is_split_before_it_is_summed() -> None:
    data = intake(table({NET: [1, -0.5, 0.25]}, 10)).data
    assert data is not None
    assert (data.minutes, data.import_wh[0, 0], data.export_wh[0, 0]) == (30, 1250, 500)


def test_a_huge_net_is_refused_in_both_directions() -> None:
    for value in (20_000, -20_000):
        assert codes(intake(table({NET: [1, value, 1]}))) == ["impossible_power"]


@pytest.mark.parametrize("unit", ["Wh", "kWh", "MWh"])
def test_rows_of_one_channel_may_have_units_of_their_own(unit: str) -> None:
    factor = {"Wh": 1000, "kWh": 1, "MWh": 0.001}[unit]
    data = intake(
        table({IMPORT: [1, 2]}),
        table({Channel("import", unit): [3 * factor, 4 * factor]}, at=START + 2 * HOUR, line=4),
    ).data
    assert data is not None
    assert data.import_wh[:, 0].tolist() == [1000, 2000, 3000, 4000]


def test_rows_of_zero_that_are_left_out_are_zero_between_the_first_and_the_last() -> None:
    at = [START + HOUR * h for h in (1, 2, 3, 6)]
    left_out = table({EXPORT: [1, 2, 3, 4]}, at=at, omitted="zero")
    reading = intake(table({IMPORT: [1] * 9}, line=6), left_out)
    assert reading.data is not None
    assert reading.data.export_wh[:, 0].tolist() == [0, 1000, 2000, 3000, 0, 0, 4000, 0, 0]
    assert not reading.data.quality.any()
    alone = intake(table({IMPORT: [1, 2, 3, 4]}, at=at, omitted="zero"))
    assert alone.data is not None
    assert alone.data.import_wh[:, 0].tolist() == [1000, 2000, 3000, 0, 0, 4000]
    assert codes(alone) == []


def test_rows_are_left_out_for_channels_of_these_chunks_only() -> None:
    at = [START + HOUR * h for h in (0, 1, 2, 5)]
    reading = intake(table({IMPORT: [1] * 4}, at=at), table({EXPORT: [1] * 4}, at=at, line=6, omitted="zero"))
    assert reading.data is not None
    assert np.flatnonzero(reading.data.quality[:, 0] == MISSING).tolist() == [3, 4]


def test_of_tariffs_that_count_in_turn_one_has_a_row() -> None:
    """Where none has, a reading is not there, and that is no zero."""
    night = table({T1: [1, 2, 5]}, at=[START + HOUR * h for h in (0, 1, 5)], omitted="zero")
    day = table({T2: [3, 7, 8]}, at=[START + HOUR * h for h in (2, 6, 7)], line=5, omitted="zero")
    hourly = table({EXPORT: [0] * 8}, line=8)
    data = intake(night, day, hourly).data
    assert data is not None
    assert data.import_wh[:, 0].tolist() == [1000, 2000, 3000, 0, 0, 5000, 7000, 8000]
    assert np.flatnonzero(data.quality[:, 0] == MISSING).tolist() == [3, 4]


def test_rows_that_are_left_out_are_zero_in_longer_intervals_too() -> None:
    at = [START + 600 * i for i in (0, 1, 2, 4, 9)]
    data = intake(table({IMPORT: [0.1] * 5}, at=at, omitted="zero")).data
    assert data is not None
    assert (data.minutes, data.import_wh[:, 0].tolist()) == (30, [300, 100, 0, 100])
    assert not data.quality.any()
