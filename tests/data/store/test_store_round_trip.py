"""What goes into a store comes out: bit for bit as readings, and through the plain format."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import formats, samples
from data.formats import plain
from data.readings import ESTIMATED, MEASURED, MISSING, BatterySpec, MeterData, Source
from data.store.export import write_plain
from data.store.manifest import Home
from data.store.read import load_store, read_store
from data.store.series import HomeSeries, on_one_grid, series_of
from data.store.write import making, rows_of_all
from tests.kits.store_kit import START, imported, series


@st.composite
def homes(draw: st.DrawFn) -> list[HomeSeries]:
    """Homes of one step with own spans, gaps and sub-meters; the first and the last interval of each were read."""
    subs = draw(st.lists(st.sampled_from(["pv", "ev", "heat_pump"]), unique=True))
    found = []
    for number in range(draw(st.integers(1, 3))):
        count = draw(st.integers(1, 12))
        flags = draw(
            st.lists(st.sampled_from([MEASURED, ESTIMATED, MISSING]), min_size=count, max_size=count)
        )
        flags[0], flags[-1] = MEASURED, ESTIMATED
        columns = {
            name: [0 if flag == MISSING else draw(st.integers(0, 9_999_999)) for flag in flags]
            for name in ("import", "export", *subs)
        }
        found.append(
            series(
                f"home {number}",
                columns.pop("import"),
                flags,
                start_s=START + 900 * draw(st.integers(0, 5)),
                export=columns.pop("export"),
                **columns,
            )
        )
    return found


def stored(folder: Path, found: list[HomeSeries]) -> Path:
    with making(folder / "s") as writer:
        writer.append(rows_of_all(found), [Home(one.home, one.minutes) for one in found], "of a test")
    return folder / "s"


def same(one: HomeSeries, other: HomeSeries) -> bool:
    return (
        (one.home, one.start_s, one.minutes) == (other.home, other.start_s, other.minutes)
        and one.energy.keys() == other.energy.keys()
        and all((one.energy[name] == other.energy[name]).all() for name in one.energy)
        and bool((one.quality == other.quality).all())
    )


@settings(max_examples=40, deadline=None)
@given(homes())
def test_a_store_gives_back_what_was_written(found: list[HomeSeries]) -> None:
    with TemporaryDirectory() as folder:
        back = read_store(stored(Path(folder), found)).series
        assert len(back) == len(found)
        assert all(same(one, other) for one, other in zip(back, found, strict=True))


@settings(max_examples=40, deadline=None)
@given(homes(), st.sampled_from([".csv", ".parquet"]))
def test_import_export_import_gives_identical_integers_and_flags(
    found: list[HomeSeries], suffix: str
) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        store = stored(folder, found)
        rows = write_plain(read_store(store).series, folder / f"out{suffix}")
        assert rows == sum(one.intervals for one in found)
        imported(folder / "again", folder / f"out{suffix}", hints=formats.Hints(minutes=15, fuse_w=10**9))
        back = {one.home: one for one in read_store(folder / "again").series}
        assert set(back) == {one.home for one in found}
        assert all(same(back[one.home], one) for one in found)


def test_readings_of_the_bundled_street_are_the_same_after_a_store(tmp_path: Path) -> None:
    data = samples.load("street")
    data = data.window(data.start_s, data.start_s + 10 * 86_400)
    plain.write(data, tmp_path / "street.csv")
    found = imported(tmp_path / "s", tmp_path / "street.csv")
    assert found.made
    assert {one.counts.new for one in found.homes} == {960}
    back = formats.load(tmp_path / "s")
    assert back.households == data.households
    assert (back.import_wh == data.import_wh).all()
    assert (back.export_wh == data.export_wh).all()
    assert (back.quality == data.quality).all()
    assert all((back.sub_meters[name] == data.sub_meters[name]).all() for name in data.sub_meters)
    assert back.source.format == "store"
    assert formats.recognise(tmp_path / "s").name == "store"


def test_homes_of_several_steps_are_summed_to_the_longest_in_one_window(tmp_path: Path) -> None:
    quarter = series("anna", [1, 2, 3, 4, 5, 6, 7, 8])
    hour = series("ben", [100, 200], minutes=60, start_s=START + 3_600)
    data = load_store(stored(tmp_path, [quarter, hour]))
    assert data.minutes == 60
    assert data.households == ("anna", "ben")
    assert data.import_wh.tolist() == [[10, 0], [26, 100], [0, 200]]
    assert data.quality.tolist() == [[MEASURED, MISSING], [MEASURED, MEASURED], [MISSING, MEASURED]]


def test_a_home_without_a_gross_meter_is_given_its_consumption_and_never_counts_as_consuming_nothing() -> (
    None
):
    one = series("anna", [5, 0], export=[0, 3], pv=[2, 4], load=[7, 1])
    other = series("ben", [9, 8])
    data = on_one_grid([one, other], Source("test", ""), {})
    assert data.load_wh.tolist() == [[7, 9], [1, 8]]
    roof = series("cleo", [9, 0], export=[0, 5])  # gives energy and has no meter of its production
    mixed = on_one_grid([one, roof], Source("test", ""), {})
    assert "load" not in mixed.sub_meters
    assert "the gross consumption of 1 home is left out: cleo has none" in mixed.source.notes[0]


def test_batteries_that_a_source_names_stay_with_their_home(tmp_path: Path) -> None:
    battery = BatterySpec(10_000, 5_000, 5_000, 950_000, 950_000)
    one = series()
    with making(tmp_path / "s") as writer:
        writer.append(rows_of_all([one]), [Home("anna", 15, battery)], "of a test")
    assert load_store(tmp_path / "s").batteries == (battery,)


def test_readings_before_the_first_and_after_the_last_are_no_part_of_a_home_but_energy_always_is() -> None:
    data = MeterData(
        households=("a", "b"),
        start_s=START,
        minutes=15,
        import_wh=np.array([[0, 5], [1, 0], [2, 0], [0, 0]]),
        export_wh=np.zeros((4, 2), dtype=np.int64),
        quality=np.array([[2, 2], [0, 0], [0, 2], [2, 2]], dtype=np.uint8),
        sub_meters={},
        batteries=(None, None),
        source=Source("test", ""),
    )
    a, b = series_of(data)
    assert (a.start_s, a.intervals) == (START + 900, 2)
    assert (b.start_s, b.intervals, b.total_wh("import")) == (START, 2, 5)


@pytest.mark.parametrize("name", ["../../etc", 'x"; DROP TABLE', "=1+1", "ü"])
def test_names_of_homes_are_text_and_nothing_else(name: str, tmp_path: Path) -> None:
    store = stored(tmp_path, [series(name)])
    assert read_store(store).series[0].home == name
    assert {file.name for file in tmp_path.iterdir()} == {"s"}
