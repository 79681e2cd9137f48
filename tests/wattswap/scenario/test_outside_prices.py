"""The tariff of a scenario laid over a run, and the price series beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.errors import DataError
from market.settlement.tariff import IntervalPrices
from tests.kits.scenario_kit import DATA, HEAD, MINIMAL, read
from wattswap.errors import InvalidData, InvalidScenario
from wattswap.scenario.load import Span, from_resolved

START_S = 1_465_171_200  # 2016-06-06T00:00:00Z


def test_the_tariff_is_laid_over_the_run(tmp_path: Path) -> None:
    text = MINIMAL + (
        'grid_fee_remote_per_kwh = 0.05\nzone = "Europe/Berlin"\n'
        '[[tariff.time_of_use]]\nfrom = "07:00"\nto = "08:00"\nimport_per_kwh = 0.5\n'
    )
    prices = read(tmp_path, text).outside_prices(Span(START_S + 4 * 3600, 60, 3))
    assert prices.import_micro_per_kwh.tolist() == [320_000, 500_000, 320_000]
    assert prices.at(1) == IntervalPrices(500_000, 80_000, 0, 50_000)


def test_levies_and_vat_are_part_of_windows_series_and_fees(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(SERIES, encoding="utf-8")
    more = "levy_remote_per_kwh = 0.03\ngrid_fee_remote_per_kwh = 0.05\nvat_percent = 7.5\n"
    prices = read(tmp_path, BY_SERIES + more).outside_prices(Span(START_S, 60, 2))
    assert prices.at(0) == IntervalPrices(107_500, 100_000, 0, 86_000)
    assert prices.at(1) == IntervalPrices(-215_000, -200_000, 0, 86_000)


def test_faults_of_several_surcharges_come_at_once(tmp_path: Path) -> None:
    text = MINIMAL + "vat_percent = -1\nstanding_per_day = -2\npeak_per_kw_month = nan\nlevy_remote = 1\n"
    with pytest.raises(InvalidScenario) as caught:
        read(tmp_path, text)
    keys = [problem.key for problem in caught.value.problems]
    names = ("vat_percent", "standing_per_day", "peak_per_kw_month", "levy_remote")
    assert keys == [f"tariff.{name}" for name in names]


SERIES = "timestamp,price_per_kwh\n2016-06-06T00:00:00Z,0.1\n2016-06-06T03:00:00+02:00,-0.2\n"
BY_SERIES = HEAD + DATA + '[tariff]\nimport_series = "p.csv"\nfeed_in_series = "p.csv"\n'


def test_series_are_laid_over_the_run(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(SERIES, encoding="utf-8")
    prices = read(tmp_path, BY_SERIES).outside_prices(Span(START_S + 1800, 30, 3))
    assert prices.import_micro_per_kwh.tolist() == [100_000, -200_000, -200_000]
    assert prices.feed_in_micro_per_kwh.tolist() == [100_000, -200_000, -200_000]


@pytest.mark.parametrize("name", ["price_per_kwh", "price_per_mwh"])
def test_prices_per_mwh_are_read_where_stated_and_asked_for_where_not(name: str, tmp_path: Path) -> None:
    text = SERIES.replace("0.1", "100").replace("-0.2", "-200").replace("price_per_kwh", name)
    (tmp_path / "p.csv").write_text(text, encoding="utf-8")
    scenario = read(tmp_path, BY_SERIES)
    if name == "price_per_mwh":
        prices = scenario.outside_prices(Span(START_S, 60, 2))
        assert prices.import_micro_per_kwh.tolist() == [100_000, -200_000]
        return
    with pytest.raises(
        InvalidScenario,
        match=r"half of the prices of p\.csv are above 150 EUR per kWh; if they are per MWh, name the column",
    ):
        scenario.outside_prices(Span(START_S, 60, 2))


def test_a_series_that_ends_early_names_the_instant_and_the_key(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(SERIES, encoding="utf-8")
    with pytest.raises(
        InvalidScenario, match=r"street.toml:7: tariff.import_series: no price for 2016-06-06T02:00Z"
    ):
        read(tmp_path, BY_SERIES).outside_prices(Span(START_S, 30, 5))


def test_a_changed_series_changes_the_digest_and_is_found(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(SERIES, encoding="utf-8")
    scenario = read(tmp_path, BY_SERIES)
    resolved, digest = scenario.resolved(), scenario.digest()
    assert from_resolved(resolved, tmp_path).digest() == digest
    (tmp_path / "p.csv").write_text(SERIES.replace("0.1", "0.2"), encoding="utf-8")
    assert scenario.digest() != digest
    with pytest.raises(InvalidData, match=r"p\.csv: has changed since the run"):
        from_resolved(resolved, tmp_path)


def test_a_series_in_local_time_takes_the_zone_of_the_tariff(tmp_path: Path) -> None:
    local = SERIES.replace("2016-06-06T00:00:00Z", "2016-06-06T02:00").replace("03:00:00+02:00", "03:00")
    (tmp_path / "p.csv").write_text(local, encoding="utf-8")
    prices = read(tmp_path, BY_SERIES + 'zone = "Europe/Berlin"\n').outside_prices(Span(START_S, 60, 2))
    assert prices.import_micro_per_kwh.tolist() == [100_000, -200_000]


def test_a_broken_series_is_an_error_of_the_data(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(SERIES + "2016-06-06T02:00:00Z,x\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"line 4.*'x' is not a price"):
        read(tmp_path, BY_SERIES).outside_prices(Span(START_S, 60, 2))


@pytest.mark.parametrize(
    ("tariff", "phrases"),
    [
        ("import_per_kwh = 0.32\nfeed_in_per_kwh = 0.08\n", []),
        ("import_per_kwh = 0.08\nfeed_in_per_kwh = 0.32\n", ["8: tariff.feed_in_per_kwh: 0.32 is above"]),
        ("import_per_kwh = 0.3\nfeed_in_per_kwh = 0.32\ngrid_fee_remote_per_kwh = 0.05\n", []),
        (
            "import_per_kwh = 0.3\nfeed_in_per_kwh = 0.35\nlevy_local_per_kwh = 0.01\nvat_percent = 19\n",
            [
                "0.35 is above what a neighbour can pay (0.3451 per kWh, import price and grid fees, levies, VAT)"
            ],
        ),
        ("import_per_kwh = 0.3\nfeed_in_per_kwh = 0.35\nvat_percent = 19\n", []),
        (
            "import_per_kwh = 0.3\nfeed_in_per_kwh = 0.1\nvat_percent = 0.19\n",
            ["9: tariff.vat_percent: is 0.19 %; VAT is in percent: write 19 for 19 percent"],
        ),
        ("import_per_kwh = 32\nfeed_in_per_kwh = 8\n", ["prices are in currency units, not cents"]),
    ],
)
def test_what_is_rarely_meant_gives_a_warning(tmp_path: Path, tariff: str, phrases: list[str]) -> None:
    warnings = read(tmp_path, HEAD + DATA + "[tariff]\n" + tariff).warnings()
    assert len(warnings) == len(phrases)
    assert all(phrase in str(warning) for phrase, warning in zip(phrases, warnings, strict=True))
