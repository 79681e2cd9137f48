"""What a scenario file means: exact numbers, defaults, layers, digest, time."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.devices import DEVICES
from tests.kits.sample_kit import some
from tests.kits.scenario_kit import DATA, HEAD, MINIMAL, read, refused
from wattswap.errors import InvalidScenario
from wattswap.scenario.load import Span, from_resolved
from wattswap.scenario.problems import fields_of, inner_table
from wattswap.scenario.tables import Market, homes_table
from wattswap.scenario.tariff import Tariff
from wattswap.scenario.time import Time

ROOT = Path(__file__).parents[3]
HOMES = homes_table(tuple(DEVICES.all().values()))


def test_decimals_are_read_from_the_text_and_not_through_binary_fractions(tmp_path: Path) -> None:
    """0.1 + 0.2 and 1.1 x 1e6 differ from 0.3 and 1100000 in binary floating point."""
    scenario = read(tmp_path, HEAD + DATA + "[tariff]\nimport_per_kwh = 1.100001\nfeed_in_per_kwh = 0.1\n")
    assert scenario.tariff.import_micro_per_kwh == 1_100_001
    fee = read(tmp_path, MINIMAL + "grid_fee_local_per_kwh = 0.2\n").tariff.grid_fee_local_micro_per_kwh
    assert (scenario.tariff.feed_in_micro_per_kwh or 0) + fee == 300_000


@settings(
    max_examples=some(80, 26), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(micro=st.integers(-(10**12), 10**12))
def test_every_price_of_whole_micros_is_kept_exactly(tmp_path: Path, micro: int) -> None:
    text = format(Decimal(micro).scaleb(-6), "f")
    scenario = read(tmp_path, HEAD + DATA + f"[tariff]\nimport_per_kwh = {text}\nfeed_in_per_kwh = 0\n")
    assert scenario.tariff.import_micro_per_kwh == micro
    assert from_resolved(scenario.resolved(), tmp_path).tariff.import_micro_per_kwh == micro


def test_energy_power_and_shares_become_integers_of_the_inside_units(tmp_path: Path) -> None:
    text = MINIMAL + (
        "[market]\nk = 0.25\n[homes.battery.'h.1']\ncapacity_kwh = 10.5\ncharge_kw = 3\n"
        "discharge_kw = 2.125\ncharge_efficiency = 0.955\ninitial_share = 1\n"
    )
    scenario = read(tmp_path, text)
    assert scenario.market.k_ppm == 250_000
    battery = scenario.homes.battery["h.1"]
    assert (battery.capacity_wh, battery.charge_w, battery.discharge_w) == (10_500, 3_000, 2_125)
    assert (battery.charge_efficiency_ppm, battery.discharge_efficiency_ppm) == (955_000, None)
    assert battery.initial_share_ppm == 1_000_000


def test_what_is_left_out_has_the_documented_default(tmp_path: Path) -> None:
    scenario = read(tmp_path, MINIMAL)
    assert (scenario.seed, scenario.market, scenario.homes, scenario.time) == (1, Market(), HOMES(), Time())
    assert (scenario.market.mechanism, scenario.market.k_ppm, scenario.chain.authorities) == (
        "uniform_price",
        500_000,
        4,
    )


LAYERED = MINIMAL + '[market]\nk = 0.1\n[case.a]\nmarket.k = 0.2\n[case.b.market]\nmechanism = "mcafee"\n'


@pytest.mark.parametrize(
    ("case", "overrides", "k_ppm"),
    [
        (None, (), 100_000),
        ("a", (), 200_000),
        ("b", (), 100_000),
        ("a", ("market.k=0.3",), 300_000),
        (None, ("market.k=0.3", "market.k=0.4"), 400_000),
    ],
)
def test_later_layers_win(tmp_path: Path, case: str | None, overrides: tuple[str, ...], k_ppm: int) -> None:
    scenario = read(tmp_path, LAYERED, case, overrides)
    assert scenario.market.k_ppm == k_ppm
    assert scenario.market.mechanism == ("mcafee" if case == "b" else "uniform_price")


def test_an_unknown_case_suggests_the_nearest(tmp_path: Path) -> None:
    text = MINIMAL + "[case.low_feed_in]\nseed = 2\n[case.high]\nseed = 3\n"
    (problem,) = refused(tmp_path, text, case="low_feedin")
    assert str(problem) == (
        "--case low_feedin: no case 'low_feedin'; did you mean 'low_feed_in'? Known: low_feed_in, high"
    )


def test_a_mistake_in_a_chosen_case_points_into_the_case(tmp_path: Path) -> None:
    (problem,) = refused(tmp_path, MINIMAL + "[case.a]\nmarket.k = 7\n", case="a")
    assert (problem.line, problem.key) == (10, "case.a.market.k")


def test_a_case_may_hold_what_the_file_lacks(tmp_path: Path) -> None:
    text = HEAD + DATA + "[case.a.tariff]\nimport_per_kwh = 1\nfeed_in_per_kwh = 0\n"
    assert read(tmp_path, text, case="a").tariff.import_micro_per_kwh == 1_000_000


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("time.intervals=96", "time", Time(start=tomllib.loads("s=2016-06-06T00:00:00Z")["s"], intervals=96)),
        ("time.start=2016-06-07T00:00:00Z", "time", None),
        ("market.mechanism=mcafee", "market", Market(mechanism="mcafee")),
        ('market.mechanism="mcafee"', "market", Market(mechanism="mcafee")),
        ("chain.sign_orders=true", "chain", None),
        ('data.households=["a","b"]', "data", None),
        ("data.path=.", "data", None),
    ],
)
def test_a_set_expression_is_toml_and_replaces_what_it_excludes(
    tmp_path: Path, override: str, key: str, value: Any
) -> None:
    text = MINIMAL + "[time]\nstart = 2016-06-06T00:00:00Z\ndays = 7\n"
    scenario = read(tmp_path, text, overrides=(override,))
    assert getattr(scenario, key) != getattr(read(tmp_path, text), key)
    if value is not None:
        assert getattr(scenario, key) == value


@pytest.mark.parametrize(
    ("override", "phrase"),
    [
        ("market.k", "is not key.path=value"),
        ("=3", "is not key.path=value"),
        ("market.k=", "'' is not a TOML value"),
        ("market.k=0.3.4", "'0.3.4' is not a TOML value"),
        ("market.k=1\nseed=3", "is not key.path=value"),
        ("market.k=0,32", "'0,32' is not a TOML value; decimals have a point and no quotes: write 0.32"),
        ("time.start=19.09.2016", "dates begin with the year and have no quotes: write 2016-09-19"),
        (
            "time.start='19.9.2016'",
            "is text, not a date; dates begin with the year and have no quotes: write 2016-09-19",
        ),
        ("market.k=true", "must be a number, not true or false"),
        ("market.kay=1", "unknown key"),
        ("seed.x=1", "seed: must be a whole number, not a table"),
        ("time.days=0", "0 is too small"),
    ],
)
def test_a_wrong_set_expression_names_itself(tmp_path: Path, override: str, phrase: str) -> None:
    problems = refused(tmp_path, MINIMAL, overrides=(override,))
    assert problems[0].where.startswith(f"--set {override}")
    assert phrase in str(problems[0])


def test_the_digest_ignores_the_order_and_the_spelling_of_keys(tmp_path: Path) -> None:
    other = (
        "tariff.feed_in_per_kwh = 0.080 # same\ntariff.import_per_kwh = 32e-2\ncurrency = 'EUR'\n"
        "name = 'test'\nschema = 1\nseed = 0x1\n[market]\nk = 0.50\n[data]\nsample = 'street'\n"
    )
    assert read(tmp_path, other).digest() == read(tmp_path, MINIMAL).digest()


def test_the_digest_does_not_depend_on_the_process(tmp_path: Path) -> None:
    """The value is written down: a change of it breaks `verify` of older runs and must be meant."""
    assert read(tmp_path, MINIMAL).digest() == (
        "d3f9d52d5b683b201057a15092656c15dadb1bf2cc0a41e8a434acb3a41f5678"
    )


@pytest.mark.parametrize(
    "override", ["seed=2", "market.k=0.500001", "time.days=1", "tariff.zone=UTC", "name=other"]
)
def test_the_digest_changes_with_what_influences_the_result(tmp_path: Path, override: str) -> None:
    assert read(tmp_path, MINIMAL, overrides=(override,)).digest() != read(tmp_path, MINIMAL).digest()


def test_the_order_of_windows_does_not_change_the_digest(tmp_path: Path) -> None:
    a = '{ from = "07:00", to = "09:00", import_per_kwh = 1 }'
    b = '{ from = "17:00", to = "21:00", import_per_kwh = 2 }'
    first, second = (
        read(tmp_path, MINIMAL + f'zone = "UTC"\ntime_of_use = [{w}]\n') for w in (f"{a}, {b}", f"{b}, {a}")
    )
    assert first.digest() == second.digest()


def test_a_resolved_scenario_survives_json_and_gives_the_same_digest(tmp_path: Path) -> None:
    text = MINIMAL + (
        'zone = "Europe/Berlin"\n[[tariff.time_of_use]]\ndays = "fri-mon"\nfrom = "22:00"\nto = "06:00"\n'
        "import_per_kwh = -0.05\n[time]\nstart = 2016-03-26\ndays = 3\nzone = 'Europe/Berlin'\n"
        "[homes.battery.h1]\ncapacity_kwh = 7.5\n"
    )
    scenario = read(tmp_path, text)
    again = from_resolved(json.loads(json.dumps(scenario.resolved())), tmp_path)
    assert again.digest() == scenario.digest()
    assert (again.time.start_s, again.time.end_s) == (scenario.time.start_s, scenario.time.end_s)
    assert (again.tariff, again.homes) == (scenario.tariff, scenario.homes)


def test_a_resolved_scenario_that_was_changed_is_refused(tmp_path: Path) -> None:
    resolved = read(tmp_path, MINIMAL).resolved()
    resolved["market"]["k"] = "1.5"
    with pytest.raises(InvalidScenario, match=r"market\.k: 1\.5 is too large"):
        from_resolved(resolved, tmp_path)


def test_days_of_a_local_start_are_calendar_days(tmp_path: Path) -> None:
    text = MINIMAL + "[time]\nstart = 2016-03-26\ndays = 2\nzone = 'Europe/Berlin'\n"
    span = read(tmp_path, text).span(0, 15, 10**8)
    assert span.intervals == (24 + 23) * 4


def test_days_of_an_instant_have_24_hours(tmp_path: Path) -> None:
    text = MINIMAL + "[time]\nstart = 2016-03-26T00:00:00+01:00\ndays = 2\n"
    assert read(tmp_path, text).span(0, 15, 10**8).intervals == 2 * 96


START_S = 1_465_171_200  # 2016-06-06T00:00:00Z


@pytest.mark.parametrize(
    ("time", "span"),
    [
        ("", Span(START_S, 15, 192)),
        ("start = 2016-06-06T06:00:00Z", Span(START_S + 21_600, 15, 168)),
        ("days = 1", Span(START_S, 15, 96)),
        ("intervals = 3", Span(START_S, 15, 3)),
        ("end = 2016-06-06T01:00:00Z", Span(START_S, 15, 4)),
        ("interval_minutes = 60", Span(START_S, 60, 48)),
        ("interval_minutes = 60\nintervals = 3", Span(START_S, 60, 3)),
    ],
)
def test_a_run_fits_into_the_data(tmp_path: Path, time: str, span: Span) -> None:
    assert read(tmp_path, f"{MINIMAL}[time]\n{time}\n").span(START_S, 15, 192) == span


@pytest.mark.parametrize(
    ("time", "phrase"),
    [
        ("start = 2016-06-05T00:00:00Z", "10: time.start: 2016-06-05T00:00:00Z has no data"),
        ("start = 2016-06-08T00:00:00Z", "10: time.start: 2016-06-08T00:00:00Z has no data"),
        ("days = 3", "10: time.days: the run would end at 2016-06-09T00:00:00Z"),
        ("intervals = 193", "10: time.intervals: the run would end at"),
        ("end = 2016-06-06T00:00:00Z", "10: time.end: the run would end at 2016-06-06T00:00:00Z"),
        (
            "start = 2016-06-06T00:05:00Z",
            "10: time.start: 2016-06-06T00:05:00Z is not on a 15-minute boundary",
        ),
        ("interval_minutes = 5", "10: time.interval_minutes: 5, but the data step is 15"),
    ],
)
def test_a_run_outside_the_data_is_refused_at_its_line(tmp_path: Path, time: str, phrase: str) -> None:
    scenario = read(tmp_path, f"{MINIMAL}[time]\n{time}\n")
    with pytest.raises(InvalidScenario) as caught:
        scenario.span(START_S, 15, 192)
    assert phrase in str(caught.value)


def test_what_only_the_data_tell_is_reported_at_the_line_of_the_key(tmp_path: Path) -> None:
    scenario = read(tmp_path, MINIMAL + "[homes.battery.'h.1']\ncapacity_kwh = 1\n")
    assert str(scenario.invalid(("homes", "battery", "h.1"), "no such home")).endswith(
        "street.toml:9: homes.battery.h.1: no such home"
    )
    assert str(scenario.invalid("time.start", "x")).endswith("street.toml:1: time.start: x")


def test_importing_the_module_does_not_import_pydantic() -> None:
    code = "import sys, wattswap.scenario.load, wattswap.errors; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_scenario_cannot_be_changed(tmp_path: Path) -> None:
    scenario = read(tmp_path, MINIMAL)
    with pytest.raises(ValueError, match="frozen"):
        scenario.market.k_ppm = 3


def test_every_field_inside_has_its_unit_in_its_name() -> None:
    battery = inner_table(HOMES.model_fields["battery"].annotation)
    assert battery is not None
    for table in (battery, Tariff, Market):
        for key, field in fields_of(table).items():
            inside = next(name for name, other in table.model_fields.items() if other is field)
            if key.endswith("_per_kwh") and not key.endswith("_g_per_kwh"):  # grams stay grams
                assert inside.endswith("_micro_per_kwh")
