"""Table files that vendors write: each recipe of data/recipes/vendors/ is a format; and recipes of users."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from data.errors import InvalidRecipe, MissingFile
from data.formats import FORMATS, Format
from data.intake.file import MeterFile
from data.intake.raw import Hints, IntakeLog
from data.recipes.engine import Engine
from data.recipes.model import Recipe
from data.recipes.toml import recipe_from_toml

VENDORS = "vendors"


def format_of(name: str, recipe: Recipe) -> Format:
    """A recipe as a format.

    Args:
        name: Name of the format.
        recipe: Its layout.
    """
    engine = Engine(recipe)
    return Format(
        name=name,
        summary=f"{recipe.title}: {recipe.about}",
        unit=_units(recipe),
        sniff=engine.sniff,
        parse=engine.parse,
        zone=recipe.zone,
        asks=engine.asks,
        meters=recipe.meters,
        sample=recipe.sample,
        source=recipe.source,
    )


def format_of_file(path: Path) -> Format:
    """The format that a recipe of the user's own describes.

    Raises:
        MissingFile: Nothing is there.
        InvalidRecipe: Names every mistake.
    """
    if not path.is_file():
        raise MissingFile(path)
    try:
        recipe = recipe_from_toml(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as problem:
        raise InvalidRecipe([f"{path} is not UTF-8; save it as UTF-8"]) from problem
    except InvalidRecipe as problem:
        raise InvalidRecipe([f"{path}: {one}" for one in problem.problems]) from problem
    return _noting(format_of(path.stem, recipe), recipe)


def _noting(format: Format, recipe: Recipe) -> Format:
    """The format of a user's recipe, which notes in the result where it changes what the file says."""
    changed = [
        f"the recipe multiplies {value.column or 'the values'} by {value.sign * value.factor:g}"
        for value in recipe.values
        if value.sign * value.factor != 1
    ]

    def parse(file: MeterFile, hints: Hints, log: IntakeLog) -> Any:
        log.notes += changed
        return format.parse(file, hints, log)

    return replace(format, parse=parse) if changed else format


def _units(recipe: Recipe) -> str:
    """Units and kinds of the values, in words."""
    words = []
    for value in recipe.values:
        unit = value.unit or ("as its column says" if value.unit_column else "as the file says, or asked")
        words.append(f"{unit}, counter" if value.kind == "counter" else unit)
    return "; ".join(dict.fromkeys(words))


def _register_vendors() -> None:
    folder: Any = files("data.recipes").joinpath(VENDORS)
    for entry in sorted(folder.iterdir(), key=lambda entry: str(entry.name)):
        if entry.name.endswith(".toml"):
            text = entry.read_text(encoding="utf-8")
            try:
                recipe = recipe_from_toml(text)
            except InvalidRecipe as problem:
                raise InvalidRecipe(
                    [f"{VENDORS}/{entry.name}: {one}" for one in problem.problems]
                ) from problem
            FORMATS.register(format_of(entry.name.removesuffix(".toml"), recipe))


_register_vendors()
