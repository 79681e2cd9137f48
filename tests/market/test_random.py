"""Random words: none repeats over seeds, intervals and homes, and none says anything about another."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from market.random import interval_seed, random_words, splitmix64, words_of

SEEDS = [0, 1, 2, 901, 1_801, 2**32, 2**63 - 1]  # 1, 901 and 1801 are 900 s apart
STARTS = [1_700_000_000 + 900 * i for i in range(60)] + [0, 1, 2, 900, 901]
HOMES = np.arange(2_000)  # more than the seconds of an interval


def grid_of(words: object) -> npt.NDArray[np.uint64]:
    """Words by seed, interval and home."""
    assert callable(words)
    return np.array([[words(seed, start, HOMES) for start in STARTS] for seed in SEEDS])


GRIDS = {"arrival": grid_of(words_of), "bids": grid_of(random_words)}


def test_no_word_repeats_over_seeds_intervals_and_homes() -> None:
    """1.8 million words of 64 bits: by chance one pair would be equal in ten million such grids."""
    words = np.concatenate([grid.ravel() for grid in GRIDS.values()])
    assert len(np.unique(words)) == len(words) == 2 * len(SEEDS) * len(STARTS) * len(HOMES)


def test_a_later_interval_is_not_another_home_and_another_seed_is_not_another_interval() -> None:
    assert words_of(1, 900, np.array([0])) != words_of(1, 0, np.array([900]))
    assert words_of(901, 0, np.array([0])) != words_of(1, 900, np.array([0]))
    seeds = {interval_seed(seed, 900 * i) for seed in range(0, 9_000, 900) for i in range(200)}
    assert len(seeds) == 10 * 200
    assert all(0 <= seed < 2**64 for seed in seeds)


def test_the_seed_of_an_interval_is_the_published_mixer_applied_twice() -> None:
    """The published first output for 1234567, and the mixer of arrays for the seeds and starts above."""
    golden = 0x9E3779B97F4A7C15

    def mixed(word: int) -> int:
        return int(splitmix64(np.array([(word + golden) % 2**64], dtype=np.uint64))[0])

    assert mixed(1234567) == 6457827717110365317
    for seed in SEEDS:
        for start in STARTS[-8:]:
            assert interval_seed(seed, start) == mixed(mixed(seed) + start)


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("shift", [0, 28, 56])
def test_all_values_are_equally_frequent(name: str, shift: int) -> None:
    """Chi-square over the 256 values of 8 bits: 255 expected with a standard deviation of 22.6, five of them."""
    byte = (GRIDS[name] >> np.uint64(shift)) & np.uint64(255)
    counts = np.bincount(byte.ravel().astype(np.int64), minlength=256)
    expected = byte.size / 256
    assert abs(((counts - expected) ** 2 / expected).sum() - 255) < 5 * 22.6


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_word_says_nothing_about_its_neighbours(name: str, axis: int) -> None:
    """Neighbouring seeds, intervals and homes: no correlation, and half of the 64 bits differ."""
    words = GRIDS[name]
    count = words.shape[axis]
    one, other = (words.take(range(i, count - 1 + i), axis=axis).ravel() for i in (0, 1))
    pairs = len(one)
    high, next_high = ((x >> np.uint64(11)).astype(np.float64) for x in (one, other))
    assert abs(np.corrcoef(high, next_high)[0, 1]) < 4.5 / np.sqrt(pairs)
    differ = np.bitwise_count(one ^ other)
    assert abs(differ.mean() - 32) < 4.5 * 4 / np.sqrt(pairs)  # 64 fair bits: a standard deviation of 4


def test_arrival_and_bids_of_a_home_are_unrelated() -> None:
    arrival, bids = (GRIDS[name].ravel() for name in ("arrival", "bids"))
    differ = np.bitwise_count(arrival ^ bids)
    assert abs(differ.mean() - 32) < 4.5 * 4 / np.sqrt(len(arrival))
