"""What sealing costs: a simulated neighbourhood in the open and sealed, and each step alone.

Usage: python -m benchmarks.sealing [--seeds N]

Both neighbourhoods are the same homes, seeds and network without faults; signatures and the checks of each node are
included. The yardstick of the steps is one signature checked in the same run.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from statistics import median

from p2p.wire.identity import Identity, verify
from p2p.wire.limits import Limits
from p2p.wire.messages import VERSION, OrderMessage, order_line, sign_message
from p2p.wire.sealed import seal_message, sealing_context, unseal_message
from p2p.wire.sealing import combine, hash_of_key, needed, open_share
from wattswap.simulation.base import SEALED_BYTES, base_of
from wattswap.simulation.oracles import judge
from wattswap.simulation.plan import Plan, Shape
from wattswap.simulation.run import simulated

REPEATS = 300
STEPS = (4, 7, 25)
"""Numbers of validators."""


def main(arguments: Sequence[str]) -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sealing")
    parser.add_argument("--seeds", type=int, default=6)
    found = parser.parse_args(arguments)
    neighbourhoods(found.seeds)
    steps()
    return 0


def neighbourhoods(seeds: int) -> None:
    """Requests, CPU and time to the batch of an interval, in the open and sealed."""
    print(f"{'homes':<22} {'requests':>9} {'CPU s':>7} {'batch after the opening s':>26}")
    for gateways in (0, 2):
        rows = [_neighbourhood(Shape(gateways=gateways, sealed=sealed), seeds) for sealed in (False, True)]
        where = f"13, {gateways} gateways" if gateways else "13, a node each"
        for name, (requests, cpu_s, batch_s) in zip(("open", "sealed"), rows, strict=True):
            print(f"{where + ', ' + name:<22} {requests:>9.1f} {cpu_s:>7.3f} {batch_s:>26.3f}")
        ratios = [after / before for before, after in zip(*rows, strict=True)]
        print(f"{'ratio':<22} {ratios[0]:>9.2f} {ratios[1]:>7.2f} {ratios[2]:>26.2f}")


def _neighbourhood(shape: Shape, seeds: int) -> tuple[float, float, float]:
    base_of(shape, True)  # not part of the CPU
    requests, cpu_s, batch_s = Counter[str](), [], []
    for seed in range(seeds):
        begun = time.process_time()
        with simulated(
            Plan(seed=seed, shape=shape, signatures=True, own_checks=True), with_lines=True
        ) as outcome:
            cpu_s.append((time.process_time() - begun) / shape.intervals)
            history = outcome.history
            violations = judge(history)
            if violations:
                raise AssertionError(f"seed {seed}: {violations[0]}")
            requests.update(line.split()[4] for line in outcome.lines if line.split()[1] == "ask")
            for start_s, settled in history.settled.items():
                batch_s.append(settled.made_s - history.plan.opens_s(history.setup.index_of(start_s)))
    return requests.total() / seeds / shape.intervals, median(cpu_s), median(batch_s)


def steps() -> None:
    """CPU of each step of one home."""
    home, limits = Identity.from_seed(b"h" * 32), Limits(sealed_bytes=SEALED_BYTES)
    lines = tuple(order_line(1, 500 + i, 231_000) for i in range(5))
    message = OrderMessage(VERSION, bytes(32), 1_760_000_400, 15, "home-07", 1, 0, lines)
    signed = sign_message(home, message)
    print(f"\nplain message {len(signed)} bytes; one signature checked is 1.00")
    signature = home.sign(b"benchmark\0", signed)
    yardstick_us = _us(lambda: verify(home.public_key, b"benchmark\0", signed, signature))
    print(f"{'validators':>10} {'bytes':>6} {'seal':>6} {'share':>6} {'combine':>8} {'open':>6}")
    for count in STEPS:
        size, took_us = _steps(home, message, limits, count)
        widths = (7, 7, 9, 7)
        ratios = "".join(
            f"{us / yardstick_us:>{width}.2f}" for us, width in zip(took_us, widths, strict=True)
        )
        print(f"{count:>10} {size:>6}{ratios}")


def _steps(home: Identity, message: OrderMessage, limits: Limits, count: int) -> tuple[int, list[float]]:
    """Size of the message, and the CPU to seal, to open a share, to combine, and to open the box. [us]"""
    validators = [Identity.from_seed(bytes([i + 1]) * 32) for i in range(count)]
    keys = [one.public_key for one in validators]
    sealed = seal_message(home, message, keys, limits)
    context, envelope, shares = sealing_context(sealed), sealed.envelope, {}
    for place in range(needed(count)):
        share = open_share(envelope, place, validators[place], context)
        assert share is not None
        shares[place] = share
    key = combine(shares, needed(count))
    assert unseal_message(sealed, key, limits) == message
    took_us = [
        _us(lambda: seal_message(home, message, keys, limits)),
        _us(lambda: open_share(envelope, 0, validators[0], context)),
        _us(lambda: combine(shares, needed(count))),
        _us(lambda: (hash_of_key(key), unseal_message(sealed, key, limits))),
    ]
    return len(sign_message(home, sealed, limits)), took_us


def _us(function: Callable[[], object]) -> float:
    """Median CPU of a call over several rounds. [us]"""
    rounds = []
    for _ in range(7):
        begun = time.process_time()
        for _ in range(REPEATS):
            function()
        rounds.append((time.process_time() - begun) / REPEATS * 1e6)
    return median(rounds)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
