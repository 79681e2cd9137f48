"""The command that writes a secret for the keys of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wattswap.cli.command import COMMANDS, Command


def secret(
    file: Annotated[Path, typer.Argument(help="File to make; nothing is overwritten.", metavar="FILE")],
) -> None:
    """Write a new random secret for chain.secret_file, so that keys and salts of a run cannot be guessed."""
    import secrets

    from p2p.wire.identity import SEED_BYTES, Identity, save_key_file
    from wattswap.cli.output import naming_written, note

    save_key_file(file, Identity.from_seed(secrets.token_bytes(SEED_BYTES)))
    with naming_written(file):
        print(file)
    note(f'Next: write secret_file = "{file.name}" under [chain], and keep the file as safe as a key')


COMMANDS.register(Command("secret", secret, 2))
