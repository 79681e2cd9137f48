"""The core under test. The mutants call the same tests with themselves instead."""

from __future__ import annotations

import pytest

from p2p.consensus.core import Core


@pytest.fixture
def core() -> type[Core]:
    return Core
