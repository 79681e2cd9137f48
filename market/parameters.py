"""The declared parameters of mechanisms: their names at the edge, their ranges, and how a mechanism reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from market.rules import MarketRules, Rationing, Solver, Value
from market.units import MICRO_PER_UNIT, PPM, WH_PER_KWH

Kind = Literal["share", "price", "energy", "whole", "choice", "halves", "nothing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a mechanism.

    Args:
        name: As a case, a scenario and the command line call it, such as "unit_kwh".
        field: As the mechanism calls it, with the unit inside, such as "unit_wh": a field of `MarketRules`, or a key of
            its `params`.
        kind: share: 0 to 1, parts per million inside; price: micro-currency per kWh inside; energy: Wh inside, above 0;
            whole: a whole number; choice: one of `choices`; halves: two lists of participants;
            nothing: a name that other programs give, of which only an empty object has a meaning here.
        default: What holds where nothing is given; None where the mechanism then does without.
        summary: One sentence for people.
        choices: The words of a choice.
        least: Smallest whole number.
        in_run: The default of a run, where it differs from that of a single case.
        case_only: Has no meaning over the many intervals of a run.
        run_only: Is no parameter of a single case, which has the default; a run has what its market declares.
    """

    name: str
    field: str
    kind: Kind
    default: Value
    summary: str
    choices: tuple[str, ...] = ()
    least: int = 0
    in_run: Value = None
    case_only: bool = False
    run_only: bool = False

    def __post_init__(self) -> None:
        if self.kind == "choice" and self.default not in self.choices:
            raise ValueError(
                f"the default of the parameter {self.name!r} is {self.default!r}, which is none of its choices"
            )

    def of(self, rules: MarketRules) -> Any:
        """The value under these rules, in the unit inside."""
        if self.field in _SHARED:
            return getattr(rules, self.field)
        return rules.params.get(self.field, self.default)

    @property
    def scale(self) -> int | None:
        """Units inside of one unit at the edge, such as Wh of a kWh; None for what is no decimal number there."""
        return _SCALES.get(self.kind)

    @property
    def is_shared(self) -> bool:
        """Whether all mechanisms share it, such as k or the seed: a field of `MarketRules`."""
        return self.field in _SHARED


_SCALES: dict[Kind, int] = {"share": PPM, "price": MICRO_PER_UNIT, "energy": WH_PER_KWH}
_SHARED = frozenset(f.name for f in fields(MarketRules)) - {"params"}


def case_defaults(parameters: Iterable[Parameter]) -> dict[str, Value]:
    """What holds in a single case that a run may have otherwise, by `Parameter.field`."""
    return {parameter.field: parameter.default for parameter in parameters if parameter.run_only}


def rules_with(rules: MarketRules, values: Mapping[str, Value]) -> MarketRules:
    """The same rules with some values changed, by `Parameter.field`."""
    shared: dict[str, Any] = {field: value for field, value in values.items() if field in _SHARED}
    own = {field: value for field, value in values.items() if field not in _SHARED}
    return replace(rules, **shared, params={**rules.params, **own})


K = Parameter(
    name="k",
    field="k_ppm",
    kind="share",
    default=PPM // 2,
    summary="Where in the price interval the price lies.",
)
RATIONING = Parameter(
    name="rationing",
    field="rationing",
    kind="choice",
    default="pro_rata",
    summary="Who is served where not everybody at one price can be.",
    choices=get_args(Rationing),
)
MARGIN = replace(RATIONING, run_only=True)
"""Rationing as the market of a run declares it, by a mechanism that rations a single case in proportion."""
TIES = replace(
    MARGIN, default="time", summary="Who is served of those at one limit, where not everybody can be."
)
"""The same, by a mechanism that serves the earliest first in a single case."""
SEED = Parameter(name="seed", field="seed", kind="whole", default=0, summary="Seed of every lottery.")
SOLVER = Parameter(
    name="solver",
    field="solver",
    kind="choice",
    default="highs",
    summary="Which implementation runs; all give the same answer.",
    choices=get_args(Solver),
)
RETAIL = Parameter(
    name="retail_price",
    field="retail_micro_per_kwh",
    kind="price",
    default=None,
    summary="What energy costs outside the market.",
)
FEED_IN = Parameter(
    name="feed_in_tariff",
    field="feed_in_micro_per_kwh",
    kind="price",
    default=None,
    summary="What the outside pays for energy.",
)
GENERAL = (K, RATIONING, SEED, SOLVER, RETAIL, FEED_IN)
"""The parameters of a mechanism that declares none: every field of `MarketRules`."""
