"""Options of the whole test suite."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import settings

from tests.kits.sample_kit import WHOLE, some

# A deadline would time the machine, not the code. CI draws the same examples each time, so that a submission is judged
# by its change; at a desk they are drawn anew, and a failure prints how to repeat it.
# `make slow` tries every property again with three times as many.
TRIED = some(100, 33)
settings.register_profile("desk", deadline=None, print_blob=True, max_examples=TRIED)
settings.register_profile("ci", deadline=None, derandomize=True, max_examples=TRIED)
settings.load_profile("ci" if os.environ.get("CI") else "desk")

# A shell that starts the tests in the background has them ignore SIGINT, and so would the commands that they interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that writes golden files anew."""
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write tests/golden/*/expected.json from what comes out now; read the difference before you keep it",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where every example is tried, each property is slow."""
    for item in items:
        if WHOLE and getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            item.add_marker(pytest.mark.slow)
