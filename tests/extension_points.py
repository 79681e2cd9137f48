"""Writes docs/reference/extension-points.md from the registries: what can be added, where, and by which contract.

`python -m tests.extension_points` writes the page again; a test fails where it is stale or lacks a registry.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from textwrap import dedent

from market.registry import Registry
from wattswap.plugins import REGISTRIES, registry

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "extension-points.md"
EXAMPLES = Path(__file__).resolve().parent / "examples"
HEAD = """\
# Extension points

Every kind of plug-in has one registry, and a plug-in is one file that registers itself. This page is written
from the registries by `python -m tests.extension_points`; every example on it is run by the tests.

A plug-in is found in one of three ways:

- **A folder of this repository.** A file dropped into it is found; a name with a leading underscore is a helper.
- **A package of your own**, by an entry point of the group that names the module: `[project.entry-points."GROUP"]`,
  then `my_name = "my_package.my_module"`.
- **A file of your own**, by `--module FILE` on `run`, `resume`, `verify`, `compare`, `sweep`, `live`, `node init`,
  `node run`, `validate`, `report`, `check`, `clear`, `grid`, `list`, `show` and `chain verify`, `describe`, `state` and
  `tx`. It may be given several times, a file may register any number of plug-ins of any kind, and the processes of
  `--jobs` and of `live` import it too. Where a result can depend on it, its SHA-256 is in the manifest, in the
  scenario's digest and in the genesis: `resume` and `verify` then ask for that very file.

Every registry has the same methods: `register(item, contract=VERSION)`, `get(name)`, `all()`, `origin(name)`. With
`contract=` a plug-in says for which version of the contract it was written, and is refused in a sentence where that
is another one. Refused in the same way, with exit code 3, are a name that is taken, with the names of both modules
that claim it; a file that registers nothing, cannot be imported, or has the name of another module.

A plug-in is trusted code: what it returns is checked at every call, the arrays that it is given are read-only, and what
it raises, `SystemExit` of `sys.exit` too, ends the command with one sentence that names it and leaves nothing behind.
But nothing keeps it from putting other functions or values into our modules and objects, or from ending the process:
after `os._exit` no line of ours is executed, so that the command ends without a word and with whatever exit code the
plug-in chose, 0 included; only a comparison with `--jobs` above 1 survives that and says so. Never call it, and look
for the results of a run before you trust an exit code of 0.

| kind | registry | folders | entry-point group | contract | listed by |
|---|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Example:
    """A plug-in of one kind.

    Args:
        file: Its file in tests/examples.
        files: More files there, for the commands.
        commands: Command lines that use it; none for a kind that no `--module` can bring.
    """

    file: str
    files: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The content of the file."""
        return example_text(self.file)


def example_text(file: str) -> str:
    """The content of a file of tests/examples."""
    return (EXAMPLES / file).read_text(encoding="utf-8")


@dataclass(frozen=True)
class Kind:
    """What the page says of one kind.

    Args:
        about: What it is.
        contract: Where its class is, as `module:Class`.
        examples: Of which each is run.
    """

    about: str
    contract: str
    examples: tuple[Example, ...]


KINDS: dict[str, Kind] = {
    "mechanisms": Kind(
        "A mechanism clears a market: a pure function from an order book and the market's rules to a clearing, with"
        " what it promises. One that takes metered quantities prices them by `share`.",
        "market.mechanism:Mechanism",
        (
            Example(
                "bottom_price.py",
                commands=(
                    "wattswap check mechanism bottom_price --module bottom_price.py --books 20",
                    "wattswap run demo -m bottom_price --module bottom_price.py --set time.intervals=20 --quiet",
                    "wattswap verify RUN --module bottom_price.py --quiet",
                ),
            ),
            Example(
                "half_way.py",
                files=("case.json",),
                commands=("wattswap clear case.json -m half_way --module half_way.py --json",),
            ),
            Example(
                "merit_order.py",
                files=("village.json",),
                commands=("wattswap clear village.json -m merit_order --module merit_order.py --json",),
            ),
        ),
    ),
    "formats": Kind(
        "A format reads meter files of one layout: it says how sure it is that a file is its own, and yields raw"
        " readings. The intake places, checks and rounds them.",
        "data.formats:Format",
        (
            Example(
                "three_columns.py",
                files=("readings.csv",),
                commands=("wattswap data check readings.csv --module three_columns.py",),
            ),
        ),
    ),
    "price-formats": Kind(
        "A price format reads price files of one layout into rows of time and price. What follows is shared: local"
        " time, lengths of intervals, gaps, and exact prices.",
        "data.prices:PriceFormat",
        (
            Example(
                "cents.py",
                files=("cents.txt",),
                commands=("wattswap data check cents.txt --module cents.py",),
            ),
        ),
    ),
    "weather-formats": Kind(
        "A weather format reads weather files of one layout into columns of temperature and irradiance, of measured"
        " intervals or of a typical year. What follows is shared: plausible values, and the grid of a run.",
        "data.weather:WeatherFormat",
        (
            Example(
                "thermometer.py",
                files=("june.txt",),
                commands=("wattswap data check june.txt --module thermometer.py",),
            ),
        ),
    ),
    "grid-formats": Kind(
        "A grid format reads network files of one layout into buses, branches in ohm and loads. What follows is shared:"
        " closed switches and parallel lines, base voltages and per-unit values, and the checks.",
        "data.grids.network:GridFormat",
        (
            Example(
                "edge_list.py",
                files=("street.edges",),
                commands=("wattswap grid import street.edges --module edge_list.py --out street_grid.json",),
            ),
        ),
    ),
    "strategies": Kind(
        "A bidding strategy gives the orders of homes for an interval, all homes at once, and may learn from what came"
        " of them.",
        "agents.bidding:Strategy",
        (
            Example(
                "halves.py",
                commands=(
                    "wattswap run demo --module halves.py --set homes.strategy=halves --set time.intervals=20 --quiet",
                    "wattswap verify RUN --module halves.py --quiet",
                    "wattswap compare demo --module halves.py --set homes.strategy=halves -m pay_as_bid --jobs 2"
                    " --set time.intervals=20 --quiet",
                ),
            ),
            Example(
                "eager.py",
                commands=(
                    "wattswap run demo --module eager.py --set homes.strategy=eager --set time.intervals=20 --quiet",
                    "wattswap verify RUN --module eager.py --quiet",
                ),
            ),
        ),
    ),
    "forecasters": Kind(
        "A forecaster says, at gate closure and from known readings only, what each home will need and feed in.",
        "agents.forecast:Forecaster",
        (
            Example(
                "last_reading.py",
                commands=(
                    "wattswap run demo --module last_reading.py --set homes.forecast=last_reading"
                    " --set time.intervals=20 --quiet",
                    "wattswap verify RUN --module last_reading.py --quiet",
                ),
            ),
        ),
    ),
    "devices": Kind(
        "A device is behind the meter of a home: its parameters, which are a table of the scenario, its step in an"
        " interval, its columns in the tables of a run, and its part of a linear program.",
        "agents.devices:Device",
        (
            Example(
                "tank.py",
                commands=(
                    "wattswap run demo --module tank.py --set homes.tank.home-02.volume_kwh=3"
                    " --set homes.tank.home-02.power_kw=1.2 --set time.intervals=20 --quiet",
                    "wattswap verify RUN --module tank.py --quiet",
                ),
            ),
        ),
    ),
    "controllers": Kind(
        "A controller says what the devices of a home should do in an interval; the device keeps its own limits.",
        "agents.control:Controller",
        (
            Example(
                "half_of_it.py",
                commands=(
                    "wattswap run demo --module half_of_it.py --set homes.control=half_of_it"
                    " --set time.intervals=20 --quiet",
                    "wattswap verify RUN --module half_of_it.py --quiet",
                ),
            ),
        ),
    ),
    "metrics": Kind(
        "A metric is a figure of a result. It is part of the metrics of a run and a comparison, in reports, and in"
        " conditions.",
        "market.metrics.table:Metric",
        (
            Example(
                "largest_trade.py",
                commands=(
                    "wattswap run demo --module largest_trade.py --set time.intervals=20 --quiet",
                    "wattswap report RUN --module largest_trade.py --assert 'largest_trade_kwh >= 0'",
                ),
            ),
        ),
    ),
    "sections": Kind(
        "A section is a part of the report: a function of the story, which holds all results, to a heading and a body.",
        "wattswap.report.section:ReportSection",
        (
            Example(
                "who_trades.py",
                commands=(
                    "wattswap run demo --set time.intervals=20 --quiet",
                    "wattswap report RUN --module who_trades.py",
                ),
            ),
        ),
    ),
    "chain-modules": Kind(
        "A chain module is a part of the state of the chain: the methods that transactions may call, the entries that"
        " they write, and what always holds. A chain has the modules that its genesis names: those of every chain and"
        " those of the scenario's key `chain.modules`. From these declarations `wattswap chain describe` shows what a"
        " module takes, `chain tx` builds a transaction to it, and `chain state` shows its entries.",
        "p2p.ledger.module:ChainModule",
        (
            Example(
                "notes.py",
                commands=(
                    "wattswap chain describe notes --module notes.py",
                    "wattswap run demo --module notes.py --set 'chain.modules=[\"notes\"]' --set time.intervals=4"
                    " --quiet",
                    "wattswap verify RUN --module notes.py --quiet",
                    "wattswap chain state RUN notes --module notes.py",
                ),
            ),
        ),
    ),
    "commands": Kind(
        "A command of the command line: a function whose parameters typer reads, or a group of commands. What is heavy"
        " it imports inside. It comes by a folder or an entry point; `--module` is read too late for it.",
        "wattswap.cli.command:Command",
        (Example("hello.py"),),
    ),
}


def page() -> str:
    """The whole page.

    Raises:
        KeyError: A registry of which `KINDS` says nothing.
    """
    rows, parts = [], []
    for what, place in REGISTRIES:
        kind, found = KINDS[what], registry(what)
        folders = ", ".join(f"`{folder.replace('.', '/')}/`" for folder in found.folders)
        name = f"`{place.partition(':')[2]}` of `{place.partition(':')[0]}`"
        listed = f"`wattswap list {what}`"
        rows.append(
            f"| [{found.kind}](#{what}) | {name} | {folders} | `{found.group}` | {found.contract} | {listed} |"
        )
        parts += ["", f"## {what}", "", *_wrapped(kind.about), "", *_contract(kind, found)]
        for example in kind.examples:
            parts += ["", f"```python {example.file}", *example.text.splitlines(), "```"]
            for file in example.files:
                parts += ["", f"```text {file}", *example_text(file).splitlines(), "```"]
            if example.commands:
                parts += ["", "```console", *(f"$ {command}" for command in example.commands), "```"]
    return HEAD + "\n".join([*rows, *parts]) + "\n"


def _contract(kind: Kind, found: Registry[object]) -> list[str]:
    """The class of the contract as the code has it, down to its last field."""
    module, _, name = kind.contract.partition(":")
    cls = getattr(import_module(module), name)
    lines = dedent(inspect.getsource(cls)).splitlines()
    end = next((i for i, line in enumerate(lines) if line.startswith(("    def ", "    @"))), len(lines))
    contract = f"Contract, version {found.contract}, `{module}.{name}`:"
    return [contract, "", "```py", *"\n".join(lines[:end]).rstrip().splitlines(), "```"]


def _wrapped(text: str) -> list[str]:
    from textwrap import wrap

    return wrap(text, 118, break_long_words=False, break_on_hyphens=False)


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
