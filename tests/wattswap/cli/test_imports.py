"""What starting up imports, and the message when a foreign package hides one of ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.kits.run_kit import python

HEAVY = ["numpy", "pandas", "pyarrow", "pydantic", "pyomo", "highspy", "libp2p", "trio", "nacl", "msgspec"]
REPORT = f"import json, sys; print(json.dumps([name for name in {HEAVY} if name in sys.modules]))"


@pytest.mark.parametrize(
    "program",
    [
        "import wattswap",
        "import wattswap.cli",
        "from wattswap.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass",
    ],
)
def test_starting_up_imports_nothing_heavy(program: str) -> None:
    done = python(f"{program}\n{REPORT}")
    assert json.loads(done.stdout.splitlines()[-1]) == [], done.stderr


def test_every_public_name_is_there_and_keeps_its_meaning() -> None:
    """A module of the same name would replace it as soon as somebody imports that module."""
    program = """
import importlib, pkgutil, wattswap as ws
first = {name: getattr(ws, name) for name in ws.__all__}
for module in pkgutil.iter_modules(ws.__path__, 'wattswap.'):
    if not module.name.endswith('__main__'):
        importlib.import_module(module.name)
assert first == {name: getattr(ws, name) for name in ws.__all__}
assert all(callable(value) for value in first.values())
"""
    done = python(program)
    assert done.returncode == 0, done.stderr


def test_an_unknown_attribute_is_an_attribute_error() -> None:
    import wattswap

    name = "nonsense"
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        getattr(wattswap, name)


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A folder with a package that is called as one of ours."""
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "__init__.py").write_text("")
    return tmp_path


def test_a_foreign_package_that_hides_ours_is_named_with_its_place_and_the_cure(foreign: Path) -> None:
    done = python("import wattswap", foreign, PYTHONPATH=str(foreign))
    assert done.returncode == 0
    assert "RuntimeWarning: another distribution hides packages of wattswap: agents (found at " in done.stderr
    assert str(foreign / "agents" / "__init__.py") in done.stderr
    assert "Install wattswap into a virtual environment of its own" in done.stderr


def test_the_doctor_names_the_foreign_package(foreign: Path) -> None:
    program = "from wattswap.cli import main; main(['doctor', '--json'])"
    done = python(program, foreign, PYTHONPATH=str(foreign), PYTHONWARNINGS="ignore")
    report = json.loads(done.stdout)
    (check,) = [check for check in report["checks"] if check["what"] == "package names"]
    assert (done.returncode, report["ok"], check["ok"]) == (6, False, False)
    assert str(foreign) in check["detail"]


def test_without_a_foreign_package_nothing_is_said() -> None:
    done = python("import wattswap", PYTHONWARNINGS="error")
    assert (done.returncode, done.stderr) == (0, "")
