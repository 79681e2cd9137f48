"""What the homes pay, what they save, and how evenly."""

from __future__ import annotations

from market.metrics import fairness as formulas
from market.metrics.table import Result, metric
from market.settlement.charges import FIXED_COLUMNS
from market.units import NANO_PER_UNIT

LOSERS = "it is defined only where no home loses and some home gains"


@metric(unit="currency")
def cost_without_market(r: Result) -> float:
    """All bills with the retailer only, C_ret, standing and peak charges included."""
    return _without_nano(r) / NANO_PER_UNIT


@metric(unit="currency", better="lower", heading="all bills, {money}")
def cost_with_market(r: Result) -> float:
    """All bills with the market, C_mkt, standing and peak charges included."""
    return (_without_nano(r) - _saving_nano(r)) / NANO_PER_UNIT


@metric(unit="currency", better="higher", heading="saved, {money}")
def saving(r: Result) -> float:
    """C_ret - C_mkt, signed."""
    return _saving_nano(r) / NANO_PER_UNIT


@metric(unit="currency", better="higher", heading="by the mechanism, {money}")
def saving_by_mechanism(r: Result) -> float:
    """Part of the saving that the mechanism brings: energy ordered and delivered, less what the operator keeps."""
    return (_saving_nano(r) - _netting_nano(r) - _from_outside_nano(r)) / NANO_PER_UNIT


@metric(unit="currency", better="higher")
def saving_by_imbalance_rule(r: Result) -> float:
    """Part of the saving that the imbalance rule brings by netting what orders missed."""
    return _netting_nano(r) / NANO_PER_UNIT


@metric(unit="currency", better="neither")
def saving_from_outside(r: Result) -> float:
    """Part of the saving that somebody outside pays: a deficit of the trades; no merit of the mechanism."""
    return _from_outside_nano(r) / NANO_PER_UNIT


@metric(unit="currency", better="neither")
def saving_bound(r: Result) -> float:
    """The most that all homes can save without moving a flow: local gain times what neighbours could exchange."""
    return r.money("bound_nano")


@metric(unit="%", better="higher", undefined_because="C_ret is next to nothing beside the saving")
def saving_percent(r: Result) -> float | None:
    """100 (C_ret - C_mkt) / abs(C_ret), signed."""
    return formulas.percent_of(_saving_nano(r), _without_nano(r))


@metric(unit="currency", better="higher")
def saving_with_operator_surplus(r: Result) -> float:
    """Saving with the surplus of the market operator given back."""
    return (_saving_nano(r) + r.facts["market_operator_nano"]) / NANO_PER_UNIT


@metric(unit="currency")
def imbalance_cost(r: Result) -> float:
    """Sum of what wrong forecasts cost the homes, see settlement.md."""
    return r.total("imbalance_cost_nano") / NANO_PER_UNIT


@metric(unit="currency")
def retailer_income(r: Result) -> float:
    """What all postings leave with the retailer, VAT included."""
    return r.facts["retailer_nano"] / NANO_PER_UNIT


@metric(unit="currency")
def grid_operator_income(r: Result) -> float:
    """What all postings leave with the grid operator, levies and VAT included."""
    return r.facts["grid_operator_nano"] / NANO_PER_UNIT


@metric(unit="currency")
def market_operator_income(r: Result) -> float:
    """What all postings leave with the market operator."""
    return r.facts["market_operator_nano"] / NANO_PER_UNIT


@metric(unit="homes", better="lower", heading="homes worse off", decimals=1)
def homes_worse_off(r: Result) -> int:
    """Number of homes with C_mkt > C_ret."""
    return len(formulas.homes_worse_off(r.saving_nano))


@metric(
    unit="share", better="higher", undefined_because="no homes", source="Zhou, Wu, Long 2018", percent=True
)
def participation_share(r: Result) -> float | None:
    """Homes with C_mkt <= C_ret / homes."""
    return formulas.participation_share(r.saving_nano)


@metric(
    unit="0 to 1 - 1/n",
    better="lower",
    undefined_because=LOSERS,
    source="Gini 1912",
    heading="Gini of savings",
    decimals=3,
)
def gini_saving(r: Result) -> float | None:
    """Gini index of the savings: sum over i, j of abs(xi - xj) / (2 n^2 mean)."""
    return formulas.gini(r.saving_nano)


@metric(
    unit="1/n to 1",
    better="higher",
    undefined_because=LOSERS,
    source="Jain, Chiu, Hawe 1984",
    heading="Jain of savings",
    decimals=3,
)
def jain_saving(r: Result) -> float | None:
    """Jain's index of the savings, also QoS: (sum x)^2 / (n sum x^2)."""
    return formulas.jain(r.saving_nano)


@metric(
    unit="0 to 1",
    better="higher",
    needs=("least_saving_nano", "largest_saving_nano"),
    undefined_because="no homes, all save the same, or there is nothing to compare with",
    source="Hossfeld et al. 2017",
)
def qoe_saving(r: Result) -> float | None:
    """1 - 2 std / (H - L) of the savings; L and H are those of any home under any compared mechanism."""
    return formulas.qoe(r.saving_nano, r.facts["least_saving_nano"], r.facts["largest_saving_nano"])


@metric(unit="0 to 1", better="higher", undefined_because=LOSERS, source="Moret, Pinson 2019")
def min_max_saving(r: Result) -> float | None:
    """Smallest / largest saving (MiM)."""
    return formulas.min_max_ratio(r.saving_nano)


def _without_nano(r: Result) -> int:
    """What all homes pay without a market."""
    return -r.total("baseline_nano", *(name for name in FIXED_COLUMNS if name in r.bills))


def _netting_nano(r: Result) -> int:
    """What netting brought to homes and, for them, to their battery in common."""
    return r.total("netting_nano") + r.facts.get("battery_netting_nano", 0)


def _from_outside_nano(r: Result) -> int:
    return max(-int(r.intervals["operator_surplus_nano"].sum()), 0)


def _saving_nano(r: Result) -> int:
    return sum(r.saving_nano.tolist())
