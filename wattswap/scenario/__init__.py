"""Scenario files: read, checked with line numbers, and turned into what a run needs."""
