"""The kit of the documentation tests sees a difference, and leaves out no more than a page says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kits.docs_kit import differs, run_page

OUTPUT = ["head", "one", "two", "three", "tail"]


@pytest.mark.parametrize(
    "shown",
    [
        OUTPUT,
        ["head", "...", "tail"],
        ["...", "tail"],
        ["head", "..."],
        ["..."],
        ["head", "...", "two", "...", "tail"],
        ["...", "one", "two", "..."],
        ["head", "one", "two", "three", "...", "tail"],
    ],
)
def test_an_ellipsis_stands_for_whole_lines_also_for_none(shown: list[str]) -> None:
    assert differs(shown, OUTPUT) is None


@pytest.mark.parametrize(
    "shown",
    [
        ["head", "tail"],
        ["head", "o...", "two", "three", "tail"],
        ["head ...", "tail"],
        ["head", "...", "other"],
        ["other", "...", "tail"],
        ["head", "...", "four", "...", "tail"],
        ["head", "...", "three", "...", "two", "...", "tail"],
        ["head", "one", "two", "three", "tail", "...", "tail"],
        [],
    ],
)
def test_anything_else_that_is_not_the_output_is_a_difference(shown: list[str]) -> None:
    assert differs(shown, OUTPUT) is not None


def test_pages_that_run_the_demo_in_the_same_way_share_one_run(tmp_path: Path) -> None:
    """A page that runs it again gets a run of its own, as in another folder of the page."""
    command = "$ wattswap run demo --set time.intervals=1 --quiet\n"
    text = f"```console\n{command}$ wattswap verify RUN --quiet\n{command}```\n"
    page, shared = tmp_path / "page.md", tmp_path / "shared"
    page.write_text(text, encoding="utf-8")
    shared.mkdir()
    outputs = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        shown = run_page(page, tmp_path / name, shared=shared)
        assert [one.code for one in shown] == [0, 0, 0]
        assert len(list((tmp_path / name / "runs").iterdir())) == 2
        outputs.append([one.actual for one in shown])
    assert outputs[0][0] == outputs[1][0] != outputs[1][2]
    assert len(list(shared.iterdir())) == 1
