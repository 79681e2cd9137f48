"""A folder with Lines.csv and LineCodes.csv, as published beside OpenDSS scripts, and more tables where there are any.

The columns are those of the IEEE European Low Voltage Test Feeder; letters may be large or small, and lines before the
header are skipped. Transformer.csv, Loads.csv and Source.csv are optional: without a source the outside is connected at
the bus that no line leads to, at the primary voltage of the transformer there.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import acos, copysign, tan

from data.findings import FindingLog
from data.grids.names import unique
from data.grids.network import GRID_FORMATS, Branch, Bus, GridFormat, Load, Network
from data.grids.units import metres
from data.intake.file import MeterFile

_NEEDED = ("lines.csv", "linecodes.csv")
_SOURCE = re.compile(r"(voltage|pu)\s*=\s*([\d.]+)", re.IGNORECASE)
_ALIASES = {
    "code": "linecode",
    "resistance": "r",
    "kvpri": "kv1",
    "kvsec": "kv2",
    "kvprimary": "kv1",
    "kvsecondary": "kv2",
}


def _claims(file: MeterFile) -> bool:
    return file.path.is_dir() and set(_NEEDED) <= {path.name.lower() for path in file.path.iterdir()}


def _read(file: MeterFile, log: FindingLog) -> Network | None:
    try:
        folder = _Folder(_Tables(file, log), log)
        source = None if log.has_errors else folder.source()
    except (ValueError, csv.Error) as wrong:
        log.add("error", "table", f"a table cannot be read: {wrong}; export it again")
        return None
    return None if source is None else folder.network(*source)


class _Tables:
    """The rows of each table, as columns by normalised name; `place` is the file and line of a row."""

    def __init__(self, file: MeterFile, log: FindingLog) -> None:
        self._file, self._log = file, log
        self._names = {path.name.lower(): path.name for path in file.path.iterdir()}

    def text(self, *names: str) -> tuple[str, str]:
        """Name and text of the first of some files that is there; empty where none is."""
        for name in names:
            if name in self._names:
                with self._file.open(self._names[name]) as opened:
                    return self._names[name], opened.read().decode("utf-8-sig", "replace")
        return "", ""

    def rows(self, *names: str, needed: tuple[str, ...]) -> list[dict[str, str]]:
        """Rows of a table whose header has the needed columns; without such a header an error is noted."""
        name, text = self.text(*names)
        header: list[str] | None = None
        found = []
        for number, cells in enumerate(csv.reader(text.splitlines()), 1):
            cells = [cell.strip() for cell in cells]
            if header is None:
                columns = [_column(cell) for cell in cells]
                header = columns if set(needed) <= set(columns) else None
            elif any(cells):
                found.append({**dict(zip(header, cells, strict=False)), "place": f"{name}:{number}"})
        if name and header is None:
            message = f"{name} has no header with the columns {', '.join(needed)}; add one"
            self._log.add("error", "header", message)
        return found


def _column(cell: str) -> str:
    plain = re.sub(r"[^a-z0-9]", "", cell.lower())
    return _ALIASES.get(plain, plain)


@dataclass(frozen=True, slots=True)
class _Code:
    r_per_m: float
    x_per_m: float
    r0_per_m: float | None
    x0_per_m: float | None
    limit_ka: float | None


class _Folder:
    """Turns rows into buses, branches and loads; what is wrong goes into the log."""

    def __init__(self, tables: _Tables, log: FindingLog) -> None:
        self._log, self._tables = log, tables
        self._buses: dict[str, int] = {}
        self._branches: list[Branch] = []
        self._loads: list[Load] = []
        self._primary_kv: dict[int, float] = {}
        self._codes: dict[str, _Code] = {}
        self._one_phase = False
        steps = (
            (("linecodes.csv",), ("name", "r1", "x1"), self._code),
            (
                ("transformer.csv", "transformers.csv"),
                ("bus1", "bus2", "kv1", "kv2", "xhl"),
                self._transformer,
            ),
            (("lines.csv",), ("bus1", "bus2", "length", "linecode"), self._line),
            (("loads.csv",), ("name", "bus", "kw"), self._load),
        )
        for names, needed, step in steps:
            for row in tables.rows(*names, needed=needed):
                try:
                    step(row)
                except (KeyError, ValueError, ArithmeticError) as wrong:
                    what = f"there is no {wrong}" if isinstance(wrong, KeyError) else str(wrong)
                    log.add("error", "row", f"{row['place']}: {what}; correct the row")

    def source(self) -> tuple[int, float, float] | None:
        """Bus, nominal voltage and voltage as a share of it, of Source.csv or else of the bus no line leads to."""
        led_to = {branch.end for branch in self._branches}
        starts = [bus for bus in self._buses.values() if bus not in led_to]
        _, text = self._tables.text("source.csv")
        given = {key.lower(): float(value) for key, value in _SOURCE.findall(text)}
        rows = [] if given or not text else self._tables.rows("source.csv", needed=("bus", "kv"))
        if rows and rows[0]["bus"] in self._buses:
            return self._buses[rows[0]["bus"]], float(rows[0]["kv"]), float(rows[0].get("pu") or 1.0)
        if len(starts) == 1 and ("voltage" in given or starts[0] in self._primary_kv):
            kv = given.get("voltage", self._primary_kv.get(starts[0], 0.0))
            return starts[0], kv, given.get("pu", 1.0)
        message = "where the outside is connected is not clear; add Source.csv with the columns bus,kv,pu"
        self._log.add("error", "source", message)
        return None

    def network(self, bus: int, kv: float, pu: float) -> Network:
        """What has been read."""
        names = unique([branch.name for branch in self._branches])
        loads = unique([load.name for load in self._loads])
        notes = ["the network is taken as balanced: what is on one phase is spread over three"]
        return Network(
            tuple(Bus(name) for name in self._buses),
            tuple(replace(b, name=name) for name, b in zip(names, self._branches, strict=True)),
            (),
            tuple(replace(one, name=name) for name, one in zip(loads, self._loads, strict=True)),
            bus,
            kv,
            pu,
            tuple(notes * self._one_phase),
        )

    def _bus(self, name: str) -> int:
        if not name:
            raise ValueError("a bus has no name")
        return self._buses.setdefault(name, len(self._buses))

    def _code(self, row: Mapping[str, str]) -> None:
        per = metres(row.get("units") or "km")
        amps = row.get("normamps")
        r0, x0 = (float(row[key]) / per if row.get(key) else None for key in ("r0", "x0"))
        limit_ka = float(amps) / 1_000 if amps else None
        self._codes[row["name"]] = _Code(float(row["r1"]) / per, float(row["x1"]) / per, r0, x0, limit_ka)

    def _line(self, row: Mapping[str, str]) -> None:
        if row["linecode"] not in self._codes:
            raise ValueError(f"there is no line code {row['linecode']!r}")
        code, length_m = self._codes[row["linecode"]], float(row["length"]) * metres(row.get("units") or "m")
        phases = _phases(row.get("phases") or "ABC")
        self._one_phase |= phases < 3
        share = 3 / phases
        self._branches.append(
            Branch(
                row.get("name") or row["place"],
                self._bus(row["bus1"]),
                self._bus(row["bus2"]),
                code.r_per_m * length_m * share,
                code.x_per_m * length_m * share,
                limit_ka=None if code.limit_ka is None else code.limit_ka / share,
                length_m=length_m,
                r0_ohm=None if code.r0_per_m is None or phases < 3 else code.r0_per_m * length_m,
                x0_ohm=None if code.x0_per_m is None or phases < 3 else code.x0_per_m * length_m,
            )
        )

    def _transformer(self, row: Mapping[str, str]) -> None:
        start, end = self._bus(row["bus1"]), self._bus(row["bus2"])
        kva = float(row["kva"]) if row.get("kva") else float(row["mva"]) * 1_000
        high, low = float(row["kv1"]), float(row["kv2"])
        if min(kva, high, low) <= 0:
            raise ValueError("a voltage or power is 0 or less")
        ohm = 1_000 * low**2 / kva
        self._primary_kv[start] = high
        self._branches.append(
            Branch(
                row.get("name") or row["place"],
                start,
                end,
                float(row.get("r") or 0.0) / 100 * ohm,
                float(row["xhl"]) / 100 * ohm,
                limit_kva=kva,
                ratio=low / high,
            )
        )

    def _load(self, row: Mapping[str, str]) -> None:
        kw, pf = float(row["kw"]), float(row.get("pf") or 1.0)
        if not 0 < abs(pf) <= 1:
            raise ValueError(f"the power factor is {pf:g}, not between -1 and 1")
        kvar = float(row["kvar"]) if row.get("kvar") else copysign(kw * tan(acos(abs(pf))), pf) if kw else 0.0
        named = row.get("phases") or "ABC"
        self._one_phase |= _phases(named) < 3
        letters = "".join(phase for phase in "abc" if phase in named.lower())
        phases = "" if len(letters) in (0, 3) else letters
        self._loads.append(Load(row["name"], self._bus(row["bus"]), kw, kvar, phases=phases))


def _phases(text: str) -> int:
    """How many phases are named: ABC, or their number."""
    found = int(text) if text.isdigit() else len(set(text.upper()) & set("ABC"))
    if not 1 <= found <= 3:
        raise ValueError(f"the phases are {text!r}, and ABC or a number from 1 to 3 is expected")
    return found


GRID_FORMATS.register(
    GridFormat(
        "csv_pair", "A folder with Lines.csv and LineCodes.csv, as published beside OpenDSS.", _claims, _read
    )
)
