"""Every file in tests/data/meters/ is recognised and read right, or asked about or refused for its stated reason."""

from __future__ import annotations

import pytest

from data.errors import UnrecognisedFile
from data.formats import claims_on, read, recognise
from data.intake.claims import RECOGNISED
from data.intake.file import MeterFile
from tests.kits.first_try import OUTCOMES, ROUNDS, counted, counts, tried
from tests.kits.fixture_kit import Fixture, fixtures

ALL = [pytest.param(fixture, id=fixture.folder.name) for fixture in fixtures()]


@pytest.mark.parametrize("fixture", ALL)
def test_a_file_is_claimed_by_its_own_format_alone(fixture: Fixture) -> None:
    claims = claims_on(MeterFile(fixture.path))
    sure = [name for name, claim in claims.items() if claim.confidence >= RECOGNISED]
    assert sure in ([], [fixture.said.get("format")])
    assert all(claim.why for name, claim in claims.items() if name in sure)


@pytest.mark.parametrize("fixture", ALL)
def test_a_file_gives_what_it_holds(fixture: Fixture) -> None:
    said = fixture.said
    assert said["source"]
    if "unrecognised" in said:
        with pytest.raises(UnrecognisedFile, match=said["unrecognised"]["says"]):
            recognise(fixture.path)
        return
    reading = read(fixture.path, recognise(fixture.path), fixture.hints)
    errors = [finding for finding in reading.findings if finding.severity == "error"]
    if "expected" in said:
        assert reading.data is not None, [str(error) for error in errors]
        fixture.assert_holds(reading.data)
        assert set(said.get("warns", ())) <= {finding.code for finding in reading.findings}
        return
    assert reading.data is None
    if "refused" in said:
        assert {error.code for error in errors} == set(said["refused"]["codes"])
    else:
        asked = {question.option.split()[0] for question in reading.questions}
        assert asked == set(said["asked"]["options"])


def test_layouts_found_by_search_name_their_source_and_first_try() -> None:
    """Ten or more of them; one that was read wrong at first is read right, or refused, since it was mended."""
    assert sum(counts(of_round).total() for of_round in ROUNDS) >= 10
    for of_round in ROUNDS:
        assert set(counts(of_round)) <= set(OUTCOMES)
    wrong = [fixture.said for fixture in tried() if fixture.said["first_try"] == "wrong"]
    assert all("expected" in said or "refused" in said for said in wrong)
    assert all("github.com/" in fixture.said["source"] for fixture in tried() if counted(fixture))
