"""The distribution holds our six packages and what they need, nothing else; its requirements are met and pinned."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"agents", "data", "market", "optimizer", "p2p", "wattswap"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONSTRAINTS = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
TESTED_EXTRAS = ("dev", "docs")
"""Extras that `make` installs; the others may be left out of constraints.txt."""

IMPORTED_AS = {"nacl": "pynacl", "multiaddr": "libp2p", "click": "typer", "pandapower": "simbench"}
"""Modules that come under another name, or with a distribution that is declared."""


def pins() -> dict[str, Version]:
    return {
        canonicalize_name(name): Version(version)
        for name, _, version in (c.partition("==") for c in CONSTRAINTS)
    }


def declared(*extras: str) -> list[Requirement]:
    listed = list(PROJECT["project"]["dependencies"])
    for extra in extras:
        listed += PROJECT["project"]["optional-dependencies"][extra]
    return [Requirement(text) for text in listed]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheel and sdist, built by the backend in this environment: no network, no isolated environment."""
    pytest.importorskip("hatchling", reason="hatchling is not installed, so no wheel can be built here")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder), "-t", "wheel", "-t", "sdist"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> list[str]:
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def test_the_wheel_holds_our_packages_and_nothing_else_at_the_top(wheel: list[str]) -> None:
    top = {name.split("/")[0] for name in wheel}
    assert top - PACKAGES == {f"wattswap-{PROJECT['project']['version']}.dist-info"}
    assert top >= PACKAGES
    assert set(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == PACKAGES


def test_the_wheel_holds_every_module_and_every_data_file_and_no_leftovers(wheel: list[str]) -> None:
    ours = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and not {"__pycache__", "simulation"} & set(path.parts)
    }
    assert {name for name in wheel if ".dist-info/" not in name} == ours
    assert {f"{package}/py.typed" for package in PACKAGES} <= ours
    for needed in ("data/samples/simbench/street.parquet", "wattswap/scenario/templates/street.toml"):
        assert needed in ours


def test_the_wheel_carries_the_licences_of_program_and_data(wheel: list[str]) -> None:
    licences = {name.partition(".dist-info/licenses/")[2] for name in wheel}
    assert {"LICENSE", "data/samples/simbench/LICENSE-ODbL.txt"} <= licences
    assert "data/samples/simbench/ATTRIBUTION.md" in wheel


def test_the_wheel_states_python_command_and_licence(built: Path) -> None:
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        info = next(name.partition("/")[0] for name in archive.namelist() if ".dist-info/" in name)
        metadata = Parser().parsestr(archive.read(f"{info}/METADATA").decode())
        scripts = archive.read(f"{info}/entry_points.txt").decode()
    assert set(metadata["Requires-Python"].split(",")) == {">=3.11", "<3.14"}
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "wattswap = wattswap.cli:main" in scripts


def test_the_sdist_holds_what_make_test_needs(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = {
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "Makefile",
        "constraints.txt",
        "requirements-node.txt",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
    }
    assert not needed - names
    for folder in ("tests/", "docs/", "benchmarks/"):
        assert any(name.startswith(folder) for name in names)
    assert not [
        name for name in names if name.startswith((".venv", "runs/", "dist/")) or "__pycache__" in name
    ]


def test_both_licence_files_are_the_right_ones() -> None:
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in licence
    assert "Version 2.0, January 2004" in licence
    assert "Open Database License" in (ROOT / "data/samples/simbench/LICENSE-ODbL.txt").read_text(
        encoding="utf-8"
    )
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    for name in ("street.parquet", "village.parquet", "street_grid.json"):
        assert name in notice
        assert (ROOT / "data" / "samples" / "simbench" / name).is_file()


def test_the_version_is_stated_once_in_two_places() -> None:
    import wattswap

    assert wattswap.__version__ == PROJECT["project"]["version"]
    assert f"## {wattswap.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_constraints_hold_names_and_versions_only_each_name_once() -> None:
    assert not [line for line in CONSTRAINTS if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+]+", line)]
    names = [canonicalize_name(line.partition("==")[0]) for line in CONSTRAINTS]
    assert len(set(names)) == len(names)


def test_the_constraints_satisfy_every_requirement() -> None:
    pinned = pins()
    build = [Requirement(text) for text in PROJECT["build-system"]["requires"]]
    for requirement in [*declared(*TESTED_EXTRAS), *build]:
        version = pinned.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is in pyproject.toml and not in constraints.txt"
        assert requirement.specifier.contains(version, prereleases=True), (
            f"{requirement} is not met by {version}"
        )
    for requirement in declared(*PROJECT["project"]["optional-dependencies"]):
        version = pinned.get(canonicalize_name(requirement.name))
        assert version is None or requirement.specifier.contains(version, prereleases=True)


def test_everything_that_the_requirements_bring_along_is_pinned() -> None:
    """One unpinned dependency of a dependency, and two machines test two things."""
    pinned, seen = pins(), set[str]()
    todo = declared(*TESTED_EXTRAS)
    loose = []
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        if name in seen:
            continue
        seen.add(name)
        try:
            found = distribution(requirement.name)
        except PackageNotFoundError:
            continue  # for another platform, or not installed here
        if name not in pinned:
            loose.append(name)
        for text in found.requires or []:
            needed = Requirement(text)
            environments = [{**default_environment(), "extra": extra} for extra in ("", *requirement.extras)]
            if needed.marker is None or any(
                needed.marker.evaluate(environment) for environment in environments
            ):
                todo.append(needed)
    assert len(seen) > 30
    assert not sorted(loose)


def test_every_distribution_that_we_import_is_declared() -> None:
    known = {
        canonicalize_name(requirement.name)
        for requirement in declared(
            "grids", "solar", "boosted", "fast", "learn", "meters", "duckdb", "postgres"
        )
    }
    undeclared = set()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                    names = [node.module]
                else:
                    continue
                for top in {name.split(".")[0] for name in names}:
                    if top in sys.stdlib_module_names or top in PACKAGES:
                        continue
                    if canonicalize_name(IMPORTED_AS.get(top, top)) not in known:
                        undeclared.add(f"{path.relative_to(ROOT)}: {top}")
    assert not sorted(undeclared)


def test_what_make_prints_fits_a_terminal_of_80_columns() -> None:
    """A shell's words are counted as the longest of them: the folder of a run of the demo."""
    printed = re.findall(r'^\t@echo "(.*)"$', (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    of_the_shell = r"\$\$\((?:[^()]|\([^()]*\))*\)"
    shown = [re.sub(of_the_shell, "runs/2026-11-30T18-32-09_street_339a04/", line) for line in printed]
    assert any(line.startswith("  wattswap report runs/") for line in shown), shown
    assert [line for line in shown if len(line) > 80] == []
