"""What the figures of a scenario rest on, in words: quantities, forecast, imbalance rule, rationing, tariff; its zone.

Summaries, reports, comparisons and checks take their sentences from here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from agents.devices import DEVICES
from agents.forecast import FORECASTERS, PERFECT_FORESIGHT
from market.mechanism import MECHANISMS
from wattswap.scenario.preferences import portion_words, preference_words

Resolved = Mapping[str, Any]
"""A scenario as `Scenario.resolved` says it; keys that have their default may be missing."""

METERED: Final = "from the meters: homes state prices ahead, and what flows is cleared"
ORDERED: Final = "ordered ahead of each interval, by forecast"
BOUND: Final = "perfect foresight: these figures are a bound that no real home reaches"
NO_IMBALANCE: Final = "none: what is cleared is what flowed"
IMBALANCE: Final = {
    "retailer": "every home settles what its orders missed with the retailer",
    "pooled": "what orders missed is netted among homes at the retailer's prices, and the gain shared",
    "middle": "what orders missed is netted among homes at the middle of the retailer's prices",
    "clearing_price": "what orders missed is netted among homes at the price of the interval",
}
SHARES: Final = {
    "throughput": "by the metered energy of 28 days",
    "equal": "equally",
    "leave_one_out": "by the metered energy of 28 days, without what a home itself missed",
    "delivered": "by delivered trade, which homes can raise by ordering what they do not need",
}
OWN_RULE: Final = "own rule"
RATIONING: Final = {
    "pro_rata": "at equal limits in proportion to the energy ordered",
    "time": "at equal limits who ordered first",
    "random": "at equal limits by random draw",
}
SAME_HOUR: Final = {"same_hour_mean": "mean", "same_hour_median": "median"}

CHANGED: Final = {
    "sample_homes": "a sample of {} homes{}",
    "pv_share": "a share of {} with production",
    "pv_scale": "production times {}",
    "battery_scale": "batteries times {}",
    "battery_kwh": "{} kWh of battery where there was none",
}
"""Keys of [homes] that make other homes than the data have."""

CHOSEN: Final = (
    ("control", "control", "controls", "self_consumption"),
    ("strategy", "strategy", "strategies", "staircase"),
)
"""Topic, key of all homes, key of some homes, and what is usual."""

MAX_MEMBERS: Final = 8
"""Homes that join or leave whose times are given."""


def rests_on(
    scenario: Resolved, notes: Sequence[str] = (), mechanism: str = "", *, metered_pv: bool = True
) -> dict[str, str]:
    """What the figures rest on, by topic.

    `bound` where they are one, `homes` where they are not as in the data, `control` and `strategy` where they are not
    the usual ones, quantities, forecast, imbalance, rationing,
    `tariff` where it has more than prices and grid fees, `retailers`, `devices`, `preferences` where homes have any,
    `members` where homes join or leave, and `note`.

    Args:
        scenario: As resolved.
        notes: On homes with too short a history, of `Community.notes`.
        mechanism: Whose figures they are; empty where several mechanisms are compared.
        metered_pv: Whether any home has a meter of its production, which then has a forecast of its own.
    """
    market, homes = scenario.get("market", {}), scenario.get("homes", {})
    members = list(member_words(scenario).items())
    more = [f"{len(members) - MAX_MEMBERS} more"] if len(members) > MAX_MEMBERS else []
    terms = ", ".join([f"{name} {words}" for name, words in members[:MAX_MEMBERS]] + more)
    forecast = str(homes.get("forecast", "ridge"))
    found = {"bound": BOUND} if forecast == PERFECT_FORESIGHT.name else {}
    metered = market.get("quantities", "ordered") == "metered"
    rationing = rationing_of(market, mechanism)
    rations = f"by the own rule of {mechanism}, which market.rationing does not reach"
    return {
        **found,
        **_homes(homes),
        **_chosen(homes),
        "quantities": METERED if metered else ORDERED,
        "forecast": "; ".join([_forecast(forecast, homes, metered_pv), *_of_their_own(homes, "forecasters")]),
        "imbalance": NO_IMBALANCE if metered else _imbalance(market),
        "rationing": rations if rationing == OWN_RULE else RATIONING.get(rationing, rationing),
        **_tariff(scenario),
        **_retailers(homes),
        **_devices(homes),
        **({"preferences": words} if (words := preference_words(homes.get("preferences", {}))) else {}),
        **({"members": f"{terms}; the bill of a home covers its membership alone"} if members else {}),
        **({"note": "; ".join(notes)} if notes else {}),
    }


def caveats(basis: Mapping[str, str]) -> str:
    """What makes the figures of a run or comparison a bound or provisional, for its text in Python."""
    return "".join(f"; {basis[topic]}" for topic in ("bound", "note") if topic in basis)


def _homes(homes: Mapping[str, Any]) -> dict[str, str]:
    """In what the homes differ from those of the data; nothing where they do not."""
    again = ", drawn with replacement" if homes.get("sample_with_replacement") else ""
    parts = [text.format(homes[key], again) for key, text in CHANGED.items() if key in homes]
    shares = homes.get("population", {}).items()
    parts += [f"a share of {table['share']} with {device.replace('_', ' ')}" for device, table in shares]
    return {"homes": f"not as in the data: {', '.join(parts)}"} if parts else {}


def _chosen(homes: Mapping[str, Any]) -> dict[str, str]:
    """By what homes run their devices and bid where that is not the default, or not the same for all."""
    found = {}
    for topic, single, several, usual in CHOSEN:
        name, others = str(homes.get(single, usual)), _of_their_own(homes, several)
        if name != usual or others:
            found[topic] = "; ".join([name, *others])
    return found


def _of_their_own(homes: Mapping[str, Any], key: str) -> list[str]:
    """Which homes have something else than the others."""
    parts = [f"{portion_words(portion)} with {name}" for name, portion in homes.get(key, {}).items()]
    return [f"of their own: {', '.join(parts)}"] if parts else []


def _tariff(scenario: Resolved) -> dict[str, str]:
    """What prices and bills contain beside energy and grid fees; nothing for a tariff of these alone."""
    tariff, fees = scenario.get("tariff", {}), fee_words(scenario)
    fixed = [
        f"a {name} charge" for name in ("standing", "peak") if any(key.startswith(name) for key in tariff)
    ]
    parts = [
        *([f"import prices with {tariff['vat_percent']} % VAT"] if "vat_percent" in tariff else []),
        *([f"grid fees with {fees}"] if fees else []),
        *([f"bills with {' and '.join(fixed)}, the same with and without a market"] if fixed else []),
    ]
    return {"tariff": "; ".join(parts)} if parts else {}


def _retailers(homes: Mapping[str, Any]) -> dict[str, str]:
    """Which homes have another retailer, whose prices the prices of results are not."""
    own = _of_their_own(homes, "tariffs")
    return {"retailers": "; ".join([*own, "prices in tables and means are those of [tariff]"])} if own else {}


def _devices(homes: Mapping[str, Any]) -> dict[str, str]:
    """How many homes have a device that the scenario gives them, which the data did not contain."""
    counts = {
        name: len(homes.get(name, {})) for name, device in DEVICES.all().items() if device.in_data is None
    }
    found = [f"{name} in {count} home{'s' * (count > 1)}" for name, count in counts.items() if count]
    return {"devices": f"beside the metered load: {', '.join(found)}"} if found else {}


def vat_words(scenario: Resolved) -> str:
    """What follows an import price in a text: " with VAT" where it contains any."""
    return " with VAT" if "vat_percent" in scenario.get("tariff", {}) else ""


def fee_words(scenario: Resolved) -> str:
    """What grid fees include, such as "levies and 19 % VAT"; empty where nothing."""
    tariff = scenario.get("tariff", {})
    levied = {"levy_local_per_kwh", "levy_remote_per_kwh"} & set(tariff)
    vat = [f"{tariff['vat_percent']} % VAT"] if "vat_percent" in tariff else []
    return " and ".join([*(["levies"] if levied else []), *vat])


def member_words(scenario: Resolved) -> dict[str, str]:
    """When each home is a member that is not always one, such as "from Mon 19 Sep 2016 00:00"."""
    zone, found = zone_of(scenario), {}
    for name, term in scenario.get("homes", {}).get("members", {}).items():
        named = (("from", term.get("from")), ("until", term.get("to")))
        found[name] = " ".join(f"{word} {moment(at, zone)}" for word, at in named if at)
    return found


def rationing_of(market: Mapping[str, Any], mechanism: str) -> str:
    """The rationing that the market declares; `OWN_RULE` where it does not reach the mechanism."""
    known = MECHANISMS.all().get(mechanism)
    return str(market.get("rationing", "pro_rata")) if known is None or known.follows_rationing else OWN_RULE


def mechanism_of(scenario: Resolved) -> str:
    """The mechanism of a scenario."""
    return str(scenario.get("market", {}).get("mechanism", ""))


def zone_of(scenario: Resolved) -> str:
    """Time zone in which people read the times of a scenario: of its tariff, its time or its data, else UTC."""
    named = (scenario.get(table, {}).get("zone") for table in ("tariff", "time", "data"))
    return next((str(zone) for zone in named if zone), "UTC")


def title_of(scenario: Resolved) -> str:
    """The title of a scenario, or its name."""
    return str(scenario.get("title") or scenario.get("name", ""))


def moment(start: str, zone: str) -> str:
    """An instant as people read it in a zone, such as "Mon 19 Sep 2016 00:00"."""
    return f"{datetime.fromisoformat(start).astimezone(ZoneInfo(zone)):%a %d %b %Y %H:%M}"


def _forecast(name: str, homes: Mapping[str, Any], metered_pv: bool) -> str:
    if name == PERFECT_FORESIGHT.name or not metered_pv:
        return _forecaster(name, homes)
    pv = _forecaster(str(homes.get("forecast_pv", "scaled_median")), homes)
    return f"{_forecaster(name, homes)}; of metered production, {pv}"


def _forecaster(name: str, homes: Mapping[str, Any]) -> str:
    if name in SAME_HOUR:
        return f"{SAME_HOUR[name]} of the same time of day over the last {homes.get('forecast_days', 7)} days"
    known = FORECASTERS.all().get(name)
    return f"{name}, {known.summary}" if known else name


def _imbalance(market: Mapping[str, Any]) -> str:
    rule = str(market.get("imbalance", "pooled"))
    text = IMBALANCE.get(rule, rule)
    if rule != "pooled":
        return text
    shares = str(market.get("imbalance_shares") or "throughput")
    return f"{text} {SHARES.get(shares, shares)}"
