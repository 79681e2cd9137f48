"""Downloads of the energy dashboard: random ones come back, and broken ones are refused by line."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.formats import FORMATS, read
from data.intake.raw import Hints
from tests.kits.sample_kit import some

START = datetime(2026, 1, 5, 10, tzinfo=UTC)
READ = {"grid_consumption": "import", "grid_return": "export", "solar_production": "pv"}
LEFT_OUT = (
    "grid_consumption_cost",
    "device_consumption",
    "battery_in",
    "gas_consumption",
    "calculated_consumed_grid",
)

row = st.tuples(st.sampled_from([*READ, *LEFT_OUT]), st.lists(st.integers(0, 9_000), min_size=5, max_size=5))


def write(path: Path, rows: list[tuple[str, list[int]]]) -> None:
    times = [f"{START + timedelta(hours=i):%Y-%m-%dT%H:%M:%S}.000Z" for i in range(5)]
    lines = [
        f"sensor.n{n},{kind},kWh,{','.join(str(wh / 1000) for wh in column)}"
        for n, (kind, column) in enumerate(rows)
    ]
    path.write_text("\n".join([f"entity_id,type,unit,{','.join(times)}", *lines, ""]), encoding="utf-8")


@settings(max_examples=some(60, 20), deadline=None)
@given(st.lists(row, max_size=6), st.lists(st.integers(0, 9_000), min_size=5, max_size=5))
def test_statistics_of_one_type_are_summed(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, list[int]]], grid: list[int]
) -> None:
    rows = [*rows, ("grid_consumption", grid)]
    path = tmp_path_factory.mktemp("csv") / "energy.csv"
    write(path, rows)
    data = read(path, FORMATS.get("home_assistant_csv"), Hints(fuse_w=10**6)).data
    assert data is not None
    sums: dict[str, list[int]] = defaultdict(lambda: [0] * 5)
    for kind, column in rows:
        if kind in READ:
            sums[READ[kind]] = [a + b for a, b in zip(sums[READ[kind]], column, strict=True)]
    assert data.import_wh[:, 0].tolist() == sums["import"]
    assert data.export_wh[:, 0].tolist() == sums["export"]
    assert data.sub_meters.keys() == sums.keys() - {"import", "export"}
    assert all(column[:, 0].tolist() == sums[name] for name, column in data.sub_meters.items())
    assert data.start_s == int(START.timestamp())


@pytest.mark.parametrize(("again", "same"), [("0.001", True), ("0.002", False)])
def test_a_statistic_that_is_there_twice_counts_once(tmp_path: Path, again: str, same: bool) -> None:
    path = tmp_path / "energy.csv"
    write(path, [("grid_consumption", [1, 2, 3, 4, 5])])
    text = path.read_text(encoding="utf-8")
    line = text.splitlines()[1].replace("0.001", again)
    path.write_text(f"{text}{line}\n", encoding="utf-8")
    reading = read(path, FORMATS.get("home_assistant_csv"), Hints())
    if same:
        assert reading.data is not None
        assert reading.data.import_wh[:, 0].tolist() == [1, 2, 3, 4, 5]
    else:
        assert [finding.code for finding in reading.findings] == ["conflict"]


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (",0.5\n", "\n", "wrong_cells"),
        ("0.5", '"0,5"', "decimal_comma"),
        ("0.5", "-0.5", "negative"),
        ("0.5", "x", "not_a_number"),
        (",kWh,", ",GJ,", "no_energy"),
        ("grid_consumption", "grid_consumption_cost", "no_register"),
        ("12:00:00.000Z", "noon", "bad_timestamp"),
    ],
)
def test_a_broken_download_is_refused(tmp_path: Path, old: str, new: str, code: str) -> None:
    path = tmp_path / "energy.csv"
    write(path, [("grid_consumption", [1, 2, 3, 4, 500])])
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    reading = read(path, FORMATS.get("home_assistant_csv"), Hints())
    assert {finding.code for finding in reading.findings if finding.severity == "error"} == {code}
