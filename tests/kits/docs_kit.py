"""Runs what the pages of docs/ show: files, commands and Python, in order, and compares what comes out.

A fenced block with a second word (```toml scenario.toml) is written to that file. In a ```console block every line
that starts with `$ wattswap` is run, and the lines below it are its output. A ```python block is executed, all blocks
of a page in one namespace, and a ```text block right below it is what it prints. The word RUN means the folder
of the last run.

`python -m tests.kits.docs_kit docs/tutorials/walk.md` runs a page uncut and writes what came out into it. A line `...`
in an output means any whole lines, also for none; it stays where it is. `run_apart` runs a page in a process of
its own, because pages register mechanisms and strategies. Pages that run the demo in the same way share one run of it.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ELLIPSIS = "..."
_FENCE = re.compile(r"^```(\S*)[ ]?(\S*)$")
_CUT_INTERVALS = {"compare": "48", "sweep": "48"}
"""By command; others run for 96."""
_CUT_LIVE_INTERVALS = "2"
_CUT_BOOKS = "200"
_CUT_SEEDS = "2"
_CUT_NODES = ("--validators", "1")


@dataclass(frozen=True)
class Block:
    """A fenced block: language, file name or "", lines, and the number of its first line (from 0)."""

    language: str
    name: str
    lines: list[str]
    first: int


@dataclass(frozen=True)
class Shown:
    """One thing that was run: its source, what the page shows as output, and what came out."""

    what: str
    expected: list[str] | None
    actual: list[str]
    code: int
    first: int


def fenced(lines: list[str]) -> list[Block]:
    """All fenced blocks of a page."""
    found: list[Block] = []
    start: int | None = None
    head = ("", "")
    for i, line in enumerate(lines):
        fence = _FENCE.match(line)
        if start is None and fence:
            start, head = i + 1, (fence[1], fence[2])
        elif start is not None and line == "```":
            found.append(Block(*head, lines[start:i], start))
            start = None
    assert start is None, f"a fence that opens at line {start} does not close"
    return found


def run_page(page: Path, folder: Path, *, cut: bool = True, shared: Path | None = None) -> list[Shown]:
    """Run a page in an empty folder, which is the working directory while it runs.

    Args:
        page: The Markdown file.
        folder: Where it runs.
        cut: Run the demo for a day at most instead of a week, with two seeds, live for two intervals with one
            validator, and checks on fewer books.
        shared: A folder that keeps runs of the demo for other pages.
    """
    lines = page.read_text(encoding="utf-8").splitlines()
    blocks = fenced(lines)
    namespace: dict[str, object] = {"__name__": "page"}
    shown: list[Shown] = []
    run = "RUN"
    sys.path.insert(0, str(folder))
    try:
        with contextlib.chdir(folder):
            for i, block in enumerate(blocks):
                if block.name:
                    Path(block.name).write_text("\n".join(block.lines) + "\n", encoding="utf-8")
                elif block.language == "python":
                    below = blocks[i + 1] if i + 1 < len(blocks) else None
                    output = _output_below(block, below, lines)
                    shown.append(_python(page, block, output, namespace))
                elif block.language == "console":
                    for command, expected, first in _commands(block):
                        result = _command(command, expected, first, run, cut, shared)
                        run = _folder_of(result.actual) or run
                        shown.append(result)
    finally:
        sys.path.remove(str(folder))
    return shown


def run_apart(page: Path, folder: Path, shared: Path) -> list[Shown]:
    """Run a page, cut, in a process of its own; raises with its traceback where Python on the page fails."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "140"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.kits.docs_kit", "--apart", str(page), str(folder), str(shared)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        timeout=300,
    )
    assert done.returncode == 0, f"{page.name} fails:\n{done.stderr[-4000:]}"
    return [Shown(**one) for one in json.loads(done.stdout.splitlines()[-1])]


def _output_below(block: Block, below: Block | None, lines: list[str]) -> Block | None:
    if below is None or below.language != "text" or below.name:
        return None
    between = lines[block.first + len(block.lines) + 1 : below.first - 1]
    return below if not any(between) else None


def _python(page: Path, block: Block, output: Block | None, namespace: dict[str, object]) -> Shown:
    # Blank lines in front, so that a traceback names the line of the page.
    source = "\n" * block.first + "\n".join(block.lines)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(source, str(page), "exec"), namespace)
    return Shown(
        "\n".join(block.lines),
        output.lines if output else None,
        out.getvalue().splitlines(),
        0,
        output.first if output else block.first,
    )


def _commands(block: Block) -> Iterator[tuple[str, list[str], int]]:
    starts = [i for i, line in enumerate(block.lines) if line.startswith("$ ")]
    for start, end in zip(starts, [*starts[1:], len(block.lines)], strict=True):
        yield block.lines[start][2:], block.lines[start + 1 : end], block.first + start + 1


def _command(
    command: str, expected: list[str], first: int, run: str, cut: bool, shared: Path | None
) -> Shown:
    words = shlex.split(command, comments=True)
    assert words[0] == "wattswap", f"only wattswap commands are run, not: {command}"
    arguments = [run if word == "RUN" else word.replace("RUN/", f"{run}/") for word in words[1:]]
    if cut:
        arguments = _shorter(arguments)
    if shared is not None and arguments[1:2] == ["demo"] and arguments[0] in ("run", "live"):
        code, text = _shared_run(arguments, shared)
    else:
        code, text = _ended(arguments)
    return Shown(command, expected or None, text.splitlines(), code, first)


def _shorter(arguments: list[str]) -> list[str]:
    if "demo" in arguments:
        for option, value in (("--intervals", _CUT_LIVE_INTERVALS), ("--seeds", _CUT_SEEDS)):
            if option in arguments:
                at = arguments.index(option) + 1
                arguments = [*arguments[:at], value, *arguments[at + 1 :]]
        if arguments[0] == "live":
            return [*arguments, *_CUT_NODES]
        if not any(argument.startswith("time.") for argument in arguments):
            return [*arguments, "--set", f"time.intervals={_CUT_INTERVALS.get(arguments[0], '96')}"]
    if arguments[:2] == ["check", "mechanism"] and "--books" not in arguments:
        return [*arguments, "--books", _CUT_BOOKS]
    return arguments


def _shared_run(arguments: list[str], shared: Path) -> tuple[int, str]:
    """A run of the demo, made once for all pages; a page gets a copy of its folder, and the second time its own run."""
    stored = shared / shlex.join(arguments).replace("/", "_")
    if stored.is_dir():
        text = (stored / "text").read_text(encoding="utf-8")
        folder = Path(str(_folder_of(text.splitlines())))
        if not folder.exists():
            shutil.copytree(stored / "folder", folder)
            return 0, text
    code, text = _ended(arguments)
    made = _folder_of(text.splitlines())
    if code == 0 and made is not None and not stored.is_dir():
        shutil.copytree(made, stored / "folder")
        (stored / "text").write_text(text, encoding="utf-8")
    return code, text


def _ended(arguments: list[str]) -> tuple[int, str]:
    return _live(arguments) if arguments[0] == "live" else _in_process(arguments)


def _in_process(arguments: list[str]) -> tuple[int, str]:
    from wattswap.cli import main

    out = io.StringIO()
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()) as errors:
        try:
            main(arguments)
        except SystemExit as done:
            code = int(done.code or 0)
    return code, out.getvalue() if code == 0 else out.getvalue() + errors.getvalue()


def _live(arguments: list[str]) -> tuple[int, str]:
    # A process of its own: libp2p warns about its own use of other packages, which pytest makes an error.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "140"}
    starter = "import sys; from wattswap.cli import main; main(sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", starter, *arguments],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )
    return done.returncode, done.stdout if done.returncode == 0 else done.stdout + done.stderr


def _folder_of(output: list[str]) -> str | None:
    for line in output:
        words = line.split()
        if len(words) == 2 and words[0] == "Folder":
            return words[1]
    return None


def words_of(text: list[str]) -> set[str]:
    """The labels of an output: its words without numbers, hashes, stamps and paths."""
    found = set()
    for token in " ".join(text).split():
        word = token.strip("()[]{}:;,.=%\"'`─│╭╮╰╯*")
        if len(word) > 1 and not re.search(r"[0-9/]", word):
            found.add(word)
    return found


def differs(expected: list[str], actual: list[str]) -> str | None:
    """Say where an output is not the one shown, or None; a line `...` means any whole lines."""
    cleaned = [line.rstrip() for line in actual]
    wanted = [line.rstrip() for line in expected]
    if _abridged(wanted, cleaned) == wanted:
        return None
    return "shown:\n" + "\n".join(wanted) + "\ncame out:\n" + "\n".join(cleaned)


def _abridged(wanted: list[str], actual: list[str]) -> list[str]:
    """The output with a `...` for what the page leaves out.

    The lines before the first `...` and those behind the last one are as many as on the page. What is between two
    is looked for in the rest, line by line; the output is given back in full where it is not there.
    """
    if ELLIPSIS not in wanted:
        return actual
    gaps = [i for i, line in enumerate(wanted) if line == ELLIPSIS]
    tail = len(wanted) - gaps[-1] - 1
    if len(actual) < gaps[0] + tail:
        return actual
    between = actual[gaps[0] : len(actual) - tail]
    found = [*actual[: gaps[0]], ELLIPSIS]
    for gap, following in pairwise(gaps):
        part = wanted[gap + 1 : following]
        starts = [i for i in range(len(between)) if between[i : i + len(part)] == part]
        if not starts:
            return actual
        found += [*part, ELLIPSIS]
        between = between[starts[0] + len(part) :]
    return [*found, *(actual[len(actual) - tail :] if tail else [])]


def update(page: Path) -> None:
    """Run a page uncut and write what came out into it."""
    with tempfile.TemporaryDirectory(prefix="wattswap-docs-") as folder:
        shown = run_page(page, Path(folder), cut=False)
    lines = page.read_text(encoding="utf-8").splitlines()
    for one in reversed(shown):
        if one.code:
            raise SystemExit(f"{page}: {one.what} ended with {one.code}\n" + "\n".join(one.actual))
        if one.expected is None:
            continue
        new = [line.rstrip() for line in one.actual]
        while new and not new[-1]:
            new.pop()
        lines[one.first : one.first + len(one.expected)] = _abridged(one.expected, new)
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{page.relative_to(ROOT)}: {len(shown)} blocks run")


if __name__ == "__main__":
    if sys.argv[1] == "--apart":
        page, folder, shared = (Path(argument) for argument in sys.argv[2:])
        print(json.dumps([asdict(one) for one in run_page(page, folder, shared=shared)]))
    else:
        for argument in sys.argv[1:]:
            update(Path(argument).resolve())
