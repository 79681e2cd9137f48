"""The summary of a run, and the table of its bills."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from wattswap.cli.output import Form, note, print_json
from wattswap.cli.tables import fixed, print_table, wrapped
from wattswap.runs.layout import CHAIN, GENESIS
from wattswap.runs.shown import PART_HEADS, bills_with_total, not_billed, saving_of
from wattswap.scenario.basis import moment, vat_words

if TYPE_CHECKING:
    import pandas as pd

    from wattswap.runs.folder import RunFolder

LABEL = 29
"""Letters of the labels at the left of a summary."""
HEADS = {
    "import_kwh": "drawn kWh",
    "export_kwh": "given kWh",
    "bought_kwh": "agreed to buy kWh",
    "sold_kwh": "agreed to sell kWh",
    "cost_without_market": "without market",
    "cost_with_market": "with market",
    "saving_percent": "saving %",
    "imbalance_cost": "imbalance cost",
    "unmet_kwh": "not there kWh",
    "outside_comfort_k_h": "outside comfort K h",
    "wear_cost": "wear",
    "battery_cost": "battery costs",
    **PART_HEADS,
}
"""Heads of the columns of bills."""
KEPT = ("with market", "saving", "without market", "saving %", "drawn kWh", "given kWh")
"""Columns of bills that stay on a narrow screen, the most important first."""

EARLIER_NAMES = {
    "retail_import_kwh": "settled_with_retailer_import_kwh",
    "retail_export_kwh": "settled_with_retailer_export_kwh",
}
"""Names that figures had before, which scripts still read."""


def print_result(result: RunFolder, form: Form) -> None:
    """Print a run that has just finished."""
    if form == "json":
        print_json({"run": str(result.path), **result.figures, **facts_beside(result)})
    else:
        print_run(result, form)


def facts_beside(result: RunFolder) -> dict[str, Any]:
    """What a summary says beside the metrics, for JSON."""
    facts: dict[str, Any] = {"zone": result.zone, "title": result.title}
    facts |= {earlier: result.metrics.get(name) for earlier, name in EARLIER_NAMES.items()}
    return facts | {"rests_on": result.rests_on}


def print_run(result: RunFolder, form: Form) -> None:
    """Print the summary of a run and every home's bill.

    Raises:
        VerificationFailed: The chain is damaged (only a short one is checked).
    """
    m, money, about = result.metrics, result.currency, result.manifest
    metered = about.get("quantities") == "metered"
    chain, dropped = chain_line(result), about["data"].get("dropped_homes", ())
    bills = result.bills()  # a damaged file ends this before anything is printed
    print(
        wrapped(
            f"{result.title}: {m['homes']} homes, {m['intervals']} intervals of {about['interval_minutes']} min"
            f" from {moment(about['start'], result.zone)} ({result.zone}), {about['mechanism']}"
        )
    )
    print()
    print_lines(
        [
            *saving_lines(m, money),
            *basis_lines(result.rests_on),
            *market_lines(m, money, vat_words(result.scenario), metered=metered),
            *([("Left out for missing readings", ", ".join(dropped))] if dropped else []),
            *late_lines(result),
            ("Chain", chain),
            ("Folder", str(result.path)),
        ]
    )
    print()
    print_bills(bills, money, form)


def show_bound(what: str, basis: Mapping[str, str]) -> None:
    """Say beside a view without a summary that its figures are a bound."""
    if what != "summary" and "bound" in basis:
        note(f"note: {basis['bound']}")


def late_lines(result: RunFolder) -> list[tuple[str, str]]:
    """How often a home of a live run sent nothing before the gate closed."""
    absent = result.manifest.get("network", {}).get("silent", [])
    what = f"{len(absent)} times a home; `wattswap show {result.path} network` names them"
    return [("Sent nothing in time", what)] if absent else []


def print_lines(lines: list[tuple[str, str]]) -> None:
    """Print labels with their texts, the texts below each other."""
    for label, text in lines:
        line = f"  {label:<{LABEL}} {text}".rstrip()
        print(wrapped(line, LABEL + 3) if " " in text else line)


def basis_lines(basis: Mapping[str, str]) -> list[tuple[str, str]]:
    """What the figures rest on, as labels and texts."""
    return [("What this rests on", ""), *((f"  {topic}", text) for topic, text in basis.items())]


def saving_lines(m: Mapping[str, Any], money: str) -> list[tuple[str, str]]:
    """What the market saved, taken apart; the sum is never shown alone."""
    found = saving_of(m)
    if found is None:
        saved = f"{fixed(m['saving'])} {money}, which this older run does not take apart"
        return [("Saved by mechanism and rule", saved)]
    percent = "" if m["saving_percent"] is None else f" ({fixed(abs(m['saving_percent']), 1)} %)"
    outside = (
        f"{fixed(found.from_outside)} {money}, which the market operator adds; no merit of the mechanism"
    )
    return [
        ("Saved by the mechanism", f"{fixed(found.by_mechanism)} {money} of at most {fixed(found.bound)}"),
        (
            "Saved by the imbalance rule",
            f"{fixed(found.by_imbalance_rule)} {money}, of what orders missed",
        ),
        *([("Paid from outside", outside)] if found.from_outside else []),
        (
            "All bills together",
            f"{fixed(found.paid)} {money} instead of {fixed(found.without)}:"
            f" {fixed(abs(found.saved))} {money} {'less' if found.saved >= 0 else 'more'}{percent}",
        ),
        *_left(m.get("stored_beyond_alone_kwh")),
        *not_billed(m, money),
        *_battery(m, money),
        ("Homes worse off than without", f"{m['homes_worse_off']} of {m['homes']}"),
    ]


def _battery(m: Mapping[str, Any], money: str) -> list[tuple[str, str]]:
    """What the battery in common did, gained and costs; nothing without one."""
    if (gained := m.get("battery_gain")) is None:
        return []
    gain, word = (gained, "gained") if gained >= 0 else (-gained, "lost")
    left = m["battery_left_kwh"]
    done = f"took {m['battery_taken_kwh']:.1f} kWh, gave {m['battery_given_kwh']:.1f} and holds {left:.1f}"
    if (cost := m["battery_cost"]) is None:
        paid = "what it costs is not known: give community.battery.cost_per_kwh"
    else:
        after = m["saving_less_battery_cost"]
        paid = f"its purchase costs {fixed(cost)} in this time, which no bill counts: {fixed(after)} are left"
    return [
        ("Battery in common", f"{done}; its account {word} {fixed(gain)} {money}, part of the bills"),
        ("", paid),
    ]


def _left(stored_kwh: float | None) -> list[tuple[str, str]]:
    """What batteries hold at the end because of the market, which no bill counts."""
    if not stored_kwh:
        return []
    more = "more" if stored_kwh > 0 else "less"
    return [
        (
            "Left in batteries",
            f"{abs(stored_kwh):.1f} kWh {more} than without a market; no bill counts its worth",
        )
    ]


def market_lines(m: Mapping[str, Any], money: str, vat: str, *, metered: bool) -> list[tuple[str, str]]:
    """What was agreed ahead and delivered, at which price, and what the homes cover themselves."""
    price = "no trade" if m["price_per_kwh"] is None else f"{m['price_per_kwh']:.4f} {money}/kWh"
    sells, buys = f"{m['import_price_per_kwh']:.4f}{vat}", f"{m['feed_in_price_per_kwh']:.4f}"
    outside = f"(retailer sells at {sells}, buys at {buys})"
    local_fee, remote_fee = m["grid_fee_local_per_kwh"], m["grid_fee_remote_per_kwh"]
    if local_fee or remote_fee:
        fees = f"grid fee {local_fee:.4f} among neighbours"
        outside = f"(retailer sells at {sells} and grid fee {remote_fee:.4f}, buys at {buys}; {fees})"
    traded = f"{m['traded_kwh']:.1f} kWh in {m['intervals_with_trade']} of {m['intervals']} intervals"
    if m.get("binding_share") is not None:
        traded += ", from home to home; bills also count what was agreed with the grid connection"
    lines = [
        ("Cleared from the meters" if metered else "Agreed ahead", traded),
        ("Average price", f"{price} {outside}"),
    ]
    if (delivered := m.get("delivered_kwh")) is not None:  # older runs do not have it
        who = "neighbours" if m.get("battery_gain") is None else "homes and their battery in common"
        lines.insert(1, ("Delivered", f"{delivered:.1f} kWh, what {who} gave each other by the meters"))
    if m["self_sufficiency"] is not None:
        own, alone = (f"{100 * m[name]:.1f} %" for name in ("self_sufficiency", "self_sufficiency_alone"))
        lines.append(("Self-sufficiency", f"{own} with neighbours, {alone} each home alone"))
    return lines


def print_bills(bills: pd.DataFrame, money: str, form: Form) -> None:
    """Print every home's bill and the sum."""
    shown = bills_with_total(bills, "all").rename(columns=HEADS)
    shown.index.name = "home"
    print_table(
        f"Bills in {money}; a negative bill is income", shown, keep=KEPT, wide=form == "wide", total=True
    )


def chain_line(result: RunFolder) -> str:
    """The chain in one line; a short one is verified first."""
    from wattswap.runs.chain_reader import MAX_VERIFIED_BLOCKS, verified_chain

    chain = result.manifest["chain"]
    about = f"{chain['blocks']} blocks by {chain['authorities']} validators"
    if chain["blocks"] > MAX_VERIFIED_BLOCKS:
        return f"{about}; verify them with: wattswap chain verify {result.path}"
    result.unchanged(CHAIN)
    result.unchanged(GENESIS)
    facts = verified_chain(result.path)
    return f"{about}, {facts['signatures']} signatures verified; head {facts['head'][:16]}"
