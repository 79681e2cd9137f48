"""Plug-ins of tests: files that register something, and registries that forget it afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from market import registry as registries
from wattswap import plugins


@contextmanager
def own_registries(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a test register plug-ins of any kind that are forgotten afterwards."""
    path, modules = list(sys.path), set(sys.modules)
    with monkeypatch.context() as patch:
        for what, _ in plugins.REGISTRIES:
            registry = plugins.registry(what)
            registry.load()
            for name in ("_items", "_origin", "broken"):
                patch.setattr(registry, name, dict(getattr(registry, name)))
        added = list(registries.ADDED)
        registries.ADDED.clear()
        patch.setattr(plugins, "_FILES", dict(plugins._FILES))
        known = set(plugins._FILES)
        yield
        registries.ADDED[:] = added
        for file in set(plugins._FILES) - known:
            if file.stem not in modules:
                sys.modules.pop(file.stem, None)
        sys.path[:] = path


@pytest.fixture
def clean_registries(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget all plug-ins of a test after it."""
    with own_registries(monkeypatch):
        yield


def written(folder: Path, name: str, text: str) -> Path:
    """Write a file of plug-ins and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def install(monkeypatch: pytest.MonkeyPatch, folder: Path, group: str, text: str) -> None:
    """Pretend that a package with one entry point, `theirs`, is installed."""
    written(folder, "their_package.py", text)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "their_package", raising=False)
    point = EntryPoint("theirs", "their_package", group)
    monkeypatch.setattr(registries, "entry_points", lambda group: EntryPoints([point]).select(group=group))
    for what, _ in plugins.REGISTRIES:
        monkeypatch.setattr(plugins.registry(what), "_loaded", False)


def installed(folder: Path, group: str, module: str) -> None:
    """Make a folder one with an installed package that names a module under an entry-point group."""
    about = written(
        folder / f"{module}-1.0.dist-info",
        "METADATA",
        f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n",
    )
    written(about.parent, "entry_points.txt", f"[{group}]\n{module} = {module}\n")


def command(*arguments: object, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line as a process of its own, with the packages that this one sees and those of a folder."""
    packages = [*([] if path is None else [str(path)]), *sys.path]
    return subprocess.run(
        [sys.executable, "-m", "wattswap", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(packages)},
        timeout=300,
        check=False,
    )
