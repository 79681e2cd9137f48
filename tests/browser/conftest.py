"""One browser for the tests of this folder, and pages to open."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import chromium


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Chromium]:
    """A headless Chromium."""
    if chromium.path() is None:
        pytest.skip("no Chromium is on the PATH (Debian: apt-get install chromium)")
    with chromium.Chromium(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The report of a run, a comparison with names that try to break out, a sweep of two keys, and a home alone."""
    import wattswap as ws
    from tests.kits.report_kit import story, sweep_in
    from tests.kits.run_kit import write_street
    from wattswap.report.write import write_report

    folder = tmp_path_factory.mktemp("reports")
    run = ws.run(write_street(folder / "street"), out=folder)
    alone = ws.run(write_street(folder / "alone", homes=1), out=folder)
    return {
        "idle": alone.report(folder / "idle.html"),
        "run": run.report(folder / "run.html"),
        "comparison": write_report(story(), folder / "comparison.html"),
        "sweep": sweep_in(folder).report(folder / "sweep.html"),
    }
