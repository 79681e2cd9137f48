"""Times: layouts, orders of day and month, names of months, epochs, serial numbers, positions, clocks that stay."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from data import clock
from data.intake.raw import Hints
from data.recipes.model import StampRule
from data.recipes.stamps import StampReader, time_of_day_s
from tests.kits.recipe_kit import codes, imported, own, try_text

EPOCH = datetime(1970, 1, 1)


def read(
    texts: list[str], *formats: str, language: str | None = None, hints: Hints | None = None
) -> list[str | None]:
    """Texts as ISO 8601, None where they cannot be read."""
    reader = StampReader(StampRule(("time",), formats, language=language), hints or Hints())
    seconds, kind = reader.read(texts)
    return [
        None
        if k == clock.UNREADABLE
        else (EPOCH + timedelta(seconds=s)).isoformat() + ("Z" if k == clock.WITH_OFFSET else "")
        for s, k in zip(seconds.tolist(), kind.tolist(), strict=True)
    ]


@pytest.mark.parametrize(
    ("text", "layout", "wanted"),
    [
        ("27.10.2024 02:30", "%d.%m.%Y %H:%M", "2024-10-27T02:30:00"),
        ("7.1.2024 2:30", "%d.%m.%Y %H:%M", "2024-01-07T02:30:00"),
        ("27.10.2024 24:00", "%d.%m.%Y %H:%M", "2024-10-28T00:00:00"),
        ("31/12/2024 24:00:00", "%d/%m/%Y %H:%M:%S", "2025-01-01T00:00:00"),
        ("30.02.2024 00:00", "%d.%m.%Y %H:%M", None),
        ("29.02.2023 00:00", "%d.%m.%Y %H:%M", None),
        ("29.02.2024 00:00", "%d.%m.%Y %H:%M", "2024-02-29T00:00:00"),
        ("27.10.2024 02:60", "%d.%m.%Y %H:%M", None),
        ("27.10.2024 25:00", "%d.%m.%Y %H:%M", None),
        ("27.10.2024", "%d.%m.%Y %H:%M", None),
        ("27.10.2024 02:30 x", "%d.%m.%Y %H:%M", None),
        ("01-01-2023 00:15:00 +0100", "%d-%m-%Y %H:%M:%S %z", "2022-12-31T23:15:00Z"),
        ("10/12/2022 12:05 AM", "%m/%d/%Y %I:%M %p", "2022-10-12T00:05:00"),
        ("2024-06-01T00:00:00.000Z", "%Y-%m-%dT%H:%M:%S.000Z", "2024-06-01T00:00:00"),
        ("2024-06-01T00:00:00Z", "iso", "2024-06-01T00:00:00Z"),
        ("2012-10-12 00:30:00.0000000", "iso", "2012-10-12T00:30:00"),
        ("1735686900", "epoch_s", "2024-12-31T23:15:00Z"),
        ("1735686900000", "epoch_ms", "2024-12-31T23:15:00Z"),
        ("1735686900500", "epoch_ms", None),
        ("-5", "epoch_s", None),
        ("45292.010416666664", "excel", "2024-01-01T00:15:00"),
        ("45292.0104", "excel", None),
        ("45292", "excel", "2024-01-01T00:00:00"),
    ],
)
def test_a_text_is_read_by_its_layout_or_not_at_all(text: str, layout: str, wanted: str | None) -> None:
    assert read([text], layout) == [wanted]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("1 mars 2024 00:30", "fr"),
        ("1 mrt. 2024 00:30", "nl"),
        ("1 maart 2024 00:30", "nl"),
        ("1 März 2024 00:30", "de"),
        ("1 Mrz 2024 00:30", "de"),
        ("1 MAR 2024 00:30", "es"),
        ("1 marzo 2024 00:30", "it"),
        ("1 Mar 2024 00:30", None),
    ],
)
def test_months_have_names(text: str, language: str | None) -> None:
    assert read([text], "%d %b %Y %H:%M", language=language) == ["2024-03-01T00:30:00"]


def test_a_name_of_another_language_is_no_month() -> None:
    assert read(["1 mai 2024 00:30"], "%d %b %Y %H:%M") == [None]


def test_texts_of_several_layouts_are_read_each_by_its_own() -> None:
    texts = ["27/10/2024 02:30:00", "27-10-2024 02:45:00", "x", "27/10/2024 03:00:00"] * 30
    found = read(texts, "%d/%m/%Y %H:%M:%S", "%d-%m-%Y %H:%M:%S")
    assert found == ["2024-10-27T02:30:00", "2024-10-27T02:45:00", None, "2024-10-27T03:00:00"] * 30


BOTH = ("%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M")


def test_the_order_of_day_and_month_follows_from_all_dates_of_a_file() -> None:
    assert read(["01/02/2024 00:00", "13/02/2024 00:00"], *BOTH) == [
        "2024-02-01T00:00:00",
        "2024-02-13T00:00:00",
    ]
    assert read(["01/02/2024 00:00", "01/13/2024 00:00"], *BOTH) == [
        "2024-01-02T00:00:00",
        "2024-01-13T00:00:00",
    ]


def test_an_order_that_no_date_shows_is_asked_for(tmp_path: Path) -> None:
    content = "time,energy\n01/02/2024 00:00,0.1\n01/02/2024 00:30,0.2\n"
    format = own(stamp=f"format = {list(BOTH)}")
    reading = try_text(tmp_path / "m.csv", content, format)
    assert [(q.option, q.choices) for q in reading.questions] == [("--dates", ("dmy", "mdy"))]
    for dates, month in (("dmy", 2), ("mdy", 1)):
        answered = try_text(tmp_path / "m.csv", content, format, Hints(zone="UTC", dates=dates))
        assert answered.data is not None
        assert datetime.fromtimestamp(answered.data.start_s).month == month


@drawn(
    st.lists(st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1)).map(lambda t: t.replace(microsecond=0)))
)
def test_dates_of_fixed_width_are_read_as_strptime_reads_them(moments: list[datetime]) -> None:
    layout = "%d.%m.%Y %H:%M:%S"
    texts = [f"{moment:{layout}}" for moment in moments]
    seconds, kind = StampReader(StampRule(("time",), (layout,)), Hints()).read(texts)
    assert seconds.tolist() == [clock.local_seconds(moment) for moment in moments]
    assert (kind == clock.LOCAL).all()


@drawn(st.lists(st.text("0123456789.: ", min_size=14, max_size=18), max_size=30))
def test_what_is_no_date_is_read_by_neither(texts: list[str]) -> None:
    layout = "%d.%m.%Y %H:%M"
    found = StampReader(StampRule(("time",), (layout,)), Hints()).read(texts)[1]
    slow = clock.parse_stamps(texts, layout)[1]
    assert not (
        (found != clock.UNREADABLE)
        & (slow == clock.UNREADABLE)
        & ~np.array(["24:00" in t for t in texts], bool)
    ).any()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0:30", 1_800),
        ("00:00", 0),
        ("24:00", 86_400),
        ("23:45:30", 85_530),
        ("24:15", None),
        ("7", None),
        ("1:60", None),
    ],
)
def test_a_time_of_day(text: str, seconds: int | None) -> None:
    assert time_of_day_s(text) == seconds


BERLIN = Hints(zone="Europe/Berlin")


def test_a_clock_that_stays_at_standard_time_has_no_hour_twice(tmp_path: Path) -> None:
    content = "time,energy\n2024-06-01 00:00,0.1\n2024-06-01 00:30,0.2\n"
    local = try_text(tmp_path / "m.csv", content, own(), BERLIN)
    standard = try_text(tmp_path / "m.csv", content, own(stamp='clock = "standard"'), BERLIN)
    fixed = try_text(tmp_path / "m.csv", content, own(stamp='clock = "+10:00"'), Hints())
    starts = [reading.data.start_s for reading in (local, standard, fixed) if reading.data]
    assert starts == [1717192800, 1717196400, 1717164000]


def test_standard_time_of_a_zone_that_is_not_known_is_asked_for(tmp_path: Path) -> None:
    content = "time,energy\n2024-06-01 00:00,0.1\n2024-06-01 00:30,0.2\n"
    reading = try_text(tmp_path / "m.csv", content, own(stamp='clock = "standard"'), Hints())
    assert [question.option for question in reading.questions] == ["--zone"]


POSITIONS = """
contract = 1
title = "t"
about = "a"
[columns]
day = "day"
number = "number"
energy = "energy"
[stamp]
column = "day"
format = "%Y-%m-%d"
position = "number"
minutes = 60
[[value]]
column = "energy"
unit = "kWh"
channel = "import"
"""


@pytest.mark.parametrize(("day", "hours"), [("2024-03-31", 23), ("2024-06-01", 24), ("2024-10-27", 25)])
def test_numbers_of_intervals_fill_a_day(tmp_path: Path, day: str, hours: int) -> None:
    rows = "".join(f"{day},{i},{i * 7 % 25 / 1000}\n" for i in range(1, hours + 1))
    reading = try_text(tmp_path / "m.csv", f"day,number,energy\n{rows}", own(instead=POSITIONS), BERLIN)
    assert imported(reading) == [i * 7 % 25 for i in range(1, hours + 1)]


def test_a_number_that_its_day_lacks_is_an_error(tmp_path: Path) -> None:
    rows = "".join(f"2024-03-31,{i},1\n" for i in (1, 2, 24, 0))
    reading = try_text(tmp_path / "m.csv", f"day,number,energy\n{rows}", own(instead=POSITIONS), BERLIN)
    assert [finding.line for finding in reading.findings if finding.code == "bad_timestamp"] == [4, 5]
    unzoned = try_text(tmp_path / "m.csv", f"day,number,energy\n{rows}", own(instead=POSITIONS), Hints())
    assert [question.option for question in unzoned.questions] == ["--zone"]
    assert codes(unzoned) == {"zone_needed"}


BERLIN = Hints(zone="Europe/Berlin")


def test_the_length_of_each_row_may_be_in_a_column_of_minutes(tmp_path: Path) -> None:
    format = own(columns='length = "min"', stamp='minutes_column = "length"')
    head = "time,min,energy\n2024-06-01 00:00,15,0.1\n2024-06-01 00:15,15,0.2\n"
    reading = try_text(
        tmp_path / "a.csv", f"{head}2024-06-01 00:30,30,0.3\n2024-06-01 01:00,60,0.4\n", format, BERLIN
    )
    assert reading.data is not None
    assert (reading.data.minutes, reading.data.import_wh[:, 0].tolist()) == (60, [600, 400])
    assert codes(try_text(tmp_path / "b.csv", f"{head}2024-06-01 00:30,x,0.3\n", format, BERLIN)) == {
        "interval_length"
    }
    closer = try_text(
        tmp_path / "c.csv", f"{head}2024-06-01 00:30,60,0.3\n2024-06-01 01:00,60,1\n", format, BERLIN
    )
    assert codes(closer) == {"interval_length"}


def test_where_nothing_says_whether_the_clock_changes_it_is_asked(tmp_path: Path) -> None:
    format = own(stamp='clock = "asked"')
    rows = "".join(f"2024-10-{day:02} {hour:02}:00,1\n" for day in (5, 6, 7) for hour in range(24))
    asked = try_text(tmp_path / "a.csv", f"time,energy\n{rows}", format, Hints())
    assert [question.option for question in asked.questions] == ["--zone"]
    assert "goes forward in summer" in asked.questions[0].asks
    data = try_text(tmp_path / "b.csv", f"time,energy\n{rows}", format, Hints(zone="Australia/Brisbane")).data
    assert data is not None
    assert (
        imported(
            try_text(tmp_path / "b.csv", f"time,energy\n{rows}", format, Hints(zone="Australia/Brisbane"))
        )
        == [1000] * 72
    )
    assert codes(
        try_text(tmp_path / "c.csv", f"time,energy\n{rows}", format, Hints(zone="Australia/Melbourne"))
    ) == {"impossible_time"}


def test_a_row_without_a_value_at_a_time_that_does_not_exist_is_nothing(tmp_path: Path) -> None:
    format = own()
    rows = "".join(f"2024-03-31 {hour:02}:00,{'' if hour == 2 else 1}\n" for hour in range(6))
    reading = try_text(tmp_path / "a.csv", f"time,energy\n{rows}", format, BERLIN)
    assert imported(reading) == [1000] * 5
    assert codes(
        try_text(tmp_path / "b.csv", f"time,energy\n{rows.replace('02:00,', '02:00,0')}", format, BERLIN)
    ) == {"impossible_time"}
