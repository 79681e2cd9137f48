"""Plug-ins: the registries by kind, and files of users that register in them."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from market.errors import BrokenPlugin, DuplicateName, MarketError, OldContract, one_line
from market.mechanism import MECHANISMS
from market.registry import ADDED, Registry, by_hand, line_of
from wattswap.errors import ExitCode, Problem, WattswapError

REGISTRIES: tuple[tuple[str, str], ...] = (
    ("mechanisms", "market.mechanism:MECHANISMS"),
    ("formats", "data.formats:FORMATS"),
    ("price-formats", "data.prices:PRICE_FORMATS"),
    ("weather-formats", "data.weather:WEATHER_FORMATS"),
    ("grid-formats", "data.grids.network:GRID_FORMATS"),
    ("strategies", "agents.bidding:STRATEGIES"),
    ("forecasters", "agents.forecast:FORECASTERS"),
    ("devices", "agents.devices:DEVICES"),
    ("controllers", "agents.control:CONTROLLERS"),
    ("commands", "wattswap.cli.command:COMMANDS"),
    ("metrics", "market.metrics.table:METRICS"),
    ("sections", "wattswap.report.section:SECTIONS"),
    ("chain-modules", "p2p.ledger.module:CHAIN_MODULES"),
)
"""The registries by kind, as `wattswap list` names them; a new kind is one line here."""


Added = tuple[str, Any, str]
"""A plug-in with what holds it, as `REGISTRIES` says, and the module that brings it."""
WITHOUT_EFFECT = ("wattswap.mechanisms", "wattswap.commands", "wattswap.sections")
"""Groups whose plug-ins change no result, unless a mechanism is chosen."""
NOTHING = "register a plug-in in it, as docs/reference/extension-points.md shows for every kind"


class BrokenModule(WattswapError):
    """A file of plug-ins that cannot be used."""

    exit_code = ExitCode.INVALID


_FILES: dict[Path, tuple[str, frozenset[tuple[Registry[Any], str]]]] = {}
"""Files imported by this process: the SHA-256 of each, and what it registered."""


def registry(what: str) -> Registry[Any]:
    """The registry of one kind, imported when first asked for."""
    module, _, name = dict(REGISTRIES)[what].partition(":")
    found: Registry[Any] = getattr(import_module(module), name)
    return found


def broken_plugins(*, every: bool = False) -> list[BrokenPlugin]:
    """Entry points that cannot be imported; of the registries that this process has imported, or of every one."""
    asked = [registry(what) for what, place in REGISTRIES if every or _module_of(place) in sys.modules]
    for one in asked:
        one.load()
    return [error for one in asked for error in one.broken.values()]


def import_file(path: Path) -> tuple[str, str]:
    """Import a Python file, which registers plug-ins; its folder is importable meanwhile and afterwards.

    Once in a process: a second call for the same bytes does nothing while what they registered is there.

    Returns:
        Name and SHA-256 of the file.

    Raises:
        BrokenModule: It is not a Python file, raises when imported, registers nothing or a name that is taken, or
            has the name of another module.
    """
    file = path.resolve()
    spec = spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None or not file.is_file() or "." in file.stem:
        raise BrokenModule.of(str(path), "is not a Python file", "name the file that registers the plug-in")
    content = file.read_bytes()
    found = (file.name, hashlib.sha256(content).hexdigest())
    sha256, known = _FILES.get(file, ("", frozenset()))
    if sha256 == found[1] and all(name in registry for registry, name in known):
        return found
    if _is_imported(file):
        own = ((r, name) for r, name in by_hand() if r.origin(name) == file.stem)
        _FILES[file] = (found[1], frozenset(own))
        return found
    _forget(known)  # a worker outlives a call and may hold an earlier version
    if file.stem not in {other.stem for other in _FILES} and _is_another(file):
        raise BrokenModule.of(str(path), f"has the name of another module, {file.stem}", "rename the file")
    # Last in the path: a helper beside the file must not shadow a package.
    sys.path.append(str(file.parent))
    module = module_from_spec(spec)
    sys.modules[file.stem] = module
    before = len(ADDED)
    try:
        # From these bytes, not by the loader, whose cache may be stale within a second.
        exec(compile(content, str(file), "exec", dont_inherit=True), module.__dict__)
        if len(ADDED) == before:
            raise BrokenModule.of(str(path), "registers nothing", NOTHING)
    except BaseException as error:  # anything may be raised here
        _forget(ADDED[before:])
        del ADDED[before:], sys.modules[file.stem]
        sys.path.remove(str(file.parent))
        if isinstance(error, BrokenModule | KeyboardInterrupt):
            raise
        raise _broken(path, error) from error
    _FILES[file] = (found[1], frozenset(ADDED[before:]))
    return found


def import_files(paths: Sequence[Path]) -> dict[str, str]:
    """Import several files of plug-ins.

    Returns:
        SHA-256 by name of file.

    Raises:
        BrokenModule: Of the first that cannot be used.
    """
    return dict(map(import_file, paths))


def at_fault(error: BaseException) -> BrokenModule | None:
    """The third-party module that an unexpected error passed through, as an error with its line; None where none did.

    It is a file of plug-ins, or what an entry point, a notebook or a program has registered.
    """
    asked = [registry(what) for what, place in REGISTRIES if _module_of(place) in sys.modules]
    modules = {file.stem for file in _FILES}.union(*(one.third_party_modules() for one in asked))
    for module in sorted(modules):
        if place := line_of(error, module):
            return BrokenModule.of(place, f"raises {one_line(error)}", "correct the plug-in")
    return None


def modules_used(modules: Mapping[str, str], mechanism: str) -> dict[str, str]:
    """Those of the files of plug-ins imported for a scenario that its result can depend on.

    Under a mechanism of ours, a file that registers nothing but mechanisms changes nothing; nor does a command.
    """
    chosen = MECHANISMS.all().get(mechanism)
    if chosen is None or not MECHANISMS.is_ours(chosen):
        return dict(modules)
    more = {
        file.name
        for file, (_, registered) in _FILES.items()
        if any(registry.group not in WITHOUT_EFFECT for registry, _ in registered)
    }
    return {name: sha256 for name, sha256 in modules.items() if name in more}


def require_modules(modules: Mapping[str, str]) -> None:
    """Check that this process has imported the files of plug-ins that a stored scenario depends on.

    Raises:
        BrokenModule: Names each file that is missing or is another one, and its SHA-256.
    """
    imported = {file.name: sha256 for file, (sha256, _) in _FILES.items()}
    problems = []
    for name, sha256 in modules.items():
        if name not in imported:
            what = f"is needed, with SHA-256 {sha256}, as its plug-ins were used here"
            problems.append(Problem(name, what, f"give it by --module {name}"))
        elif imported[name] != sha256:
            what = f"has SHA-256 {imported[name]}, and the file that was used here has {sha256}"
            problems.append(Problem(name, what, "give that file by --module"))
    if problems:
        raise BrokenModule(*problems)


def added() -> tuple[Added, ...]:
    """The plug-ins that no file of plug-ins has registered, but a notebook or program, for a worker process."""
    of_files = {one for _, registered in _FILES.values() for one in registered}
    places = {id(registry(what)): what for what, place in REGISTRIES if _module_of(place) in sys.modules}
    return tuple(
        (places[id(registry)], registry.all()[name], registry.origin(name))
        for registry, name in by_hand()
        if id(registry) in places and (registry, name) not in of_files
    )


def learn(plugins: Sequence[Added]) -> None:
    """Register what another process has `added`; a worker outlives a call and may know earlier versions."""
    for what, item, origin in plugins:
        kind = registry(what)
        if kind.all().get(item.name) is not item:
            kind.forget(item.name)
            kind.register(item, origin=origin)


def _module_of(place: str) -> str:
    return place.partition(":")[0]


def _forget(registered: Sequence[tuple[Registry[Any], str]] | frozenset[tuple[Registry[Any], str]]) -> None:
    for registry, name in registered:
        registry.forget(name)


def _is_another(file: Path) -> bool:
    """Whether its name is that of another module, ours or of an installed package, and not beside an imported file."""
    found = find_spec(file.stem)
    if found is None:
        return False
    origin = Path(found.origin or "").resolve()
    return origin != file and origin.parent not in {known.parent for known in _FILES}


def _is_imported(file: Path) -> bool:
    """Whether a notebook has imported this file by its name."""
    known = getattr(sys.modules.get(file.stem), "__file__", None)
    return file not in _FILES and known is not None and Path(known).resolve() == file


def _broken(path: Path, error: BaseException) -> BrokenModule:
    if isinstance(error, DuplicateName):
        taken_by = next((file.name for file in _FILES if file.stem == error.origin), error.origin)
        what = f"registers the {error.kind} {error.name!r}, a name that is taken by {taken_by}"
        return BrokenModule.of(str(path), what, "choose another name")
    if isinstance(error, OldContract):
        return BrokenModule.of(str(path), error.what, error.cure)
    what = f"cannot be imported: {error if isinstance(error, MarketError) else one_line(error)}"
    return BrokenModule.of(str(path), what, "correct the file")
