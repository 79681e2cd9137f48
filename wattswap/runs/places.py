"""Where each home of a run is, on a grid or in zones, and what is wrong with what says so."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from wattswap.errors import suggest

MOST_NAMED: Final = 5


def misplaced(
    given: Mapping[str, str], known: Collection[str], places: Collection[str], what: str
) -> Iterator[tuple[str, str, str]]:
    """A home, what is wrong with it and what to do, for each home that is unknown or at an unknown place.

    Args:
        given: Place of each home.
        known: Ids of all homes.
        places: Names of all places.
        what: What a place is, such as "a zone".
    """
    for name, place in given.items():
        if name not in known:
            yield name, f"the data have no home {name!r}", suggest(name, sorted(known))
        if place not in places:
            yield name, f"{place!r} is not {what}", suggest(place, places)


def place_of_each(given: Mapping[str, str], roster: Sequence[str]) -> list[str | None]:
    """The place of each home that takes part; one that was drawn again, NAME#2, is where NAME is."""
    return [given.get(name, given.get(name.partition("#")[0])) for name in roster]


def nowhere(roster: Sequence[str], found: Sequence[str | None], what: str) -> tuple[str, str]:
    """The first home without a place, and a sentence that names some; both empty where every home has one.

    Args:
        roster: Ids of the homes.
        found: Place of each.
        what: What a place is, in one word.
    """
    names = [name for name, place in zip(roster, found, strict=True) if place is None]
    if not names:
        return "", ""
    named = ", ".join(map(repr, names[:MOST_NAMED]))
    others = f" and {len(names) - MOST_NAMED} others" if len(names) > MOST_NAMED else ""
    return names[0], f"home{'s' if len(names) > 1 else ''} {named}{others} mapped to no {what}"
