"""The second half of the sample of honest seeds, beside which the first runs on another worker."""

from __future__ import annotations

from tests.wattswap.simulation.test_honest_seeds import FIRST, assert_nothing_is_violated
from wattswap.simulation.plan import Shape


def test_twenty_seeds_of_four_validators() -> None:
    assert_nothing_is_violated(range(FIRST + 40, FIRST + 60), Shape())


def test_five_seeds_of_seven_validators() -> None:
    assert_nothing_is_violated(range(FIRST, FIRST + 5), Shape(validators=7))
