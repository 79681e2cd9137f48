"""Everything that can be chosen by name: ours, what other packages add by entry points, and files of one's own."""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

from market import mechanism as mechanisms
from market.errors import DuplicateMechanism
from market.mechanism import Mechanism
from wattswap.errors import ExitCode, WattswapError

GROUPS = ("wattswap.mechanisms", "wattswap.formats")


class BrokenPlugin(WattswapError):
    """An entry point of another package that cannot be imported."""

    exit_code = ExitCode.INVALID


class BrokenModule(WattswapError):
    """A file of a mechanism that cannot be used."""

    exit_code = ExitCode.INVALID


_FILES: dict[Path, frozenset[str]] = {}
"""Files imported by this process, and the names of the mechanisms that each registered."""


@cache
def load_all() -> dict[str, BrokenPlugin]:
    """Import our mechanisms and every entry point; each registers itself on import.

    Returns:
        The entry points that could not be imported, by name: they are missing, and nothing else is.
    """
    import_module("market.mechanisms")
    import_module("optimizer.mechanisms")
    broken: dict[str, BrokenPlugin] = {}
    for group in GROUPS:
        for point in entry_points(group=group):
            try:
                point.load()
            except Exception as error:  # whatever another package raises
                what = f"cannot be loaded from {point.value}: {type(error).__name__}: {error}"
                cure = "update or uninstall the package that brings it"
                broken[point.name] = BrokenPlugin.of(f"{group}, {point.name}", what, cure)
    return broken


def mechanism(name: str) -> Mechanism:
    """The mechanism of this name.

    Raises:
        UnknownMechanism: Names the nearest match and all known ones.
        BrokenPlugin: The package that brings it cannot be imported.
    """
    broken = load_all()
    if name in broken and name not in mechanisms.registered():
        raise broken[name]
    return mechanisms.get(name)


def import_file(path: Path) -> None:
    """Import a Python file, which registers its mechanisms; its folder is importable meanwhile and afterwards.

    Once in a process: a second call for the same file does nothing while its mechanisms are registered.

    Raises:
        BrokenModule: It is no Python file, raises when imported, registers no mechanism or one whose name is taken,
            or has the name of another module.
    """
    load_all()
    file, before = path.resolve(), set(mechanisms.registered())
    spec = spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None or not file.is_file():
        raise BrokenModule.of(str(path), "is no Python file", "name the file that registers the mechanism")
    if (file in _FILES and _FILES[file] <= before) or _is_imported(file):
        return
    ours = {known.stem for known in _FILES}
    if file.stem not in ours and _is_another(file):
        raise BrokenModule.of(str(path), f"has the name of another module, {file.stem}", "rename the file")
    # Behind all others: a helper beside the file must not hide a package.
    sys.path.append(str(file.parent))
    module = module_from_spec(spec)
    sys.modules[file.stem] = module
    try:
        spec.loader.exec_module(module)
        new = frozenset(set(mechanisms.registered()) - before)
        if not new:
            cure = "call market.mechanism.register in it, or use @ws.mechanism"
            raise BrokenModule.of(str(path), "registers no mechanism", cure)
    except (Exception, SystemExit) as error:  # whatever somebody's file raises
        for name in set(mechanisms.registered()) - before:
            mechanisms.forget(name)
        del sys.modules[file.stem]
        sys.path.remove(str(file.parent))
        if isinstance(error, BrokenModule):
            raise
        raise _broken(path, error) from error
    _FILES[file] = new


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
    if isinstance(error, DuplicateMechanism):
        what = f"registers {error.name!r}, a name that is taken"
        return BrokenModule.of(str(path), what, "choose another name")
    what = f"cannot be imported: {type(error).__name__}: {error}"
    return BrokenModule.of(str(path), what, "correct the file")
