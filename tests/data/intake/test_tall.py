"""Folded sums, counts and largest values are those of the plain reductions, whatever the number of rows."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from data.intake import tall
from data.readings import carry_round


@pytest.mark.parametrize("rows", [0, 1, 63, 64, 65, 254, 255, 256, 511, 3_000])
@pytest.mark.parametrize("homes", [1, 3])
@pytest.mark.parametrize("layout", ["C", "F"])
def test_as_plain_reductions(rows: int, homes: int, layout: Literal["C", "F"]) -> None:
    values = np.random.default_rng(rows).integers(-(2**40), 2**40, (rows, homes))
    values = np.asarray(values, order=layout)
    assert tall.largest(values).tolist() == values.max(axis=0, initial=0).tolist()
    assert tall.largest(-np.abs(values)).tolist() == [0] * homes
    assert tall.total(values).tolist() == values.sum(axis=0).tolist()
    assert tall.count(values > 0).tolist() == (values > 0).sum(axis=0).tolist()
    assert tall.count(values < 2**41).tolist() == [rows] * homes


def test_largest_keeps_what_is_no_number() -> None:
    values = np.ones((130, 2))
    values[70, 1] = np.nan
    assert tall.largest(values)[0] == 1
    assert np.isnan(tall.largest(values)[1])


def test_whole_units_beside_remainders() -> None:
    """The way for whole units gives what carrying gives, as one column with remainders makes all go."""
    whole = np.array([[3_000], [0], [7_000], [-2_000]])
    mixed = np.hstack([whole, whole + 400])
    assert carry_round(whole.copy(), 1_000).ravel().tolist() == [3, 0, 7, -2]
    assert carry_round(mixed, 1_000)[:, 0].tolist() == [3, 0, 7, -2]
