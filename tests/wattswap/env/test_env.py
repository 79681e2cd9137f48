"""The learning environment: its suites, its money to the nano, and that it plays what a run plays."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wattswap as ws
from agents.bidding import STRATEGIES
from agents.observation import OBSERVED
from agents.policy import Policy, strategy_of
from market.settlement.accounts import MONEY_COLUMNS
from market.settlement.charges import FIXED_COLUMNS
from market.units import MICRO_PER_UNIT, NANO_PER_UNIT
from tests.kits.plugin_kit import clean_registries
from tests.kits.run_kit import write_street
from wattswap import env as environments
from wattswap.env import home_env, neighbourhood_env
from wattswap.env.episode import Episode
from wattswap.errors import UsageError
from wattswap.runs.interval import step
from wattswap.runs.prepare import prepare
from wattswap.runs.totals import Totals
from wattswap.scenario.load import Scenario, changed

__all__ = ["clean_registries"]
pytest.importorskip("pettingzoo", reason="the extra `learn` is not installed")
CHARGES = ("tariff.standing_per_day=0.35", "tariff.peak_per_kw_month=3.2", "tariff.vat_percent=19")
NET, STORED = list(OBSERVED).index("forecast_net_kw"), list(OBSERVED).index("stored_share")


def scenario_of(folder: Path, *overrides: str) -> Scenario:
    """The small street, where home-1 has a battery; every home bids truthfully."""
    return ws.load(folder, overrides=["homes.strategy=truthful", *overrides])


def credited_nano(scenario: Scenario) -> list[int]:
    """What a run credits each home, minus its bill. [nano-currency]"""
    setup = prepare(scenario)
    community, totals = setup.community(), Totals(setup, "run")
    for i in range(setup.intervals):
        totals.add(step(setup, community, i))
    bills = totals.bills
    nano = sum(bills[name] for name in (*MONEY_COLUMNS, *FIXED_COLUMNS) if name in bills)
    assert not isinstance(nano, int)
    return list(map(int, nano))


def without_market_nano(scenario: Scenario) -> list[int]:
    """What the homes would be credited without a market, by a run of it. [nano-currency]"""
    return credited_nano(changed(scenario, ["market.mechanism=retailer_only"]))


def action(size: int, limit: float = 1.0, power: float = 0.0) -> Any:
    """One limit and, where there is room, the power of a battery; the truthful strategy's when left out."""
    return np.array([limit, power][:size], dtype=np.float32)


def played(env: Any, limit: float = 1.0, power: float = 0.0) -> tuple[list[int], list[float]]:
    """All homes play the same: what each was credited, as an integer and as the sum of its rewards."""
    env.reset()
    nano, reward = dict.fromkeys(env.possible_agents, 0), dict.fromkeys(env.possible_agents, 0.0)
    while env.agents:
        actions = {name: action(env.action_space(name).shape[0], limit, power) for name in env.agents}
        _, rewards, _, _, infos = env.step(actions)
        for name in rewards:
            nano[name] += infos[name]["amount_nano"]
            reward[name] += rewards[name]
    return list(nano.values()), list(reward.values())


@pytest.mark.parametrize(
    "overrides",
    [(), CHARGES, ("market.rounds=3", "market.mechanism=continuous"), ("market.mechanism=mcafee",)],
)
def test_truthful_actions_of_all_homes_give_the_bills_of_a_run(
    street: Path, overrides: tuple[str, ...]
) -> None:
    scenario = scenario_of(street, *overrides)
    nano, reward = played(neighbourhood_env(scenario))
    assert nano == credited_nano(scenario)
    assert reward == pytest.approx([one / NANO_PER_UNIT for one in nano], abs=1e-9)
    assert len(set(nano)) > 1


@pytest.mark.slow
def test_the_rewards_of_a_year_are_minus_its_bill(tmp_path: Path) -> None:
    scenario = scenario_of(write_street(tmp_path, days=366), "time.days=365", *CHARGES)
    nano, reward = played(neighbourhood_env(scenario))
    assert nano == credited_nano(scenario)
    assert reward == pytest.approx([one / NANO_PER_UNIT for one in nano], rel=1e-12)


def test_one_home_plays_among_others_that_do_as_their_scenario_says(street: Path) -> None:
    scenario = ws.load(street, overrides=['homes.strategies={zip=["home-2", "home-3"], truthful=["home-1"]}'])
    env = home_env(scenario, "home-1")
    env.reset()
    total, over = 0, False
    while not over:
        _, _, terminated, over, info = env.step(action(2))
        total += info["amount_nano"]
        assert not terminated
    assert total == credited_nano(scenario)[0]


def test_the_baseline_is_what_a_home_has_without_a_market(street: Path) -> None:
    scenario = scenario_of(street, *CHARGES)
    env = neighbourhood_env(scenario)
    env.reset()
    total = [0, 0, 0]
    while env.agents:
        infos = env.step({name: action(env.action_space(name).shape[0]) for name in env.agents})[-1]
        total = [a + info["baseline_nano"] for a, info in zip(total, infos.values(), strict=True)]
    assert total == without_market_nano(scenario)


def test_other_actions_give_other_bills(street: Path) -> None:
    env = neighbourhood_env(scenario_of(street))
    truthful, _ = played(env)
    shaded, _ = played(env, limit=-0.5)
    assert truthful != shaded
    assert played(env, power=1.0)[0][0] != truthful[0]
    assert played(env)[0] == truthful


def test_a_battery_goes_from_empty_to_full_by_its_action(street: Path) -> None:
    env = home_env(scenario_of(street), "home-1")
    env.reset()
    stored = []
    for power in (*[1.0] * 6, *[-1.0] * 6):
        seen, *_ = env.step(action(2, power=power))
        stored.append(seen[STORED])
    assert stored[0] == pytest.approx(0.475, abs=1e-3)  # expected when the next begins, before it is read
    assert stored[4] == pytest.approx(1, abs=1e-3)
    assert stored[-1] == pytest.approx(0, abs=1e-3)


def test_a_plan_that_is_seen_has_the_battery_by_its_rule(street: Path) -> None:
    env = home_env(scenario_of(street), "home-1")
    env.reset()
    nets = [env.step(action(2, power=power))[0][NET] for power in (1.0, -1.0, -1.0)]
    assert max(nets) < 0.5  # the load of a night, and no charging at 1 kW as before


def test_a_home_sees_its_own_battery_alone(street: Path) -> None:
    most = {}
    for name, size in (("home-1", 2), ("home-2", 1)):
        env = home_env(scenario_of(street), name)
        env.reset()
        most[name] = max(env.step(action(size))[0][STORED] for _ in range(15))
    assert most["home-1"] > 0.1
    assert most["home-2"] == 0


def seen_after(street: Path, tmp_path: Path, changed: Callable[[str, str], bool]) -> list[float]:
    """What home-1 sees of itself after four intervals, where readings of some times and homes are 0.7 kWh higher."""
    lines = (street / "meter.csv").read_text(encoding="utf-8").splitlines()
    rows = [line.split(",") for line in lines[1:]]
    for row in rows:
        row[2] = f"{float(row[2]) + 0.7 * changed(row[0], row[1]):.3f}"
    folder = tmp_path / str(len(list(tmp_path.iterdir())))
    folder.mkdir()
    (folder / "meter.csv").write_text("\n".join([lines[0], *map(",".join, rows)]) + "\n", encoding="utf-8")
    shutil.copy(street / "scenario.toml", folder)
    env = home_env(scenario_of(folder), "home-1")
    env.reset()
    for _ in range(4):
        seen, *_ = env.step(action(2))
    return [float(one) for one, name in zip(seen, OBSERVED, strict=True) if "price" not in name]


def test_what_is_seen_is_what_the_home_can_know(street: Path, tmp_path: Path) -> None:
    """Four hours after midnight it knows its own readings of three, and those of the day before; no other home's."""
    as_it_is = seen_after(street, tmp_path, lambda time, home: False)
    assert len(as_it_is) == len(OBSERVED) - 2
    assert (
        seen_after(street, tmp_path, lambda time, home: time >= "2026-06-02T03" or home != "home-1")
        == as_it_is
    )
    assert seen_after(street, tmp_path, lambda time, home: time[:13] == "2026-06-01T04") != as_it_is


def test_the_time_that_is_seen_is_local(street: Path) -> None:
    hours = {}
    for zone in ("UTC", "Asia/Tokyo"):
        env = home_env(scenario_of(street, f"time.zone={zone}"), "home-2")
        seen, _ = env.reset()
        hours[zone] = np.arctan2(seen[1], seen[2]) * 12 / np.pi % 24
    assert hours["Asia/Tokyo"] - hours["UTC"] == pytest.approx(9, abs=1e-4)


def test_prices_that_are_seen_are_those_of_the_market(street_by_lot: Path) -> None:
    setup = prepare(ws.load(street_by_lot, overrides=['homes.strategies={truthful=["home-1"]}']))
    community, prices = setup.community(), []
    for i in range(40):
        price = step(setup, community, i).price
        prices.append(None if price is None else price.price / MICRO_PER_UNIT)
    env = home_env(ws.load(street_by_lot), "home-1")
    env.reset()
    last, days = None, 0
    for i, price in enumerate(prices):
        seen = dict(zip(OBSERVED, env.step(action(2))[0], strict=True))
        last = last if price is None else price
        if last is not None:
            assert seen["last_price_per_kwh"] == last
        day_ago = prices[i + 1 - 24] if i >= 23 else None
        if last is not None:
            assert seen["price_a_day_ago_per_kwh"] == (last if day_ago is None else day_ago)
        days += day_ago is not None and day_ago != last
    assert days > 3


def test_a_policy_plays_in_an_environment_what_its_strategy_plays_in_a_run(
    street_by_lot: Path, clean_registries: None
) -> None:
    draw = np.random.default_rng(4)
    policy = Policy.of(
        [(draw.normal(size=(3, len(OBSERVED))), draw.normal(size=3)), (np.eye(3)[:2] * 2, [0.2, -0.1])]
    )
    STRATEGIES.register(strategy_of("drawn", policy), contract=2)
    env, total = neighbourhood_env(ws.load(street_by_lot), limits=2), [0] * 6
    seen, _ = env.reset()
    while env.agents:
        actions = {
            name: np.append(policy.act(seen[name]), [0.0] * (env.action_space(name).shape[0] - 2)).astype(
                np.float32
            )
            for name in env.agents
        }
        seen, _, _, _, infos = env.step(actions)
        total = [a + info["amount_nano"] for a, info in zip(total, infos.values(), strict=True)]
    assert total == credited_nano(ws.load(street_by_lot, overrides=["homes.strategy=drawn"]))
    assert total != credited_nano(ws.load(street_by_lot, overrides=["homes.strategy=truthful"]))


def test_the_suite_of_gymnasium_passes(street: Path) -> None:
    from gymnasium.utils.env_checker import check_env

    check_env(home_env(scenario_of(street, "time.intervals=30"), "home-1", limits=3), skip_render_check=True)


def test_the_suites_of_pettingzoo_pass(street: Path) -> None:
    from pettingzoo.test import parallel_api_test, parallel_seed_test

    scenario = scenario_of(street, "time.intervals=6", "market.rationing=random")
    parallel_api_test(neighbourhood_env(scenario, limits=2), num_cycles=20)
    parallel_seed_test(lambda: neighbourhood_env(scenario), num_cycles=3)


def test_a_seed_decides_all_draws(street_by_lot: Path) -> None:
    env = home_env(ws.load(street_by_lot), "home-2")

    def credited(seed: int | None) -> float:
        env.reset(seed=seed)
        return sum(env.step(action(1))[1] for _ in range(30))

    as_it_is = credited(None)
    assert credited(7) == as_it_is  # the scenario's own seed
    assert credited(8) != as_it_is
    assert credited(None) == credited(8)  # goes on with the last


def test_what_nobody_can_decide_in_is_refused_at_once(street: Path) -> None:
    metered = scenario_of(street, "market.quantities=metered")
    with pytest.raises(UsageError) as caught:
        home_env(metered, "home-11", limits=65)
    first, second, third = map(str, caught.value.problems)
    assert first.startswith("home 'home-11': is none of the 3 homes; did you mean 'home-1'?")
    assert second == "limits: is 65; give 1 to 64"
    assert third == 'market.quantities: leaves homes no order to decide on; set market.quantities = "ordered"'


def test_homes_of_several_retailers_are_refused(street: Path) -> None:
    night = "tariff.other.night={import_per_kwh=0.2,feed_in_per_kwh=0.1}"
    rule = 'market.imbalance="retailer"'
    one = scenario_of(street, night, rule, 'homes.tariffs={night=["home-2"]}')
    with pytest.raises(UsageError, match=r"homes\.tariffs: gives homes several retailers"):
        home_env(one, "home-1")
    home_env(scenario_of(street, night, rule, "homes.tariffs={night=1}"), "home-1").reset(
        seed=1
    )  # one for all


NO_ACTIONS: dict[str, tuple[Any, str]] = {
    "of another shape": (action(1), "must have the shape (2,), not (1,)"),
    "one number": (0.5, "must have the shape (2,), not ()"),
    "not a number": (action(2, limit=float("nan")), "must be finite numbers, not [nan, 0.0]"),
    "without an end": ([0.0, float("inf")], "must be finite numbers, not [0.0, inf]"),
    "complex": ([1j, 0.0], "must be real numbers, not [1j, 0.0]"),
    "text": (["1", "0"], "must be real numbers, not ['1', '0']"),
    "truths": ([True, False], "must be real numbers, not [True, False]"),
    "nothing": (None, "must be real numbers, not None"),
    "an object": (object(), "must be real numbers, not <object object at "),
    "a table": ({"limit": 1.0}, "must be real numbers, not {'limit': 1.0}"),
    "lists of several lengths": ([[0.0], [0.0, 1.0]], "must be real numbers, not [[0.0], [0.0, 1.0]]"),
}


@pytest.mark.parametrize("name", NO_ACTIONS)
def test_what_is_no_action_is_refused_and_changes_nothing(name: str, street: Path) -> None:
    given, phrase = NO_ACTIONS[name]
    scenario = scenario_of(street, "time.intervals=1")
    others = {"home-2": action(1), "home-3": action(1)}
    one, every = home_env(scenario, "home-1"), neighbourhood_env(scenario)
    for env, actions in ((one, given), (every, {"home-1": given, **others})):
        env.reset()
        with pytest.raises(ValueError, match=re.escape(f"the action of home-1 {phrase}")):
            env.step(actions)
    fresh = home_env(scenario, "home-1")
    fresh.reset()
    assert one.step(action(2, power=0.5))[-1] == fresh.step([1, 0.5])[-1]


def test_an_action_beyond_the_range_is_cut_and_none_follows_the_last(street: Path) -> None:
    scenario, amounts = scenario_of(street, "time.intervals=1"), []
    for limit in (1.0, 9.0):
        env = home_env(scenario, "home-1")
        env.reset()
        amounts.append(env.step(action(2, limit=limit))[-1]["amount_nano"])
        with pytest.raises(UsageError, match="comes after the last interval; call reset first"):
            env.step(action(2))
    assert amounts[0] == amounts[1]
    every = neighbourhood_env(scenario)
    every.reset()
    actions = {"home-1": action(2), "home-2": action(1), "home-3": action(1)}
    every.step(actions)
    for more in (actions, {}):
        with pytest.raises(UsageError, match="comes after the last interval; call reset first"):
            every.step(more)


@pytest.mark.parametrize(
    ("changed", "phrase"),
    [
        ({"home-2": None}, "one for each home, and home-2 has none"),
        ({"home-4": action(1)}, "one for each home, and 'home-4' is no home"),
    ],
)
def test_there_is_one_action_for_each_home(changed: dict[str, Any], phrase: str, street: Path) -> None:
    env = neighbourhood_env(scenario_of(street, "time.intervals=1"))
    env.reset()
    actions = {"home-1": action(2), "home-2": action(1), "home-3": action(1), **changed}
    with pytest.raises(ValueError, match=phrase):
        env.step({name: one for name, one in actions.items() if one is not None})
    with pytest.raises(ValueError, match="must be a mapping of homes to actions, not list"):
        env.step([action(2), action(1), action(1)])


def test_an_episode_takes_decisions_of_its_homes_alone(street: Path) -> None:
    episode = Episode(scenario_of(street, "time.intervals=1"), None, 2)
    for limits, power, phrase in (
        (np.zeros((2, 2)), np.zeros(3), "limits must have the shape (3, 2), not (2, 2)"),
        (np.zeros((3, 2)), np.zeros(1), "power must have the shape (3,), not (1,)"),
        (np.full((3, 2), None), np.zeros(3), "limits must be real numbers"),
    ):
        with pytest.raises(ValueError, match=re.escape(phrase)):
            episode.live(limits, power)
    assert episode.done == 0


def test_what_is_seen_may_be_changed_and_changes_nothing(street: Path) -> None:
    scenario = scenario_of(street, "time.intervals=2")
    one, every = home_env(scenario, "home-1"), neighbourhood_env(scenario)
    actions = {"home-1": action(2), "home-2": action(1), "home-3": action(1)}
    for env, given in ((one, action(2)), (every, actions)):
        env.reset()
        env.step(given)
        last = env.step(given)[0]
        seen = last["home-1"] if isinstance(last, dict) else last
        before = seen.copy()
        seen[:] = 7
        assert (env._episode.observation[0] == before).all()


def test_without_the_extra_a_sentence_says_what_to_install(
    street: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "find_spec", lambda name: None)
    for make in (lambda: home_env(street, "home-1"), lambda: neighbourhood_env(street)):
        with pytest.raises(
            UsageError, match=r"is not installed; install it with: pip install 'wattswap\[learn\]'"
        ):
            make()


def test_wattswap_is_imported_without_the_frameworks() -> None:
    names = "{'gymnasium', 'pettingzoo'} & set(sys.modules)"
    source = f"import sys, wattswap, wattswap.env, wattswap.env.episode; print(*{names})"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert not done.stdout.strip()
