"""One registry for every kind of plug-in."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import pytest

from market.errors import BrokenPlugin, DuplicateName, OldContract, UnknownName
from market.registry import ADDED, Registry
from wattswap.errors import Problem
from wattswap.plugins import BrokenModule


@dataclass(frozen=True)
class Thing:
    """A plug-in with nothing but a name."""

    name: str


@pytest.fixture(autouse=True)
def nothing_added() -> Iterator[None]:
    """Other tests do not see what these add."""
    before = list(ADDED)
    yield
    ADDED[:] = before


def registry(*folders: str, contract: int = 1) -> Registry[Thing]:
    return Registry("thing", folders=folders, group="wattswap.tests.none", item=Thing, contract=contract)


def test_what_is_registered_is_found_and_listed_by_name() -> None:
    things = registry()
    second, first = things.register(Thing("second")), things.register(Thing("first"))
    assert things.get("first") is first
    assert list(things.all().values()) == [first, second]
    assert things.origin("first") == __name__


def test_a_name_that_is_taken_is_refused_with_its_owner() -> None:
    things = registry()
    things.register(Thing("first"))
    with pytest.raises(DuplicateName, match=f"'first' is registered already, by {__name__}; .* in elsewhere"):
        things.register(Thing("first"), origin="elsewhere")


def test_an_unknown_name_gets_the_nearest_one() -> None:
    things = registry()
    things.register(Thing("first"))
    with pytest.raises(UnknownName, match=r"no thing 'firstt'\. Did you mean 'first'"):
        things.get("firstt")


def test_a_plug_in_for_an_older_contract_is_refused() -> None:
    things = registry(contract=2)
    with pytest.raises(OldContract, match="version 1 of the contract, and this is version 2"):
        things.register(Thing("first"), contract=1)
    assert not things.all()


def test_a_file_dropped_into_a_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "dropped_things"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from market.registry import ADDED, Registry\n"
        "from dataclasses import dataclass\n"
        "@dataclass(frozen=True)\nclass Thing:\n    name: str\n"
        "THINGS = Registry('thing', folders=['dropped_things'], group='wattswap.tests.none', item=Thing)\n"
        "THINGS.register(Thing(name='beside'))\n"
    )
    (package / "one.py").write_text(
        "from dropped_things import THINGS, Thing\nTHINGS.register(Thing(name='one'))\n"
    )
    (package / "_helper.py").write_text("raise RuntimeError('a helper is not imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import dropped_things  # type: ignore[import-not-found]

    try:
        before = list(ADDED)
        assert list(dropped_things.THINGS.all()) == ["beside", "one"]
        assert all(dropped_things.THINGS.is_ours(thing) for thing in dropped_things.THINGS.all().values())
        mine = dropped_things.THINGS.register(dropped_things.Thing("mine"))
        assert not dropped_things.THINGS.is_ours(mine)
        assert [*before, (dropped_things.THINGS, "mine")] == ADDED
        assert dropped_things.THINGS.origin("one") == "dropped_things.one"
    finally:
        for name in [name for name in sys.modules if name.startswith("dropped_things")]:
            del sys.modules[name]


@pytest.mark.parametrize(
    "error",
    [
        UnknownName("thing", "x", ["y"]),
        DuplicateName("thing", "x", "here", "there"),
        OldContract("thing", "x", 1, 2),
        BrokenPlugin("thing", "x", "package.module", ValueError("no")),
        BrokenModule(Problem("'x'", "registers nothing", "register"), Problem("y", "is wrong", line=3)),
    ],
)
def test_errors_survive_the_way_between_processes(error: Exception) -> None:
    assert "'x'" in str(error)
    with (
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
        pytest.raises(type(error)) as caught,
    ):
        pool.submit(raised, error).result()
    assert str(caught.value) == str(error)
    assert vars(caught.value) == vars(error)


def raised(error: Exception) -> None:
    raise error
