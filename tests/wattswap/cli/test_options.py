"""Options of the command line: an error names what was typed, and one mistake has one exit code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kits.run_kit import call, files_below, refused
from wattswap.cli import command as command_line

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("options", "phrase"),
    [
        (
            ["-m", "unifrom_price"],
            "Error: -m unifrom_price: no mechanism 'unifrom_price'; did you mean 'uniform_",
        ),
        (["-m", "mcaf:unit_kwh=2"], "Error: -m mcaf:unit_kwh=2: no mechanism 'mcaf'; did you mean 'mcafee'?"),
        (["-m", 'a"b'], "Error: -m a\"b: no mechanism 'a\"b'; known: "),
        (["--seed", -3], "Error: --seed -3: -3 is too small; the smallest is 0"),
    ],
)
def test_an_error_names_the_option_that_was_typed(
    options: list[object], phrase: str, street: Path, tmp_path: Path, capsys: Capture
) -> None:
    outcome = call(capsys, "run", street, "--out", tmp_path, *options)
    refused(outcome, 2, phrase)
    assert "--set" not in outcome.err


@pytest.mark.parametrize(
    "command",
    [
        "run {street}", "live {street}", "compare {street}", "sweep {street} --vary market.k=0,1",
        "check market {street}", "check mechanism", "clear {street}/case.json",
    ],
)  # fmt: skip
def test_an_unknown_mechanism_of_the_command_line_has_one_exit_code(
    command: str, street: Path, tmp_path: Path, capsys: Capture
) -> None:
    (street / "case.json").write_text('{"orders": []}', encoding="utf-8")
    words = command.format(street=street).split()
    words += ["nope"] if words[-1] == "mechanism" else ["-m", "nope"]
    words += ["--out", str(tmp_path / "out")] if words[0] in ("run", "live", "compare", "sweep") else []
    refused(call(capsys, *words), 2, "no mechanism 'nope'", "uniform_price")
    assert files_below(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--seed", -3], 2),
        (["--seed", -3, "-m", "nope", "--case", "nope"], 2),
        (["--seed", -3, "--set", "market.k=7"], 3),
        (["--set", "market.mechanism=nope"], 3),
    ],
)
def test_a_mistake_of_the_scenario_counts_more_than_one_of_an_option(
    options: list[object], code: int, street: Path, tmp_path: Path, capsys: Capture
) -> None:
    outcome = call(capsys, "run", street, "--out", tmp_path / "out", *options)
    assert (outcome.code, outcome.out) == (code, "")
    assert all(str(options[i + 1]) in outcome.err for i in range(0, len(options), 2))


def test_a_value_that_is_varied_is_named_as_it_was_typed(
    street: Path, tmp_path: Path, capsys: Capture
) -> None:
    outcome = call(capsys, "sweep", street, "--vary", "market.k=0,7", "--out", tmp_path / "out")
    refused(outcome, 3, "--vary market.k=7: 7 is too large; the largest is 1")


def test_a_word_that_is_no_choice_is_refused_in_our_words(capsys: Capture) -> None:
    outcome = call(capsys, "data", "import", "any.csv", "--out", "store", "--kind", "foo")
    assert outcome.code == 2
    assert "'foo' is not one of 'energy', 'power', 'counter'" in outcome.err
    assert "Value error" not in outcome.err
    told = call(capsys, "data", "import", "any.csv", "--out", "store", "--kind", "foo", "--json")
    assert "Value error" not in told.out + told.err


def commands(group: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command of the command line, with the words that call it."""
    for name, found in group.commands.items():
        if hasattr(found, "commands"):
            yield from commands(found, (*words, name))
        else:
            yield (*words, name), found


@pytest.mark.parametrize(
    ("words", "found"), [pytest.param(*one, id=" ".join(one[0])) for one in commands(command_line())]
)
def test_a_shortened_option_is_refused(words: tuple[str, ...], found: Any, capsys: Capture) -> None:
    """A later version may have another option that begins alike."""
    options = {
        option for parameter in found.params for option in (*parameter.opts, *parameter.secondary_opts)
    }
    shortened = {option[:-1] for option in options if option.startswith("--") and len(option) > 4} - options
    for option in shortened:
        outcome = call(capsys, *words, option)
        assert (outcome.code, outcome.out) == (2, "")
        assert f"No such option: {option}" in outcome.err
