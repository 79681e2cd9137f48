"""What the clock of a file hides: a lost pass of the autumn hour, standard time all year, no order; and repeats."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from data.clock import local_of_utc
from data.findings import Finding
from data.formats import FileReading
from data.readings import ESTIMATED, MISSING
from tests.kits.intake_kit import EXPORT, IMPORT, codes, intake, table
from tests.kits.meter_kit import START

HOUR = 3600
AUTUMN = int(datetime(2023, 10, 29, 1, tzinfo=UTC).timestamp())
SPRING = int(datetime(2023, 3, 26, 1, tzinfo=UTC).timestamp())


def hours(
    change: int, keep: slice | list[int] | None = None, zone: str = "Europe/Berlin", homes: str = "a"
) -> FileReading:
    """Twelve hours around a change, each with its own energy, as the local clock shows them."""
    utc = change + HOUR * np.arange(-6, 6)
    chosen = np.arange(12)[keep if keep is not None else slice(None)]
    return local_rows(
        local_of_utc(utc, ZoneInfo(zone))[chosen], [0.1 * (i + 1) for i in chosen.tolist()], zone, homes
    )


def local_rows(local: np.ndarray, kwh: list[float], zone: str, homes: str = "a") -> FileReading:
    at = np.concatenate([local] * len(homes)).tolist()
    names = [name for name in homes for _ in local]
    return intake(table({IMPORT: kwh * len(homes)}, at=at, home=names, local=True), zone=zone)


def one(reading: FileReading, code: str) -> Finding:
    (finding,) = [f for f in reading.findings if f.code == code]
    return finding


@pytest.mark.parametrize("lost", [5, 6])
def test_a_pass_that_is_lost_makes_both_missing_and_is_one_finding(lost: int) -> None:
    reading = hours(AUTUMN, [i for i in range(12) if i != lost], homes="ab")
    assert reading.data is not None
    assert codes(reading) == ["one_pass"]
    assert [np.flatnonzero(reading.data.quality[:, h]).tolist() for h in (0, 1)] == [[5, 6]] * 2
    assert reading.data.import_wh[[4, 7], 0].tolist() == [500, 800]
    finding = one(reading, "one_pass")
    assert f"{2 * 0.1 * (6 if lost == 6 else 7):.3f} kWh" in finding.message
    assert "--zone Etc/GMT-1" in finding.message
    assert finding.count == 2


def test_a_clock_that_goes_forward_in_spring_leaves_out_a_pass_in_autumn() -> None:
    utc = np.arange(SPRING - 6 * HOUR, AUTUMN + 6 * HOUR, HOUR)
    utc = utc[utc != AUTUMN]
    local = local_of_utc(utc, ZoneInfo("Europe/Berlin"))
    message = one(local_rows(local, [0.1] * len(utc), "Europe/Berlin"), "one_pass").message
    assert "In spring the file follows the clocks" in message
    assert "Etc" not in message


@pytest.mark.parametrize(
    ("zone", "change", "says"),
    [
        ("Europe/Berlin", SPRING, "--zone Etc/GMT-1"),
        ("America/New_York", int(datetime(2023, 3, 12, 7, tzinfo=UTC).timestamp()), "--zone Etc/GMT+5"),
        ("Europe/London", SPRING, "--zone UTC"),
        (
            "Australia/Adelaide",
            int(datetime(2023, 9, 30, 16, 30, tzinfo=UTC).timestamp()),
            "+9.5 hours from UTC",
        ),
    ],
)
def test_the_hour_that_spring_skips_names_its_cause_once(zone: str, change: int, says: str) -> None:
    """Four rows of each of two homes: one finding."""
    first = int(local_of_utc(np.array([change - 3 * HOUR]), ZoneInfo(zone))[0])
    local = first + 900 * np.arange(40)
    reading = local_rows(local, [0.1] * 40, zone, homes="ab")
    assert codes(reading) == ["impossible_time"]
    (finding,) = reading.findings
    assert (finding.severity, finding.count) == ("error", 8)
    assert says in finding.message
    assert "keeps standard time all year" in finding.message


def test_a_single_stamp_in_the_skipped_hour_is_an_error_of_its_row() -> None:
    local = local_of_utc(SPRING + 900 * np.arange(-20, 20), ZoneInfo("Europe/Berlin"))
    slipped = local.copy()
    slipped[20] -= 1800
    (finding,) = local_rows(slipped, [0.1] * 40, "Europe/Berlin").findings
    assert (finding.code, finding.line) == ("impossible_time", 22)
    assert "check the zone" in finding.message


def test_rows_of_local_time_in_any_order_are_sorted_outside_the_hour() -> None:
    local = local_of_utc(SPRING + HOUR * np.arange(-6, 6), ZoneInfo("Europe/Berlin"))
    mixed = np.random.default_rng(3).permutation(12)
    reading = local_rows(local[mixed], (np.arange(1, 13) / 10)[mixed].tolist(), "Europe/Berlin")
    assert reading.findings == ()
    assert reading.data is not None
    assert reading.data.import_wh[:, 0].tolist() == [100 * i for i in range(1, 13)]
    assert "not in the order of time" in str(reading.data.source.notes)


def test_in_no_order_two_rows_of_the_hour_are_an_error_in_words() -> None:
    reading = hours(AUTUMN, [7, 3, 6, 1, 5, 9, 0, 2, 11, 4, 8, 10])
    assert codes(reading) == ["wrong_order", "wrong_order"]
    assert [f.line for f in reading.findings] == [4, 6]
    assert "in no order of time" in reading.findings[0].message
    assert "UTC offsets" in reading.findings[0].message


def test_blocks_of_months_may_be_in_any_order() -> None:
    late = [*range(1, 12)]
    reading = hours(AUTUMN, late)
    utc = AUTUMN + HOUR * np.arange(-5, 6)
    december = AUTUMN + 40 * 86_400 + HOUR * np.arange(5)
    local = local_of_utc(np.concatenate([december, utc]), ZoneInfo("Europe/Berlin"))
    kwh = [0.1] * 5 + [0.1 * (i + 1) for i in late]
    blocks = local_rows(local, kwh, "Europe/Berlin")
    assert reading.data is not None
    assert blocks.data is not None
    assert np.array_equal(blocks.data.import_wh[:11], reading.data.import_wh)
    assert codes(blocks) == ["gap"]


def test_an_issue_again_of_one_hour_replaces_that_hour() -> None:
    first = table({IMPORT: [1, 2, 3]})
    again = table({IMPORT: [9]}, at=START + HOUR, line=9, revision=1)
    reading = intake(first, again)
    assert reading.data is not None
    assert reading.data.import_wh[:, 0].tolist() == [1000, 9000, 3000]


def test_many_repeats_are_one_finding_with_a_count() -> None:
    reading = intake(*[table({IMPORT: [0.1, 0.2, 0.3]}, line=2 + 3 * i) for i in range(4)])
    (finding,) = reading.findings
    assert (finding.code, finding.count, finding.line) == ("duplicate", 9, 5)
    assert "9 rows repeat others, this one line 2" in finding.message


def test_a_conflict_names_both_lines() -> None:
    reading = intake(table({IMPORT: [0.1, 0.2]}), table({IMPORT: [0.1, 0.3]}, line=4))
    assert [(f.code, f.line) for f in reading.findings] == [("conflict", 5), ("duplicate", 4)]
    assert "line 3" in reading.findings[0].message


@pytest.mark.parametrize("weak", [ESTIMATED, MISSING])
@pytest.mark.parametrize("measured_first", [True, False])
def test_a_measured_row_counts_before_a_weaker_one(weak: int, measured_first: bool) -> None:
    flags = np.full(3, weak, dtype=np.uint8)
    chunks = [
        table({IMPORT: [1, 2, 3]}, quality=np.zeros(3, np.uint8)),
        table({IMPORT: [4, 5, 6]}, quality=flags, line=5),
    ]
    reading = intake(*(chunks if measured_first else chunks[::-1]))
    assert reading.data is not None
    assert reading.data.import_wh[:, 0].tolist() == [1000, 2000, 3000]
    assert not reading.data.quality.any()
    assert codes(reading) == ["replaced"] * 3
    assert "which was measured and counts" in reading.findings[0].message


def test_an_empty_row_gives_way_to_one_with_a_reading() -> None:
    reading = intake(
        table({IMPORT: [1, None, 3], EXPORT: [0, None, 0]}),
        table({IMPORT: [2], EXPORT: [0]}, at=START + HOUR, line=5),
    )
    assert reading.data is not None
    assert reading.data.import_wh[:, 0].tolist() == [1000, 2000, 3000]
    assert codes(reading) == ["replaced"]


def test_lengths_that_a_file_states_are_checked_against_its_stamps() -> None:
    closer = intake(table({IMPORT: [1, 2, 3]}, 15, minutes_stated=np.full(3, 30)))
    assert codes(closer)[0] == "interval_length"
    apart = intake(table({IMPORT: [1, 2, 3, 4]}, 30, minutes_stated=np.full(4, 15)))
    assert codes(apart) == ["interval_length"]
    assert "says 15 minutes, but its rows are 30 minutes apart" in apart.findings[0].message
    alone = intake(table({IMPORT: [1]}, minutes_stated=np.array([15])))
    assert alone.data is not None
    assert alone.data.minutes == 15


def test_a_stretch_of_hours_in_the_days_between_is_not_taken_for_longer_intervals() -> None:
    """Half of all rows lost at random: gaps, and no change of the step."""
    random = np.random.default_rng(1)
    kept = np.sort(random.permutation(2000)[:1000])
    reading = intake(table({IMPORT: [0.1] * 1000}, at=(START + 900 * kept).tolist()))
    assert reading.data is not None
    assert reading.data.minutes == 15
    assert set(codes(reading)) == {"gap"}
    assert int((reading.data.quality == MISSING).sum()) == reading.data.intervals - 1000


def test_intervals_of_the_local_clock_begin_with_its_hours() -> None:
    """In India the hours of a clock begin half past those of UTC."""
    first = datetime(2024, 6, 1)
    local = [
        int((first + timedelta(minutes=10 * i) - datetime(1970, 1, 1)).total_seconds()) for i in range(12)
    ]
    reading = intake(table({IMPORT: [0.1] * 6 + [0.2] * 6}, at=local, local=True), zone="Asia/Kolkata")
    assert reading.data is not None
    assert (reading.data.minutes, reading.data.import_wh[:, 0].tolist()) == (30, [300, 300, 600, 600])


def test_a_pass_that_is_not_known_is_missing_also_where_rows_of_zero_are_left_out() -> None:
    local = np.delete(local_of_utc(AUTUMN + HOUR * np.arange(-6, 6), ZoneInfo("Europe/Berlin")), 5)
    reading = intake(
        table({IMPORT: [1] * 11}, at=local.tolist(), local=True, omitted="zero"), zone="Europe/Berlin"
    )
    assert reading.data is not None
    assert np.flatnonzero(reading.data.quality[:, 0] == MISSING).tolist() == [5, 6]
