"""Views of a run for `wattswap show`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from data.readings import home_id
from market.units import MICRO_PER_UNIT, NANO_PER_UNIT, WH_PER_KWH
from wattswap.cli._grid import show_grid
from wattswap.cli._summary import facts_beside, print_bills, print_run, show_bound
from wattswap.cli.output import Form, is_text, print_csv, print_facts, print_json, print_rows
from wattswap.cli.tables import Column, fixed, print_columns, print_table, wrapped
from wattswap.errors import UsageError, suggest
from wattswap.runs.chain_reader import block_facts, parse_interval, stamp
from wattswap.runs.folder import RunFolder, read_table
from wattswap.runs.layout import CHAIN, NETWORK
from wattswap.runs.shown import PART_HEADS, adding_up, bills_in_cents, rounded
from wattswap.scenario.basis import moment, vat_words

if TYPE_CHECKING:
    import pandas as pd

BOOK_KEPT = ("side", "energy kwh", "limit per kwh", "price per kwh", "accepted kwh")
"""Columns of a book that stay on a narrow screen, the most important first."""
REGISTERS = {
    "import_kwh": "drawn kWh",
    "export_kwh": "given kWh",
    "bought_kwh": "agreed to buy kWh",
    "sold_kwh": "agreed to sell kWh",
    "local_kwh": "netted kWh",
    "retail_import_kwh": "from retailer kWh",
    "retail_export_kwh": "to retailer kWh",
}
"""Heads of the energy of one home's postings; what bills have too has the same name there."""
POSTED = {
    "trade": "for trades",
    "imbalance": "for netting",
    "retail": "by retailer",
    "grid_fee": "grid fee gross",
}
"""Heads of the money of one home's postings: credits, levies and VAT included, where bills have costs and net parts."""


def show_view(path: Path, what: str, which: str | None, form: Form) -> None:
    """Show one view of a run.

    Raises:
        UsageError: No such view, it needs to know which or takes no such word, or it is not a table and CSV is asked
            for.
    """
    if what not in VIEWS:
        raise UsageError.of("WHAT", f"nothing called {what!r} to show", suggest(what, VIEWS))
    if which is not None and what not in OF_ONE:
        raise UsageError.of("WHICH", f"{what} takes nothing more, and {which!r} was given", "leave it out")
    if form == "csv" and what not in TABULAR:
        raise UsageError.of("--csv", f"{what} is not a table", f"take --json, or one of {', '.join(TABULAR)}")
    result = RunFolder(path)
    VIEWS[what](result, which, form)
    show_bound(what, result.rests_on)


def _summary(result: RunFolder, _which: str | None, form: Form) -> None:
    if form == "json":
        print_json(
            {"run": str(result.path), **result.metrics, "manifest": result.manifest, **facts_beside(result)}
        )
    else:
        print_run(result, form)


def _bills(result: RunFolder, _which: str | None, form: Form) -> None:
    if not is_text(form):
        print_rows(result.bills(), form)
    else:
        print_bills(result.bills(), result.currency, form)


def _prices(result: RunFolder, _which: str | None, form: Form) -> None:
    """Prices by local hour of the day, weighted by energy; every interval with --json or --csv."""
    import pandas as pd

    prices = _as_read(result, result.prices(), form)
    if not is_text(form):
        print_rows(prices, form)
        return
    hours = pd.DatetimeIndex(prices.index).hour
    hour = prices.groupby(hours)
    value = (prices["price_per_kwh"] * prices["traded_kwh"]).groupby(hours).sum()
    frame = hour[["traded_kwh"]].sum()
    frame.insert(0, "price_per_kwh", (value / frame["traded_kwh"]).where(frame["traded_kwh"] > 0))
    frame["import_per_kwh"] = hour["import_per_kwh"].mean()
    frame["feed_in_per_kwh"] = hour["feed_in_per_kwh"].mean()
    frame.index.name = "hour"
    frame = frame.rename(columns={"traded_kwh": _agreed(result)})
    keep = ("price per kwh", _agreed(result))
    vat = f" (import{vat_words(result.scenario)})" if vat_words(result.scenario) else ""
    title = f"Prices in {result.currency}/kWh{vat} by hour of the day ({result.zone})"
    print_table(title, frame.astype(float), 4, keep=keep, wide=form == "wide")


def _as_read(result: RunFolder, frame: pd.DataFrame, form: Form) -> pd.DataFrame:
    """A frame by time with its times as its reader wants them: local, or UTC in JSON, which programs read."""
    import pandas as pd

    if form == "json":
        return frame
    return frame.set_axis(pd.DatetimeIndex(frame.index).tz_convert(result.zone))


def _agreed(result: RunFolder) -> str:
    """The name of the energy that was cleared."""
    metered = result.manifest.get("quantities") == "metered"
    return "cleared kWh" if metered else "agreed ahead kWh"


def _interval(result: RunFolder, which: str | None) -> datetime:
    """Start of an interval of the run; by default of the one with most trade."""
    intervals = result.table("intervals")
    if which is None:
        start: datetime = (
            intervals["interval_start"].iloc[int(intervals["traded_wh"].argmax())].to_pydatetime()
        )
        return start
    start = datetime.fromtimestamp(parse_interval(which), UTC)
    if not (intervals["interval_start"] == start).any():
        named = stamp(int(start.timestamp()))
        raise UsageError.of(
            "WHICH", f"the run has no interval {named}", "see `wattswap show RUN prices --json`"
        )
    return start


def _book(result: RunFolder, which: str | None, form: Form) -> None:
    """One interval's order book, best bids and offers first."""
    start = _interval(result, which)
    local = moment(start.isoformat(), result.zone)
    orders = result.table("orders", ("interval_start", "==", start))
    if orders.empty and is_text(form):
        print(f"Order book of {local} ({result.zone}): nobody ordered anything.")
        return
    orders["rank"] = -orders["side"] * orders["limit_micro_per_kwh"]  # high bids first, low offers first
    orders = orders.sort_values(["side", "rank"], ascending=[False, True], kind="stable")
    orders = orders.set_index("household")
    # A rebate is part of the price, a fee is not.
    rebate = orders["charge_nano"].clip(upper=0) * orders["side"]
    paid = orders["price_micro_per_kwh"] + rebate / orders["accepted_wh"].where(orders["accepted_wh"] > 0)
    frame = orders.assign(
        side=orders["side"].map({1: "buy", -1: "sell"}),
        energy_kwh=orders["energy_wh"] / WH_PER_KWH,
        limit_per_kwh=orders["limit_micro_per_kwh"] / MICRO_PER_UNIT,
        accepted_kwh=orders["accepted_wh"] / WH_PER_KWH,
        price_per_kwh=paid / MICRO_PER_UNIT,
        fee=orders["charge_nano"].clip(lower=0) / NANO_PER_UNIT,
    )[["side", "energy_kwh", "limit_per_kwh", "accepted_kwh", "price_per_kwh", "fee"]]
    if not frame["fee"].any():
        frame = frame.drop(columns="fee")
    print_rows(frame, form, f"Order book of {local} ({result.zone})", 4, BOOK_KEPT)


def _block(result: RunFolder, which: str | None, form: Form) -> None:
    if which is None or not which.isdigit():
        raise UsageError.of(
            "WHICH", "needs the height of a block", "give one, as in: wattswap show RUN block 12"
        )
    result.unchanged(CHAIN)
    facts = block_facts(result.path, int(which))
    if form == "json":
        print_json(facts)
        return
    print_facts(facts)


def _why(result: RunFolder, which: str | None, form: Form) -> None:
    """One home's energy and money by kind and interval, with sums: why it paid what it paid."""
    which = None if which is None else home_id(which)
    homes = list(result.table("bills")["household"])
    if which not in homes:
        what = "is missing" if which is None else f"no home {which!r} in this run"
        raise UsageError.of("WHICH", what, suggest(which or "", homes))
    frame = result.table("postings", ("account", "==", which))
    if "account_kind" in frame:  # runs of earlier versions lack it
        frame = frame[frame["account_kind"] == "home"].drop(columns="account_kind")
    # Losses are posted with the grid operator: a home has none.
    frame = frame.drop(columns=["account", "loss_wh"], errors="ignore").set_index("interval_start")
    for name in list(frame.columns):
        unit = WH_PER_KWH if name.endswith("_wh") else NANO_PER_UNIT
        frame[name] = frame[name] / unit
    frame["total"] = frame[[name for name in frame.columns if name.endswith("_nano")]].sum(axis=1)
    frame.columns = [name.replace("_wh", "_kwh").replace("_nano", "") for name in frame.columns]
    frame = _as_read(result, frame, form).rename_axis("interval_start")
    if not is_text(form):
        print_rows(frame, form)
        return
    _print_days(result, str(which), frame, form)


def _print_days(result: RunFolder, home: str, frame: pd.DataFrame, form: Form) -> None:
    """Print one home's postings by local day, the money in cents that add up to the home's bill.

    Args:
        result: The run.
        home: Its id.
        frame: Its postings by local start of the interval. [kWh, currency]
        form: How wide the table is.
    """
    import pandas as pd

    daily = frame.groupby(pd.DatetimeIndex(frame.index).strftime("%a %d %b %Y"), sort=False).sum()
    bill = {str(name): float(value) for name, value in bills_in_cents(result.bills()).T[home].items()}
    charges = {name: bill[name] for name in ("battery", "standing", "peak") if name in bill}
    money = [name for name in POSTED if name in daily]
    credited = sum(charges.values()) - bill["cost_with_market"]
    totals = adding_up([daily[name].sum() for name in money], total=credited)
    shown = {
        name: adding_up(daily[name].tolist(), total=sum_) for name, sum_ in zip(money, totals, strict=True)
    }
    shown["total"] = [rounded(sum(day)) for day in zip(*shown.values(), strict=True)]
    heads, columns = {**REGISTERS, **POSTED, "total": "total"}, []
    for name, head in heads.items():
        if name in daily:
            digits, values = (2, shown[name]) if name in shown else (3, daily[name].tolist())
            columns.append(Column(head, [fixed(value, digits) for value in [*values, sum(values)]]))
    key = Column("day", [*map(str, daily.index), "all"], right=False)
    title = f"{home}: energy in kWh, money in {result.currency} (positive is credited); days of {result.zone}"
    keep = ("total", *POSTED.values())
    print_columns(title, key, columns, keep=keep, wide=form == "wide", total=True)
    battery = charges.pop("battery", None)
    beside = [
        f"{PART_HEADS[name].removeprefix('of which ')} {fixed(value)}" for name, value in charges.items()
    ]
    owned = ""
    if battery is not None:
        did = "lost" if battery > 0 else "gained"
        owned = f", with its part of what the battery in common {did}, {fixed(abs(battery))}"
    by_meter = f", and by calendar and meter {' and '.join(beside)}" if beside else ""
    cost = fixed(bill["cost_with_market"])
    print(wrapped(f"The bill with the market is {cost}: the total with the other sign{owned}{by_meter}."))


def _network(result: RunFolder, _which: str | None, form: Form) -> None:
    facts = result.manifest.get("network")
    if facts is None:
        raise UsageError.of("WHAT", "this run used no network", "only `wattswap live` does")
    if form == "json":
        print_json(facts)
        return
    print_facts(facts | {"silent": [_absence(str(text), result.zone) for text in facts.get("silent", [])]})
    _intervals_of_network(result, form)


def _absence(text: str, zone: str) -> str:
    """A home and the local time of the interval for which it sent nothing, of "SECOND HOME"."""
    second, _, home = text.partition(" ")
    if not second.isdecimal() or len(second) > 10:
        return text
    return f"{home} {datetime.fromtimestamp(int(second), ZoneInfo(zone)):%Y-%m-%d %H:%M}"


def _intervals_of_network(result: RunFolder, form: Form) -> None:
    """Print one row per interval: traffic and CPU time of all nodes, and time to finality."""
    result.unchanged(NETWORK)
    table = read_table(result.path, "network").to_pandas()
    table["interval"] = table["interval_start"].dt.tz_convert(result.zone).dt.strftime("%Y-%m-%d %H:%M")
    rows = table.groupby("interval").agg(
        messages=("frames_sent", "sum"),
        kB=("bytes_sent", "sum"),
        cpu_s=("cpu_s", "sum"),
        slowest_receipt_s=("receipt_s", "max"),
        final_s=("finality_s", "max"),
        slowest_result_s=("result_s", "max"),
    )
    rows["kB"] /= 1_000
    title = f"Sums over all nodes, and the slowest of them, by interval ({result.zone})"
    print_table(title, rows, 3, wide=form == "wide")


def _shares(result: RunFolder, _which: str | None, form: Form) -> None:
    import pandas as pd

    from wattswap.runs.shares import shares_of

    found = shares_of(result)
    if form == "json":
        facts = {"value": found.value, "core_nonempty": found.core_nonempty, "in_core": found.in_core}
        print_json({**facts, "rows": found.table.reset_index().to_dict(orient="records")})
        return
    if form == "csv":
        print_csv(found.table)
        return
    shown = found.table.apply(lambda column: adding_up(column.tolist()))
    shown = pd.concat([shown, shown.sum().to_frame("all").T])
    shown.index.name = "home"
    print_table(f"Savings in {result.currency}", shown, wide=form == "wide", total=True)
    could = (
        f"All homes together could save {fixed(found.value)} {result.currency} by netting among themselves."
    )
    print(wrapped(could))
    for name, stays in found.in_core.items():
        words = (
            "no group of homes would do better alone"
            if stays
            else "some group of homes would do better alone"
        )
        print(f"  {name:<10} {words}")
    if not found.core_nonempty:
        print("  No allocation is stable for every group: the core is empty.")


VIEWS: dict[str, Callable[[RunFolder, str | None, Form], None]] = {
    "summary": _summary,
    "bills": _bills,
    "prices": _prices,
    "book": _book,
    "block": _block,
    "why": _why,
    "network": _network,
    "shares": _shares,
    "grid": show_grid,
}
OF_ONE = ("book", "block", "why", "grid")
"""Views that take which interval, block, home or part."""
TABULAR = ("bills", "prices", "book", "why", "shares", "grid")
"""Views that are one table, and can be CSV."""
