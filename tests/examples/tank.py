"""A hot-water tank takes surplus until it is full, and keeps it."""

from dataclasses import dataclass

import numpy as np

from agents.devices import DEVICES, Device, Key


@dataclass(frozen=True)
class Tank:
    """The tank of one home."""

    volume_wh: int
    power_w: int


class Tanks:
    """The tanks of all homes; a home without one has a tank of nothing."""

    columns = ("tank_wh",)

    def __init__(self, specs, minutes):
        self.volume_wh = np.array([0 if s is None else s.volume_wh for s in specs], dtype=np.int64)
        self.most_wh = np.array([0 if s is None else s.power_w for s in specs]) * minutes // 60

    def start(self):
        return {"warm_wh": np.zeros_like(self.volume_wh)}

    def step(self, state, command_wh, moment):
        free_wh = np.minimum(self.most_wh, self.volume_wh - state["warm_wh"])
        taken_wh = np.clip(command_wh, 0, free_wh)
        return taken_wh, {"warm_wh": state["warm_wh"] + taken_wh}

    def read(self, state):
        return {"tank_wh": state["warm_wh"]}

    def block(self, model, home, state, moments):
        most = float(self.most_wh[home])
        takes = model.variables(f"tank{home}.takes_wh", len(moments), upper=most)
        return [takes, model.variables(f"tank{home}.gives_wh", len(moments), upper=0.0)]


KEYS = (
    Key("volume_kwh", "volume_wh", "energy", "Heat that it holds, in kWh."),
    Key("power_kw", "power_w", "power", "The most it takes in, in kW."),
)
DEVICES.register(Device("tank", KEYS, Tank, Tanks, "stores surplus as heat"), contract=1)
