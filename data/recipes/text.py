"""Text tables in blocks of bounded size: encoding, footers, rows of other widths; the line of each row is kept."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from data.intake.claims import Question
from data.intake.raw import FloatArray, Hints, IntakeLog
from data.recipes.blocks import Blocks
from data.recipes.header import Header, cells
from data.recipes.model import BlockRule, FileRule
from market.units import IntArray

FOOTER_CHARS = 1 << 12
"""Of what is below a table so much is kept, for its totals."""

BLOCK_CHARS = 1 << 24
"""A block holds about 16 MB: some hundred thousand rows."""

CSV_ROWS = 200_000
"""Rows of a chunk where cells hold line breaks, so that the end of a row is found by reading all before it."""

ENCODINGS = ("cp1252", "cp1250", "iso-8859-15", "cp437", "cp850", "mac_roman", "utf-16")
MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Columns that are read.

    Args:
        texts: Positions of texts, which become Arrow dictionaries.
        numbers: Positions of numbers, which become Arrow doubles, or texts where a cell is not a number.
        empty: Texts that mean no reading, beside "".
    """

    texts: tuple[int, ...]
    numbers: tuple[int, ...]
    empty: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Some rows of a table.

    Args:
        line: Line of each row in the file.
        columns: Arrow columns by position.
    """

    line: IntArray
    columns: Mapping[int, Any] = field(default_factory=dict)


def encoding_of(path: Path, rule: FileRule, hints: Hints) -> str | None:
    """The encoding of a file: by its mark, UTF-8 where all of it is, what the user says, the recipe's; else None."""
    status = path.stat()
    return _unicode(path, status.st_mtime_ns, status.st_size) or hints.encoding or rule.encoding


@lru_cache(maxsize=64)
def _unicode(path: Path, _changed_ns: int, _size: int) -> str | None:
    with path.open("rb") as file:
        start = file.read(4)
        for mark, name in MARKS:
            if start.startswith(mark):
                return name
        file.seek(0)
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            while block := file.read(1 << 20):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return None
    return "utf-8"


def asks_encoding() -> Question:
    """What is asked of a file that is not UTF-8."""
    asks = "the file is not UTF-8, and names in it can be read in several ways"
    return Question(
        "--encoding", asks, ENCODINGS, "cp1252", 0.8, "most files of Western Europe that are not UTF-8 are"
    )


def head_text(head: bytes, encoding: str | None) -> str:
    """The beginning of a file as text, to recognise it; letters outside ASCII may be wrong where nothing names them."""
    for mark, name in MARKS:
        if head.startswith(mark):
            return head.decode(name, errors="ignore")
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return head.decode(encoding or "cp1252", errors="replace")


def said_separator(text: str) -> str | None:
    """The separator that a first line such as `sep=;` states, as Excel understands it."""
    first = text.split("\n", 1)[0].strip("\ufeff \r").strip('"').lower()
    return first[4] if first.startswith("sep=") and len(first) == 5 else None


class TextTable:
    """A text file whose header is known.

    Args:
        path: The file.
        encoding: Its encoding.
        header: Its header.
        rule: How the table lies in it.
        blocks: How a title between the rows is known.

    Attributes:
        footer: Lines below the table and their cells, once all rows are read.
    """

    def __init__(
        self, path: Path, encoding: str, header: Header, rule: FileRule, blocks: BlockRule | None = None
    ) -> None:
        self._blocks = Blocks(blocks) if blocks else None
        self.path, self.encoding, self.header, self.rule = path, encoding, header, rule
        self.footer: list[tuple[int, list[str]]] = []
        self._width = len(header.line.names)
        self._skip = re.compile(rule.skip, re.M) if rule.skip else None
        self._skipped = re.compile(rf"^(?=.*?(?:{rule.skip})).*$", re.M) if rule.skip else None
        self._end = re.compile(rule.end, re.M) if rule.end else None

    def chunks(self, wanted: Wanted, log: IntakeLog) -> Iterator[Chunk]:
        """Rows in the order of the file; rows of a wrong width go into the log."""
        if self._blocks is None:
            yield from self._chunks(wanted, log)
            return
        made = self._width
        wanted = replace(wanted, texts=tuple(at for at in wanted.texts if at != made))
        for chunk in self._chunks(wanted, log):
            yield replace(chunk, columns={**chunk.columns, made: self._blocks.words(chunk.line)})

    def _chunks(self, wanted: Wanted, log: IntakeLog) -> Iterator[Chunk]:
        line = self.header.line.row + 2 + self.rule.units_row
        with self.path.open("r", encoding=self.encoding, newline="") as file:
            for above in range(1, line):
                self._titled(file.readline(), above if above > self.header.line.row else None)
            rest = ""
            while True:
                block = file.read(BLOCK_CHARS)
                text, rest = self._whole_lines(rest + block, last=not block)
                if text:
                    text, below = self._cut(self._titled(text, line))
                    if ended := below is not None:
                        self._keep_footer(f"{below}{rest}", line + text.count("\n"))
                    if '"' in text and not _quotes_close_on_their_line(text):
                        after = line + text.count("\n")
                        remainder = "" if ended else self._cut(self._titled(rest + file.read(), after))[0]
                        yield from self._by_csv(text + remainder, line, wanted, log)
                        return
                    # A block may hold nothing but the footer, of which Arrow makes an error.
                    if text and len((chunk := self._by_arrow(text, line, wanted, log)).line):
                        yield chunk
                    line += text.count("\n")
                    if ended:
                        return
                if not block:
                    return

    def _titled(self, text: str, line: int | None) -> str:
        """Lines without the titles among them, which are remembered; lines above the header have none."""
        return text if self._blocks is None or line is None else self._blocks.take(text, line)

    @staticmethod
    def _whole_lines(text: str, last: bool) -> tuple[str, str]:
        cut = len(text) if last else text.rfind("\n") + 1
        return text[:cut], text[cut:]

    def _cut(self, text: str) -> tuple[str, str | None]:
        """Blank the lines that are no readings, and cut a footer off; and what is below, None without a footer."""
        below = None
        if self._end and (found := self._end.search(text)):
            cut = text.rfind("\n", 0, found.start()) + 1
            text, below = text[:cut], text[cut : cut + FOOTER_CHARS]
        if self._skip and self._skipped and self._skip.search(text):
            text = self._skipped.sub("", text)
        return text, below

    def _keep_footer(self, text: str, line: int) -> None:
        kept, separator = text[:FOOTER_CHARS].split("\n"), self.header.line.separator
        self.footer = [(line + i, cells(one.rstrip("\r"), separator)) for i, one in enumerate(kept)]

    def _by_arrow(self, text: str, line: int, wanted: Wanted, log: IntakeLog) -> Chunk:
        import pyarrow as pa

        data = pa.py_buffer(text.encode("utf-8"))
        try:
            return self._arrow_chunk(data, line, wanted, log, pa.float64())
        except pa.ArrowInvalid:  # a cell that is not a number: each is found by its row
            return self._arrow_chunk(data, line, wanted, log, pa.string())

    def _arrow_chunk(self, data: Any, line: int, wanted: Wanted, log: IntakeLog, number: Any) -> Chunk:
        import pyarrow as pa
        from pyarrow import csv as arrow_csv

        odd: list[tuple[int, str]] = []

        def wrong_width(row: Any) -> str:
            odd.append((int(row.number), row.text))
            return "skip"

        number = pa.string() if self.rule.thousands else number
        category = pa.dictionary(pa.int32(), pa.string())
        types = {f"c{at}": category for at in wanted.texts} | {f"c{at}": number for at in wanted.numbers}
        table = arrow_csv.read_csv(
            pa.BufferReader(data),
            # One thread: only then does a row that is left out know its number.
            read_options=arrow_csv.ReadOptions(
                use_threads=False,
                block_size=max(data.size, 1 << 20),
                column_names=[f"c{at}" for at in range(self._width)],
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=self.header.line.separator,
                ignore_empty_lines=False,
                invalid_row_handler=wrong_width,
                quote_char='"',
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=types,
                include_columns=list(types),
                null_values=["", *wanted.empty],
                strings_can_be_null=False,
                decimal_point=self.rule.decimal,
            ),
        )
        lines = np.arange(line, line + len(table) + len(odd), dtype=np.int64)
        if odd:
            lines = np.delete(lines, [row - 1 for row, _ in odd])
        columns = {int(name[1:]): table.column(name) for name in types}
        if not pa.types.is_string(number):  # read again as texts where rows are added, or a number is none
            added = any(text.strip(f"{self.header.line.separator} \r\n") for _, text in odd)
            if added or not all(_finite(columns[at]) for at in wanted.numbers):
                raise pa.ArrowInvalid("not only numbers")
        chunk = Chunk(lines, columns)
        late = self._other_widths([(line + row - 1, text) for row, text in odd], wanted, log)
        return _merged(chunk, late) if late else chunk

    def _other_widths(
        self, odd: Sequence[tuple[int, str]], wanted: Wanted, log: IntakeLog
    ) -> list[tuple[int, list[str]]]:
        """Rows that have empty cells at their end, or lack only cells that are not read; the others are reported."""
        read = {*wanted.texts, *wanted.numbers}
        good, bad = [], []
        for line, text in odd:
            row = cells(text.rstrip("\r\n"), self.header.line.separator)
            if not any(cell.strip() for cell in row):
                continue
            if (fitted := _fitted(row, self._width, read)) is not None:
                good.append((line, fitted))
            else:
                bad.append((line, len(row)))
        self._report(bad, log)
        return good

    def _report(self, bad: Sequence[tuple[int, int]], log: IntakeLog) -> None:
        width = self._width
        cure = "a decimal comma, or a separator in a text? Put the cell in quotes, or export the file again"

        def describe(at: int) -> tuple[int, None, str]:
            return bad[at][0], None, f"the row has {bad[at][1]} cells, and the header {width}; {cure}"

        log.add_rows("error", "wrong_cells", np.arange(len(bad)), describe)

    def _by_csv(self, text: str, line: int, wanted: Wanted, log: IntakeLog) -> Iterator[Chunk]:
        """Rows of a text in which cells hold line breaks."""
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=self.header.line.separator)
        read = {*wanted.texts, *wanted.numbers}
        rows: list[tuple[int, list[str]]] = []
        bad: list[tuple[int, int]] = []
        try:
            for row in reader:
                at = line + reader.line_num - 1
                fitted = _fitted(row, self._width, read)
                if fitted is not None:
                    rows.append((at, fitted))
                elif any(cell.strip() for cell in row):
                    bad.append((at, len(row)))
                if len(rows) == CSV_ROWS:
                    yield _of_rows(rows, wanted)
                    rows = []
        except csv.Error as problem:
            log.add("error", "unreadable", f"the row cannot be read ({problem})", line=line + reader.line_num)
        self._report(bad, log)
        if rows:
            yield _of_rows(rows, wanted)


def _fitted(row: list[str], width: int, read: set[int]) -> list[str] | None:
    """A row made as wide as the header; None where that would drop or invent a cell that counts."""
    if len(row) > width:
        return row[:width] if not any(cell.strip() for cell in row[width:]) else None
    lacks = range(len(row), width)
    return None if not row or read.intersection(lacks) else [*row, *("" for _ in lacks)]


def _of_rows(rows: Sequence[tuple[int, list[str]]], wanted: Wanted) -> Chunk:
    import pyarrow as pa

    lines = np.array([line for line, _ in rows], dtype=np.int64)
    positions = (*wanted.texts, *wanted.numbers)
    return Chunk(lines, {at: pa.array([row[at] for _, row in rows], pa.string()) for at in positions})


def _merged(chunk: Chunk, late: Sequence[tuple[int, list[str]]]) -> Chunk:
    """Put rows that were read one by one between the others, by their line."""
    import pyarrow as pa
    import pyarrow.compute as pc

    line = np.concatenate([chunk.line, [number for number, _ in late]])
    order = np.argsort(line, kind="stable")
    columns = {}
    for at, column in chunk.columns.items():
        added = pa.array([row[at] for _, row in late], pa.string())
        if pa.types.is_dictionary(column.type):
            column = pc.cast(column, pa.string())
        whole = pa.chunked_array([*column.chunks, added], pa.string())
        columns[at] = whole.take(pa.array(order))
    return Chunk(line[order], columns)


def _finite(column: Any) -> bool:
    import pyarrow.compute as pc

    values: FloatArray = (
        pc.fill_null(column, 0.0).to_numpy(zero_copy_only=False) if len(column) else np.zeros(0)
    )
    return bool(np.isfinite(values).all())


def _quotes_close_on_their_line(text: str) -> bool:
    """Whether each line has an even number of quotes, so that no cell holds a line break."""
    data = np.frombuffer(text.encode("utf-8"), dtype=np.uint8)
    quotes = np.flatnonzero(data == ord('"'))
    breaks = np.flatnonzero(data == ord("\n"))
    before = np.searchsorted(quotes, breaks)
    return not (before % 2).any() and len(quotes) % 2 == 0
