"""What a reviewer would otherwise have to look for: length, leftovers, docstrings, dead links, names of machines."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[1]
METERS = ROOT / "tests/data/meters"
PACKAGES = ("agents", "data", "market", "optimizer", "p2p", "wattswap")
OURS = (*PACKAGES, "benchmarks", "docs", "tests", ".ci")
TEXT_SUFFIXES = {".py", ".md", ".toml", ".txt", ".csv", ".json", ".yaml", ".yml", ".svg", ""}

MAX_LINES = 500
"""A file has one idea; one that passes this wants a second room."""


@cache
def files() -> list[Path]:
    """Every file under version control or about to be; without git, every file of our folders."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            check=True,
        ).stdout.decode()
        paths = [ROOT / name for name in listed.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        paths = [path for folder in OURS for path in (ROOT / folder).rglob("*")]
        paths += [path for path in ROOT.iterdir() if path.is_file()]
    return sorted(path for path in paths if path.is_file() and "__pycache__" not in path.parts)


def texts() -> Iterator[tuple[str, str]]:
    """Name and content of every text file but this one, which spells out what is looked for."""
    for path in files():
        if path.suffix in TEXT_SUFFIXES and path != Path(__file__).resolve():
            # Meter files have the code pages that their vendors write.
            errors = "replace" if path.is_relative_to(METERS) else "strict"
            yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8", errors=errors)


def modules() -> Iterator[tuple[str, str]]:
    """Name and source of every module of our packages."""
    for name, text in texts():
        if name.endswith(".py") and name.split("/")[0] in PACKAGES:
            yield name, text


def hits(pattern: str) -> list[str]:
    """Places where a pattern occurs."""
    compiled = re.compile(pattern)
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if compiled.search(line)
    ]


def test_no_module_of_ours_is_too_long() -> None:
    lengths = {name: len(text.splitlines()) for name, text in modules()}
    assert len(lengths) > 50
    assert not {name: n for name, n in lengths.items() if n > MAX_LINES}


def test_nothing_is_left_to_be_done_later() -> None:
    assert not hits(r"\b(TODO|FIXME|XXX)\b")


def test_no_check_is_switched_off_without_saying_which() -> None:
    assert not hits(r"#\s*noqa(?!:)|#\s*type:\s*ignore(?!\[)")


def test_no_test_sleeps() -> None:
    """They wait for a condition, or on a clock that jumps: tests/kits/time_kit.py holds every sleep there is."""
    sleeps = [
        f"{name}:{node.lineno}"
        for name, text in texts()
        if name.startswith("tests/")
        and name.endswith(".py")
        and name != "tests/kits/time_kit.py"
        and "sleep" in text
        for node in ast.walk(ast.parse(text))
        if (isinstance(node, ast.Attribute) and node.attr == "sleep")
        or (isinstance(node, ast.alias) and node.name == "sleep")
        or (isinstance(node, ast.Name) and node.id == "sleep")
    ]
    assert not sleeps


def test_no_file_names_a_path_of_a_machine() -> None:
    assert not hits(r"(?<![\w.<])/(work|root|home|Users|opt|mnt)/\w|[A-Z]:\\\\?(Users|work)")


def test_no_file_names_a_package_registry() -> None:
    registries = (
        r"pypi\.org|pythonhosted\.org|(extra-)?index-url|registry\.(npmjs|yarnpkg)|anaconda\.org|find-links"
    )
    assert not hits(registries)


def test_every_module_has_a_docstring() -> None:
    """An empty file has nothing to describe."""
    named = [
        *modules(),
        *((n, t) for n, t in texts() if n.startswith(("tests/", "benchmarks/")) and n.endswith(".py")),
    ]
    assert not [name for name, text in named if text.strip() and not ast.get_docstring(ast.parse(text))]


Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def public(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, Definition]]:
    """Public functions, classes and methods with their dotted names; overloads and `...` bodies only declare."""
    for node in body:
        if not isinstance(node, Definition) or node.name.startswith("_"):
            continue
        only = node.body[0]
        declares = (
            isinstance(only, ast.Expr) and isinstance(only.value, ast.Constant) and only.value.value is ...
        )
        if not declares:
            yield f"{prefix}{node.name}", node
        if isinstance(node, ast.ClassDef):
            yield from public(node.body, f"{prefix}{node.name}.")


def test_every_public_function_and_class_has_a_docstring() -> None:
    """A method that a class of the same package documents under the same name need not say it again."""
    found = [
        (name, where, node) for name, text in modules() for where, node in public(ast.parse(text).body, "")
    ]
    assert len(found) > 300
    documented = {
        (name.split("/")[0], where.split(".")[-1]) for name, where, node in found if ast.get_docstring(node)
    }
    missing = []
    for name, where, node in found:
        overrides = "." in where and (name.split("/")[0], node.name) in documented
        if not ast.get_docstring(node) and not overrides:
            missing.append(f"{name}: {where}")
    assert not missing


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    found = set()
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        plain = re.sub(r"[^\w\- ]", "", heading.replace("`", "")).strip().lower()
        found.add(plain.replace(" ", "-"))
    return found


def outside_fences(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


PAGES = [name for name, _ in texts() if name.endswith(".md")]


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_somewhere(page: str) -> None:
    text = outside_fences((ROOT / page).read_text(encoding="utf-8"))
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if "://" in path:
            continue
        place = (ROOT / page).parent / path if path else ROOT / page
        if not place.exists() or (anchor and anchor not in anchors(place.read_text(encoding="utf-8"))):
            dead.append(target)
    assert not dead


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_is_there(page: str) -> None:
    """`market/units.py` in backquotes is a file of this repository."""
    text = outside_fences((ROOT / page).read_text(encoding="utf-8"))
    folders = "|".join(re.escape(folder) for folder in OURS)
    named = set(re.findall(rf"`((?:{folders})/[\w./-]*\w\.(?:py|md|toml|txt|svg|parquet))`", text))
    assert not sorted(name for name in named if not (ROOT / name).is_file())


def test_no_module_imports_itself_by_way_of_others() -> None:
    """Imports for types alone count too: two files of which each names the other have one idea between them."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert len(imports) > 500
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as circle:
        pytest.fail(" -> ".join(circle.args[1]))
