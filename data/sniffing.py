"""What a meter file is, from its head alone: its format, what that assumes, what has to be answered, what is near."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal

from data.formats import FORMATS, GENERIC, Format, claims_on
from data.intake.claims import RECOGNISED, Claim, Question
from data.intake.file import MeterFile, require
from data.intake.raw import Hints
from data.intake.steps import SPREAD
from data.intake.strangers import stranger
from data.outside import recognised
from data.recipes.infer import NoTable
from data.recipes.infer_file import glimpse, head_of, inferred
from data.recipes.infer_text import Grid, grid_of
from data.recipes.infer_words import plain

NEAREST = 3

MOST_BESIDE = 200
"""A file is looked for in a folder format only where its folder has no more entries than this."""

SEARCHED = 60
"""Rows of a head among which the header is, as the nearest formats have it."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A format that a file could have been meant to be in.

    Args:
        format: Its name.
        confidence: Of its claim.
        keeps: What keeps the file from it, one clause each.
    """

    format: str
    confidence: float
    keeps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sniffed:
    """What a file is, as far as its head shows it.

    Args:
        path: The file or folder.
        format: The surest format; None where none can read it.
        confidence: Of its claim.
        why: Reasons, one clause each.
        assumed: What the format lays down and the file does not state.
        needs: What has to be answered before it can be read.
        candidates: The nearest other formats, of a file that is not recognised.
        advice: What to do instead, such as to name the folder; "" where the file is recognised.
        holds: Readings of meters, prices or weather.
    """

    path: Path
    format: str | None
    confidence: float
    why: tuple[str, ...]
    assumed: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[Question, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    advice: str = ""
    holds: Literal["meter", "price", "weather"] = "meter"

    @property
    def recognised(self) -> bool:
        """Whether one format knows the file."""
        return self.format is not None and self.confidence >= RECOGNISED


def sniff(path: Path) -> Sniffed:
    """Say what a file is, from its name, its head and its last lines.

    Raises:
        MissingFile, SpecialFile: Nothing is there, or a pipe or a device.
    """
    require(path)
    file = MeterFile(path)
    claims = claims_on(file)
    best = max(claims, key=lambda name: claims[name].confidence)
    claim = claims[best]
    if claim.confidence < RECOGNISED and (outside := recognised(file)) is not None:
        holds, name, claim = outside
        return Sniffed(path, name, claim.confidence, claim.why, claim.assumed, holds=holds)
    sure = [name for name in claims if claims[name].confidence == claim.confidence]
    if claim.confidence >= RECOGNISED and len(sure) == 1:
        return Sniffed(
            path, best, claim.confidence, claim.why, claim.assumed, _needs(file, FORMATS.get(best))
        )
    if claim.confidence >= RECOGNISED:
        candidates = tuple(
            Candidate(name, claim.confidence, (f"{', '.join(sure)} are equally sure",)) for name in sure
        )
        return Sniffed(
            path, None, 0.0, (), candidates=candidates, advice=f"name one of them: --format {sure[0]}"
        )
    return _unknown(file, claims)


def _unknown(file: MeterFile, claims: Mapping[str, Claim]) -> Sniffed:
    if strange := stranger(file):
        what, _, advice = strange.partition("; ")
        return Sniffed(file.path, None, 0.0, (what,), advice=advice)
    generic = claims.get(GENERIC, Claim(0.0))
    candidates = _nearest(file, claims)
    if folder := _folder_format(file):
        advice = f"it is a file of a folder in the format {folder}: give the folder, {file.path.parent}"
        return Sniffed(file.path, None, 0.0, generic.why, candidates=candidates, advice=advice)
    found = inferred(file, Hints())
    if isinstance(found, NoTable) or found.refusals:
        why = (found.why,) if isinstance(found, NoTable) else tuple(refusal.why for refusal in found.refusals)
        is_folder = file.path.is_dir()
        advice = "give the files in it" if is_folder else "ask for another export of the readings"
        if any(SPREAD in text for text in why):
            advice = "daily or monthly totals: import with --profile flat|FILE"
        return Sniffed(file.path, None, 0.0, why, candidates=candidates, advice=advice)
    advice = f"answer what it needs; or write a recipe: wattswap data recipe {file.name} --out mine.toml"
    return Sniffed(
        file.path,
        GENERIC,
        generic.confidence,
        generic.why,
        generic.assumed,
        found.questions,
        candidates,
        advice,
    )


def _needs(file: MeterFile, format: Format) -> tuple[Question, ...]:
    """What a format asks of a file, and the zone where neither the file nor the format says it."""
    with FORMATS.held(format):
        questions = format.asks(file, Hints())
    if format.zone is not None or any(question.option == "--zone" for question in questions):
        return questions
    found = glimpse(file)
    if isinstance(found, NoTable) or found.zone.value is not None:
        return questions
    return (*questions, *(question for question in found.questions if question.option == "--zone"))


def _folder_format(file: MeterFile) -> str | None:
    """The format of the folder around a file, where it is one that is read as a whole."""
    folder = file.path.parent
    if (
        not file.path.is_file()
        or sum(1 for _, _ in zip(folder.iterdir(), range(MOST_BESIDE + 1), strict=False)) > MOST_BESIDE
    ):
        return None
    claims = claims_on(MeterFile(folder))
    best = max(claims, key=lambda name: claims[name].confidence)
    return best if claims[best].confidence >= RECOGNISED else None


def _nearest(file: MeterFile, claims: Mapping[str, Claim]) -> tuple[Candidate, ...]:
    """The formats that are surest of a file, then those whose sample shares most names of columns with it."""
    head = head_of(file, Hints())
    names = _names(head) if isinstance(head, Grid) else frozenset()
    ranked = []
    for name, claim in claims.items():
        if name == GENERIC:
            continue
        wanted, header = _header(FORMATS.get(name).sample)
        shared = len(wanted & names) / len(wanted | _row_of(head, wanted)) if wanted else 0.0
        keeps = claim.why
        if isinstance(head, NoTable) and not claim.confidence:
            continue  # nothing of its columns is known, so that none is nearer than another
        if not keeps and header:
            lacking = [text for text in header if plain(text) not in names]
            keeps = (
                (f"no column {', '.join(map(repr, lacking[:3]))}{' ..' if len(lacking) > 3 else ''}",)
                if lacking
                else ()
            )
        ranked.append((claim.confidence, shared, name, keeps or ("its marks are not in the file",)))
    ranked.sort(key=lambda one: (-one[0], -one[1], one[2]))
    return tuple(Candidate(name, confidence, keeps) for confidence, _, name, keeps in ranked[:NEAREST])


def _names(grid: Grid) -> frozenset[str]:
    return frozenset(
        plain(cell) for row in grid.rows[:SEARCHED] for cell in row if cell and not cell[0].isdigit()
    )


def _row_of(grid: Grid | NoTable, wanted: frozenset[str]) -> frozenset[str]:
    """The row of a head that shares most names with a header."""
    if isinstance(grid, NoTable):
        return frozenset()
    rows = [frozenset(plain(cell) for cell in row if cell) for row in grid.rows[:SEARCHED]]
    return max(rows, key=lambda row: len(row & wanted), default=frozenset())


@lru_cache(maxsize=256)
def _header(sample: str) -> tuple[frozenset[str], tuple[str, ...]]:
    """Names of the columns in the sample of a format: the row with most cells that begin with no digit."""
    grid = grid_of(sample.replace("\n---\n", "\n") + "\n", True) if sample else None
    if grid is None:
        return frozenset(), ()
    rows = [tuple(cell for cell in row if cell and not cell[0].isdigit()) for row in grid.rows]
    header = max(rows, key=len, default=())
    return frozenset(map(plain, header)), header
