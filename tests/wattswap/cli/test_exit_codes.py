"""Exit codes, and errors as text and as JSON."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

from wattswap import errors
from wattswap.errors import ExitCode, InvalidScenario, Problem, as_json, exit_code_of, render

DOCS = Path(__file__).parents[3] / "docs"


def test_several_problems_are_rendered_one_a_line() -> None:
    error = InvalidScenario(Problem("a:1", "is wrong", "fix it"), Problem("", "is odd"))
    assert render(error) == "Error: 2 problems\n  a:1: is wrong; fix it\n  is odd"
    assert render(InvalidScenario.of("a", "is wrong")) == "Error: a: is wrong"


def test_the_json_of_an_error_holds_every_problem_and_the_code() -> None:
    error = InvalidScenario(Problem("a:1: k", "is wrong", "fix it", 1, "k"))
    assert as_json(error) == {
        "error": {
            "code": 3,
            "type": "InvalidScenario",
            "message": "a:1: k: is wrong; fix it",
            "problems": [{"where": "a:1: k", "message": "is wrong", "cure": "fix it", "line": 1, "key": "k"}],
        }
    }


def test_every_class_has_its_exit_code() -> None:
    classes = [
        cls
        for cls in vars(errors).values()
        if isinstance(cls, type) and issubclass(cls, errors.WattswapError)
    ]
    codes = {cls.__name__: int(cls.exit_code) for cls in classes}
    assert codes == {
        "WattswapError": 1,
        "UsageError": 2,
        "InvalidScenario": 3,
        "InvalidData": 3,
        "RunNotFound": 3,
        "RunBusy": 3,
        "AlreadyExists": 3,
        "Infeasible": 4,
        "VerificationFailed": 5,
        "CheckFailed": 6,
        "Interrupted": 130,
    }


def test_errors_of_the_other_packages_have_a_code_and_bugs_have_1() -> None:
    from data.errors import UnknownZone
    from market.errors import DuplicateName, InvalidTariff, UnbalancedPostings, UnknownName
    from optimizer.errors import SolverFailed
    from p2p.consensus.sign_state import SignStateError
    from p2p.errors import InvalidBlock, KeyFileError
    from p2p.roles.exchange.journal import JournalDamaged

    raised: list[tuple[BaseException, ExitCode]] = [
        (InvalidTariff("x"), ExitCode.INVALID),
        (UnknownZone("x", []), ExitCode.USAGE),
        (UnknownName("meter format", "x", []), ExitCode.USAGE),
        (DuplicateName("meter format", "x", "y", "z"), ExitCode.INVALID),
        (KeyFileError(Path("k"), "x"), ExitCode.INVALID),
        (SignStateError(Path("s"), "x", "y"), ExitCode.INVALID),
        (JournalDamaged(Path("j"), "x"), ExitCode.INVALID),
        (SolverFailed("x"), ExitCode.INFEASIBLE),
        (InvalidBlock(3, "parent", "x"), ExitCode.VERIFY_FAILED),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED),
        (UnbalancedPostings("x"), ExitCode.BUG),
        (ZeroDivisionError("x"), ExitCode.BUG),
    ]
    assert [exit_code_of(error) for error, _ in raised] == [code for _, code in raised]
    assert [errors.is_expected(error) for error, _ in raised] == [
        code is not ExitCode.BUG for _, code in raised
    ]
    assert render(ZeroDivisionError("x")) == "Error: unexpected ZeroDivisionError: x"


@pytest.mark.parametrize("package", ["agents", "data", "market", "optimizer", "p2p"])
def test_every_error_of_another_package_says_a_word_that_has_a_code(package: str) -> None:
    words = {*errors._CODE_BY_HINT, "bug"}
    base = next(cls for cls in vars(importlib.import_module(f"{package}.errors")).values() if _is_base(cls))
    assert base.exit_hint in words
    assert {cls.exit_hint for cls in _below(base)} <= words


def _is_base(cls: object) -> bool:
    return isinstance(cls, type) and cls.__base__ is Exception and "exit_hint" in vars(cls)


def _below(cls: type) -> list[Any]:
    children: list[Any] = cls.__subclasses__()
    return [found for child in children for found in (child, *_below(child))]


def test_the_page_of_exit_codes_has_every_code() -> None:
    text = (DOCS / "reference" / "exit-codes.md").read_text(encoding="utf-8")
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", text, flags=re.MULTILINE)] == list(ExitCode)
