"""A made-up story of a comparison, small enough to compute by hand, with names that try to break out of a page."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from market.mechanism import Promises
from tests.kits.run_kit import write_street
from wattswap.cli import main
from wattswap.report.story import Curve, Observed, Outcome, Spread, Story, energy_flows
from wattswap.results import Comparison

NASTY = "<script>window.broken=1</script>"
NASTY_ATTRIBUTE = '"><img src=x onerror="window.broken=1">'
START = datetime(2026, 6, 1, tzinfo=UTC)
HOMES = ("anna", NASTY, NASTY_ATTRIBUTE, "=2+3", "eve")
WITHOUT = (10.0, 20.0, -5.0, 4.0, 0.0)
SAVINGS = {
    "retailer_only": (0.0, 0.0, 0.0, 0.0, 0.0),
    "uniform_price": (1.0, 2.0, 3.0, 0.5, 0.25),
    "mcafee": (1.0, 1.5, -0.75, 0.5, 0.25),
    "vcg": (1.5, 2.0, 3.0, 1.0, 0.5),
    "welfare_optimum": (1.5, 2.5, 3.5, 1.0, 0.5),
}
PROMISES = {
    "uniform_price": Promises(source="made up", efficient=True),
    "mcafee": Promises(source="made up", budget_balance="weak", truthful=True),
    "vcg": Promises(source="made up", budget_balance="strong"),
}


def intervals(label: str, count: int = 96) -> pd.DataFrame:
    """A day of made-up intervals: trade around noon, at a price of the mechanism's own."""
    index = pd.date_range(START, periods=count, freq="15min", name="interval_start")
    noon = np.clip(1 - np.abs(np.arange(count) % 96 - 48) / 20, 0, None)
    local = 0.0 if label == "retailer_only" else 1.0
    price = 0.1 + 0.02 * len(label) / 10 + 0.1 * (1 - noon)
    return pd.DataFrame(
        {
            "price_per_kwh": np.where((noon > 0) & (local > 0), price, np.nan),
            "import_per_kwh": 0.32,
            "feed_in_per_kwh": 0.08,
            "traded_kwh": noon * local,
            "import_kwh": 2.0 + 0.5 * np.sin(np.arange(count) / 9),
            "export_kwh": noon * 3,
        },
        index=index,
    )


def bills(label: str) -> pd.DataFrame:
    """Bills of the five homes under a mechanism."""
    frame = pd.DataFrame({"cost_without_market": WITHOUT}, index=pd.Index(HOMES, name="household"))
    frame["cost_with_market"] = frame["cost_without_market"] - np.array(SAVINGS[label])
    frame["saving"] = SAVINGS[label]
    return frame


def outcome(label: str, seeds: int = 3, more: Mapping[str, Any] | None = None) -> Outcome:
    """What came of a mechanism: its saving differs by a cent from seed to seed."""
    saving = sum(SAVINGS[label])
    seen = [saving + 0.01 * (i - (seeds - 1) / 2) for i in range(seeds)]
    bare = label == "retailer_only"
    figures: dict[str, list[float | None]] = {
        "saving": [0.0] * seeds if bare else list(seen),
        "cost_without_market": [29.0] * seeds,
        "cost_with_market": [29.0 - (0.0 if bare else s) for s in seen],
        "homes_worse_off": [1.0 if label == "mcafee" else 0.0] * seeds,
        "welfare": [0.0 if bare else 1.2 * saving] * seeds,
        "traded_kwh": [0.0 if bare else 20.0 - len(label) / 10] * seeds,
        "price_per_kwh": [None if bare else 0.15] * seeds,
        "gini_saving": [None if label in ("mcafee", "retailer_only") else 0.4] * seeds,
        "peak_import_kw": [8.0] * seeds,
        "clear_ms": [0.01 if bare else 0.2 * len(label)] * seeds,
        "buyer_surplus": [0.0 if bare else 0.7 * saving] * seeds,
        "seller_surplus": [0.0 if bare else 0.6 * saving] * seeds,
        "operator_surplus": [-0.1 * saving if label == "vcg" else 0.0] * seeds,
    }
    observed = Observed(deficit_intervals=3 if label == "vcg" else 0, surplus_intervals=0, efficiency=0.9)
    metrics = {name: Spread.of(values) for name, values in (figures | dict(more or {})).items()}
    return Outcome(label, metrics, intervals(label), bills(label), observed, PROMISES.get(label))


def book() -> Curve:
    """Two bids and two offers: 2 kWh at 0.30 and 1 at 0.20 against 1 at 0.10 and 3 at 0.25; 2 kWh trade at 0.25."""
    orders = pd.DataFrame(
        {
            "household": ["anna", NASTY, NASTY_ATTRIBUTE, "eve"],
            "side": ["buy", "buy", "sell", "sell"],
            "energy_kwh": [2.0, 1.0, 1.0, 3.0],
            "limit_per_kwh": [0.30, 0.20, 0.10, 0.25],
            "accepted_kwh": [2.0, 0.0, 1.0, 1.0],
            "price_per_kwh": [0.25, np.nan, 0.25, 0.25],
        }
    )
    return Curve(START, orders, 0.25, 2.0)


FLOWS = energy_flows(
    {
        "import_kwh": 30.0,
        "export_kwh": 25.0,
        "retail_import_kwh": 20.0,
        "retail_export_kwh": 15.0,
        "load_kwh": 50.0,
        "pv_kwh": 46.0,
    }
)


def story(**changes: Any) -> Story:
    """Four mechanisms and the optimum on five homes, three seeds."""
    made = Story(
        kind="comparison",
        title=f"street {NASTY}",
        currency="EUR",
        homes=5,
        start="2026-06-01T00:00Z",
        intervals=96,
        interval_minutes=15,
        seeds=(1, 2, 3),
        outcomes=tuple(outcome(label) for label in SAVINGS),
        reference="retailer_only",
        bound="welfare_optimum",
        focus="uniform_price",
        curve=lambda start: book(),
        flows=FLOWS,
        seconds=12.5,
        chain=None,
        provenance={"scenario": NASTY, "scenario SHA-256": "ab" * 32},
        repeat=f"wattswap compare {NASTY} -m vcg",
        scenario={"name": NASTY},
        notes=(f"profiles of {NASTY_ATTRIBUTE}",),
    )
    return replace(made, **changes)


TWO_KEYS = ("homes.forecast=same_hour_mean,perfect_foresight", "market.k=0,1")


def sweep_in(
    folder: Path, *grid: str, seeds: int = 2, rules: Sequence[str] = ("uniform_price", "mcafee")
) -> Comparison:
    """A sweep over a street that bids by lot; by default over two keys, one of them without numbers."""
    street = write_street(folder / "swept", homes=4)
    words = [word for vary in grid or TWO_KEYS for word in ("--vary", vary)]
    words += [word for rule in rules for word in ("-m", rule)]
    words += ["--set", "homes.strategy=zi_c", "--seeds", str(seeds), "--out", str(folder / "sweeps"), "-q"]
    with pytest.raises(SystemExit), redirect_stdout(io.StringIO()):
        main(["sweep", str(street), *words])
    (made,) = (folder / "sweeps").iterdir()
    return Comparison(made)
