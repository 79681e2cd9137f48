"""What a mutant is: another text in one file of the packages, and the tests that must fail for it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class TextGone(Exception):
    """The text that a mutant replaces is not in its file exactly once: the mutant has to follow the program."""


@dataclass(frozen=True)
class Mutant:
    """A check with one rule wrong.

    Args:
        name: Unlike that of every other mutant.
        file: Of the packages, from the root of the repository.
        text: What is in the file, exactly once.
        instead: What replaces it.
        allows: What would be accepted then, in one sentence.
        tests: Node ids of pytest; one at least must fail.
    """

    name: str
    file: str
    text: str
    instead: str
    allows: str
    tests: tuple[str, ...]

    @cached_property
    def source(self) -> str:
        """The file with the other text.

        Raises:
            TextGone: The text is not there exactly once.
        """
        right = (ROOT / self.file).read_text(encoding="utf-8")
        found = right.count(self.text)
        if found != 1:
            raise TextGone(f"{self.name}: its text occurs {found} times in {self.file}: {self.text!r}")
        return right.replace(self.text, self.instead)


@dataclass(frozen=True)
class Equivalent:
    """Another text that changes nothing that can be seen, so that no test can fail for it.

    Args:
        mutant: Without tests.
        proof: Why nothing changes, in one sentence.
    """

    mutant: Mutant
    proof: str


@dataclass(frozen=True)
class Rules:
    """The mutants of one file.

    Args:
        file: Of the packages.
        tests: The file of most tests that must fail.
    """

    file: str
    tests: str

    def without(self, name: str, text: str, instead: str, allows: str, *tests: str) -> Mutant:
        """A mutant of this file.

        Args:
            tests: Names in the file of tests, or node ids of others.
        """
        ids = (test if "/" in test else f"{self.tests}::{test}" for test in tests)
        return Mutant(name, self.file, text, instead, allows, tuple(ids))
