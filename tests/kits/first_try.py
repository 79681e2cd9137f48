"""Layouts that were found by search: what the readers of that day made of each before anything was mended.

Usage: python -m tests.kits.first_try

"first_try" in expected.toml says what was found when the fixture was written, before its recipe; and
a layout without a public source does not count. "first_try_round" is 1, and left out, where nothing had
been written for the vendor; it is 2 for another layout of a vendor that had a recipe already.
"""

from __future__ import annotations

from collections import Counter

from tests.kits.fixture_kit import Fixture, fixtures

OUTCOMES = ("right", "asked", "refused", "wrong")
ROUNDS = {1: "nothing written for the vendor", 2: "another layout of a vendor with a recipe"}


def tried() -> list[Fixture]:
    """Fixtures of such layouts, by name."""
    return [fixture for fixture in fixtures() if "first_try" in fixture.said]


def round_of(fixture: Fixture) -> int:
    """The round of its first try: a key of ROUNDS."""
    found: int = fixture.said.get("first_try_round", 1)
    if found not in ROUNDS:
        raise ValueError(f"{fixture.folder.name}/expected.toml: first_try_round is {found}; write 1 or 2")
    return found


def counts(of_round: int) -> Counter[str]:
    """How many of a round were right, asked about, refused and wrong at the first try."""
    return Counter(
        fixture.said["first_try"] for fixture in tried() if counted(fixture) and round_of(fixture) == of_round
    )


def counted(fixture: Fixture) -> bool:
    """Whether its source is public."""
    return not fixture.said["source"].startswith("unverified")


def main() -> None:
    """Print a row for each layout, and the counts of each round."""
    for fixture in tried():
        said = fixture.said
        print(f"{fixture.folder.name:32} {round_of(fixture)} {said['first_try']:8} {said['source']}")
    print()
    for of_round, about in ROUNDS.items():
        found = counts(of_round)
        outcomes = ", ".join(f"{found[outcome]} {outcome}" for outcome in OUTCOMES)
        print(f"round {of_round} ({about}): {found.total()} layouts: {outcomes}")


if __name__ == "__main__":
    main()
