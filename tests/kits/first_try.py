"""Layouts that were found by search: what the readers of that day made of each before anything was mended.

Usage: python -m tests.kits.first_try

"first_try" in expected.toml says what was found when the fixture was written, before its recipe; and
a layout without a public source does not count.
"""

from __future__ import annotations

from collections import Counter

from tests.kits.fixture_kit import Fixture, fixtures

OUTCOMES = ("right", "asked", "refused", "wrong")


def tried() -> list[Fixture]:
    """Fixtures of such layouts, by name."""
    return [fixture for fixture in fixtures() if "first_try" in fixture.said]


def counts() -> Counter[str]:
    """How many were right, asked about, refused and wrong at the first try."""
    return Counter(fixture.said["first_try"] for fixture in tried() if counted(fixture))


def counted(fixture: Fixture) -> bool:
    """Whether its source is public."""
    return not fixture.said["source"].startswith("unverified")


def main() -> None:
    """Print a row for each layout, and the counts."""
    for fixture in tried():
        said = fixture.said
        print(f"{fixture.folder.name:32} {said['first_try']:8} {said['source']}")
    found = counts()
    print(f"\n{found.total()} layouts: " + ", ".join(f"{found[outcome]} {outcome}" for outcome in OUTCOMES))


if __name__ == "__main__":
    main()
