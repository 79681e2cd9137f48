"""The command that clears one case from a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wattswap.cli.command import COMMANDS, Command
from wattswap.cli.options import JsonOption, ModuleOption, WideOption, import_modules
from wattswap.errors import ExitCode, Problem, listed

if TYPE_CHECKING:
    from optimizer.progress import Progress


def clear(
    file: Annotated[
        Path, typer.Argument(help="A case in JSON, or one case a line in JSONL.", metavar="FILE")
    ],
    mechanism: Annotated[str, typer.Option("--mechanism", "-m", help="Mechanism.")],
    module: ModuleOption = None,
    wide: WideOption = False,
    json: JsonOption = False,
) -> None:
    """Clear a book from a file; docs/reference/mechanisms has each mechanism's inputs and parameters."""
    from optimizer.progress import listening
    from wattswap.cases.contract import clear_file
    from wattswap.cli.output import note, print_json

    def tell(where: str, problems: list[Problem]) -> None:
        if not json:
            note(listed(problems, where))

    import_modules(module)
    code = 0
    with listening(lambda so_far: note(_said(so_far))):
        for result in clear_file(file, mechanism, tell):
            error = result.get("error")
            if error is not None:
                code = code or error["code"]
            elif result.get("status") == "infeasible":
                code = code or int(ExitCode.INFEASIBLE)
            if json:
                print_json(result)
            elif error is None:
                _print_case(result, wide)
    if code:
        raise typer.Exit(code)


def _said(so_far: Progress) -> str:
    """How far a search has come, in one line."""
    from market.units import money

    welfare, bound = money(round(so_far.welfare_nano)), money(round(so_far.bound_nano))
    return f"{so_far.elapsed_s:.0f} s: welfare {welfare:.6f}, at most {bound:.6f}, gap {so_far.gap:.1e}"


def _print_case(result: dict[str, object], wide: bool) -> None:
    """Print a result: facts, then its tables. A clearing without one price whose nodes have prices says so."""
    import pandas as pd

    from wattswap.cli.output import print_facts
    from wattswap.cli.tables import print_table

    tables, facts = {}, {}
    for name, value in result.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            tables[name] = pd.DataFrame(value)
        elif isinstance(value, dict):
            tables[name] = pd.DataFrame({"value": value})
        else:
            facts[name] = round(value, 9) if isinstance(value, float) else value
    if "nodes" in tables and facts.get("price") is None and result["status"] == "cleared":
        facts |= dict.fromkeys(("price", "price_interval"), "by node")
    print_facts(facts)
    for name, frame in tables.items():
        if "value" not in frame:
            frame = frame.set_index(frame.columns[0])
        print_table(name.replace("_", " "), frame, decimals=6, wide=wide)


COMMANDS.register(Command("clear", clear, 13))
