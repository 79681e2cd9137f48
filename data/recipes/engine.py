"""A recipe at work on one file: how sure it is, what it asks, and the readings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data.errors import MissingPackage
from data.intake.claims import Claim, Question
from data.intake.file import MeterFile
from data.intake.raw import Hints, IntakeLog, RawReadings
from data.intake.steps import SPREAD
from data.recipes import sheets
from data.recipes.header import SEPARATORS, Header, Matcher, lines_of_text
from data.recipes.model import Recipe
from data.recipes.plan import Facts, Refused, facts_of, plan_of
from data.recipes.rows import RowReader
from data.recipes.text import Chunk, TextTable, Wanted, asks_encoding, encoding_of, head_text, said_separator
from data.recipes.totals import Totals

TEXTS = (".csv", ".txt", ".tsv", ".dat")
BOOKS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")

ASKS_CLOCK = Question(
    "--zone",
    "the file does not say whether its clock goes forward in summer; name the zone of the place, e.g."
    " Australia/Melbourne, or where it does not one of the same standard time without summer time, e.g."
    " Australia/Brisbane",
)
"""Asked of a layout in which nothing says whether stamps are local or standard time."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file whose header a recipe finds.

    Args:
        path: The file.
        header: Its header; None where there is none.
        facts: What the lines above it say.
        book: Whether it is a workbook.
        problem: Why it cannot be opened.
    """

    path: Path
    header: Header | None
    facts: Facts
    book: bool = False
    problem: str = ""


class Engine:
    """Reads files by a recipe.

    Args:
        recipe: The layout.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self._matcher = Matcher(recipe)

    def sniff(self, file: MeterFile) -> Claim:
        """How sure the recipe is of a file: 1 where it knows every column, at most 0.7 where it does not."""
        claims = [self._claim(found) for found in self._members(file)]
        if not claims:
            return Claim(0.0)
        return min(claims, key=lambda claim: claim.confidence)

    def asks(self, file: MeterFile, hints: Hints) -> tuple[Question, ...]:
        """What the file leaves open."""
        questions: dict[Question, None] = {}
        for found in self._members(file):
            if found.header is not None and not found.header.lacking and not found.facts.refused:
                if not found.book and encoding_of(found.path, self.recipe.file, hints) is None:
                    questions |= {asks_encoding(): None}
                plan = plan_of(self.recipe, found.header, found.facts, hints)
                silent = plan.problems or self._refused(found.facts, hints)
                questions |= dict.fromkeys(() if silent else plan.questions)
                if self.recipe.stamp.clock == "asked" and hints.zone is None and not silent:
                    questions |= {ASKS_CLOCK: None}
        return tuple(questions)

    def parse(self, file: MeterFile, hints: Hints, log: IntakeLog) -> Iterator[RawReadings]:
        """The readings of a file, or of the files of a folder, in chunks."""
        members = self._members(file)
        if not members:
            log.add("error", "unreadable", "this is no file of a table; name the file that was exported")
        for found in members:
            if file.path.is_dir():
                file.open(found.path.name).close()
            yield from self._parse(found, hints, log)

    def _parse(self, found: Found, hints: Hints, log: IntakeLog) -> Iterator[RawReadings]:
        recipe, header, facts = self.recipe, found.header, found.facts
        if found.problem:
            log.add("error", "unreadable", found.problem)
            return
        if header is None or header.lacking or facts.lacks:
            log.add("error", "wrong_header", self._why_not(header, facts), line=1)
            return
        if (refused := self._refused(facts, hints)) is not None:
            log.add("error", refused.code, f"the file is not read: {refused.says}", line=header.line.row + 1)
            return
        if header.unknown:
            unknown = ", ".join(map(repr, header.unknown))
            message = f"the recipe does not know {unknown}; add each to [columns], or to its `ignore`"
            log.add("error", "unknown_column", message, line=header.line.row + 1)
            return
        plan = plan_of(recipe, header, facts, hints)
        for problem in plan.problems:
            log.add("error", problem.code, problem.says, line=header.line.row + 1)
        if plan.problems or log.questions:
            return
        if found.book and recipe.file.sheet is None:
            self._report_others(found.path, header, log)
        reader = RowReader(recipe, header, plan, facts, hints, log, found.book)
        for chunk in self._chunks(found, header, reader.wanted, hints, log, Totals(recipe, plan)):
            log.rows = (log.rows or 0) + len(chunk.line)
            readings = list(reader.read(chunk))
            if reader.refused or log.questions:
                return
            yield from readings

    def _refused(self, facts: Facts, hints: Hints) -> Refused | None:
        """Why the file, or the layout, is not read; None where it is."""
        recipe = self.recipe
        if (
            facts.refused is not None
            or recipe.refuse is None
            or (recipe.totals and hints.profile is not None)
        ):
            return facts.refused
        return Refused(f"{recipe.refuse}{f', or {SPREAD}' if recipe.totals else ''}", recipe.code)

    def _report_others(self, path: Path, header: Header, log: IntakeLog) -> None:
        """Say which sheets of a workbook could be read too, such as those of other months or meters.

        They are counted: the name of a sheet may be the number of a meter.
        """
        names = sheets.names(path)
        others = [line for line in sheets.heads(path) if line.sheet != header.line.sheet]
        heads = [one for line in others if (one := self._matcher.match(line)) and not one.lacking]
        places = sorted({names.index(str(head.line.sheet)) + 1 for head in heads})
        if places:
            listed = ", ".join(map(str, places))
            mine = names.index(str(header.line.sheet)) + 1
            cure = "save each as a file of its own, or name one in [file] sheet of a recipe"
            message = (
                f"only sheet {mine} of the workbook is read; of the same columns: sheet {listed}; {cure}"
            )
            log.add("warning", "other_sheets", message, count=len(places))

    def _chunks(
        self, found: Found, header: Header, wanted: Wanted, hints: Hints, log: IntakeLog, totals: Totals
    ) -> Iterator[Chunk]:
        rule = self.recipe.file
        if found.book and self.recipe.blocks is not None:
            log.add(
                "error", "unreadable", "titles between the rows are read in text files; save the sheet as CSV"
            )
            return
        if found.book:
            try:
                yield from sheets.chunks(found.path, header, rule, wanted, log)
            except sheets.UnreadableSheets as problem:
                log.add("error", "unreadable", str(problem))
            return
        encoding = encoding_of(found.path, rule, hints)
        assert encoding is not None, "it was asked for"
        try:
            table = TextTable(found.path, encoding, header, rule, self.recipe.blocks)
            for chunk in table.chunks(wanted, log):
                totals.add(chunk)
                yield chunk
            totals.compare(table.footer, log)
        except UnicodeError as problem:
            message = f"the file cannot be read as {encoding} ({problem}); name its encoding, --encoding"
            log.add("error", "unreadable", message)

    def _why_not(self, header: Header | None, facts: Facts) -> str:
        if header is not None and header.lacking:
            names = [name for role in header.lacking for name in self.recipe.columns.get(role, (role,))[:1]]
            return f"the column {', '.join(map(repr, names))} is missing; compare the header with the recipe"
        if header is not None and facts.lacks:
            return f"{facts.lacks}; this is another layout"
        return f"no line is the header of {self.recipe.title}; compare the file with the recipe"

    def _members(self, file: MeterFile) -> list[Found]:
        """The file; or all files of a folder, if the recipe reads such folders."""
        if not file.path.is_dir():
            return [self._found(file.path, file.head)] if file.head else []
        if not self.recipe.file.folder:
            return []
        paths = sorted(path for path in file.path.iterdir() if path.suffix.lower() in (*TEXTS, *BOOKS))
        return [self._found(path, MeterFile(path).head) for path in paths]

    def _found(self, path: Path, head: bytes) -> Found:
        recipe = self.recipe
        if sheets.is_workbook(path, head):
            try:
                lines = [line for line in sheets.heads(path) if recipe.file.sheet in (None, line.sheet)]
                header = self._matcher.find(lines)
                above = sheets.preamble(path, header) if header and recipe.preamble else []
            except (sheets.UnreadableSheets, MissingPackage) as problem:
                return Found(path, None, Facts(), True, str(problem))
            return Found(path, header, facts_of(recipe.preamble, above), True)
        if b"\0" in head[:1024] and not head.startswith((b"\xff\xfe", b"\xfe\xff")):
            return Found(path, None, Facts(), problem="the file is no text")
        text = head_text(head, recipe.file.encoding)
        separator = recipe.file.separator or said_separator(text)
        header = self._matcher.find(lines_of_text(text, (separator,) if separator else SEPARATORS))
        above = text.split("\n", header.line.row)[: header.line.row] if header else []
        return Found(path, header, facts_of(recipe.preamble, [line.rstrip("\r") for line in above]))

    def _claim(self, found: Found) -> Claim:
        if found.problem:
            return Claim(0.0, (found.problem,))
        return self._matcher.claim(found.header, found.facts.lacks)
