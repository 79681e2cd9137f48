"""Repairs are layers: what each policy makes, and that taking one away gives the import back bit for bit."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.readings import ESTIMATED, MEASURED, MISSING
from data.store.errors import Mismatch
from data.store.layers import Patch, patched
from data.store.read import read_store
from data.store.repair import POLICIES, repair, shared_out
from data.store.series import HomeSeries
from data.store.write import writing
from tests.kits.store_kit import START, files_of, imported, series, write_plain_csv

DAY = 96


def with_gap(days: int, first: int, last: int, *, start_s: int = START) -> HomeSeries:
    """A reading of 1000 d + q in quarter q of day d; the gap is [first, last)."""
    energy = np.array([1_000 * (row // DAY) + row % DAY for row in range(days * DAY)])
    flags = np.zeros(len(energy), dtype=np.int64)
    energy[first:last], flags[first:last] = 0, MISSING
    return series("anna", energy.tolist(), flags.tolist(), start_s=start_s)


def filled(one: HomeSeries, policy: str, zone: ZoneInfo | None = None, **options: object) -> HomeSeries:
    found = repair(one, policy, zone, **options)  # type: ignore[arg-type]
    assert found.patch is not None
    return patched(one, found.patch)


def test_a_straight_line_between_both_ends() -> None:
    now = filled(series(energy=[10, 0, 0, 0, 30], quality=[0, 2, 2, 2, 0]), "interpolate")
    assert now.energy["import"].tolist() == [10, 15, 20, 25, 30]
    assert now.quality.tolist() == [MEASURED, ESTIMATED, ESTIMATED, ESTIMATED, MEASURED]


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_no_policy_takes_away_what_was_read_in_a_part_of_an_interval(policy: str) -> None:
    """An hour of three quarters, or one whose import was read and not its export, holds energy and is missing."""
    one = with_gap(15, 8 * DAY, 8 * DAY + 1)
    one.energy["import"][8 * DAY] = 9_999
    assert filled(one, policy).energy["import"][8 * DAY] == 9_999
    one.energy["import"][8 * DAY] = 1
    assert filled(one, policy).energy["import"][8 * DAY] == (1 if policy == "zero" else filled_alone(policy))


def filled_alone(policy: str) -> int:
    return int(filled(with_gap(15, 8 * DAY, 8 * DAY + 1), policy).energy["import"][8 * DAY])


def test_the_day_before_and_where_it_lacks_the_one_before_that() -> None:
    now = filled(with_gap(4, 2 * DAY, 3 * DAY + 1), "previous-day")
    assert now.energy["import"][2 * DAY : 3 * DAY].tolist() == [1_000 + q for q in range(DAY)]
    assert now.energy["import"][3 * DAY] == 1_000


def test_the_same_weekday_is_a_week_away_on_the_local_clock() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    start = 1_774_047_600  # 2026-03-21T00:00+01:00, a week before the clock goes forward
    now = filled(with_gap(15, 8 * DAY, 8 * DAY + 4, start_s=start), "same-weekday", berlin)
    # The 192 quarters before Sunday 29 March are two days; from then on the clock is an hour ahead.
    times = (start + 900 * np.arange(8 * DAY, 8 * DAY + 4)).tolist()
    assert times[0] == 1_774_738_800  # 2026-03-29T00:00+01:00
    assert now.energy["import"][8 * DAY : 8 * DAY + 4].tolist() == [1_000, 1_001, 1_002, 1_003]
    later = filled(with_gap(15, 9 * DAY, 9 * DAY + 4, start_s=start), "same-weekday", berlin)
    # 2026-03-30T01:00 local (summer); a week before, 01:00 of winter time is the fifth quarter of its day.
    assert later.energy["import"][9 * DAY : 9 * DAY + 4].tolist() == [2_004, 2_005, 2_006, 2_007]


def test_what_a_policy_knows_nothing_of_stays_missing() -> None:
    found = repair(with_gap(1, 90, 94), "previous-day", None)
    assert found.patch is None
    assert (found.gaps, found.left) == (1, 4)
    end = series(energy=[0, 0, 3], quality=[2, 2, 0])
    assert repair(end, "interpolate", None).patch is None


def test_only_a_window_is_repaired() -> None:
    one = series(energy=[1, 0, 3, 0, 5], quality=[0, 2, 0, 2, 0])
    found = repair(one, "interpolate", None, (START + 2 * 900, None))
    assert found.patch is not None
    assert found.patch.time_s.tolist() == [START + 3 * 900]


def test_energy_that_is_known_over_a_gap_is_kept_to_the_wh() -> None:
    one = series(energy=[10, 0, 0, 0, 30], quality=[0, 2, 2, 2, 0], export=[1, 0, 0, 0, 1])
    now = filled(one, "interpolate", known_wh={"import": 100, "export": 0})
    assert now.energy["import"].tolist() == [10, 25, 33, 42, 30]
    assert now.energy["export"].tolist() == [1, 0, 0, 0, 1]
    two = series(energy=[1, 0, 3, 0, 5], quality=[0, 2, 0, 2, 0])
    with pytest.raises(Mismatch, match="home anna has 2 gaps here"):
        repair(two, "interpolate", None, known_wh={"import": 9})
    with pytest.raises(Mismatch, match="has no channel pv"):
        repair(one, "interpolate", None, known_wh={"pv": 9})


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=50), st.integers(0, 10**9))
def test_shares_add_up_exactly(shape: list[int], total: int) -> None:
    shares = shared_out(np.array(shape, dtype=np.int64), total)
    assert int(shares.sum()) == total
    assert (shares >= 0).all()


@settings(max_examples=30, deadline=None)
@given(st.data())
@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_a_repair_touches_missing_intervals_only(policy: str, data: st.DataObject) -> None:
    flags = data.draw(st.lists(st.sampled_from([MEASURED, ESTIMATED, MISSING]), min_size=1, max_size=250))
    energy = [0 if flag == MISSING else data.draw(st.integers(0, 500)) for flag in flags]
    one = series("anna", energy, flags)
    found = repair(one, policy, None)
    now = one if found.patch is None else patched(one, found.patch)
    kept = one.quality != MISSING
    assert (now.energy["import"] == one.energy["import"])[kept].all()
    assert (now.quality == one.quality)[kept].all()
    changed = ~kept & (now.quality != MISSING)
    assert (now.quality[changed] == ESTIMATED).all()
    assert int(changed.sum()) + found.left == int((~kept).sum())
    added = found.patch.added_wh()["import"] if found.patch else 0
    assert now.total_wh("import") - one.total_wh("import") == added
    assert (now.energy["import"] >= 0).all()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    energy = [5, -1, -1, 8] * 24 + [7] * 96
    imported(tmp_path / "s", write_plain_csv(tmp_path / "a.csv", {"anna": energy, "ben": energy}))
    return tmp_path / "s"


def repaired(store: Path, policy: str) -> None:
    found = [repair(one, policy, None).patch for one in read_store(store).series]
    with writing(store) as writer:
        writer.repair([patch for patch in found if patch is not None], policy, "a repair")


def test_undo_gives_the_import_back_bit_for_bit(store: Path) -> None:
    before, files = read_store(store), files_of(store)
    repaired(store, "next-day")
    once = read_store(store)
    assert (once.series[0].quality == MISSING).sum() == 0
    assert once.manifest.layers[0].intervals == 96
    assert once.manifest.layers[0].added_wh == {"import": 96 * 7, "export": 0}
    assert once.manifest.sha256 != before.manifest.sha256
    with writing(store) as writer:
        writer.undo("taken away")
    after = read_store(store)
    assert after.manifest.sha256 == before.manifest.sha256
    for one, other in zip(after.series, before.series, strict=True):
        assert one.start_s == other.start_s
        assert one.quality.tobytes() == other.quality.tobytes()
        assert all(one.energy[name].tobytes() == other.energy[name].tobytes() for name in other.energy)
    now = files_of(store)
    assert all(now[name] == content for name, content in files.items() if name != "manifest.json")


def test_layers_are_taken_away_one_by_one_the_last_first(store: Path) -> None:
    one = read_store(store).series[0]
    for window in ((START, START + 3 * 900), (None, None)):
        found = repair(read_store(store).series[0], "interpolate", None, window).patch
        assert found is not None
        with writing(store) as writer:
            writer.repair([found], "interpolate", "a repair")
    assert (read_store(store).series[0].quality == MISSING).sum() == 0
    with writing(store) as writer:
        assert writer.undo("the second").intervals == 46
    assert (read_store(store).series[0].quality == MISSING).sum() == 46
    with writing(store) as writer:
        writer.undo("the first")
    assert (read_store(store).series[0].quality == one.quality).all()
    imported_only = read_store(store, repaired=False).series[0]
    assert (imported_only.quality == one.quality).all()


def test_a_reading_that_is_imported_later_counts_more_than_a_repair(store: Path, tmp_path: Path) -> None:
    repaired(store, "zero")
    found = imported(store, write_plain_csv(tmp_path / "b.csv", {"anna": [5, 6, 6, 8]}))
    assert found.homes[0].counts.new == 2
    one = read_store(store).one("anna")
    assert one is not None
    assert one.energy["import"][:4].tolist() == [5, 6, 6, 8]
    assert one.quality[:4].tolist() == [MEASURED] * 4
    with writing(store) as writer:
        writer.undo("the repair")
    one = read_store(store).one("anna")
    assert one is not None
    assert one.energy["import"][:4].tolist() == [5, 6, 6, 8]


def test_a_patch_that_finds_another_reading_changes_nothing() -> None:
    one = series(energy=[1, 2, 3])
    zero = np.zeros(1, dtype=np.int64)
    flags = np.array([MISSING], dtype=np.uint8), np.array([ESTIMATED], dtype=np.uint8)
    for at in (START + 900, START - 900, START + 10 * 900, START + 1):
        patch = Patch("anna", np.array([at]), {"import": zero}, {"import": zero + 9}, *flags)
        assert patched(one, patch).energy["import"].tolist() == [1, 2, 3]
