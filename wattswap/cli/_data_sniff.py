"""What a meter file is, and a recipe for one that no format knows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wattswap.cli.options import JsonOption, ModuleOption, import_modules
from wattswap.errors import ExitCode

if TYPE_CHECKING:
    from data.sniffing import Sniffed

INDENT = 12


def sniff(
    files: Annotated[list[Path], typer.Argument(help="Meter files or folders.", metavar="FILE...")],
    module: ModuleOption = None,
    json: JsonOption = False,
) -> None:
    """Say what format a file has, how sure that is and why, and what has to be answered, from its head alone."""
    from data.sniffing import sniff as sniff_file
    from wattswap.cli.output import note, print_json

    import_modules(module)
    found = [sniff_file(path) for path in files]
    if json:
        print_json({"files": [_as_json(one) for one in found]})
    else:
        for i, one in enumerate(found):
            if i:
                print()
            _print(one)
    unknown = [one for one in found if not one.recognised]
    if unknown:
        if not json:
            for one in unknown:
                note(f"{one.path}: no format known here reads it for certain; {one.advice}")
        raise typer.Exit(int(ExitCode.INVALID))


def _as_json(one: Sniffed) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "file": str(one.path),
        "holds": one.holds,
        "format": one.format,
        "confidence": one.confidence,
        "why": list(one.why),
        "assumed": dict(one.assumed),
        "needs": [asdict(question) for question in one.needs],
        "candidates": [
            {"format": near.format, "confidence": near.confidence, "keeps": list(near.keeps)}
            for near in one.candidates
        ],
        "advice": one.advice,
    }


def _print(one: Sniffed) -> None:
    _line("file", str(one.path))
    if one.holds != "meter":
        _line("holds", "prices" if one.holds == "price" else one.holds)
    _line("format", one.format or "unknown")
    if one.format is not None:
        _line("confidence", f"{one.confidence:.2f}")
    for clause in one.why:
        _line("why", clause)
    for name, value in one.assumed.items():
        _line("assumed", f"{name}: {value}")
    for question in one.needs:
        _line("needs", str(question))
    for near in one.candidates:
        _line("near", f"{near.format} ({near.confidence:.2f}): {'; '.join(near.keeps)}")


def _line(name: str, text: str) -> None:
    from wattswap.cli.tables import ONE_LINE, wrapped

    shown = "".join(char if char.isprintable() else "?" for char in text)
    print(wrapped(f"{name:<{INDENT}}{shown}", INDENT, ONE_LINE))


def recipe(
    path: Annotated[Path, typer.Argument(help="A table that no format knows.", metavar="FILE")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Where the recipe goes; default: printed.", metavar="RECIPE")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Draft a recipe for a file: what was concluded from its head and why, and what is open, to be filled in."""
    from dataclasses import asdict

    from data.errors import MissingFile, NoRecipe
    from data.intake.file import MeterFile
    from data.intake.raw import Hints
    from data.intake.strangers import stranger
    from data.recipes.draft import draft
    from data.recipes.infer import NoTable
    from data.recipes.infer_file import inferred
    from p2p.files import write_new
    from wattswap.cli.output import note, print_json
    from wattswap.errors import AlreadyExists

    if not path.exists():
        raise MissingFile(path)
    file = MeterFile(path)
    if why := stranger(file):
        raise NoRecipe(path, why)
    found = inferred(file, Hints())
    if isinstance(found, NoTable):
        raise NoRecipe(path, f"{found.why}; ask for another export of the readings")
    text = draft(found, path.stem)
    if out is None:
        if not json:
            print(text, end="")
    else:
        try:
            write_new(out, text.encode())
        except FileExistsError:
            raise AlreadyExists.of(str(out), "exists already", "name another file with --out") from None
        except FileNotFoundError:
            raise MissingFile(out.parent) from None
        if not json:
            print(out)
    if json:
        needs = [asdict(question) for question in found.questions]
        print_json({"file": str(path), "out": str(out) if out else None, "recipe": text, "needs": needs})
        return
    where = out or "it"
    note(f"Next: fill in the lines with ASK, if any, then: wattswap data check {path} --recipe {where}")
