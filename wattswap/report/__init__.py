"""One HTML file that tells what a run or a comparison came to; figures and sentences know only a `Story`."""

REPORT = "report.html"
"""Name of a report in the folder that it tells of; it is no part of a run, and `verify` lets it be."""
