"""A run with a battery in common, recomputed from its tables with pandas, and against the walk of a sizing study."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import wattswap as ws
from market.cooperative.shapley import shapley
from market.mechanism import MECHANISMS
from optimizer.cooperative import nucleolus
from optimizer.storage.rules import self_consuming
from tests.kits.resume_kit import interrupted
from tests.kits.run_kit import MONEY, call, write_street
from tests.kits.sample_kit import sample_of
from wattswap.errors import InvalidScenario, UsageError
from wattswap.report.story import IN_COMMON
from wattswap.report.words import verdict
from wattswap.report.write import story_of
from wattswap.results import RunResult
from wattswap.runs.common_battery import BATTERY, common_store
from wattswap.runs.interval import step
from wattswap.runs.prepare import prepare
from wattswap.scenario.load import BUNDLED, TEMPLATES
from wattswap.sizing.homes import homes_of
from wattswap.sizing.walk import walked

COST = "community.battery.cost_per_kwh=400"
SIZE = ("community.battery.capacity_kwh=4", "community.battery.power_kw=1", COST)
HOMES, INTERVALS = 4, 48
GOALS = ("welfare", "peak", "self_consumption")
ROOTS = ["book_root", "clearing_root", "postings_root"]


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days of four homes with fees, one of which has a battery of its own."""
    return write_street(tmp_path_factory.mktemp("owners"), homes=HOMES)


@pytest.fixture(scope="module", params=sample_of(GOALS, ("welfare",)))
def goal(request: pytest.FixtureRequest) -> str:
    """What the battery is run for."""
    return str(request.param)


@pytest.fixture(scope="module")
def owned(homes: Path, goal: str, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return with_battery(homes, tmp_path_factory.mktemp("runs"), f"community.battery.run_for={goal}")


def with_battery(homes: Path, out: Path, *more: str) -> RunResult:
    return ws.run(ws.load(homes, overrides=[*SIZE, *more]), out=out)


def lines_of(run: RunResult, kind: str) -> pd.DataFrame:
    postings = run.table("postings")
    return postings[postings["account_kind"] == kind]


def posted_nano(run: RunResult) -> int:
    """What homes and battery are credited, all postings together."""
    return int(pd.concat([lines_of(run, kind) for kind in ("home", "external")])[MONEY].to_numpy().sum())


def test_money_and_energy_add_up_in_every_interval(owned: RunResult) -> None:
    sums = owned.table("postings").groupby("interval_start").sum(numeric_only=True)
    assert len(sums) == INTERVALS
    assert (sums[MONEY] == 0).all(axis=None)
    assert (sums["bought_wh"] == sums["sold_wh"]).all()
    assert (sums["local_wh"] == 0).all()
    net = sums["import_wh"] - sums["export_wh"]
    assert (net == sums["retail_import_wh"] - sums["retail_export_wh"]).all()


def test_its_report_draws_what_the_battery_kept_and_no_losses_of_a_grid(owned: RunResult) -> None:
    told = story_of(owned.path)
    into, out = (told.flows.groupby(end)["energy_kwh"].sum() for end in ("target", "source"))
    assert "Grid losses" not in into
    kept = owned.metrics["battery_taken_kwh"] - owned.metrics["battery_given_kwh"]
    assert into.get(IN_COMMON, 0) - out.get(IN_COMMON, 0) == pytest.approx(kept, abs=2e-3)
    assert sum("The battery in common took" in said for said in verdict(told)) == 1


def test_the_battery_keeps_to_what_it_is_and_its_account_explains_its_meter(owned: RunResult) -> None:
    battery = lines_of(owned, "external")
    assert set(battery["account"]) == {BATTERY}
    moved = battery["import_wh"] - battery["export_wh"]
    settled = battery["local_wh"] + battery["retail_import_wh"] - battery["retail_export_wh"]
    assert (moved == battery["bought_wh"] - battery["sold_wh"] + settled).all()
    assert (np.minimum(battery["import_wh"], battery["export_wh"]) == 0).all()
    intervals = owned.table("intervals")
    assert intervals["battery_wh"].tolist() == moved.tolist()
    assert intervals["battery_account_nano"].tolist() == battery[MONEY].sum(axis=1).tolist()
    stored, content = 0, []
    for taken in moved.tolist():
        stored += taken * 950_000 if taken >= 0 else -(-taken * 10**12 // -950_000) * -1
        content.append(stored // 1_000_000)
        assert 0 <= stored <= 4_000 * 10**6
        assert abs(taken) <= 1_000
    assert intervals["battery_stored_wh"].tolist() == content
    assert moved.max() > 0 > moved.min()


def test_it_trades_at_the_price_of_the_interval_like_a_home(owned: RunResult) -> None:
    orders = owned.table("orders")
    own = orders[orders["household"] == BATTERY]
    assert len(own) > 5
    assert own["accepted_wh"].sum() > 0
    assert not own["interval_start"].duplicated().any()
    assert set(own[own["side"] == 1]["limit_micro_per_kwh"]) <= {340_000}  # import price + remote - local fee
    assert set(own[own["side"] == -1]["limit_micro_per_kwh"]) <= {80_000}
    battery = lines_of(owned, "external").set_index("interval_start")
    for side, column in ((1, "bought_wh"), (-1, "sold_wh")):
        accepted = own[own["side"] == side].set_index("interval_start")["accepted_wh"]
        assert battery.loc[accepted.index, column].tolist() == accepted.tolist()


def test_every_flow_and_every_nano_are_those_of_the_walk_of_a_sizing_study(
    homes: Path, goal: str, owned: RunResult
) -> None:
    """Homes net all that they order and all that they miss, so the money is that of one meter for all of them."""
    scenario = ws.load(homes, overrides=[*SIZE, f"community.battery.run_for={goal}"])
    sized, store = homes_of(scenario), common_store(scenario, 60)
    assert store is not None
    if goal == "self_consumption":
        expected = self_consuming(sized.demand, store)
    else:
        (expected,) = walked(sized, sized.demand, [store], goal=goal)
    assert expected.broken(store) == ""
    intervals = owned.table("intervals")
    assert intervals["battery_wh"].tolist() == expected.taken_wh.tolist()
    assert posted_nano(owned) == -sized.demand.cost_nano(expected.taken_wh)
    peak = max(0, int((sized.demand.net_wh + expected.taken_wh).max()))
    assert owned.metrics["peak_import_kw"] == peak / 1_000


def test_the_saving_is_against_homes_alone_without_the_battery_and_may_be_negative(
    homes: Path, owned: RunResult, tmp_path: Path
) -> None:
    bills, m = owned.table("bills"), owned.metrics
    readings = owned.table("readings")
    alone = (readings["export_wh"] * 80_000 - readings["import_wh"] * 350_000).sum()
    saved = posted_nano(owned) - int(alone)
    assert m["saving"] == pytest.approx(saved / 1e9, abs=1e-9)
    assert m["saving"] <= m["saving_bound"] + 1e-9
    parts = ("saving_by_mechanism", "saving_by_imbalance_rule", "saving_from_outside")
    assert m["saving"] == pytest.approx(sum(m[name] for name in parts))
    gained = int(lines_of(owned, "external")[MONEY].to_numpy().sum())
    assert bills["battery_nano"].sum() == gained
    assert bills["battery_nano"].max() - bills["battery_nano"].min() <= 1
    assert m["battery_gain"] == pytest.approx(gained / 1e9)
    cost = 4 * 400 / 15 * 2 / 365
    assert m["battery_cost"] == pytest.approx(cost)
    assert m["saving_less_battery_cost"] == pytest.approx(m["saving"] - cost)
    losing = with_battery(homes, tmp_path, "market.mechanism=retailer_only", "community.battery.run_for=peak")
    assert (
        losing.metrics["saving"] < 0
    )  # it charges at the retailer's price, to keep a peak that is not charged for


def test_physical_figures_are_those_of_all_meters_with_that_of_the_battery(owned: RunResult) -> None:
    readings = owned.table("readings").groupby("interval_start")[["import_wh", "export_wh"]].sum()
    battery = lines_of(owned, "external").set_index("interval_start")
    net = readings["import_wh"] - readings["export_wh"] + battery["import_wh"] - battery["export_wh"]
    m = owned.metrics
    assert m["peak_import_kw"] == max(0, net.max()) / 1_000
    assert m["peak_export_kw"] == max(0, -net.min()) / 1_000
    outside = owned.table("intervals")
    net_outside = outside["retail_import_wh"] - outside["retail_export_wh"]
    assert net_outside.tolist() == net.tolist()
    given = battery["export_wh"].sum()
    assert m["battery_given_kwh"] == given / 1_000
    assert m["battery_cycles"] == pytest.approx(given / 0.95 / 4_000)


@pytest.mark.parametrize(
    "nothing", sample_of(["capacity_kwh=0", "reserve_share=0.9999"], ("reserve_share=0.9999",))
)
def test_a_battery_of_nothing_leaves_every_byte_that_is_committed_to(
    nothing: str, homes: Path, tmp_path: Path
) -> None:
    settings = ["community.battery.capacity_kwh=0.001", f"community.battery.{nothing}"]
    none = ws.run(ws.load(homes, overrides=settings), out=tmp_path / "a")
    without = ws.run(homes, out=tmp_path / "b")
    assert none.table("intervals")[ROOTS].equals(without.table("intervals")[ROOTS])
    for name in ("orders", "readings", "postings", "bills"):
        assert none.table(name).equals(without.table(name))
    assert none.metrics == without.metrics
    assert without.metrics["battery_gain"] is None


@pytest.mark.parametrize(
    ("rule", "more"),
    [
        pytest.param("shapley", (), marks=pytest.mark.slow),
        ("nucleolus", ()),
        ("shapley", ("homes.members.home-2.from=2026-06-02T20:00:00Z",)),
        pytest.param(
            "nucleolus", ("homes.members.home-2.from=2026-06-02T20:00:00Z",), marks=pytest.mark.slow
        ),
    ],
)
def test_bills_by_value_give_each_home_its_share_of_all_that_is_saved(
    rule: str, more: tuple[str, ...], homes: Path, tmp_path: Path
) -> None:
    """Recomputed group by group: its homes netted, with their equal part of what the battery did, in fractions.

    Before a home joins, nothing of what the battery does is its part.
    """
    run = with_battery(homes, tmp_path, f"community.battery.shares={rule}", *more)
    readings, intervals = run.table("readings"), run.table("intervals")
    net = readings.assign(net=readings["import_wh"] - readings["export_wh"]).pivot(
        index="interval_start", columns="household", values="net"
    )
    taken = intervals["battery_wh"].to_numpy()
    owns = np.ones(net.shape)
    if more:
        owns[net.index < pd.Timestamp(more[0].partition("=")[2]), list(net.columns).index("home-2")] = 0
        assert not net["home-2"][owns.sum(axis=1) < HOMES].any()
    values = []
    for mask in range(1 << HOMES):
        group = [name for i, name in enumerate(net.columns) if mask >> i & 1]
        part = owns[:, [i for i in range(HOMES) if mask >> i & 1]].sum(axis=1) / owns.sum(axis=1)
        need = net[group].clip(lower=0).sum(axis=1).to_numpy()
        together = net[group].sum(axis=1).to_numpy() + part * taken
        cost = np.where(together > 0, 340_000, 80_000) * together + 10_000 * (need + part * taken.clip(0))
        alone = need * 350_000 + net[group].clip(upper=0).sum(axis=1).to_numpy() * 80_000
        values.append(np.floor((alone - cost).sum() + 1e-4))
    value = np.array(values, dtype=np.int64)
    expected = shapley(value) if rule == "shapley" else nucleolus(value)
    bills = run.table("bills")
    saved = bills[MONEY].sum(axis=1) + bills["battery_nano"] - bills["baseline_nano"]
    assert saved.sum() == value[-1]
    assert np.abs(saved.to_numpy() - expected).max() <= 2
    assert bills["battery_nano"].sum() == lines_of(run, "external")[MONEY].to_numpy().sum()
    assert bills["battery_nano"].max() - bills["battery_nano"].min() > 1_000_000


def test_quantities_from_the_meters_clear_what_the_battery_does(homes: Path, tmp_path: Path) -> None:
    run = with_battery(homes, tmp_path, "market.quantities=metered")
    own = run.table("orders").query("household == @BATTERY")
    moved = run.table("intervals")["battery_wh"]
    assert (own["energy_wh"] * own["side"]).tolist() == moved[moved != 0].tolist()
    assert (lines_of(run, "external")["local_wh"] == 0).all()
    assert ws.verify(run.path)["ok"]


POOLS = [
    ["market.imbalance=pooled", f"market.imbalance_shares={one}"]
    for one in ("throughput", "equal", "delivered", "leave_one_out")
]
RULES = [*([f"market.imbalance={one}"] for one in ("retailer", "middle", "clearing_price")), *POOLS]


@pytest.mark.parametrize("rule", sample_of(RULES, RULES[2:4]), ids=lambda rule: rule[-1].partition("=")[2])
def test_every_rule_of_imbalances_settles_it(rule: list[str], homes: Path, tmp_path: Path) -> None:
    run = with_battery(homes, tmp_path, *rule, "time.days=1")
    sums = run.table("postings").groupby("interval_start").sum(numeric_only=True)
    assert (sums[MONEY] == 0).all(axis=None)
    assert run.metrics["saving"] <= run.metrics["saving_bound"] + 1e-9
    credited = run.table("bills")[[*MONEY, "battery_nano"]].to_numpy().sum()
    assert credited == -lines_of(run, "system")[MONEY].to_numpy().sum()


SIMPLE = [
    name
    for name, one in MECHANISMS.all().items()
    if one.scope != "horizon" and not one.promises.needs_places and "test" not in name
]


@pytest.mark.parametrize("mechanism", sample_of(SIMPLE, ("uniform_price", "huang", "continuous", "vcg")))
def test_every_mechanism_of_an_interval_takes_it(mechanism: str, homes: Path) -> None:
    setup = prepare(ws.load(homes, overrides=[*SIZE, f"market.mechanism={mechanism}", "time.days=1"]))
    community, moved = setup.community(), 0
    for i in range(setup.intervals):
        record = step(setup, community, i)
        assert record.battery is not None
        moved += abs(record.battery.taken_wh)
        line = record.settled.postings.lines[HOMES]
        assert line[0] - line[1] == record.battery.taken_wh
    assert moved > 0


def test_an_interrupted_run_goes_on_to_the_same_hashes(homes: Path, goal: str, tmp_path: Path) -> None:
    settings = [*SIZE, f"community.battery.run_for={goal}", "community.battery.shares=shapley"]
    settings = settings[:-1] if goal == "peak" else settings
    scenario = ws.load(homes, overrides=settings)
    resumed = ws.resume(interrupted(scenario, tmp_path, 32))
    whole = ws.run(scenario, out=tmp_path / "whole")
    assert resumed.manifest["chain"]["head"] == whole.manifest["chain"]["head"]
    assert resumed.manifest["files"] | {"chain.db": ""} == whole.manifest["files"] | {"chain.db": ""}
    assert ws.verify(resumed.path)["ok"]


@pytest.mark.parametrize(
    ("settings", "where", "what"),
    [
        ([COST], "community.battery.capacity_kwh", "a run needs it"),
        ([*SIZE, "market.rounds=2"], "community.battery", "orders once"),
        ([*SIZE, "market.mechanism=multi_interval"], "community.battery", "none in common"),
        (
            [*SIZE, "homes.forecast=perfect_foresight"],
            "community.battery",
            "cannot foresee what devices do",
        ),
        (
            [*SIZE, "community.battery.shares=shapley", "community.battery.run_for=peak"],
            "community.battery.shares",
            "run for the peak",
        ),
        (["community.battery.capacity_kwh=2000"], "community.battery.capacity_kwh", "too large"),
    ],
)
def test_what_has_no_place_for_it_is_refused_in_a_sentence(
    settings: list[str], where: str, what: str, homes: Path
) -> None:
    with pytest.raises(InvalidScenario) as caught:
        prepare(ws.load(homes, overrides=settings))
    (problem,) = [one for one in caught.value.problems if where in one.where]
    assert what in problem.message
    assert problem.cure


def test_networks_refuse_it(homes: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    done = call(capsys, "live", homes, *(word for one in SIZE for word in ("--set", one)), "--out", tmp_path)
    assert done.code == 3
    assert "run by the readings of all homes" in done.err
    assert "Starting" not in done.err


@pytest.mark.parametrize("mechanism", ["uniform_price", "zonal_price"])
def test_zones_refuse_it(mechanism: str, tmp_path: Path) -> None:
    more = f'mechanism = "{mechanism}"\n[zones]\nnames = ["n", "s"]\nfee_per_kwh = [[0, 0.03], [0.03, 0]]\n'
    more += 'homes = {"home-1" = "n", "home-2" = "s", "home-3" = "s"}\n'
    with pytest.raises(InvalidScenario, match="in none of the zones"):
        prepare(ws.load(write_street(tmp_path, more=more), overrides=SIZE))


@pytest.mark.parametrize("mechanism", ["uniform_price", "nodal_price"])
def test_a_grid_refuses_it(mechanism: str) -> None:
    with pytest.raises(InvalidScenario, match="at no node of the grid"):
        prepare(
            ws.load(TEMPLATES / BUNDLED["street_grid"], overrides=[*SIZE, f"market.mechanism={mechanism}"])
        )


def test_what_a_home_did_before_it_joined_plays_no_part_in_plans(tmp_path: Path) -> None:
    """Its readings before are its own: the battery plans by those of members."""
    agreed = []
    for name, before in (("as it was", ""), ("other", "2")):
        folder = write_street(tmp_path / name, homes=HOMES)
        lines = (folder / "meter.csv").read_text(encoding="utf-8").splitlines()
        history = [line.startswith("2026-06-01") and ",home-2," in line for line in lines]
        assert sum(history) == 24
        lines = [
            line.replace(",home-2,", f",home-2,{before}") if old else line
            for line, old in zip(lines, history, strict=True)
        ]
        (folder / "meter.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        run = with_battery(folder, tmp_path / "runs", "homes.members.home-2.from=2026-06-03T00:00:00Z")
        agreed.append(lines_of(run, "external")[["bought_wh", "sold_wh"]].iloc[:24])
    assert agreed[0].to_numpy().any()
    assert agreed[0].equals(agreed[1])


def test_who_is_a_member_for_half_of_the_run_has_half_a_part(homes: Path, tmp_path: Path) -> None:
    run = with_battery(homes, tmp_path, "homes.members.home-2.from=2026-06-03T00:00:00Z")
    bills = run.table("bills").set_index("household")
    for column in ("battery_nano", "battery_cost_nano"):
        parts = bills[column].abs()
        assert (parts.drop("home-2") - 2 * parts["home-2"]).abs().max() <= 2
    assert bills["battery_nano"].sum() == lines_of(run, "external")[MONEY].to_numpy().sum()


def test_effects_and_deviations_say_that_they_do_not_know_it(
    homes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario = ws.load(homes, overrides=SIZE)
    compared = ws.compare(scenario, ["uniform_price", "mid_market_rate"], seeds=1, out=tmp_path)
    figures = compared.figures()
    assert (
        figures["uniform_price"]["battery_taken_kwh"] == figures["mid_market_rate"]["battery_taken_kwh"] > 0
    )
    assert figures["retailer_only"]["saving"] < figures["uniform_price"]["saving"]
    with pytest.raises(UsageError, match="has an account of its own"):
        compared.effects("mid_market_rate")
    checked = call(capsys, "check", "market", homes, *(word for one in SIZE for word in ("--set", one)))
    assert "deviations are tried in one interval" in checked.err


def test_shares_say_that_they_do_not_know_it(owned: RunResult, capsys: pytest.CaptureFixture[str]) -> None:
    shares = call(capsys, "show", owned.path, "shares")
    assert "groups of homes are valued without one" in shares.err


def test_the_summary_says_what_it_did_gained_and_costs(
    owned: RunResult, capsys: pytest.CaptureFixture[str]
) -> None:
    said = " ".join(call(capsys, "show", owned.path).out.split())
    m = owned.metrics
    assert f"Battery in common took {m['battery_taken_kwh']:.1f} kWh, gave" in said
    assert "its purchase costs 0.58 in this time, which no bill counts" in said
    bills = owned.bills()
    assert bills["battery"].sum() == pytest.approx(-m["battery_gain"])
    why = " ".join(call(capsys, "show", owned.path, "why", "home-2").out.split())
    assert "with its part of what the battery in common" in why
