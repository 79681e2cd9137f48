"""Every command and page where next to nothing happened: no traceback, no NaN, and a dash or null with a reason."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from plotly.offline import get_plotlyjs

from tests.kits.run_kit import Outcome, call, number_that_json_lacks

SCENARIO = """\
schema = 1
name = "quiet"
currency = "EUR"
seed = 1

[time]
start = {start}
intervals = {intervals}

[data]
path = "meter.csv"

[homes]
forecast = "same_hour_mean"
forecast_days = 1

[tariff]
import_per_kwh = {price}
feed_in_per_kwh = {feed_in}

[market]
gate_closure_minutes = 60
quantities = "{quantities}"
"""
IN, OUT, BOTH, NOTHING = ("0.400", "0"), ("0", "0.900"), ("0.200", "0.800"), ("0", "0")
HOURS = 30
WORLDS: dict[str, dict[str, object]] = {
    "as ever": {},
    "no orders": {"start": "2026-06-01T00:00:00Z"},
    "no trade": {"meters": [IN, IN, IN]},
    "nothing is bought": {"meters": [OUT, OUT]},
    "one home": {"meters": [IN]},
    "one interval": {"intervals": 1},
    "one interval, no orders": {"intervals": 1, "start": "2026-06-01T00:00:00Z"},
    "prices 0": {"price": 0, "feed_in": 0},
    "import is feed-in": {"price": 0.2, "feed_in": 0.2},
    "feed-in above import": {"price": 0.1, "feed_in": 0.2},
    "no energy": {"meters": [NOTHING, NOTHING, NOTHING]},
    "one home without energy": {"meters": [NOTHING]},
    "all bills 0": {"meters": [BOTH, BOTH], "price": 0.32, "feed_in": 0.08},
    "bills that cancel": {"meters": [("0.225", "0"), OUT], "price": 0.32, "feed_in": 0.08},
}
VIEWS = (["summary"], ["bills"], ["prices"], ["book"], ["block", "1"], ["why", "home-1"], ["shares"])
NOT_A_NUMBER = re.compile(r"(?<![\w-])(nan|NaN|-?inf|-?Infinity|None|NaT|<NA>)(?![\w-])")


def written(folder: Path, quantities: str, **world: object) -> Path:
    """A scenario of a world, with the meters of its homes."""
    facts = {"price": 0.32, "feed_in": 0.08, "intervals": 4, "start": "2026-06-02T01:00:00Z"} | world
    meters = facts.pop("meters", [IN, OUT, IN])
    assert isinstance(meters, list)
    rows = [
        f"2026-06-{1 + hour // 24:02}T{hour % 24:02}:00:00Z,home-{home},{wh_in},{wh_out}"
        for hour in range(HOURS)
        for home, (wh_in, wh_out) in enumerate(meters, 1)
    ]
    text = "\n".join(["timestamp,household,import_kwh,export_kwh", *rows]) + "\n"
    (folder / "meter.csv").write_text(text, encoding="utf-8")
    file = folder / "scenario.toml"
    file.write_text(SCENARIO.format(quantities=quantities, **facts), encoding="utf-8")
    return file


def sound(outcome: Outcome, what: tuple[object, ...]) -> Outcome:
    """Exit 0 (or a check that says no), no traceback, and no word for a number that is none."""
    fine = (0, 6) if what[0] == "check" else (0,)
    assert outcome.code in fine, f"{what}: exit {outcome.code}: {outcome.err}"
    found = NOT_A_NUMBER.search(outcome.out + outcome.err)
    assert not found, f"{what}: {found.group()!r} in {outcome.out}{outcome.err}"
    assert "Traceback" not in outcome.err, outcome.err
    assert "bug of wattswap" not in outcome.err, outcome.err
    return outcome


def only_child(folder: Path) -> Path:
    """The run or comparison that a command made."""
    (found,) = [path for path in folder.iterdir() if path.is_dir()]
    return found


def of_page(page: Path) -> str:
    """What a page says and holds, without the code of its plots."""
    html = page.read_text(encoding="utf-8").replace(get_plotlyjs(), "")
    assert not re.search(r"(?<![\w.-])(NaN|Infinity|inf|nan)(?![\w-])", html), page
    return html


METERED = ("no trade", "one interval", "prices 0", "no energy", "bills that cancel")
SAMPLE = {("no orders", "ordered"), ("no energy", "metered")}
"""In `make test`; the others are in `make slow`."""
WORLDS_AND_QUANTITIES = [
    pytest.param(world, quantities, marks=() if (world, quantities) in SAMPLE else pytest.mark.slow)
    for quantities, worlds in (("ordered", WORLDS), ("metered", METERED))
    for world in worlds
]


@pytest.mark.parametrize(("world", "quantities"), WORLDS_AND_QUANTITIES)
def test_every_command_says_so_where_nothing_happened(
    world: str, quantities: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, quantities, **WORLDS[world])
    problems: list[str] = []

    def does(*words: object) -> Outcome | None:
        """Call a command, as text and where it has it as JSON; keep what is wrong."""
        try:
            return sound(call(capsys, *words), words)
        except AssertionError as wrong:
            problems.append(str(wrong)[:1500])
        except Exception as wrong:
            problems.append(f"{words}: {wrong!r}")
        return None

    def both(*words: object) -> None:
        does(*words)
        outcome = does(*words, "--json")
        if outcome is not None:
            json.loads(outcome.out, parse_constant=number_that_json_lacks)

    runs, comparisons, sweeps = (tmp_path / name for name in ("runs", "comparisons", "sweeps"))
    both("validate", file)
    does("run", file, "--out", runs, "-q")
    run = only_child(runs)
    for view in VIEWS:
        both("show", run, *view)
    for view in ("bills", "prices"):
        does("show", run, view, "--csv")
    both("verify", run)
    both("chain", "show", run)
    both("chain", "verify", run)
    does("report", run, "--out", tmp_path / "run.html")
    mechanisms = [word for name in ("uniform_price", "huang", "mid_market_rate") for word in ("-m", name)]
    both("compare", file, *mechanisms, "--out", comparisons, "-q")
    compared = only_child(comparisons)
    for what in (["summary"], ["bills", "huang"], ["cells"]):
        both("show", compared, *what)
    both("verify", compared)
    does("report", compared, "--out", tmp_path / "compared.html")
    does("sweep", file, "-m", "uniform_price", "--vary", "market.k=0,1", "--out", sweeps, "-q")
    does("report", only_child(sweeps), "--out", tmp_path / "swept.html")
    both("check", "market", file, "--rounds", 1, "-q")
    pages = {name: tmp_path / f"{name}.html" for name in ("run", "compared", "swept")}
    for page in pages.values():
        if page.exists():
            of_page(page)
    assert not problems, "\n\n".join(problems)
