"""Forecasters: shapes, means by hand, and models that are fitted now and then."""

from __future__ import annotations

import numpy as np
import pytest

from agents.forecast import FORECASTERS, PERFECT_FORESIGHT
from market.errors import DuplicateName, UnknownName
from tests.kits.community_kit import DAY, horizon, known_of, registers

FORECASTS = sorted(set(FORECASTERS.all()) - {PERFECT_FORESIGHT.name})


@pytest.mark.parametrize("name", FORECASTS)
def test_a_forecast_has_the_asked_shape_and_knows_when_it_knows_nothing(name: str) -> None:
    forecaster = FORECASTERS.get(name)
    history = registers(1, 3, 4)[0]
    result = forecaster.predict(forecaster.fit(known_of(history)), horizon(history, 3))
    assert result.net_wh.shape == (len(result.levels_ppm), 3, 4)
    assert result.median_wh.shape == (3, 4)
    assert list(result.levels_ppm) == sorted(result.levels_ppm)
    assert forecaster.fit(known_of(history[:0])) is None


def test_the_same_hour_mean_is_the_mean_by_hand() -> None:
    history = np.arange(3 * DAY, dtype=np.int64)[:, None]
    forecaster = FORECASTERS.get("same_hour_mean")
    result = forecaster.predict(forecaster.fit(known_of(history, days=2)), horizon(history, 2, days=2))
    assert result.median_wh[:, 0].tolist() == [DAY + DAY // 2, DAY + DAY // 2 + 1]


@pytest.mark.parametrize("typo", ["same_hour_men", "perfect_forsight"])
def test_a_misspelt_forecaster_names_the_nearest(typo: str) -> None:
    right = {"same_hour_men": "same_hour_mean", "perfect_forsight": "perfect_foresight"}[typo]
    with pytest.raises(UnknownName, match=f"Did you mean '{right}'"):
        FORECASTERS.get(typo)


def test_no_forecaster_takes_the_name_of_the_true_future() -> None:
    with pytest.raises(DuplicateName, match="perfect_foresight"):
        FORECASTERS.register(PERFECT_FORESIGHT)
