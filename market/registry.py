"""One registry for every kind of plug-in: look-up by name, origin, and errors for unknown names."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules
from typing import Any, Generic, Protocol, TypeVar

from market.errors import BrokenPlugin, DuplicateName, OldContract, UnknownName


class Named(Protocol):
    """What can be registered: anything with a name."""

    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=Named)
ADDED: list[tuple[Registry[Any], str]] = []
"""What was registered by neither a folder nor an entry point, in order: files and notebooks of users."""


def by_hand() -> list[tuple[Registry[Any], str]]:
    """Those of `ADDED` that are still there."""
    return [(registry, name) for registry, name in dict.fromkeys(ADDED) if name in registry]


class Registry(Generic[T]):
    """The plug-ins of one kind, by name: files of our folders, entry points of other packages, files of users.

    A plug-in registers itself when its file is imported. Folders and entry points are imported at the first question,
    so that a file dropped into a folder is found, and a package that is never asked for costs nothing. A plug-in of a
    user comes after both, so that a name of ours is refused where it is taken a second time.

    Args:
        kind: What one is called in sentences, such as "strategy".
        folders: Our packages whose files register themselves; a name with a leading underscore is a helper.
        group: Entry-point group of other packages, such as "wattswap.strategies".
        contract: Version of what a plug-in of this kind must offer; raised when older plug-ins no longer work.
    """

    def __init__(self, kind: str, *, folders: Sequence[str], group: str, contract: int = 1) -> None:
        self.kind, self.folders, self.group, self.contract = kind, tuple(folders), group, contract
        self.broken: dict[str, BrokenPlugin] = {}
        self._items: dict[str, T] = {}
        self._origin: dict[str, str] = {}
        self._loaded = self._loading = False

    def register(self, item: T, *, contract: int | None = None, origin: str = "") -> T:
        """Add a plug-in under its name and return it.

        Args:
            item: The plug-in.
            contract: Version of the contract it was written for; the present one when left out.
            origin: Module that brings it; the one that calls when left out.

        Raises:
            DuplicateName: The name is taken.
            OldContract: It was written for another version of the contract.
        """
        if contract not in (None, self.contract):
            raise OldContract(self.kind, item.name, contract, self.contract)
        origin = origin or sys._getframe(1).f_globals.get("__name__", "?")
        by_hand = not self._loading and not self._in_a_folder(origin)
        if by_hand:
            self.load()
        if item.name in self._items:
            raise DuplicateName(self.kind, item.name, self._origin[item.name], origin)
        self._items[item.name] = item
        self._origin[item.name] = origin
        if by_hand:
            ADDED.append((self, item.name))
        return item

    def forget(self, name: str) -> None:
        """Take a plug-in out, so that its name can be registered anew: for notebooks, where code is run again."""
        self._items.pop(name, None)
        self._origin.pop(name, None)

    def get(self, name: str) -> T:
        """Return the plug-in of this name.

        Raises:
            UnknownName: Names the nearest match and all known ones.
            BrokenPlugin: The package that brings it cannot be imported.
        """
        self.load()
        if name in self._items:
            return self._items[name]
        if name in self.broken:
            raise self.broken[name]
        raise UnknownName(self.kind, name, self._items)

    def __contains__(self, name: str) -> bool:
        return name in self._items

    def all(self) -> dict[str, T]:
        """All plug-ins by name, in alphabetical order."""
        self.load()
        return dict(sorted(self._items.items()))

    def origin(self, name: str) -> str:
        """The module that registered a name."""
        return self._origin[name]

    def is_ours(self, item: T) -> bool:
        """Whether a file of our folders has registered this very plug-in."""
        return self._items.get(item.name) is item and self._in_a_folder(self._origin[item.name])

    def _in_a_folder(self, origin: str) -> bool:
        return origin in self.folders or origin.rpartition(".")[0] in self.folders

    def load(self) -> None:
        """Import the files of our folders and every entry point, once in a process.

        An entry point that cannot be imported is kept in `broken` by its name: it is missing, and nothing else is.
        """
        if self._loaded:
            return
        self._loaded = self._loading = True
        try:
            for folder in self.folders:
                package = import_module(folder)
                for found in iter_modules(package.__path__):
                    if not found.name.startswith("_"):
                        import_module(f"{folder}.{found.name}")
            for point in entry_points(group=self.group):
                try:
                    point.load()
                except (Exception, SystemExit) as error:  # whatever another package raises
                    self.broken[point.name] = BrokenPlugin(self.kind, point.name, point.value, error)
        finally:
            self._loading = False
