"""Repairs keep what counters show over gaps, to the Wh; the store remembers it, and which total was used."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.intake.raw import Hints
from data.readings import MISSING, Known
from data.store.assemble import Said, assembled
from data.store.imports import Options, import_files
from data.store.layers import patched
from data.store.manifest import MANIFEST
from data.store.read import Content, read_store
from data.store.repair import POLICIES, Repair, repair
from data.store.resample import known_on, resampled
from data.store.series import HomeSeries
from data.store.write import writing
from tests.kits.store_kit import START, files_of, series

QUARTER = 900


def span(first: int, last: int, wh: int, channel: str = "import", home: str = "anna") -> Known:
    return Known(home, channel, START + first * QUARTER, START + last * QUARTER, wh)


def after(one: HomeSeries, found: Repair) -> HomeSeries:
    assert found.patch is not None
    return patched(one, found.patch)


@pytest.mark.parametrize("policy", ["interpolate", "zero"])
def test_what_a_policy_fills_comes_to_what_the_counter_shows(policy: str) -> None:
    one = series(energy=[10, 0, 0, 0, 30, 0, 7], quality=[0, 2, 2, 2, 0, 2, 0])
    found = repair(one, policy, None, counted=[span(1, 4, 100), span(5, 6, 3), span(1, 4, 9, home="ben")])
    now = after(one, found)
    expected = [25, 33, 42] if policy == "interpolate" else [33, 33, 34]
    assert now.energy["import"].tolist() == [10, *expected, 30, 3, 7]
    assert (found.kept, found.guessed) == ((span(5, 6, 3), span(1, 4, 100)), 0)


def test_two_gaps_that_touch_are_kept_each() -> None:
    one = series(energy=[10, 0, 0, 0, 10], quality=[0, 2, 2, 2, 0])
    now = after(one, repair(one, "interpolate", None, counted=[span(1, 2, 5), span(2, 4, 90)]))
    assert now.energy["import"].tolist() == [10, 5, 45, 45, 10]


def test_readings_that_came_later_are_a_part_of_the_total() -> None:
    one = series(energy=[10, 0, 40, 0, 10], quality=[0, 2, 0, 2, 0])
    now = after(one, repair(one, "interpolate", None, counted=[span(1, 4, 100)]))
    assert now.energy["import"].tolist() == [10, 30, 40, 30, 10]
    less = repair(one, "interpolate", None, counted=[span(1, 4, 30)])
    assert less.kept == ()
    assert less.broken == ((span(1, 4, 30), "what was read there is 0.010 kWh more"),)
    assert after(one, less).energy["import"].tolist() == [10, 25, 40, 25, 10]


def test_a_gap_that_is_filled_in_part_waits_for_the_rest() -> None:
    one = series(energy=[10, 0, 0, 0, 10], quality=[0, 2, 2, 2, 0])
    totals = [span(1, 4, 100)]
    window = (None, START + 3 * QUARTER)
    assert repair(one, "interpolate", None, window).left == 2, "a reading that is missing is no end of a line"
    part = repair(one, "zero", None, window, counted=totals)
    assert part.broken == ((totals[0], "a part of it stays missing"),)
    assert part.guessed == 0
    half = after(one, part)
    assert half.energy["import"].tolist() == [10, 0, 0, 0, 10]
    whole = after(half, repair(half, "zero", None, counted=totals))
    assert whole.energy["import"].tolist() == [10, 0, 0, 100, 10]


def test_a_channel_that_was_read_keeps_its_readings() -> None:
    """Only the import has a gap: the export of each interval is known, though the intervals count as missing."""
    one = series(energy=[10, 0, 0, 10], quality=[0, 2, 2, 0], export=[1, 9, 2, 1])
    totals = [span(1, 3, 50), span(1, 3, 11, "export")]
    now = after(one, repair(one, "interpolate", None, counted=totals))
    assert now.energy["export"].tolist() == [1, 9, 2, 1]
    assert now.energy["import"].tolist() == [10, 25, 25, 10]


def test_what_the_user_states_counts_instead() -> None:
    one = series(energy=[10, 0, 0, 10], quality=[0, 2, 2, 0])
    totals = [span(1, 3, 50), span(1, 3, 8, "export")]
    found = repair(one, "interpolate", None, known_wh={"import": 7}, counted=totals)
    assert after(one, found).total_wh("import") == 27
    assert (found.kept, found.stated) == ((totals[1],), (span(1, 3, 7),))


@given(st.data())
def test_stretches_that_overlap_are_all_kept_or_said_to_be_not(data: st.DataObject) -> None:
    count = 12
    true = np.array(data.draw(st.lists(st.integers(0, 50), min_size=count, max_size=count)))
    lost = np.array(data.draw(st.lists(st.booleans(), min_size=count - 2, max_size=count - 2)))
    flags = np.array([0, *np.where(lost, MISSING, 0).tolist(), 0])
    totals = []
    for _ in range(data.draw(st.integers(0, 3))):
        first = data.draw(st.integers(0, count - 1))
        last = data.draw(st.integers(first + 1, count))
        totals.append(span(first, last, int(true[first:last].sum())))
    one = series(energy=np.where(flags == MISSING, 0, true).tolist(), quality=flags.tolist())
    policy = data.draw(st.sampled_from(sorted(POLICIES)))
    found = repair(one, policy, None, counted=totals)
    now = after(one, found) if found.patch else one
    assert (now.energy["import"] >= 0).all()
    assert (now.energy["import"] == one.energy["import"])[flags != MISSING].all()
    for total in found.kept:
        first, last = ((t - START) // QUARTER for t in (total.start_s, total.end_s))
        assert int(now.energy["import"][first:last].sum()) == total.wh


def write_counter(path: Path, first: int, last: int, lost: range, home: str = "anna") -> Path:
    """Readings of a counter that rises by 100 Wh and a bit in each quarter of an hour."""
    lines = ["timestamp,household,import_wh,export_wh"]
    for row in range(first, last):
        if row not in lost:
            when = np.datetime64(START + row * QUARTER, "s")
            lines.append(f"{when}Z,{home},{50_000 + 100 * row + row % 3},{7_000 + 2 * row}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def imported_counter(folder: Path, *files: Path) -> Path:
    options = Options(hints=Hints(kind="counter"))
    for file in files:
        import_files([file], folder, options)
    return folder


def kept_in(folder: Path) -> Content:
    content = read_store(folder)
    found = [repair(one, "previous-day", None, counted=content.manifest.known) for one in content.series]
    with writing(folder) as writer:
        patches = [one.patch for one in found if one.patch is not None]
        totals = [(total, "counter") for one in found for total in one.kept]
        writer.repair(patches, "previous-day", "a repair", totals)  # type: ignore[arg-type]
    return read_store(folder)


def test_a_store_keeps_totals_and_which_were_used_and_undo_takes_both_back(tmp_path: Path) -> None:
    store = imported_counter(tmp_path / "s", write_counter(tmp_path / "c.csv", 0, 300, range(150, 160)))
    before, files = read_store(store), files_of(store)
    assert before.manifest.known == (
        span(149, 160, 2 * 11, "export"),
        span(149, 160, 11 * 100 + 160 % 3 - 149 % 3),
    )
    now = kept_in(store)
    assert now.series[0].total_wh("import") == 299 * 100 + 299 % 3
    assert now.series[0].total_wh("export") == 299 * 2
    assert [(one.layer, one.by) for one in now.manifest.kept] == [("layers/0002.parquet", "counter")] * 2
    assert {one.total for one in now.manifest.kept} == set(before.manifest.known)
    with writing(store) as writer:
        writer.undo("taken away")
    again = read_store(store)
    assert again.manifest.kept == ()
    assert again.manifest.known == before.manifest.known
    assert again.manifest.sha256 == before.manifest.sha256
    left = files_of(store)
    assert all(left[name] == content for name, content in files.items() if name != MANIFEST)


def test_a_gap_between_two_files_is_not_known(tmp_path: Path) -> None:
    early = write_counter(tmp_path / "a.csv", 0, 200, range(100, 104))
    late = write_counter(tmp_path / "b.csv", 210, 400, range(300, 302))
    store = imported_counter(tmp_path / "s", early, late)
    imports = [one for one in read_store(store).manifest.known if one.channel == "import"]
    assert [(one.start_s, one.end_s) for one in imports] == [
        (START + first * QUARTER, START + last * QUARTER) for first, last in ((99, 104), (299, 302))
    ]
    content = read_store(store)
    found = repair(content.series[0], "interpolate", None, counted=content.manifest.known)
    assert (found.gaps, found.guessed) == (3, 1)


def test_the_same_file_again_states_its_totals_once(tmp_path: Path) -> None:
    file = write_counter(tmp_path / "a.csv", 0, 200, range(100, 104))
    more = write_counter(tmp_path / "b.csv", 0, 210, range(100, 104))
    once = read_store(imported_counter(tmp_path / "s", file)).manifest.known
    assert read_store(imported_counter(tmp_path / "s", more)).manifest.known == once


def test_a_store_of_before_is_read_and_repaired_without_totals(tmp_path: Path) -> None:
    store = imported_counter(tmp_path / "s", write_counter(tmp_path / "c.csv", 0, 300, range(150, 160)))
    content = json.loads((store / MANIFEST).read_text())
    del content["known"], content["kept"]
    (store / MANIFEST).write_text(json.dumps(content))
    now = kept_in(store)
    assert now.manifest.known == now.manifest.kept == ()
    assert (now.series[0].quality != MISSING).all()


def test_another_step_keeps_the_totals_of_whole_intervals(tmp_path: Path) -> None:
    store = imported_counter(tmp_path / "s", write_counter(tmp_path / "c.csv", 0, 300, range(121, 124)))
    manifest, (one,) = read_store(store).manifest, read_store(store).series
    assert known_on(resampled(one, 60), manifest.known) == list(manifest.known), "from 120 to 124: one hour"
    other = imported_counter(tmp_path / "t", write_counter(tmp_path / "d.csv", 0, 300, range(122, 124)))
    manifest, (one,) = read_store(other).manifest, read_store(other).series
    assert known_on(resampled(one, 60), manifest.known) == [], "from 121 to 124: a part of an hour"
    assert known_on(resampled(one, 5, "flat"), manifest.known) == list(manifest.known)


def test_homes_of_several_stores_take_their_totals_with_them(tmp_path: Path) -> None:
    one = imported_counter(tmp_path / "s", write_counter(tmp_path / "c.csv", 0, 300, range(20, 22)))
    other = imported_counter(
        tmp_path / "t", write_counter(tmp_path / "d.csv", 10, 350, range(298, 302), "ben")
    )
    found = assembled([one, other], Said({"ben": "cara"}, {}, {}, {}))
    assert {(total.home, total.channel, total.start_s) for total in found.known} == {
        ("anna", name, START + 19 * QUARTER) for name in ("import", "export")
    }, "the gap of cara reaches beyond the window of both"
    alone = assembled([other], Said({"ben": "cara"}, {}, {}, {}))
    assert {total.home for total in alone.known} == {"cara"}
