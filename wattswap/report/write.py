"""Reading a folder as a story, and writing the report of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

from p2p.disk import DISK
from wattswap.errors import AlreadyExists, UsageError
from wattswap.report.story import Story
from wattswap.runs.folder import RunFolder
from wattswap.runs.layout import COMPARISON, MANIFEST, REPORT
from wattswap.runs.missing import not_found
from wattswap.scenario.basis import moment


def story_of(folder: Path, point: str | None = None, against: str | None = None) -> Story:
    """Read a run or a comparison; of a sweep, one point in full, by default the first.

    Args:
        folder: Of the run or the comparison.
        point: Of a sweep.
        against: The mechanism of a comparison with which the others are compared, saving by saving.

    Raises:
        RunNotFound: The folder is neither.
        UsageError: It has no such point.
        VerificationFailed: It is damaged.
    """
    if (folder / MANIFEST).is_file():
        from wattswap.report.of_run import story_of_run

        if point is not None:
            raise UsageError.of("--point", "was given for a run", "only a sweep has points")
        if against is not None:
            raise UsageError.of("--against", "was given for a run", "a run has one mechanism")
        return story_of_run(RunFolder(folder))
    if (folder / COMPARISON).is_file():
        from wattswap.comparison.result import ComparisonFolder
        from wattswap.report.of_comparison import story_of_comparison

        return story_of_comparison(ComparisonFolder(folder), point, against)
    raise not_found(folder, "run or comparison")


def html_of(story: Story, start: datetime | None = None) -> str:
    """The page of a story.

    Args:
        story: The content.
        start: Interval of the supply and demand curve; by default the one with the most traded energy.

    Raises:
        UsageError: There is no such interval.
    """
    from wattswap.installation import VERSION
    from wattswap.report.page import page
    from wattswap.report.section import sections
    from wattswap.report.words import duration

    chosen = replace(story, curve=lambda asked: story.curve(asked or start))

    kind = "a run" if story.kind == "run" else "a comparison"
    if story.sweep is not None:
        kind = f"a sweep of {len(story.sweep.points)} points, of which {story.point} is reported in full"
    seeds = "" if len(story.seeds) < 2 else f", {len(story.seeds)} seeds"
    about = f"Report of {kind}: {story.homes} homes, {duration(story.length)} from"
    about += f" {moment(story.start, story.zone)} ({story.zone}){seeds}."
    rivals = [o.label for o in story.rivals] or [story.focus]
    names = ", ".join(rivals) if len(rivals) <= 3 else f"{len(rivals)} mechanisms compared"
    title = f"{story.title}, {story.point}" if story.point else story.title
    return page(f"{title}: {names}", about, sections(chosen), VERSION)


def report_on(
    folder: Path,
    path: Path | str | None = None,
    *,
    point: str | None = None,
    against: str | None = None,
    force: bool = False,
) -> Path:
    """Write the report of a run or a comparison, by default into its folder; see `story_of`, `write_report`."""
    story = story_of(folder, point, against)
    return write_report(story, folder / REPORT if path is None else Path(path), force=force)


def write_report(story: Story, path: Path, start: datetime | None = None, *, force: bool = False) -> Path:
    """Write the page of a story to a file.

    Raises:
        AlreadyExists: The file exists and `force` is not set; nothing is drawn then.
        UsageError: There is no such interval.
    """
    if path.exists() and not force:
        raise AlreadyExists.of(str(path), "exists already", "name another file with --out, or add --force")
    DISK.write_whole(path, html_of(story, start).encode())
    return path
