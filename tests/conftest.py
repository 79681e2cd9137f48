"""Options of the whole test suite."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that writes golden files anew."""
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write tests/golden/*/expected.json from what comes out now; read the difference before you keep it",
    )
