"""All figures that the documentation states: `make bench`, a few minutes on two cores."""

from __future__ import annotations

from benchmarks import bidding, clearing, comparison, consensus, mechanisms, nodal, runs, startup, sweep


def main() -> None:
    """Run every benchmark and print its table."""
    for title, table in (
        ("Clearing, ratios to a yardstick of the same run", lambda: clearing.main([])),
        ("Clearing on a grid, ratios to the bare run of HiGHS", lambda: nodal.main([])),
        ("Every mechanism, ratios to one sort of the limits", lambda: mechanisms.main([])),
        ("Bidding of 10,000 homes in one round", lambda: bidding.main([])),
        ("Comparison of twelve mechanisms", lambda: comparison.main([])),
        ("Sweep of four points", lambda: sweep.main([])),
        ("Start-up", lambda: startup.main([])),
        ("Consensus", lambda: consensus.main([])),
        ("Whole runs", lambda: runs.main(["--year"])),
    ):
        print(f"\n{title}\n{'-' * len(title)}", flush=True)
        table()


if __name__ == "__main__":
    main()
