"""The page of devices is what the registry says, and its examples are devices."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import device_page
from tests.kits.scenario_kit import MINIMAL, read
from wattswap.errors import InvalidScenario
from wattswap.runs.prepare import prepare

WITH_WEATHER = ("heat_pump", "pv")
ONE_DAY = "[time]\ndays = 1\n"


def test_the_page_is_what_the_registry_says() -> None:
    assert device_page.PAGE.read_text(encoding="utf-8") == device_page.page(), (
        "`python -m tests.device_page` writes the page again"
    )


@pytest.mark.parametrize("name", sorted(device_page.ABOUT))
def test_the_example_of_a_device_is_one(name: str, tmp_path: Path) -> None:
    """It is refused for nothing but weather or an optional package that is missing."""
    example = device_page.ABOUT[name].example.replace("h1]", "home-02]")
    scenario = read(tmp_path, MINIMAL + ONE_DAY + example)
    if name in WITH_WEATHER:
        with pytest.raises(InvalidScenario) as caught:
            prepare(scenario)
        assert all("weather" in one.message or "pvlib" in one.message for one in caught.value.problems)
    else:
        assert prepare(scenario).devices[name][1] is not None
