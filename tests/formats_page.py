"""Writes docs/reference/formats.md from the registries and the fixtures: every format with its sample and its source.

python -m tests.formats_page
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from data.formats import FORMATS, Format, claims_on
from data.intake.claims import Claim
from data.intake.file import MeterFile
from data.prices import PRICE_FORMATS
from data.prices import claims_on as price_claims_on
from data.weather import WEATHER_FORMATS
from data.weather import claims_on as weather_claims_on
from tests.kits.first_try import OUTCOMES, ROUNDS, counts, round_of, tried

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "formats.md"
WIDTH = 150
LINES = 4

HEAD = """# Formats

Every format of meter, price and weather files that is read without a recipe of your own, what it assumes and the first
lines of such a file. This page is written from the registries by `python -m tests.formats_page`.

`wattswap data sniff FILE` says which format a file has; a table of any other layout is read after a few questions
([a file of no known format](meter-files.md#a-file-of-no-known-format)), or by
[a recipe of your own](../how-to/own-recipe.md). Where a format does not fix the zone and its stamps have no offset,
`--zone` is asked for. Homes that a file knows by the number of a meter or of a customer are called `home-1`, `home-2`,
...; the number is kept nowhere.
"""

FIRST_TRY = """## The first try

What the readers of the day made of a layout when its file was first tried, before anything was written for it; every
file is hand-made in the shape that the source shows. "Asked" means that questions came first; "refused", that no energy
was read.
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD, "## Meter files"]
    parts += [
        _format(name, format) for name, format in sorted(FORMATS.all().items()) if FORMATS.is_ours(format)
    ]
    parts += ["## Price files", *map(_outside, _ours(PRICE_FORMATS))]
    parts += ["## Weather files", *map(_outside, _ours(WEATHER_FORMATS))]
    parts.append(_first_try())
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def claim_on_sample(name: str, sample: str) -> Claim:
    """What a format of any kind makes of its own sample."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"sample.{'xml' if sample.startswith('<') else 'csv'}"
        path.write_text(sample.strip("\n").replace("\n---\n", "\n") + "\n", encoding="utf-8")
        claims: Mapping[str, Claim] = claims_on(MeterFile(path))
        for others in (price_claims_on, weather_claims_on):
            claims = {**others(MeterFile(path)), **claims}
        return claims[name]


def _ours(registry: Any) -> Iterable[Any]:
    return [item for _, item in sorted(registry.all().items()) if registry.is_ours(item)]


def _format(name: str, format: Format) -> str:
    facts = [f"- Values: {format.unit}."] if format.unit else []
    if format.zone:
        facts.append(f"- Zone: {format.zone}.")
    assumed = claim_on_sample(name, format.sample).assumed if format.sample else {}
    facts += [f"- Assumed: {key} {value}." for key, value in assumed.items() if key != "zone"]
    facts.append(
        {
            "id": "- Homes: by a number that is not kept.",
            "name": "- Homes: by the names in the file.",
            "none": "- Homes: one, which the file does not name.",
        }[format.meters]
    )
    if format.source:
        facts.append(f"- Source: {format.source}.")
    return "\n\n".join(
        [f"### `{name}`", f"{format.summary.rstrip('.')}.", "\n".join(facts), *_sample(format.sample)]
    )


def _outside(layout: Any) -> str:
    facts = f"- Source: {layout.source}."
    return "\n\n".join(
        [f"### `{layout.name}`", f"{layout.summary.rstrip('.')}.", facts, *_sample(layout.sample)]
    )


def _sample(sample: str) -> list[str]:
    lines = [line if len(line) <= WIDTH else f"{line[:WIDTH]}..." for line in sample.strip("\n").split("\n")]
    return ["\n".join(["```text", *lines[:LINES], "```"])] if sample.strip() else []


def _first_try() -> str:
    rows = [
        f"| {one.folder.name} | {one.said.get('format', 'none')} | {one.said['source']} | {round_of(one)} "
        f"| {one.said['first_try']} |"
        for one in tried()
    ]
    table = "\n".join(["| file | format | source | round | first try |", "|---|---|---|---|---|", *rows])
    return "\n\n".join([FIRST_TRY.strip("\n"), "\n".join(map(_round, ROUNDS)), table])


def _round(of_round: int) -> str:
    found = counts(of_round)
    total = ", ".join(f"{found[word]} {word}" for word in OUTCOMES)
    return f"- Round {of_round} ({ROUNDS[of_round]}), {found.total()} files: {total}."


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
