"""The command that clears one case from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wattswap.cli.command import COMMANDS, Command
from wattswap.cli.options import JsonOption, ModuleOption, WideOption, import_modules
from wattswap.errors import ExitCode, Problem, listed


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
    from wattswap.cases.contract import clear_file
    from wattswap.cli.output import note, print_json, searches_told

    def tell(where: str, problems: list[Problem]) -> None:
        if not json:
            note(listed(problems, where))

    import_modules(module)
    code = 0
    with searches_told():
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
