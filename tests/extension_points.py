"""Writes docs/reference/extension-points.md from the registries: what can be added, where, and by which contract.

`python -m tests.extension_points` writes the page anew; a test fails where it is stale or lacks a registry.
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
HEAD = """\
# Extension points

Every kind of plug-in stands in one registry, and a plug-in is one file that registers itself. This page is written
from the registries by `python -m tests.extension_points`; every example on it is run by the tests.

A plug-in comes in by one of three doors:

- **A folder of this repository.** A file dropped into it is found; a name with a leading underscore is a helper.
- **A package of your own**, by an entry point of the group that names the module: `[project.entry-points."GROUP"]`,
  then `my_name = "my_package.my_module"`.
- **A file of your own**, by `--module FILE` on `run`, `resume`, `verify`, `compare`, `sweep`, `live`, `node init`,
  `node run`, `validate`, `report`, `check`, `clear`, `list` and `show`. It may be given several times, a file may
  register any number of plug-ins of any kind, and the processes of `--jobs` and of `live` import it too. Where a
  result can depend on it, its SHA-256 stands in the manifest, in the scenario's digest and in the genesis: `resume`
  and `verify` then ask for that very file.

Every registry has the same methods: `register(item, contract=VERSION)`, `get(name)`, `all()`, `origin(name)`. With
`contract=` a plug-in says for which version of the contract it was written, and is refused in a sentence where that
is another one. Refused in the same way, with exit code 3, are a name that is taken, with the names of both modules
that claim it; a file that registers nothing, cannot be imported, or has the name of another module.

| kind | registry | folders | entry-point group | contract | listed by |
|---|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Example:
    """A plug-in of one kind.

    Args:
        file: Name of the file.
        text: What stands in it.
        files: More files for the commands, by name.
        commands: Command lines that use it; none for a kind that no `--module` can bring.
    """

    file: str
    text: str
    files: tuple[tuple[str, str], ...] = ()
    commands: tuple[str, ...] = ()


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
                """\
                \"\"\"A call auction at the lowest price that clears it.\"\"\"

                from dataclasses import replace

                from market.auctions.uniform import clear_exact
                from market.mechanism import MECHANISMS, Mechanism, Promises


                def clear(book, rules):
                    \"\"\"Clear at the bottom of the price interval.\"\"\"
                    return clear_exact(book, replace(rules, k_ppm=0))


                PROMISES = Promises(source="an example", uniform_price=True, efficient=True)
                MECHANISMS.register(Mechanism("bottom_price", clear, PROMISES), contract=1)
                """,
                commands=(
                    "wattswap check mechanism bottom_price --module bottom_price.py --books 20",
                    "wattswap run demo -m bottom_price --module bottom_price.py --set time.intervals=4 --quiet",
                    "wattswap verify RUN --module bottom_price.py --quiet",
                ),
            ),
            Example(
                "half_way.py",
                """\
                \"\"\"Neighbours share what they meter at the middle of the outside prices.\"\"\"

                from fractions import Fraction

                from market.auctions.local_price import outside_prices, share_at, suits, trade_at
                from market.mechanism import MECHANISMS, Mechanism, Promises
                from market.parameters import FEED_IN, RETAIL


                def share(supply_wh, demand_wh, retail, feed_in):
                    \"\"\"Settle the metered quantities of an interval. [Wh, micro-currency/kWh]\"\"\"
                    return share_at(Fraction(retail + feed_in, 2), supply_wh, demand_wh, retail, feed_in)


                def clear(book, rules):
                    \"\"\"Trade the orders of an interval at that price.\"\"\"
                    price = sum(outside_prices(rules, "half_way")) // 2
                    return trade_at(book, price, suits(book, price))


                MECHANISMS.register(
                    Mechanism(
                        "half_way",
                        clear,
                        Promises(source="an example", uniform_price=True),
                        (RETAIL, FEED_IN),
                        inputs="metered",
                        share=share,
                    )
                )
                """,
                files=(
                    (
                        "case.json",
                        '{"supply_kwh": {"ann": 2}, "demand_kwh": {"bob": 3},'
                        ' "params": {"retail_price": 0.3, "feed_in_tariff": 0.1}}',
                    ),
                ),
                commands=("wattswap clear case.json -m half_way --module half_way.py --json",),
            ),
        ),
    ),
    "commands": Kind(
        "A command of the command line: a function whose parameters typer reads, or a group of commands. What is heavy"
        " it imports inside. It comes by a folder or an entry point; `--module` is read too late for it.",
        "wattswap.cli.command:Command",
        (
            Example(
                "hello.py",
                """\
                \"\"\"The command that says hello.\"\"\"

                from wattswap.cli.command import COMMANDS, Command


                def hello(name: str) -> None:
                    \"\"\"Say hello to somebody.\"\"\"
                    print(f"Hello, {name}.")


                COMMANDS.register(Command("hello", hello))
                """,
            ),
        ),
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
            parts += ["", f"```python {example.file}", *dedent(example.text).strip().splitlines(), "```"]
            for file, text in example.files:
                parts += ["", f"```json {file}", *text.splitlines(), "```"]
            if example.commands:
                parts += ["", "```console", *(f"$ {command}" for command in example.commands), "```"]
    return HEAD + "\n".join([*rows, *parts]) + "\n"


def _contract(kind: Kind, found: Registry[object]) -> list[str]:
    """The class of the contract as the code has it, down to its last field."""
    module, _, name = kind.contract.partition(":")
    cls = getattr(import_module(module), name)
    lines = dedent(inspect.getsource(cls)).splitlines()
    end = next((i for i, line in enumerate(lines) if line.startswith(("    def ", "    @"))), len(lines))
    said = f"Contract, version {found.contract}, `{module}.{name}`:"
    return [said, "", "```py", *"\n".join(lines[:end]).rstrip().splitlines(), "```"]


def _wrapped(text: str) -> list[str]:
    from textwrap import wrap

    return wrap(text, 118, break_long_words=False, break_on_hyphens=False)


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
