"""A pool pump that needs its energy once a day: with surplus where there is some, in the last hours where not."""

from dataclasses import dataclass

import numpy as np

from agents.clock import day_of, local_minute
from agents.devices import DEVICES, Device, Key, column


@dataclass(frozen=True)
class Pump:
    daily_wh: int
    power_w: int


class Pumps:
    columns = ("pool_wh", "pool_left_wh")

    def __init__(self, specs, minutes):
        self.daily_wh, self.most_wh = column(specs, "daily_wh"), column(specs, "power_w") * minutes // 60

    def start(self):
        nothing = np.zeros_like(self.daily_wh)
        return {"day": nothing, "left_wh": nothing, "moved_wh": nothing}

    def step(self, state, command_wh, moment):
        minute = local_minute(moment.zone, moment.start_s)
        left = np.where(state["day"] == day_of(minute), state["left_wh"], self.daily_wh)
        later = (24 * 60 - minute % (24 * 60)) // moment.minutes - 1  # intervals of the day after this one
        least = np.maximum(left - later * self.most_wh, 0)
        moved = np.minimum(np.maximum(command_wh, least), np.minimum(left, self.most_wh))
        return moved, {"day": np.full_like(left, day_of(minute)), "left_wh": left - moved, "moved_wh": moved}

    def read(self, state):
        return {"pool_wh": state["moved_wh"], "pool_left_wh": state["left_wh"]}

    def block(self, model, home, state, moments):
        most, left = float(self.most_wh[home]), float(state["left_wh"][home])
        takes = model.variables(f"pool{home}.takes_wh", len(moments), upper=most)
        model.constraint(f"pool{home}.day", [(t, 1.0) for t in takes], upper=left)
        return [takes, model.variables(f"pool{home}.gives_wh", len(moments), upper=0.0)]


KEYS = (
    Key("kwh_per_day", "daily_wh", "energy", "What it needs a day, in kWh."),
    Key("power_kw", "power_w", "power", "The most it takes in, in kW."),
)
DEVICES.register(Device("pool", KEYS, Pump, Pumps, "pumps once a day, with surplus if it can"), contract=1)
