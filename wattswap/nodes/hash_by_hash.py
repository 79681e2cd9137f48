"""Two runs of the same scenario compared interval by interval, hash by hash."""

from __future__ import annotations

from typing import Any

from market.units import WH_PER_KWH
from wattswap.errors import VerificationFailed
from wattswap.runs.folder import RunFolder


def compare_runs(live: RunFolder, in_process: RunFolder) -> list[dict[str, Any]]:
    """Compare two runs interval by interval: order-book root, clearing and postings.

    Blocks differ: authorities that vote over a network need other rounds and times than one process.

    Raises:
        VerificationFailed: They differ; names the first interval and what.
    """
    names = ("book_root", "clearing_root", "postings_root")
    a, b = live.table("intervals"), in_process.table("intervals")
    rows = []
    for (_, x), (_, y) in zip(a.iterrows(), b.iterrows(), strict=True):
        moment = x["interval_start"].strftime("%Y-%m-%dT%H:%MZ")
        for name in names:
            if x[name] != y[name]:
                raise VerificationFailed.of(
                    moment,
                    f"{name.replace('_', ' ')}: {x[name].hex()[:16]} live, {y[name].hex()[:16]} in process",
                )
        facts = {
            "interval": moment,
            "orders": int(x["orders"]),
            "traded_kwh": int(x["traded_wh"]) / WH_PER_KWH,
        }
        rows.append(facts | {name: x[name].hex() for name in names})
    if live.manifest["replay_sha256"] != in_process.manifest["replay_sha256"]:
        raise VerificationFailed.of("all intervals", "the replay hashes differ")
    return rows
