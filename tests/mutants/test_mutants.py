"""Mutants of validation follow the program, and five that the commit draws are killed; `make mutants` runs all."""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from tests.mutants import runner
from tests.mutants.mutant import ROOT, Mutant, Rules, TextGone
from tests.mutants.runner import Runner, drawn, outcomes
from tests.mutants.table import EQUIVALENT, MUTANTS

DRAWN = 5
AUDITED = (
    "checker_takes_any_batch",
    "snapshot_state_not_above",
    "proof_change_above_block",
    "no_blob_is_ok",
    "next_set_ignored",
    "early_keeps_last",
    "forget_commit_rounds",
)
"""Mutants that once passed all tests."""
ALL = (*MUTANTS, *(one.mutant for one in EQUIVALENT))
MERKLE = Rules("p2p/blocks/merkle.py", "tests/p2p/blocks/test_chain_merkle.py")
KILLS = "test_an_index_outside_the_tree_is_refused"
CHECKED = "if not 0 <= index < size:"


@cache
def names_of(file: str) -> set[str]:
    """Names of the tests in a file."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def names_in(test: str) -> set[str]:
    """Names of the tests in the file of a node id."""
    return names_of(test.partition("::")[0])


def spoilt(mutant: Mutant) -> str:
    """What is wrong with a mutant before any test is run; empty where nothing is."""
    try:
        ast.parse(mutant.source)
    except (TextGone, SyntaxError) as error:
        return f"{mutant.name}: {error}"
    gone = [test for test in mutant.tests if test.partition("::")[2].partition("[")[0] not in names_in(test)]
    return f"{mutant.name}: there is no {gone[0]}" if gone else ""


def test_every_mutant_follows_the_program() -> None:
    """Its text is in its file exactly once, what replaces it is Python, and its tests exist."""
    assert [problem for mutant in ALL if (problem := spoilt(mutant))] == []
    assert all(mutant.text != mutant.instead for mutant in ALL)
    assert all(mutant.tests for mutant in MUTANTS)


def test_every_mutant_has_a_name_of_its_own_and_a_sentence() -> None:
    assert not [name for name, times in Counter(mutant.name for mutant in ALL).items() if times > 1]
    assert all(re.fullmatch(r"[A-Z].*\.", mutant.allows, re.DOTALL) for mutant in ALL)
    assert all(re.fullmatch(r"[A-Z].*\.", one.proof, re.DOTALL) for one in EQUIVALENT)
    changes = Counter((mutant.file, mutant.text, mutant.instead) for mutant in ALL)
    assert max(changes.values()) == 1


def test_what_once_passed_all_tests_is_among_them() -> None:
    assert set(AUDITED) <= {mutant.name for mutant in MUTANTS}
    assert len(MUTANTS) >= 40


def test_five_mutants_drawn_by_the_commit_are_killed() -> None:
    found = list(outcomes(drawn(MUTANTS, DRAWN)))
    assert len(found) == DRAWN
    assert not {one.mutant.name: one.problem for one in found if not one.is_killed}


def test_another_commit_draws_others(monkeypatch: pytest.MonkeyPatch) -> None:
    names = []
    for commit in ("one", "other", "one"):
        monkeypatch.setattr(runner, "commit", lambda commit=commit: commit)
        names.append([mutant.name for mutant in drawn(MUTANTS, DRAWN)])
    assert names[0] == names[2] != names[1]


def test_without_git_the_files_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert len(runner.commit()) == 64
    assert runner.commit() == runner.commit()


# --- what counts as killed ----------------------------------------------------------------------------------


def index_check(name: str, instead: str, test: str = KILLS, text: str = CHECKED) -> Mutant:
    """A mutant of the check of an index in a Merkle tree."""
    return MERKLE.without(name, text, instead, "Anything.", test)


SPOILT = {
    "it survives": index_check("same", "if (not 0 <= index < size):"),
    "could not run, exit code 4": index_check(
        "no_module", "import gone\nfrom __future__", text="from __future__"
    ),
    "could not run, exit code 1": index_check("no_name", "if gone:"),
}


@pytest.mark.slow
def test_a_mutant_is_killed_by_a_test_that_fails_and_by_nothing_else() -> None:
    killed = index_check("killed", "if index < 0:")
    right, *wrong = outcomes([killed, *SPOILT.values()])
    assert right.is_killed, right.problem
    assert right.failed.startswith(killed.tests[0])
    for problem, outcome in zip(SPOILT, wrong, strict=True):
        assert problem in outcome.problem
    [without] = outcomes([index_check("no_test", "if False:", "test_gone")])
    assert "could not run, exit code 4" in without.problem


def test_a_test_that_fails_anyway_kills_nothing(tmp_path: Path) -> None:
    copy = runner.Copy(tmp_path / "copy")
    (copy.folder / "tests/test_wrong.py").write_text(
        '"""Wrong."""\n\n\ndef test_wrong() -> None:\n    assert False\n'
    )
    killed = index_check("killed", "if index < 0:", "tests/test_wrong.py")
    found = Runner([copy])
    found.check_without(killed.tests)
    assert found.outcome(killed).problem.startswith("its tests fail without it")


def test_a_copy_is_as_before_after_a_mutant(tmp_path: Path) -> None:
    mutant, copy = MUTANTS[0], runner.Copy(tmp_path / "copy")
    right = (ROOT / mutant.file).read_text(encoding="utf-8")
    with copy.with_mutant(mutant):
        assert (copy.folder / mutant.file).read_text(encoding="utf-8") == mutant.source
        assert (ROOT / mutant.file).read_text(encoding="utf-8") == right
    assert (copy.folder / mutant.file).read_text(encoding="utf-8") == right


@pytest.mark.parametrize(("text", "times"), [("no such text", 0), ("return", None)])
def test_a_text_that_is_gone_or_not_the_only_one_is_an_error_that_says_so(
    text: str, times: int | None
) -> None:
    mutant = MERKLE.without("gone", text, "pass", "Anything.")
    with pytest.raises(TextGone, match=f"gone: its text occurs {'[0-9]+' if times is None else times} times"):
        assert mutant.source
    assert "gone: its text occurs" in spoilt(mutant)


def test_a_test_that_is_gone_is_an_error_that_says_so() -> None:
    assert "there is no tests/p2p/blocks/test_chain_merkle.py::test_gone" in spoilt(
        index_check("no_test", "if False:", "test_gone")
    )
