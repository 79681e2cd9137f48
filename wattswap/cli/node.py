"""Commands for stand-alone nodes: node init, node keys, node run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wattswap.cli.command import COMMANDS, Command
from wattswap.cli.options import (
    CaseOption,
    JsonOption,
    ModuleOption,
    ScenarioArgument,
    SeedOption,
    SetOption,
    import_modules,
    load_scenario,
)

if TYPE_CHECKING:
    from p2p.wire.keystore import Lock
    from wattswap.nodes.config import NodeConfig

app = typer.Typer(help="Make the nodes of a neighbourhood, and run one of them.", no_args_is_help=True)

_LEAD_S = 120
"""Time between `node init` and the first interval, in which to start the nodes. [s]"""

PassphraseOption = Annotated[
    str | None,
    typer.Option(
        "--passphrase-env", help="Environment variable with the keystores' passphrase.", metavar="NAME"
    ),
]
KeyFileOption = Annotated[
    bool, typer.Option("--key-file", help="Decrypt each keystore with its own key file; the default.")
]
MeterKeysOption = Annotated[
    bool, typer.Option("--meter-keys", help="Keys of their own for the meters, which then sign readings.")
]


@app.command()
def init(
    scenario: ScenarioArgument,
    folder: Annotated[Path, typer.Argument(help="Folder to make.", metavar="DIR")],
    validators: Annotated[int, typer.Option(help="Validators: 4 to 25, or 1 for tests.")] = 4,
    operators: Annotated[int, typer.Option(help="Operators; the first one collects.")] = 1,
    gateways: Annotated[int, typer.Option(help="Nodes that act for the homes (0 = one node per home).")] = 0,
    households_per_gateway: Annotated[
        int, typer.Option(help="Instead of --gateways: homes per gateway at most.")
    ] = 0,
    observers: Annotated[int, typer.Option(help="Nodes that only follow the chain.")] = 0,
    begin: Annotated[
        str | None,
        typer.Option(
            "--begin", help="When the first interval opens, as in 2026-12-01T00:00Z; default: in 2 minutes."
        ),
    ] = None,
    pace_s: Annotated[
        float | None,
        typer.Option("--pace-seconds", help="Time between intervals; default: their own length."),
    ] = None,
    heartbeat_minutes: Annotated[
        int, typer.Option(min=0, max=1440, help="Longest time without a block (0 = no empty blocks).")
    ] = 0,
    first_port: Annotated[
        int | None, typer.Option(help="First of consecutive ports; default: free ones.")
    ] = None,
    passphrase_env: PassphraseOption = None,
    key_file: KeyFileOption = False,
    derived_keys: Annotated[
        bool, typer.Option("--derived-keys", help="Derive the keys from the scenario; simulations only.")
    ] = False,
    public_keys: Annotated[
        Path | None,
        typer.Option("--public-keys", help="Public keys of owners who ran `node keys`.", metavar="FILE"),
    ] = None,
    meter_keys: MeterKeysOption = False,
    case: CaseOption = None,
    settings: SetOption = None,
    seed: SeedOption = None,
    module: ModuleOption = None,
    json: JsonOption = False,
) -> None:
    """Write a folder for every node of a neighbourhood: keys, addresses, genesis, configuration."""
    import time

    from wattswap.cli.output import naming_written, note, print_json
    from wattswap.nodes.keys import load_public_keys
    from wattswap.nodes.provision import KeyPlan, NetworkSpec, init_nodes
    from wattswap.runs.chain_reader import parse_interval

    spec = NetworkSpec(
        begin_ms=(int(time.time()) + _LEAD_S) * 1000 if begin is None else parse_interval(begin) * 1000,
        validators=validators,
        operators=operators,
        gateways=gateways,
        households_per_gateway=households_per_gateway,
        observers=observers,
        pace_s=pace_s,
        heartbeat_minutes=heartbeat_minutes,
        first_port=first_port,
    )
    plan = KeyPlan(
        lock=_lock(passphrase_env, key_file),
        passphrase_env=passphrase_env,
        derived=derived_keys,
        given={} if public_keys is None else load_public_keys(public_keys),
        has_meter_key=lambda home: meter_keys,
    )
    configs = init_nodes(load_scenario(scenario, case, settings, seed, module=module), folder, spec, plan)
    with naming_written(folder):
        if json:
            nodes = [{"name": c.name, "role": c.role, "port": c.listen.port} for c in configs]
            print_json({"folder": str(folder), "chain_id": _chain_id(configs[0]).hex(), "nodes": nodes})
            return
        _print_next_steps(folder, configs, set(plan.given))
    if validators == 1:
        note(
            "warning: a single validator is for tests only: nobody checks it, and the chain stops without it"
        )
    if derived_keys:
        note("warning: keys derived from the scenario can be guessed; use them in simulations only")


def _print_next_steps(folder: Path, configs: tuple[NodeConfig, ...], absent: set[str]) -> None:
    from datetime import UTC, datetime

    begin = datetime.fromtimestamp(configs[0].clock.begin_unix_ms / 1000, UTC)
    print(f"{folder}: {len(configs)} nodes, chain {_chain_id(configs[0]).hex()[:16]}")
    print(f"The first interval opens at {begin:%Y-%m-%dT%H:%M:%SZ}.")
    if absent:
        print("Bring the keystores of their owners first:")
        for name in sorted(absent):
            print(f"  keystore.json to {folder / name}")
        for config in configs:
            if config.name in absent and config.keystore.meters is not None:
                print(f"  {config.keystore.meters} to {config.folder}")
    print("Start them in this order, each in its own terminal or service:")
    for config in configs:
        print(f"  wattswap node run {folder / config.name}")
    print(f"Then: wattswap network status {folder}")


@app.command()
def keys(
    folder: Annotated[Path, typer.Argument(help="Folder to make.", metavar="DIR")],
    role: Annotated[
        str, typer.Option("--role", help="`household`, `gateway`, `operator`, `validator` or `observer`.")
    ],
    name: Annotated[str, typer.Option("--name", help="Name of the node, as in validator-2.")],
    household: Annotated[
        list[str] | None, typer.Option("--household", help="A home it acts for; several for a gateway.")
    ] = None,
    passphrase_env: PassphraseOption = None,
    key_file: KeyFileOption = False,
    meter_keys: MeterKeysOption = False,
) -> None:
    """Make the keys of one node and print the public keys, for an owner who keeps the secret keys."""
    from typing import get_args

    from data.readings import home_id
    from wattswap.cli.output import naming_written, note
    from wattswap.errors import UsageError, suggest
    from wattswap.nodes.config import Role
    from wattswap.nodes.keys import PUBLIC_KEYS, make_keys, public_text

    known: dict[str, Role] = {choice: choice for choice in get_args(Role)}
    if role not in known:
        raise UsageError.of("--role", f"no role {role!r}", suggest(role, known))
    homes = [home_id(home) for home in household or []]
    public = make_keys(folder, known[role], name, homes, _lock(passphrase_env, key_file), meter_keys)
    with naming_written(folder):
        print(public_text(public), end="")
    note(
        f"Next: give {folder / PUBLIC_KEYS} to the person who runs `wattswap node init`; keep the rest of {folder}"
    )


@app.command()
def run(
    folders: Annotated[list[Path], typer.Argument(help="The folder of a node.", metavar="DIR...")],
    module: ModuleOption = None,
) -> None:
    """Run a node until SIGINT (Ctrl-C) or SIGTERM; several folders share one process."""
    import os

    from p2p.blocks.genesis import read_genesis
    from wattswap.nodes.config import load_config
    from wattswap.nodes.keys import open_keys
    from wattswap.nodes.service import run_until_stopped

    import_modules(module)
    nodes = []
    for folder in folders:
        config = load_config(folder)
        nodes.append((config, open_keys(config, os.environ, read_genesis(config.genesis_path))))
    run_until_stopped(nodes)


def _lock(passphrase_env: str | None, key_file: bool) -> Lock | None:
    """The lock that the options name; None: a new key file beside each keystore."""
    import os

    from wattswap.errors import UsageError
    from wattswap.nodes.keys import passphrase_lock

    if passphrase_env is None:
        return None
    if key_file:
        raise UsageError.of("--key-file", "excludes --passphrase-env", "keep one of the two")
    return passphrase_lock(passphrase_env, os.environ)


def _chain_id(config: NodeConfig) -> bytes:
    from p2p.blocks.genesis import read_genesis

    return read_genesis(config.genesis_path).chain_id


COMMANDS.register(Command("node", app, 4))
