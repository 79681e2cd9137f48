"""The registry of report sections: a function of a story, its name and its place on the page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from market.registry import Registry
from wattswap.report.page import Rendered, Section
from wattswap.report.story import Story

Build = Callable[[Story], Section | None]


@dataclass(frozen=True, slots=True)
class ReportSection:
    """A section of reports.

    Args:
        name: Its name, for `wattswap list sections`.
        rank: Its place: sections are in order of rank, then of name.
        build: Makes it from a story; None if it has no content.
    """

    name: str
    rank: int
    build: Build

    @property
    def summary(self) -> str:
        """What it shows, in one line."""
        return (self.build.__doc__ or "").strip().partition("\n")[0]


SECTIONS: Registry[ReportSection] = Registry(
    "report section", folders=("wattswap.report.sections",), group="wattswap.sections", item=ReportSection
)


def section(name: str, rank: int) -> Callable[[Build], Build]:
    """Register a function as a section; those of wattswap have the ranks 0, 10 and so on to 120."""

    def register(build: Build) -> Build:
        SECTIONS.register(ReportSection(name, rank, build), origin=build.__module__)
        return build

    return register


def sections(story: Story) -> list[Rendered]:
    """All sections of a story as HTML, in order."""
    ordered = sorted(SECTIONS.all().values(), key=lambda known: (known.rank, known.name))
    built = []
    for known in ordered:
        with SECTIONS.held(known):
            section = known.build(story)
            if section is not None:
                built.append(section.rendered())
    return built
