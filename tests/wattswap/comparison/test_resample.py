"""What the intervals of --resample mean: they cover the truth of weeks and homes that are drawn at random."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

import wattswap as ws
from market.units import FloatArray
from tests.kits.run_kit import call, one_object, refused, write_street
from wattswap.comparison.resample import (
    MIN_WEEKS,
    WEEKLY,
    Resample,
    block_bootstrap,
    read_resample,
    spread_of_draws,
    whole_weeks,
)
from wattswap.errors import UsageError
from wattswap.results import Comparison

Capture = pytest.CaptureFixture[str]
QUICK = ["homes.forecast=same_hour_mean", "homes.strategy=truthful"]


@pytest.fixture(scope="module")
def weeks_street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six homes over six weeks."""
    return write_street(tmp_path_factory.mktemp("weeks"), homes=6, days=42)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("comparisons")


@pytest.fixture(scope="module")
def weekly(weeks_street: Path, out: Path) -> Comparison:
    scenario = ws.load(weeks_street, overrides=QUICK)
    return ws.compare(scenario, ["uniform_price", "mcafee"], resample="weeks", out=out)


@pytest.mark.parametrize("weeks", [MIN_WEEKS, 8, 20])
@pytest.mark.parametrize("skewed", [False, True])
def test_the_interval_over_weeks_covers_the_true_mean(weeks: int, skewed: bool) -> None:
    random, covered = np.random.default_rng(5), 0
    for _ in range(200):
        drawn = random.gamma(4, 1, weeks) if skewed else random.normal(4, 1, weeks)
        found = block_bootstrap(drawn.tolist())
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 4 <= found.high
    assert 0.88 * 200 <= covered <= 0.99 * 200


@pytest.mark.parametrize("homes", [13, 41])
def test_the_interval_over_homes_covers_the_true_figure(homes: int) -> None:
    """A figure of a market that is not a sum: what the homes with too much can give those with too little."""
    random = np.random.default_rng(5)

    def drawn() -> FloatArray:
        return random.normal(0.3, 1, (homes, 1)) + random.normal(0, 1, (homes, 24))

    def exchanged(net: FloatArray) -> float:
        needed, offered = np.maximum(net, 0).sum(axis=0), np.maximum(-net, 0).sum(axis=0)
        return float(np.minimum(needed, offered).sum())

    truth, covered = np.mean([exchanged(drawn()) for _ in range(5_000)]), 0
    for _ in range(200):
        net = drawn()
        draws = [exchanged(net[random.integers(homes, size=homes)]) for _ in range(20)]
        found = spread_of_draws(exchanged(net), draws, homes)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= truth <= found.high
    assert 0.88 * 200 <= covered <= 0.99 * 200


@pytest.mark.parametrize(
    ("first", "hours", "weeks"),
    [
        ("2026-03-23T00:00", 7 * 24 - 1, [(0, 167)]),  # the week in which the clock skips an hour
        ("2026-03-23T00:00", 7 * 24 - 2, []),
        ("2026-06-01T00:00", 3 * 168, [(0, 168), (168, 336), (336, 504)]),
        ("2026-06-01T05:00", 3 * 168, [(19, 187), (187, 355)]),
        ("2026-10-19T00:00", 2 * 168 + 1, [(0, 169), (169, 337)]),
    ],
)
def test_weeks_are_seven_local_days_from_the_first_midnight(
    first: str, hours: int, weeks: list[tuple[int, int]]
) -> None:
    zone = "Europe/Berlin"
    start_s = int(datetime.fromisoformat(first).replace(tzinfo=ZoneInfo(zone)).timestamp())
    found = whole_weeks(start_s + 3600 * np.arange(hours), zone)
    assert [(one.start, one.stop) for one in found] == weeks
    for one in found:
        local = datetime.fromtimestamp(start_s + 3600 * one.start, UTC).astimezone(ZoneInfo(zone))
        assert (local.hour, local.minute) == (0, 0)


def test_the_weeks_of_a_run_add_up_to_it(weekly: Comparison) -> None:
    frame, run = weekly.frame.set_index("mechanism"), weekly.summary()
    assert frame.attrs["per"] == "week"
    rates = {"self_sufficiency", "peak_import_kw"}
    for metric in set(WEEKLY) - rates:
        assert (6 * frame[metric]).tolist() == pytest.approx(run[metric].tolist(), abs=1e-9), metric
    assert (frame["peak_import_kw"] <= run["peak_import_kw"]).all()


def test_a_difference_is_paired_week_by_week(weekly: Comparison) -> None:
    rows = weekly.differences("cost_with_market", "uniform_price")
    assert rows.loc["uniform_price"].tolist() == [0, 0, 0, 6]
    mcafee, alone = rows.loc["mcafee"], weekly.frame.set_index("mechanism").loc["mcafee"]
    assert mcafee["low"] <= mcafee["mean"] <= mcafee["high"]
    assert mcafee["high"] - mcafee["low"] < alone["cost_with_market_high"] - alone["cost_with_market_low"]
    with pytest.raises(UsageError, match="a week has no metric 'gini_saving'"):
        weekly.differences("gini_saving")


def test_weeks_on_the_command_line(
    weeks_street: Path, weekly: Comparison, out: Path, capsys: Capture
) -> None:
    settings = [word for text in QUICK for word in ("--set", text)]
    words = ["compare", weeks_street, *settings, "-m", "uniform_price", "-m", "mcafee", "--out", out, "-q"]
    text = call(capsys, *words, "--resample", "weeks").out
    assert "At every point" not in text
    assert "A week, money in EUR" in text
    assert "the 95 % interval over weeks like these" in text
    facts = one_object(call(capsys, *words, "--resample", "weeks", "--json"))
    assert facts["comparison"] == str(weekly.path), "nothing ran again"
    assert (facts["intervals_over"], facts["per"]) == ("weeks", "week")
    short = call(capsys, *words, "--resample", "weeks", "--set", "time.days=30")
    refused(short, 2, "the run has 4 whole weeks", "time.days = 35")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("weeks", Resample("weeks")), ("homes", Resample("homes", 20)), ("homes:50", Resample("homes", 50))],
)
def test_what_is_asked_for(text: str, expected: Resample) -> None:
    assert read_resample(text) == expected


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("week", "did you mean 'weeks'?"),
        ("homes:3", "3 draws of homes; use 10 to 1000"),
        ("homes:x", "is not what can be drawn again"),
        ("weeks:5", "is not what can be drawn again"),
    ],
)
def test_what_cannot_be_drawn_is_refused(text: str, phrase: str) -> None:
    with pytest.raises(UsageError, match=phrase.replace("?", r"\?")):
        read_resample(text)


@pytest.mark.slow
def test_drawn_homes_are_markets_of_their_own(tmp_path: Path, capsys: Capture) -> None:
    street = write_street(tmp_path / "street", homes=10, days=1)
    file = street / "scenario.toml"
    words = ["sweep", street, "--vary", "market.k=0,1", "-m", "uniform_price", "--resample", "homes:10"]
    words += [word for text in QUICK for word in ("--set", text)]
    named = call(capsys, *words, "--out", tmp_path / "out")
    refused(named, 3, "battery: names single homes")
    text = file.read_text(encoding="utf-8")
    begin, end = text.index("[homes.battery.home-1]"), text.index("[tariff]")
    file.write_text(text[:begin] + text[end:], encoding="utf-8")

    outcome = call(capsys, *words, "--out", tmp_path / "out")
    assert (
        "6 runs: 2 points x 3 mechanisms, and 60 more for the intervals: 20 draws of homes x 3 mechanisms"
        in outcome.err
    )
    assert "homes like these, 10 draws of them" in outcome.out
    facts = one_object(call(capsys, *words, "--out", tmp_path / "out", "--json", "-q"))
    row = next(row for row in facts["rows"] if row["mechanism"] == "uniform_price")
    assert row["cost_with_market_low"] < row["cost_with_market"] < row["cost_with_market_high"]

    scenario = ws.load(street, overrides=QUICK)
    compared = ws.compare(scenario, "uniform_price", resample="homes:10", out=tmp_path / "out")
    rows = compared.differences("cost_with_market")
    assert rows["n"].tolist() == [10] * 3
    costs = compared.summary()["cost_with_market"]
    assert rows.loc["uniform_price", "mean"] == pytest.approx(costs["uniform_price"] - costs["retailer_only"])
    few = ws.load(street, overrides=[*QUICK, "homes.sample_homes=9"])
    with pytest.raises(UsageError, match="9 homes are too few to draw from"):
        ws.compare(few, "uniform_price", resample="homes", out=tmp_path / "out")
    with pytest.raises(UsageError, match=r"do not vary homes\.population_seed"):
        ws.sweep(scenario, {"homes.population_seed": [1, 2]}, resample="homes", out=tmp_path / "out")
