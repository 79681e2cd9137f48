"""What can be chosen by name, for `wattswap list`."""

from __future__ import annotations

from collections.abc import Callable

from wattswap.errors import UsageError, suggest
from wattswap.plugins import load_all

Entries = list[dict[str, str]]


def _mechanisms() -> Entries:
    from market.mechanism import registered
    from wattswap.inputs.parameters import described

    entries = []
    for name, mechanism in registered().items():
        p = mechanism.promises
        promises = [f"budget {p.budget_balance}"]
        for attribute in ("individually_rational", "efficient", "truthful", "uniform_price", "needs_grid"):
            promises += [attribute.replace("_", " ")] if getattr(p, attribute) else []
        if not p.individually_rational:
            promises.insert(1, "not individually rational")
        if p.truthful and p.truthful_for != "participants":
            promises[promises.index("truthful")] += f" for {p.truthful_for.replace('_', ' ')}"
        origin = mechanism.clear.__module__
        entries.append(
            {
                "name": name,
                "summary": f"{', '.join(promises)}. {p.source}",
                "parameters": "; ".join(described(parameter) for parameter in mechanism.parameters),
                "origin": origin,
            }
        )
    return entries


def _formats() -> Entries:
    from data.formats import FORMATS

    return [{"name": name, "summary": f.describe} for name, f in FORMATS.all().items()]


def _strategies() -> Entries:
    from agents.bidding import registered

    return [{"name": name, "summary": s.summary} for name, s in registered().items()]


def _forecasters() -> Entries:
    from agents.forecast import PERFECT_FORESIGHT, registered

    entries = [{"name": name, "summary": f.summary} for name, f in registered().items()]
    return [*entries, {"name": PERFECT_FORESIGHT, "summary": "the true future: a bound, not a forecast"}]


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
    "mechanisms": _mechanisms,
    "formats": _formats,
    "strategies": _strategies,
    "forecasters": _forecasters,
    "samples": _samples,
    "templates": _templates,
}


def catalogue(what: str) -> Entries:
    """Names and one line each of one kind of thing.

    Raises:
        UsageError: There is no such kind.
    """
    if what not in KINDS:
        problem = f"nothing called {what!r} to list" if what else "which kind of thing shall be listed"
        raise UsageError.of("list", problem, suggest(what, KINDS))
    load_all()
    return KINDS[what]()
