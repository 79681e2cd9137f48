"""Homes that join or leave: what they order, settle and share while they are members, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import wattswap as ws
from data import samples
from p2p.blocks.members import ALWAYS
from tests.kits.run_kit import FIRST, call, one_object, refused, write_street
from tests.kits.sample_kit import sample_of
from tests.oracles.bills import BILLS, Terms, bills, settled
from tests.wattswap.runs.test_alone import TEMPLATE
from tests.wattswap.runs.test_bills_again import flow_of, meter_of
from wattswap.check.deviations import Deviation, phantom
from wattswap.check.game import Game
from wattswap.errors import InvalidData, InvalidScenario
from wattswap.results import RunResult
from wattswap.runs.interval import step
from wattswap.runs.membership import Membership
from wattswap.runs.prepare import prepare
from wattswap.runs.totals import Totals

RUN = FIRST + timedelta(days=1)
NOON = RUN + timedelta(hours=12)
HOURS = 48
RULES = ("throughput", "equal", "leave_one_out", "delivered")


@pytest.fixture
def street(tmp_path: Path) -> Path:
    """A street of its own, whose files the test may change."""
    return write_street(tmp_path / "street")


def stamp(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def member(home: str, *, since: datetime | None = None, until: datetime | None = None) -> list[str]:
    """Settings that make a home a member for a time."""
    ends = (("from", since), ("to", until))
    return [f"homes.members.{home}.{key}={stamp(at)}" for key, at in ends if at is not None]


def ran(street: Path, out: Path, *settings: str) -> RunResult:
    return ws.run(ws.load(street, overrides=settings), out=out)


def lose(street: Path, home: str, since: datetime | None = None, until: datetime | None = None) -> None:
    """Take the rows of a home before a time, and from another on, out of the file."""
    file = street / "meter.csv"
    head, *rows = file.read_text(encoding="utf-8").splitlines()
    low, high = stamp(since or FIRST), stamp(until or FIRST + timedelta(days=99))
    kept = [row for row in rows if row.split(",")[1] != home or low <= row.split(",")[0] < high]
    file.write_text("\n".join([head, *kept]) + "\n", encoding="utf-8")


def of(run: RunResult, table: str, home: str) -> pd.DataFrame:
    """The rows of a home, by interval."""
    frame, column = run.table(table), "account" if table == "postings" else "household"
    return frame[frame[column].astype(str) == home].set_index("interval_start")


# ---- one home that joins or leaves


def test_a_home_that_joins_at_noon_orders_flows_and_pays_from_then_on(street: Path, tmp_path: Path) -> None:
    whole = ran(street, tmp_path / "whole")
    part = ran(street, tmp_path / "part", *member("home-2", since=NOON))
    readings, postings = of(part, "readings", "home-2"), of(part, "postings", "home-2")
    before, columns = readings.index < NOON, ["import_wh", "export_wh", "load_wh", "pv_wh"]
    assert not readings.loc[before, ["import_wh", "export_wh"]].any(axis=None)
    assert not postings.loc[before].drop(columns=["account", "account_kind"]).any(axis=None)
    pd.testing.assert_frame_equal(
        readings.loc[~before, columns], of(whole, "readings", "home-2").loc[~before, columns]
    )
    assert min(of(part, "orders", "home-2").index) >= NOON
    assert of(whole, "orders", "home-2").index.min() < NOON
    bill, lines = part.table("bills").set_index("household").loc["home-2"], postings.loc[~before]
    assert bill["import_wh"] == lines["import_wh"].sum() == readings["import_wh"].sum()
    price = part.table("intervals")["import_micro_per_kwh"].iloc[0] + 30_000
    assert bill["baseline_nano"] == (lines["export_wh"] * 80_000 - lines["import_wh"] * price).sum()


def test_what_is_before_a_home_joins_is_as_if_there_were_no_such_home(street: Path, tmp_path: Path) -> None:
    """A member of the last interval alone changes no order, no line and no bill of anybody before it."""
    last = RUN + timedelta(hours=HOURS - 1)
    others = 'data.households=["home-1","home-2"]'
    late = ran(street, tmp_path / "late", *member("home-3", since=last))
    never = ran(street, tmp_path / "never", others)
    for table in ("orders", "readings", "postings"):
        a, b = late.table(table), never.table(table)
        name = "account" if table == "postings" else "household"
        a = a[(a[name].astype(str) != "home-3") & (a["interval_start"] < last)].reset_index(drop=True)
        b = b[b["interval_start"] < last].reset_index(drop=True)
        for frame in (a, b):
            frame[name] = frame[name].astype(str)
        pd.testing.assert_frame_equal(a, b, check_categorical=False)
    assert (late.table("orders")["household"].astype(str) == "home-3").sum() > 0


def test_homes_that_always_are_members_give_the_bytes_of_a_scenario_without_the_key(
    street: Path, tmp_path: Path
) -> None:
    """Terms that reach beyond the run change genesis and scenario, and no table."""
    far = member("home-1", since=FIRST - timedelta(days=9)) + member("home-2", until=FIRST + timedelta(99))
    plain, named = ran(street, tmp_path / "plain"), ran(street, tmp_path / "named", *far)
    for name in ("orders", "readings", "postings", "bills"):
        assert (plain.path / f"{name}.parquet").read_bytes() == (named.path / f"{name}.parquet").read_bytes()
    assert plain.manifest["replay_sha256"] == named.manifest["replay_sha256"]
    assert plain.manifest["chain"]["id"] != named.manifest["chain"]["id"]


def test_two_homes_that_swap_are_never_members_together(tmp_path: Path) -> None:
    street = write_street(tmp_path / "street", homes=6)
    lose(street, "home-3", since=NOON)
    lose(street, "home-2", until=NOON)
    swap = member("home-2", until=NOON) + member("home-3", since=NOON)
    run = ran(street, tmp_path, *swap)
    orders = run.table("orders")
    who = orders.groupby(orders["household"].astype(str))["interval_start"]
    assert who.max()["home-2"] < NOON
    assert who.min()["home-3"] >= NOON
    assert run.metrics["traded_kwh"] > 0
    assert_balanced(run)
    assert ws.verify(run.path)["ok"]


def test_the_last_local_day_of_a_home_may_have_23_or_25_hours(tmp_path: Path) -> None:
    """It leaves at the local midnight after the clock has changed, an hour of UTC earlier or later than before."""
    text = (
        'schema = 1\nname = "clock"\ncurrency = "EUR"\n[time]\nzone = "Europe/Berlin"\nstart = {day}\nend = {end}\n'
        '[data]\nsample = "street"\n[homes.members.home-01]\nto = {to}\n'
        "[tariff]\nimport_per_kwh = 0.32\nfeed_in_per_kwh = 0.08\n"
    )
    for day, to, end, hours in (
        ("2016-10-30", "2016-10-31", "2016-10-31T06:00:00", 25),
        ("2016-10-29", "2016-10-30", "2016-10-30T06:00:00", 24),
    ):
        file = tmp_path / "scenario.toml"
        file.write_text(text.format(day=day, to=to, end=end), encoding="utf-8")
        setup = prepare(ws.load(file))
        there = [bool(setup.takes_part(i)[0]) for i in range(setup.intervals)]
        assert there == [i < 4 * hours for i in range(setup.intervals)]


# ---- readings


@pytest.mark.parametrize("rule", sample_of(RULES, ("equal",)))
def test_a_file_that_begins_later_and_ends_earlier_is_taken_for_a_membership(
    rule: str, street: Path, tmp_path: Path
) -> None:
    lose(street, "home-2", since=NOON, until=NOON + timedelta(hours=20))
    terms = member("home-2", since=NOON, until=NOON + timedelta(hours=20))
    run = ran(street, tmp_path, *terms, f"market.imbalance_shares={rule}")
    assert len(of(run, "readings", "home-2")) == HOURS
    assert of(run, "orders", "home-2").empty, "it never has a day of history"
    assert run.metrics["saving"] > 0
    assert_balanced(run)


def test_a_home_that_joins_forecasts_from_its_own_readings_before(street: Path, tmp_path: Path) -> None:
    """With a day of readings it orders at once; without any it orders nothing in its first day."""
    known = ran(street, tmp_path / "known", *member("home-2", since=NOON))
    lose(street, "home-2", since=NOON)
    new = ran(street, tmp_path / "new", *member("home-2", since=NOON))
    assert of(known, "orders", "home-2").index.min() <= NOON + timedelta(hours=1)
    first = of(new, "orders", "home-2").index.min()
    assert NOON + timedelta(days=1) <= first < RUN + timedelta(hours=HOURS)


def test_gaps_outside_of_a_membership_stop_nothing_and_inside_it_are_told(street: Path) -> None:
    lose(street, "home-2", since=NOON)
    settings = member("home-2", since=NOON)
    prepare(ws.load(street, overrides=settings))
    with pytest.raises(InvalidData, match=r"1 of 37 readings of its membership are missing") as error:
        prepare(ws.load(street, overrides=member("home-2", since=NOON - timedelta(hours=1))))
    assert f"[homes.members.home-2] from = {NOON:%Y-%m-%dT%H:%M:%S}+00:00" in str(error.value)


def test_a_home_that_is_left_out_takes_its_term_with_it(street: Path) -> None:
    lose(street, "home-2", until=NOON)
    terms = [*member("home-2", until=NOON + timedelta(hours=1)), *member("home-3", since=NOON)]
    setup = prepare(ws.load(street, overrides=[*terms, "data.on_missing=drop_home"]))
    assert (setup.roster, setup.dropped_homes) == (("home-1", "home-3"), ("home-2",))
    assert setup.membership.terms == (ALWAYS, (int(NOON.timestamp()), ALWAYS[1]))


@pytest.mark.parametrize(
    ("since", "until", "said"),
    [
        (NOON, None, "from = 2026-06-02T14:00:00+02:00"),
        (None, RUN + timedelta(hours=22), "to = 2026-06-03"),
        (NOON, RUN + timedelta(hours=22), "from = 2026-06-02T14:00:00+02:00 and to = 2026-06-03"),
    ],
)
def test_the_refusal_of_missing_readings_names_the_membership_that_would_do(
    since: datetime | None, until: datetime | None, said: str, street: Path
) -> None:
    """What it says can be written into the scenario as it stands."""
    lose(street, "home-2", since=since, until=until)
    zone = "time.zone=Europe/Berlin"
    with pytest.raises(InvalidData) as error:
        prepare(ws.load(street, overrides=[zone]))
    assert f"write [homes.members.home-2] {said}; else" in str(error.value)
    file = street / "scenario.toml"
    table = f"\n[homes.members.home-2]\n{said.replace(' and ', chr(10))}\n"
    file.write_text(file.read_text(encoding="utf-8") + table, encoding="utf-8")
    prepare(ws.load(street, overrides=[zone]))


def test_a_gap_between_readings_has_no_such_cure(street: Path) -> None:
    file = street / "meter.csv"
    rows = file.read_text(encoding="utf-8").splitlines()
    hole = f"{stamp(NOON)},home-2,"
    file.write_text("\n".join(row for row in rows if not row.startswith(hole)) + "\n", encoding="utf-8")
    with pytest.raises(InvalidData) as error:
        prepare(ws.load(street))
    assert "1 of 48 readings of the run" in str(error.value)
    assert "members" not in str(error.value)


# ---- shares and sums


def assert_balanced(run: RunResult) -> None:
    """The parts of the saving of each interval, to the nano."""
    lines = run.table("postings")
    intervals = run.table("intervals")
    for name in ("trade_nano", "imbalance_nano", "retail_nano", "grid_fee_nano"):
        assert not lines.groupby("interval_start")[name].sum().any()
    totals = run.table("bills").sum(numeric_only=True)
    saved = totals[["trade_nano", "imbalance_nano", "retail_nano", "grid_fee_nano"]].sum()
    saved -= totals["baseline_nano"]
    assert saved == intervals["members_nano"].sum() - intervals["baseline_nano"].sum()
    if run.scenario["market"].get("imbalance_shares") != "leave_one_out":
        assert saved == intervals["bound_nano"].sum()


@pytest.mark.parametrize("rule", sample_of(RULES, ("leave_one_out",)))
def test_a_pool_is_shared_among_members_alone(rule: str, tmp_path: Path) -> None:
    """Bills are those of the second implementation, which knows terms, readings, orders and tariff alone."""
    file = tmp_path / "scenario.toml"
    file.write_text(
        'schema = 1\nname = "pool"\ncurrency = "EUR"\nseed = 3\n[time]\nzone = "Europe/Berlin"\n'
        'start = 2016-09-20T18:00:00\nintervals = 56\n[data]\nsample = "street"\n'
        "[homes.members.home-01]\nfrom = 2016-09-20T21:00:00\n[homes.members.home-02]\nto = 2016-09-21\n"
        "[homes.members.home-03]\nfrom = 2016-09-10\nto = 2016-09-21T05:00:00\n"
        "[tariff]\nimport_per_kwh = 0.32\nfeed_in_per_kwh = 0.08\n"
        f'grid_fee_local_per_kwh = 0.02\ngrid_fee_remote_per_kwh = 0.05\n[market]\nimbalance_shares = "{rule}"\n',
        encoding="utf-8",
    )
    run = ws.run(ws.load(file), out=tmp_path)
    readings, orders = run.table("readings"), run.table("orders")
    berlin = "Europe/Berlin"
    terms = Terms(
        pd.Series(320_000, index=pd.DatetimeIndex(readings["interval_start"].unique())),
        80_000,
        (20_000, 50_000),
        "pooled",
        rule,
        berlin,
        seed=3,
        members={
            "home-01": (pd.Timestamp("2016-09-20T21:00", tz=berlin), None),
            "home-02": (None, pd.Timestamp("2016-09-21", tz=berlin)),
            "home-03": (pd.Timestamp("2016-09-10", tz=berlin), pd.Timestamp("2016-09-21T05:00", tz=berlin)),
        },
    )
    lines = settled(readings, orders, flow_of(meter_of("street")), terms)
    theirs, again = run.table("bills").set_index("household"), bills(lines)
    for name in BILLS:
        pd.testing.assert_series_equal(again[name], theirs[name], check_names=False, check_index_type=False)
    away = lines[lines["part"] == 0]
    assert len(away) == 12 + 32 + 12
    assert not away["imbalance_nano"].any()
    behind = readings[["load_wh", "pv_wh"]].set_axis(lines.index)
    assert not behind.loc[away.index].any(axis=None)
    assert behind.loc[lines["part"] == 1, "load_wh"].sum() == theirs["load_wh"].sum() > 0
    assert lines["netting_nano"].sum() > 0
    assert_balanced(run)


def test_the_weight_of_a_home_is_of_its_membership_alone(tmp_path: Path) -> None:
    """A home that joined a day ago has the weight of that day and no more, one that joins today none."""
    meter = samples.load("street")
    file = tmp_path / "scenario.toml"
    file.write_text(
        'schema = 1\nname = "weights"\ncurrency = "EUR"\n[time]\nstart = 2016-09-20T00:00:00Z\nintervals = 4\n'
        '[data]\nsample = "street"\n[homes.members.home-01]\nfrom = 2016-09-18T23:45:00Z\n'
        "[homes.members.home-02]\nfrom = 2016-09-20T00:30:00Z\n[homes.members.home-03]\nto = 2016-09-20T00:30:00Z\n"
        "[tariff]\nimport_per_kwh = 0.32\nfeed_in_per_kwh = 0.08\n",
        encoding="utf-8",
    )
    setup = prepare(ws.load(file))
    at = (setup.start_s - meter.start_s) // 900 - 1
    flow = meter.import_wh + meter.export_wh
    weight = setup.weight_wh(0)
    assert weight[0] == flow[at - 96 : at, 0].sum()
    assert weight[1] == 0
    np.testing.assert_array_equal(weight[2:], flow[at - 28 * 96 : at, 2:].sum(axis=0))
    assert setup.takes_part(1)[:3].tolist() == [True, False, True]
    assert setup.takes_part(2)[:3].tolist() == [True, True, False]


def test_what_a_home_would_use_without_a_market_counts_while_it_is_a_member() -> None:
    """Its flexible load goes on to differ from what it would have done; no figure of the community has that."""
    leaves, flexible = datetime(2016, 9, 19, 8, tzinfo=UTC), "{daily_kwh=6, power_kw=1, elasticity=5}"
    settings = ["time.intervals=14", f"homes.flexible_load.home-01={flexible}"]
    setup = prepare(ws.load(TEMPLATE, overrides=[*settings, *member("home-01", until=leaves)]))
    community, totals = setup.community(), Totals(setup, "run")
    expected, left = {"alone_import_wh": 0, "alone_load_wh": 0}, 0
    for i in range(setup.intervals):
        record = step(setup, community, i)
        totals.add(record)
        part, more = setup.takes_part(i), record.columns["alone_flexible_wh"] - record.columns["flexible_wh"]
        expected["alone_import_wh"] += int(record.columns["alone_import_wh"][part].sum())
        expected["alone_load_wh"] += int((record.columns["load_wh"] + more)[part].sum())
        left += int(np.abs(more[~part]).sum())
    assert totals.alone_wh == expected
    assert left > 0


# ---- the same everywhere


def test_run_comparison_and_verify_agree(street: Path, tmp_path: Path) -> None:
    settings = [*member("home-2", since=NOON), *member("home-3", until=RUN + timedelta(hours=30))]
    scenario = ws.load(street, overrides=settings)
    run = ws.run(scenario, out=tmp_path / "run")
    compared = ws.compare(scenario, ["uniform_price", "retailer_only"], out=tmp_path / "compare")
    figures = compared.summary().loc["uniform_price"]
    for name in (
        "saving",
        "saving_by_mechanism",
        "saving_by_imbalance_rule",
        "saving_bound",
        "cost_with_market",
    ):
        assert round(figures[name] * 1e9) == round(run.metrics[name] * 1e9), name
    outside = compared.summary().loc["retailer_only"]
    assert outside["cost_with_market"] == run.metrics["cost_without_market"]
    assert ws.verify(run.path)["ok"]


def test_metered_quantities_settle_members_alone(tmp_path: Path) -> None:
    street = write_street(tmp_path / "street", more='quantities = "metered"\n')
    run = ran(street, tmp_path, *member("home-2", since=NOON))
    assert of(run, "orders", "home-2").index.min() >= NOON
    assert run.metrics["saving_by_imbalance_rule"] == 0
    assert ws.verify(run.path)["ok"]


def test_no_deviation_trades_before_a_home_is_a_member(street: Path) -> None:
    """What a home would order instead of its own orders it orders as a member alone."""
    last = RUN + timedelta(hours=HOURS - 1)
    game = Game(prepare(ws.load(street, overrides=member("home-2", since=last))))
    honest = game.honest()
    buys = Deviation("buys nothing", phantom(1, 500), True)
    credited = game.credited_by_interval(honest, {}, {1: buys})
    changed = [now is not before for now, before in zip(credited, honest, strict=True)]
    assert changed == [False] * (HOURS - 1) + [True]


# ---- what people read


def test_outputs_say_when_a_home_was_a_member_only_where_one_was_not_always(
    street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "home-2 from Tue 02 Jun 2026 12:00, home-3 until Wed 03 Jun 2026 06:00"
    text = member("home-2", since=NOON) + member("home-3", until=RUN + timedelta(hours=30))
    sets = [word for one in text for word in ("--set", one)]
    checked = call(capsys, "validate", street, *sets)
    assert "  home-2 is a member from Tue 02 Jun 2026 12:00\n" in checked.out
    said = one_object(call(capsys, "validate", street, *sets, "--json"))
    assert said["members"]["home-3"] == {"to": stamp(RUN + timedelta(hours=30))}
    run, plain = ran(street, tmp_path / "run", *text), ran(street, tmp_path / "plain")
    shown = " ".join(call(capsys, "show", run.path).out.split())
    assert f"members {words}; the bill of a home covers its membership alone" in shown
    assert "members" not in call(capsys, "show", plain.path).out
    assert words in run.report().read_text(encoding="utf-8")


def test_data_check_says_what_a_home_that_begins_later_may_be(
    street: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lose(street, "home-2", since=NOON)
    told = call(capsys, "data", "check", street / "meter.csv").out
    assert "a home that joins has its time in homes.members" in " ".join(told.split())


# ---- refused


def test_all_that_is_wrong_with_memberships_is_told_at_once(
    street: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = street / "scenario.toml"
    text = file.read_text(encoding="utf-8").replace(
        "[tariff]",
        f"""[homes.members.home-1]
from = {stamp(NOON)}
to = {stamp(NOON)}

[homes.members."home.2"]
to = 2026-06-03

[homes.members.home-3]

[homes.members.home-4]
form = 2026-06-03T00:00:00Z

[homes.members.home-5]
from = "2026-06-03"

[tariff]
zone = "Europe/Berln\"""",
    )
    file.write_text(text, encoding="utf-8")
    outcome = call(capsys, "validate", street)
    refused(outcome, 3, "homes.members.home-3: says neither from nor to", "unknown key; did you mean 'from'?")
    refused(outcome, 3, "did you mean 'Europe/Berlin'?", "is text, not a date")
    file.write_text(text.replace("Europe/Berln", "Europe/Berlin").replace("form", "from"), encoding="utf-8")
    cured = file.read_text(encoding="utf-8").replace('from = "2026-06-03"', "from = 2026-03-29T02:30:00")
    file.write_text(
        cured.replace("[homes.members.home-3]", "[homes.members.home-3]\nto = 2026-06-03"), "utf-8"
    )
    outcome = call(capsys, "validate", street)
    refused(outcome, 3, "home-1.to: the membership would end at", "let it end after it begins")
    refused(outcome, 3, "homes.members.home-5.from: 2026-03-29T02:30:00 does not exist in Europe/Berlin")


def test_all_memberships_that_do_not_fit_the_run_are_told_at_once(
    street: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    over, half = RUN + timedelta(hours=HOURS), NOON + timedelta(minutes=30)
    terms = [
        *member("home-1", until=RUN),
        *member("home-2", since=half),
        *member("home-3", since=over),
        *member("hom-3", since=NOON),
    ]
    sets = [word for text in terms for word in ("--set", text)]
    outcome = call(capsys, "validate", street, *sets)
    refused(outcome, 3, "home-1.to: the home is a member in no interval of the run", "run without this home")
    refused(outcome, 3, "home-2.from: 2026-06-02T12:30:00Z cuts an interval of 60 minutes")
    refused(outcome, 3, "home-3.from: the home is a member in no interval of the run")
    refused(outcome, 3, "members.hom-3: the data have no home 'hom-3'", "did you mean 'home-")


def test_two_entries_of_one_home_are_refused(street: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = street / "scenario.toml"
    text = file.read_text(encoding="utf-8")
    table = f"[homes.members.home-1]\nfrom = {stamp(NOON)}\n"
    file.write_text(text + table * 2, encoding="utf-8")
    refused(call(capsys, "validate", street), 3, "home-1")
    spelt = (
        f'[homes.members."m\u00fc"]\nfrom = {stamp(NOON)}\n[homes.members."mu\u0308"]\nto = {stamp(NOON)}\n'
    )
    file.write_text(text + spelt, encoding="utf-8")
    refused(call(capsys, "validate", street), 3, "names home 'm\u00fc' twice", "one table for each home")


def test_a_local_date_needs_a_zone(street: Path) -> None:
    with pytest.raises(InvalidScenario, match="is a local time without a zone"):
        ws.load(street, overrides=["homes.members.home-1.from=2026-06-03"])


def test_terms_follow_their_homes() -> None:
    terms = Membership.of(((0, 2**36), (900, 1_800), (0, 900)))
    assert terms.of_homes([1, 2]).terms == ((900, 1_800), (0, 900))
    assert terms.of_homes([0]).terms == ()
    assert terms.in_rows(0, 900, 3).tolist() == [
        [True, False, True],
        [True, True, False],
        [True, False, False],
    ]
