"""The best bid with the best offer, as long as the lines of the grid carry it."""

import numpy as np

from market.clearing import Trades, of_trades
from market.grid import NO_LIMIT
from market.mechanism import MECHANISMS, Mechanism, Promises


def flow_per_wh(grid):
    """Flow in each line (rows) by a Wh fed in at each node (columns), by the DC equations."""
    lines = grid.lines
    ends = np.zeros((len(lines), len(grid.nodes)))
    ends[np.arange(len(lines)), lines.start] = 1
    ends[np.arange(len(lines)), lines.end] = -1
    by_line = ends / lines.x[:, None]
    return by_line @ np.linalg.pinv(ends.T @ by_line)


def clear(book, rules):
    """Trade pair by pair in the middle of the two limits, each as far as every line allows."""
    lines, per_wh, limits = rules.grid.lines, flow_per_wh(rules.grid), book.limit_micro_per_kwh
    most_wh = np.where(lines.limit_wh == NO_LIMIT, np.inf, lines.limit_wh)
    flow_wh, left_wh, trades = np.zeros(len(lines)), book.energy_wh.copy(), []
    order = np.argsort(limits, kind="stable")
    for buy in order[book.side[order] > 0][::-1]:
        for sell in order[book.side[order] < 0]:
            if limits[buy] < limits[sell]:
                break
            flow = per_wh[:, book.node[sell]] - per_wh[:, book.node[buy]]
            used = np.abs(flow) > 1e-9
            room_wh = (most_wh - np.sign(flow) * flow_wh)[used] / np.abs(flow[used])
            energy_wh = int(min([left_wh[buy], left_wh[sell], *np.floor(room_wh + 1e-6)]))
            if energy_wh > 0:
                trades.append((buy, sell, energy_wh, (limits[buy] + limits[sell]) // 2))
                left_wh[[buy, sell]] -= energy_wh
                flow_wh += flow * energy_wh
    return of_trades(book, Trades(*np.array(trades, dtype=np.int64).reshape(-1, 4).T))


PROMISES = Promises(source="an example", needs_grid=True)
MECHANISMS.register(Mechanism("merit_order", clear, PROMISES), contract=1)
