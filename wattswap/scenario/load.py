"""Scenario files: one strict TOML file says what runs; all errors are reported at once, with their lines.

`pydantic` is imported when a scenario is loaded, not when this module is.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p2p import files as disk
from wattswap.errors import AlreadyExists, InvalidData, InvalidScenario, Problem, UsageError, suggest
from wattswap.scenario.layers import (
    Source,
    layer_of,
    read_document,
    read_overrides,
    stack,
    unknown_case,
)
from wattswap.scenario.rest import Fault, rest_of

if TYPE_CHECKING:
    from wattswap.scenario.model import Scenario, Span

__all__ = [
    "Scenario",
    "Span",
    "changed",
    "demo",
    "from_resolved",
    "json_schema",
    "load",
    "template_names",
    "write_new",
]

SCENARIO_FILE = "scenario.toml"
TEMPLATES = Path(__file__).parent / "templates"
BUNDLED = {"demo": "street.toml", "street_grid": "street_grid.toml"}
"""Scenarios that commands know by name, where no file or folder has it."""
BESIDE = {"csv": "meter.csv", "street_grid": "weather.csv"}
"""File that a template names: meter data, or the weather."""
_HASHED = (
    ("data", "weather"),
    ("tariff", "import_series"),
    ("tariff", "feed_in_series"),
    ("grid", "sample"),
    ("grid", "file"),
    ("chain", "secret_file"),
)
"""Keys of files beside a scenario, whose content `Scenario.resolved` names too."""


def __getattr__(name: str) -> Any:
    # PEP 562: `from wattswap.scenario.load import Scenario` works, and costs the import of pydantic only then.
    if name in ("Scenario", "Span"):
        return getattr(import_module("wattswap.scenario.model"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load(
    path: Path | str,
    case: str | None = None,
    overrides: Sequence[str] = (),
    known_mechanisms: Iterable[str] | None = None,
    modules: Mapping[str, str] | None = None,
    typed: Mapping[str, str] | None = None,
) -> Scenario:
    """Read, overlay and check a scenario file; later layers win: file, `[case.NAME]`, each `--set` in order.

    Args:
        path: The file, or a folder that holds a scenario.toml.
        case: Name of a `[case.NAME]` table.
        overrides: Expressions such as `market.k=0.3`; the value is TOML, or a bare word taken as text.
        known_mechanisms: Names that `market.mechanism` may have; all registered ones when left out.
        modules: SHA-256 by name of the files of plug-ins that were imported for it.
        typed: The option by which an override was given, where it is not `--set`; problems name it.

    Raises:
        InvalidScenario: Lists every problem of the file, of all its cases and of the overrides.
    """
    file = Path(path)
    if file.is_dir():
        file /= SCENARIO_FILE
    document = read_document(file)
    sets, problems = read_overrides(overrides, typed or {})
    problems = [*document.problems, *problems]
    if case is not None and case not in document.cases:
        problems.append(unknown_case(case, document.cases))
    chosen = [document.cases[case]] if case in document.cases else []
    # The chosen case first; the other cases are checked too, so that a broken one is not found a year later.
    others = [[layer] for name, layer in document.cases.items() if name != case]
    known = _known_names(known_mechanisms)
    scenarios: list[Scenario | None] = []
    rests: list[Scenario | None] = []
    wrong: list[Problem] = []
    for layers in ([*chosen, *sets], *others):
        merged = stack([document.base, *layers])
        source = Source(
            document.shown,
            file.parent.resolve(),
            merged.places,
            case,
            tuple(overrides),
            document.text,
            modules or {},
        )
        scenario, faults = _validate(merged.content, source, known)
        scenarios.append(scenario)
        rest = None
        if scenario is None:
            more, rest = _rest(merged.content, source, known, faults)
            faults += more
        rests.append(rest)
        wrong.extend(source.problem(*fault) for fault in faults)
    if problems or wrong or scenarios[0] is None:
        found = dict.fromkeys([*problems, *wrong])
        error = InvalidScenario(*sorted(found, key=lambda problem: problem.line or 0))
        # Where a layer is lacking, what is left is not what was meant.
        error.rest = None if problems else rests[0] or scenarios[0]
        raise error
    return scenarios[0]


def other_cases(scenario: Scenario) -> dict[str, Scenario]:
    """The cases of its file that a scenario was not loaded with, as they are without its overrides.

    Raises:
        InvalidScenario: The file has changed since, and is no scenario any more.
    """
    source = scenario.source
    file = Path(source.file)
    names = [name for name in read_document(file).cases if name != source.case]
    return {name: load(file, name, modules=source.modules) for name in names}


def demo(overrides: Sequence[str] = ()) -> Scenario:
    """The bundled week of `street`, which needs no file and no network, with overrides as `load` takes them."""
    return load(TEMPLATES / "street.toml", overrides=overrides)


def changed(scenario: Scenario, overrides: Sequence[str], typed: Mapping[str, str] | None = None) -> Scenario:
    """A scenario with other values, given as `load` takes them, whatever it was made from.

    Raises:
        InvalidScenario: Lists every problem of the overrides.
    """
    source, content = scenario.source, scenario.resolved()
    content.pop("modules", None)
    for table, key in _HASHED:
        content.get(table, {}).pop(f"{key}_sha256", None)
    sets, problems = read_overrides(overrides, typed or {})
    merged = stack([layer_of(content, source.file), *sets])
    places = {path: place for layer in sets for path, place in layer.places.items()}
    source = replace(source, overrides=(*source.overrides, *overrides), places=places)
    made, faults = _validate(merged.content, source, _known_names(None), resolved=True)
    if problems or made is None:
        raise InvalidScenario(*problems, *(source.problem(*fault) for fault in faults))
    return made


def from_resolved(resolved: Mapping[str, Any], base: Path | str, *, without_data: bool = False) -> Scenario:
    """Rebuild the scenario that gave `resolved`, with its paths counted from `base`.

    Args:
        without_data: Whether the meter data need not be there.

    Raises:
        InvalidScenario: Not a resolved scenario of this version.
        InvalidData: A price series or the secret file has changed since.
        BrokenModule: A file of plug-ins that it depends on is not imported, or another one of that name is.
    """
    from pydantic import ValidationError

    from wattswap.plugins import require_modules
    from wattswap.scenario.model import scenario_model
    from wattswap.scenario.problems import faults_of

    content = copy.deepcopy(dict(resolved))
    hashes = {(table, key): content.get(table, {}).pop(f"{key}_sha256", None) for table, key in _HASHED}
    modules = content.pop("modules", {})
    require_modules(modules)
    source = Source("resolved scenario", Path(base).resolve(), modules=modules)
    try:
        context = {"resolved": True, "base": source.base, "known": _known_names(None)}
        if without_data:
            context["absent"] = ("path",)
        scenario = scenario_model().model_validate(content, context=context).with_source(source)
    except ValidationError as error:
        raise InvalidScenario(*(source.problem(*fault) for fault in faults_of(error))) from None
    now = scenario.resolved()
    changed = [at for at, expected in hashes.items() if now.get(at[0], {}).get(f"{at[1]}_sha256") != expected]
    if changed:
        cure = "restore the file, or run the scenario again"
        raise InvalidData(
            *(Problem(now[table][key], "has changed since the run", cure) for table, key in changed)
        )
    return scenario


def _validate(
    merged: dict[str, Any], source: Source, known: dict[str, list[str]], *, resolved: bool = False
) -> tuple[Scenario | None, list[Fault]]:
    from pydantic import ValidationError

    from wattswap.scenario.model import scenario_model
    from wattswap.scenario.problems import faults_of

    try:
        context = {"base": source.base, "known": known, "resolved": resolved}
        return scenario_model().model_validate(merged, context=context).with_source(source), []
    except ValidationError as error:
        return None, faults_of(error)


def _rest(
    merged: dict[str, Any], source: Source, known: dict[str, list[str]], faults: Sequence[Fault]
) -> tuple[list[Fault], Scenario | None]:
    """What else is wrong with a faulty scenario, and what is left of it without its faulty keys."""
    more, content = rest_of(merged, faults, lambda content: _validate(content, source, known)[1])
    if content is None:
        return more, None
    left_out = tuple(path for path, _, _ in [*faults, *more])
    return more, _validate(content, replace(source, left_out=left_out), known)[0]


def _known_names(mechanisms: Iterable[str] | None) -> dict[str, list[str]]:
    """Names of the plug-ins that a scenario may choose, by the key that chooses them."""
    from agents.bidding import STRATEGIES
    from agents.control import CONTROLLERS
    from agents.forecast import FORECASTERS, PERFECT_FORESIGHT
    from data.formats import FORMATS
    from market.mechanism import MECHANISMS
    from p2p.blocks.genesis import VERSION
    from p2p.ledger.module import CHAIN_MODULES, FORMAT_MODULES

    if mechanisms is None:
        mechanisms = MECHANISMS.all()
    return {
        "market.mechanism": sorted(mechanisms),
        "data.format": list(FORMATS.all()),
        "homes.strategy": list(STRATEGIES.all()),
        "homes.forecast": list(FORECASTERS.all()),
        "homes.forecast_pv": [name for name in FORECASTERS.all() if name != PERFECT_FORESIGHT.name],
        "homes.control": list(CONTROLLERS.all()),
        "chain.modules": sorted(set(CHAIN_MODULES.all()).difference(FORMAT_MODULES[VERSION])),
    }


def template_names() -> list[str]:
    """Names that `write_new` takes."""
    return sorted(path.stem for path in TEMPLATES.glob("*.toml"))


def write_new(folder: Path | str, template: str = "street") -> list[Path]:
    """Write a commented scenario into a folder, with the file that it names if any; nothing is overwritten.

    Raises:
        UsageError: No such template.
        AlreadyExists: A file to be written is there already.
    """
    if template not in template_names():
        raise UsageError.of("--template", f"no template {template!r}", suggest(template, template_names()))
    target = Path(folder)
    files = {target / SCENARIO_FILE: TEMPLATES / f"{template}.toml"}
    if template in BESIDE:
        files[target / BESIDE[template]] = TEMPLATES / BESIDE[template]
    taken = [path for path in files if path.exists()]
    if target.exists() and not target.is_dir():
        taken = [target]
    if taken:
        raise AlreadyExists(
            *(Problem(str(path), "exists already", "choose another folder") for path in taken)
        )
    made = not target.exists()
    target.mkdir(parents=True, exist_ok=True)
    done: list[Path] = []
    try:
        for path, origin in files.items():
            disk.write_new(path, origin.read_text(encoding="utf-8").encode())
            done.append(path)
    except OSError:  # a full disk: nothing half is left
        for path in done:
            path.unlink(missing_ok=True)
        if made:
            target.rmdir()
        raise
    return done


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a scenario file, for completion in editors."""
    from wattswap.scenario.model import scenario_model

    schema = scenario_model().model_json_schema(by_alias=True, mode="validation")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "wattswap scenario"
    schema["properties"]["case"] = {
        "type": "object",
        "description": "Overlays by name, chosen with --case NAME; each holds any of the other tables.",
        "additionalProperties": {"type": "object"},
    }
    return schema
