"""Every extension point is on its page, and every example there works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import extension_points
from tests.extension_points import KINDS, PAGE, page
from tests.kits.docs_kit import run_apart
from tests.kits.plugin_kit import command, installed, written
from wattswap import plugins

SAMPLE = ("formats", "price-formats", "grid-formats", "metrics", "chain-modules")
"""Kinds whose commands `make test` runs; `make slow` runs all."""
EXAMPLES = [(what, example) for what, _ in plugins.REGISTRIES for example in KINDS[what].examples]


def test_the_page_has_every_registry_and_is_not_stale() -> None:
    assert {what for what, _ in plugins.REGISTRIES} <= set(KINDS)
    cure = f"write it anew: python -m {extension_points.__name__}"
    assert PAGE.read_text(encoding="utf-8") == page(), cure


def test_a_registry_without_an_entry_on_the_page_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        extension_points,
        "REGISTRIES",
        (*plugins.REGISTRIES, ("gadgets", "market.mechanism:MECHANISMS")),
    )
    with pytest.raises(KeyError, match="gadgets"):
        page()


@pytest.mark.parametrize("kinds", [SAMPLE, pytest.param(tuple(KINDS), marks=pytest.mark.slow)])
def test_every_command_on_the_page_ends_with_code_0(kinds: tuple[str, ...], tmp_path: Path) -> None:
    part = tmp_path / PAGE.name
    sections = PAGE.read_text(encoding="utf-8").split("\n## ")[1:]
    part.write_text("\n## ".join(["", *(one for one in sections if one.partition("\n")[0] in kinds)]))
    shown = run_apart(part, tmp_path, tmp_path / "shared")
    assert len(shown) == sum(len(example.commands) for what in kinds for example in KINDS[what].examples)
    assert [f"{one.what}: {one.actual}" for one in shown if one.code] == []


LISTS = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
from wattswap.cli import main
found = {}
for what in sys.argv[1:]:
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        try:
            main(["list", what, "--json"])
        except SystemExit as end:
            code = end.code
    found[what] = code, out.getvalue(), err.getvalue()
print(json.dumps(found))
"""
"""Each list of plug-ins, in one process."""


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str, str]]:
    """What `wattswap list` prints by kind where every example is a package."""
    folder = tmp_path_factory.mktemp("packages")
    for what, example in EXAMPLES:
        written(folder, example.file, example.text)
        installed(folder, plugins.registry(what).group, Path(example.file).stem)
    path = os.pathsep.join([str(folder), *sys.path])
    kinds = dict.fromkeys(what for what, _ in EXAMPLES)
    done = subprocess.run(
        [sys.executable, "-c", LISTS, *kinds],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, tuple[int, str, str]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(("what", "example"), EXAMPLES, ids=lambda value: getattr(value, "file", value))
def test_an_example_in_a_package_is_listed_with_its_origin(
    what: str, example: extension_points.Example, listed: dict[str, tuple[int, str, str]]
) -> None:
    code, out, err = listed[what]
    assert code == 0, err
    assert f'"origin": "{Path(example.file).stem}"' in out
    assert err == ""


def test_a_command_of_another_package_runs_and_stands_in_the_help(tmp_path: Path) -> None:
    (example,) = KINDS["commands"].examples
    written(tmp_path, example.file, example.text)
    installed(tmp_path, "wattswap.commands", "hello")
    assert command("hello", "anna", path=tmp_path).stdout == "Hello, anna.\n"
    assert "Say hello to somebody." in command("--help", path=tmp_path).stdout


def test_a_command_dropped_into_the_folder_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from wattswap import cli
    from wattswap.cli.command import COMMANDS, command_line

    (example,) = KINDS["commands"].examples
    written(tmp_path, "hello_dropped.py", example.text.replace('"hello"', '"hello-dropped"'))
    monkeypatch.setattr(cli, "__path__", [*cli.__path__, str(tmp_path)])
    for name in ("_items", "_origin"):
        monkeypatch.setattr(COMMANDS, name, dict(getattr(COMMANDS, name)))
    monkeypatch.setattr(COMMANDS, "_loaded", False)
    try:
        app = command_line()
        app(["hello-dropped", "ben"], standalone_mode=False)
        assert capsys.readouterr().out == "Hello, ben.\n"
        assert COMMANDS.origin("hello-dropped") == "wattswap.cli.hello_dropped"
    finally:
        sys.modules.pop("wattswap.cli.hello_dropped", None)


def test_an_unknown_plural_gets_the_nearest_one(tmp_path: Path) -> None:
    done = command("list", "mechanism", path=tmp_path)
    assert done.returncode == 2
    assert "did you mean 'mechanisms'?" in done.stderr
