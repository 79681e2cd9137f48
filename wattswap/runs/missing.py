"""A folder that is not the run that a command needs: what is there instead, the nearest name, the next command."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from shlex import quote

from market.errors import with_article
from wattswap.errors import RunNotFound
from wattswap.runs.layout import (
    CHAIN,
    COMPARISON,
    COMPARISONS,
    GENESIS,
    LIVE_MARK,
    MANIFEST,
    NODE_CONFIG,
    NODE_DATA,
    PARTIAL,
    RUNS,
    SCENARIO,
)

UNFINISHED, COMPARED, CHAIN_WANTED = "unfinished run", "comparison", "chain"


def not_found(path: Path, wanted: str = "run") -> RunNotFound:
    """The error of a folder that does not hold what is wanted: a run, an unfinished run, a comparison, or any.

    Args:
        path: The folder as it was named.
        wanted: In words: "run", "run or comparison", "chain", or one of those above.
    """
    finished = path.with_name(path.name.removesuffix(PARTIAL)) if path.name else path
    partial = finished.with_name(finished.name + PARTIAL) if path.name else path
    if (partial / LIVE_MARK).is_file() and not (partial / MANIFEST).is_file():
        return RunNotFound.of(str(path), "is a live run, which cannot be continued", "start a new one")
    if _is_begun(partial):
        what = "the run is not finished"
        return RunNotFound.of(str(path), what, f"finish it with: wattswap resume {quote(str(partial))}")
    if (finished / MANIFEST).is_file() and (finished != path or wanted == UNFINISHED):
        cure = f"see it with: wattswap show {quote(str(finished))}"
        return RunNotFound.of(str(path), "the run is finished", cure)
    if path.is_file():
        of_it = any((path.parent / name).is_file() for name in (MANIFEST, COMPARISON, GENESIS))
        cure = f"name its folder, {path.parent}" if of_it else _guess(path, wanted)
        return RunNotFound.of(str(path), "is a file, not a folder", cure)
    if nodes_in(path) or (path / NODE_CONFIG).is_file():
        return _of_nodes(path, wanted)
    what = f"no {wanted} is here" if path.is_dir() else "there is no such folder"
    return RunNotFound.of(str(path), what, _guess(path, wanted))


def nodes_in(folder: Path) -> list[Path]:
    """The folders of nodes in a folder, as `wattswap node init` writes them."""
    return sorted(file.parent for file in folder.glob(f"*/{NODE_CONFIG}"))


def _of_nodes(path: Path, wanted: str) -> RunNotFound:
    """The error of a node's folder, or of the folder of all nodes, where a run or a chain is wanted."""
    nodes = nodes_in(path)
    what = "is the folder of nodes" if nodes else "is the folder of a node"
    if wanted != CHAIN_WANTED:
        cure = "`wattswap chain show` reads the chain of a node, `wattswap network status` asks it"
        return RunNotFound.of(str(path), f"{what}, not of {with_article(wanted)}", cure)
    stored = [node for node in nodes or nodes_in(path.parent) if (node / NODE_DATA / CHAIN).is_file()]
    cure = f"name a node that stores it, such as {stored[0]}" if stored else "start a validator first"
    if not nodes:
        what += " and holds no chain: homes and gateways store none"
    return RunNotFound.of(str(path), what, cure)


def _guess(path: Path, wanted: str) -> str:
    """The folder that was meant: one in the folder that was named, the nearest name, or the newest one."""
    inside = _folders(path, wanted)
    if inside:
        return f"name one that is in it, such as {inside[-1]}"
    places = dict.fromkeys((path.parent, Path(RUNS), Path(COMPARISONS)))
    beside = [one for place in places for one in _folders(place, wanted) if one != path]
    near = get_close_matches(path.name, [one.name for one in beside], n=1)
    if near:
        return f"did you mean {next(one for one in beside if one.name == near[0])}?"
    if wanted == CHAIN_WANTED:
        cure = "give the folder of a run, or of a node that stores the chain"
    elif wanted == UNFINISHED:
        cure = f"the name of one ends in {PARTIAL}"
    else:
        cure = f"give the folder that `wattswap {'compare' if wanted == COMPARED else 'run'}` printed"
    return f"{cure}, such as {max(beside, key=lambda one: one.name)}" if beside else cure


def _folders(place: Path, wanted: str) -> list[Path]:
    """Folders in a place that are what is wanted, or may become it, the oldest first."""
    names = {UNFINISHED: (), COMPARED: (COMPARISON,), "run or comparison": (MANIFEST, COMPARISON)}
    files = names.get(wanted, (MANIFEST,))
    if not place.is_dir():
        return []
    return sorted(
        one
        for one in place.iterdir()
        if any((one / name).is_file() for name in files) or (wanted != COMPARED and _is_begun(one))
    )


def _is_begun(folder: Path) -> bool:
    """Whether an unfinished run is there, which `wattswap resume` takes."""
    return folder.name.endswith(PARTIAL) and all((folder / name).is_file() for name in (GENESIS, SCENARIO))
