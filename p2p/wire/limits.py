"""The ranges that a chain declares for the messages of its homes."""

from __future__ import annotations

from dataclasses import dataclass

from market.orders import MAX_LINES, MAX_ORDERS, OrderKind


@dataclass(frozen=True, slots=True)
class Limits:
    """Ranges that a chain declares, chosen so that 1,000 orders at the limit still fit into int64 money.

    Args:
        max_energy_wh: Largest order or reading of one interval. [Wh]
        max_price_micro_per_kwh: Largest absolute limit price. [micro-currency/kWh]
        max_node: Largest node index.
        order_kinds: Kinds of orders that are taken.
        rounds: Number of rounds in which the market of an interval is open.
        sealed_bytes: Size to which a sealed order or "nothing" is padded; 0 where they are not sealed.
    """

    max_energy_wh: int = 1_000_000
    max_price_micro_per_kwh: int = 1_000_000_000
    max_node: int = 1_000_000
    order_kinds: tuple[int, ...] = (0,)
    rounds: int = 1
    sealed_bytes: int = 0

    @property
    def reach_ahead(self) -> bool:
        """Whether orders are for the intervals of a horizon."""
        return OrderKind.STORAGE in self.order_kinds

    @property
    def max_orders(self) -> int:
        """Orders of a message, at most."""
        return MAX_LINES if self.reach_ahead else MAX_ORDERS


DEFAULT_LIMITS = Limits()
