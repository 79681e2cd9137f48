"""A run in process, checked from its files alone against sums and bills made here."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

import wattswap as ws
from market.book import OrderBook
from market.clearing import Clearing
from market.errors import PluginFailed
from market.rules import MarketRules
from tests.kits.plugin_kit import own_registries
from tests.kits.run_kit import FIRST, MONEY, SYSTEM, files_below, python, readings, write_street
from wattswap.errors import InvalidScenario
from wattswap.results import RunResult
from wattswap.runs.layout import HASHED_FILES


def frame(run: RunResult, name: str) -> pd.DataFrame:
    return pd.read_parquet(run.path / f"{name}.parquet")


def changed(street: Path, out: Path, *settings: str) -> RunResult:
    """A run of the street with some keys changed."""
    return ws.run(ws.load(street, overrides=settings), out=out)


def test_money_of_every_kind_sums_to_zero_in_every_interval(finished: RunResult) -> None:
    postings = frame(finished, "postings")
    sums = postings.groupby("interval_start")[MONEY].sum()
    assert len(sums) == 48
    assert (sums == 0).all(axis=None)
    assert (postings[MONEY] != 0).any().all()


def test_energy_balances_in_every_interval(finished: RunResult) -> None:
    sums = frame(finished, "postings").groupby("interval_start").sum(numeric_only=True)
    assert (sums["bought_wh"] == sums["sold_wh"]).all()
    assert (sums["local_wh"] == 0).all()
    net = sums["import_wh"] - sums["export_wh"]
    assert (net == sums["retail_import_wh"] - sums["retail_export_wh"]).all()
    assert sums["bought_wh"].sum() > 0


def test_accepted_orders_are_what_the_postings_say_was_bought_and_sold(finished: RunResult) -> None:
    orders = frame(finished, "orders")
    postings = frame(finished, "postings").set_index(["interval_start", "account"])
    for side, column in ((1, "bought_wh"), (-1, "sold_wh")):
        accepted = orders[orders["side"] == side].set_index(["interval_start", "household"])["accepted_wh"]
        expected = {key: int(wh) for key, wh in accepted.items() if wh}
        posted = {key: int(wh) for key, wh in postings[column].items() if wh}
        assert posted == expected


def test_every_trade_is_posted_at_the_price_of_its_interval(finished: RunResult) -> None:
    prices = frame(finished, "intervals").set_index("interval_start")["price_micro_per_kwh"]
    postings = frame(finished, "postings")
    traded = postings[postings["bought_wh"] + postings["sold_wh"] > 0]
    price = traded["interval_start"].map(prices)
    assert price.notna().all()
    assert ((traded["sold_wh"] - traded["bought_wh"]) * price == traded["trade_nano"]).all()


def test_the_intervals_table_sums_up_the_orders(finished: RunResult) -> None:
    orders = frame(finished, "orders")
    intervals = frame(finished, "intervals").set_index("interval_start")
    bought = orders[orders["side"] == 1].groupby("interval_start")["accepted_wh"].sum()
    assert intervals["traded_wh"].to_dict() == bought.reindex(intervals.index, fill_value=0).to_dict()
    counted = Counter(orders["interval_start"])
    assert intervals["orders"].to_dict() == {start: counted[start] for start in intervals.index}
    assert intervals["height"].tolist() == list(range(1, 49))


def test_every_price_lies_in_its_interval_and_between_feed_in_and_the_buyers_cap(finished: RunResult) -> None:
    rows = frame(finished, "intervals").dropna(subset=["price_micro_per_kwh"])
    assert len(rows) > 5
    assert (rows["lo_micro_per_kwh"] <= rows["price_micro_per_kwh"]).all()
    assert (rows["price_micro_per_kwh"] <= rows["hi_micro_per_kwh"]).all()
    assert rows["price_micro_per_kwh"].between(80_000, 340_000).all()


def test_the_bills_are_the_sums_of_the_postings(finished: RunResult) -> None:
    postings, bills = frame(finished, "postings"), frame(finished, "bills").set_index("household")
    members = postings[~postings["account"].isin(SYSTEM)]
    sums = members.astype({"account": str}).groupby("account").sum(numeric_only=True)
    assert not sums.pop("loss_wh").any()  # losses are the grid operator's, and no column of a bill
    assert sums.to_dict() == bills[sums.columns].to_dict()


def test_homes_without_a_battery_have_the_readings_of_the_file(street: Path, finished: RunResult) -> None:
    given = readings(3, 3, 60)
    found = frame(finished, "readings")
    rows = zip(
        found["interval_start"], found["household"], found["import_wh"], found["export_wh"], strict=True
    )
    for start, home, wh_in, wh_out in rows:
        if home != "home-1":
            assert (wh_in, wh_out) == given[start.to_pydatetime(), home]
    assert len(found) == 3 * 48


def test_the_battery_stays_within_its_capacity_and_keeps_the_energy_it_loses_account_of(
    finished: RunResult,
) -> None:
    given = readings(3, 3, 60)
    rows = frame(finished, "readings")
    stored_before = 0
    for row in rows[rows["household"] == "home-1"].itertuples():
        wh_in, wh_out = given[row.interval_start.to_pydatetime(), "home-1"]
        taken = (row.import_wh - row.export_wh) - (wh_in - wh_out)
        assert 0 <= row.stored_wh <= 2000
        gained = row.stored_wh - stored_before
        assert abs(gained - (taken * 0.95 if taken > 0 else taken / 0.95)) <= 2
        stored_before = row.stored_wh
    assert rows["stored_wh"].max() > 500


def test_no_home_pays_more_than_without_a_market_plus_its_own_imbalance(
    street: Path, finished: RunResult, tmp_path: Path
) -> None:
    alone = frame(changed(street, tmp_path, "market.mechanism=retailer_only"), "bills")
    bills = frame(finished, "bills")
    with_market, without = bills[MONEY].sum(axis=1), alone[MONEY].sum(axis=1)
    assert (with_market >= without - bills["imbalance_cost_nano"]).all()
    assert (bills["baseline_nano"] == without).all()
    assert (with_market > without).any()


def test_without_a_market_a_bill_is_import_times_tariff_less_export_times_feed_in(
    street: Path, tmp_path: Path
) -> None:
    run = changed(street, tmp_path, "market.mechanism=retailer_only", "homes.batteries=none",
                  "homes.battery.home-1.capacity_kwh=0")  # fmt: skip
    expected: dict[str, Decimal] = defaultdict(Decimal)
    with (street / "meter.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if datetime.fromisoformat(row["timestamp"]) >= FIRST + timedelta(days=1):
                cost = Decimal(row["import_kwh"]) * Decimal("0.35") - Decimal(row["export_kwh"]) * Decimal(
                    "0.08"
                )
                expected[row["household"]] += cost
    bills = frame(run, "bills").set_index("household")
    found = {home: Decimal(int(-bills.loc[home, MONEY].sum())) / 10**9 for home in bills.index}
    assert found == dict(expected)
    assert frame(run, "postings")["bought_wh"].sum() == 0


def test_all_solvers_give_the_same_hash(street: Path, tmp_path: Path) -> None:
    hashes = {
        solver: changed(street, tmp_path, f"market.solver={solver}", "time.days=1").manifest["replay_sha256"]
        for solver in ("highs", "exact", "pyomo")
    }
    assert len(set(hashes.values())) == 1, hashes


def test_signing_every_order_changes_nothing_but_the_chain_id(
    street: Path, finished: RunResult, tmp_path: Path
) -> None:
    signed = changed(street, tmp_path, "chain.sign_orders=true")
    assert (signed.manifest["signed"], finished.manifest["signed"]) == (True, False)
    assert signed.manifest["replay_sha256"] == finished.manifest["replay_sha256"]
    for name in ("orders", "readings", "postings", "bills"):
        assert (signed.path / f"{name}.parquet").read_bytes() == (
            finished.path / f"{name}.parquet"
        ).read_bytes()
    assert signed.manifest["chain"]["id"] != finished.manifest["chain"]["id"]


def test_the_order_of_the_homes_in_the_file_changes_no_home_s_bill(
    street: Path, finished: RunResult, tmp_path: Path
) -> None:
    write_street(tmp_path / "turned")
    file = tmp_path / "turned" / "meter.csv"
    head, *rows = file.read_text(encoding="utf-8").splitlines()
    turned = [row for first in range(0, len(rows), 3) for row in reversed(rows[first : first + 3])]
    file.write_text("\n".join([head, *turned]) + "\n", encoding="utf-8")
    run = ws.run(tmp_path / "turned", out=tmp_path)
    bills = [frame(r, "bills").set_index("household").sort_index() for r in (run, finished)]
    pd.testing.assert_frame_equal(*bills)


def test_two_runs_give_the_same_bytes(street: Path, finished: RunResult, tmp_path: Path) -> None:
    again = ws.run(street, out=tmp_path)
    for name in HASHED_FILES:
        assert (again.path / name).read_bytes() == (finished.path / name).read_bytes(), name


def test_the_seed_of_python_s_hashes_changes_nothing(
    street: Path, finished: RunResult, tmp_path: Path
) -> None:
    program = f"import wattswap as ws; print(ws.run({str(street)!r}, out={str(tmp_path)!r}).manifest['chain']['head'])"
    for seed in ("1", "2"):
        done = python(program, PYTHONHASHSEED=seed)
        assert done.stdout.strip() == finished.manifest["chain"]["head"], done.stderr


def test_another_seed_gives_another_chain(street: Path, finished: RunResult, tmp_path: Path) -> None:
    other = changed(street, tmp_path, "seed=8")
    assert other.manifest["chain"]["id"] != finished.manifest["chain"]["id"]


def test_runs_of_the_same_second_get_folders_of_their_own(street: Path, tmp_path: Path) -> None:
    scenario = ws.load(street, overrides=["time.days=1"])
    runs = [ws.run(scenario, out=tmp_path).path for _ in range(3)]
    assert files_below(tmp_path).count("manifest.json") == 0
    assert sorted(tmp_path.iterdir()) == sorted(set(runs))


def test_a_run_folder_holds_what_the_manifest_names_and_no_leftovers(finished: RunResult) -> None:
    assert sorted(finished.manifest["files"]) == sorted(HASHED_FILES)
    extra = set(files_below(finished.path)) - set(HASHED_FILES)
    assert extra == {"manifest.json", "log.jsonl"}


def test_progress_is_told_after_every_interval(street: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    ws.run(street, out=tmp_path, on_progress=lambda done, total, price: told.append((done, total)))
    assert told == [(i, 48) for i in range(1, 49)]


def test_a_run_that_fails_leaves_nothing_behind(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with own_registries(monkeypatch):

        @ws.mechanism("broken", source="a test")
        def clear(book: OrderBook, rules: MarketRules) -> Clearing:
            raise ZeroDivisionError("broken on purpose")

        with pytest.raises(PluginFailed, match="ZeroDivisionError: broken on purpose"):
            changed(street, tmp_path, "market.mechanism=broken")
    assert files_below(tmp_path) == []


def test_a_mechanism_that_breaks_its_limits_is_stopped(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with own_registries(monkeypatch):
        honest = ws.clear

        @ws.mechanism("greedy", source="a test")
        def clear(book: OrderBook, rules: MarketRules) -> Clearing:
            cleared = honest(book, "uniform_price", rules)
            assert isinstance(cleared, Clearing)
            return Clearing(
                accepted_wh=book.energy_wh + 1,
                price_micro_per_kwh=cleared.price_micro_per_kwh,
                node_price=cleared.node_price,
                operator_surplus_nano=0,
                welfare_nano=0,
            )

        with pytest.raises(PluginFailed, match="InfeasibleClearing: accepted outside"):
            changed(street, tmp_path, "market.mechanism=greedy")
    assert files_below(tmp_path) == []


def test_data_that_end_too_early_are_refused_before_anything_is_written(street: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidScenario, match=r"--set time\.days=3: time\.days: the run would end"):
        changed(street, tmp_path, "time.days=3")
    assert files_below(tmp_path) == []
