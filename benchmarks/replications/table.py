"""One line per published number: what was published, what comes out here, and whether that lies in the band."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "validation.md"
BEGIN, END = "<!-- replications: begin -->", "<!-- replications: end -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replication:
    """A published number beside ours.

    Args:
        source: Whose number, in a word.
        what: Mechanism, set-up and quantity.
        published: As published.
        ours: As computed here.
        band: How far ours may lie from it.
        error: Standard error of ours by sampling; 0 where nothing is drawn.
        digits: Decimals that are shown.
    """

    source: str
    what: str
    published: float
    ours: float
    band: float
    error: float = 0.0
    digits: int = 2

    @property
    def inside(self) -> bool:
        """Whether ours lies in the band."""
        return self.within(self.band)

    def within(self, band: float) -> bool:
        """Whether ours lies so near to the published number."""
        return abs(self.ours - self.published) <= band + 1e-9

    def cells(self) -> tuple[str, ...]:
        """The line of the table."""
        d = self.digits
        error = f"{self.error:.{d + 1}f}" if self.error else "exact"
        numbers = (f"{self.published:.{d}f}", f"{self.ours:.{d}f}", error, f"{self.band:.{d}f}")
        return (self.source, self.what, *numbers, "yes" if self.inside else "no")


HEAD = ("source", "what", "published", "here", "standard error", "band", "inside")


def as_text(found: list[Replication]) -> str:
    """The table for a terminal."""
    lines = [HEAD, *(one.cells() for one in found)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def as_markdown(found: list[Replication]) -> str:
    """The table for a page."""
    lines = [HEAD, ("---",) * len(HEAD), *(one.cells() for one in found)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write(found: list[Replication]) -> None:
    """Put the table between the marks of docs/reference/validation.md."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n{as_markdown(found)}\n{END}{after}", encoding="utf-8")
