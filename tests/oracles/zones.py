"""Settlement of an interval on a grid by data frames, a row a member, sharing no code with the program.

Zones, and from which homes the way to the root and back is free, come from walks over the lines one by one.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pandas as pd

Line = tuple[str, str, float, float]
"""Ends, flow from the first to the second, limit. [Wh]"""


def shares(weight: pd.Series, total: int, rank: pd.Series) -> pd.Series:
    """Whole parts of a total by the largest remainders, ties by rank."""
    whole = int(weight.sum())
    if not total or not whole:
        return weight * 0
    exact = weight.map(lambda w: Fraction(int(w) * total, whole))
    down = exact.map(int)
    order = pd.DataFrame({"rest": exact - down, "rank": rank}).sort_values(
        ["rest", "rank"], ascending=[False, True]
    )
    up = order.index[: total - int(down.sum())]
    return down + pd.Series(1, index=up).reindex(down.index, fill_value=0)


def zones(nodes: list[str], lines: list[Line], price: dict[str, int]) -> dict[str, str]:
    """The first node of the zone of each node."""
    zone = {node: node for node in nodes}
    changed = True
    while changed:
        changed = False
        for a, b, flow, limit in lines:
            if limit - abs(flow) >= 1 and price[a] == price[b] and zone[a] != zone[b]:
                first, other = sorted((zone[a], zone[b]), key=nodes.index)
                zone = {node: first if z == other else z for node, z in zone.items()}
                changed = True
    return zone


def ways(nodes: list[str], root: str, lines: list[Line], price: dict[str, int]) -> tuple[set[str], set[str]]:
    """Nodes that can give more towards the root, and nodes that can take more from it."""
    up, down = {root}, {root}
    waiting, seen = [root], {root}
    while waiting:
        near = waiting.pop()
        for a, b, flow, limit in lines:
            far = b if a == near else a if b == near else None
            if far is None or far in seen:
                continue
            seen.add(far)
            waiting.append(far)
            outwards = flow if a == near else -flow
            room = limit - abs(flow) >= 1 and price[a] == price[b]
            full = limit - abs(flow) < 1
            if near in up and (room or (full and outwards > 0 and price[far] >= price[near])):
                up.add(far)
            if near in down and (room or (full and outwards < 0 and price[far] <= price[near])):
                down.add(far)
    return up, down


def settled(
    members: pd.DataFrame,
    connection: dict[str, int],
    prices: dict[str, int],
    zone_price: dict[str, int],
    rent_nano: int,
    rule: str,
    rent_to: str,
) -> tuple[pd.DataFrame, dict[str, int]]:
    """What each member posts, and the totals of connection, retailer, grid operator and market operator.

    Args:
        members: Columns node, zone, up, down, rank, imported, exported, bought, sold [Wh] and paid [nano].
        connection: bought and sold [Wh] and paid [nano] of the connection.
        prices: import, feed_in, local, remote. [micro/kWh]
        zone_price: Price of each zone. [micro/kWh]
        rent_nano: What buyers pay more than sellers get.
        rule: "retailer", "middle" or "clearing_price".
        rent_to: "grid_operator" or "members".
    """
    extra = prices["remote"] - prices["local"]
    cap, feed_in = prices["import"] + extra, prices["feed_in"]
    frame = members.copy()
    off = frame.imported - frame.exported - (frame.bought - frame.sold)
    frame["need"], frame["offer"] = off.clip(lower=0), (-off).clip(lower=0)
    side, can, most = (
        ("offer", frame.offer.where(frame.up, 0), connection["sold"])
        if connection["sold"]
        else ("need", frame.need.where(frame.down, 0), connection["bought"])
    )
    frame["back"] = shares(can, min(int(can.sum()), most), frame["rank"])
    frame[side] -= frame.back
    frame["local"] = frame["imbalance"] = 0
    if rule != "retailer":
        for zone, part in frame.groupby("zone"):
            netted = min(int(part.need.sum()), int(part.offer.sum()))
            taken, given = (shares(part[what], netted, part["rank"]) for what in ("need", "offer"))
            price = (cap + feed_in) // 2
            if rule == "clearing_price":
                price = min(max(zone_price[str(zone)], feed_in), cap)
            frame.loc[part.index, "local"] = taken - given
            frame.loc[part.index, "imbalance"] = (given - taken) * price
    need, offer = frame.need - frame.local.clip(lower=0), frame.offer - (-frame.local).clip(lower=0)
    both = frame[["imported", "exported"]].min(axis=1)
    frame["retail"] = (offer + both) * feed_in - (need + both) * prices["import"]
    fees = frame.imported * prices["local"] + (need + both) * extra
    # What is returned costs or brings what the connection paid or got for it.
    back = frame.back * (cap if side == "offer" else -feed_in)
    frame["trade"] = -frame.paid
    grid = rent_nano
    if rent_to == "members":
        frame["trade"] += shares(frame["rank"] * 0 + 1, rent_nano, frame["rank"])
        grid = 0
    sold, bought = connection["sold"], connection["bought"]
    passed = sold * prices["import"] - bought * feed_in
    returned = int(frame.back.sum())
    with_retailer = prices["import"] if side == "offer" else -feed_in
    totals = {
        "connection": -connection["paid"] - passed - sold * extra,
        "retailer": -int(frame.retail.sum()) + passed - returned * with_retailer,
        "grid_operator": int(fees.sum()) + sold * extra - (returned * extra if side == "offer" else 0) + grid,
        "market_operator": -int(frame.imbalance.sum()),
    }
    frame["total"] = frame.trade + frame.imbalance + frame.retail - fees + back
    return frame, totals


def names(values: Any) -> list[str]:
    """Names of numbered nodes."""
    return [f"n{value}" for value in values]
