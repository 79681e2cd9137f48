"""One registry for every kind of plug-in: what is found by name, where it came from, and what is wrong with a name."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from traceback import walk_tb
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    Literal,
    Protocol,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from market.errors import (
    BrokenPlugin,
    DuplicateName,
    InvalidPlugin,
    OldContract,
    PluginFailed,
    UnknownName,
    one_line,
)

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


class Named(Protocol):
    """What can be registered: anything with a name."""

    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=Named)
NAME = re.compile(r"[^\W\d][\w.-]{0,63}")
ADDED: list[tuple[Registry[Any], str]] = []
"""What was registered by neither a folder nor an entry point, in order: files and notebooks of users."""


def by_hand() -> list[tuple[Registry[Any], str]]:
    """Those of `ADDED` that are still there."""
    return [(registry, name) for registry, name in dict.fromkeys(ADDED) if name in registry]


def misfit(item: Any) -> str:
    """The first field of a dataclass whose value is not of its declared type, in words; empty where all are.

    Dataclasses inside it, such as the parameters of a mechanism, are checked too.
    """
    hints = _hints(item.__class__)
    for name, hint in hints.items():
        value = getattr(item, name)
        if not _fits(value, hint):
            choices = get_args(hint) if get_origin(hint) is Literal else ()
            wanted = f"none of {', '.join(map(str, choices))}" if choices else f"no {_word(hint)}"
            return f"has {name}={repr(value)[:80]}, which is {wanted}"
        inside = (
            value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple) else (value,)
        )
        for one in inside:
            if wrong := misfit(one):
                return f"has a {name.removesuffix('s')} that {wrong}"
    return ""


@cache
def _hints(kind: Any) -> dict[str, Any]:
    """Types of the fields of a dataclass; of any other class none."""
    if not is_dataclass(kind):
        return {}
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a type; of the types inside one, those of a union, a tuple and a set are checked."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin is Literal:
        return value in inner
    if origin in (Union, UnionType):
        return any(_fits(value, one) for one in inner)
    if origin is Callable:
        return callable(value)
    if origin is tuple and inner[1:] != (...,):
        return isinstance(value, tuple) and len(value) == len(inner) and all(map(_fits, value, inner))
    if origin in (tuple, frozenset):
        return isinstance(value, origin) and all(_fits(one, inner[0]) for one in value)
    return isinstance(value, origin or hint)


def _word(hint: Any) -> str:
    """A type in one word."""
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return " or ".join(map(_word, get_args(hint)))
    if origin is tuple:
        return f"tuple of {_word(get_args(hint)[0])}"
    return "None" if hint is NoneType else str((origin or hint).__name__)


def line_of(error: BaseException, module: str) -> str:
    """The innermost line of a module that an error passed through, in words; empty where it passed through none."""
    frames = walk_tb(error.__traceback__)
    lines = [line for frame, line in frames if frame.f_globals.get("__name__") == module]
    return f"line {lines[-1]} of {module}" if lines else ""


class Registry(Generic[T]):
    """The plug-ins of one kind, by name: files of our folders, entry points of other packages, files of users.

    A plug-in registers itself when its file is imported. Folders and entry points are imported at the first question,
    so that a file dropped into a folder is found, and a package that is never asked for costs nothing. A plug-in of a
    user comes after both, so that a name of ours is refused where it is taken a second time.

    Args:
        kind: What one is called in sentences, such as "strategy".
        folders: Our packages whose files register themselves; a name with a leading underscore is a helper.
        group: Entry-point group of other packages, such as "wattswap.strategies".
        item: Class of the plug-ins.
        contract: Version of what a plug-in of this kind must offer; raised when older plug-ins no longer work.
    """

    def __init__(
        self,
        kind: str,
        *,
        folders: Sequence[str],
        group: str,
        item: type[T],
        contract: int = 1,
    ) -> None:
        self.kind, self.folders, self.group, self.contract = kind, tuple(folders), group, contract
        self.item = item
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
            InvalidPlugin: It is not a plug-in of this kind.
            DuplicateName: The name is taken.
            OldContract: It was written for another version of the contract.
        """
        if contract not in (None, self.contract):
            raise OldContract(self.kind, str(getattr(item, "name", item)), contract, self.contract)
        origin = origin or sys._getframe(1).f_globals.get("__name__", "?")
        ours = self._in_a_folder(origin)
        if not ours:
            self._refuse_unfit(item)
        by_hand = not ours and not self._loading
        if by_hand:
            self.load()
        if item.name in self._items:
            raise DuplicateName(self.kind, item.name, self._origin[item.name], origin)
        self._items[item.name] = item
        self._origin[item.name] = origin
        if by_hand:
            ADDED.append((self, item.name))
        return item

    def _refuse_unfit(self, item: T) -> None:
        name = getattr(item, "name", None)
        if not isinstance(item, self.item):
            raise InvalidPlugin(
                self.kind, repr(name), f"is of the class {type(item).__name__}, not {self.item.__name__}"
            )
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise InvalidPlugin(
                self.kind,
                repr(name),
                "has no name of at most 64 letters, digits, '_', '-' and '.' that begins with a letter",
            )
        if wrong := misfit(item):
            raise InvalidPlugin(self.kind, repr(name), wrong)

    def held(self, item: T, *, passing: tuple[type[Exception], ...] = ()) -> Held[T]:
        """Report an error of a plug-in, or of the check of its result, in one sentence; the body of a `with` runs both.

        Errors of our own plug-ins, and errors that have a sentence for the user, pass unchanged.

        Args:
            item: The plug-in.
            passing: Errors that its contract lets it raise.

        Raises:
            PluginFailed: Names the plug-in, the line and the reason.
        """
        return Held(self, item, passing)

    def _refuse_fault(self, item: T, error: BaseException) -> None:
        """Raise an error of a third-party plug-in again, as a sentence."""
        registered = self._items.get(item.name) is item
        if not registered or self.is_ours(item) or getattr(error, "exit_hint", "bug") != "bug":
            return
        origin = self._origin[item.name]
        place = line_of(error, origin) or f"what {origin or 'it'} returns"
        raise PluginFailed(self.kind, item.name, place, one_line(error)) from error

    def forget(self, name: str) -> None:
        """Remove a plug-in, so that its name can be registered again: for notebooks, where code is run again."""
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

    def third_party_modules(self) -> set[str]:
        """The modules outside our folders that have registered something in this process."""
        return {origin for origin in self._origin.values() if not self._in_a_folder(origin)}

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
                except KeyboardInterrupt:
                    raise
                except BaseException as error:  # whatever another package raises
                    self.broken[point.name] = BrokenPlugin(self.kind, point.name, point.value, error)
        finally:
            self._loading = False


class Held(Generic[T]):
    """The context manager of `Registry.held`; a generator would cost three times as much, and it is entered often."""

    __slots__ = ("_item", "_passing", "_registry")

    def __init__(self, registry: Registry[T], item: T, passing: tuple[type[Exception], ...]) -> None:
        self._registry, self._item, self._passing = registry, item, passing

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, self._passing):
            return
        if not isinstance(error, KeyboardInterrupt):
            self._registry._refuse_fault(self._item, error)


def entry_points(group: str) -> Iterable[EntryPoint]:
    """Entry points of installed packages; importlib.metadata, which is slow, is imported where a package has one."""
    if group not in _groups(tuple(sys.path)):
        return ()
    from importlib import metadata

    return metadata.entry_points(group=group)


@cache
def _groups(places: tuple[str, ...]) -> frozenset[str]:
    """The groups that any installed package declares, from the entry_points.txt beside its metadata."""
    found: set[str] = set()
    for place in places:
        for name in os.listdir(place or ".") if os.path.isdir(place or ".") else ():
            if name.endswith((".dist-info", ".egg-info")):
                found |= _declared(os.path.join(place, name, "entry_points.txt"))
    return frozenset(found)


def _declared(file: str) -> set[str]:
    try:
        with open(file, encoding="utf-8", errors="replace") as lines:
            return {line.strip()[1:-1].strip() for line in lines if line[0] == "["}
    except OSError:  # a package without entry points
        return set()
