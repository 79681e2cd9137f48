"""Tests of the consensus rules: one core by hand, a few cores by schedule, many by seed, and mutants of them."""
