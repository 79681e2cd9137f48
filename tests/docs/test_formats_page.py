"""The page of formats is what the registries say, and every sample on it is claimed by its own format alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.formats import FORMATS, claims_on
from data.intake.claims import RECOGNISED
from data.intake.file import MeterFile
from tests import formats_page

SAMPLED = {
    name: format for name, format in FORMATS.all().items() if format.sample and FORMATS.is_ours(format)
}


def test_the_page_is_what_the_registries_say() -> None:
    assert formats_page.PAGE.read_text(encoding="utf-8") == formats_page.page(), (
        "`python -m tests.formats_page` writes the page again"
    )


def test_every_format_of_a_file_shows_where_its_layout_is_from() -> None:
    without = {
        name for name, format in FORMATS.all().items() if FORMATS.is_ours(format) and not format.source
    }
    assert without == {"citylearn", "generic", "simbench_extract"}


@pytest.mark.parametrize("name", sorted(SAMPLED))
def test_a_sample_is_claimed_by_no_other_format(name: str, tmp_path: Path) -> None:
    path = tmp_path / "sample.csv"
    for sample in SAMPLED[name].sample.split("\n---\n"):
        path.write_text(sample.strip("\n") + "\n", encoding="utf-8")
        claims = claims_on(MeterFile(path))
        assert {other for other, claim in claims.items() if claim.confidence >= RECOGNISED} <= {name}
