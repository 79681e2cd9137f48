"""The commands of an OpenDSS script as elements with their properties, redirected files included.

Read are `New`, `Edit`, `~` and `More`, `Redirect` and `Compile`, `Open` and `Disable`; what else there is acts on a
solution.
A property is a number, a word, or a list in brackets; a number in brackets or quotes may be a sum in reverse Polish
notation, as in (8 1000 /).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from data.findings import FindingLog

DEEPEST = 8
"""Scripts that redirect to each other end here."""
MOST_FILES = 200
_TOKEN = re.compile(
    r"""\s*,?\s*(?:(?P<key>%?[A-Za-z_][\w%.-]*)\s*=\s*)?(?P<value>\[[^\]]*\]|\([^)]*\)|\{[^}]*\}|"[^"]*"|'[^']*'|[^\s,=]+)"""
)
_SEPARATORS = re.compile(r"[,\s|]+")
_SUM = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": lambda a, b: a / b}


@dataclass(slots=True)
class Element:
    """An element of a script.

    Args:
        kind: Its class, lower case: line, load, transformer.
        name: Its name, lower case: OpenDSS ignores the case of letters.
        label: Its name as it is written first.
        place: File and line where it is made.
        properties: Property and value, in their order; names are lower case.
    """

    kind: str
    name: str
    label: str
    place: str
    properties: list[tuple[str, str]] = field(default_factory=list)

    def last(self, *names: str) -> str | None:
        """The value given last under any of these names."""
        found = [value for key, value in self.properties if key in names]
        return found[-1] if found else None

    @property
    def is_enabled(self) -> bool:
        """Whether it takes part."""
        return not (self.last("enabled") or "yes").lower().startswith(("n", "f"))


def elements_of(path: Path, log: FindingLog) -> list[Element]:
    """The elements of a script and of those it redirects to, each once, in the order in which they are made."""
    script = _Script(log)
    script.run(path, 0)
    return list(script.elements.values())


class _Script:
    def __init__(self, log: FindingLog) -> None:
        self.elements: dict[tuple[str, str], Element] = {}
        self._log, self._files = log, 0
        self._last: Element | None = None

    def run(self, path: Path, depth: int) -> None:
        self._files += 1
        if depth > DEEPEST or self._files > MOST_FILES:
            self._log.add(
                "error", "too_deep", f"{path.name}: scripts redirect in circles; remove one Redirect"
            )
            return
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except (OSError, ValueError) as unreadable:
            reason = unreadable.strerror if isinstance(unreadable, OSError) else unreadable
            message = f"{path.name} cannot be read: {reason}; put it where the script names it"
            self._log.add("error", "missing", message)
            return
        in_comment = False
        for number, raw in enumerate(text.split("\n"), 1):
            line = raw.strip()
            if line.startswith("/*"):
                in_comment = True
            if in_comment:
                in_comment = "*/" not in line
                continue
            line = re.split(r"!|//", line, maxsplit=1)[0].strip()
            if line:
                self._command(line, path, f"{path.name}:{number}", depth)

    def _command(self, line: str, path: Path, place: str, depth: int) -> None:
        if line.startswith("~"):
            verb, rest = "more", line[1:]
        else:
            verb, _, rest = line.partition(" ")
            verb = verb.lower()
        if verb in ("redirect", "compile"):
            named = rest.strip().strip("\"'[](){}").replace("\\", "/")
            self.run(_as_on_disk(path.parent / named), depth + 1)
        elif verb in ("more", "m"):
            if self._last is not None:
                self._last.properties += _properties(rest)
        elif verb in ("new", "edit"):
            self._make(verb, rest, place)
        elif verb in ("open", "disable"):
            kind, _, name = (
                rest.split()[0].strip("\"'").lower().partition(".") if rest.strip() else ("", "", "")
            )
            if (kind, name) in self.elements:
                self.elements[kind, name].properties.append(("enabled", "no"))
        elif verb == "batchedit" and rest.strip().lower().startswith(("line.", "transformer.", "load.")):
            message = f"{place}: BatchEdit of lines, transformers and loads is not read; edit them one by one"
            self._log.add("error", "not_read", message)

    def _make(self, verb: str, rest: str, place: str) -> None:
        pairs = _properties(rest)
        first = next(((k, v) for k, v in pairs if k in ("", "object")), ("", ""))
        kind, _, label = first[1].strip("\"'").partition(".")
        key = kind, name = (kind.lower(), label.lower())
        if verb == "edit" or key in self.elements:
            known = self.elements.setdefault(key, Element(kind, name, label, place))
        else:
            known = self.elements[key] = Element(kind, name, label, place)
        self._last = known
        known.properties += [pair for pair in pairs if pair is not first]


def _properties(text: str) -> list[tuple[str, str]]:
    return [((match["key"] or "").lower(), match["value"]) for match in _TOKEN.finditer(text)]


def _as_on_disk(path: Path) -> Path:
    """The file that a script names in other letters, as scripts written on Windows do."""
    if path.exists() or not path.parent.is_dir():
        return path
    same = [one for one in path.parent.iterdir() if one.name.lower() == path.name.lower()]
    return same[0] if len(same) == 1 else path


def items(value: str) -> list[str]:
    """The entries of a list in brackets, or the one value."""
    inner = value.strip().strip("[](){}\"'").strip()
    return [item for item in _SEPARATORS.split(inner) if item]


def number(value: str) -> float:
    """A number, which may be a sum in reverse Polish notation.

    Raises:
        ValueError: It is neither.
    """
    stack: list[float] = []
    for item in items(value):
        if item in _SUM and len(stack) > 1:
            b, a = stack.pop(), stack.pop()
            try:
                stack.append(_SUM[item](a, b))
            except ZeroDivisionError:
                raise ValueError(f"{value!r} divides by 0") from None
        else:
            stack.append(float(item))
    if len(stack) != 1:
        raise ValueError(f"{value!r} is no number")
    return stack[0]


def matrix(value: str, phases: int) -> list[list[float]]:
    """A symmetric matrix, written in full or as its lower triangle with rows separated by bars.

    Raises:
        ValueError: Its rows do not fit the phases.
    """
    rows = [[float(item) for item in items(row)] for row in value.strip().strip("[](){}\"'").split("|")]
    if len(rows) != phases or any(len(row) not in (i + 1, phases) for i, row in enumerate(rows)):
        raise ValueError(f"a matrix of {phases} phases, not {value!r}, is expected")
    return [[rows[max(i, j)][min(i, j)] for j in range(phases)] for i in range(phases)]
