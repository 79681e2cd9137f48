"""Agents with quadratic costs and the pairs that may trade: costs, best responses and the bound that prices prove.

Energy is in Wh as floats, prices in currency per kWh, so that money is in thousandths of the currency unit
everywhere below. An agent produces where its p is positive.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from market.units import BoolArray, FloatArray, IntArray
from optimizer.errors import Infeasible

WH_PER_KWH = 1_000.0


@dataclass(frozen=True, slots=True, eq=False)
class Agents:
    """Agents by row, all arrays of shape (n,).

    Args:
        slope: Rise of the marginal cost per Wh, at least 0. [currency/kWh per Wh]
        start: Marginal cost at p = 0. [currency/kWh]
        least: Smallest p; a whole number. [Wh]
        most: Largest p, at least `least`; a whole number. [Wh]
    """

    slope: FloatArray
    start: FloatArray
    least: FloatArray
    most: FloatArray

    def __len__(self) -> int:
        return len(self.slope)

    def cost(self, p: FloatArray) -> FloatArray:
        """Cost of each agent. [thousandths of currency]"""
        cost: FloatArray = (0.5 * self.slope * p + self.start) * p
        return cost

    def marginal(self, p: FloatArray) -> FloatArray:
        """Marginal cost of each agent. [currency/kWh]"""
        marginal: FloatArray = self.slope * p + self.start
        return marginal

    def response(self, price: FloatArray) -> FloatArray:
        """The p that each agent chooses at a price; of several the largest. [Wh]"""
        with np.errstate(divide="ignore", invalid="ignore"):
            wanted = (price - self.start) / self.slope
        wanted = np.where(self.slope > 0, wanted, np.where(price >= self.start, np.inf, -np.inf))
        return np.clip(wanted, self.least, self.most)

    def rows(self, chosen: IntArray) -> Agents:
        """These agents alone."""
        return Agents(self.slope[chosen], self.start[chosen], self.least[chosen], self.most[chosen])


@dataclass(frozen=True, slots=True, eq=False)
class Market:
    """Agents and the pairs that may trade, sorted by buyer and then by seller.

    Args:
        agents: Shape (n,).
        seller: Row of each pair's seller, shape (m,).
        buyer: Row of each pair's buyer, shape (m,).
        seller_cost: What the seller adds per kWh for trading with this buyer, shape (m,). [currency/kWh]
        buyer_cost: What the buyer adds, shape (m,). [currency/kWh]
    """

    agents: Agents
    seller: IntArray
    buyer: IntArray
    seller_cost: FloatArray
    buyer_cost: FloatArray

    def __post_init__(self) -> None:
        if (np.diff(self.buyer * len(self.agents) + self.seller) <= 0).any():
            raise ValueError("pairs must be sorted by buyer, then seller, without repetition")

    @property
    def pair_cost(self) -> FloatArray:
        """What both sides of each pair add per kWh. [currency/kWh]"""
        both: FloatArray = self.seller_cost + self.buyer_cost
        return both

    @property
    def linked(self) -> BoolArray:
        """Whether each agent has anybody to trade with."""
        found = np.zeros(len(self.agents), dtype=np.bool_)
        found[self.seller] = found[self.buyer] = True
        return found

    def net(self, quantity: FloatArray, pair: IntArray) -> FloatArray:
        """p of each agent: what it sells less what it buys. [Wh]

        Args:
            quantity: Of each trade. [Wh]
            pair: Its pair.
        """
        n = len(self.agents)
        sold = np.bincount(self.seller[pair], quantity, n)
        bought = np.bincount(self.buyer[pair], quantity, n)
        return (sold - bought).astype(np.float64)

    def objective(self, p: FloatArray, quantity: FloatArray, pair: IntArray) -> float:
        """Cost of all agents and trades. [thousandths of currency]"""
        return float(self.agents.cost(p).sum() + (self.pair_cost[pair] * quantity).sum())

    def size(self, p: FloatArray, quantity: FloatArray, pair: IntArray) -> float:
        """The same without signs: what a gap is measured against. [thousandths of currency]"""
        return float(np.abs(self.agents.cost(p)).sum() + np.abs(self.pair_cost[pair] * quantity).sum())


def everybody(agents: Agents) -> tuple[IntArray, IntArray]:
    """Seller and buyer of every pair: each agent that may produce with each other one that may consume."""
    buyer, seller = np.nonzero((agents.least < 0)[:, None] & (agents.most > 0)[None, :])
    apart = buyer != seller
    return seller[apart], buyer[apart]


def refuse_isolated(market: Market) -> None:
    """Raise if an agent must trade and has nobody to trade with.

    Raises:
        Infeasible: Names the row of the first.
    """
    agents = market.agents
    stuck = np.flatnonzero(~market.linked & ((agents.least > 0) | (agents.most < 0)))
    if len(stuck):
        raise Infeasible(f"agent {stuck[0]} must trade and has nobody to trade with")


def supporting(market: Market, price: FloatArray) -> FloatArray:
    """Lower prices until no pair gains: the price of a buyer is at most the seller's plus what both add.

    A pure consumer gets that price, which is also the best bound. Without cycles of negative cost, which are refused
    at the edge, one pass is enough between producers and consumers, and n are enough in general.

    Args:
        market: m pairs.
        price: Any price of each agent, shape (n,). [currency/kWh]

    Returns:
        Prices that `bound` may use, shape (n,). [currency/kWh]
    """
    found = price.copy()
    if not len(market.buyer):
        return found
    first = np.concatenate(([0], np.flatnonzero(np.diff(market.buyer)) + 1))
    buyers = market.buyer[first]
    pair_cost = market.pair_cost
    raised = market.agents.most[buyers] <= 0
    relay = np.isin(buyers, market.seller).any()
    for _ in range(len(market.agents)):
        offered = np.minimum.reduceat(found[market.seller] + pair_cost, first)
        new = np.where(raised, offered, np.minimum(found[buyers], offered))
        settled = not relay or bool((new == found[buyers]).all())
        found[buyers] = new
        if settled:
            break
    return found


def bound(market: Market, price: FloatArray) -> float:
    """What no trades can cost less than, from any prices; numpy alone. [thousandths of currency]

    With prices that `supporting` leaves as they are, a trade between two agents costs at least what the buyer's price
    exceeds the seller's by. So the cost of all is at least the sum over agents of
    min (cost(p) - price p) within their limits. An agent without partners has p = 0.
    """
    agents, price = market.agents, supporting(market, price)
    p = np.where(market.linked, agents.response(price), 0.0)
    return float((agents.cost(p) - price * p)[market.linked].sum())
