"""A folder that is not the run that a command needs: what is there instead, the nearest name, the next command."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from shlex import quote

from wattswap.errors import RunNotFound
from wattswap.runs.layout import (
    COMPARISON,
    COMPARISONS,
    GENESIS,
    LIVE_MARK,
    MANIFEST,
    PARTIAL,
    RUNS,
    SCENARIO,
)

UNFINISHED, COMPARED = "unfinished run", "comparison"


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
    what = f"no {wanted} is here" if path.is_dir() else "there is no such folder"
    return RunNotFound.of(str(path), what, _guess(path, wanted))


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
    if wanted == UNFINISHED:
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
