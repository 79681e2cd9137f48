"""One word for one thing: text for people has none of the words that docs/reference/glossary.md says are not used.

Checked are the prose of the pages and, package by package, docstrings and sentences in string literals: help texts,
errors, reports. Names in backquotes, the names of arguments in a docstring, SQL, fenced blocks and link targets are not
prose.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import pytest

from tests.kits.docs_kit import ROOT, fenced

GLOSSARY = ROOT / "docs" / "reference" / "glossary.md"
HEADING = "## Words that are not used"
ON_THE_WIRE = "docs/reference/protocol/"
"""Tables and indented lines of these pages are names of fields and roles in the format of version 1."""

PACKAGES = ("agents", "data", "market", "optimizer", "p2p", "wattswap")

PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    if path.suffix == ".md"
)


@dataclass(frozen=True)
class Banned:
    """Words that are not used, the one to use instead, and names in which they may occur."""

    instead: str
    pattern: re.Pattern[str]
    allowed: tuple[str, ...]


def phrase(words: str) -> str:
    return r"\s+".join(map(re.escape, words.split()))


@cache
def banned() -> list[Banned]:
    """The last table of the glossary."""
    table = GLOSSARY.read_text(encoding="utf-8").partition(HEADING)[2]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()
        if line[:1] == "|"
    ]
    return [
        Banned(
            use,
            re.compile(rf"\b(?:{'|'.join(phrase(one) for one in words.split(', '))})(?:s|'s|s')?\b", re.I),
            tuple(one for one in but.split(", ") if one),
        )
        for use, words, but in rows[2:]
    ]


def findings(text: str) -> Iterator[str]:
    """Every word of a text that is not used, with the one to use."""
    for one in banned():
        kept = text
        for name in one.allowed:
            kept = re.sub(phrase(name), "", kept, flags=re.I)
        for hit in one.pattern.finditer(kept):
            yield f"{hit[0]!r}: use {one.instead!r}"


SQL = re.compile(r"\s*(?:CREATE|DELETE|INSERT|SELECT)\b")
ARGUMENT = re.compile(r"^ +\w+(?:, \w+)*(?=: )", re.M)
"""The name of an argument, attribute or field before what a docstring says of it."""


def without_code(text: str) -> str:
    """Prose alone; a name in backquotes may be broken over two lines."""
    return re.sub(r"\]\([^)]*\)", "]", re.sub(r"``.+?``|`[^`]*`", "`", text, flags=re.DOTALL))


def prose(page: str) -> str:
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    for block in fenced(lines):
        lines[block.first - 1 : block.first + len(block.lines) + 1] = [""] * (len(block.lines) + 2)
    if page.startswith(ON_THE_WIRE):
        lines = ["" if line.startswith(("|", "    ")) else line for line in lines]
    text = "\n".join(lines)
    return without_code(text.partition(HEADING)[0] if ROOT / page == GLOSSARY else text)


@dataclass(frozen=True)
class Sentence:
    """Text for people in a module."""

    line: int
    text: str


def sentences(source: str) -> Iterator[Sentence]:
    """Docstrings, and string literals with a blank in them: a literal of one word is a name."""
    inner = set[int]()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            inner |= {id(part) for part in node.values}
            parts = [str(part.value) if isinstance(part, ast.Constant) else "`" for part in node.values]
            text = "".join(parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            text = node.value
        else:
            continue
        if " " in text.strip() and not SQL.match(text):
            yield Sentence(node.lineno, without_code(ARGUMENT.sub("", text)))


RENAMED = re.compile("dearest|dearer|bookend", re.I)
"""Words that are not used in names either."""


@cache
def of_package(package: str) -> list[str]:
    """What is found in the modules of a package."""
    found = []
    for path in sorted((ROOT / package).rglob("*.py")):
        for sentence in sentences(path.read_text(encoding="utf-8")):
            found += [f"{path.relative_to(ROOT)}:{sentence.line}: {one}" for one in findings(sentence.text)]
    return found


def test_the_table_of_words_is_read_in_full() -> None:
    assert len(banned()) >= 15
    assert all(one.instead for one in banned())


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("A clearing\nrule of two households.", 2),
        ("Authorities sign: proof of authority.", 1),
        ("It is worked out again by the liars' node.", 2),
        ("A home, a mechanism, a validator; the slots, a lottery, the household hash.", 0),
    ],
)
def test_the_search_finds_words_also_over_line_ends_and_in_the_plural(text: str, number: int) -> None:
    assert len(list(findings(text))) == number


def test_the_search_reads_docstrings_and_sentences_and_no_names() -> None:
    source = '''"""A household of `household`.

Args:
    household: One.
"""
KEYS = ["household", "authorities"]
ROW = "SELECT household FROM signed"
MESSAGE = f"no authority {KEYS[0]} signed"
raise ValueError("a household"
    " is missing")
'''
    found = [(one.line, hit) for one in sentences(source) for hit in findings(one.text)]
    assert sorted(line for line, _ in found) == [1, 8, 9]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_uses_one_word_for_one_thing(page: str) -> None:
    assert not list(findings(prose(page)))


@pytest.mark.parametrize("package", PACKAGES)
def test_the_text_of_a_package_uses_one_word_for_one_thing(package: str) -> None:
    assert not of_package(package)


def test_what_was_renamed_in_code_stays_renamed() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for package in (*PACKAGES, "benchmarks")
        for path in sorted((ROOT / package).rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if RENAMED.search(line)
    ]
    assert not found
