"""Scripts of OpenDSS: lines, line codes, transformers of two windings, loads and capacitors, as a balanced network.

- A line of three phases has the impedance of its positive sequence: R1 and X1, or the mean of the diagonal of its
  matrix less the mean beside it. A line of n < 3 phases has 3/n times the impedance of its phases: what flows through
  it flows through these, so that the voltage falls there as it does in OpenDSS.
- A transformer has the sum of %R (or %LoadLoss) and XHL on its kVA; three of one phase between the same buses
  become one. A regulator stands still at its tap.
- A line that is a switch is one node with both ends. Only a rating in the script (NormAmps) is a limit: the 400 A that
  OpenDSS assumes are none.
- Loads count with their kW at nominal voltage, whatever their model. Load shapes and the source's impedance are left
  out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import acos, copysign, sqrt, tan
from pathlib import Path

from data.findings import FindingLog
from data.grids.names import unique
from data.grids.network import GRID_FORMATS, Branch, Bus, GridFormat, Load, Network
from data.grids.opendss_text import Element, elements_of, items, matrix, number
from data.grids.units import metres
from data.intake.file import MeterFile

_SCRIPTS = (".dss", ".txt")
_LEFT_OUT = ("generator", "pvsystem", "storage", "reactor")
"""Classes that inject or take power, and are not read."""
_DEFAULT_XHL, _DEFAULT_R, _DEFAULT_PF = 7.0, 0.2, 0.88
"""What OpenDSS takes for XHL, %R of a winding and PF where a script is silent. [%, %, 1]"""


def _claims(file: MeterFile) -> bool:
    return _master(file) is not None


def _master(file: MeterFile) -> Path | None:
    """The script that makes the circuit: the file itself, or the only such file of a folder."""
    if file.path.is_file():
        return file.path if file.path.suffix.lower() in _SCRIPTS and _makes_a_circuit(file.head) else None
    found = []
    for path in sorted(file.path.iterdir()) if file.path.is_dir() else ():
        if path.suffix.lower() in _SCRIPTS and path.is_file():
            with path.open("rb") as opened:
                if _makes_a_circuit(opened.read(65_536)):
                    found.append(path)
    return found[0] if len(found) == 1 else None


def _makes_a_circuit(head: bytes) -> bool:
    text = head.lower()
    return b"new circuit." in text or b"new object=circuit." in text


def _read(file: MeterFile, log: FindingLog) -> Network | None:
    master = _master(file)
    if master is None:
        log.add("error", "no_circuit", "no script makes a circuit; name the one with 'New Circuit.'")
        return None
    elements = [one for one in elements_of(master, log) if one.is_enabled]
    reader = _Reader(elements, log)
    return None if log.has_errors else reader.network()


class _Reader:
    """Turns elements into buses, branches and loads; what is wrong goes into the log."""

    def __init__(self, elements: Sequence[Element], log: FindingLog) -> None:
        self._log = log
        self._buses: dict[str, int] = {}
        self._written: list[str] = []
        self._codes = {one.name: one for one in elements if one.kind == "linecode"}
        self._branches: list[Branch] = []
        self._joined: list[tuple[int, int]] = []
        self._loads: list[Load] = []
        self._notes: list[str] = []
        self._kv, self._pu, source_bus = 115.0, 1.0, "sourcebus"
        for one in elements:
            if one.kind == "circuit" or (one.kind == "vsource" and one.name == "source"):
                self._held(one, self._source)
                source_bus = one.last("bus1") or source_bus
        self._source_bus = self._bus(source_bus)
        steps = {
            "line": self._line,
            "transformer": self._transformer,
            "load": self._load,
            "capacitor": self._capacitor,
        }
        for one in elements:
            if one.kind in steps:
                self._held(one, steps[one.kind])
        if not log.has_errors:
            self._note_what_is_left_out(elements)

    def network(self) -> Network:
        """What has been read."""
        by_name = unique([branch.name for branch in self._branches])
        loads = unique([load.name for load in self._loads])
        return Network(
            tuple(Bus(name) for name in self._written),
            tuple(replace(b, name=name) for name, b in zip(by_name, self._branches, strict=True)),
            tuple(self._joined),
            tuple(replace(one, name=name) for name, one in zip(loads, self._loads, strict=True)),
            self._source_bus,
            self._kv,
            self._pu,
            tuple(self._notes),
        )

    def _held(self, one: Element, step: object) -> None:
        """Take a step, and note what is wrong with the element."""
        try:
            for key in ("like", "xfmrcode"):
                if one.last(key):
                    raise ValueError(f"it takes its properties by {key}; write them out")
            step(one)  # type: ignore[operator]
        except (ValueError, ArithmeticError) as wrong:
            self._log.add("error", "element", f"{one.place}: {one.kind} {one.name}: {wrong}; correct it")

    def _note_what_is_left_out(self, elements: Sequence[Element]) -> None:
        kinds = [one.kind for one in elements]
        for kind in _LEFT_OUT:
            if kind in kinds:
                self._notes.append(f"{kinds.count(kind)} elements of the class {kind} are left out")
        if "regcontrol" in kinds:
            self._notes.append("regulators stand still at their taps")
        if any(_phases(one, 3) < 3 for one in elements if one.kind in ("line", "load")):
            self._notes.append("the network is taken as balanced: what is on one phase is spread over three")

    def _bus(self, named: str) -> int:
        """Index of a bus by its name without its phases."""
        name = named.strip("\"'[]()").partition(".")[0]
        if not name:
            raise ValueError("it names no bus")
        if name.lower() not in self._buses:
            self._written.append(name)
        return self._buses.setdefault(name.lower(), len(self._buses))

    def _source(self, one: Element) -> None:
        kv, pu = one.last("basekv"), one.last("pu")
        self._kv = self._kv if kv is None else number(kv)
        self._pu = self._pu if pu is None else number(pu)
        if min(self._kv, self._pu) <= 0:
            raise ValueError("its voltage is 0 or less")

    def _line(self, one: Element) -> None:
        start, end = self._bus(one.last("bus1") or ""), self._bus(one.last("bus2") or "")
        if (one.last("switch") or "no").lower().startswith(("y", "t")):
            self._joined.append((start, end))
            return
        for what in ("geometry", "spacing"):
            if one.last(what):
                raise ValueError(f"its impedance comes from {what}; give a line code, or R1 and X1")
        named = one.last("linecode")
        code = None if named is None else self._codes.get(named.strip("\"'").lower())
        if named is not None and code is None:
            raise ValueError(f"there is no line code {named!r}")
        phases = _phases(one, _phases(code, 3) if code else 3)
        unit = one.last("units") or "none"
        length = number(one.last("length") or "1")
        per_unit = length
        if code is not None and (code.last("units") or "none") != "none" and unit != "none":
            per_unit = length * metres(unit) / metres(code.last("units") or "none")
        own = Element(
            one.kind, one.name, one.label, one.place, [*(code.properties if code else []), *one.properties]
        )
        r, x, r0, x0 = _sequence(own, phases)
        amps = own.last("normamps")
        self._branches.append(
            Branch(
                one.label,
                start,
                end,
                r * per_unit * 3 / phases,
                x * per_unit * 3 / phases,
                limit_ka=None if amps is None else number(amps) * phases / 3_000,
                length_m=length * metres(unit) if unit != "none" else None,
                r0_ohm=None if r0 is None or phases < 3 else r0 * per_unit,
                x0_ohm=None if x0 is None or phases < 3 else x0 * per_unit,
            )
        )

    def _transformer(self, one: Element) -> None:
        phases = _phases(one, 3)
        if int(number(one.last("windings") or "2")) != 2:
            raise ValueError("it has more than two windings; replace it by transformers of two")
        windings = _windings(one)
        if not all("kv" in winding and "bus" in winding for winding in windings):
            raise ValueError("a winding lacks its bus or kV")
        buses = [self._bus(winding["bus"]) for winding in windings]
        kv = [number(w["kv"]) * number(w.get("tap", "1")) for w in windings]
        kva = number(windings[0].get("kva", "1000"))
        loss = one.last("%loadloss")
        r = number(loss) if loss else sum(number(winding.get("%r", str(_DEFAULT_R))) for winding in windings)
        x = number(one.last("xhl", "x12") or str(_DEFAULT_XHL))
        if min(*kv, kva) <= 0:
            raise ValueError("it has a voltage or power of 0 or less")
        # Of one phase kV is to ground: as a share of three, it has the impedance of three times the voltage squared.
        between = kv[1] * (sqrt(3) if phases == 1 else 1.0)
        ohm = 1_000 * between**2 / kva
        self._branches.append(
            Branch(
                one.label,
                buses[0],
                buses[1],
                r / 100 * ohm,
                x / 100 * ohm,
                limit_kva=kva,
                ratio=kv[1] / kv[0],
            )
        )

    def _load(self, one: Element) -> None:
        kw, kva, kvar, pf = (one.last(name) for name in ("kw", "kva", "kvar", "pf"))
        factor = number(pf) if pf is not None else _DEFAULT_PF
        if not 0 < abs(factor) <= 1:
            raise ValueError(f"its power factor is {factor:g}, not between -1 and 1")
        if kw is None and kva is None:
            raise ValueError("it has neither kW nor kVA")
        power = number(kw) if kw is not None else number(kva or "") * abs(factor)
        reactive = (
            number(kvar) if kvar is not None else copysign(power * tan(acos(abs(factor))), factor * power)
        )
        bus = one.last("bus1") or ""
        letters = "".join(
            sorted("abc"[int(i) - 1] for i in bus.strip("\"'").split(".")[1:] if i in ("1", "2", "3"))
        )
        phases = "" if len(letters) == 3 or _phases(one, 3) == 3 else letters
        self._loads.append(Load(one.label, self._bus(bus), power, reactive, phases=phases))

    def _capacitor(self, one: Element) -> None:
        kvar = sum(number(item) for item in items(one.last("kvar") or "1200"))
        self._loads.append(
            Load(f"capacitor {one.label}", self._bus(one.last("bus1") or ""), 0.0, -kvar, False)
        )


def _phases(one: Element, default: int) -> int:
    given = one.last("phases", "nphases")
    found = default if given is None else int(number(given))
    if not 1 <= found <= 3:
        raise ValueError(f"it has {found} phases, and 1 to 3 are read")
    return found


_Sequences = tuple[float, float, float | None, float | None]


def _sequence(one: Element, phases: int) -> _Sequences:
    """Resistance and reactance per length of the positive and the zero sequence, by matrix or R1, whichever is last."""
    ways = [key for key, _ in one.properties if key in ("rmatrix", "xmatrix", "r1", "x1")]
    if not ways:
        raise ValueError("it has neither a line code nor R1 and X1")
    if ways[-1] in ("r1", "x1"):
        r, x = one.last("r1"), one.last("x1")
        if r is None or x is None:
            raise ValueError("it has only one of R1 and X1; give both")
        r0, x0 = one.last("r0"), one.last("x0")
        return number(r), number(x), None if r0 is None else number(r0), None if x0 is None else number(x0)
    found, zero = [], []
    for key in ("rmatrix", "xmatrix"):
        given = one.last(key)
        if given is None:
            raise ValueError("it has only one of RMatrix and XMatrix; give both")
        rows = matrix(given, phases)
        own = sum(rows[i][i] for i in range(phases)) / phases
        beside = [rows[i][j] for i in range(phases) for j in range(i)]
        between = sum(beside) / len(beside) if beside else 0.0
        found.append(own - between)
        zero.append(own + 2 * between)
    return found[0], found[1], zero[0], zero[1]


def _windings(one: Element) -> list[dict[str, str]]:
    """The properties of both windings, given one by one or as lists."""
    found: list[dict[str, str]] = [{}, {}]
    chosen = 0
    for key, value in one.properties:
        if key == "wdg":
            chosen = int(number(value)) - 1
            if chosen not in (0, 1):
                raise ValueError(f"it has no winding {value}")
        elif key in ("bus", "kv", "kva", "%r", "tap", "conn"):
            found[chosen][key] = value
        elif key in ("buses", "kvs", "kvas", "%rs", "taps", "conns"):
            listed = items(value)
            if len(listed) != 2:
                raise ValueError(f"{key} has {len(listed)} entries, not 2")
            name = "bus" if key == "buses" else key.removesuffix("s")
            for winding, entry in zip(found, listed, strict=True):
                winding[name] = entry
    return found


GRID_FORMATS.register(
    GridFormat("opendss", "A script of OpenDSS, or the folder of one, taken as balanced.", _claims, _read)
)
