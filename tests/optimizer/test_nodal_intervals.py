"""Price intervals of nodes in a mesh of which parts are behind open lines."""

from __future__ import annotations

from market.auctions.nodal_proof import check
from market.clearing import PriceInterval
from optimizer.mechanisms.nodal_price import clear
from tests.kits.grid_kit import book_of, grid_of, on


def test_a_part_with_any_price_leaves_the_interval_of_another_as_it_is() -> None:
    """Prices behind the open line 0-2 have no end, which says nothing of the two nodes before it.

    One of 2 Wh offered at .05 is bought beside it and one through a full line, both at .08.
    """
    ends = [(0, 1), (0, 2), (3, 2), (4, 3), (2, 5), (2, 1), (4, 2)]
    grid = grid_of(ends, [1, 0, 1, 1, 1, 0, -1], x=[0.847, 0.407, 0.858, 0.901, 1.084, 0.385, 0.541], root=3)
    book = book_of((0, -2, 50_000), (0, 1, 80_000), (4, 1_000, 0), (1, 1_000, 80_000))
    found = clear(book, on(grid))
    assert found.accepted_wh.tolist() == [2, 1, 0, 1]
    assert found.node_price[:2] == (
        PriceInterval(50_000, 80_000, 80_000),
        PriceInterval(80_000, 80_000, 80_000),
    )
    assert check(book, grid, found).holds
