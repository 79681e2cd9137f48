"""Everything that can be chosen by name, for `wattswap list`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from wattswap.errors import UsageError, suggest
from wattswap.plugins import REGISTRIES, registry

Entries = list[dict[str, str]]
MORE = ("unit", "better", "undefined_because", "source")
"""Fields that some kinds have beyond the summary."""


def _registered(what: str) -> Entries:
    """The entries of a registry: name, summary, parameters, and the module that registers it."""
    from wattswap.inputs.parameters import described

    found = registry(what)
    return [
        {
            "name": name,
            "summary": item.summary,
            "parameters": "; ".join(described(parameter) for parameter in getattr(item, "parameters", ())),
            "origin": found.origin(name),
            **{name: getattr(item, name) for name in MORE if hasattr(item, name)},
            **({} if found.is_ours(item) else {"from": found.origin(name)}),
        }
        for name, item in found.all().items()
    ]


def _samples() -> Entries:
    from data import samples

    about = "bundled neighbourhood, the year 2016 at 15 minutes: SimBench"
    return [{"name": name, "summary": f"{about} {samples.SAMPLES[name]}"} for name in samples.names()]


def _templates() -> Entries:
    import tomllib

    from wattswap.scenario.load import TEMPLATES, template_names

    entries = []
    for name in template_names():
        content = tomllib.loads((TEMPLATES / f"{name}.toml").read_text(encoding="utf-8"))
        data, days = content["data"], content["time"].get("days")
        source = f"the bundled {data['sample']}" if "sample" in data else f"your own {data['path']}"
        entries.append({"name": name, "summary": f"{f'{days} days' if days else 'all'} of {source}"})
    return entries


KINDS: dict[str, Callable[[], Entries]] = {
    **{what: partial(_registered, what) for what, _ in REGISTRIES},
    "samples": _samples,
    "templates": _templates,
}


def catalogue(what: str) -> Entries:
    """Names and one line each of one kind of thing.

    Raises:
        UsageError: There is no such kind.
    """
    if what not in KINDS:
        problem = f"nothing called {what!r} to list" if what else "which kind is to be listed"
        raise UsageError.of("list", problem, suggest(what, KINDS))
    return KINDS[what]()
