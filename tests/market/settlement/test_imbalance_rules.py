"""Imbalance rules against formulas done home by home in Python integers, and what they promise to the nano."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.book import Order, OrderBook, Side
from market.clearing import Clearing, PriceInterval
from market.errors import InvalidTariff
from market.settlement.accounts import IMBALANCE, LOCAL, TRADE, Postings
from market.settlement.baseline import baseline_nano, bound_nano, netting_nano
from market.settlement.imbalance import Imbalance, ImbalanceRule, Shares
from market.settlement.settle import settle
from market.settlement.tariff import HomePrices, IntervalPrices

RULES = [
    ImbalanceRule(Imbalance.RETAILER),
    ImbalanceRule(Imbalance.MIDDLE),
    ImbalanceRule(Imbalance.CLEARING_PRICE),
    *(ImbalanceRule(Imbalance.POOLED, shares) for shares in Shares),
]


@dataclass(frozen=True)
class Case:
    """One interval: meters, trades, outside prices, the price of the interval, weights."""

    imported: list[int]
    exported: list[int]
    bought: list[int]
    sold: list[int]
    prices: IntervalPrices
    price: int
    weights: list[int]

    def settled(
        self, rule: ImbalanceRule, rank: np.ndarray | None = None, takes_part: np.ndarray | None = None
    ) -> Postings:
        orders = [
            Order(f"{side}{i}", i, side, energy, self.price, 0 if side is Side.BUY else 1)
            for i in range(len(self.bought))
            for side, energy in ((Side.BUY, self.bought[i]), (Side.SELL, self.sold[i]))
            if energy
        ]
        book = OrderBook.from_orders(orders)
        full = np.full(len(book), self.price, dtype=np.int64)
        node = PriceInterval(self.price, self.price, self.price) if orders else None
        clearing = Clearing(book.energy_wh, full, (node,), 0, 0)
        meters = np.array(self.imported, dtype=np.int64), np.array(self.exported, dtype=np.int64)
        weights = np.array(self.weights, dtype=np.int64)
        given = {"weight_wh": weights, "rank": rank, "takes_part": takes_part}
        return settle(book, clearing, *meters, self.prices, rule=rule, **given)

    @property
    def baseline(self) -> np.ndarray:
        return baseline_nano(np.array(self.imported), np.array(self.exported), self.prices)

    @property
    def bound(self) -> int:
        return bound_nano(np.array(self.imported), np.array(self.exported), self.prices)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    n = draw(st.integers(1, 6))

    def column(most: int) -> list[int]:
        return draw(st.lists(st.integers(0, most), min_size=n, max_size=n))

    bought, sold = column(2_000), column(2_000)
    excess = sum(bought) - sum(sold)
    longer = bought if excess > 0 else sold
    for i in range(n):
        cut = min(longer[i], abs(excess))
        longer[i] -= cut
        excess -= cut if excess > 0 else -cut
    feed_in, gain = draw(st.integers(-50_000, 200_000)), draw(st.integers(0, 300_000))
    local, remote = draw(st.integers(0, 60_000)), draw(st.integers(0, 60_000))
    prices = IntervalPrices(feed_in + gain - remote + local, feed_in, local, remote)
    price = draw(st.integers(feed_in, feed_in + gain))
    return Case(column(3_000), column(3_000), bought, sold, prices, price, column(10**6))


def by_hand(case: Case) -> tuple[list[int], list[int]]:
    """What each home needs from and offers to others, each meter and each home's trades netted first."""
    need, offer = [], []
    for a, e, b, s in zip(case.imported, case.exported, case.bought, case.sold, strict=True):
        a, e = a - min(a, e), e - min(a, e)
        b, s = b - min(b, s), s - min(b, s)
        short = max(a - b, 0) + max(s - e, 0)
        long = max(e - s, 0) + max(b - a, 0)
        own = min(short, long)
        need.append(short - own)
        offer.append(long - own)
    return need, offer


def largest_remainder_by_hand(weights: list[int], total: int) -> list[int]:
    exact = [Fraction(w * total, sum(weights)) for w in weights]
    share = [int(x) for x in exact]
    for i in sorted(range(len(share)), key=lambda i: -(exact[i] - share[i]))[: total - sum(share)]:
        share[i] += 1
    return share


@pytest.mark.parametrize("rule", RULES, ids=lambda r: f"{r.imbalance}-{r.shares}")
@given(case=cases())
def test_every_rule_posts_what_the_formulas_say(rule: ImbalanceRule, case: Case) -> None:
    need, offer = by_hand(case)
    w = case.prices.buy_cap_micro_per_kwh - case.prices.feed_in_micro_per_kwh
    netted = min(sum(need), sum(offer)) if rule.imbalance is not Imbalance.RETAILER else 0
    zeros = [0] * len(need)
    into = largest_remainder_by_hand(need, netted) if netted else zeros
    out = largest_remainder_by_hand(offer, netted) if netted else zeros
    postings = case.settled(rule)
    member = postings.lines[: len(need)]
    assert member[:, LOCAL].tolist() == [i - o for i, o in zip(into, out, strict=True)]
    cap, feed_in = case.prices.buy_cap_micro_per_kwh, case.prices.feed_in_micro_per_kwh
    weights = case.weights if any(case.weights) else [1] * len(need)
    traded = [(b - min(b, s), s - min(b, s)) for b, s in zip(case.bought, case.sold, strict=True)]
    meter = [(a - min(a, e), e - min(a, e)) for a, e in zip(case.imported, case.exported, strict=True)]
    delivered = [min(t[0], m[0]) + min(t[1], m[1]) for t, m in zip(traded, meter, strict=True)]
    share = zeros
    if netted and rule.imbalance is Imbalance.POOLED:
        share = {
            Shares.THROUGHPUT: lambda: largest_remainder_by_hand(weights, w * netted),
            Shares.EQUAL: lambda: largest_remainder_by_hand([1] * len(need), w * netted),
            Shares.DELIVERED: lambda: largest_remainder_by_hand(
                delivered if any(delivered) else [1] * len(need), w * netted
            ),
            Shares.LEAVE_ONE_OUT: lambda: [
                w * min(sum(need) - n, sum(offer) - o) * a // sum(weights)
                for n, o, a in zip(need, offer, weights, strict=True)
            ],
        }[rule.shares]()
    if rule.imbalance is Imbalance.POOLED:
        expected = [o * feed_in - i * cap + s for i, o, s in zip(into, out, share, strict=True)]
    else:
        at = (cap + feed_in) // 2
        if rule.imbalance is Imbalance.CLEARING_PRICE and any(case.bought):
            at = case.price
        expected = [(o - i) * at for i, o in zip(into, out, strict=True)]
    assert member[:, IMBALANCE].tolist() == expected


@pytest.mark.parametrize("rule", RULES, ids=lambda r: f"{r.imbalance}-{r.shares}")
@given(case=cases())
def test_the_saving_is_the_bound_less_what_the_rule_leaves_outside(rule: ImbalanceRule, case: Case) -> None:
    """Pooled, middle and clearing price save w M to the nano, the retailer w (M - N); leave one out keeps its rest."""
    postings = case.settled(rule)
    member = postings.lines[: len(case.imported)]
    saving = int((member[:, TRADE:].sum(axis=1) - case.baseline).sum())
    by_rule = int(netting_nano(postings, case.prices).sum())
    need, offer = by_hand(case)
    w = case.prices.buy_cap_micro_per_kwh - case.prices.feed_in_micro_per_kwh
    netted = min(sum(need), sum(offer))
    rest = int(postings.lines[-1, IMBALANCE])
    assert rest >= 0
    if rule.imbalance is Imbalance.RETAILER:
        assert (saving, by_rule) == (case.bound - w * netted, 0)
    else:
        assert (saving, by_rule) == (case.bound - rest, w * netted - rest)
        assert rest == 0 or rule.shares is Shares.LEAVE_ONE_OUT


@given(case=cases())
def test_without_orders_the_mechanism_saves_nothing_and_the_rule_everything(case: Case) -> None:
    nobody = Case(
        case.imported,
        case.exported,
        [0] * len(case.bought),
        [0] * len(case.sold),
        case.prices,
        0,
        case.weights,
    )
    for rule in RULES[1:4]:
        postings = nobody.settled(rule)
        member = postings.lines[: len(case.imported)]
        saving = int((member[:, TRADE:].sum(axis=1) - nobody.baseline).sum())
        assert saving == int(netting_nano(postings, case.prices).sum()) == nobody.bound


@given(case=cases(), data=st.data())
def test_a_rank_only_moves_units_of_a_tie(case: Case, data: st.DataObject) -> None:
    rank = np.array(data.draw(st.permutations(range(len(case.bought)))), dtype=np.int64)
    rule = ImbalanceRule()
    plain, drawn = case.settled(rule).lines, case.settled(rule, rank).lines
    local = plain[:, LOCAL] - drawn[:, LOCAL]
    assert np.abs(local).max() <= 1
    assert plain[:, IMBALANCE].sum() == drawn[:, IMBALANCE].sum() == 0


def test_who_invents_energy_gains_no_more_than_its_own_share() -> None:
    """Two homes of one owner trade 500 Wh that nobody uses: w X is burnt, and their share of it comes back."""
    prices = IntervalPrices(320_000, 80_000)
    honest = Case([0, 0, 1_000], [0, 0, 0], [0, 0, 0], [0, 0, 0], prices, 200_000, [1, 1, 8])
    wash = Case([0, 0, 1_000], [0, 0, 0], [0, 500, 0], [500, 0, 0], prices, 200_000, [1, 1, 8])
    gains = {}
    for rule in RULES:
        both = [case.settled(rule).lines[:2, TRADE:].sum() for case in (honest, wash)]
        gains[f"{rule.imbalance}-{rule.shares}"] = int(both[1] - both[0])
    burnt = 500 * 240_000
    assert gains["retailer-throughput"] == -burnt
    assert gains["pooled-throughput"] == -burnt + burnt * 2 // 10
    assert gains["pooled-leave_one_out"] <= gains["pooled-throughput"]
    # Seller long 500 Wh, buyer and neighbour short 500 and 1,000: 167 of the buyer's come back at the middle price.
    assert gains["middle-throughput"] == -333 * 120_000


@pytest.mark.parametrize("rule", RULES, ids=lambda r: f"{r.imbalance}-{r.shares}")
@given(case=cases(), away=st.lists(st.integers(0, 10**6), min_size=1, max_size=3))
def test_homes_that_do_not_take_part_get_nothing_and_change_nobodys_line(
    rule: ImbalanceRule, case: Case, away: list[int]
) -> None:
    """Whatever their weights are; the same holds where nobody has a weight."""
    homes, nothing = len(case.weights), [0] * len(away)
    columns = ("imported", "exported", "bought", "sold")
    for weights in (case.weights, [0] * homes):
        alone = replace(case, weights=weights)
        wider = {name: [*getattr(case, name), *nothing] for name in columns}
        beside = replace(alone, **wider, weights=[*weights, *away])
        part = np.array([True] * homes + [False] * len(away))
        lines = beside.settled(rule, takes_part=part).lines
        np.testing.assert_array_equal(
            np.delete(lines, np.s_[homes : homes + len(away)], 0), alone.settled(rule).lines
        )
        assert not lines[homes : homes + len(away)].any()


@pytest.mark.parametrize("rule", RULES, ids=lambda r: f"{r.imbalance}-{r.shares}")
def test_what_is_netted_is_refused_where_homes_have_several_retailers(rule: ImbalanceRule) -> None:
    prices, two = IntervalPrices(300_000, 80_000), np.array([1, 2])
    case = Case([1_000, 0], [0, 500], [0, 0], [0, 0], prices, 0, [1, 1])
    several = replace(case, prices=HomePrices(prices, 100_000 * two, 50_000 * two))
    if not rule.netted:
        several.settled(rule)
        return
    with pytest.raises(InvalidTariff, match=f"{rule.imbalance} imbalances are netted at the prices of one"):
        several.settled(rule)
