"""JSON of SolarEdge and GivEnergy: the shared sample, random answers, and JSON of any other shape."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.formats import FORMATS, read, recognise
from data.intake.file import MeterFile
from data.intake.raw import Hints, IntakeLog, RawReadings
from data.readings import MISSING
from tests.kits.fixture_kit import METERS
from tests.kits.sample_kit import some

SHARED = Path(__file__).parents[4] / "shared" / "data" / "meter_exports" / "solaredge"
AMSTERDAM = ZoneInfo("Europe/Amsterdam")
TYPES = {"Purchased": "import_wh", "FeedIn": "export_wh", "Production": "pv", "Consumption": "load"}
ANSWERS = [
    METERS / name
    for name in (
        "solaredge_october/solaredge.json",
        "givenergy_points/points.json",
        "givenergy_flows/flows.json",
    )
]

values = st.lists(st.one_of(st.none(), st.integers(0, 10_000)), min_size=6, max_size=6)


@settings(max_examples=some(60, 20), deadline=None)
@given(
    st.dictionaries(st.sampled_from(sorted(TYPES)), values, min_size=4, max_size=4),
    st.sampled_from([("HOUR", 60), ("QUARTER_OF_AN_HOUR", 15)]),
    st.booleans(),
    st.integers(0, 364 * 24),
)
def test_meters_come_back(
    tmp_path_factory: pytest.TempPathFactory,
    meters: dict[str, list[int | None]],
    unit: tuple[str, int],
    with_offset: bool,
    hour: int,
) -> None:
    start = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(hours=hour)
    local = [(start + timedelta(minutes=unit[1] * i)).astimezone(AMSTERDAM) for i in range(6)]
    if not with_offset and len({stamp.utcoffset() for stamp in local}) > 1:
        return  # a file without offsets cannot be written there
    layout = "%Y-%m-%d %H:%M:%S %Z%z" if with_offset else "%Y-%m-%d %H:%M:%S"
    dates = [f"{stamp:{layout}}" for stamp in local]
    body = [
        {"type": name, "values": [{"date": d, "value": wh} for d, wh in zip(dates, column, strict=True)]}
        for name, column in meters.items()
    ]
    path = tmp_path_factory.mktemp("solaredge") / "any.json"
    answer = {"energyDetails": {"timeUnit": unit[0], "unit": "Wh", "meters": body}}
    path.write_text(json.dumps(answer), encoding="utf-8")
    data = read(path, recognise(path), Hints(zone=None if with_offset else "Europe/Amsterdam")).data
    if all(wh is None for wh in meters["Purchased"]):
        return
    assert data is not None
    assert (data.start_s, data.minutes) == (int(start.timestamp()), unit[1])
    columns = {"import_wh": data.import_wh, "export_wh": data.export_wh, **data.sub_meters}
    for name, column in meters.items():
        found = columns[TYPES[name]][:, 0].tolist() if TYPES[name] in columns else [0] * 6
        assert found == [wh or 0 for wh in column]
    for i, flag in enumerate(data.quality[:, 0].tolist()):
        whole = {name for name, column in meters.items() if any(wh is not None for wh in column)}
        lacks = any(meters[name][i] is None for name in whole | {"Purchased", "FeedIn"})
        assert (flag == MISSING) == lacks


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data are not beside the repository")
def test_the_shared_sample_has_its_total_and_is_no_home_alone() -> None:
    (path,) = SHARED.glob("*.json")
    answer = json.loads(path.read_text(encoding="utf-8"))["energy"]["values"]
    total = sum(value["value"] or 0 for value in answer)
    chosen = recognise(path)
    (chunk,) = chosen.parse(MeterFile(path), Hints(), IntakeLog())
    assert isinstance(chunk, RawReadings)
    ((channel, column),) = chunk.values.items()
    assert channel.name == "pv"
    assert float(column.values[~column.empty].sum()) == total
    assert int(column.empty.sum()) == sum(value["value"] is None for value in answer)
    reading = read(path, chosen, Hints())
    assert "no_register" in {finding.code for finding in reading.findings if finding.severity == "error"}


anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [path, *(place for key in keys for place in places(value[key], (*path, key)))]


@settings(max_examples=some(300, 60), deadline=None)
@given(st.sampled_from(ANSWERS), st.data())
def test_no_value_in_any_place_is_a_crash(
    tmp_path_factory: pytest.TempPathFactory, answer: Path, data: st.DataObject
) -> None:
    value = json.loads(answer.read_text(encoding="utf-8"))
    *before, last = data.draw(st.sampled_from(places(value)[1:]))
    at = value
    for key in before:
        at = at[key]
    at[last] = data.draw(anything)
    path = tmp_path_factory.mktemp("json") / "any.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    name = "solaredge" if "solaredge" in str(answer) else "givenergy"
    reading = read(path, FORMATS.get(name), Hints(zone="Europe/London"))
    assert reading.data is not None or reading.findings


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda path: path.parent.name)
def test_an_answer_cut_off_is_an_error(tmp_path: Path, answer: Path) -> None:
    whole = answer.read_bytes().rstrip()
    name = "solaredge" if "solaredge" in str(answer) else "givenergy"
    path = tmp_path / "any.json"
    for end in range(1, len(whole), 50):
        path.write_bytes(whole[:end])
        reading = read(path, FORMATS.get(name), Hints(zone="Europe/London"))
        assert [finding.code for finding in reading.findings] == ["unreadable"]


def test_json_nested_without_end_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "any.json"
    path.write_text('{"energy": ' + "[" * 200_000, encoding="utf-8")
    assert [finding.code for finding in read(path, FORMATS.get("solaredge"), Hints()).findings] == [
        "unreadable"
    ]
