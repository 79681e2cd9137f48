"""Checks with one rule wrong each, and the tests that must fail for it: see `table` and `runner`."""
