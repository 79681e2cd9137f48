"""Names of buses, lines and loads of a file, each made unique."""

from __future__ import annotations

from collections.abc import Sequence


def unique(names: Sequence[str]) -> list[str]:
    """Names in their order; one that came before, or is another's own, gets the first free number behind it."""
    own, taken, found = set(names), set[str](), []
    for name in names:
        chosen, number = name, 2
        while chosen in taken or (chosen != name and chosen in own):
            chosen, number = f"{name} ({number})", number + 1
        taken.add(chosen)
        found.append(chosen)
    return found
