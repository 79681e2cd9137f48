"""Studies without editing homes: samples, shares and scales of the homes, drawn from a seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import wattswap as ws
from agents.devices import DEVICES
from agents.devices.battery import BATTERY, Battery
from tests.kits.run_kit import call
from wattswap.errors import InvalidScenario
from wattswap.runs.prepare import Setup, prepare
from wattswap.runs.study import doubled, owners, studied

TWO_DAYS = ("time.days=2",)


def setup_of(*settings: str) -> Setup:
    return prepare(ws.demo([*TWO_DAYS, *settings]))


def batteries(setup: Setup) -> list[Battery | None]:
    return list(setup.devices["battery"])


@given(
    st.integers(1, 30),
    st.integers(0, 1_000_000),
    st.integers(0, 1_000_000),
    st.integers(0, 99),
    st.data(),
)
def test_a_larger_share_holds_the_smaller_one_and_counts_exactly(
    homes: int, a_ppm: int, b_ppm: int, seed: int, data: st.DataObject
) -> None:
    names = [f"h{i}" for i in range(homes)]
    has = data.draw(st.lists(st.booleans(), min_size=homes, max_size=homes))
    small, large = (owners(names, has, share, seed, "ev") for share in sorted((a_ppm, b_ppm)))
    assert small <= large
    assert len(small) == (2 * homes * min(a_ppm, b_ppm) + 1_000_000) // 2_000_000
    first = {name for name, own in zip(names, has, strict=True) if own}
    assert small <= first or first <= small, "who owns one before comes first"


@given(st.integers(2, 30), st.integers(0, 1_000_000), st.integers(0, 99), st.randoms())
def test_a_home_that_joins_moves_one_other_at_most_whatever_their_order(
    homes: int, share: int, seed: int, random: Random
) -> None:
    names = [f"h{i}" for i in range(homes)]
    before = owners(names, [False] * homes, share, seed, "ev")
    joined = [*names, "new"]
    random.shuffle(joined)
    after = owners(joined, [False] * (homes + 1), share, seed, "ev")
    assert len(before - after) <= 1
    assert len(after - before - {"new"}) <= 1


def test_a_sample_is_drawn_from_its_own_seed_and_keeps_the_order_of_the_data() -> None:
    five, six = (setup_of(f"homes.sample_homes={n}") for n in (5, 6))
    assert set(five.roster) < set(six.roster)
    assert list(six.roster) == sorted(six.roster)
    assert len(six.undrawn_homes) == 7
    other = setup_of("homes.sample_homes=5", "homes.population_seed=2")
    assert other.roster != five.roster
    assert setup_of("homes.sample_homes=5", "seed=9").roster == five.roster, (
        "seeds of a comparison share the homes"
    )


def test_a_sample_with_replacement_names_the_copies() -> None:
    setup = setup_of("homes.sample_homes=20", "homes.sample_with_replacement=true")
    names = [name.partition("#")[0] for name in setup.roster]
    assert len(setup.roster) == 20
    assert len(set(names)) < 20
    for name, origin, column in zip(setup.roster, names, setup.meter.import_wh.T, strict=True):
        assert (column == setup.meter.import_wh.T[setup.roster.index(origin)]).all(), name


def test_tables_of_homes_that_a_sample_leaves_out_change_nothing() -> None:
    out = setup_of("homes.sample_homes=2").undrawn_homes[0]
    setup = setup_of(
        "homes.sample_homes=2",
        f"homes.battery.{out}={{capacity_kwh=1, charge_kw=1, discharge_kw=1}}",
        f'homes.strategies={{truthful=["{out}"]}}',
        f"homes.members.{out}.from=2016-09-20",
    )
    assert set(setup.strategies) == {"staircase"}
    assert len(setup.roster) == 2


@pytest.mark.parametrize("scale", ["0", "0.3", "1", "2.5"])
def test_a_scale_of_production_leaves_the_consumption(scale: str) -> None:
    before, after = setup_of().meter, setup_of(f"homes.pv_scale={scale}").meter
    assert (after.load_wh == before.load_wh).all()
    pv_wh = after.sub_meters["pv"]
    assert np.abs(pv_wh.sum(axis=0) - before.sub_meters["pv"].sum(axis=0) * float(scale)).max() <= 1.001
    assert (after.import_wh - after.export_wh == before.load_wh - pv_wh).all()
    assert (after.import_wh.min(), after.export_wh.min()) == (0, 0)
    if scale == "1":
        assert (after.import_wh == before.import_wh).all()


def test_a_share_of_production_takes_it_away_or_copies_it_in_proportion() -> None:
    before, half = setup_of().meter, setup_of("homes.pv_share=0.5").meter
    produces = half.sub_meters["pv"].any(axis=0)
    assert produces.sum() == 7, "half of 13, rounded half up"
    assert not half.export_wh[:, ~produces].any()
    assert (half.sub_meters["pv"][:, produces] == before.sub_meters["pv"][:, produces]).all()

    pv_wh = before.sub_meters["pv"].copy()
    pv_wh[:, 1:] = 0
    net_wh = before.load_wh - pv_wh
    one = replace(
        before,
        import_wh=np.maximum(net_wh, 0),
        export_wh=np.maximum(-net_wh, 0),
        sub_meters={**before.sub_meters, "pv": pv_wh},
    )
    all_of_them, out = studied(ws.demo(["homes.pv_share=1"]), one)
    ratio = all_of_them.sub_meters["pv"].sum(axis=0) / all_of_them.load_wh.sum(axis=0)
    assert out == ()
    assert ratio == pytest.approx(ratio[0], rel=1e-4)
    assert (all_of_them.import_wh - all_of_them.export_wh == one.load_wh - all_of_them.sub_meters["pv"]).all()


def test_a_battery_for_every_home_without_one() -> None:
    before, after = batteries(setup_of()), batteries(setup_of("homes.battery_kwh=7"))
    added = [new for old, new in zip(before, after, strict=True) if old is None]
    assert [new for old, new in zip(before, after, strict=True) if old] == [old for old in before if old]
    assert set(added) == {Battery(7000, 3500, 3500, 950_000, 950_000)}
    assert batteries(setup_of("homes.battery_kwh=0")) == before
    alike = batteries(setup_of("homes.battery_kwh=7", "homes.battery_kw=2", "homes.batteries=none"))
    assert set(alike) == {Battery(7000, 2000, 2000, 950_000, 950_000)}


def test_a_scale_of_the_batteries_of_the_data() -> None:
    before, half = batteries(setup_of()), batteries(setup_of("homes.battery_scale=0.5"))
    sizes = [(old.capacity_wh, new.capacity_wh) for old, new in zip(before, half, strict=True) if old and new]
    assert len(sizes) == 5
    assert all(2 * new == old for old, new in sizes)
    assert not any(batteries(setup_of("homes.battery_scale=0")))


def test_a_share_of_the_homes_owns_a_device() -> None:
    keys = "capacity_kwh=5, charge_kw=2, discharge_kw=3"
    before, more, less = (
        batteries(setup_of(*settings))
        for settings in (
            (),
            (f"homes.population.battery={{share=0.77, {keys}}}",),
            (f"homes.population.battery={{share=0.2, {keys}}}",),
        )
    )
    kept = [new for old, new in zip(before, more, strict=True) if old is not None]
    assert kept == [old for old in before if old], "who has one keeps it"
    assert more.count(Battery(5000, 2000, 3000, 1_000_000, 1_000_000)) == 5
    assert sum(one is not None for one in less) == 3, "and a smaller share than the data's takes some away"
    own = batteries(
        setup_of(
            f"homes.population.battery={{share=1, {keys}}}",
            "homes.battery.home-02={capacity_kwh=1, charge_kw=1, discharge_kw=1}",
        )
    )
    assert own[1] == Battery(1000, 1000, 1000, 1_000_000, 1_000_000), "a table of one home wins"


@pytest.fixture
def store() -> Iterator[str]:
    """A registered device that no data name."""
    DEVICES.register(replace(BATTERY, name="store", in_data=None, switch=""))
    yield "store"
    DEVICES.forget("store")


def test_any_registered_device_is_shared_out_and_noted_where_the_readings_hold_one(store: str) -> None:
    setup = setup_of(f"homes.population.{store}={{share=0.4,capacity_kwh=5,charge_kw=2,discharge_kw=2}}")
    assert sum(spec is not None for spec in setup.devices[store]) == 5
    assert doubled(setup.devices, setup.meter) == []
    held = replace(setup.meter, sub_meters={**setup.meter.sub_meters, store: setup.meter.import_wh})
    (note,) = doubled(setup.devices, held)
    assert (
        note
        == "homes: 5 with a simulated store have one in their readings as well, so its energy counts twice"
    )


def problems_of(*settings: str) -> str:
    with pytest.raises(InvalidScenario) as caught:
        prepare(ws.demo(settings))
    return "\n".join(map(str, caught.value.problems))


@pytest.mark.parametrize(
    ("settings", "phrases"),
    [
        (
            ["homes.pv_share=1.5", "homes.pv_scale=-1"],
            ["1.5 is too large; the largest is 1", "-1 is too small"],
        ),
        (["homes.battery_scale=101", "homes.sample_homes=0"], ["the largest is 100", "the smallest is 1"]),
        (["homes.population.battery.share=2"], ["2 is too large; the largest is 1"]),
        (
            ["homes.population.battery.share=0.5", "homes.battery_kw=2"],
            ["has no capacity_kwh; give it in full", "has no charge_kw", "has no effect without battery_kwh"],
        ),
        (["homes.population.batteryy.share=0.5"], ["did you mean 'battery'?"]),
        (["homes.population.battery.shares=0.5"], ["did you mean 'share'?"]),
        (["homes.sample_home=3"], ["did you mean 'sample_homes'?"]),
        (
            [
                "homes.battery_kwh=3",
                "homes.population.battery={share=1,capacity_kwh=1,charge_kw=1,discharge_kw=1}",
            ],
            ["excludes population.battery"],
        ),
        (
            ["homes.sample_homes=14", "homes.batteries=none", "homes.battery_scale=2"],
            ["14 homes of 13 in the data", "no batteries to scale: homes.batteries leaves them out"],
        ),
        (["homes.sample_with_replacement=true"], ["has no effect without sample_homes"]),
        (
            [
                "homes.sample_homes=3",
                "homes.sample_with_replacement=true",
                "homes.strategies={truthful=['home-01']}",
            ],
            ["homes.strategies: names single homes"],
        ),
        (
            ["homes.population.battery={share=1,capacity_kwh=1,charge_kw=0,discharge_kw=1}"],
            ["0 is too small"],
        ),
    ],
)
def test_what_cannot_be_is_refused_all_at_once(settings: list[str], phrases: list[str]) -> None:
    said = problems_of(*settings)
    assert all(phrase in said for phrase in phrases), said


def test_production_that_is_not_metered_apart_is_not_scaled(street: Path) -> None:
    for key in ("pv_scale", "pv_share"):
        with pytest.raises(InvalidScenario, match="the net register alone"):
            prepare(ws.load(street, overrides=[f"homes.{key}=0.5"]))
    meter = setup_of().meter
    pv_wh = meter.sub_meters["pv"].copy()
    pv_wh[:, 0] = 0
    hidden = replace(meter, sub_meters={**meter.sub_meters, "pv": pv_wh})
    with pytest.raises(InvalidScenario, match="'home-01' exports energy and has no meter of its production"):
        studied(ws.demo(["homes.pv_scale=2"]), hidden)
    none = replace(meter, export_wh=meter.export_wh * 0, sub_meters={"pv": pv_wh * 0})
    with pytest.raises(InvalidScenario, match="nothing to copy"):
        studied(ws.demo(["homes.pv_share=0.5"]), none)


def test_a_run_of_other_homes_is_verified_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["time.intervals=8", "homes.sample_homes=3", "homes.pv_scale=0.5", "homes.battery_kwh=4"]
    words = [word for text in settings for word in ("--set", text)]
    outcome = call(capsys, "run", "demo", *words, "--out", tmp_path, "-q")
    assert "not as in the data: a sample of 3 homes, production times 0.5, 4 kWh of battery" in outcome.out
    (folder,) = tmp_path.iterdir()
    assert call(capsys, "verify", folder).code == 0
