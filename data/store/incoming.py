"""Meter files on their way into a store: read with what was answered before, all problems of all files at once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data import formats
from data.errors import DataError
from data.findings import Finding, by_cause, errors_of
from data.formats import FORMATS, GENERIC, FileReading, Format
from data.formats.generic import ONE_HOME
from data.intake.claims import Question
from data.intake.file import MeterFile
from data.intake.profile import Profile
from data.intake.raw import Hints
from data.store.manifest import Manifest, Origin

_NUMBERS = re.compile(r"\d{10,}")
_ASKED = ("zone", "unit", "stamp", "dates", "encoding", "kind", "profile")
"""Fields of `Hints` whose answers are kept and used again."""


class Unreadable(DataError, ValueError):
    """Files that cannot be imported; holds every error of every file."""

    def __init__(self, problems: Sequence[tuple[Path, Sequence[Finding], str]]) -> None:
        self.problems = tuple(problems)
        lines = []
        for path, findings, text in self.problems:
            if text:
                lines.append(text if str(path) in text else f"{path}: {text}")
                continue
            causes = by_cause(findings)
            count = sum(finding.count for finding in findings)
            lines.append(
                f"{path}: {count} error{'' if count == 1 else 's'}; correct the file and import it again"
            )
            lines += [f"  {line}" for line in causes[:20]]
            if len(causes) > 20:
                lines.append(f"  and {len(causes) - 20} more; `wattswap data check {path}` lists them")
        super().__init__("\n".join(["nothing was imported", *lines]))


class Unanswered(DataError, ValueError):
    """Files that leave something open that only their owner knows; `questions` holds every question by file."""

    def __init__(self, questions: Sequence[tuple[str, Question]]) -> None:
        self.questions = tuple(questions)
        lines = [f"{where}: {question}" if where else str(question) for where, question in self.questions]
        super().__init__("\n".join(["nothing was imported: something has to be answered first", *lines]))


@dataclass(frozen=True, slots=True, eq=False)
class Incoming:
    """A file that was read.

    Args:
        path: The file.
        format: Its format.
        reading: What it holds.
        identities: What identifies each of its homes, in their order; empty where homes are named, or not named at all.
        named: Whether it names its homes.
        said: Answers that were used for it, by option; those of earlier imports among them.
        earlier: Those of `said` that earlier imports gave.
        assumed: What its format lays down.
    """

    path: Path
    format: Format
    reading: FileReading
    identities: tuple[str, ...]
    named: bool
    said: Mapping[str, str]
    earlier: Mapping[str, str]
    assumed: Mapping[str, str]

    @property
    def shown_name(self) -> str:
        """Name of the file without what identifies a home."""
        return clean_name(self.path.name, self.identities)

    def origin(self, homes: Sequence[str]) -> Origin:
        """What the manifest keeps of it."""
        data = self.reading.data
        assert data is not None, "a file with errors is not imported"
        answers = {**data.source.answers, **self.said}  # one about a column may have the number of a meter
        return Origin(
            file=self.shown_name,
            sha256=data.source.sha256,
            format=self.format.name,
            homes=tuple(homes),
            rows=self.reading.rows,
            answers={clean_name(name, self.identities): answer for name, answer in answers.items()},
            assumed=dict(self.assumed),
            notes=data.source.notes,
            named=self.named,
        )


def clean_name(name: str, identities: Sequence[str]) -> str:
    """The name of a file or a column without what identifies a home, and without numbers long enough to do so."""
    for identity in identities:
        name = name.replace(identity, "#") if identity else name
    return _NUMBERS.sub("#", name)


def read_files(
    paths: Sequence[Path], format: str | Format | None, hints: Hints, manifest: Manifest | None
) -> list[Incoming]:
    """Read meter files; answers that a store has of earlier files of the same format and meter are used again.

    Raises:
        Unreadable: Errors of any of them, all at once.
        Unanswered: What any of them leaves open, all at once; only where there are no errors.
        DataError: A path of which no format is known.
    """
    found: list[Incoming] = []
    wrong: list[tuple[Path, Sequence[Finding], str]] = []
    open_: list[tuple[str, Question]] = []
    for path in paths:
        try:
            one = _read(path, format, hints, manifest)
        except DataError as error:
            wrong.append((path, (), str(error)))
            continue
        errors = errors_of(one.reading.findings)
        if one.reading.questions:
            open_ += [(str(path), question) for question in one.reading.questions]
        elif one.reading.data is None or errors:
            wrong.append((path, errors, ""))
        else:
            found.append(one)
    if wrong:
        raise Unreadable(wrong)
    if open_:
        raise Unanswered(list(dict.fromkeys(open_)))
    return found


def _read(path: Path, format: str | Format | None, hints: Hints, manifest: Manifest | None) -> Incoming:
    chosen = FORMATS.get(format) if isinstance(format, str) else format or formats.recognise(path)
    said = answers_of(hints)
    one = _incoming(path, chosen, hints, said, {})
    if one.reading.questions and manifest is not None:
        earlier = _earlier(manifest, chosen.name, said)
        again = _incoming(path, chosen, _answered(hints, earlier), {**said, **earlier}, earlier)
        if not again.reading.questions and _is_known(again, manifest):
            return again
    return one


def _incoming(
    path: Path, format: Format, hints: Hints, said: Mapping[str, str], earlier: Mapping[str, str]
) -> Incoming:
    reading = formats.read(path, format, hints)
    nobodys = format.name == GENERIC and reading.ids == (ONE_HOME,)  # no column names its home
    named = format.meters != "none" and not nobodys
    identities = reading.ids if named and format.meters == "id" else ()
    assumed: Mapping[str, str] = {}
    with FORMATS.held(format):
        assumed = format.sniff(MeterFile(path)).assumed
    return Incoming(path, format, reading, identities, named, said, earlier, assumed)


def _is_known(one: Incoming, manifest: Manifest) -> bool:
    """Whether all meters of a file are those of earlier files, so that earlier answers are about them.

    Files of no known format that name no home share nothing: each has a layout of its own.
    """
    if one.format.name == GENERIC and not one.named:
        return False
    if one.identities:
        return all(manifest.hash_of(identity) in manifest.meters for identity in one.identities)
    return (
        one.reading.data is None or set(one.reading.data.households) <= set(manifest.homes) or not one.named
    )


def answers_of(hints: Hints) -> dict[str, str]:
    """What the user states on the command line, by option."""
    said = {name: str(getattr(hints, name)) for name in _ASKED if getattr(hints, name) is not None}
    return said | {f"channel {column}": channel for column, channel in hints.channels.items()}


def _earlier(manifest: Manifest, format: str, said: Mapping[str, str]) -> dict[str, str]:
    """Answers that all earlier files of a format had alike, and that were not given now."""
    of_format = [origin.answers for origin in manifest.sources if origin.format == format]
    names = {name for answers in of_format for name in answers} - set(said)
    values = {name: {answers[name] for answers in of_format if name in answers} for name in names}
    return {name: value.pop() for name, value in sorted(values.items()) if len(value) == 1}


def _answered(hints: Hints, answers: Mapping[str, str]) -> Hints:
    fields: dict[str, object] = {name: value for name, value in answers.items() if name in _ASKED}
    if "profile" in fields:
        fields["profile"] = Profile.from_text(str(fields["profile"]))
    channels = {
        name.removeprefix("channel "): value for name, value in answers.items() if name.startswith("channel ")
    }
    return replace(hints, **fields, channels={**channels, **hints.channels})  # type: ignore[arg-type]
