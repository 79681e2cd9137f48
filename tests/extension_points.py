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

Every kind of plug-in has one registry, and a plug-in is one file that registers itself. This page is written
from the registries by `python -m tests.extension_points`; every example on it is run by the tests.

A plug-in is found in one of three ways:

- **A folder of this repository.** A file dropped into it is found; a name with a leading underscore is a helper.
- **A package of your own**, by an entry point of the group that names the module: `[project.entry-points."GROUP"]`,
  then `my_name = "my_package.my_module"`.
- **A file of your own**, by `--module FILE` on `run`, `resume`, `verify`, `compare`, `sweep`, `live`, `node init`,
  `node run`, `validate`, `report`, `check`, `clear`, `list`, `show` and `chain verify`, `describe`, `state` and
  `tx`. It may be given several times, a file may register any number of plug-ins of any kind, and the processes of
  `--jobs` and of `live` import it too. Where a result can depend on it, its SHA-256 is in the manifest, in the
  scenario's digest and in the genesis: `resume` and `verify` then ask for that very file.

Every registry has the same methods: `register(item, contract=VERSION)`, `get(name)`, `all()`, `origin(name)`. With
`contract=` a plug-in says for which version of the contract it was written, and is refused in a sentence where that
is another one. Refused in the same way, with exit code 3, are a name that is taken, with the names of both modules
that claim it; a file that registers nothing, cannot be imported, or has the name of another module.

A plug-in is trusted code: what it returns is checked at every call, and what it raises ends the command with one
sentence that names it, but nothing keeps it from changing what it is handed or from ending the process.

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
                    "wattswap run demo -m bottom_price --module bottom_price.py --set time.intervals=20 --quiet",
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
            Example(
                "merit_order.py",
                """\
                \"\"\"The best bid with the best offer, as long as the lines of the grid carry it.\"\"\"

                import numpy as np

                from market.clearing import Trades, of_trades
                from market.grid import NO_LIMIT
                from market.mechanism import MECHANISMS, Mechanism, Promises


                def flow_per_wh(grid):
                    \"\"\"Flow in each line (rows) by a Wh fed in at each node (columns), by the DC equations.\"\"\"
                    lines = grid.lines
                    ends = np.zeros((len(lines), len(grid.nodes)))
                    ends[np.arange(len(lines)), lines.start] = 1
                    ends[np.arange(len(lines)), lines.end] = -1
                    by_line = ends / lines.x[:, None]
                    return by_line @ np.linalg.pinv(ends.T @ by_line)


                def clear(book, rules):
                    \"\"\"Trade pair by pair in the middle of the two limits, each as far as every line allows.\"\"\"
                    lines, per_wh, limits = rules.grid.lines, flow_per_wh(rules.grid), book.limit_micro_per_kwh
                    most_wh = np.where(lines.limit_wh == NO_LIMIT, np.inf, lines.limit_wh)
                    flow_wh, left_wh, trades = np.zeros(len(lines)), book.energy_wh.copy(), []
                    order = np.argsort(limits, kind="stable")
                    for buy in order[book.side[order] > 0][::-1]:
                        for sell in order[book.side[order] < 0]:
                            if limits[buy] < limits[sell]:
                                break
                            flow = per_wh[:, book.node[sell]] - per_wh[:, book.node[buy]]
                            used = np.abs(flow) > 1e-9
                            room_wh = (most_wh - np.sign(flow) * flow_wh)[used] / np.abs(flow[used])
                            energy_wh = int(min([left_wh[buy], left_wh[sell], *np.floor(room_wh + 1e-6)]))
                            if energy_wh > 0:
                                trades.append((buy, sell, energy_wh, (limits[buy] + limits[sell]) // 2))
                                left_wh[[buy, sell]] -= energy_wh
                                flow_wh += flow * energy_wh
                    return of_trades(book, Trades(*np.array(trades, dtype=np.int64).reshape(-1, 4).T))


                PROMISES = Promises(source="an example", needs_grid=True)
                MECHANISMS.register(Mechanism("merit_order", clear, PROMISES), contract=1)
                """,
                files=(
                    (
                        "village.json",
                        dedent(
                            """\
                            {"orders": [
                              {"id": "b", "participant": "ann", "side": "buy", "node": "house",
                               "quantity_kwh": 10, "price_per_kwh": 0.3},
                              {"id": "s", "participant": "ben", "side": "sell", "node": "farm",
                               "quantity_kwh": 10, "price_per_kwh": 0.1}],
                             "grid": {"kind": "dc", "nodes": ["house", "farm"],
                              "lines": [{"id": "cable", "from": "farm", "to": "house", "limit_kw": 1}]}}"""
                        ),
                    ),
                ),
                commands=("wattswap clear village.json -m merit_order --module merit_order.py --json",),
            ),
        ),
    ),
    "formats": Kind(
        "A format reads meter files of one layout: it says how sure it is that a file is its own, and yields raw"
        " readings. The intake places, checks and rounds them.",
        "data.formats:Format",
        (
            Example(
                "three_columns.py",
                """\
                \"\"\"Readings as meter;time;Wh, times in UTC at the start of an hour.\"\"\"

                import csv
                import io

                import numpy as np

                from data.formats import FORMATS, Confidence, Format
                from data.intake.raw import Channel, RawReadings, labels, numbers, stamps

                HEADER = "meter;time;Wh"


                def sniff(file):
                    \"\"\"Tell whether the first line is exactly ours.\"\"\"
                    return Confidence.CERTAIN if file.head.startswith(HEADER.encode()) else Confidence.NO


                def parse(file, hints, log):
                    \"\"\"Read the whole file as one chunk.\"\"\"
                    with io.TextIOWrapper(file.open(file.name), encoding="utf-8", newline="") as text:
                        rows = list(csv.reader(text, delimiter=";"))[1:]
                    meter, time, energy = zip(*rows, strict=True)
                    yield RawReadings(
                        line=np.arange(2, 2 + len(rows)),
                        meter=labels(meter),
                        stamp=stamps(labels(time)),
                        values={
                            Channel("import", "Wh", "interval", "Wh"): numbers(energy),
                            Channel("export", "Wh", "interval", "Wh"): numbers(["0"] * len(rows)),
                        },
                    )


                FORMATS.register(Format("three_columns", "meter;time;Wh", "Wh", sniff, parse, zone="UTC"), contract=2)
                """,
                files=(
                    (
                        "readings.csv",
                        "meter;time;Wh\nann;2026-06-01T00:00:00Z;120\nann;2026-06-01T01:00:00Z;80",
                    ),
                ),
                commands=("wattswap data check readings.csv --module three_columns.py",),
            ),
        ),
    ),
    "strategies": Kind(
        "A bidding strategy gives the orders of homes for an interval, all homes at once, and may learn from what came"
        " of them.",
        "agents.bidding:Strategy",
        (
            Example(
                "halves.py",
                """\
                \"\"\"Every home bids in the middle of the outside prices.\"\"\"

                from agents.bidding import STRATEGIES, Strategy, one_order_a_home


                def bid(state, view):
                    \"\"\"Order the net energy of each home at one limit.\"\"\"
                    prices = view.prices
                    middle = (prices.buy_cap_micro_per_kwh + prices.feed_in_micro_per_kwh) // 2
                    return one_order_a_home(view.net_wh, middle, middle)


                STRATEGIES.register(Strategy("halves", bid, "the middle of the outside prices"), contract=2)
                """,
                commands=(
                    "wattswap run demo --module halves.py --set homes.strategy=halves --set time.intervals=20 --quiet",
                    "wattswap verify RUN --module halves.py --quiet",
                    "wattswap compare demo --module halves.py --set homes.strategy=halves -m pay_as_bid --jobs 2"
                    " --set time.intervals=20 --quiet",
                ),
            ),
            Example(
                "eager.py",
                """\
                \"\"\"Homes ask for a profit, and for less of it after an order that was not filled.\"\"\"

                from agents.bidding import STRATEGIES, Strategy, one_order_a_home


                def start(homes, rules):
                    \"\"\"Every home begins with a share of 30 percent.\"\"\"
                    return {"percent": 0 * homes + 30}


                def bid(state, view):
                    \"\"\"Keep that share of the distance between the outside prices.\"\"\"
                    low, high = view.prices.feed_in_micro_per_kwh, view.prices.buy_cap_micro_per_kwh
                    kept = (high - low) * state["percent"] // 100
                    return one_order_a_home(view.net_wh, high - kept, low + kept)


                def learn(state, outcome):
                    \"\"\"Ask for one percent less where an order was not filled.\"\"\"
                    percent = state["percent"].copy()
                    unfilled = outcome.orders.home[outcome.accepted_wh < outcome.orders.energy_wh]
                    percent[unfilled] = (percent[unfilled] - 1).clip(0)
                    return {"percent": percent}


                EAGER = Strategy("eager", bid, "asks for less and less", start=start, learn=learn)
                STRATEGIES.register(EAGER, contract=2)
                """,
                commands=(
                    "wattswap run demo --module eager.py --set homes.strategy=eager --set time.intervals=20 --quiet",
                    "wattswap verify RUN --module eager.py --quiet",
                ),
            ),
        ),
    ),
    "forecasters": Kind(
        "A forecaster says, at gate closure and from known readings only, what each home will need and feed in.",
        "agents.forecast:Forecaster",
        (
            Example(
                "last_reading.py",
                """\
                \"\"\"Every interval to come is like the last one that is known.\"\"\"

                import numpy as np

                from agents.forecast import FORECASTERS, Forecast, Forecaster


                def fit(known):
                    \"\"\"The last known row, or None before there is one.\"\"\"
                    return known.net_wh[-1:] if len(known.net_wh) else None


                def predict(last_wh, horizon):
                    \"\"\"Repeat it.\"\"\"
                    return Forecast.point(np.repeat(last_wh, horizon.steps, axis=0))


                FORECASTERS.register(Forecaster("last_reading", fit, predict, "the last known reading"), contract=2)
                """,
                commands=(
                    "wattswap run demo --module last_reading.py --set homes.forecast=last_reading"
                    " --set time.intervals=20 --quiet",
                    "wattswap verify RUN --module last_reading.py --quiet",
                ),
            ),
        ),
    ),
    "devices": Kind(
        "A device is behind the meter of a home: its parameters, which are a table of the scenario, its step in an"
        " interval, its columns in the tables of a run, and its part of a linear program.",
        "agents.devices:Device",
        (
            Example(
                "tank.py",
                """\
                \"\"\"A hot-water tank takes surplus until it is full, and keeps it.\"\"\"

                from dataclasses import dataclass

                import numpy as np

                from agents.devices import DEVICES, Device, Key


                @dataclass(frozen=True)
                class Tank:
                    \"\"\"The tank of one home.\"\"\"

                    volume_wh: int
                    power_w: int


                class Tanks:
                    \"\"\"The tanks of all homes; a home without one has a tank of nothing.\"\"\"

                    columns = ("tank_wh",)

                    def __init__(self, specs, minutes):
                        self.volume_wh = np.array([0 if s is None else s.volume_wh for s in specs], dtype=np.int64)
                        self.most_wh = np.array([0 if s is None else s.power_w for s in specs]) * minutes // 60

                    def start(self):
                        return {"warm_wh": np.zeros_like(self.volume_wh)}

                    def step(self, state, command_wh, moment):
                        free_wh = np.minimum(self.most_wh, self.volume_wh - state["warm_wh"])
                        taken_wh = np.clip(command_wh, 0, free_wh)
                        return taken_wh, {"warm_wh": state["warm_wh"] + taken_wh}

                    def read(self, state):
                        return {"tank_wh": state["warm_wh"]}

                    def block(self, model, home, state, moments):
                        most = float(self.most_wh[home])
                        takes = model.variables(f"tank{home}.takes_wh", len(moments), upper=most)
                        return [takes, model.variables(f"tank{home}.gives_wh", len(moments), upper=0.0)]


                KEYS = (
                    Key("volume_kwh", "volume_wh", "energy", "Heat that it holds, in kWh."),
                    Key("power_kw", "power_w", "power", "The most it takes in, in kW."),
                )
                DEVICES.register(Device("tank", KEYS, Tank, Tanks, "stores surplus as heat"), contract=1)
                """,
                commands=(
                    "wattswap run demo --module tank.py --set homes.tank.home-02.volume_kwh=3"
                    " --set homes.tank.home-02.power_kw=1.2 --set time.intervals=20 --quiet",
                    "wattswap verify RUN --module tank.py --quiet",
                ),
            ),
        ),
    ),
    "controllers": Kind(
        "A controller says what the devices of a home should do in an interval; the device keeps its own limits.",
        "agents.control:Controller",
        (
            Example(
                "half_of_it.py",
                """\
                \"\"\"Store half of the home's surplus, cover half of its deficit.\"\"\"

                from agents.control import CONTROLLERS, Controller


                def command(plan, moment, fleet, state, net_wh):
                    \"\"\"What each home wants at the terminals of a device; positive consumes. [Wh]\"\"\"
                    return -net_wh // 2


                CONTROLLERS.register(Controller("half_of_it", command, "half of surplus and deficit"), contract=1)
                """,
                commands=(
                    "wattswap run demo --module half_of_it.py --set homes.control=half_of_it"
                    " --set time.intervals=20 --quiet",
                    "wattswap verify RUN --module half_of_it.py --quiet",
                ),
            ),
        ),
    ),
    "metrics": Kind(
        "A metric is a figure of a result. It is part of the metrics of a run and a comparison, in reports, and in"
        " conditions.",
        "market.metrics.table:Metric",
        (
            Example(
                "largest_trade.py",
                """\
                \"\"\"The interval in which most was traded.\"\"\"

                from market.metrics.table import metric


                @metric(unit="kWh", better="higher", decimals=3)
                def largest_trade_kwh(result):
                    \"\"\"Energy of the interval in which most was traded.\"\"\"
                    return int(result.intervals["traded_wh"].max()) / 1_000
                """,
                commands=(
                    "wattswap run demo --module largest_trade.py --set time.intervals=20 --quiet",
                    "wattswap report RUN --module largest_trade.py --assert 'largest_trade_kwh >= 0'",
                ),
            ),
        ),
    ),
    "sections": Kind(
        "A section is a part of the report: a function of the story, which holds all results, to a heading and a body.",
        "wattswap.report.section:ReportSection",
        (
            Example(
                "who_trades.py",
                """\
                \"\"\"A section that names what is compared.\"\"\"

                from wattswap.report.page import Section, paragraph
                from wattswap.report.section import section


                @section("who_trades", 45)
                def who_trades(story):
                    \"\"\"The mechanisms of the report.\"\"\"
                    names = ", ".join(outcome.label for outcome in story.rivals)
                    return Section("who-trades", "Who trades", "An example.", paragraph(names), {})
                """,
                commands=(
                    "wattswap run demo --set time.intervals=20 --quiet",
                    "wattswap report RUN --module who_trades.py",
                ),
            ),
        ),
    ),
    "chain-modules": Kind(
        "A chain module is a part of the state of the chain: the methods that transactions may call, the entries that"
        " they write, and what always holds. A chain has the modules that its genesis names: those of every chain and"
        " those of the scenario's key `chain.modules`. From these declarations `wattswap chain describe` shows what a"
        " module takes, `chain tx` builds a transaction to it, and `chain state` shows its entries.",
        "p2p.ledger.module:ChainModule",
        (
            Example(
                "notes.py",
                """\
                \"\"\"Module `notes`: the operator keeps one note.

                n   the note, as bytes
                \"\"\"

                from p2p.errors import InvalidTx
                from p2p.ledger.module import CHAIN_MODULES, OPERATOR, ChainModule, Entry, Method
                from p2p.wire.codec import Record


                class NoteArgs(Record, frozen=True):
                    \"\"\"Arguments of notes.write.\"\"\"

                    text: bytes


                def check(args, genesis):
                    \"\"\"Refuse a long note before it is in a block.\"\"\"
                    if len(args.text) > 140:
                        raise InvalidTx("note_long", f"a note of {len(args.text)} bytes")


                def write(ctx, args):
                    \"\"\"Keep the note.\"\"\"
                    ctx.view.put("notes", b"n", args.text)


                CHAIN_MODULES.register(
                    ChainModule(
                        "notes",
                        "A note of the operator.",
                        {"write": Method("Write the note.", NoteArgs, frozenset({OPERATOR}), write, check)},
                        (Entry("The note.", b"n"),),
                        codes={"note_long": "A note has at most 140 bytes."},
                    ),
                    contract=1,
                )
                """,
                commands=(
                    "wattswap chain describe notes --module notes.py",
                    "wattswap run demo --module notes.py --set 'chain.modules=[\"notes\"]' --set time.intervals=4"
                    " --quiet",
                    "wattswap verify RUN --module notes.py --quiet",
                    "wattswap chain state RUN notes --module notes.py",
                ),
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
                parts += ["", f"```text {file}", *text.splitlines(), "```"]
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
