"""Random scenarios: small streets under drawn mechanisms, tariffs, rules and ways to trade."""

from __future__ import annotations

from pathlib import Path
from random import Random

from tests.kits.run_kit import write_street

MECHANISMS = ("uniform_price", "pay_as_bid", "mcafee", "vcg", "huang", "mid_market_rate", "muda_lottery")
RULES = (
    *("pooled/throughput", "middle", "pooled/equal", "clearing_price", "pooled/leave_one_out"),
    *("retailer", "pooled/delivered"),
)
RATIONINGS = ("pro_rata", "time", "random")
SURCHARGES = (
    *("levy_local_per_kwh=0.0101", "levy_remote_per_kwh=0.0277", "vat_percent=19"),
    *("standing_per_day=0.3333", "peak_per_kw_month=3.2"),
)


def drawn(number: int, folder: Path) -> tuple[Path, list[str], str]:
    """A random scenario: its folder, its settings and its mechanism."""
    rng = Random(number)
    mechanism = rng.choice(MECHANISMS)
    street = write_street(folder, homes=rng.randrange(2, 7), days=1, more=f'mechanism = "{mechanism}"\n')
    fees = sorted(rng.choice((0.0, 0.01, 0.05, 0.1)) for _ in range(2))
    settings = [
        f"seed={rng.randrange(1_000)}",
        f"time.intervals={rng.randrange(12, 24)}",
        f"tariff.import_per_kwh={rng.choice((0.2, 0.3217, 0.5))}",
        f"tariff.feed_in_per_kwh={rng.choice((0.0, 0.0813, 0.2))}",
        f"tariff.grid_fee_local_per_kwh={fees[0]}",
        f"tariff.grid_fee_remote_per_kwh={fees[1]}",
        f"homes.strategy={rng.choice(('staircase', 'truthful', 'zi_c'))}",
        f"homes.forecast={rng.choice(('same_hour_mean', 'perfect_foresight'))}",
    ]
    settings.append(f"market.rationing={rng.choice(RATIONINGS)}")
    if number % 4 == 0:
        settings.append("market.quantities=metered")
    else:
        rule, _, shares = RULES[number % len(RULES)].partition("/")
        settings.append(f"market.imbalance={rule}")
        settings += [f"market.imbalance_shares={shares}"] * bool(shares)
    settings += [f"tariff.{name}" for name in SURCHARGES] * (number % 3 == 0)
    text = (street / "scenario.toml").read_text(encoding="utf-8")
    (street / "scenario.toml").write_text(text.replace("days = 1\n", "", 1), encoding="utf-8")
    return street, settings, mechanism
