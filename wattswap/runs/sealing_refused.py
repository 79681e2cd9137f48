"""Markets in which homes cannot seal their orders."""

from __future__ import annotations

from wattswap.runs.looking_ahead import horizon_minutes
from wattswap.scenario.model import Scenario
from wattswap.scenario.time import Faults


def refuse_sealing(scenario: Scenario) -> None:
    """Refuse to seal orders where somebody needs them before their interval is closed, or again after it.

    Raises:
        InvalidScenario: Why, with what to do.
    """
    market = scenario.market
    faults: Faults = []
    if not scenario.chain.sealed_bytes:
        return
    cure = "remove chain.sealed_bytes"
    if market.rounds > 1:
        what = f"in a market of {market.rounds} rounds homes order by the orders of the rounds before"
        faults.append(("chain.sealed_bytes", what, f"{cure}, or set market.rounds = 1"))
    elif horizon_minutes(scenario):
        what = f"{market.mechanism} clears each interval again with the orders of those before"
        faults.append(("chain.sealed_bytes", what, f"{cure}, or choose a mechanism of one interval"))
    elif market.quantities == "metered":
        what = "limits of metered quantities apply in later intervals that are missed, so they stay known"
        faults.append(("chain.sealed_bytes", what, f'{cure}, or set market.quantities = "ordered"'))
    scenario.refuse(faults)
