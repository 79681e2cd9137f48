"""Each file of tests/data/meters/, changed in one way: read right, asked about or refused, never wrong in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kits.fixture_kit import Fixture
from tests.kits.mutation_structured_kit import LAYOUTS
from tests.kits.never_misread import changeable, outcome_of

EVERY = 8
"""Of so many files `make test` changes one; `make slow` changes all."""

READ = [
    pytest.param(
        fixture, id=fixture.folder.name, marks=[pytest.mark.slow] if number % EVERY != EVERY // 2 else []
    )
    for number, fixture in enumerate(changeable())
]


@pytest.mark.parametrize("fixture", READ)
def test_no_change_of_a_file_is_read_wrong_in_silence(fixture: Fixture, tmp_path: Path) -> None:
    found = outcome_of(fixture, tmp_path)
    assert not found.wrong, f"{len(found.wrong)} wrong beside {found.counts}"
    structured = fixture.said.get("format") in LAYOUTS or fixture.path.suffix == ".xlsx"
    assert found.counts.total() >= 10 or not structured, "the patterns find nothing to change"
