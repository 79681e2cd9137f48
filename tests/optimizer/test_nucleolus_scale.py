"""The nucleolus where what players are worth alone dwarfs what they gain together."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from market.cooperative.game import subset_sums
from optimizer.cooperative import nucleolus


def test_a_surplus_of_a_nano_over_two_thousand_units_is_shared() -> None:
    value = np.array([0, 2_000_000_000_003, 3, 2_000_000_000_000, 2, 2_000_000_000_001, 3, 2_000_000_000_009])
    assert nucleolus(value).tolist() == [2_000_000_000_004, 3, 2]


def test_gains_of_a_thousandth_over_hundreds_are_solved() -> None:
    thousandths = [0, 561480, 908830, 1470310, 936190, 1497671, 1845021, 2406502]
    thousandths += [341130, 902614, 1249960, 1811442, 1277323, 1838801, 2186151, 2747636]
    found = nucleolus(np.array(thousandths) * 1_000_000)
    assert found.tolist() == [561481375000, 908830750000, 936190750000, 341133125000]


@given(
    st.lists(st.integers(0, 10**6), min_size=4, max_size=4),
    st.lists(st.integers(0, 10**12), min_size=3, max_size=3),
)
def test_what_players_are_worth_alone_is_added_to_their_shares(gains: list[int], alone: list[int]) -> None:
    pairs, together = gains[:3], max(gains) + gains[3]
    game = np.array([0, 0, 0, pairs[0], 0, pairs[1], pairs[2], together])
    worth = np.array(alone)
    assert nucleolus(game + subset_sums(worth)).tolist() == (nucleolus(game) + worth).tolist()
