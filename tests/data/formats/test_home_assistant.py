"""Databases of Home Assistant of several schemas, also while they are written to, read against what was put in."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.formats import FORMATS, FileReading, read, recognise
from data.intake.raw import Hints
from tests.kits.sample_kit import some

START_S = 1_767_258_000
IMPORT, EXPORT = "sensor.p1_meter_energy_import", "sensor.p1_meter_energy_export"

NAMED = "name VARCHAR(255)"
SCHEMAS = {
    23: (NAMED, "start DATETIME"),
    35: (NAMED, "start DATETIME, start_ts FLOAT, created_ts FLOAT"),
    53: (
        f"{NAMED}, mean_type SMALLINT NOT NULL DEFAULT 0, unit_class TEXT",
        "start DATETIME, start_ts FLOAT",
    ),
}
"""Columns of the two tables that schemas have beside those of all."""


def write(
    path: Path,
    sums: Mapping[str, Sequence[float | None]],
    schema: int = 53,
    units: Mapping[str, str] | None = None,
    table: str = "statistics",
    step_s: int = 3600,
) -> None:
    """Write a database in which each series has a sum for each hour; None for an hour without a row."""
    meta, times = SCHEMAS[schema]
    common = (
        "id INTEGER PRIMARY KEY, created DATETIME, metadata_id INTEGER, mean FLOAT, state FLOAT, sum FLOAT"
    )
    with closing(sqlite3.connect(path)) as database:
        database.execute(
            "CREATE TABLE statistics_meta (id INTEGER PRIMARY KEY, statistic_id VARCHAR(255), source VARCHAR(32),"
            f" unit_of_measurement VARCHAR(255), has_mean BOOLEAN, has_sum BOOLEAN, {meta})"
        )
        for name in {"statistics", table}:
            database.execute(f"CREATE TABLE {name} ({common}, {times})")
        for number, (name, column) in enumerate(sums.items(), start=1):
            unit = (units or {}).get(name, "kWh")
            database.execute(
                "INSERT INTO statistics_meta (id, statistic_id, source, unit_of_measurement, has_mean, has_sum)"
                " VALUES (?, ?, 'recorder', ?, 0, 1)",
                (number, name, unit),
            )
            for hour, total in enumerate(column):
                second = START_S + hour * step_s
                words = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
                when = {"start": words} if schema < 30 else {"start_ts": float(second)}
                if total is not None:
                    insert(
                        database, table, {"metadata_id": number, "state": total + 8_000, "sum": total, **when}
                    )
        database.commit()


def insert(database: sqlite3.Connection, table: str, row: Mapping[str, object]) -> None:
    marks = ", ".join("?" * len(row))
    database.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))


def read_file(path: Path, **hints: object) -> FileReading:
    assert recognise(path).name == "home_assistant"
    return read(path, FORMATS.get("home_assistant"), Hints(**hints))  # type: ignore[arg-type]


def counts(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.iterdir())


@pytest.mark.parametrize("schema", SCHEMAS)
def test_the_energy_of_an_hour_is_the_difference_of_sums(tmp_path: Path, schema: int) -> None:
    path = tmp_path / "home-assistant_v2.db"
    write(path, {IMPORT: [0, 0.25, 0.75, None, 2, 2], EXPORT: [0, 0, 0, None, 1, 1.5]}, schema)
    data = read_file(path).data
    assert data is not None
    assert (data.start_s, data.minutes) == (START_S + 3600, 60)  # the begin of the first hour was not counted
    assert data.import_wh[:, 0].tolist() == [250, 500, 0, 0, 0]
    assert data.export_wh[:, 0].tolist() == [0, 0, 0, 0, 500]
    assert data.quality[:, 0].tolist() == [0, 0, 2, 2, 0]
    assert counts(path) == [path.name]


@settings(max_examples=some(40, 13), deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9_000), st.integers(0, 9_000)), min_size=2, max_size=24),
    st.sampled_from(sorted(SCHEMAS)),
    st.sampled_from([("Wh", 1.0), ("kWh", 1e3), ("MWh", 1e6)]),
    st.integers(-50_000, 50_000),
)
def test_readings_come_back_to_the_integer(
    tmp_path_factory: pytest.TempPathFactory,
    wh: list[tuple[int, int]],
    schema: int,
    unit: tuple[str, float],
    first: int,
) -> None:
    path = tmp_path_factory.mktemp("ha") / "home-assistant_v2.db"
    sums: dict[str, list[float | None]] = {IMPORT: [first / unit[1]], EXPORT: [first / unit[1]]}
    for column, name in enumerate(sums):
        total = first
        for energy in wh:
            total += energy[column]
            sums[name].append(total / unit[1])
    write(path, sums, schema, {IMPORT: unit[0], EXPORT: unit[0]})
    data = read_file(path).data
    assert data is not None
    assert data.import_wh[:, 0].tolist() == [energy for energy, _ in wh]
    assert data.export_wh[:, 0].tolist() == [energy for _, energy in wh]


def test_a_database_in_use_is_read_and_its_writer_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "home-assistant_v2.db"
    write(path, {IMPORT: [0, 1, 2]})
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        insert(writer, "statistics", {"metadata_id": 1, "sum": 4.0, "start_ts": START_S + 3 * 3600})
        writer.commit()  # in the log alone
        insert(writer, "statistics", {"metadata_id": 1, "sum": 9.0, "start_ts": START_S + 4 * 3600})
        before = counts(path)
        data = read_file(path).data
        assert data is not None
        assert data.import_wh[:, 0].tolist() == [1000, 1000, 2000]
        assert counts(path) == before
        writer.commit()
    data = read_file(path).data
    assert data is not None
    assert data.import_wh[:, 0].tolist() == [1000, 1000, 2000, 5000]
    assert counts(path) == [path.name]


def test_a_writer_without_a_log_is_waited_for_or_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data.formats.home_assistant.database.WAIT_S", 0.05)
    path = tmp_path / "home-assistant_v2.db"
    write(path, {IMPORT: [0, 1, 2]})
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        reading = read_file(path)
        assert [finding.code for finding in reading.findings] == ["unreadable"]
        assert "locked" in reading.findings[0].message
        writer.execute("ROLLBACK")


def test_a_log_left_by_a_crash_is_read_from_a_copy(tmp_path: Path) -> None:
    source = tmp_path / "running" / "home-assistant_v2.db"
    source.parent.mkdir()
    write(source, {IMPORT: [0, 1, 2]})
    copied = tmp_path / "copy" / source.name
    copied.parent.mkdir()
    with closing(sqlite3.connect(source)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        insert(writer, "statistics", {"metadata_id": 1, "sum": 4.0, "start_ts": START_S + 3 * 3600})
        writer.commit()
        for end in ("", "-wal"):
            copied.with_name(source.name + end).write_bytes(source.with_name(source.name + end).read_bytes())
    before = {file: file.read_bytes() for file in copied.parent.iterdir()}
    data = read_file(copied).data
    assert data is not None
    assert data.import_wh[:, 0].tolist() == [1000, 1000, 2000]
    assert {file: file.read_bytes() for file in copied.parent.iterdir()} == before


@pytest.mark.parametrize(
    "name",
    [
        "sensor.p1_meter_energy_import'; DROP TABLE statistics; --",
        'sensor."p1 import; grid"',
        "p1:import;grid'",
    ],
)
def test_names_with_sql_in_them_are_names(tmp_path: Path, name: str) -> None:
    path = tmp_path / "home-assistant_v2.db"
    write(path, {name: [0, 1, 2]})
    before = path.read_bytes()
    data = read_file(path, channels={name: "import"}).data
    assert data is not None
    assert data.import_wh[:, 0].tolist() == [1000, 1000]
    assert path.read_bytes() == before


def test_a_total_beside_its_tariffs_is_asked_about(tmp_path: Path) -> None:
    path = tmp_path / "home-assistant_v2.db"
    sums = {IMPORT: [0, 2, 4], f"{IMPORT}_tariff_1": [0, 1, 2], f"{IMPORT}_tariff_2": [0, 1, 2]}
    write(path, sums)
    reading = read_file(path)
    assert [question.option for question in reading.questions] == [f"--channel {name}" for name in sums]
    chosen = {IMPORT: "ignore", f"{IMPORT}_tariff_1": "import.low", f"{IMPORT}_tariff_2": "import.high"}
    data = read_file(path, channels=chosen).data
    assert data is not None
    assert data.import_wh[:, 0].tolist() == [2000, 2000]


def test_devices_are_left_out_and_production_is_asked_about(tmp_path: Path) -> None:
    path = tmp_path / "home-assistant_v2.db"
    devices = {"sensor.dishwasher_energy": [0, 1, 1], "sensor.gas": [0, 1, 2]}
    sums = {IMPORT: [0, 2, 4], "sensor.roof_solar_yield": [0, 1, 2], **devices}
    write(path, sums, units={"sensor.gas": "m³"})
    (question,) = read_file(path).questions
    assert (question.option, question.proposal) == ("--channel sensor.roof_solar_yield", "pv")
    data = read_file(path, channels={"sensor.roof_solar_yield": "pv"}).data
    assert data is not None
    assert data.sub_meters.keys() == {"pv"}
    assert any("1 statistics of devices" in note for note in data.source.notes)


@pytest.mark.parametrize(
    ("name", "proposal"),
    [("sensor.plug_in_battery_energy_import", "ignore"), ("sensor.garage_meter_energy_import", "import")],
)
def test_an_import_that_may_not_be_at_the_grid_is_asked_about(
    tmp_path: Path, name: str, proposal: str
) -> None:
    path = tmp_path / "home-assistant_v2.db"
    write(path, {name: [0, 2, 4]})
    (question,) = read_file(path).questions
    assert question.proposal == proposal


def test_a_sum_that_falls_is_missing_and_never_negative(tmp_path: Path) -> None:
    path = tmp_path / "home-assistant_v2.db"
    write(path, {IMPORT: [5, 6, 7, -3, -2.5, -2]})
    reading = read_file(path)
    assert reading.data is not None
    assert reading.data.import_wh[:, 0].tolist() == [1000, 1000, 0, 500, 500]
    assert reading.data.quality[:, 0].tolist() == [0, 0, 2, 0, 0]


def test_two_sums_of_one_hour_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "home-assistant_v2.db"
    write(path, {IMPORT: [0, 1, 2]}, schema=23)
    with closing(sqlite3.connect(path)) as database:
        insert(database, "statistics", {"metadata_id": 1, "sum": 7.0, "start": "2026-01-01 10:00:00.000000"})
        database.commit()
    assert [finding.code for finding in read_file(path).findings] == ["conflict"]


def test_five_minutes_are_read_where_they_are_wanted(tmp_path: Path) -> None:
    path = tmp_path / "home-assistant_v2.db"
    write(path, {IMPORT: [0, 0.1, 0.3]}, table="statistics_short_term", step_s=300)
    data = read_file(path, minutes=5).data
    assert data is not None
    assert (data.minutes, data.start_s) == (5, START_S + 300)
    assert data.import_wh[:, 0].tolist() == [100, 200]


@pytest.mark.parametrize("cut", range(16, 12_000, 997))
def test_a_database_cut_off_is_an_error_in_words(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "home-assistant_v2.db"
    write(path, {IMPORT: [0, 1, 2]})
    path.write_bytes(path.read_bytes()[:cut])
    reading = read(path, FORMATS.get("home_assistant"), Hints())
    assert reading.data is None
    assert reading.findings


def test_a_view_in_place_of_a_table_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "home-assistant_v2.db"
    write(path, {IMPORT: [0, 1, 2]})
    with closing(sqlite3.connect(path)) as database:
        database.execute("DROP TABLE statistics")
        endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n"
        database.execute(f"CREATE VIEW statistics AS {endless}")
        database.commit()
    assert [finding.code for finding in read_file(path).findings] == ["unreadable"]
