"""A tariff with levies, VAT, standing and peak charge: one bill by every way, and by the second implementation."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pandas as pd
import pytest

import wattswap as ws
from market.metrics.fairness import percent_of
from tests.kits.resume_kit import killed
from tests.kits.run_kit import MONEY, call, one_object
from tests.kits.sample_kit import sample_of
from tests.kits.town_kit import playing
from tests.oracles import bills as oracle
from tests.oracles.bills import BILLS, Terms
from wattswap.errors import InvalidScenario
from wattswap.nodes.live import run_live
from wattswap.report.write import html_of, story_of
from wattswap.results import RunResult
from wattswap.runs import engine
from wattswap.runs.layout import CHECKPOINT
from wattswap.runs.shown import bills_in_cents
from wattswap.scenario.basis import rests_on
from wattswap.verification.run import verify_run

Capture = pytest.CaptureFixture[str]
FIRST = datetime(2026, 10, 23, 22, tzinfo=UTC)
"""Midnight of Saturday, 24 October, in Berlin; the next day has 25 hours, and November comes within the run."""
DAYS, HOMES = 11, 5
VACANT = 4
KEYS = """\
levy_local_per_kwh = 0.0101
levy_remote_per_kwh = 0.0277
vat_percent = 19
standing_per_day = 0.3333
peak_per_kw_month = 3.2
"""
SCENARIO = """\
schema = 1
name = "five"
currency = "EUR"
seed = 5

[time]
start = 2026-10-24T20:00:00Z
end = 2026-11-03T07:00:00Z

[data]
path = "meter.csv"

[homes]
forecast = "same_hour_mean"
forecast_days = 1

[tariff]
import_per_kwh = 0.250003
feed_in_per_kwh = 0.08
grid_fee_local_per_kwh = 0.02
grid_fee_remote_per_kwh = 0.050009
zone = "Europe/Berlin"
"""
MORE = ("standing_nano", "peak_nano", "grid_fee_net_nano", "levy_nano", "vat_nano")
TERMS = {
    "feed_in": 80_000, "fees": (20_000, 50_009), "levies": (10_100, 27_700), "vat": "19",
    "standing": 333_300, "peak": 3_200_000, "zone": "Europe/Berlin", "minutes": 60, "seed": 5,
}  # fmt: skip


def flows() -> pd.DataFrame:
    """Import (positive) and export (negative) by time and home. [Wh]"""
    random, rows = Random(5), []
    for hour in range(DAYS * 24 + 1):
        at = FIRST + timedelta(hours=hour)
        sun = max(0, 6 - abs(at.hour - 11)) * 150
        rows.append(
            [0 if home == VACANT else random.randrange(50, 900) - sun * (home % 2) for home in range(HOMES)]
        )
    index = pd.date_range(FIRST, periods=len(rows), freq="h")
    return pd.DataFrame(rows, index=index, columns=[f"h{home}" for home in range(HOMES)])


def write(folder: Path, keys: str = KEYS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["timestamp,household,import_kwh,export_kwh"]
    for at, row in flows().iterrows():
        lines += [
            f"{at:%Y-%m-%dT%H:%M:%SZ},{home},{max(wh, 0) / 1000:.3f},{max(-wh, 0) / 1000:.3f}"
            for home, wh in row.items()
        ]
    (folder / "meter.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "scenario.toml").write_text(SCENARIO + keys, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("five"))


@pytest.fixture(scope="module")
def whole(street: Path, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return ws.run(street, out=tmp_path_factory.mktemp("whole"))


def recomputed(run: RunResult, rule: str = "pooled") -> pd.DataFrame:
    """The lines of the second implementation."""
    readings = run.table("readings")
    price = pd.Series(250_003, index=pd.DatetimeIndex(readings["interval_start"].unique()))
    return oracle.settled(readings, run.table("orders"), flows().abs(), Terms(price, rule=rule, **TERMS))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "rule", sample_of(["pooled", "middle", "clearing_price", "retailer"], ["clearing_price"])
)
def test_the_second_implementation_finds_the_same_bills_and_figures(
    street: Path, rule: str, tmp_path: Path
) -> None:
    run = ws.run(ws.load(street, overrides=[f"market.imbalance={rule}"]), out=tmp_path)
    lines, theirs = recomputed(run, rule), run.table("bills").set_index("household")
    price = pd.Series(250_003, index=pd.DatetimeIndex(lines["interval_start"].unique()))
    more = oracle.charges(lines, Terms(price, rule=rule, **TERMS))  # type: ignore[arg-type]
    pd.testing.assert_frame_equal(oracle.bills(lines), theirs[list(BILLS)], check_names=False)
    pd.testing.assert_frame_equal(more[list(MORE)], theirs[list(MORE)], check_names=False)
    fixed = int(more[["standing_nano", "peak_nano"]].to_numpy().sum())
    found = oracle.figures(lines, run.table("readings"), run.table("orders"), 60, None, fixed)
    for name in oracle.MONEY:
        assert round(run.metrics[name] * 1e9) == found[name], name
    assert run.metrics["saving_percent"] == pytest.approx(found["saving_percent"], rel=1e-12)
    assert run.metrics["traded_kwh"] > 0


def test_the_saving_of_a_pool_is_the_bound_at_gross_prices(whole: RunResult) -> None:
    intervals = whole.table("intervals")
    gross = {"import": 297_504, "local": 35_819, "remote": 92_474}  # 19 % on 250003, 30100 and 77709
    assert set(intervals["import_micro_per_kwh"]) == {gross["import"]}
    w = gross["import"] + gross["remote"] - gross["local"] - 80_000
    net = flows().loc[intervals["interval_start"]]
    m = pd.concat([net.clip(lower=0).sum(axis=1), (-net).clip(lower=0).sum(axis=1)], axis=1).min(axis=1)
    assert round(whole.metrics["saving"] * 1e9) == int(m.sum()) * w > 0
    assert whole.metrics["saving_bound"] == whole.metrics["saving"]
    assert whole.metrics["grid_fee_local_per_kwh"] == gross["local"] / 1e6


def test_a_home_that_joins_and_leaves_has_the_charges_of_its_membership(tmp_path: Path) -> None:
    """As of a run over the membership alone, and as the second implementation has them."""
    term = {"from": "2026-10-25T07:00:00Z", "to": "2026-11-01T10:00:00Z"}
    keys = KEYS + "".join(
        f"[homes.members.h{home}]\nfrom = {term['from']}\nto = {term['to']}\n" for home in (1, 3)
    )
    run = ws.run(write(tmp_path / "members", keys), out=tmp_path)
    found = run.table("bills").set_index("household")
    span = [f"time.start={term['from']}", f"time.end={term['to']}"]
    alone = ws.run(ws.load(write(tmp_path / "alone"), overrides=span), out=tmp_path).table("bills")
    for name in MORE[:2]:
        expected = alone.set_index("household")[name]
        assert found.loc[["h1", "h3"], name].tolist() == expected[["h1", "h3"]].tolist()
        assert (found.loc[["h0", "h2"], name] < expected[["h0", "h2"]]).all()
    members = {home: (pd.Timestamp(term["from"]), pd.Timestamp(term["to"])) for home in ("h1", "h3")}
    readings = run.table("readings")
    price = pd.Series(250_003, index=pd.DatetimeIndex(readings["interval_start"].unique()))
    terms = Terms(price, members=members, **TERMS)  # type: ignore[arg-type]
    lines = oracle.settled(readings, run.table("orders"), flows().abs(), terms)
    more = oracle.charges(lines, terms)
    pd.testing.assert_frame_equal(oracle.bills(lines), found[list(BILLS)], check_names=False)
    pd.testing.assert_frame_equal(more[list(MORE)], found[list(MORE)], check_names=False)


def posted_less_parts(run: RunResult) -> pd.Series:
    """What the net parts of fee, levy and VAT leave of all that the outside bills, less the energy itself."""
    bills = run.table("bills").set_index("household")
    energy = bills["retail_export_wh"] * 80_000 - bills["retail_import_wh"] * 250_003
    billed = [name for name in ("retail_nano", "grid_fee_nano", *MORE[:2]) if name in bills]
    return bills[billed].sum(axis=1) - bills[list(MORE[2:])].sum(axis=1) - energy


def test_the_parts_of_a_bill_add_up_to_the_nano(whole: RunResult, tmp_path: Path) -> None:
    plain = write(tmp_path / "plain", "".join(KEYS.splitlines(True)[:3]))
    assert not posted_less_parts(ws.run(plain, out=tmp_path)).any()
    keys = "".join(line for line in KEYS.splitlines(True) if not line.startswith("peak"))
    run = ws.run(write(tmp_path / "standing", keys), out=tmp_path)
    # Saturday from 22:00, nine whole days, and Tuesday until 8:00.
    standing = 333_300_000 - 333_300_000 * 22 // 24 + 9 * 333_300_000 + 333_300_000 * 8 // 24
    assert set(posted_less_parts(run)) == {-standing}
    gross = 396_627_000
    expected = gross - gross * 22 // 24 + 9 * gross + gross * 8 // 24
    assert (
        set(run.table("bills")["standing_nano"]) == set(whole.table("bills")["standing_nano"]) == {-expected}
    )


def test_charges_of_the_metering_point_are_part_of_both_bills_and_of_no_saving(
    street: Path, whole: RunResult, tmp_path: Path
) -> None:
    bills, shown = whole.table("bills").set_index("household"), whole.bills()
    fixed = bills[list(MORE[:2])].sum(axis=1)
    assert (fixed < 0).all()
    assert bills.loc[f"h{VACANT}", "peak_nano"] == 0 > bills.loc[f"h{VACANT}", "standing_nano"]
    with_market, without = bills[MONEY].sum(axis=1) + fixed, bills["baseline_nano"] + fixed
    assert (shown["cost_with_market"] * 1e9).round().tolist() == (-with_market).tolist()
    assert (shown["cost_without_market"] * 1e9).round().tolist() == (-without).tolist()
    assert (shown["saving"] * 1e9).round().tolist() == (with_market - without).tolist()
    percent = percent_of(whole.metrics["saving"], whole.metrics["cost_without_market"])
    assert whole.metrics["saving_percent"] == pytest.approx(percent, rel=1e-12)
    nothing = ws.run(ws.load(street, overrides=["market.mechanism=retailer_only"]), out=tmp_path)
    assert nothing.table("bills")[list(MORE[:2])].equals(whole.table("bills")[list(MORE[:2])])
    assert nothing.metrics["cost_without_market"] == whole.metrics["cost_without_market"]
    income = sum(whole.metrics[f"{who}_income"] for who in ("retailer", "grid_operator", "market_operator"))
    assert whole.metrics["cost_with_market"] == pytest.approx(income - fixed.sum() / 1e9)


def test_run_compare_live_report_and_python_tell_the_same(
    street: Path, tmp_path: Path, capsys: Capture
) -> None:
    """Of a few hours around the end of October."""
    hours = ["time.start=2026-10-31T17:00:00Z", "time.end=2026-11-01T09:00:00Z"]
    scenario, sets = ws.load(street, overrides=hours), [w for hour in hours for w in ("--set", hour)]
    run = ws.run(scenario, out=tmp_path / "z")
    called = one_object(call(capsys, "run", street, *sets, "--out", tmp_path / "a", "--json", "-q"))
    compared = ws.compare(scenario, "uniform_price", out=tmp_path / "b")
    live = run_live(scenario, out=tmp_path / "c", run_nodes=playing())
    told = story_of(run.path).outcome("uniform_price")
    ways = (called, compared.summary().loc["uniform_price"], live.metrics)
    for name in ("saving", "cost_with_market", "cost_without_market", "saving_percent"):
        values = [float(way[name]) for way in ways] + [told.value(name)]
        assert {round(value * 1e9) for value in values} == {round(run.metrics[name] * 1e9)}, name
    for other in (compared.bills("uniform_price"), live.bills(), told.bills):
        pd.testing.assert_frame_equal(other, run.bills(), check_names=False, check_exact=True)
    assert run.metrics["saving"] > 0
    assert verify_run(run.path)["ok"]


def test_a_run_that_is_resumed_in_the_second_month_has_the_same_bills(
    street: Path, whole: RunResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "CHECKPOINT_S", 0.0)
    partial = killed(street, tmp_path, 9 * 24)
    monkeypatch.undo()
    saved = json.loads((partial / CHECKPOINT).read_text(encoding="utf-8"))
    assert saved["done"] >= 8 * 24
    assert [len(month) for month in saved["charges"]["peak_wh"]] == [HOMES, HOMES]
    resumed = ws.resume(partial)
    assert (resumed.path / "bills.parquet").read_bytes() == (whole.path / "bills.parquet").read_bytes()
    assert (resumed.path / "metrics.json").read_bytes() == (whole.path / "metrics.json").read_bytes()


def test_a_tariff_without_the_keys_has_the_columns_and_the_digest_of_before(tmp_path: Path) -> None:
    plain, zero = (
        write(tmp_path / "plain", ""),
        write(tmp_path / "zero", "vat_percent = 0\nlevy_local_per_kwh = 0.0\n"),
    )
    assert ws.load(plain).digest() == ws.load(zero).digest()
    assert not {"vat_percent", "standing_per_day"} & set(ws.load(plain).resolved()["tariff"])
    run = ws.run(ws.load(plain, overrides=["time.end=2026-10-25T20:00:00Z"]), out=tmp_path)
    assert not set(MORE) & set(run.table("bills"))
    assert list(run.bills())[-1] == "imbalance_cost"
    assert "tariff" not in rests_on(run.scenario)


def test_what_people_read_names_the_parts_and_says_what_prices_contain(
    whole: RunResult, tmp_path: Path, capsys: Capture
) -> None:
    said = " ".join(call(capsys, "show", whole.path, "--wide").out.split())
    assert (
        "import prices with 19 % VAT; grid fees with levies and 19 % VAT; bills with a standing charge"
        in said
    )
    assert "retailer sells at 0.2975 with VAT and grid fee 0.0925" in said
    head = call(capsys, "show", whole.path, "bills", "--csv").out.splitlines()[0]
    assert head.endswith("imbalance_cost,standing,peak,grid_fee_net,levy,vat")
    assert "(import with VAT)" in call(capsys, "show", whole.path, "prices").out
    why = " ".join(call(capsys, "show", whole.path, "why", "h1").out.split())
    bill = bills_in_cents(whole.bills()).loc["h1"]
    assert (
        f"by calendar and meter standing charge {bill['standing']:.2f} and peak charge {bill['peak']:.2f}"
        in why
    )
    page = html_of(story_of(whole.path))
    assert "of which VAT" in page
    assert "drawn with VAT" in page
    assert "levies and 19 % VAT included" in page


def test_a_sweep_over_vat_raises_the_bound(street: Path, tmp_path: Path, capsys: Capture) -> None:
    told = one_object(
        call(
            capsys, "sweep", street, "--set", "time.end=2026-10-26T20:00:00Z", "--vary", "tariff.vat_percent=0,7,19",
            "-m", "uniform_price", "--out", tmp_path, "--json", "-q",
        )
    )  # fmt: skip
    bounds = [point["uniform_price"]["saving_bound"] for point in told["points"].values()]
    assert len(bounds) == 3
    assert bounds == sorted(set(bounds))


@pytest.mark.parametrize("name", ["standing_micro_per_day", "peak_micro_per_kw_month"])
def test_more_money_than_can_be_counted_is_refused_before_the_run(street: Path, name: str) -> None:
    scenario = ws.load(street)  # a town of this tariff would pass the limit; four homes need a larger charge
    tariff = scenario.tariff.model_copy(update={name: 10**16})
    with pytest.raises(InvalidScenario, match="the bills of this run are about"):
        engine.prepare(scenario.model_copy(update={"tariff": tariff}))
