"""Prepare a scenario for a run: data, homes, prices, market, keys and genesis, all checked first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from agents.bidding import Orders
from agents.community import Community
from agents.control import CONTROLLERS
from agents.meters import ALONE
from agents.neighbourhood import Neighbourhood
from agents.rules import AgentRules
from data.readings import MISSING, whole
from data.store import columns
from market.interval import Interval
from market.mechanism import MECHANISMS, Mechanism
from market.orders import HORIZON_KINDS, OrderKind
from market.random import interval_seed
from market.rules import MarketRules
from market.settlement.imbalance import Imbalance, ImbalanceRule, Shares
from market.settlement.tariff import OutsidePrices
from market.units import BoolArray, IntArray
from optimizer.storage.store import Store
from p2p.blocks.genesis import VERSION, Genesis, make_params, write_genesis
from p2p.blocks.members import Members, write_members
from p2p.wire import messages
from p2p.wire.codec import encode
from p2p.wire.identity import Identity
from p2p.wire.limits import DEFAULT_LIMITS, Limits
from p2p.wire.messages import (
    Kind,
    NothingMessage,
    OrderLine,
    OrderMessage,
    lasting,
    open_message,
    order_line,
    sign_message,
)
from wattswap.errors import UsageError
from wattswap.runs.battery_refused import refuse_common_battery
from wattswap.runs.checked import Checked, checked, checked_as_held
from wattswap.runs.committed import Committed
from wattswap.runs.common_battery import BATTERY, common_store, owners
from wattswap.runs.grid import CONNECTION, RunGrid, refuse_off_grid
from wattswap.runs.held import Facts, Held, SaltOf, rules_hash
from wattswap.runs.homes import behaviours_of, preferences_of, used_and_made
from wattswap.runs.keys import Keys
from wattswap.runs.layout import GENESIS, MEMBERS
from wattswap.runs.looking_ahead import refuse_to_look_ahead
from wattswap.runs.rules import agent_rules, imbalance_rule, market_rules
from wattswap.runs.sealing_refused import refuse_sealing
from wattswap.runs.study import doubled
from wattswap.runs.tariffs import refuse_with_several_tariffs
from wattswap.runs.throughput import Throughput
from wattswap.runs.zones import RunZones
from wattswap.scenario.load import Scenario

DAY_S = 86_400
Homes = Community | Neighbourhood
"""Homes that walk through time together."""


@dataclass(frozen=True, eq=False)
class Setup(Checked):
    """A scenario ready to run.

    Args:
        given_genesis: The genesis of a network's chain; None where the chain follows from the scenario alone.
        given_members: The homes that it commits to; None in the same case.
        salt_of: Salts of the digests of readings; None: they follow from the scenario as its keys do.
    """

    scenario: Scenario
    mechanism: Mechanism
    rules: MarketRules
    agents: AgentRules
    given_genesis: Genesis | None = None
    given_members: Members | None = None
    salt_of: SaltOf | None = None

    @property
    def roster(self) -> tuple[str, ...]:
        """Home ids; an order's participant is an index into it."""
        return self.meter.households

    @property
    def prices(self) -> OutsidePrices:
        """Outside prices of homes without a retailer of their own."""
        return self.tariffs.gross[0]

    @property
    def absent_homes(self) -> tuple[str, ...]:
        """Ids of the homes of the data that do not take part."""
        return (*self.dropped_homes, *self.undrawn_homes)

    @cached_property
    def members(self) -> IntArray:
        """Indices of all members."""
        return np.arange(len(self.roster), dtype=np.int64)

    def takes_part(self, i: int) -> BoolArray:
        """Which homes are part of the community in the i-th interval."""
        return self.membership.at(self.start_of(i))

    @property
    def seed(self) -> int:
        """The scenario's seed."""
        return self.scenario.seed

    @property
    def sign_orders(self) -> bool:
        """Whether an in-process run signs and checks every order."""
        return self.scenario.chain.sign_orders

    @property
    def metered(self) -> bool:
        """Whether homes state limits only, and the quantities come from the meters."""
        return self.scenario.market.quantities == "metered"

    @property
    def limits_stand(self) -> bool:
        """Whether what homes have stated applies in later intervals that are missed: limits do, orders of energy do
        not, and where a horizon is cleared homes order energy in any case."""
        return self.metered and not self.looks_ahead

    @property
    def reacts(self) -> bool:
        """Whether homes live an interval by what they have agreed in its market."""
        asked = not self.metered or self.looks_ahead
        return asked and any(CONTROLLERS.get(name).reacts for name in self.controllers)

    @property
    def looks_ahead(self) -> bool:
        """Whether the market clears a horizon of intervals, of which the first binds."""
        return self.mechanism.scope == "horizon"

    @property
    def nodal(self) -> RunGrid | None:
        """The grid on which the market clears; None where the mechanism uses none, whether there is one or not."""
        return self.grid if self.mechanism.promises.needs_grid else None

    @property
    def zonal(self) -> RunZones | None:
        """The zones in which the market clears; None where the mechanism uses none, whether there are any or not."""
        return self.zones if self.mechanism.promises.needs_zones else None

    @cached_property
    def store(self) -> Store | None:
        """The battery that the homes have in common; None where they have none that could do anything."""
        return common_store(self.scenario, self.minutes)

    @property
    def rounds(self) -> int:
        """Rounds in which homes submit something: where a horizon is cleared for what they order and again when it is
        lived, these are two."""
        return 2 if self.looks_ahead and not self.metered else self.scenario.market.rounds

    @cached_property
    def imbalance_rule(self) -> ImbalanceRule:
        """How imbalances are settled."""
        return imbalance_rule(self.scenario)

    @property
    def imbalance_words(self) -> str:
        """The imbalance rule as scenarios and results name it; a pool with its shares unless they are the default."""
        rule = self.imbalance_rule
        pooled = rule.imbalance is Imbalance.POOLED and rule.shares is not Shares.THROUGHPUT
        return f"{rule.imbalance} ({rule.shares})" if pooled else str(rule.imbalance)

    def weight_wh(self, i: int) -> IntArray:
        """Weights of the shares of a pool in the i-th interval, fixed for its local day. [Wh]"""
        return self._weights.of(self.first_row + i) if self.held is None else self.held.weight_wh(i)

    @cached_property
    def _weights(self) -> Throughput:
        return Throughput(self.meter, self.zone, self.agents.lead, self.membership)

    @property
    def zone(self) -> str:
        """Time zone of the homes' calendar."""
        return self.scenario.zone

    @property
    def steps_per_day(self) -> int:
        """Intervals in 24 hours."""
        return 24 * 60 // self.minutes

    def start_of(self, i: int) -> int:
        """Start of the i-th interval of the run. [s]"""
        return self.start_s + i * self.minutes * 60

    def local_start_of(self, i: int) -> datetime:
        """Start of the i-th interval of the run on the clock of the homes."""
        return datetime.fromtimestamp(self.start_of(i), ZoneInfo(self.zone))

    def after(self, start_s: int) -> int:
        """Start of the interval that is settled after one of the run; of the first, for a negative one. [s]"""
        return self.start_s if start_s < 0 else start_s + self.minutes * 60

    def index_of(self, start_s: int) -> int:
        """The place of an interval in the run.

        Raises:
            UsageError: The run has no such interval.
        """
        i, rest = divmod(start_s - self.start_s, self.minutes * 60)
        if rest or not 0 <= i < self.intervals:
            raise UsageError.of(f"interval {start_s}", "is outside the scenario's time range")
        return i

    def interval(self, i: int) -> Interval:
        """The i-th interval of the run."""
        return Interval(self.start_of(i), self.minutes)

    def rules_at(self, i: int) -> MarketRules:
        """The market rules with the outside prices of the i-th interval, and its own seed."""
        return replace(
            self.rules,
            seed=interval_seed(self.rules.seed, self.start_of(i)),
            retail_micro_per_kwh=int(self.prices.import_micro_per_kwh[i]),
            feed_in_micro_per_kwh=int(self.prices.feed_in_micro_per_kwh[i]),
            grid=None if self.nodal is None else self.nodal.grid,
            zones=None if self.zonal is None else self.zonal.zones,
        )

    def community(self, home: int | None = None) -> Homes:
        """All homes, or one of them alone, before the first interval."""
        homes = self.members if home is None else self.members[home : home + 1]
        alone = home is None and (not self.metered or self.looks_ahead)
        parts = [self._community(own, prices, alone) for own, prices in self.tariffs.of(homes)]
        if self.store is not None and home is None:
            return owners(self, self.scenario, self.agents, self.prices, parts[0], self.store)
        return parts[0] if len(parts) == 1 else Neighbourhood(parts)

    def _community(self, homes: IntArray, prices: OutsidePrices, alone: bool) -> Community:
        """Homes that have the same retailer."""
        columns = slice(None) if len(homes) == len(self.roster) else homes  # a slice copies nothing
        rows, beyond = homes.tolist(), self.preferences
        return Community(
            self.meter.import_wh[:, columns],
            self.meter.export_wh[:, columns],
            {name: [specs[row] for row in rows] for name, specs in self.devices.items()},
            self.first_row,
            self.agents,
            prices,
            members=homes,
            start_s=self.meter.start_s,
            strategies=[self.strategies[row] for row in rows],
            controllers=[self.controllers[row] for row in rows],
            forecasters=[self.forecasters[row] for row in rows],
            zone=self.zone,
            weather=self.weather,
            valid=None if self._valid is None else self._valid[:, columns],
            pv_wh=self.meter.sub_meters["pv"][:, columns] if "pv" in self.meter.sub_meters else None,
            alone=alone,
            beyond=None if beyond is None else (beyond[0][homes], beyond[1][homes]),
        )

    @cached_property
    def _valid(self) -> BoolArray | None:
        valid = self.meter.quality != MISSING
        return None if valid.all() else valid

    @cached_property
    def has_load(self) -> bool:
        """Whether the data have the load behind the meters: by sub-meter, or because nobody exports."""
        return bool({"load", "pv"} & set(self.meter.sub_meters)) or not self.meter.export_wh.any()

    @cached_property
    def metered_pv(self) -> bool:
        """Whether any home has a meter of its production that has shown some."""
        return "pv" in self.meter.sub_meters and bool(self.meter.sub_meters["pv"].any())

    def behind_meter(self, i: int, columns: Mapping[str, IntArray]) -> dict[str, IntArray]:
        """Consumption and production of each home in the i-th interval, devices included; empty if unknown. [Wh]"""
        if not self.has_load or self.held is not None:
            return {}
        row, part = self.first_row + i, self.takes_part(i)
        used, made = used_and_made(self.devices, columns)
        pv = self.meter.sub_meters.get("pv")
        pv_wh = np.zeros(len(self.roster), dtype=np.int64) if pv is None else whole(pv[row])
        return {"load_wh": (self.meter.load_of(row) + used) * part, "pv_wh": (pv_wh + made) * part}

    def alone(self, i: int, columns: Mapping[str, IntArray]) -> dict[str, IntArray]:
        """Import and consumption of homes that react, as they would be without a market in the i-th interval. [Wh]

        0 for a home that is no member then; empty where the columns of its record say nothing of it.
        """
        if f"{ALONE}import_wh" not in columns or "load_wh" not in columns:
            return {}
        here, _ = used_and_made(self.devices, columns)
        without = {
            name.removeprefix(ALONE): column for name, column in columns.items() if name.startswith(ALONE)
        }
        there, _ = used_and_made(self.devices, {**columns, **without})
        return {
            f"{ALONE}import_wh": columns[f"{ALONE}import_wh"],  # as all registers, of members alone
            f"{ALONE}load_wh": (columns["load_wh"] - here + there) * self.takes_part(i),
        }

    @cached_property
    def genesis(self) -> Genesis:
        """What the run's chain starts from; it commits to the scenario and to the readings of each home."""
        if self.given_genesis is not None:
            return self.given_genesis
        count, rules = self.scenario.chain.authorities, rules_hash(self.scenario.digest(), self.facts)
        authorities = [self.keys.identity("authority", str(i)) for i in range(count)]
        return Genesis(
            version=VERSION,
            name=self.scenario.name,
            time_ms=0,  # a simulation may be in any year; the blocks of a network carry wall-clock time
            params=make_params(self.scenario.currency, self.minutes, rules, self._limits),
            authorities=tuple(a.public_key for a in authorities),
            operators=(self.keys.identity("operator").public_key,),
            members_root=self.member_list.root,
            members=len(self.roster),
            accounts=self.accounts,
            modules=self.scenario.chain.modules,
        )

    @cached_property
    def facts(self) -> Facts:
        """What the genesis commits to of the data of the homes."""
        return self.committed.facts() if self.held is None else self.held.facts

    @cached_property
    def committed(self) -> Committed:
        """The data of all homes, as the genesis commits to them."""
        salt_of = self.salt_of or self.keys.reading_salt
        weights = self.weight_wh if self.imbalance_rule.needs_weights else None
        return Committed.of(self.scenario, self, self.agents.lead, salt_of, weights)

    @property
    def accounts(self) -> tuple[str, ...]:
        """Names of the external accounts of the chain: the grid connection, or the battery in common."""
        if self.given_genesis is not None:
            return self.given_genesis.accounts
        if self.store is not None:
            return (BATTERY,)
        return () if self.nodal is None else (CONNECTION,)

    @property
    def _limits(self) -> Limits:
        """Ranges of messages: those of every chain, the rounds, and the kinds of orders that the mechanism takes."""
        kinds = sorted(kind for kind in OrderKind if kind.word in self.mechanism.order_kinds)
        if self.looks_ahead:
            kinds = list(HORIZON_KINDS)
        elif self.rounds > 1:
            kinds = [OrderKind.SIMPLE]
        sealed_bytes = self.scenario.chain.sealed_bytes
        taken = tuple(int(kind) for kind in kinds)
        return replace(DEFAULT_LIMITS, order_kinds=taken, rounds=self.rounds, sealed_bytes=sealed_bytes)

    @cached_property
    def member_list(self) -> Members:
        """The homes with their keys, as the genesis commits to them."""
        if self.given_members is not None:
            return self.given_members
        keys = tuple(identity.public_key for identity in self._household_identities)
        return Members(self.roster, keys, self.membership.terms, self.facts.capacities)

    def genesis_bytes(self) -> bytes:
        """The canonical bytes of the genesis file."""
        return encode(self.genesis)

    def write_genesis(self, folder: Path) -> None:
        """Write the genesis file of the run."""
        write_genesis(folder / GENESIS, self.genesis)

    def write_members(self, folder: Path) -> None:
        """Write the homes with their keys, of a live run; in process they follow from the scenario's seed and data."""
        write_members(folder / MEMBERS, self.member_list)

    @cached_property
    def _household_identities(self) -> list[Identity]:
        return [self.keys.identity("household", name) for name in self.roster]

    def nonce(self, start_s: int, number: int = 0) -> int:
        """The nonce of a home's message of a round: with one round the interval's number since 1970."""
        return start_s // (self.minutes * 60) * self.rounds + number

    def message(
        self, home: int, start_s: int, orders: Orders, number: int = 0
    ) -> OrderMessage | NothingMessage:
        """The message of one home for a round of an interval: its orders of more than 0 Wh, or that it has none."""
        rows = np.flatnonzero((orders.home == home) & (orders.energy_wh > 0)).tolist()
        side, energy, limit = orders.side, orders.energy_wh, orders.limit_micro_per_kwh
        lines = tuple(order_line(int(side[row]), int(energy[row]), int(limit[row])) for row in rows)
        return self.message_of(home, start_s, lines, number)

    def message_of(
        self, home: int, start_s: int, lines: tuple[OrderLine, ...], number: int = 0
    ) -> OrderMessage | NothingMessage:
        """The message of one home for a round of an interval: these orders, or that it has none."""
        chain_id, name, nonce = self.genesis.chain_id, self.roster[home], self.nonce(start_s, number)
        head = (messages.VERSION, chain_id, start_s, self.minutes, name, nonce, number)
        return OrderMessage(*head, lines) if lines else NothingMessage(*head)

    def sign_and_check(self, start_s: int, orders: Orders, number: int = 0) -> None:
        """Sign the orders of every home as it would and check them as the operator would."""
        homes = np.unique(orders.home[orders.energy_wh > 0]).tolist()
        self.sign_and_check_all({home: self.message(home, start_s, orders, number) for home in homes})

    def sign_and_check_all(self, said: Mapping[int, OrderMessage | NothingMessage]) -> None:
        """Sign messages as their homes would, given by their places in the roster, and check them as the operator."""
        key_of, limits = lasting(self.member_list.by_id), self.genesis.params.limits
        for home, message in said.items():
            data = sign_message(self._household_identities[home], message, limits)
            chain_id, kinds = self.genesis.chain_id, (Kind.ORDER,)
            open_message(data, chain_id=chain_id, kinds=kinds, key_of=key_of, limits=limits)

    @property
    def _flagged_share(self) -> float:
        """Share of the readings of members that are estimated or missing, a day of them at a time."""
        flagged = total = 0
        for i in range(0, self.intervals, self.steps_per_day):
            rows = min(self.steps_per_day, self.intervals - i)
            member = self.membership.in_rows(self.start_of(i), self.minutes * 60, rows)
            quality = self.meter.quality[self.first_row + i :][:rows]
            total += int(np.count_nonzero(member))
            flagged += int(np.count_nonzero(quality[member]))
        return flagged / total if total else float("nan")

    def data_provenance(self, community: Homes) -> dict[str, Any]:
        """Where the readings come from and what these homes lack in them, for the manifest."""
        return {
            "format": self.meter.source.format,
            "sha256": self.meter.source.sha256,
            "answers": dict(self.meter.source.answers),
            "notes": list(self.meter.source.notes),
            "bidding_notes": [*community.notes(), *doubled(self.devices, self.meter)],
            "control_notes": list(community.control_notes()),
            "metered_pv": self.metered_pv,
            "estimated_share": self._flagged_share,
            "dropped_homes": list(self.dropped_homes),
        }


def cut_to(scenario: Scenario, intervals: int | None, start_s: int | None) -> Scenario:
    """The same scenario over another time: from `start_s` [s] and for a number of intervals, where given."""
    changed: dict[str, Any] = {}
    if start_s is not None:
        changed["start"] = datetime.fromtimestamp(start_s, UTC)
    if intervals is not None:
        changed |= {"days": None, "end": None, "intervals": intervals}
    return scenario.model_copy(update={"time": scenario.time.model_copy(update=changed)})


def prepare(scenario: Scenario, least_history_days: int = 0, held: Held | None = None) -> Setup:
    """Load the data and check that the scenario can run on them, before anything is written.

    Args:
        least_history_days: Days before the run that are read, where the homes need less.
        held: What a node holds in place of the data of all homes; nothing else is read then.

    Raises:
        WattswapError, DataError: The only error, or all errors of scenario and data together.
    """
    found = checked(scenario, least_history_days) if held is None else checked_as_held(scenario, held)
    columns.release(found.meter)
    return Setup(
        scenario=scenario,
        mechanism=MECHANISMS.get(scenario.market.mechanism),
        rules=market_rules(scenario),
        agents=agent_rules(scenario, found.minutes),
        **{field.name: getattr(found, field.name) for field in fields(found)},
    )


def under(setup: Setup, scenario: Scenario) -> Setup:
    """The same data under another market or seed; the scenarios may differ in nothing else."""
    strategies, controllers, forecasters = behaviours_of(scenario, setup.meter, setup.absent_homes)
    changed = replace(
        setup,
        scenario=scenario,
        mechanism=MECHANISMS.get(scenario.market.mechanism),
        rules=market_rules(scenario),
        agents=agent_rules(scenario, setup.minutes),
        strategies=strategies,
        controllers=controllers,
        forecasters=forecasters,
        preferences=preferences_of(scenario, setup.meter, setup.absent_homes, strategies),
        keys=Keys.of(scenario),
    )
    refuse_with_several_tariffs(scenario, changed.imbalance_rule.netted)
    refuse_off_grid(scenario, changed.grid, changed.prices)
    refuse_to_look_ahead(scenario, setup.minutes, strategies)
    refuse_common_battery(scenario, len(setup.roster), setup.devices)
    refuse_sealing(scenario)
    return changed
