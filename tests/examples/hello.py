"""The command that says hello."""

from wattswap.cli.command import COMMANDS, Command


def hello(name: str) -> None:
    """Say hello to somebody."""
    print(f"Hello, {name}.")


COMMANDS.register(Command("hello", hello))
