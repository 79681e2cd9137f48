"""Options that several commands on meter data share, and what they say to the readers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from data.formats import Format
    from data.intake.profile import Profile
    from data.intake.raw import DateOrder, Hints, SaidKind, StampEnd

StoreArgument = Annotated[Path, typer.Argument(help="A store of readings.", metavar="STORE")]
HomeOption = Annotated[
    list[str] | None, typer.Option("--home", help="One home; may be given several times.", metavar="HOME")
]
FormatOption = Annotated[str | None, typer.Option("--format", help="Format of a file; default: recognised.")]
RecipeOption = Annotated[
    Path | None,
    typer.Option("--recipe", help="A recipe of your own that describes the file.", metavar="FILE"),
]
ZoneOption = Annotated[
    str | None, typer.Option("--zone", help="Time zone of local stamps, as in Europe/Berlin.")
]
UnitOption = Annotated[
    Literal["Wh", "kWh", "MWh", "W", "kW", "MW"] | None,
    typer.Option("--unit", help="Unit of the values, where the file does not say it."),
]
StampOption = Annotated[
    Literal["start", "end"] | None,
    typer.Option("--stamp", help="Which end of its interval a stamp names."),
]
KindOption = Annotated[
    Literal["energy", "power", "counter"] | None,
    typer.Option("--kind", help="What the numbers are, where they do not look like it."),
]
DatesOption = Annotated[
    Literal["dmy", "mdy", "ymd"] | None, typer.Option("--dates", help="Order of day, month and year.")
]
EncodingOption = Annotated[
    str | None, typer.Option("--encoding", help="Code page of a text that is not UTF-8.")
]
ChannelOption = Annotated[
    list[str] | None,
    typer.Option(
        "--channel", help="What a column holds, as in Usage=import or Cost=ignore.", metavar="COLUMN=CHANNEL"
    ),
]
FuseOption = Annotated[
    float, typer.Option("--fuse-kw", min=0.1, help="Mean power above which a reading is impossible.")
]
ProfileOption = Annotated[
    str | None,
    typer.Option(
        "--profile",
        help="Spread daily or monthly totals: flat, or a CSV of time of day and weight.",
        metavar="flat|FILE",
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", help="Take proposed answers that are nearly certain.")]


def hints_of(
    *,
    zone: str | None,
    fuse_kw: float,
    kind: SaidKind | None,
    unit: str | None,
    stamp: StampEnd | None,
    dates: DateOrder | None,
    encoding: str | None,
    channel: list[str] | None,
    yes: bool,
    profile: str | None = None,
) -> Hints:
    """What the options say to the readers.

    Raises:
        UsageError: One of them says nothing that a reader knows.
    """
    from data.intake.raw import Hints

    return Hints(
        zone=zone,
        fuse_w=round(fuse_kw * 1_000),
        kind=kind,
        unit=unit,
        stamp=stamp,
        dates=dates,
        encoding=known_encoding(encoding),
        channels=channels_of(channel),
        yes=yes,
        profile=known_profile(profile),
    )


def pairs(option: str, given: list[str] | None) -> dict[str, str]:
    """The values of an option that is given as KEY=VALUE, by key.

    Raises:
        UsageError: One of them is not, or a key is given twice.
    """
    from wattswap.errors import UsageError

    found: dict[str, str] = {}
    for one in given or ():
        key, equals, value = one.rpartition("=")
        if not equals or not key.strip() or not value.strip():
            raise UsageError.of(option, f"{one!r} is not of the form KEY=VALUE", f"write {option} KEY=VALUE")
        if key.strip() in found:
            raise UsageError.of(option, f"{key.strip()!r} is given twice", "give each once")
        found[key.strip()] = value.strip()
    return found


def channels_of(given: list[str] | None) -> dict[str, str]:
    """Channels by column, as `--channel` gives them.

    Raises:
        UsageError: One of them is no pair, or names no channel, or a column is given twice.
    """
    from difflib import get_close_matches

    from data.recipes.model import CHANNELS, holds
    from wattswap.errors import UsageError

    found = pairs("--channel", given)
    for name, channel in found.items():
        held = holds(channel)
        what = f"{channel!r}, given for {name!r}, is no channel"
        if held is None:
            cure = "write a column and a channel, as in Usage=import, Power=-net or Cost=ignore"
            raise UsageError.of("--channel", what, cure)
        near = [] if held.name in CHANNELS else get_close_matches(held.name, CHANNELS, n=1, cutoff=0.8)
        if near:  # as the name of a sub-meter it would not count as energy of the grid
            cure = f"did you mean {near[0]!r}? Call a sub-meter by a name that is further from it"
            raise UsageError.of("--channel", what, cure)
    return found


def format_of(recipe: Path | None, format: str | None) -> str | Format | None:
    """The format that the user names or describes by a recipe; None where it is to be recognised.

    Raises:
        UsageError: Both are given.
    """
    from data.formats.tables import format_of_file
    from wattswap.errors import UsageError

    if recipe is None:
        return format
    if format is not None:
        raise UsageError.of("--recipe", "and --format name two formats", "leave one of them out")
    return format_of_file(recipe)


def thousandths(option: str, text: str, unit: str) -> int:
    """A number of kWh as whole Wh, or of kW as whole W.

    Raises:
        UsageError: It is no number, below 0, or has more than three decimals.
    """
    from decimal import Decimal, InvalidOperation

    from wattswap.errors import UsageError

    try:
        whole = Decimal(text) * 1000
        if whole >= 0 and whole == int(whole):
            return int(whole)
    except (InvalidOperation, ValueError, OverflowError):
        pass
    raise UsageError.of(option, f"{text!r} is no number of {unit} with up to three decimals", "write 12.345")


def known_profile(said: str | None) -> Profile | None:
    """The profile that `--profile` names.

    Raises:
        UsageError: It is neither the word flat nor a file of weights.
    """
    from data.intake.profile import profile_of
    from wattswap.errors import UsageError

    try:
        return profile_of(said) if said is not None else None
    except ValueError as problem:
        what, _, cure = f"{said!r}: {problem}".rpartition("; ")
        raise UsageError.of("--profile", what, cure) from None


def known_encoding(name: str | None) -> str | None:
    """The code page that `--encoding` names.

    Raises:
        UsageError: No code page has this name.
    """
    import codecs

    from wattswap.errors import UsageError

    try:
        if name is not None and codecs.lookup(name)._is_text_encoding:  # base64 and zip are codecs too
            return name
    except (LookupError, ValueError):
        pass
    if name is None:
        return None
    raise UsageError.of("--encoding", f"no code page {name!r}", "write one as in cp1252, utf-16 or latin-1")
