"""The site that `make docs` builds: its navigation names the pages that are there, its API page modules that exist."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from importlib import import_module

from tests.kits.docs_kit import ROOT

DOCS = ROOT / "docs"
CONFIG = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
NAVIGATION = re.findall(r"^ *- [\w ]+: (\S+)$", CONFIG[CONFIG.index("\nnav:") :], re.MULTILINE)
OUTSIDE = re.findall(
    r"^  (\S+)$", CONFIG.partition("\nnot_in_nav: |\n")[2].partition("\n\n")[0], re.MULTILINE
)
"""Patterns of pages that are reached from the table of their folder."""


def pages() -> set[str]:
    return {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")}


def test_the_navigation_names_every_page_once_and_nothing_else() -> None:
    assert OUTSIDE
    listed_by_their_folder = {page for page in pages() for pattern in OUTSIDE if fnmatch(page, pattern)}
    assert len(set(NAVIGATION)) == len(NAVIGATION) > 25
    assert not set(NAVIGATION) - pages()
    assert not sorted(pages() - listed_by_their_folder - set(NAVIGATION))


def test_a_folder_outside_the_navigation_has_a_table_in_it() -> None:
    for pattern in OUTSIDE:
        assert pattern.endswith("/*.md")
        assert pattern.replace("*", "README") in NAVIGATION


def test_every_page_stands_in_the_folder_of_its_purpose() -> None:
    assert {page.split("/")[0] for page in pages()} == {
        "index.md",
        "tutorials",
        "how-to",
        "reference",
        "explanation",
        "decisions",
    }


def test_every_module_of_the_api_page_can_be_imported_and_says_what_it_is() -> None:
    page = (DOCS / "reference" / "api.md").read_text(encoding="utf-8")
    modules = re.findall(r"^::: (\S+)$", page, re.MULTILINE)
    assert "wattswap" in modules
    assert len(set(modules)) == len(modules) > 10
    assert not [name for name in modules if not import_module(name).__doc__]


def test_the_site_names_no_other_host() -> None:
    """Fonts, scripts and diagrams would be loaded from elsewhere; mermaid is one that the theme fetches."""
    assert "  font: false\n" in CONFIG
    assert "://" not in CONFIG
    assert not [page for page in pages() if "```mermaid" in (DOCS / page).read_text(encoding="utf-8")]
