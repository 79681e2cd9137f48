"""Random words that follow from a seed, a time and a participant alone: the same for one home as among a thousand."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from market.units import IntArray

WordArray = npt.NDArray[np.uint64]

_GOLDEN, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_WORD = 2**64 - 1


def splitmix64(words: WordArray) -> WordArray:
    """Mix 64-bit words so that near inputs give unrelated outputs.

    Source: Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators", the splitmix64 mixer.
    """
    with np.errstate(over="ignore"):
        words = (words ^ (words >> np.uint64(30))) * np.uint64(_FIRST)
        words = (words ^ (words >> np.uint64(27))) * np.uint64(_SECOND)
        mixed: WordArray = words ^ (words >> np.uint64(31))
    return mixed


def interval_seed(seed: int, start_s: int) -> int:
    """Seed of all that is drawn in an interval, below 2^64.

    Each number is mixed before the next is added: were they added as they are, another seed would be another interval.
    """
    return _next(_next(seed) + start_s)


def words_of(seed: int, start_s: int, participant: IntArray) -> WordArray:
    """One word per participant for an interval; `start_s` may be any number that is unique to the interval."""
    return _words(_next(interval_seed(seed, start_s) + 1), participant)


def random_words(seed: int, start_s: int, participant: IntArray) -> WordArray:
    """Random words for the bids of an interval, unrelated to those of the order of arrival."""
    return _words(_next(interval_seed(seed, start_s) + 2), participant)


def tie_words(seed: int, start_s: int, participant: IntArray) -> WordArray:
    """Random words by which plans of homes differ where their costs are equal, unrelated to those of their bids."""
    return _words(_next(interval_seed(seed, start_s) + 3), participant)


def _next(word: int) -> int:
    # splitmix64 of one word, in integers of Python: an array of one word takes some hundred times longer.
    word = (word + _GOLDEN) & _WORD
    word = ((word ^ (word >> 30)) * _FIRST) & _WORD
    word = ((word ^ (word >> 27)) * _SECOND) & _WORD
    return word ^ (word >> 31)


def _words(state: int, participant: IntArray) -> WordArray:
    """The words that the generator splitmix64 gives from a state on, those of the participants' numbers."""
    with np.errstate(over="ignore"):
        return splitmix64(np.uint64(state) + participant.astype(np.uint64) * np.uint64(_GOLDEN))


def whole_between(words: WordArray, low: IntArray, high: IntArray) -> IntArray:
    """Turn words into whole numbers from low to high, both included; high is at least low and nearer than 2^31.

    The upper 32 bits of a word times the number of choices, over 2^32: a bias below one in 2^32 / choices.
    """
    choices = (high - low + 1).astype(np.uint64)
    chosen: IntArray = low + (((words >> np.uint64(32)) * choices) >> np.uint64(32)).astype(np.int64)
    return chosen
