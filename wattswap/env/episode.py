"""A scenario played interval by interval by somebody who decides for some of its homes; knows no framework.

Every interval is the `step` of a run: only the decisions come from outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from agents.bidding.steered import LIMITS, STEERED
from agents.community import Community
from agents.control.self_consumption import SELF_CONSUMPTION
from agents.control.steered import POWER, place_of
from agents.devices.battery import BATTERY
from agents.observation import OBSERVED, SCALE, observe
from market.orders import MAX_ORDERS
from market.settlement.accounts import TRADE
from market.units import FloatArray, IntArray
from wattswap.errors import Problem, UsageError, suggest
from wattswap.runs.charges import Charges
from wattswap.runs.interval import step
from wattswap.runs.prepare import Setup, prepare, under

if TYPE_CHECKING:
    from wattswap.scenario.load import Scenario


@dataclass(frozen=True, slots=True, eq=False)
class Lived:
    """What an interval has brought each learning home. [nano-currency]

    Args:
        start_s: Start of the interval. [s since 1970 UTC]
        amount_nano: What it is credited, negative where it pays: over all intervals minus its bill.
        baseline_nano: What it would have been without a market.
    """

    start_s: int
    amount_nano: IntArray
    baseline_nano: IntArray


class Episode:
    """A scenario from its first interval to its last.

    Args:
        scenario: A scenario, or the path of its file.
        homes: Ids of those that learn; all when left out.
        limits: Equal parts of a forecast quantity, each with a limit of its own.

    Attributes:
        names: Ids of the homes that learn.
        limits: As given.
        steers: Which of them decide on the power of a battery: those with one that is run by self-consumption.
        setup: The prepared scenario.

    Raises:
        UsageError: Lists all that keeps these homes from deciding.
        WattswapError: All errors of scenario and data, at once.
    """

    def __init__(self, scenario: Scenario | Path | str, homes: Sequence[str] | None, limits: int) -> None:
        from wattswap.scenario.load import load

        prepared = prepare(load(scenario) if isinstance(scenario, Path | str) else scenario)
        _refuse(prepared, homes or (), limits)
        roster = prepared.roster
        self.names = roster if homes is None else tuple(homes)
        self.limits = limits
        self._places = np.array([roster.index(name) for name in self.names])
        batteries = prepared.devices.get(BATTERY.name, (None,) * len(roster))
        ruled = [name == SELF_CONSUMPTION.name for name in prepared.controllers]
        self.steers = tuple(batteries[place] is not None and ruled[place] for place in self._places)
        self.setup = self._with_learners(prepared)
        self.reset()

    def _with_learners(self, setup: Setup) -> Setup:
        strategies, controllers = list(setup.strategies), list(setup.controllers)
        for place, steers in zip(self._places, self.steers, strict=True):
            strategies[place] = STEERED.name
            if steers:
                controllers[place] = STEERED.name
        return replace(setup, strategies=tuple(strategies), controllers=tuple(controllers))

    def reset(self, seed: int | None = None) -> None:
        """Begin again, with another seed of all random draws where one is given."""
        if seed is not None and seed != self.setup.seed:
            scenario = self.setup.scenario.model_copy(update={"seed": seed})
            self.setup = self._with_learners(under(self.setup, scenario))
        self._community = cast(Community, self.setup.community())  # several retailers were refused
        self._charges = Charges(self.setup)
        kept, homes = self.setup.agents.lead + 1, len(self.setup.roster)
        self._power = np.zeros((homes, kept), dtype=np.int64)
        self._charged_nano = np.zeros(homes, dtype=np.int64)
        self.done = 0
        self._observe()

    @property
    def is_over(self) -> bool:
        """Whether its last interval has been lived."""
        return self.done == self.setup.intervals

    def refuse_after_the_last(self) -> None:
        """Refuse an interval more than there are.

        Raises:
            UsageError: The last interval has been lived.
        """
        if self.is_over:
            raise UsageError.of("step", "comes after the last interval", "call reset first")

    @property
    def observation(self) -> FloatArray:
        """What each learning home sees at the next gate, shape (homes, names of `OBSERVED`), in their units.

        A copy, which may be changed. After the last interval, where no gate comes, what it saw last.
        """
        return self._observation.copy()

    def _observe(self) -> None:
        """Look through the next gate, as if batteries followed their rule."""
        if not self.is_over:
            self._power[:, self._place] = 0
            self._steer(np.zeros((len(self._power), self.limits), dtype=np.int64))
            state, view = self._community.seen_by(STEERED.name, self.setup.tariffs.at(self.done))
            seen = observe(state, view)
            rows = np.argsort(np.argsort(self._places))  # the view has them in the order of the roster
            self._observation = seen[rows] / SCALE

    @property
    def _place(self) -> int:
        setup = self.setup
        return place_of(setup.start_of(self.done), setup.minutes, self._power.shape[1])

    def _steer(self, limits: IntArray) -> None:
        self._community.steer(STEERED.name, {LIMITS: limits, POWER: self._power.copy()})

    def live(self, limits: FloatArray, power: FloatArray) -> Lived:
        """Live the next interval by these decisions, each from -1 to 1 and cut to that.

        Args:
            limits: Of each part of the forecast quantity, shape (learning homes, limits): 1 is the home's worth, -1
                the other end of the outside prices.
            power: Of each battery: 0 is the self-consumption rule, 1 full charge, -1 full discharge; the powers
                between them in proportion.

        Raises:
            UsageError: The last interval has been lived.
            ValueError: A decision is no finite number, or there is not one for each of these homes.
        """
        self.refuse_after_the_last()
        homes = len(self.names)
        limits_ppm = _whole(numbers(limits, "limits", (homes, self.limits)))
        power_ppm = _whole(numbers(power, "power", (homes,)))
        decided = np.zeros((len(self._power), self.limits), dtype=np.int64)
        decided[self._places] = limits_ppm
        self._power[self._places, self._place] = np.where(self.steers, power_ppm, 0)
        self._steer(decided)
        record = step(self.setup, self._community, self.done)
        self._charges.add(record)
        fixed = self._charges.fixed().values()
        charged_nano = sum(fixed, np.zeros(len(self._power), dtype=np.int64))
        new_nano = (charged_nano - self._charged_nano)[self._places]
        postings = record.settled.postings
        posted_nano = postings.lines[: postings.members, TRADE:].sum(axis=1)[self._places]
        baseline_nano = record.settled.baseline_nano[self._places]
        self._charged_nano, self.done = charged_nano, self.done + 1
        self._observe()
        return Lived(record.start_s, posted_nano + new_nano, baseline_nano + new_nano)


def numbers(decided: object, what: str, shape: tuple[int, ...]) -> FloatArray:
    """Decisions as real, finite numbers.

    Args:
        decided: What was given, of any kind.
        what: It, for messages.
        shape: As it has to be.

    Raises:
        ValueError: It is something else.
    """
    try:
        found = np.asarray(decided)
    except ValueError:  # lists of several lengths
        found = np.array(None)
    if found.dtype.kind not in "fiu":
        text = repr(decided)
        raise ValueError(f"{what} must be real numbers, not {text if len(text) <= 80 else text[:77] + '...'}")
    if found.shape != shape:
        raise ValueError(f"{what} must have the shape {shape}, not {found.shape}")
    if not np.isfinite(found).all():
        raise ValueError(f"{what} must be finite numbers, not {found.tolist()}")
    return found.astype(np.float64)


def _whole(decided: FloatArray) -> IntArray:
    """Decisions as integers, cut to their range."""
    return np.rint(np.clip(decided, -1, 1) * SCALE).astype(np.int64)


def _refuse(setup: Setup, homes: Sequence[str], limits: int) -> None:
    """Refuse what nobody could decide in.

    Raises:
        UsageError: Lists all of it.
    """
    wrong = [
        Problem(f"home {name!r}", f"is none of the {len(setup.roster)} homes", suggest(name, setup.roster))
        for name in homes
        if name not in setup.roster
    ]
    if not 1 <= limits <= MAX_ORDERS:
        wrong.append(Problem("limits", f"is {limits}", f"give 1 to {MAX_ORDERS}"))
    if setup.metered:
        cure = 'set market.quantities = "ordered"'
        wrong.append(Problem("market.quantities", "leaves homes no order to decide on", cure))
    if setup.looks_ahead:
        what = f"{setup.mechanism.name} takes what homes expect of many intervals, and leaves no order to decide on"
        wrong.append(Problem("market.mechanism", what, "choose a mechanism of one interval"))
    if setup.store is not None:
        what = "moves with the needs of all homes, and a learning home's view knows its own"
        wrong.append(Problem("community.battery", what, "remove it for learning"))
    if setup.tariffs.several:
        cure = "give all homes one retailer for learning"
        wrong.append(
            Problem(
                "homes.tariffs", "gives homes several retailers, and a learning home's view knows one", cure
            )
        )
    if wrong:
        raise UsageError(*wrong)


def bounds() -> tuple[FloatArray, FloatArray]:
    """The least and the most of each observation."""
    low, high = np.array(list(OBSERVED.values()), dtype=np.float64).T
    return low, high
