"""Valid cases of every kind for every rule of `wattswap clear`, and ways to spoil them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from copy import deepcopy
from decimal import Decimal
from typing import Any

from market.mechanism import MECHANISMS
from wattswap.cases.cooperative import METHODS

Case = dict[str, Any]
Place = tuple[str | int, ...]

PRICES: Case = {"retail_price": 0.3, "feed_in_tariff": 0.1}
NEEDS: dict[str, Case] = {
    "bill_sharing": PRICES,
    "mid_market_rate": PRICES,
    "posted_price": {"price": 0.2},
    "supply_demand_ratio": PRICES,
}
"""Parameters that a book cannot be cleared without."""

BOOK: Case = {
    "orders": [
        {
            "id": "b",
            "participant": "anna",
            "side": "buy",
            "quantity_kwh": 2,
            "price_per_kwh": 0.3,
            "time": 1,
            "node": "n1",
            "attributes": {"energy_type": "PV"},
            "requirements": [{"partners": ["cleo"], "energy_type": ["PV"]}],
        },
        {
            "id": "s",
            "participant": "cleo",
            "side": "sell",
            "quantity_kwh": 2.5,
            "price_per_kwh": 0.1,
            "time": 2,
            "node": "n1",
        },
    ],
}
GRID: Case = {"kind": "dc", "nodes": ["n1", "n2"], "lines": [{"id": "l1", "from": "n1", "to": "n2"}]}
ZONES: Case = {"names": ["n1", "n2"], "fee_per_kwh": [[0.0, 0.02], [0.02, 0.0]]}
EVENTS: Case = {
    "events": [
        {
            "type": "limit",
            "id": "1",
            "participant": "anna",
            "side": "buy",
            "quantity_kwh": 1,
            "price_per_kwh": 0.1,
        },
        {
            "type": "market",
            "id": "2",
            "participant": "ben",
            "side": "sell",
            "quantity_kwh": 1,
            "price_per_kwh": None,
        },
        {"type": "cancel", "id": "1"},
    ],
    "params": {"self_trade": "skip"},
}
METERED: Case = {"supply_kwh": {"a": [1, 2]}, "demand_kwh": {"b": [2, 1]}, "params": PRICES}
HOMES: Case = {
    "load_kwh": {"a": [1, 2]},
    "generation_kwh": {"b": [2, 1]},
    "params": {"retail_price": 0.3, "feed_in_tariff": [0.1, 0.2]},
}
HORIZON: Case = {
    "periods": [
        [{"id": "b", "participant": "anna", "side": "buy", "quantity_kwh": 3, "price_per_kwh": 0.3}],
        [{"id": "s", "participant": "cleo", "side": "sell", "quantity_kwh": 4, "price_per_kwh": 0.1}],
    ],
    "blocks": [
        {"id": "k", "price": 0.2, "profile": [1, 1], "exclusive_group": "g", "min_acceptance": 0.5},
        {"id": "l", "price": 0.25, "profile": [1, 0], "exclusive_group": "g"},
    ],
    "flexible": [
        {
            "id": "f",
            "side": "buy",
            "quantity_kwh": 1,
            "price_per_kwh": 0.2,
            "first_period": 0,
            "last_period": 1,
            "power_kw": 1,
            "interruptible": True,
        }
    ],
    "storage": [
        {
            "id": "t",
            "energy_kwh": 2,
            "power_kw": 1,
            "charge_efficiency": 0.9,
            "discharge_efficiency": 0.9,
            "initial_kwh": 1,
            "final_kwh": 1,
        }
    ],
    "minutes": 60,
    "params": {"price_min": -0.1, "price_max": 1.0, "time_limit_s": 5},
}
GAME: Case = {"players": ["a", "b"], "value": {"": 0, "a": 1, "b": 1, "a,b": 3}}

AGENTS: Case = {
    "agents": [
        {"id": "a", "type": "producer", "a": 0.1, "b": 0.1, "pmin": 0, "pmax": 3},
        {"id": "b", "type": "consumer", "a": 0.1, "b": 0.5, "pmin": -3, "pmax": 0},
    ],
}
PAIRS: Case = {
    **AGENTS,
    "trade_costs": [{"agent": "a", "partner": "b", "cost": 0.1}],
    "partners": [["a", "b"]],
    "params": {"method": "central"},
}
POOL: Case = {**AGENTS, "params": {"import_cost": 0.3, "export_revenue": 0.1, "external": 2}}


def rules() -> list[str]:
    """Every rule of ours; other tests may have registered theirs."""
    return [name for name, rule in MECHANISMS.all().items() if MECHANISMS.is_ours(rule)]


def book(name: str, **params: Any) -> Case:
    """The book above with the parameters that the rule needs, and the grid."""
    promises = MECHANISMS.get(name).promises
    places = {"grid": GRID} if promises.needs_grid else {"zones": ZONES} if promises.needs_zones else {}
    return {**deepcopy(BOOK), "params": {**NEEDS.get(name, {}), **params}, **deepcopy(places)}


def valid_cases() -> list[tuple[str, Case]]:
    """A case of each kind that each rule takes."""
    found = [(name, book(name)) for name in rules()]
    found += [("continuous", EVENTS), ("retailer_only", HOMES)]
    found += [(name, METERED) for name in ("bill_sharing", "mid_market_rate", "supply_demand_ratio")]
    found += [("multi_interval", HORIZON)]
    found += [(name, GAME) for name in METHODS]
    found += [("bilateral", PAIRS), ("community_manager", POOL)]
    found += [("bilateral", {**AGENTS, "params": {"method": "admm", "max_iterations": 500}})]
    halves = {"left": ["anna"], "right": ["cleo"]}
    found += [(name, book(name, partition=halves)) for name in ("muda_lottery", "muda_vickrey")]
    return [(name, deepcopy(case)) for name, case in found]


def places(value: Any, above: Place = ()) -> Iterator[Place]:
    """Every place of a JSON value, the whole first."""
    yield above
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield from places(part, (*above, key))


def at(value: Any, place: Place) -> Any:
    """The value at a place."""
    for key in place:
        value = value[key]
    return value


def put(value: Any, place: Place, part: Any) -> Any:
    """A copy with something else at a place."""
    if not place:
        return part
    value = deepcopy(value)
    at(value, place[:-1])[place[-1]] = part
    return value


def without(value: Any, place: Place) -> Any:
    """A copy without the value at a place."""
    value = deepcopy(value)
    del at(value, place[:-1])[place[-1]]
    return value


def nested(depth: int) -> Any:
    """A list in a list in a list."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


NONSENSE: tuple[Any, ...] = (
    None,
    True,
    "",
    "x",
    "0.3",
    "a\nb",
    "\ud800",
    "x" * 5_000,
    [],
    {},
    [[]],
    {"x": {}},
    [None],
    nested(60),
    0,
    -1,
    1.5,
    1e15,
    -1e15,
    4.7e12,
    10**30,
    2**63,
    float("nan"),
    float("inf"),
    Decimal("1e999999"),
)


def spoiled(rng: random.Random, case: Case) -> Any:
    """Change a case in one to three places: other values, keys left out or added, parts moved or doubled."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        place = rng.choice(list(places(case)))
        part = at(case, place)
        way = rng.randrange(6)
        if way == 0 and place:
            case = without(case, place)
        elif way == 1 and isinstance(part, dict):
            case = put(
                case, (*place, rng.choice(("bogus", "", "params", "id", "left"))), rng.choice(NONSENSE)
            )
        elif way == 2 and isinstance(part, list):
            again = [deepcopy(x) for x in part[: rng.randint(0, 2)]]
            case = put(case, place, [*part, *again, *[None] * rng.randint(0, 1)])
        elif way == 3:
            case = put(case, place, deepcopy(at(case, rng.choice(list(places(case))))))
        elif way == 4 and isinstance(part, int | float):
            case = put(case, place, part * rng.choice((-1, 0, 1e-9, 1e6, 1e12, 3)))
        else:
            case = put(case, place, deepcopy(rng.choice(NONSENSE)))
        if not isinstance(case, dict):
            break
    return case
