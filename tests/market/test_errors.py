"""Errors of foreign code as text: one line that a terminal shows and does not obey."""

from __future__ import annotations

import pytest

from market.errors import LONGEST, counted, one_line, printable, text_of, with_article


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "text", "line"),
    [
        (ValueError("two\n  lines"), "two lines", "ValueError: two lines"),
        (ValueError("\x1b[2Jgone\x07"), r"\x1b[2Jgone\x07", r"ValueError: \x1b[2Jgone\x07"),
        (ValueError("half \ud800 of a pair, \u202e back"), r"half \ud800 of a pair, \u202e back", None),
        (ValueError(), "", "ValueError"),
        (Mute(), "", "Mute"),
    ],
)
def test_a_foreign_error_is_one_line_without_control_characters(
    error: Exception, text: str, line: str | None
) -> None:
    assert text_of(error) == text
    assert one_line(error) == line or line is None
    assert text_of(error).isprintable()


@pytest.mark.parametrize("letter", ["a", "\x1b", "\n"])
def test_a_text_that_is_cut_says_so_and_is_never_longer(letter: str) -> None:
    assert printable("a" * LONGEST) == "a" * LONGEST
    shown = printable(letter * 10**6, 50)
    assert shown.endswith("...")
    assert len(shown) == 53


@pytest.mark.parametrize(
    ("noun", "expected"),
    [("validator", "a validator"), ("operator", "an operator"), ("Omission", "an Omission")],
)
def test_a_noun_has_the_article_of_its_first_letter(noun: str, expected: str) -> None:
    assert with_article(noun) == expected


def test_one_thing_has_no_plural() -> None:
    assert [counted(number, "node") for number in (0, 1, 2)] == ["0 nodes", "1 node", "2 nodes"]
