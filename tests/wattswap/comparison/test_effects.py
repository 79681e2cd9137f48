"""Price effect and rationing effect: they add up to the difference of the bills, and each is what its name says."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import wattswap as ws
from tests.kits.plugin_kit import clean_registries
from tests.kits.run_kit import call, refused, write_street
from wattswap.comparison.cells import run_cell
from wattswap.comparison.effects import Effects, by_mechanism, effects, in_cents
from wattswap.comparison.plan import BASE, CellKey
from wattswap.comparison.store import part_path
from wattswap.errors import UsageError, VerificationFailed
from wattswap.plugins import import_files
from wattswap.results import Comparison
from wattswap.runs.interval import step
from wattswap.runs.prepare import Setup, prepare, under
from wattswap.runs.shown import money_in_cents
from wattswap.scenario.load import load
from wattswap.selection import choice_of

__all__ = ["clean_registries"]
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
LABELS = (
    *("uniform_price", "pay_as_bid", "pay_as_bid:rationing=time", "uniform_price:rationing=random"),
    *("mcafee", "vcg", "huang", "mid_market_rate", "retailer_only"),
)
RULES = ("pooled", "retailer", "middle", "clearing_price")


def setups_of(street: Path, *settings: str, labels: tuple[str, ...] = LABELS) -> dict[str, Setup]:
    """The street under each mechanism."""
    scenario = load(street, overrides=["tariff.grid_fee_local_per_kwh=0.01", *settings])
    base = prepare(scenario)
    return {label: under(base, choice_of(label, label).of(scenario, scenario.seed)) for label in labels}


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_street(tmp_path_factory.mktemp("homes"), homes=6, days=1)


@pytest.mark.usefixtures("clean_registries")
@pytest.mark.parametrize(
    "settings",
    [
        *(f"market.imbalance={rule}" for rule in RULES),
        "market.imbalance_shares=leave_one_out",
        "market.quantities=metered",
        "homes.strategy=eager",
        "homes.strategy=truthful",
        "homes.members.home-2.from=2026-06-02T10:00:00Z",
        "tariff.vat_percent=19",
    ],
)
def test_they_add_up_to_the_difference_of_the_savings_of_every_home_to_the_nano(
    settings: str, street: Path
) -> None:
    import_files([EXAMPLES / "eager.py"])  # whose homes learn, and so order otherwise under each mechanism
    setups = setups_of(street, settings)
    found = effects(setups, "pay_as_bid")
    saved = {label: run_cell(setup) for label, setup in setups.items()}
    reference = saved["pay_as_bid"]
    for label, cell in saved.items():
        one = found[label]
        assert (one.saving_nano == cell.result.saving_nano - reference.result.saving_nano).all(), label
        netted, other = (c.totals.bills["netting_nano"] for c in (cell, reference))
        assert (one.imbalance_rule_nano == netted - other).all(), label
    assert any(one.price_nano.any() for one in found.values())
    assert not found["pay_as_bid"].price_nano.any()


def test_all_homes_together_the_price_effect_is_what_operators_keep_less(street: Path) -> None:
    setups = setups_of(street)
    found = effects(setups, "mcafee")
    kept = {
        label: round(run_cell(setup).result.facts["market_operator_nano"]) for label, setup in setups.items()
    }
    assert kept["mcafee"] > 0 > kept["vcg"]
    for label, one in found.items():
        assert int(one.price_nano.sum()) == kept["mcafee"] - kept[label], label
        assert one.outside_nano == max(-kept[label], 0), label


def test_under_one_rationing_two_efficient_rules_differ_in_their_prices_alone(street: Path) -> None:
    found = effects(setups_of(street, "homes.strategy=truthful"), "uniform_price")
    assert not found["pay_as_bid"].rationing_nano.any()
    assert not found["vcg"].rationing_nano.any()
    assert found["pay_as_bid"].price_nano.any()
    assert found["pay_as_bid:rationing=time"].rationing_nano.any()
    assert found["pay_as_bid:rationing=time"].price_nano.sum() == 0


def test_at_one_and_the_same_price_the_price_effect_is_nothing(street: Path) -> None:
    one = effects(setups_of(street, "homes.strategy=truthful"), "uniform_price")[
        "uniform_price:rationing=random"
    ]
    assert not one.price_nano.any()
    assert one.rationing_nano.any()


def test_the_price_effect_of_two_single_prices_is_the_mean_of_both_orders(street: Path) -> None:
    """(p' - p) (n + n') / 2 from the clearings; the reference is rounded to a micro, half a micro for each Wh."""
    setups = setups_of(street, "homes.strategy=zi_c", labels=("uniform_price", "mid_market_rate"))
    communities = [setup.community() for setup in setups.values()]
    expected, traded, others = [Fraction(0)] * 6, [0] * 6, 0
    for i in range(next(iter(setups.values())).intervals):
        terms = []
        for setup, community in zip(setups.values(), communities, strict=True):
            record = step(setup, community, i)
            node, net = record.clearing.node_price[0], [0] * 6
            rows = (record.book.participant, record.book.side, record.clearing.accepted_wh)
            for who, side, accepted in zip(*(column.tolist() for column in rows), strict=True):
                net[who] += side * accepted
            terms.append((None if node is None else node.price, net))
        (old, before), (new, after) = terms
        others += before != after
        if old is not None and new is not None:
            for home in range(6):
                expected[home] -= Fraction((new - old) * (before[home] + after[home]), 2)
                traded[home] += abs(before[home]) + abs(after[home])
    found = effects(setups, "uniform_price")["mid_market_rate"].price_nano.tolist()
    assert others  # intervals in which the quantities differ too
    assert any(found)
    assert all(abs(a - b) <= wh / 2 for a, b, wh in zip(found, expected, traded, strict=True))


def test_seen_from_the_other_mechanism_they_have_the_other_sign(street: Path) -> None:
    setups = setups_of(street, labels=("pay_as_bid", "huang"))
    there, back = effects(setups, "huang")["pay_as_bid"], effects(setups, "pay_as_bid")["huang"]
    for name in ("price_nano", "rationing_nano", "imbalance_rule_nano"):
        assert (getattr(there, name) == -getattr(back, name)).all(), name


def test_cents_add_up_and_money_from_outside_is_no_merit() -> None:
    third = np.full(3, 3_333_333)
    found = {
        "a": Effects(third, -third, third, 0),
        "vcg": Effects(third * 1000, third, -third, 8_000_000_000),
    }
    frame = by_mechanism(found)
    assert frame.at["vcg", "from_outside"] == 8.0
    assert frame.at["vcg", "price_effect"] == pytest.approx(9.999999 - 8)
    assert frame.at["vcg", "by_mechanism"] == pytest.approx(9.999999 - 8 + 0.009999999)
    shown = in_cents(frame)
    parts = shown[["price_effect", "rationing_effect", "from_outside", "imbalance_rule"]].sum(axis=1).round(2)
    assert parts.tolist() == shown["saving"].tolist() == [0.01, 10.0]
    assert (shown["price_effect"] + shown["rationing_effect"]).round(2).tolist() == shown[
        "by_mechanism"
    ].tolist()


def test_effects_in_cents_are_the_differences_of_the_savings_that_are_shown() -> None:
    third = np.full(3, 3_333_333)
    frame = by_mechanism(
        {"a": Effects(0 * third, 0 * third, 0 * third, 0), "b": Effects(third, third, third, 0)}
    )
    frame.attrs["reference"] = "a"
    figures: dict[str, dict[str, float | None]] = {
        "a": {"saving_by_mechanism": 1.0049, "saving_by_imbalance_rule": 2.0, "saving_from_outside": 0.0},
        "b": {"saving_by_mechanism": 1.0249, "saving_by_imbalance_rule": 2.01, "saving_from_outside": 0.0},
    }
    for row in figures.values():
        row["saving"] = sum(value or 0.0 for value in row.values())
    money = {label: money_in_cents(row) for label, row in figures.items()}
    shown = in_cents(frame, figures).loc["b"]
    for effect, part in (("by_mechanism", "saving_by_mechanism"), ("saving", "saving")):
        assert shown[effect] == pytest.approx(money["b"][part] - money["a"][part])
    assert shown["price_effect"] + shown["rationing_effect"] == pytest.approx(shown["by_mechanism"])


@pytest.fixture(scope="module")
def compared(street: Path, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    scenario = load(street, overrides=["homes.strategy=truthful"])
    return ws.compare(scenario, list(LABELS[:-1]), seeds=[1, 2], out=tmp_path_factory.mktemp("comparisons"))


def test_python_gives_them_by_mechanism_and_by_home(compared: Comparison) -> None:
    frame = compared.effects("uniform_price")
    assert frame.index.tolist() == compared.mechanisms
    saved = compared.differences("saving", "uniform_price")["mean"]
    assert frame["saving"].tolist() == pytest.approx(saved.tolist(), abs=1e-9)
    homes = compared.effects("uniform_price", "pay_as_bid:rationing=time")
    assert homes.sum()["rationing_effect"] == pytest.approx(
        frame.at["pay_as_bid:rationing=time", "rationing_effect"], abs=1e-9
    )
    assert homes.attrs == {"currency": "EUR", "reference": "uniform_price"}
    with pytest.raises(UsageError, match="has no mechanism 'sbba'"):
        compared.effects("sbba")


def test_every_row_says_how_it_rations(compared: Comparison, capsys: pytest.CaptureFixture[str]) -> None:
    said = {label: compared.rationing(label) for label in compared.mechanisms}
    assert said == {
        "retailer_only": "",
        "uniform_price": "pro_rata",
        "pay_as_bid": "pro_rata",
        "pay_as_bid:rationing=time": "time",
        "uniform_price:rationing=random": "random",
        "mcafee": "pro_rata",
        "vcg": "pro_rata",
        "huang": "own rule",
        "mid_market_rate": "own rule",
        "welfare_optimum": "pro_rata",
    }
    text = call(capsys, "show", compared.path).out
    assert re.search(r"^ huang .* own rule ", text, re.MULTILINE)
    assert "own rule" not in next(line for line in text.splitlines() if "rationing  " in line)


def test_show_and_report_print_them(
    compared: Comparison, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    table = call(capsys, "show", compared.path, "effects", "--against", "uniform_price").out
    rows = [line.split()[0] for line in table.splitlines() if re.match(r" [a-z_]+.*\d\.\d\d", line)]
    best = compared.effects("uniform_price").drop(["uniform_price", "retailer_only", "welfare_optimum"])
    assert rows[-2:] == ["welfare_optimum", "retailer_only"]
    ranked = best["by_mechanism"].round(2).loc[rows[:-2]].tolist()
    assert sorted(ranked, reverse=True) == ranked
    assert table in call(capsys, "show", compared.path, "--against", "uniform_price").out
    lines = call(capsys, "show", compared.path, "effects", "vcg", "--against", "uniform_price", "--csv").out
    assert lines.startswith("household,price_effect,rationing_effect,imbalance_rule,saving\n")
    assert len(lines.splitlines()) == 7
    page = compared.report(tmp_path / "report.html", against="uniform_price").read_text(encoding="utf-8")
    assert "Against uniform_price" in page
    assert "of that, rationing effect" in page
    assert "huang, mid_market_rate ration by their own rule" in page
    plain = compared.report(tmp_path / "plain.html").read_text(encoding="utf-8")
    assert "of that, rationing effect" not in plain


def test_what_cannot_be_shown_is_said(
    compared: Comparison, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    refused(
        call(capsys, "show", compared.path, "effects"),
        2,
        "effects are those of two mechanisms",
        "--against NAME",
    )
    refused(
        call(capsys, "show", compared.path, "bills", "vcg", "--against", "vcg"), 2, "has no meaning for bills"
    )
    refused(call(capsys, "show", compared.path, "--against", "vgc"), 2, "has no mechanism 'vgc'", "vcg")
    run = ws.run(write_street(tmp_path, homes=2, days=1), out=tmp_path / "runs")
    refused(call(capsys, "show", run.path, "--against", "vcg"), 2, "was given for a run")
    refused(call(capsys, "report", run.path, "--against", "vcg"), 2, "was given for a run")


def test_bills_of_another_program_are_not_taken_apart(street: Path, tmp_path: Path) -> None:
    result = ws.compare(load(street), ["uniform_price"], out=tmp_path)
    path = part_path(result.path, "bills", CellKey(BASE, "uniform_price", 7))
    if not path.is_file():
        path = next((result.path / "bills").rglob("mechanism=uniform_price/*/part.parquet"))
    table = pq.ParquetFile(path).read()
    more = [value.as_py() + 1 for value in table["trade_nano"]]
    index = table.column_names.index("trade_nano")
    pq.write_table(table.set_column(index, "trade_nano", pa.array(more, pa.int64())), path)
    with pytest.raises(VerificationFailed, match="the bills of uniform_price with seed"):
        ws.compare(load(street), ["uniform_price"], out=tmp_path).effects("retailer_only")
