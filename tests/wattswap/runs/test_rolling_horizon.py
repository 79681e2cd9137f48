"""Runs of a market that clears a horizon at every interval: what binds, what it costs, and what is refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import highspy
import numpy as np
import pytest

import wattswap as ws
from market.certificate import MilpGap
from market.clearing import Clearing
from market.errors import InfeasibleClearing
from market.settlement.accounts import BOUGHT, IMBALANCE, RETAIL_EXPORT, RETAIL_IMPORT, SOLD, TRADE
from market.units import PPM, IntArray
from tests.kits.resume_kit import killed
from tests.kits.run_kit import write_street
from tests.kits.sample_kit import sample_of
from wattswap.comparison.cells import book_at, cleared_at, run_cell
from wattswap.comparison.effects import effects
from wattswap.errors import InvalidScenario, UsageError
from wattswap.runs import engine
from wattswap.runs.interval import IntervalRecord, step
from wattswap.runs.prepare import Setup, prepare

HORIZON, PLAN, METERED = (
    "market.mechanism=multi_interval",
    "homes.control=plan",
    "market.quantities=metered",
)
PERFECT = "homes.forecast=perfect_foresight"
PEAK = ('tariff.zone="UTC"', 'tariff.time_of_use=[{from="17:00", to="21:00", import_per_kwh=0.5}]')
NO_FEES = ("tariff.grid_fee_local_per_kwh=0", "tariff.grid_fee_remote_per_kwh=0")
BATTERY = "capacity_kwh = 1.5\ncharge_kw = {kw}\ndischarge_kw = {kw}\ncharge_efficiency = 0.95\n"
MORE = "".join(
    f"\n[homes.battery.home-{home}]\n{BATTERY.format(kw=kw)}discharge_efficiency = 0.9\n"
    for home, kw in ((2, 0.8), (4, 1.2), (5, 0.8))
)


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_street(tmp_path_factory.mktemp("street"), homes=6, days=2, more=MORE)


def setup_of(street: Path, *overrides: str) -> Setup:
    return prepare(ws.load(street, overrides=[HORIZON, *PEAK, *overrides]))


def records(setup: Setup) -> list[IntervalRecord]:
    community = setup.community()
    return [step(setup, community, i) for i in range(setup.intervals)]


@cache
def lived(street: Path, *overrides: str) -> tuple[Setup, list[IntervalRecord]]:
    """A set-up and what it lives through, once for all tests that ask for the same; look, do not touch."""
    setup = setup_of(street, *overrides)
    return setup, records(setup)


def cost_nano(setup: Setup, net_wh: IntArray) -> int:
    """What a meter of the whole community would pay the retailer. [nano]"""
    bought, sold = setup.prices.import_micro_per_kwh, setup.prices.feed_in_micro_per_kwh
    return int((np.maximum(net_wh, 0) * bought - np.maximum(-net_wh, 0) * sold).sum())


def least_cost_nano(setup: Setup) -> float:
    """The least that a meter of the whole community could pay with all batteries and the true readings. [nano]

    A linear program of its own: import, export, and each battery's charge, discharge and content.
    """
    rows = slice(setup.first_row, setup.first_row + setup.intervals)
    net_wh = (setup.meter.import_wh - setup.meter.export_wh)[rows].sum(axis=1)
    specs = [spec for spec in setup.devices["battery"] if spec is not None]
    model, infinity = highspy.Highs(), highspy.kHighsInf
    model.silent()
    before: list[Any] = [None] * len(specs)
    for t in range(setup.intervals):
        prices = setup.prices.at(t)
        imported = model.addVariable(0, infinity, prices.import_micro_per_kwh)
        exported = model.addVariable(0, infinity, -prices.feed_in_micro_per_kwh)
        total = imported - exported
        for s, spec in enumerate(specs):
            into = model.addVariable(0, spec.charge_w * setup.minutes // 60)
            out = model.addVariable(0, spec.discharge_w * setup.minutes // 60)
            held = model.addVariable(0, spec.capacity_wh)
            change = spec.charge_efficiency_ppm / PPM * into - PPM / spec.discharge_efficiency_ppm * out
            model.addConstr(held - change - (0 if t == 0 else before[s]) == 0)
            before[s], total = held, total - into + out
        model.addConstr(total == int(net_wh[t]))
    model.run()
    assert model.getModelStatus() == highspy.HighsModelStatus.kOptimal
    return float(model.getInfo().objective_function_value)


def net_of(found: list[IntervalRecord]) -> IntArray:
    """Import less export of each home in each interval. [Wh]"""
    return np.array([record.import_wh - record.export_wh for record in found])


def test_perfect_foresight_reaches_the_optimum_of_the_community(street: Path) -> None:
    setup = setup_of(street, PLAN, PERFECT, METERED, *NO_FEES)
    found = records(setup)
    paid, least = cost_nano(setup, net_of(found).sum(axis=1)), least_cost_nano(setup)
    # Whole Wh and contents rounded down cost a little; a horizon that ends before the run may cost more.
    assert least - 1 <= paid <= least + 0.005 * abs(least)
    alone = cost_nano(setup, net_of(records(setup_of(street, METERED, *NO_FEES))).sum(axis=1))
    assert paid < 0.95 * alone


@pytest.mark.parametrize("more", [(), (METERED,), (METERED, PERFECT), ("homes.control=self_consumption",)])
def test_bills_add_up_to_what_meters_and_batteries_say(street: Path, more: tuple[str, ...]) -> None:
    setup, found = lived(street, PLAN, *NO_FEES, *more)
    net_wh = net_of(found)
    credited = sum(int(r.settled.postings.lines[: len(setup.roster), TRADE:].sum()) for r in found)
    assert -credited == cost_nano(setup, net_wh.sum(axis=1))
    # The meters show the readings and what the batteries took, which follows from their contents.
    rows = slice(setup.first_row, setup.first_row + setup.intervals)
    moved = net_wh - (setup.meter.import_wh - setup.meter.export_wh)[rows]
    held = np.array([record.columns["stored_wh"] for record in found])
    change = np.diff(held, axis=0, prepend=0)
    for home, spec in enumerate(setup.devices["battery"]):
        if spec is None:
            assert not moved[:, home].any()
            continue
        own = moved[:, home]
        expected = np.where(
            own > 0, own * spec.charge_efficiency_ppm / PPM, own * PPM / spec.discharge_efficiency_ppm
        )
        assert (np.abs(change[:, home] - expected) <= 2).all()
        assert own.any()


def test_what_a_network_would_see_of_an_interval_is_a_book_of_homes(street: Path) -> None:
    setup, found = lived(street, PLAN)
    traded = 0
    for record in found:
        book, clearing = record.book, record.clearing
        assert not book.terms
        assert int(book.participant.max(initial=0)) < len(setup.roster)
        assert (
            clearing.price_micro_per_kwh[clearing.accepted_wh > 0]
            == (clearing.node_price[0].price if clearing.node_price[0] else 0)
        ).all()
        prices = record.prices.main
        if clearing.node_price[0] is not None:
            assert (
                prices.feed_in_micro_per_kwh <= clearing.node_price[0].price <= prices.buy_cap_micro_per_kwh
            )
        traded += record.traded_wh
    assert traded


def test_metered_quantities_leave_the_retailer_only_what_the_community_lacks(street: Path) -> None:
    setup, found = lived(street, PLAN, METERED)
    for record in found:
        lines = record.settled.postings.lines[: len(setup.roster)]
        net_wh = record.import_wh - record.export_wh
        assert not lines[:, IMBALANCE].any()
        rest = lines[:, RETAIL_IMPORT] - lines[:, RETAIL_EXPORT]
        assert (lines[:, BOUGHT] - lines[:, SOLD] + rest == net_wh).all()
        # Where nobody's limit is beyond the price, nobody is left with the retailer against the community.
        assert int(np.maximum(rest, 0).sum()) in (0, int(rest.sum()))


def test_batteries_do_the_same_whether_quantities_are_ordered_or_metered(street: Path) -> None:
    ordered, metered = (net_of(lived(street, PLAN, *more)[1]) for more in ((), (METERED,)))
    assert (ordered == metered).all()


def test_batteries_of_homes_that_do_not_hand_them_in_follow_the_rule(street: Path) -> None:
    ahead, single = (
        net_of(records(prepare(ws.load(street, overrides=[*PEAK, *more]))))
        for more in ((HORIZON,), ("market.mechanism=uniform_price",))
    )
    assert (ahead == single).all()


def test_the_order_of_homes_in_the_data_plays_no_part(street: Path) -> None:
    names = ", ".join(f'"home-{home}"' for home in (4, 6, 2, 1, 5, 3))
    asked = (), (f"data.households=[{names}]",)
    in_order, in_another = (lived(street, PLAN, METERED, *more) for more in asked)
    assert in_order[0].roster != in_another[0].roster
    net_wh = [
        dict(zip(setup.roster, net_of(found).T.tolist(), strict=True))
        for setup, found in (in_order, in_another)
    ]
    assert net_wh[0] == net_wh[1]


def test_a_run_is_verified_and_resumed_to_the_same_hashes(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "CHECKPOINT_S", 0.0)
    scenario = ws.load(street, overrides=[HORIZON, *PEAK, PLAN, "time.intervals=30"])
    whole = ws.run(scenario, out=tmp_path / "whole")
    assert ws.verify(whole.path)["ok"]
    resumed = ws.resume(killed(scenario, tmp_path / "killed", 26))
    for name in ("replay_sha256", "chain"):
        assert resumed.manifest[name] == whole.manifest[name]
    shutil.rmtree(resumed.path)


def test_a_comparison_takes_the_mechanism_and_shows_its_book(street: Path, tmp_path: Path) -> None:
    scenario = ws.load(street, overrides=[*PEAK, PLAN, "time.days=1"])
    comparison = ws.compare(scenario, ["uniform_price", "multi_interval"], out=tmp_path)
    setup = setup_of(street, PLAN, "time.days=1")
    cell = run_cell(setup)
    shown = comparison.intervals("multi_interval")
    assert (shown["traded_kwh"] * 1_000).round().tolist() == cell.intervals["traded_wh"]
    book, clearing = cleared_at(setup, 20)
    assert clearing.traded_wh(book) == cell.intervals["traded_wh"][20]
    report = comparison.report()
    assert "multi_interval" in report.read_text(encoding="utf-8")


def test_effects_live_each_mechanism_of_a_comparison_for_itself(street: Path) -> None:
    own = "homes.control=self_consumption", "time.days=1"
    setups = {"ahead": setup_of(street, *own), "single": prepare(ws.load(street, overrides=[*PEAK, *own]))}
    found = effects(setups, "single")
    cells = {name: run_cell(setup) for name, setup in setups.items()}
    paid = {name: int(np.array(cell.intervals["members_nano"]).sum()) for name, cell in cells.items()}
    assert int(found["ahead"].saving_nano.sum()) == paid["ahead"] - paid["single"]


def test_a_home_that_is_no_member_submits_nothing(street: Path) -> None:
    later = 'homes.members={"home-4"={from=2026-06-03T00:00:00Z}}'
    setup = setup_of(street, PLAN, METERED, later)
    found, place = records(setup), setup.roster.index("home-4")
    before = [record for i, record in enumerate(found) if not setup.takes_part(i)[place]]
    assert len(before) == 24
    assert not any((record.book.participant == place).any() for record in before)
    assert any((record.book.participant == place).any() for record in found[24:])


@pytest.mark.parametrize(
    ("bought", "sold"),
    sample_of([("0.32", "0"), ("0.32", "-0.05"), ("0.32", "0.6"), ("-0.1", "-0.2")], [("0.32", "-0.05")]),
)
def test_at_any_price_of_the_retailer_the_community_pays_no_more_than_by_the_rule(
    street: Path, bought: str, sold: str
) -> None:
    prices = (
        f"tariff.import_per_kwh={bought}",
        f"tariff.feed_in_per_kwh={sold}",
        PERFECT,
        *NO_FEES,
    )
    ahead, rule = setup_of(street, PLAN, METERED, *prices), setup_of(street, *prices)
    paid = [cost_nano(setup, net_of(records(setup)).sum(axis=1)) for setup in (ahead, rule)]
    assert paid[0] <= paid[1]


def test_a_horizon_reaches_over_a_change_of_the_clock(tmp_path: Path) -> None:
    street = write_street(tmp_path, homes=4, days=3, more=MORE.replace("home-5", "home-3"))
    text = (street / "meter.csv").read_text(encoding="utf-8").replace("2026-06-0", "2026-03-2")
    for old, new in (
        ("2026-03-24", "2026-03-31"),
        ("2026-03-23", "2026-03-30"),
        ("2026-03-22", "2026-03-29"),
    ):
        text = text.replace(old, new)
    (street / "meter.csv").write_text(text.replace("2026-03-21", "2026-03-28"), encoding="utf-8")
    peak = 'tariff.time_of_use=[{from="17:00", to="21:00", import_per_kwh=0.5}]'
    overrides = [
        HORIZON,
        PLAN,
        METERED,
        'tariff.zone="Europe/Berlin"',
        peak,
        "time.start=2026-03-29T00:00:00Z",
    ]
    setup = prepare(ws.load(street, overrides=[*overrides, "time.days=2"]))
    found = records(setup)
    dear = [i for i, record in enumerate(found) if record.prices.main.import_micro_per_kwh == 500_000]
    assert dear == [*range(15, 19), *range(39, 43)]  # 17:00 to 21:00 of summer time
    # Batteries that can know it keep what they have for these hours.
    held = np.array([record.columns["stored_wh"].sum() for record in found])
    assert held[14] > held[18]


def test_a_clearing_that_is_not_proven_is_not_used(street: Path) -> None:
    setup = setup_of(street, PLAN)
    real = setup.mechanism.clear

    def unproven(*given: Any) -> Clearing:
        clearing = real(*given)
        assert isinstance(clearing.certificate, MilpGap)
        return replace(clearing, certificate=replace(clearing.certificate, bound_nano=2**60))

    broken = replace(setup, mechanism=replace(setup.mechanism, clear=unproven))
    with pytest.raises(InfeasibleClearing, match="not proven to be the best"):
        records(broken)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("market.horizon_hours=0",), "the smallest is 1"),
        (("market.horizon_hours=25",), "the largest is 24"),
        (("market.rounds=2",), "clears a horizon of intervals at once"),
        (("homes.strategy=gd", "market.rounds=2"), "clears a horizon of intervals at once"),
        (("homes.strategy=roth_erev",), "roth_erev states no limits; choose a strategy that does"),
        (
            (
                "market.imbalance=retailer",
                "tariff.other.green.import_per_kwh=0.3",
                "tariff.other.green.feed_in_per_kwh=0.08",
                "homes.tariffs.green=0.5",
            ),
            "clears against one retailer, and homes.tariffs gives homes several",
        ),
    ],
)
def test_what_it_cannot_clear_is_refused_in_a_sentence(
    street: Path, overrides: tuple[str, ...], words: str
) -> None:
    with pytest.raises(InvalidScenario, match=words):
        setup_of(street, *overrides)


def test_doors_that_know_orders_of_one_interval_say_so(street: Path) -> None:
    with pytest.raises(UsageError, match="for a horizon have another book"):
        book_at(setup_of(street), 3)


def test_the_length_of_the_horizon_matters_and_its_default_is_not_written(street: Path) -> None:
    scenario = ws.load(street)
    assert "horizon_hours" not in scenario.resolved()["market"]
    short, long = (lived(street, PLAN, METERED, *more)[1] for more in (("market.horizon_hours=1",), ()))
    assert (net_of(short) != net_of(long)).any()
