"""Totals of days and months, spread by a profile that the user states: energy kept, days of 23 and 25 hours right."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.formats import FORMATS, FileReading, read
from data.intake.profile import Profile, profile_of
from data.intake.raw import Hints, SaidKind
from data.intake.spread import shared
from data.readings import ESTIMATED, MISSING
from data.sniffing import sniff
from tests.kits.sample_kit import some

FLAT = Profile()
HOURS = Profile.of(tuple(str(1 + (17 <= hour < 22)) for hour in range(24)))
QUARTERS = Profile.of(tuple(f"0.{1 + step % 9}" for step in range(96)))
BERLIN = "Europe/Berlin"


def plain(
    folder: Path,
    rows: list[str],
    profile: Profile | None = FLAT,
    zone: str | None = BERLIN,
    kind: SaidKind | None = None,
) -> FileReading:
    path = folder / "days.csv"
    path.write_text("timestamp,household,import_kwh,export_kwh\n" + "\n".join(rows) + "\n")
    return read(path, FORMATS.get("plain"), Hints(zone=zone, profile=profile, kind=kind))


def codes(reading: FileReading) -> list[str]:
    return [finding.code for finding in reading.findings if finding.severity == "error"]


@settings(max_examples=some(60, 20), deadline=None)
@given(
    first=st.sampled_from(["2024-03-28", "2024-10-25", "2023-12-30"]),
    wh=st.lists(st.tuples(st.integers(0, 90_000), st.integers(0, 40_000)), min_size=2, max_size=6),
    profile=st.sampled_from([FLAT, HOURS, QUARTERS]),
    zone=st.sampled_from([BERLIN, "America/New_York", "Asia/Kolkata", "UTC"]),
)
def test_the_energy_of_each_day_is_kept_to_the_wh(
    first: str,
    wh: list[tuple[int, int]],
    profile: Profile,
    zone: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    days = np.datetime64(first) + np.arange(len(wh) + 1)
    rows = [f"{day} 00:00,a,{i / 1000:.3f},{e / 1000:.3f}" for day, (i, e) in zip(days, wh, strict=False)]
    # A few totals that rise may be a counter's: that they are energy is said.
    data = plain(tmp_path_factory.mktemp("days"), rows, profile, zone, "energy").data
    assert data is not None
    assert data.minutes == profile.minutes
    assert (data.quality == ESTIMATED).all()
    # The days are cut by the hours of the standard library, not by those of the reader.
    starts = data.start_s + 60 * data.minutes * np.arange(len(data.import_wh))
    day_of = np.array([str(datetime.fromtimestamp(s, ZoneInfo(zone)).date()) for s in starts.tolist()])
    for day, (i, e) in zip(days, wh, strict=False):
        mine = day_of == str(day)
        assert (int(data.import_wh[mine].sum()), int(data.export_wh[mine].sum())) == (i, e)


@given(
    st.lists(st.integers(-(10**14), 10**14), min_size=1, max_size=5),
    st.lists(st.integers(0, 1000), min_size=1, max_size=100).filter(any),
)
def test_sharing_keeps_each_total_and_stays_within_a_wh_of_its_share(
    total: list[int], weight: list[int]
) -> None:
    share = np.array(weight) / sum(weight)
    micro = np.array(total, dtype=np.int64)
    found = shared(micro, share)
    assert found.sum(axis=1).tolist() == total
    off = np.abs(found - micro[:, None] * share)
    assert (off < 2.01 * 10**6).all()
    assert (np.sign(found) * np.sign(micro)[:, None] >= 0).all()


def test_a_day_of_23_hours_has_23_and_one_of_25_has_25(tmp_path: Path) -> None:
    rows = [f"2024-03-{day} 00:00,a,24,0" for day in (30, 31)] + ["2024-04-01 00:00,a,24,0"]
    data = plain(tmp_path, rows).data
    assert data is not None
    assert len(data.import_wh) == 24 + 23 + 24
    assert set(data.import_wh[:24, 0].tolist()) == {1000}
    assert set(data.import_wh[24:47, 0].tolist()) == {1043, 1044}
    rows = [f"2024-10-{day} 00:00,a,25,0" for day in (26, 27, 28)]
    data = plain(tmp_path, rows).data
    assert data is not None
    assert data.import_wh[24:49, 0].tolist() == [1000] * 25


def test_weights_are_of_the_local_clock(tmp_path: Path) -> None:
    at_two = Profile.of(tuple("1" if hour == 2 else "0" for hour in range(24)))
    rows = [f"2024-10-{day} 00:00,a,8,0" for day in (26, 27, 28)]
    data = plain(tmp_path, rows, at_two).data
    assert data is not None
    assert np.flatnonzero(data.import_wh[:, 0]).tolist() == [2, 24 + 2, 24 + 3, 49 + 2]
    assert data.import_wh[26:28, 0].tolist() == [4000, 4000]
    spring = [f"2024-03-{day} 00:00,a,8,0" for day in (29, 30, 31)]
    assert codes(plain(tmp_path, spring, at_two)) == ["interval_length"]


def test_the_profile_is_recorded_as_an_answer(tmp_path: Path) -> None:
    rows = [f"2024-01-0{day} 00:00,a,8,0" for day in (1, 2, 3)]
    data = plain(tmp_path, rows, HOURS).data
    assert data is not None
    assert Profile.from_text(data.source.answers["profile"]) == HOURS
    assert any("--profile" in note for note in data.source.notes)


def test_months_are_spread_over_all_of_their_days(tmp_path: Path) -> None:
    rows = [f"2024-{month:02}-01 00:00,a,{100 + month},0" for month in (1, 2, 3, 4)]
    data = plain(tmp_path, rows).data
    assert data is not None
    hours = [31 * 24, 29 * 24, 31 * 24 - 1, 30 * 24]
    parts = np.split(data.import_wh[:, 0], np.cumsum(hours)[:-1])
    assert [len(part) for part in parts] == hours
    assert [int(part.sum()) for part in parts] == [101_000, 102_000, 103_000, 104_000]


def test_a_day_that_is_not_there_stays_missing(tmp_path: Path) -> None:
    rows = [f"2024-01-0{day} 00:00,a,8,0" for day in (1, 2, 4, 5)]
    data = plain(tmp_path, rows).data
    assert data is not None
    assert (data.quality[48:72] == MISSING).all()
    assert int(data.import_wh.sum()) == 32_000


@pytest.mark.parametrize(
    "rows",
    [
        [
            *(f"2024-01-{day} 00:00,a,8,0" for day in range(10, 32)),
            *(f"2024-0{m}-01 00:00,a,9,0" for m in (2, 3)),
        ],
        [
            *(f"2024-01-0{day} 00:00,a,8,0" for day in range(1, 8)),
            *(f"2024-01-{d} 00:00,a,9,0" for d in (14, 21, 28)),
        ],
    ],
)
def test_a_step_that_changes_is_refused_with_its_line(rows: list[str], tmp_path: Path) -> None:
    reading = plain(tmp_path, rows)
    assert set(codes(reading)) == {"too_coarse"}
    assert all(finding.line for finding in reading.findings if finding.severity == "error")


def test_days_of_another_zone_are_refused(tmp_path: Path) -> None:
    rows = [f"2024-01-0{day}T00:00:00Z,a,8,0" for day in (1, 2, 3)]
    assert set(codes(plain(tmp_path, rows))) == {"off_grid"}
    assert plain(tmp_path, rows, zone="UTC").data is not None
    reading = plain(tmp_path, rows, zone=None)
    assert [question.option for question in reading.questions] == ["--zone"]


def test_without_a_profile_the_sentence_names_the_option(tmp_path: Path) -> None:
    reading = plain(tmp_path, [f"2024-01-0{day} 00:00,a,8,0" for day in (1, 2, 3)], None)
    assert codes(reading) == ["too_coarse"]
    assert "--profile flat or --profile FILE" in reading.findings[0].message


def test_hours_are_read_the_same_with_a_profile(tmp_path: Path) -> None:
    rows = [f"2024-01-01 {hour:02}:00,a,0.{hour:03},0" for hour in range(24)]
    with_it, without = plain(tmp_path, rows), plain(tmp_path, rows, None)
    assert with_it.data is not None
    assert without.data is not None
    assert np.array_equal(with_it.data.import_wh, without.data.import_wh)
    assert np.array_equal(with_it.data.quality, without.data.quality)
    assert "profile" not in with_it.data.source.answers


def test_a_file_of_weights_is_read_and_one_with_mistakes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "shape.csv"
    path.write_text("time,weight\n" + "".join(f"{hour:02}:00,{hour}\n" for hour in range(24)))
    assert profile_of(str(path)).weights[23] == "23"
    for text, says in (
        ("00:00,1\n07:00,1\n", "line 2"),
        ("00:00,1\n12:00,x\n", "'x'"),
        ("00:00,0\n12:00,0\n", "all weights"),
        ("00:00,1,2\n12:00,1\n", "3 cells"),
        ("", "0 steps"),
        ("00:00,1\n12:00,-1\n", "'-1'"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=says):
            profile_of(str(path))
    with pytest.raises(ValueError, match="neither"):
        profile_of(str(tmp_path / "none.csv"))


def test_weights_survive_being_written() -> None:
    for profile in (FLAT, HOURS, QUARTERS):
        assert Profile.from_text(str(profile)) == profile


ANSWERS = Hints(zone=BERLIN, profile=FLAT, dates="dmy", channels={"Verbrauch (kWh)": "import"})


def generic(folder: Path, text: str) -> FileReading:
    path = folder / "table.csv"
    path.write_text(text)
    return read(path, FORMATS.get("generic"), ANSWERS)


def test_a_table_of_dates_without_times_is_spread_from_the_named_day(tmp_path: Path) -> None:
    reading = generic(
        tmp_path, "Datum;Verbrauch (kWh)\n13.01.2026;8,1\n14.01.2026;9,3\n15.01.2026;7,7\n16.01.2026;7,25\n"
    )
    assert reading.data is not None, reading.findings
    assert reading.data.start_s == datetime(2026, 1, 13, tzinfo=ZoneInfo(BERLIN)).timestamp()
    assert reading.data.import_wh.reshape(4, 24).sum(axis=1).tolist() == [8100, 9300, 7700, 7250]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Datum;Bezug max (kW)\n13.01.2026;8,1\n14.01.2026;9,3\n15.01.2026;7,7\n", "no_energy"),
        ("Datum;Verbrauch (kWh)\n13.01.2026;8,1\n13.01.2026;9,3\n14.01.2026;7,7\n", "daily"),
        (
            "Von;Bis;Verbrauch (kWh)\n01.01.2026;31.01.2026;401,2\n01.02.2026;28.02.2026;300,9\n"
            "01.03.2026;31.03.2026;200,6\n",
            "interval_length",
        ),
    ],
)
def test_peaks_hours_without_times_and_unclear_ends_stay_refused(
    text: str, code: str, tmp_path: Path
) -> None:
    assert codes(generic(tmp_path, text)) == [code]


def test_sniff_names_the_option(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("Datum;Verbrauch (kWh)\n13.01.2026;8,1\n14.01.2026;9,3\n15.01.2026;7,7\n")
    assert "import with --profile flat|FILE" in sniff(path).advice
