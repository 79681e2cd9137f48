"""A table that no format knows: what its head says is concluded, the rest is asked, and the whole file must agree.

- The head (64 KiB, and the last lines) is read as rows of cells: encoding, separator, header, units, times, columns of
  readings. Each conclusion has a confidence and a reason; what is not nearly certain is a question.
- The conclusions become a recipe, by which the engine of all tables reads the whole file. A row that does not fit what
  the head suggested is an error by line.
- Homes are called home-1, home-2, ..: what an unknown file calls them may identify people.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from data.formats import FORMATS, GENERIC, Format
from data.intake.claims import Claim, Question
from data.intake.file import MeterFile
from data.intake.raw import Channel, Hints, IntakeLog, Numbers, RawReadings
from data.recipes.engine import Engine
from data.recipes.infer import Inferred, NoTable
from data.recipes.infer_file import glimpse, inferred
from data.recipes.infer_recipe import recipe_of

CONFIDENCE = 0.3
"""That a table of times and numbers is one of meter readings: far below that of any format which knows it."""

ONE_HOME = "home-1"
"""What a file is called to be of that has no column of homes; it identifies nobody."""


def sniff(file: MeterFile) -> Claim:
    """Any table with times and numbers, with little confidence."""
    found = glimpse(file)
    if isinstance(found, NoTable):
        return Claim(0.0, (found.why,))
    if found.refusals:
        return Claim(CONFIDENCE / 3, tuple(refusal.why for refusal in found.refusals))
    return Claim(CONFIDENCE, reasons(found), assumed(found))


def asks(file: MeterFile, hints: Hints) -> tuple[Question, ...]:
    """What the head of a file leaves open; nothing where the file is not read anyway."""
    found = inferred(file, hints)
    return () if isinstance(found, NoTable) or found.refusals else found.questions


def parse(file: MeterFile, hints: Hints, log: IntakeLog) -> Iterator[RawReadings]:
    """Read a file by what its head says and the user answers."""
    found = inferred(file, hints)
    if isinstance(found, NoTable):
        log.add("error", found.code, f"the file is not read: {found.why}")
        return
    for refusal in found.refusals:
        log.add("error", refusal.code, f"the file is not read: {refusal.why}", line=_line(found))
    if found.refusals:
        return
    recipe = recipe_of(found, file.name)
    engine = Engine(recipe)
    for question in engine.asks(file, hints):
        log.ask(question)
    if log.questions:
        return
    for key, answer in found.answers.items():
        log.answers[key] = answer
    notes = [f"no format knows this file; from its head: {'; '.join(reasons(found))}"]
    notes += [f"{name!r} is left out: {why}" for name, why in left_out(found).items()]
    log.notes += [_without_names(note, found.table.header) for note in notes]
    confirmer = Confirmer(found)
    for chunk in engine.parse(file, replace(hints, zone=hints.zone or recipe.zone), log):
        confirmer.see(chunk)
        yield chunk if recipe.meters == "id" else _of_one_home(chunk)
    confirmer.report(log)


def _of_one_home(chunk: RawReadings) -> RawReadings:
    return replace(chunk, meter=replace(chunk.meter, texts=[text or ONE_HOME for text in chunk.meter.texts]))


def _line(found: Inferred) -> int | None:
    row = found.table.header_row
    return found.grid.lines[row] if row >= 0 else None


def _without_names(note: str, header: Sequence[str]) -> str:
    """A note that is kept, with columns by position: their names may hold the number of a meter or a person."""
    for at, name in enumerate(header, 1):
        note = note.replace(repr(name), f"column {at}") if name else note
    return note


def reasons(found: Inferred) -> tuple[str, ...]:
    """What was concluded, one clause each."""
    clauses = [found.table.why, found.layout.why]
    for value in found.read:
        said = value.channel.value
        if said is not None and said != "by":
            clauses.append(f"{value.name!r} is {said}: {value.channel.why}")
    clauses += [f"rows of {word!r} are {c.value}: {c.why}" for word, c in found.words.items() if c.value]
    return tuple(clauses)


def assumed(found: Inferred) -> dict[str, str]:
    """What was concluded although the file does not state it."""
    said = {}
    if any(value.measures.value == "power" for value in found.read):
        said["power"] = "mean of the interval, not a sample"
    if not found.decimal.proven:
        said["decimal"] = found.decimal.sign
    if found.grid.encoding is not None and found.grid.encoding.confidence < 1:
        said["encoding"] = found.grid.encoding.value
    return said


def left_out(found: Inferred) -> dict[str, str]:
    """Columns that are not read, with the reason."""
    ignored = {value.name: value.channel.why for value in found.values if not value.is_read}
    others = {found.table.header[i]: "another column of times is used" for i in found.layout.others}
    return {name: why for name, why in {**ignored, **found.ignored, **others}.items() if name}


@dataclass(slots=True)
class _Seen:
    """What the numbers of a channel show of how they are written."""

    grouped: str = ""
    proven: bool = False


class Confirmer:
    """Checks over the whole file what its head could only suggest: whole numbers in the head prove no decimal sign.

    Args:
        found: What the head says.
    """

    def __init__(self, found: Inferred) -> None:
        self._unproven = not found.decimal.proven and found.decimal.thousands is None
        self._sign = found.decimal.sign
        self._seen: dict[Channel, _Seen] = {}

    def see(self, chunk: RawReadings) -> None:
        """Check some rows."""
        if not self._unproven:
            return
        for channel, numbers in chunk.values.items():
            _look(numbers, chunk.line, self._seen.setdefault(channel, _Seen()))

    def report(self, log: IntakeLog) -> None:
        """Report numbers that could be whole ones with a point between thousands."""
        if any(seen.proven for seen in self._seen.values()):
            return
        for channel, seen in self._seen.items():
            if seen.grouped:
                message = (
                    f"{channel} is {seen.grouped}, the first number with a {self._sign!r}: is it between thousands, or"
                    " decimal? Write a recipe (`wattswap data recipe`) and fill in [file] decimal and thousands"
                )
                log.ask(Question("--recipe FILE", message), "decimal_sign")


def _look(numbers: Numbers, line: np.ndarray[tuple[int], np.dtype[np.int64]], seen: _Seen) -> None:
    values = np.abs(np.nan_to_num(numbers.values))
    broken = np.flatnonzero(values != np.floor(values))
    if not len(broken):
        return
    thousandths = values[broken] * 1000
    three = np.isclose(thousandths, np.rint(thousandths), rtol=0, atol=1e-6) & (values[broken] >= 1)
    seen.proven |= not three.all()
    if not seen.grouped:
        seen.grouped = f"{values[broken[0]]:g} in line {int(line[broken[0]])}"


FORMATS.register(
    Format(
        name=GENERIC,
        summary="any other table of times and numbers: what it does not say is asked",
        unit="as the file says, or asked",
        sniff=sniff,
        parse=parse,
        asks=asks,
        meters="id",
    )
)
