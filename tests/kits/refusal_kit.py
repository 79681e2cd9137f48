"""The problems of a case that is refused, and valid cases of every kind for every rule."""

from __future__ import annotations

from typing import Any

from tests.kits.clear_cases import (
    book,
    valid_cases,
)
from wattswap.cases.contract import clear_case
from wattswap.errors import exit_code_of, is_expected, problems_of

NAN, INFINITY = float("nan"), float("inf")
VALID = valid_cases()


KINDS = [(name, case) for name, case in VALID if "orders" not in case] + [
    ("uniform_price", book("uniform_price"))
]


def label(value: Any) -> str:
    return value if isinstance(value, str) else ""


def sentences(case: Any, name: str) -> list[str]:
    """The problems of a case; none where it is taken."""
    try:
        clear_case(case, name)
    except Exception as error:
        if not is_expected(error):
            raise AssertionError(f"{name}: {type(error).__name__}: {error}; {case!r:.600}") from error
        refusal = error
    else:
        return []
    assert exit_code_of(refusal) in (3, 4)
    said = [str(problem) for problem in problems_of(refusal)]
    assert said
    for sentence in said:
        assert sentence.isprintable()
        assert len(sentence) < 1_300
    return said


def one(case: Any, name: str) -> str:
    """The only sentence about a case."""
    (sentence,) = sentences(case, name)
    return sentence
