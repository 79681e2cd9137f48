"""Cases with players and a value per coalition: exact shares out, everything that is wrong in one go."""

from __future__ import annotations

from copy import deepcopy
from decimal import Decimal
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.errors import InvalidGame
from optimizer.errors import Infeasible
from wattswap.cases.cooperative import METHODS, clear_cooperative
from wattswap.errors import ExitCode, exit_code_of
from wattswap.inputs.collector import InvalidCase

every_method = pytest.mark.parametrize("method", METHODS)

GLOVES: dict[str, Any] = {
    "players": ["a", "b", "c"],
    "value": {"": 0, "a": 0, "b": 0, "c": 0, "a,b": 0, "a,c": 1, "b,c": 1, "a,b,c": 1},
}


def symmetric(players: int, worth: Any) -> dict[str, Any]:
    """A case in which a coalition is worth what its size is."""
    names = [f"p{i}" for i in range(players)]
    groups = [g for size in range(players + 1) for g in combinations(names, size)]
    return {"players": names, "value": {",".join(g): worth(len(g)) for g in groups}}


def problems(case: Any, method: str = "shapley") -> list[str]:
    with pytest.raises(InvalidCase) as caught:
        clear_cooperative(case, method)
    assert caught.value.code == 3
    return [str(problem) for problem in caught.value.problems]


def changed(**value: Any) -> dict[str, Any]:
    case = deepcopy(GLOVES)
    case["value"].update(value)
    return case


# ---- answers


def test_the_glove_game_by_shapley() -> None:
    """1/6 each and 4/6, in whole nano; all remainders are 2/3, so the two units left go to the earlier players."""
    assert clear_cooperative(GLOVES, "shapley") == {
        "mechanism": "shapley",
        "shares": {"a": 0.166666667, "b": 0.166666667, "c": 0.666666666},
        "core_nonempty": True,
        "in_core": False,
    }


def test_the_glove_game_by_nucleolus() -> None:
    assert clear_cooperative(GLOVES, "nucleolus") == {
        "mechanism": "nucleolus",
        "shares": {"a": 0.0, "b": 0.0, "c": 1.0},
        "core_nonempty": True,
        "in_core": True,
    }


def test_a_majority_has_no_core() -> None:
    found = clear_cooperative(symmetric(3, lambda n: int(n >= 2)), "nucleolus")
    assert found["shares"] == {"p0": 0.333333334, "p1": 0.333333333, "p2": 0.333333333}
    assert (found["core_nonempty"], found["in_core"]) == (False, False)


def test_rounding_does_not_put_shares_outside_a_core_without_width() -> None:
    """Pairs worth 1.000000001 of 2.000000002: only half a pair each is in the core, which is not a whole nano."""
    pair = Decimal("1.000000001")
    found = clear_cooperative(symmetric(4, lambda n: [0, 0, pair, pair, 2 * pair][n]), "shapley")
    assert list(found["shares"].values()) == [0.500000001, 0.500000001, 0.5, 0.5]
    assert (found["core_nonempty"], found["in_core"]) == (True, True)


def test_sampling_is_repeated_by_its_seed_and_takes_a_number_of_orders() -> None:
    def shares(**params: Any) -> dict[str, float]:
        found: dict[str, float] = clear_cooperative({**GLOVES, "params": params}, "shapley_sampled")["shares"]
        return found

    assert shares() == shares(samples=1_000, seed=0)
    assert shares(samples=50, seed=1) != shares(samples=50, seed=2)
    assert set(shares(samples=1, seed=0).values()) == {0.0, 1.0}
    assert shares(samples=20_000)["c"] == pytest.approx(2 / 3, abs=0.02)


@every_method
@given(data=st.data())
def test_the_order_of_names_in_a_coalition_does_not_matter(method: str, data: st.DataObject) -> None:
    turned = {
        ",".join(data.draw(st.permutations(key.split(",")))): amount
        for key, amount in GLOVES["value"].items()
    }
    assert clear_cooperative({**GLOVES, "value": turned}, method) == clear_cooperative(GLOVES, method)


@every_method
def test_shares_sum_to_the_value_of_all_for_any_kind_of_number(method: str) -> None:
    case = changed(**{"a,b,c": Decimal("1.000000001"), "a": 0.25, "b": -1})
    found = clear_cooperative(case, method)["shares"]
    assert round(sum(found.values()), 12) == 1.000000001


def test_the_empty_coalition_may_be_left_out() -> None:
    case = deepcopy(GLOVES)
    del case["value"][""]
    assert clear_cooperative(case, "shapley") == clear_cooperative(GLOVES, "shapley")


@every_method
def test_one_player_takes_all(method: str) -> None:
    found = clear_cooperative({"players": ["a"], "value": {"": 0, "a": -2.5}}, method)
    assert found == {"mechanism": method, "shares": {"a": -2.5}, "core_nonempty": True, "in_core": True}


@every_method
def test_a_case_is_not_changed(method: str) -> None:
    case = deepcopy(GLOVES)
    clear_cooperative(case, method)
    assert case == GLOVES


def test_as_many_players_as_are_supported() -> None:
    assert clear_cooperative(symmetric(16, lambda n: n * n), "shapley")["shares"]["p7"] == 16.0
    assert clear_cooperative(symmetric(13, lambda n: n * n), "nucleolus")["shares"]["p7"] == 13.0


# ---- what is refused


def test_everything_wrong_is_said_at_once() -> None:
    found = problems(
        {
            "players": ["a", "b", "b", "x,y"],
            "value": {"": 1, "a": float("nan"), "a,z": 1, "a,a": 2, "b": "much"},
            "params": {"samples": 5},
            "colour": "red",
        }
    )
    said = "\n".join(found)
    for part in (
        "unknown key 'colour'",
        "players[2]: 'b' is given twice",
        "players[3]: 'x,y' holds a comma",
        'value[""]: must be 0',
        "value['a']: is nan",
        "value['a,z']: no player 'z'",
        "value['a,a']: names a player twice",
        "value['b']: must be a number",
        "unknown key 'samples'",
    ):
        assert part in said, part


def test_missing_coalitions_are_named() -> None:
    case = deepcopy(GLOVES)
    del case["value"]["a,c"]
    assert problems(case) == ["value: no value for 'a,c'; give an amount for every coalition"]
    few = problems({"players": ["a", "b", "c", "d"], "value": {}})
    assert few == [
        "value: no value for 'a', 'b', 'a,b', 'c', 'a,c' and 10 more; give an amount for every coalition"
    ]


def test_a_coalition_in_two_orders_is_given_twice() -> None:
    assert problems(changed(**{"b,a": 0})) == [
        "value['b,a']: this coalition is given twice; the order of its players does not matter; keep one"
    ]


def test_an_unknown_player_is_met_with_the_nearest() -> None:
    case = {"players": ["anna", "ben"], "value": {"anna": 1, "ben": 1, "anna,ben": 3, "ana": 1}}
    assert problems(case) == ["value['ana']: no player 'ana'; did you mean 'anna'? Known: anna, ben"]


@pytest.mark.parametrize(
    ("method", "most"), [("shapley", 16), ("shapley_sampled", 16), ("nucleolus", 13), ("prenucleolus", 13)]
)
def test_too_many_players_are_refused_before_anything_is_counted(method: str, most: int) -> None:
    found = problems({"players": [f"p{i}" for i in range(most + 1)], "value": {}}, method)
    assert (
        found[0] == f"players: are {most + 1}; {method} takes at most {most}; share among fewer, or by groups"
    )


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf"), Decimal("NaN"), 1e16, 7.3e7])
def test_a_value_that_cannot_be_shared_is_refused(number: Any) -> None:
    assert len(problems(changed(a=number))) == 1


@pytest.mark.parametrize("value", [None, True, "1", [], {}])
def test_a_value_that_is_no_number_is_refused(value: Any) -> None:
    assert "must be a number" in problems(changed(a=value))[0]


@pytest.mark.parametrize(
    "case",
    [
        None,
        [],
        {},
        {"players": "abc", "value": {}},
        {"players": [], "value": {}},
        {"players": ["a"]},
        {"players": [None], "value": {}},
        {"players": ["a"], "value": []},
    ],
)
def test_a_case_of_another_shape_is_refused(case: Any) -> None:
    assert problems(case)


@pytest.mark.parametrize(
    "params",
    [{"samples": 0}, {"samples": 1.5}, {"samples": 10**9}, {"seed": -1}, {"seed": 2**63}, {"speed": 1}, 3],
)
def test_params_outside_their_range_are_refused(params: Any) -> None:
    assert len(problems({**GLOVES, "params": params}, "shapley_sampled")) == 1


def test_the_exact_methods_take_no_params() -> None:
    assert clear_cooperative({**GLOVES, "params": {}}, "shapley")
    assert "unknown key 'seed'" in problems({**GLOVES, "params": {"seed": 1}}, "nucleolus")[0]


def test_an_unknown_method_is_met_with_the_nearest() -> None:
    assert problems(GLOVES, "shaply") == [
        "mechanism: no way to share 'shaply'; did you mean 'shapley'?"
        " Known: nucleolus, prenucleolus, shapley, shapley_sampled"
    ]


def test_players_who_are_worth_more_alone_are_infeasible_for_the_nucleolus_only() -> None:
    case = symmetric(2, lambda n: [0, 3, 5][n])
    with pytest.raises(Infeasible) as caught:
        clear_cooperative(case, "nucleolus")
    assert exit_code_of(caught.value) == ExitCode.INFEASIBLE
    assert "prenucleolus" in str(caught.value)
    assert clear_cooperative(case, "prenucleolus")["shares"] == {"p0": 2.5, "p1": 2.5}
    assert clear_cooperative(case, "shapley")["core_nonempty"] is False


def test_a_game_of_another_package_that_is_none_is_invalid_data() -> None:
    assert exit_code_of(InvalidGame("no")) == ExitCode.INVALID
