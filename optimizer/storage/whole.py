"""From a plan in fractions to whole Wh, within every limit of the battery to the micro-Wh."""

from __future__ import annotations

from math import inf

from market.units import PPM
from optimizer.storage.plan import Plan
from optimizer.storage.store import Demand, Lived, Store, lived

_NOISE_WH = 1e-4
"""What a solver may be off a whole number without being fractional. [Wh]"""


def whole(demand: Demand, store: Store, plan: Plan, most_import_wh: float = inf) -> Lived:
    """Round a plan, interval by interval.

    Whole energies of the plan stay, so that what was planned to leave nothing with the retailer leaves nothing. The
    others follow the planned content from below, and so take up what rounding has cost before: the content stays
    within a few Wh of the plan, and never above it by more than rounding of the solver.

    Args:
        demand: The community.
        store: The battery.
        plan: For both.
        most_import_wh: Where the plan keeps energy from outside below a limit, that limit. [Wh]

    Returns:
        What the battery does; within its power and content exactly.
    """
    stored, taken = store.initial_wh * PPM, []
    for planned, content, net in zip(
        plan.taken_wh.tolist(), plan.stored_wh.tolist(), demand.net_wh.tolist(), strict=True
    ):
        wanted = round(planned)
        if abs(planned - wanted) > _NOISE_WH:
            wanted = _towards(store, stored, round(content * PPM), planned)
        wanted = int(min(wanted, most_import_wh - net, store.takes_at_most(stored)))
        energy = max(wanted, -store.gives_at_most(stored))
        stored = store.after(stored, energy)
        taken.append(energy)
    return lived(store, taken)


def _towards(store: Store, stored_uwh: int, content_uwh: int, planned_wh: float) -> int:
    """The whole energy next to a planned one that comes closest to the planned content from below. [Wh]"""
    if planned_wh > 0:
        low = int(planned_wh)
        return min(max((content_uwh - stored_uwh) // store.charge_efficiency_ppm, low), low + 1)
    low = int(-planned_wh)
    wanted = (stored_uwh - content_uwh) * store.discharge_efficiency_ppm // (PPM * PPM)
    return -min(max(wanted, low), low + 1)
