"""A network as a file describes it: buses, branches in ohm, loads, and where it is supplied; found by format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from data.findings import FindingLog
from data.intake.file import MeterFile
from market.registry import Registry


@dataclass(frozen=True, slots=True)
class Bus:
    """A bus.

    Args:
        name: As the file calls it.
        vn_kv: Nominal voltage between lines; None where the file leaves it to the transformers. [kV]
        vmin_pu: Lowest voltage allowed, as a share of `vn_kv`; None where the file gives none.
        vmax_pu: Highest voltage allowed, the same.
    """

    name: str
    vn_kv: float | None = None
    vmin_pu: float | None = None
    vmax_pu: float | None = None


@dataclass(frozen=True, slots=True)
class Branch:
    """A closed line or transformer, balanced over three phases.

    Args:
        name: As the file calls it.
        start: Index of the bus at one end.
        end: Index of the bus at the other end; of a transformer the low-voltage side.
        r_ohm: Series resistance of the positive sequence, referred to the end. [ohm]
        x_ohm: Series reactance, the same. [ohm]
        limit_ka: Current that it may carry at its end; None for no limit of this kind. [kA]
        limit_kva: Power that it may carry; None for no limit of this kind. [kVA]
        ratio: Voltage at the end over that at the start without load; None for a line, where both are equal.
        length_m: Length; None for a transformer. [m]
        r0_ohm: Series resistance of the zero sequence, referred to the end; None where the file gives none. [ohm]
        x0_ohm: Series reactance of the zero sequence, the same. [ohm]
    """

    name: str
    start: int
    end: int
    r_ohm: float
    x_ohm: float
    limit_ka: float | None = None
    limit_kva: float | None = None
    ratio: float | None = None
    length_m: float | None = None
    r0_ohm: float | None = None
    x0_ohm: float | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """What is connected at a bus: a home, or a fixed load, plant or capacitor.

    Args:
        name: As the file calls it.
        bus: Index of its bus.
        kw: Power that it takes, below 0 where it generates. [kW]
        kvar: Reactive power that it takes. [kvar]
        is_home: Whether it may be a home of a market: loads are, plants and capacitors are not.
        phases: Phases that it is connected to in equal parts, as "a" or "bc"; empty for all three.
    """

    name: str
    bus: int
    kw: float
    kvar: float
    is_home: bool = True
    phases: str = ""


@dataclass(frozen=True, slots=True)
class Network:
    """A network of a file, before it becomes a grid.

    Args:
        buses: In the order of the file.
        branches: Closed lines and transformers.
        joined: Pairs of buses that a closed switch makes one node.
        loads: In the order of the file.
        source_bus: Index of the bus at which the outside is connected.
        source_kv: Nominal voltage between lines there. [kV]
        source_pu: Voltage that the outside holds there, as a share of the nominal one.
        notes: What the file holds and the grid does not, one sentence each.
    """

    buses: tuple[Bus, ...]
    branches: tuple[Branch, ...]
    joined: tuple[tuple[int, int], ...]
    loads: tuple[Load, ...]
    source_bus: int
    source_kv: float
    source_pu: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GridFormat:
    """A format of network files.

    Args:
        name: Unique, lower case.
        summary: One sentence for people.
        claims: Whether a file or folder has this format; reads `file.head`, or for a folder the names in it.
        read: Reads it. What is wrong goes into the log; None where that leaves no network.
    """

    name: str
    summary: str
    claims: Callable[[MeterFile], bool]
    read: Callable[[MeterFile, FindingLog], Network | None]


GRID_FORMATS: Registry[GridFormat] = Registry(
    "grid format", folders=("data.grids",), group="wattswap.grid_formats", item=GridFormat
)
