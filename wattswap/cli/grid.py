"""Commands on the grid of a market: import it from a network file, check it, compare it with AC, draw it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wattswap.cli.command import COMMANDS, Command
from wattswap.cli.options import JsonOption, ModuleOption, WideOption, import_modules

GridArgument = Annotated[
    Path,
    typer.Argument(help="grid.json, a case with a grid, or a network file.", metavar="GRID"),
]
app = typer.Typer(help="Import, check and draw the grid of a market.", no_args_is_help=True)


@app.callback()
def grid() -> None:
    """Import, check and draw the grid of a market."""


@app.command("import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(
            help="A network: pandapower JSON, a SimBench folder, an OpenDSS script, or a folder of these.",
            metavar="FILE",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="File to write.", metavar="FILE")] = Path("grid.json"),
    format: Annotated[str | None, typer.Option("--format", help="Format; default: recognised.")] = None,
    base_kva: Annotated[
        float, typer.Option("--base-kva", help="Base of the impedances in kVA.", metavar="KVA")
    ] = 100.0,
    module: ModuleOption = None,
    json: JsonOption = False,
) -> None:
    """Write the grid of a network file as JSON, for `wattswap clear` and scenarios."""
    from wattswap.cases.grid_file import import_grid
    from wattswap.cli.output import note, print_json

    import_modules(module)
    found = import_grid(file, out, format=format, base_kva=base_kva)
    if json:
        print_json({"path": str(out), "grid": found.grid, "notes": list(found.notes)})
        return
    print(out)
    for text in found.notes:
        note(f"note: {text}")
    note(f"Next: wattswap grid check {out}")


@app.command()
def check(
    file: GridArgument,
    format: Annotated[str | None, typer.Option("--format", help="Format of a network file.")] = None,
    module: ModuleOption = None,
    json: JsonOption = False,
) -> None:
    """Check a grid and show what it is: size, depth, limits, weakest line, transformers."""
    from wattswap.cases.grid_checks import oddities
    from wattswap.cases.grid_file import load_grid
    from wattswap.cli._grids import print_summary, summary
    from wattswap.cli.output import print_json

    import_modules(module)
    loaded = load_grid(file, format=format)
    found, odd = summary(loaded), oddities(loaded.grid, loaded.given)
    if json:
        print_json({**found, "warnings": odd, "notes": list(loaded.notes)})
    else:
        print_summary(found, odd)


@app.command()
def ac(
    file: GridArgument,
    mechanism: Annotated[str, typer.Option("--mechanism", "-m", help="Clears a case.")] = "nodal_price",
    loads: Annotated[
        Path | None, typer.Option("--loads", help="CSV with node,kw,kvar.", metavar="FILE")
    ] = None,
    scale: Annotated[float, typer.Option("--scale", min=0, help="Factor on the loads of a file.")] = 1.0,
    three_phase: Annotated[
        bool, typer.Option("--three-phase", help="Homes on their phases instead of balanced; radial grids.")
    ] = False,
    rows: Annotated[int, typer.Option("--rows", min=1, help="Most rows of a table.")] = 8,
    format: Annotated[str | None, typer.Option("--format", help="Format of a network file.")] = None,
    module: ModuleOption = None,
    wide: WideOption = False,
    json: JsonOption = False,
) -> None:
    """Compare voltages and loadings of an AC power flow with those that the market computes with."""
    from wattswap.cases.ac_check import check_ac, check_phases
    from wattswap.cases.grid_file import load_grid
    from wattswap.cases.grid_loads import loads_of
    from wattswap.cli._grids import print_ac
    from wattswap.cli.output import print_json

    import_modules(module)
    loaded = load_grid(file, format=format)
    taken = loads_of(loaded, mechanism=mechanism, loads=loads, scale=scale)
    found = (check_phases(loaded, taken) if three_phase else check_ac(loaded, taken)).to_dict()
    if json:
        print_json(found)
    else:
        print_ac(found, rows, wide=wide)


@app.command()
def draw(
    file: GridArgument,
    out: Annotated[Path, typer.Option("--out", help="SVG file to write.", metavar="FILE")] = Path("grid.svg"),
    mechanism: Annotated[str, typer.Option("--mechanism", "-m", help="Clears a case.")] = "nodal_price",
    loads: Annotated[
        Path | None, typer.Option("--loads", help="CSV with node,kw,kvar.", metavar="FILE")
    ] = None,
    scale: Annotated[float, typer.Option("--scale", min=0, help="Factor on the loads of a file.")] = 1.0,
    by_ac: Annotated[bool, typer.Option("--ac", help="Loading and voltage by an AC power flow.")] = False,
    currency: Annotated[str, typer.Option("--currency", help="Currency of the prices of a case.")] = "",
    format: Annotated[str | None, typer.Option("--format", help="Format of a network file.")] = None,
    module: ModuleOption = None,
) -> None:
    """Draw a radial grid as SVG: lines by loading, nodes by price."""
    from wattswap.cases.grid_file import load_grid
    from wattswap.report.grid_picture import draw_grid

    import_modules(module)
    print(
        draw_grid(
            load_grid(file, format=format),
            out,
            title=file.name,
            mechanism=mechanism,
            loads=loads,
            scale=scale,
            by_ac=by_ac,
            currency=currency,
        )
    )


COMMANDS.register(Command("grid", app, 1))
