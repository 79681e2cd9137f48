"""The nucleolus of a cooperative game, with and without imputations, and whether its core is empty: linear programs.

Games are arrays of the values of all 2^n coalitions, as in `market.cooperative`. HiGHS finds which coalitions bind;
the shares are then solved from those in fractions, so rounding to whole nano happens once, at the end.

Each program is solved as its dual, which has n + 1 rows and a column per coalition instead of the other way round.
"""

from __future__ import annotations

from fractions import Fraction
from math import lcm

import numpy as np

from market.cooperative.game import players_of, subset_sums
from market.units import FloatArray, IntArray, rounded_shares
from optimizer.errors import Infeasible, Unproven
from optimizer.solver.compile import CompiledModel
from optimizer.solver.session import Session

_POSITIVE = 1e-7
"""A weight above it is not 0: weights are quotients of small determinants of zeros and ones."""

_RELATIVE = 1e-8
"""Excess beyond the largest that is let pass, relative to the largest value: what the solver cannot see."""

Equation = tuple[int, int | None]
"""A coalition and the round whose excess it has: x(S) + e_round = v(S); round None means e = 0."""


def nucleolus(value_nano: IntArray) -> IntArray:
    """Shares that make the largest excess of a coalition as small as possible, then the next largest, and so on.

    The excess of S is v(S) - x(S), what S could gain by leaving. Among all x with x(N) = v(N) and x_i >= v(i):

    1. Minimise e subject to x(S) + e >= v(S) for every coalition whose x(S) is not determined yet.
    2. A coalition with a positive dual weight has excess e in *every* optimum (complementary slackness), so its
       excess is fixed. A coalition that is only tight at the optimum found is not: it may be slack at another one.
    3. Coalitions in the span of the fixed ones are determined too and leave. Repeat until all n shares are.

    The weights in step 2 sum to 1 and lie on undetermined coalitions, so each round fixes at least one dimension and
    there are at most n - 1 rounds. What is constant but got no weight keeps its e and is fixed in the next round.

    Args:
        value_nano: Value of each coalition, shape (2^n,). [nano]

    Returns:
        Share of each player, shape (n,); they sum to the value of all. [nano]

    Raises:
        InvalidGame: Not a game.
        Infeasible: The players alone are worth more than together, so no shares satisfy all of them.
        Unproven: The coalitions found do not determine shares that satisfy the others.

    Source: Schmeidler, SIAM Journal on Applied Mathematics 17 (1969), 1163-1170; rounds of Kopelowitz (1967) and
    Maschler, Peleg, Shapley, Mathematics of Operations Research 4 (1979), 303-338.
    """
    alone = value_nano[1 << np.arange(players_of(value_nano))]
    if int(alone.sum()) > int(value_nano[-1]):
        raise Infeasible(
            "the players alone are worth more than together; there is no imputation to choose from."
            " The prenucleolus asks for none"
        )
    return _least_complaints(value_nano, individually_rational=True)


def prenucleolus(value_nano: IntArray) -> IntArray:
    """Shares as in `nucleolus`, among all x with x(N) = v(N): a player may get less than it is worth alone.

    Every game has them, and they are the nucleolus wherever the core is not empty.

    Args:
        value_nano: Value of each coalition, shape (2^n,). [nano]

    Returns:
        Share of each player, shape (n,); they sum to the value of all. [nano]

    Raises:
        InvalidGame: Not a game.
        Unproven: The coalitions found do not determine shares that satisfy the others.

    Source: Sobolev (1975); Maschler, Peleg, Shapley, Mathematics of Operations Research 4 (1979), 303-338.
    """
    return _least_complaints(value_nano, individually_rational=False)


def _least_complaints(value_nano: IntArray, *, individually_rational: bool) -> IntArray:
    """The rounds of `nucleolus`, with the floors x_i >= v(i) or without."""
    n = players_of(value_nano)
    every = len(value_nano) - 1
    alone = value_nano[1 << np.arange(n)]
    # The players' own values may dwarf their joint gain. Subtracting them shifts each share by the player's own value
    # (covariance), and leaves the solver the gains alone.
    gain_nano = value_nano - subset_sums(alone)
    scale = max(1, int(np.abs(gain_nano).max()))
    single = 1 << np.arange(n if individually_rational else 0)
    fixed: list[Equation] = [(every, None)]
    floors: list[Equation] = []
    excess: list[float] = []
    rounds: list[IntArray] = []
    for _ in range(n):  # n - 1 rounds at most, and one look that all is determined
        basis = _independent([_row(s, n) for s, _ in fixed])
        undetermined = _outside_span(basis, n)
        if not len(undetermined):
            break
        worst, weight, floor_weight = _least_excess(gain_nano / scale, n, undetermined, single, fixed, excess)
        rounds.append(undetermined)
        fixed += [(int(s), len(excess)) for s in undetermined[weight > _POSITIVE]]
        floors += [(1 << i, None) for i in np.flatnonzero(floor_weight > _POSITIVE).tolist()]
        excess.append(worst)
    share = _solve_exactly(gain_nano, n, [*fixed, *floors], len(excess))
    _check_rounds(gain_nano, share, rounds, excess, scale)
    denominator = lcm(*(x.denominator for x in share))
    shares: IntArray = alone + rounded_shares([int(x * denominator) for x in share], denominator)
    return shares


def core_nonempty(value_nano: IntArray) -> bool:
    """Whether some shares x(N) = v(N) leave no coalition better off alone.

    The least sum of shares that satisfies every proper coalition is the largest sum of w_S v(S) over balanced
    weights; the core is empty where that passes v(N). The weights that decide are solved in fractions.

    Args:
        value_nano: Value of each coalition, shape (2^n,). [nano]

    Raises:
        InvalidGame: Not a game.
        Unproven: The weights found are not balanced.

    Source: Bondareva (1963); Shapley, Naval Research Logistics Quarterly 14 (1967), 453-460.
    """
    n = players_of(value_nano)
    if n == 1:
        return True
    proper = np.arange(1, len(value_nano) - 1)
    scale = max(1, int(np.abs(value_nano).max()))
    model = _model(np.array([_row(s, n) for s in proper.tolist()]), np.ones(n))
    solution = Session(model).resolve(-value_nano[proper] / scale, np.zeros(len(proper)), _infinite(proper))
    support = proper[solution.x > _POSITIVE].tolist()
    # Per player, the weights of its coalitions sum to 1.
    weight = _solve([[Fraction(s >> i & 1) for s in support] + [Fraction(1)] for i in range(n)], len(support))
    if weight is None or min(weight) < 0:
        raise Unproven("the weights that HiGHS found are not balanced")
    least = sum((w * int(value_nano[s]) for w, s in zip(weight, support, strict=True)), Fraction(0))
    return least <= int(value_nano[-1])


def _least_excess(
    value: FloatArray,
    n: int,
    undetermined: IntArray,
    floors: IntArray,
    fixed: list[Equation],
    excess: list[float],
) -> tuple[float, FloatArray, FloatArray]:
    """Solve one round, and return the excess, the weights of the undetermined coalitions, and of the floors.

    Columns: the undetermined coalitions (weights sum to 1), the single players of the floors x_i >= v(i), the fixed
    coalitions (free).
    """
    held = [s for s, _ in fixed]
    coalitions = np.array([*undetermined.tolist(), *floors.tolist(), *held])
    rows = np.array([_row(s, n) for s in coalitions.tolist()])
    counts = np.zeros((len(coalitions), 1))
    counts[: len(undetermined)] = 1.0
    model = _model(np.hstack((rows, counts)), np.array([0.0] * n + [1.0]))
    worth = value[coalitions].copy()
    worth[len(worth) - len(held) :] -= [0.0 if k is None else excess[k] for _, k in fixed]
    lower = np.zeros(len(coalitions))
    lower[len(coalitions) - len(held) :] = -np.inf
    x = Session(model).resolve(-worth, lower, _infinite(coalitions)).x
    return float(worth @ x), x[: len(undetermined)], x[len(undetermined) : len(undetermined) + len(floors)]


def _model(by_column: FloatArray, right: FloatArray) -> CompiledModel:
    """The equations sum over columns = right; costs and bounds come with each solve."""
    columns = len(by_column)
    at = np.nonzero(by_column)
    count = np.bincount(at[0], minlength=columns)
    return CompiledModel(
        cost=np.zeros(columns),
        offset=0.0,
        maximises=False,
        lower=np.zeros(columns),
        upper=_infinite(count),
        row_lower=right,
        row_upper=right,
        start=np.concatenate(([0], np.cumsum(count))).astype(np.int32),
        index=at[1].astype(np.int32),
        value=by_column[at].astype(np.float64),
        dense=by_column.T.astype(np.float64),
    )


def _infinite(like: IntArray) -> FloatArray:
    return np.full(len(like), np.inf)


def _row(coalition: int, n: int) -> list[int]:
    return [coalition >> i & 1 for i in range(n)]


def _independent(rows: list[list[int]]) -> list[list[Fraction]]:
    """A basis of the span of some rows, reduced: each has a leading 1 in a column where the others have 0."""
    basis: list[list[Fraction]] = []
    for row in rows:
        rest = [Fraction(x) for x in row]
        for held in basis:
            lead = _lead(held)
            rest = [x - rest[lead] * y for x, y in zip(rest, held, strict=True)]
        if any(rest):
            lead = _lead(rest)
            rest = [x / rest[lead] for x in rest]
            basis = [[x - held[lead] * y for x, y in zip(held, rest, strict=True)] for held in basis]
            basis.append(rest)
    return basis


def _lead(row: list[Fraction]) -> int:
    return next(i for i, x in enumerate(row) if x)


def _outside_span(basis: list[list[Fraction]], n: int) -> IntArray:
    """The coalitions whose share the fixed ones do not determine."""
    # S lies in the span if S minus the sum of its leading rows is 0, checked in integers for all S at once.
    common = lcm(*(x.denominator for row in basis for x in row))
    rest = np.eye(n, dtype=np.int64) * common
    for row in basis:
        rest[_lead(row)] -= np.array([int(x * common) for x in row])
    return np.flatnonzero(subset_sums(rest).any(axis=1))


def _solve_exactly(value_nano: IntArray, n: int, equations: list[Equation], rounds: int) -> list[Fraction]:
    """Shares from the binding coalitions: x(S) + e_round = v(S), with the excesses as further unknowns."""
    system = []
    for coalition, number in equations:
        row = [Fraction(x) for x in _row(coalition, n)] + [Fraction(0)] * rounds
        if number is not None:
            row[n + number] = Fraction(1)
        system.append([*row, Fraction(int(value_nano[coalition]))])
    solved = _solve(system, n + rounds)
    if solved is None:
        raise Unproven("the coalitions that bind do not determine the shares")
    return solved[:n]


def _solve(system: list[list[Fraction]], unknowns: int) -> list[Fraction] | None:
    """Solve equations [coefficients, right side] in fractions; None without a solution or with several."""
    left = [list(row) for row in system]
    for column in range(unknowns):
        pivot = next((i for i in range(column, len(left)) if left[i][column]), None)
        if pivot is None:
            return None
        left[column], left[pivot] = left[pivot], left[column]
        lead = left[column] = [x / left[column][column] for x in left[column]]
        for i, row in enumerate(left):
            if i != column and row[column]:
                left[i] = [x - row[column] * y for x, y in zip(row, lead, strict=True)]
    if any(row[-1] for row in left[unknowns:]):
        return None
    return [row[-1] for row in left[:unknowns]]


def _check_rounds(
    value_nano: IntArray, share: list[Fraction], rounds: list[IntArray], excess: list[float], scale: int
) -> None:
    """Refuse shares that leave a coalition of a round more than the excess of that round."""
    paid = subset_sums(np.array([round(x) for x in share], dtype=np.int64))
    for undetermined, worst in zip(rounds, excess, strict=True):
        largest = int((value_nano - paid)[undetermined].max())
        if abs(largest - worst * scale) > _RELATIVE * scale + len(share):
            raise Unproven(
                f"a coalition has an excess of {largest} nano where {worst * scale:.0f} is the most"
            )
