"""Ctrl-C in the middle of a value that pydantic writes is an interruption, not a bug."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import BaseModel, field_serializer

import wattswap as ws
from tests.kits.run_kit import write_street
from wattswap.cli import main
from wattswap.errors import Interrupted, was_interrupted


class Written(BaseModel):
    """A model whose one value is interrupted while it is written."""

    value: int = 1

    @field_serializer("value")
    def text(self, _value: int) -> str:
        raise KeyboardInterrupt


def interrupted(*_: object, **__: object) -> None:
    Written().model_dump_json()


def test_pydantic_makes_an_error_of_its_own_of_it() -> None:
    with pytest.raises(ValueError, match="KeyboardInterrupt") as caught:
        interrupted()
    assert was_interrupted(caught.value)
    assert was_interrupted(KeyboardInterrupt())
    assert not was_interrupted(ValueError("KeyboardInterrupt"))


def test_a_comparison_says_how_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wattswap.comparison.runner._work", interrupted)
    street = ws.load(write_street(tmp_path / "street"))
    with pytest.raises(Interrupted, match="the same command continues"):
        ws.compare(street, mechanisms=["uniform_price"], out=tmp_path / "out")


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_command_ends_as_interrupted(
    options: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stands_in() -> Callable[..., None]:
        return interrupted

    monkeypatch.setattr("wattswap.cli.command", stands_in)
    with pytest.raises(SystemExit) as caught:
        main(["list", "mechanisms", *options])
    assert caught.value.code == 130
    captured = capsys.readouterr()
    assert ("Interrupted." in captured.err) != bool(options)
    assert ('"code": 130' in captured.out) == bool(options)
