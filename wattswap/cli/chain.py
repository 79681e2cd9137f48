"""Commands on the chain of a run: show, verify, prove, check-proof."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wattswap.cli.command import COMMANDS, Command
from wattswap.cli.options import JsonOption, RunArgument

app = typer.Typer(help="Look at a run's chain, verify it, prove one home's line.", no_args_is_help=True)


@app.command()
def show(
    run: RunArgument,
    height: Annotated[int | None, typer.Argument(help="A block; the whole chain when left out.")] = None,
    json: JsonOption = False,
) -> None:
    """Show the chain, or one block of it."""
    from wattswap.cli.output import print_json
    from wattswap.runs.chain_reader import block_facts, chain_facts

    facts = chain_facts(run) if height is None else block_facts(run, height)
    if json:
        print_json(facts)
        return
    for name, value in facts.items():
        print(f"{name.replace('_', ' '):<18} {value}")


@app.command()
def verify(run: RunArgument, json: JsonOption = False) -> None:
    """Check every link, root and signature of a chain; names the first that is wrong."""
    from wattswap.cli.output import print_json
    from wattswap.runs.chain_reader import verified_chain

    facts = verified_chain(run)
    if json:
        print_json(facts)
    else:
        print(
            f"ok: {facts['blocks']} blocks, {facts['signatures']} signatures of {facts['authorities']} validators,"
            f" {facts['traded_kwh']:.3f} kWh traded; head {facts['head']}"
        )


@app.command()
def prove(
    run: RunArgument,
    household: Annotated[str, typer.Argument(help="Whose line.", metavar="HOUSEHOLD")],
    interval: Annotated[
        str, typer.Argument(help="Start of the interval, as in 2016-09-19T05:00Z.", metavar="INTERVAL")
    ],
    out: Annotated[Path | None, typer.Option("--out", help="Write the proof here instead of stdout.")] = None,
) -> None:
    """Write the proof of one home's line of one interval; it can be checked offline with the genesis alone."""
    from wattswap.errors import AlreadyExists
    from wattswap.runs.chain_reader import prove_line

    text = prove_line(run, household, interval)
    if out is None:
        print(text)
        return
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(text + "\n")
    except FileExistsError:
        raise AlreadyExists.of(str(out), "exists already", "name another file with --out") from None
    print(out)


@app.command("check-proof")
def check_proof(
    proof: Annotated[Path, typer.Argument(help="A proof, as `chain prove` writes it.", metavar="PROOF")],
    genesis: Annotated[Path, typer.Option("--genesis", help="The genesis file of the chain that you trust.")],
    json: JsonOption = False,
) -> None:
    """Check a proof offline: nothing is needed but the proof and the genesis."""
    from wattswap.cli.output import print_json
    from wattswap.runs.chain_reader import check_line

    facts = check_line(proof, genesis)
    if json:
        print_json(facts)
        return
    for name, value in facts.items():
        print(f"{name.replace('_', ' '):<18} {value}")


@app.command("check-omission")
def check_omission(
    proof: Annotated[
        Path,
        typer.Argument(help="A proof that a home wrote, from a run's omissions folder.", metavar="PROOF"),
    ],
    genesis: Annotated[Path, typer.Option("--genesis", help="The genesis file of the chain that you trust.")],
    json: JsonOption = False,
) -> None:
    """Check offline a proof that a collector omitted an order it had promised to include; names the collector."""
    from wattswap.cli.output import print_json
    from wattswap.runs.chain_reader import check_accusation

    facts = check_accusation(proof, genesis)
    if json:
        print_json(facts)
        return
    print(f"broken promise of {facts['role']} {facts['public_key']}")
    print(f"  home {facts['household']}, interval {facts['interval']}")


COMMANDS.register(Command("chain", app, 3))
