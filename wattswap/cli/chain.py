"""Commands on a chain: what it holds, its proofs, its modules, and transactions to them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from market.errors import counted
from wattswap.cli.command import COMMANDS, Command
from wattswap.cli.options import JsonOption, ModuleOption, RunArgument, import_modules

if TYPE_CHECKING:
    from p2p.blocks.block import Tx

app = typer.Typer(
    help="Inspect a chain, verify it, prove one home's line, call its modules.", no_args_is_help=True
)


@app.command()
def show(
    run: RunArgument,
    height: Annotated[int | None, typer.Argument(help="A block; default: the whole chain.")] = None,
    json: JsonOption = False,
) -> None:
    """Show the chain, or one block of it."""
    from wattswap.runs.chain_reader import block_facts, chain_facts

    facts = chain_facts(run) if height is None else block_facts(run, height)
    _print(facts, json)


@app.command()
def verify(run: RunArgument, module: ModuleOption = None, json: JsonOption = False) -> None:
    """Check every link, root and signature of a chain; names the first that is wrong."""
    from wattswap.cli.output import print_json
    from wattswap.runs.chain_reader import verified_chain

    import_modules(module)
    facts = verified_chain(run)
    if json:
        print_json(facts)
    else:
        named = {"blocks": "block", "signatures": "signature", "authorities": "validator"}
        blocks, signatures, signers = (counted(facts[name], noun) for name, noun in named.items())
        traded = f"{facts['traded_kwh']:.3f} kWh traded"
        print(f"ok: {blocks}, {signatures} of {signers}, {traded}; head {facts['head']}")


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
    from wattswap.cli.output import naming_written
    from wattswap.runs.chain_reader import prove_line

    text = prove_line(run, household, interval)
    if out is None:
        print(text)
        return
    _write_new(out, text.encode() + b"\n")
    with naming_written(out):
        print(out)


@app.command("check-proof")
def check_proof(
    proof: Annotated[Path, typer.Argument(help="A proof, as `chain prove` writes it.", metavar="PROOF")],
    genesis: Annotated[
        Path, typer.Option("--genesis", help="Genesis file that you trust, as a run's genesis.bin.")
    ],
    json: JsonOption = False,
) -> None:
    """Check a proof offline: nothing is needed but the proof and the genesis."""
    from wattswap.runs.chain_reader import check_line

    facts = check_line(proof, genesis)
    _print(facts, json)


AccusationArgument = Annotated[
    Path,
    typer.Argument(
        help="A proof that a home wrote, from a run's omissions folder, or the transaction of a batch.",
        metavar="PROOF",
    ),
]
SecondArgument = Annotated[
    Path | None,
    typer.Argument(help="The transaction of another batch of the same interval.", metavar="SECOND"),
]


@app.command("check-omission")
def check_omission(
    proof: AccusationArgument,
    genesis: Annotated[
        Path, typer.Option("--genesis", help="Genesis file that you trust, as a run's genesis.bin.")
    ],
    second: SecondArgument = None,
    json: JsonOption = False,
) -> None:
    """Check offline a proof that an operator or validator broke its promise to include a message; names it."""
    from p2p.blocks.genesis import read_genesis
    from wattswap.cli.output import print_json
    from wattswap.runs.accusations import read_accusation

    trusted = read_genesis(genesis)
    facts = read_accusation((proof, *([second] if second else ())), trusted).facts(trusted)
    if json:
        print_json(facts)
        return
    whose = facts["role"] or "a key that the genesis does not name:"
    print(f"broken promise of {whose} {facts['public_key']}")
    print(f"  {facts['broken']}")
    home = "" if facts["household"] is None else f"home {facts['household']}, "
    print(f"  {home}interval {facts['interval']}")


ChainModuleArgument = Annotated[str, typer.Argument(help="Name of a chain module.", metavar="MODULE")]


@app.command()
def describe(name: ChainModuleArgument = "", module: ModuleOption = None, json: JsonOption = False) -> None:
    """Describe a chain module: its methods with their arguments, its entries, why it refuses."""
    from p2p.ledger.edge import described
    from p2p.ledger.module import CHAIN_MODULES
    from wattswap.cli.output import print_json
    from wattswap.cli.tables import ONE_LINE, wrapped

    import_modules(module)
    facts = described(CHAIN_MODULES.get(name or _which(CHAIN_MODULES.all())))
    if json:
        print_json(facts)
        return
    print(wrapped(f"{name}: {facts['summary']}", 2, ONE_LINE))
    for method, about in facts["methods"].items():
        arguments = ", ".join(f"{field}: {kind}" for field, kind in about["args"].items())
        text = f"  {method}({arguments})  {about['about']} {', '.join(about['roles'])}".rstrip()
        print(wrapped(text, 6, ONE_LINE))
    for entry in facts["entries"]:
        print(wrapped(f"  entry  {entry}", 9, ONE_LINE))
    for code, sentence in facts["codes"].items():
        print(wrapped(f"  {code}  {sentence}", 6, ONE_LINE))


@app.command()
def state(
    run: RunArgument, name: ChainModuleArgument = "", module: ModuleOption = None, json: JsonOption = False
) -> None:
    """Show the entries of one chain module after the newest block of a run."""
    from p2p.ledger.module import modules_of
    from wattswap.cli.output import print_facts, print_json
    from wattswap.cli.tables import wrapped
    from wattswap.runs.chain_reader import genesis_of, module_state

    import_modules(module)
    facts = module_state(run, name or _which(modules_of(genesis_of(run))))
    if json:
        print_json(facts)
        return
    count = len(facts["entries"])
    print(f"{name} at height {facts['height']}: {count} {'entry' if count == 1 else 'entries'}")
    for entry in facts["entries"]:
        value = entry["value"]
        key = {part: one for part, one in entry.items() if part not in ("entry", "value")}
        print()
        print(wrapped(entry["entry"]))
        print_facts(key | (value if isinstance(value, dict) else {"value": value}), 2)


KeyOption = Annotated[
    Path, typer.Option("--key", help="Who signs: a key file, or the folder of a node with one key.")
]
OutOption = Annotated[Path, typer.Option("--out", help="Write the signed transaction here.")]
RunOption = Annotated[Path | None, typer.Option("--run", help="Folder with the chain.")]
GenesisOption = Annotated[
    Path | None, typer.Option("--genesis", help="Genesis of the chain, where there is no --run.")
]
NonceOption = Annotated[int | None, typer.Option(min=1, help="The sender's last plus one; --run knows it.")]
ValidUntilOption = Annotated[
    int | None, typer.Option(min=1, help="Last block that may hold it; with --run 100 above the head.")
]


@app.command()
def tx(
    name: ChainModuleArgument,
    method: Annotated[str, typer.Argument(help="One of its methods.", metavar="METHOD")],
    args: Annotated[str, typer.Option("--args", help="Arguments of the method.", metavar="JSON|@FILE")],
    key: KeyOption,
    out: OutOption,
    run: RunOption = None,
    genesis: GenesisOption = None,
    nonce: NonceOption = None,
    valid_until: ValidUntilOption = None,
    module: ModuleOption = None,
    json: JsonOption = False,
) -> None:
    """Build a transaction to a chain module and sign it; `chain send` submits it."""
    from wattswap.nodes.transactions import ChainPlace, build

    import_modules(module)
    made = build(ChainPlace.of("chain tx", run, genesis, nonce, valid_until), name, method, args, key)
    _write_tx(out, made, {}, json)


@app.command()
def accuse(
    proof: AccusationArgument,
    key: KeyOption,
    out: OutOption,
    second: SecondArgument = None,
    run: RunOption = None,
    genesis: GenesisOption = None,
    nonce: NonceOption = None,
    valid_until: ValidUntilOption = None,
    json: JsonOption = False,
) -> None:
    """Build the transaction by which a chain convicts who broke its promise; `chain send` submits it."""
    from wattswap.nodes.transactions import ChainPlace, build_accusation

    files = (proof, *([second] if second else ()))
    place = ChainPlace.of("chain accuse", run, genesis, nonce, valid_until)
    made, facts = build_accusation(place, files, key)
    if not json:
        facts["role"] = facts["role"] or "none in the genesis"
    _write_tx(out, made, {name: facts[name] for name in ("role", "public_key", "broken")}, json)


@app.command()
def enter(
    key: KeyOption,
    out: OutOption,
    run: RunOption = None,
    genesis: GenesisOption = None,
    nonce: NonceOption = None,
    valid_until: ValidUntilOption = None,
    json: JsonOption = False,
) -> None:
    """Build the transaction by which a home shows its key, before its first other one; `chain send` submits it."""
    from wattswap.nodes.transactions import ChainPlace, build_enter

    made = build_enter(ChainPlace.of("chain enter", run, genesis, nonce, valid_until), key)
    _write_tx(out, made, {}, json)


@app.command()
def possession(
    key: Annotated[
        Path, typer.Option("--key", help="Who joins: a key file, or the folder of a node with one key.")
    ],
    genesis: Annotated[Path, typer.Option("--genesis", help="Genesis of the chain.")],
    instead_of: Annotated[
        str | None, typer.Option("--instead-of", help="Public key whose place it takes.", metavar="OLD")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Sign that the holder of a key takes a place on a chain, which a proposal or rotate_key has to show."""
    from wattswap.nodes.transactions import possession_of

    facts = possession_of(key, genesis, instead_of)
    if json:
        _print(facts, json)
    else:
        print(facts["proof"])


@app.command()
def send(
    file: Annotated[Path, typer.Argument(help="A transaction, as `chain tx` writes it.", metavar="TX")],
    nodes: Annotated[Path, typer.Argument(help="A folder of nodes, or a node's folder.", metavar="NODES")],
) -> None:
    """Submit a transaction to the validators of running nodes."""
    from market.files import read_at_most
    from p2p.blocks.block import MAX_TX_BYTES
    from p2p.transports.libp2p import open_libp2p
    from wattswap.nodes.status import targets_of
    from wattswap.nodes.transactions import send

    send(read_at_most(file, MAX_TX_BYTES), targets_of(nodes)[1], open_libp2p, str(file))
    print("taken: it waits for a block")


def _write_tx(out: Path, made: Tx, more: dict[str, Any], json: bool) -> None:
    """Write a transaction, and print what it is."""
    from wattswap.cli.output import naming_written

    facts = {
        "file": str(out),
        "tx_id": made.id.hex(),
        "sender": made.sender.hex(),
        "nonce": made.nonce,
        "valid_until": made.valid_until_height,
    }
    _write_new(out, made.raw)
    with naming_written(out):
        _print(facts | more, json)


def _which(known: Iterable[str]) -> NoReturn:
    """Refuse a command without the name of a module, with the names that there are."""
    from wattswap.errors import UsageError, suggest

    raise UsageError.of("MODULE", "is missing", suggest("", known))


def _print(facts: dict[str, Any], json: bool) -> None:
    from wattswap.cli.output import print_facts, print_json

    (print_json if json else print_facts)(facts)


def _write_new(path: Path, data: bytes) -> None:
    from p2p.files import write_new
    from wattswap.errors import AlreadyExists

    try:
        write_new(path, data)
    except FileExistsError:
        raise AlreadyExists.of(str(path), "exists already", "name another file with --out") from None


COMMANDS.register(Command("chain", app, 3))
