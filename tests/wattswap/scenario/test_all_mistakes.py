"""Mistakes of every kind at once: those that pydantic finds, those of tables together, and those that the data show."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.kits.run_kit import call, refused, write_street
from tests.kits.sample_kit import sample_of, some
from tests.wattswap.runs.test_membership import NOON, lose
from tests.wattswap.scenario.test_scenario_mistakes import cases
from wattswap.errors import InvalidScenario, Problem, is_expected, problems_of
from wattswap.runs.checked import checked, with_later_faults
from wattswap.scenario.load import demo, load
from wattswap.scenario.problems import key_paths

CAR = '{capacity_kwh=5, charge_kw=3, kwh_per_day=8, departure="07:30", arrival="17:30"}'
PUMP = "{power_kw=2, heat_loss_w_per_k=150, capacity_kwh_per_k=8, cop=3}"
MISTAKES = {
    "market.k=half": "market.k",
    "market.mechanism=mcaffee": "market.mechanism",
    "market.rounds=0": "market.rounds",
    "homes.forecast=rigde": "homes.forecast",
    "homes.strategies.zi_c=1.5": "homes.strategies.zi_c",
    'homes.controls.plan=["home-99"]': "homes.controls.plan",
    'homes.forecasters.persistence=["home-97"]': "homes.forecasters.persistence",
    "homes.battery.home-01.capacity_kwh=-1": "homes.battery.home-01.capacity_kwh",
    f"homes.ev.home-02={CAR}": "homes.ev.home-02.kwh_per_day",
    f"homes.heat_pump.home-03={PUMP}": "homes.heat_pump.home-03",
    "homes.members.home-98.to=2016-09-20T00:00:00Z": "homes.members.home-98",
    "homes.tariffs.night=0.5": "homes.tariffs.night",
    "homes.sample_homes=99": "homes.sample_homes",
    "homes.population.flexible_load.share=2": "homes.population.flexible_load.share",
    "data.weather=no-weather.csv": "data.weather",
    "tariff.feed_in_per_kwh=nothing": "tariff.feed_in_per_kwh",
    "tariff.zone=Europe/Berln": "tariff.zone",
    "time.days=0": "time.days",
    "chain.authorities=3": "chain.authorities",
}
"""Overrides of the demo, and the key of the one problem of each."""
HIDDEN = {
    # Whether a device has its weather is not known while the file is not, or the days are not.
    ("data.weather", "homes.heat_pump.home-03"),
    ("time.days", "homes.heat_pump.home-03"),
    # Devices are held against the weather once they are all possible.
    ("homes.ev.home-02.kwh_per_day", "homes.heat_pump.home-03"),
}
"""Pairs of which the second is found when the first is corrected."""


def found_in(*overrides: str) -> list[Problem]:
    """All that is wrong with the demo with some overrides."""
    try:
        checked(demo(overrides))
    except InvalidScenario as error:
        return with_later_faults(error).problems
    return []


def keys_of(*overrides: str) -> list[str]:
    """The keys of all problems."""
    return sorted(str(problem.key) for problem in found_in(*overrides))


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_alone_is_one_problem(mistake: str) -> None:
    assert keys_of(mistake) == [MISTAKES[mistake]]


def hides(first: str, second: str) -> bool:
    return (MISTAKES[first], MISTAKES[second]) in HIDDEN


@pytest.mark.parametrize("mistake", sample_of(MISTAKES, list(MISTAKES)[::4]))
def test_two_mistakes_are_two_problems_and_no_more(mistake: str) -> None:
    """Every pair once: each mistake comes before half of the others, in a circle, and behind the other half."""
    names = list(MISTAKES)
    place, half = names.index(mistake), len(names) // 2
    for other in (names * 2)[place + 1 : place + 1 + half]:
        expected = {
            MISTAKES[one] for one, hider in ((mistake, other), (other, mistake)) if not hides(hider, one)
        }
        assert keys_of(mistake, other) == sorted(expected), other


def test_all_mistakes_come_at_once() -> None:
    hidden = {second for _, second in HIDDEN}
    assert keys_of(*MISTAKES) == sorted(set(MISTAKES.values()) - hidden)


NIGHT = "tariff.other.night={import_per_kwh=0.2, feed_in_per_kwh=0.1}"
DAY = NIGHT.replace("night", "day")
RETAILER = "market.imbalance=retailer"
FOLLOWING = {
    "an impossible share of homes with another retailer": (
        ("homes.tariffs.night=1.5", NIGHT, RETAILER),
        {"homes.tariffs.night"},
    ),
    "impossible shares together": (
        ("homes.tariffs={night=0.7, day=0.7}", NIGHT, DAY, RETAILER),
        {"homes.tariffs"},
    ),
    "another retailer that is misspelt": (
        ("homes.tariffs.nihgt=0.5", NIGHT, RETAILER),
        {"homes.tariffs.nihgt"},
    ),
    "tariffs that are no table": (("homes.tariffs=3", NIGHT, RETAILER), {"homes.tariffs"}),
    "homes that are no table": (("homes=3", NIGHT, RETAILER), {"homes"}),
    "an impossible price of another retailer": (
        ("homes.tariffs.night=0.5", NIGHT.replace("0.2", "true"), RETAILER),
        {"tariff.other.night.import_per_kwh"},
    ),
    "retailers that are no table": (
        ("homes.tariffs.night=0.5", "tariff.other=3", RETAILER),
        {"tariff.other"},
    ),
    "a tariff that is no table": (("homes.tariffs.night=0.5", "tariff=3", RETAILER), {"tariff"}),
    "a rule of several retailers": (
        ("homes.tariffs.night=0.5", NIGHT, "market.imbalance=shared"),
        {"market.imbalance"},
    ),
    "no start, and a member of the run": (
        ("time.start='2016-09-19'", "homes.members.home-01.from=2016-09-20T00:00:00Z"),
        {"time.start"},
    ),
    "an unknown zone, and local times": (("time.zone=Europe/Berln",), {"time.zone"}),
    "a battery, and its power": (("homes.battery_kwh=-1", "homes.battery_kw=2"), {"homes.battery_kwh"}),
    "a sample, and how it is drawn": (
        ("homes.sample_homes=0", "homes.sample_with_replacement=true"),
        {"homes.sample_homes"},
    ),
    "a mechanism, and its parameter": (
        ("market.mechanism=mcaffee", "market.params.unit_kwh=0.5"),
        {"market.mechanism"},
    ),
    "no rounds, and a strategy that needs some": (
        ("market.rounds=0", "homes.strategy=linear_ramp"),
        {"market.rounds"},
    ),
    "an unknown strategy, and preferences": (
        ("homes.strategy=truthfull", "homes.preferences.green={homes=0.5, premium_per_kwh=0.01}"),
        {"homes.strategy"},
    ),
    "one end of a comfort band": (
        (f"homes.heat_pump.home-03={PUMP[:-1]}, outdoor_c=2, comfort_min_c=true, comfort_max_c=19}}",),
        {"homes.heat_pump.home-03.comfort_min_c"},
    ),
    "a window, and the week": (
        (
            "tariff.time_of_use=[{from=7, to='22:00', import_per_kwh=1}]",
            "tariff.zone=UTC",
        ),
        {"tariff.time_of_use[0].from"},
    ),
}
"""Mistakes from which other checks would find more, and the keys of the mistakes."""


@pytest.mark.parametrize("name", FOLLOWING)
def test_what_follows_from_a_mistake_is_no_second_problem(name: str) -> None:
    overrides, keys = FOLLOWING[name]
    assert keys_of(*overrides) == sorted(keys)
    if keys != {"homes"}:  # which replaces all that is in it
        more = keys_of('homes.controls.plan=["home-99"]', *overrides)
        assert more == sorted([*keys, "homes.controls.plan"])


def test_a_key_is_named_once_whatever_takes_its_place() -> None:
    """No number of rounds is right where the meters give the quantities."""
    assert keys_of("market.rounds=0", "market.quantities=metered") == ["market.rounds"]


@pytest.mark.parametrize(
    ("mistake", "key"),
    [
        ("homes.members.home-2.from=yesterday", "homes.members.home-2.from"),
        ("data.on_missing=drop", "data.on_missing"),
    ],
)
def test_readings_are_not_missing_where_a_term_or_what_to_do_about_them_is_a_mistake(
    mistake: str, key: str, tmp_path: Path
) -> None:
    street = write_street(tmp_path)
    lose(street, "home-2", since=NOON)
    with pytest.raises(InvalidScenario) as caught:
        load(street, overrides=[mistake])
    assert [problem.key for problem in with_later_faults(caught.value).problems] == [key]


@pytest.mark.parametrize("text", cases(), ids=lambda text: text.split("#! ")[1].split("\n")[0])
def test_no_check_of_the_data_finds_what_follows_from_a_mistake_in_the_file(
    text: str, tmp_path: Path
) -> None:
    (tmp_path / "street.toml").write_text(text, encoding="utf-8")
    with pytest.raises(InvalidScenario) as caught:
        load(tmp_path / "street.toml")
    assert with_later_faults(caught.value).problems == caught.value.problems


SIX = """\
schema = 1
name = "six"
currency = "EUR"
[time]
start = 2016-09-19T00:00:00Z
days = 1
[data]
sample = "street"
weather = "no-weather.csv"
[homes]
forecast = "rigde"
strategies = { zi_c = 1.5 }
controls = { plan = ["home-01", "home-99"] }
[homes.battery.home-02]
capacity_kwh = -5
[tariff]
import_per_kwh = 0.32
feed_in_per_kwh = 0.08
[market]
k = "half"
"""


@pytest.mark.parametrize("command", ["run", "validate", "compare"])
def test_a_command_prints_mistakes_of_all_stages_by_line(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "six.toml"
    file.write_text(SIX, encoding="utf-8")
    outcome = call(capsys, command, file)
    refused(outcome, 3, "6 problems")
    lines = [line.strip().removeprefix(f"{file}:") for line in outcome.err.splitlines()[1:]]
    assert [" ".join(line.split(" ")[:2]) for line in lines] == [
        "9: data.weather:",
        "11: homes.forecast:",
        "12: homes.strategies.zi_c:",
        "13: homes.controls.plan:",
        "15: homes.battery.home-02.capacity_kwh:",
        "20: market.k:",
    ]
    assert "the data have no home 'home-99'" in lines[3]


def test_where_an_override_cannot_be_read_nothing_is_said_of_the_rest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    outcome = call(
        capsys, "validate", "demo", "--set", "nonsense", "--set", 'homes.controls.plan=["home-99"]'
    )
    refused(outcome, 3, "--set nonsense: is not key.path=value")
    assert "home-99" not in outcome.err


def test_where_it_is_not_known_how_the_data_are_read_they_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = call(
        capsys, "validate", "demo", "--set", "data.kind=no", "--set", 'homes.controls.plan=["home-99"]'
    )
    refused(outcome, 3, "data.kind")
    assert "home-99" not in outcome.err


KEYS = sorted(key.replace("NAME", "home-01") for key in key_paths())
VALUES = ("3", "-1", "true", "'x'", "[]", "['x', 'x']", "[3]", "{}", "{x=3}", "{home-01={x=1}}", "2016-09-20")


@settings(max_examples=some(80, 26), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(VALUES)), min_size=1, max_size=4))
def test_whatever_is_written_the_answer_is_a_sentence(written: list[tuple[str, str]]) -> None:
    overrides = [f"{key}={value}" for key, value in written]
    try:
        problems = found_in(*overrides)
    except Exception as error:
        if not is_expected(error):
            raise
        problems = problems_of(error)
    assert all(problem.message for problem in problems)
    assert len(set(problems)) == len(problems)
